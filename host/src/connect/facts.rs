//! What others may know of a source or a sink, as plain values.
//!
//! None of these has a default: a new connector answers each question. A question that is asked of
//! one kind only is no fact, but that connector's own affair.

use std::time::Duration;

use super::DatabaseNames;
use crate::objects::ObjectSet;

/// What the rest of the house asks of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFacts {
    /// Whether a record has a place at which it can be read again.
    pub positions: Positions,
    /// Which names with a `$` mean something for its records.
    pub surroundings: Surroundings,
    /// Whether it can be opened anew while it runs, with other settings: what was read is not lost then.
    pub reopens: bool,
    /// Whether somebody waits for what becomes of each record: units are cut soon then, the source is given
    /// receipts, and records that are dead letters are no reason to halt.
    pub is_awaited: bool,
    /// Whether a record may have no value: it deletes the row with its key then.
    pub has_tombstones: bool,
    pub ends: Ends,
    pub spread: Spread,
    /// The group in which it reads, if there is one.
    pub group: Option<GroupShare>,
    /// The member of each record's object in which the record stands.
    pub unwrap: Option<String>,
    /// The objects that it reads, if that is what it reads: no sink may write among them, and they
    /// are there to be read again.
    pub objects: Option<ObjectSet>,
}

/// What the rest of the house asks of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkFacts {
    /// Whether it keeps how far lanes have come, and with that everything else that a pipeline
    /// knows of itself.
    pub positions: Positions,
    pub commits: Commits,
    /// How a row takes another's place, if one can.
    pub upsert: Option<Upsert>,
    /// Whether a record without a value can delete the row with its key.
    pub deletes: bool,
    /// Whether rows are added to those that are there, so that the same records add them twice.
    pub appends: bool,
    /// Whether rows that the same records gave before can be deleted in the step that writes new
    /// ones.
    pub replaces: bool,
    /// Whether a row tells which record it was made of.
    pub traces: bool,
    /// What its tables and columns can be called, if it has some.
    pub names: Option<&'static DatabaseNames>,
    pub columns: WantedColumns,
    /// Settings that mean nothing where there is a rule.
    pub not_with_rule: Vec<NotWithRule>,
    /// What a unit costs it, however small: shorter units only make it slower.
    pub unit_floor: Duration,
    /// Where rows go, for people: `in table pin`.
    pub place: String,
    /// What to type to see rows.
    pub shows_rows: Option<String>,
    /// The folder or the bucket that it writes to, if it writes objects.
    pub objects: Option<String>,
}

/// Whether something has places that outlive a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    Kept,
    /// Each run starts anew, and why.
    ForOneRun {
        because: &'static str,
    },
}

impl Positions {
    pub fn are_kept(self) -> bool {
        self == Self::Kept
    }
}

/// What stands around a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surrounding {
    Key,
    Timestamp,
    Offset,
    Topic,
    Partition,
    /// The sequence number of Kinesis.
    Sequence,
    /// The shard of a Kinesis stream.
    Shard,
    Headers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surroundings {
    /// What each record has.
    pub always: &'static [Surrounding],
    /// What records have that stand in an archive, where they are as they were when they were
    /// archived.
    pub in_archives: &'static [Surrounding],
}

/// Whether a source ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    Never,
    /// With so many records, if that is known beforehand.
    After {
        records: Option<u64>,
    },
}

/// Who says which process reads which lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Somebody outside, for all that read in one group.
    ByGroup,
    /// The processes themselves, in the ledger. One that is silent for as long is taken for dead.
    ByMembers { session: Duration },
    /// Nobody: whoever claims a lane has it.
    Nobody,
}

/// What two pipelines would take away from each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupShare {
    pub cluster: String,
    pub group: String,
    /// How it is told: `reads topic posts` and then `in the same group`.
    pub told: &'static str,
    /// What to do about it.
    pub help: &'static str,
    /// What is shared out, for people: `topic posts`.
    pub shared: Vec<String>,
}

/// Whether rows and position are one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commits {
    Together { because: &'static str },
    Apart { because: &'static str },
}

/// The columns that tell which row it is, and the one that tells which of two is newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upsert {
    pub key: Vec<String>,
    pub newest: Option<String>,
}

/// What a sink asks of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedColumns {
    /// Why rows have to have columns, if they have to: without a rule there are none.
    pub because: Option<&'static str>,
    /// The settings that name columns.
    pub named: Vec<NamedColumns>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedColumns {
    /// The key of the setting.
    pub setting: &'static str,
    pub names: Vec<String>,
    pub role: ColumnRole,
}

/// What a column is named for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnRole {
    /// It tells which row it is.
    Key,
    /// It tells which of two rows of one key is newer.
    Newest,
    /// It names a folder, and is not written in the row.
    Partition,
    /// It is written beside the row, as text.
    Header,
}

/// A setting that means nothing where there is a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotWithRule {
    pub setting: &'static str,
    pub message: &'static str,
    pub help: &'static str,
}
