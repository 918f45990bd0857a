//! Lanes of sources that cannot be read again: each run has one of its own.
//!
//! Runs have numbers: what a later one has read is newer than what an earlier one has, whatever clocks say.
//! Two that begin at once are told apart all the same.

use uuid::Uuid;

use super::Known;
use crate::record::Lane;

/// The lane of the run that comes after all that are known.
pub(super) fn next(kind: &str, known: &Known) -> Lane {
    of(kind, run_after(kind, known))
}

/// The lane of the first run, for those who know no ledger.
pub(super) fn first(kind: &str) -> Lane {
    of(kind, 1)
}

fn of(kind: &str, run: u64) -> Lane {
    let id = Uuid::new_v4().simple().to_string();
    Lane::new(format!("{kind}-run-{run:010}-{}", &id[..8]))
}

fn run_after(kind: &str, known: &Known) -> u64 {
    let number = |lane: &Lane| {
        let run = lane.name().strip_prefix(kind)?.strip_prefix("-run-")?;
        run.split('-').next()?.parse().ok()
    };
    known.lanes.keys().filter_map(number).max().map_or(1, |last: u64| last.saturating_add(1))
}
