//! Which of many records show what there is to be shown.

use std::collections::BTreeSet;

/// A few of the records that together show as much as possible: each shows what its set holds, and costs so
/// much to be read. In ascending order.
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
