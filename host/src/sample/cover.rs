//! Picks the few records that show the most.

use std::collections::BTreeSet;

/// At most `records_max` records that together show as much as possible, in ascending order. Each record
/// comes as the set of what it shows, and what it costs to read.
pub fn cover(records: &[(BTreeSet<u32>, usize)], records_max: usize) -> Vec<usize> {
    let mut shown = BTreeSet::new();
    let mut chosen = BTreeSet::new();
    while chosen.len() < records_max {
        let gain = |(shows, _): &(BTreeSet<u32>, usize)| shows.difference(&shown).count();
        let best = records.iter().enumerate().filter(|(at, _)| !chosen.contains(at));
        let best =
            best.max_by_key(|(at, record)| (gain(record), std::cmp::Reverse((record.1, *at))));
        let Some((at, record)) = best.filter(|(_, record)| gain(record) > 0) else { break };
        chosen.insert(at);
        shown.extend(&record.0);
    }
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_records_show_all_there_is() {
        let records =
            [(vec![1], 9), (vec![1, 2], 30), (vec![1, 2], 20), (vec![3], 5), (vec![3], 4)];
        let records = records.map(|(shows, cost)| (shows.into_iter().collect(), cost));
        assert_eq!(cover(&records, 4), [2, 4]);
        assert_eq!(cover(&records, 1), [2]);
        assert_eq!(cover(&[], 4), [0; 0]);
    }
}
