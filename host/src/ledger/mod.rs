//! What a pipeline knows of itself: which process may move a lane and how far it has come, which generation
//! cleaned what and how it did, the records that died, the processes that are alive.
//!
//! A ledger is four small traits. What a lane's state is, and how it changes, does not depend on where it is
//! stored. Not here: rows, which are a writer's.

mod fault;
mod lane;
pub(crate) mod letter;
mod lineage;
pub(crate) mod log;
mod members;
pub mod model;
mod outcome;
mod share;
pub(crate) mod sql;
mod verdict;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::fault::LedgerFault;
pub use self::lane::{Claim, FirstRun, LaneState};
pub use self::letter::{DeadLetterFilter, DeadLetterState, StoredDeadLetter};
pub use self::lineage::{LineageRange, LineageSums, RowOrigin};
pub use self::members::{Member, Members};
pub use self::outcome::{CommitOutcome, RetriedLetter, Retry, Stored};
pub use self::share::{Pace, Roster, Shift, share};
pub use self::verdict::{Judgement, Verdict, VerdictError, judgement_of};
use crate::record::{ConnectorError, Digest, Generation, Lane, Position};

/// The ledger of one pipeline, as one process sees it.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub claims: Arc<dyn Claims>,
    pub archive: Arc<dyn Archive>,
    pub letters: Arc<dyn Letters>,
    pub members: Arc<dyn Members>,
}

impl Ledger {
    /// One that keeps all four in the same place.
    pub fn of<L: Claims + Archive + Letters + Members + 'static>(ledger: &Arc<L>) -> Self {
        Self {
            claims: Arc::clone(ledger) as _,
            archive: Arc::clone(ledger) as _,
            letters: Arc::clone(ledger) as _,
            members: Arc::clone(ledger) as _,
        }
    }
}

/// Who may move lanes, and where they stand.
#[async_trait]
pub trait Claims: Debug + Send + Sync {
    /// What was decided when the pipeline first ran; none if it never did. `decided` is stored if nothing is:
    /// of two first runs the stored one counts. Asked before the first claim.
    async fn first_run(
        &self,
        decided: Option<FirstRun>,
    ) -> Result<Option<FirstRun>, ConnectorError>;

    /// Takes a lane over from whoever had it: every earlier claim of it becomes worthless. A lane that has
    /// no position yet gets `start`, durably; of two first claimers the stored one counts.
    async fn claim(&self, lane: &Lane, start: Position) -> Result<Claim, ConnectorError>;

    /// Moves a lane on request, if it still stands at `from`. The gap stands in the lineage.
    async fn move_lane(
        &self,
        lane: &Lane,
        from: Position,
        to: Position,
    ) -> Result<bool, ConnectorError>;

    /// The lane's next dead letters, so many more of them, do not count for `dead_letters.max_ratio`. Kept
    /// with the lane until units use it up. Whoever has the lane keeps it; false if there is no such lane.
    async fn accept_rejects(&self, lane: &Lane, records: u64) -> Result<bool, ConnectorError>;

    /// Fails if lanes are known here under the pipeline's name that were read from another source, or stand
    /// for another target: no lane could be claimed. Nothing is made. A ledger that leaves it out tells at the
    /// first claim.
    async fn meet(&self) -> Result<(), ConnectorError> {
        Ok(())
    }

    /// Notes why the lane does not go on, until its position moves. Only for people: a ledger may leave it
    /// out.
    async fn note_halt(&self, claim: &Claim, reason: &str) -> Result<(), ConnectorError> {
        let _ = (claim, reason);
        Ok(())
    }

    /// All lanes of the pipeline, by name.
    async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError>;

    /// The names of the pipelines that write where this one does, itself among them, as far as they keep
    /// positions there.
    async fn pipelines(&self) -> Result<Vec<String>, ConnectorError>;
}

/// What is kept for years: generations, how they did, what each cleaned, and what sources note down.
#[async_trait]
pub trait Archive: Debug + Send + Sync {
    /// Stores a generation by its digest, with its plugins; nothing if it is there already. Asked before
    /// the first unit that names it.
    async fn keep(&self, generation: &Generation) -> Result<(), ConnectorError>;

    /// A generation as it was kept.
    async fn generation(&self, digest: Digest) -> Result<Option<Generation>, ConnectorError>;

    /// Stores what the pipeline found out about a generation.
    async fn judge(&self, judgement: &Judgement) -> Result<(), ConnectorError>;

    /// All that the pipeline found out about generations, the oldest first: the last one of a generation
    /// counts.
    async fn judgements(&self) -> Result<Vec<Judgement>, ConnectorError>;

    /// The lineage of the pipeline: neighbouring units of one generation as one range.
    async fn lineage(&self) -> Result<Vec<LineageRange>, ConnectorError>;

    /// Whether any unit of the pipeline was ever committed. Asked at each start: the whole lineage need not
    /// be read for it.
    async fn has_committed(&self) -> Result<bool, ConnectorError> {
        Ok(self.lineage().await?.iter().any(|range| range.generation.is_some()))
    }

    /// The lane's journal, oldest entry first.
    async fn journal(&self, lane: &Lane) -> Result<Vec<Bytes>, ConnectorError>;

    /// Appends to the lane's journal, if the claim still holds and the journal has `number` entries.
    async fn append(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, ConnectorError>;
}

/// Records that could not be cleaned or stored.
#[async_trait]
pub trait Letters: Debug + Send + Sync {
    async fn list(&self, which: &DeadLetterFilter)
    -> Result<Vec<StoredDeadLetter>, ConnectorError>;

    /// How many there are, without loading them. A limit does not count.
    async fn count(&self, which: &DeadLetterFilter) -> Result<u64, ConnectorError>;

    /// Keeps a warning about letters until somebody has looked at them; none, once somebody has.
    async fn keep_warning(&self, warning: Option<&str>) -> Result<(), ConnectorError> {
        let _ = warning;
        Ok(())
    }

    /// The warning that is kept.
    async fn warning(&self) -> Result<Option<String>, ConnectorError> {
        Ok(None)
    }

    /// How many are worth asking for at a time; none if each question takes reading them all.
    fn at_a_time(&self) -> Option<u64> {
        Some(500)
    }
}
