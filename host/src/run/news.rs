//! What a run tells about itself while it goes on. Whoever wants to know listens; nothing comes back, and
//! nothing that is told here steers anything.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use super::examples::Example;
use crate::connect::Stored;
use crate::record::{Digest, ErrorClass, Lane, Position};

/// Hears what a run tells. Called where records flow: it must not wait.
pub trait Listener: Debug + Send + Sync {
    fn hear(&self, news: News);
}

#[derive(Debug, Clone)]
pub enum News {
    Phase(Phase),
    Claimed {
        lane: Lane,
        at: Position,
    },
    Committed {
        lane: Lane,
        to: Position,
        figures: Box<UnitFigures>,
        stored: Stored,
        /// From when the sink was first asked.
        took: Duration,
    },
    /// So many records of the lane are there that are not committed, as far as its source knows.
    Behind {
        lane: Lane,
        records: u64,
    },
    /// Something failed, and is tried again.
    Failed {
        lane: Lane,
        step: LaneStep,
        class: ErrorClass,
    },
    /// Another process has claimed the lane: what was not committed is dropped.
    Fenced(Lane),
    /// What the lanes of the pipeline hold in memory, and what they may.
    Memory {
        bytes: u64,
        most: u64,
    },
    Health {
        lane: Lane,
        health: LaneHealth,
    },
    /// The lane is another process's now.
    Gone(Lane),
    /// What cleans from now on.
    Generation(Digest),
    Swapped {
        result: SwapResult,
        live: Digest,
    },
}

/// How far a pipeline has come, of which no lane may be known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Its source or its sink is not reached yet.
    #[default]
    Starting,
    Running,
    /// It ended with an error; other pipelines of the process may go on.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneHealth {
    Starting,
    Running,
    /// Another process has it.
    Standby,
    /// It holds its position until somebody mends what the reason says.
    Halted {
        reason: String,
        help: Option<String>,
        since: Instant,
    },
    /// There is nothing more to read.
    Ended,
}

/// What a lane does over and over, and what can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneStep {
    Claim,
    Read,
    Clean,
    Commit,
}

impl LaneStep {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Read => "read",
            Self::Clean => "clean",
            Self::Commit => "commit",
        }
    }
}

/// How it ended that another generation was to take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SwapResult {
    TookOver,
    Refused,
    RolledBack,
}

impl SwapResult {
    pub const fn name(self) -> &'static str {
        match self {
            Self::TookOver => "took_over",
            Self::Refused => "refused",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// What became of a unit, beside what its sink says.
#[derive(Debug, Clone, Default)]
pub struct UnitFigures {
    pub records: u64,
    pub bytes: u64,
    /// Rows and deletes for the sink.
    pub rows: u64,
    pub dropped: BTreeMap<String, u64>,
    pub dead_letters: BTreeMap<String, u64>,
    /// Those that steps have rejected, by the step's id.
    pub rejected: BTreeMap<String, u64>,
    pub tallies: BTreeMap<(String, String), u64>,
    pub cleaning: Duration,
    /// Of each batch.
    pub batch_times: Vec<Duration>,
    /// The time of its latest record.
    pub latest_micros: Option<i64>,
    pub examples: Vec<Example>,
}
