//! Sinks write units. One operation does it all: rows, dead letters and the lane's move in one atomic
//! step. Where a lane starts is only ever what its sink says.

mod columns;
#[cfg(test)]
mod conformance;
mod letter;
pub mod objects;
pub mod postgres;
pub mod sqlite;
pub mod stdout;
mod table;
mod trace;

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::ops::Add;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::objects::ObjectsSink;
use self::postgres::PostgresSink;
use self::sqlite::SqliteSink;
use self::stdout::StdoutSink;
pub use self::trace::{Trace, TracedRow, trace};
use crate::objects::as_text;
use crate::pipeline::config::SinkConfig;
use crate::record::{
    Batch, ConnectorError, Digest, Field, Generation, Lane, Position, PositionOrder, Rows,
    SourceId, Unit, UnitPart,
};

/// What a sink is opened for.
#[derive(Debug, Clone)]
pub struct SinkContext {
    pub pipeline: Arc<str>,
    /// None for those who only look, and claim nothing.
    pub source: Option<SourceId>,
    /// The columns of rows; none without a rule.
    pub columns: Option<Arc<[Field]>>,
    /// For ever, if there is none.
    pub keep_dead_letters: Option<Duration>,
    /// What the same records gave before makes way. Only tables know which rows those are.
    pub replaces: bool,
    /// The pipeline into whose rows a replay writes: what made them stands in that one's lineage too.
    pub replay_into: Option<Arc<str>>,
}

/// Opens the sink that a pipeline names.
pub async fn open(
    config: &SinkConfig,
    context: SinkContext,
) -> Result<Arc<dyn Sink>, ConnectorError> {
    Ok(match config {
        SinkConfig::Postgres(config) => Arc::new(PostgresSink::open(config, context)?),
        SinkConfig::Sqlite(config) => Arc::new(SqliteSink::open(config, context)?),
        SinkConfig::Objects(config) => Arc::new(ObjectsSink::open(config, context).await?),
        SinkConfig::Stdout(config) => Arc::new(StdoutSink::open(config, context)?),
    })
}

#[async_trait]
pub trait Sink: Debug + Send + Sync {
    /// Makes or checks what rows are written to. Asked before the first claim, and again after an error.
    async fn prepare(&self) -> Result<(), ConnectorError>;

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

    /// Whether rows of these columns would find their place, without making it. Asked of a sink that was
    /// opened for them, while another one is at work.
    async fn would_take(&self) -> Result<(), ConnectorError>;

    /// Takes a lane over from whoever had it: every earlier claim of it becomes worthless. A lane that has
    /// no position yet gets `start`, durably; of two first claimers the stored one counts.
    async fn claim(&self, lane: &Lane, start: Position) -> Result<Claim, ConnectorError>;

    /// Rows in the form in which they are cheapest to write. Called on cleaning threads, for several
    /// batches at once.
    fn encode(&self, rows: Batch) -> Rows {
        Rows::Columns(rows)
    }

    /// All of the unit or nothing of it. Compare-and-set on the claim's token and position. A lost answer
    /// is settled inside, before this returns; after an error the same unit may be offered again.
    async fn commit(&self, claim: &Claim, unit: &Unit) -> Result<Committed, ConnectorError>;

    /// The lane's journal, oldest entry first.
    async fn journal(&self, lane: &Lane) -> Result<Vec<Bytes>, ConnectorError>;

    /// Appends to the lane's journal, if the claim still holds and the journal has `number` entries.
    async fn append(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, ConnectorError>;

    /// All lanes of the pipeline, by name.
    async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError>;

    /// The names of the pipelines that write where this one does, itself among them, as far as they keep
    /// positions there.
    async fn writers(&self) -> Result<Vec<String>, ConnectorError>;

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

    /// Notes why the lane does not go on, until its position moves. Only for people: a sink may leave it
    /// out.
    async fn note_halt(&self, claim: &Claim, reason: &str) -> Result<(), ConnectorError> {
        let _ = (claim, reason);
        Ok(())
    }

    /// Where rows come from whose column has this value, as text; none if rows do not tell.
    async fn origins(
        &self,
        column: &str,
        value: &str,
    ) -> Result<Option<Vec<RowOrigin>>, ConnectorError> {
        let _ = (column, value);
        Ok(None)
    }

    /// The lineage of the pipeline: neighbouring units of one generation as one range.
    async fn lineage(&self) -> Result<Vec<LineageRange>, ConnectorError>;

    async fn dead_letters(
        &self,
        which: &DeadLetterFilter,
    ) -> Result<Vec<StoredDeadLetter>, ConnectorError>;

    /// How many dead letters are worth asking for at a time; none if each question takes reading them all.
    fn dead_letters_at_a_time(&self) -> Option<u64> {
        Some(500)
    }

    /// Rows and new dead letters of records that were dead letters, with those letters' new state, in one
    /// atomic step; compare-and-set on their state.
    async fn commit_retry(&self, retry: &Retry) -> Result<Committed, ConnectorError>;

    /// Asked last, when everything that was to be committed is. What a sink leaves behind without it is
    /// sound, but may be untidy.
    async fn close(&self) -> Result<(), ConnectorError> {
        Ok(())
    }
}

/// A lane that is ours until somebody else claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub lane: Lane,
    /// Random: counters come back after a fail-over.
    pub token: Uuid,
    /// The next record to read.
    pub position: Position,
    /// So many of the next dead letters were accepted beforehand.
    pub accepted_rejects: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    Done(Stored),
    /// Another owner has the lane, or this claim is older than what is stored.
    Fenced,
    /// More rows are refused than the unit allows, by reason as far as that was looked into. Nothing of the
    /// unit is committed.
    Refused(BTreeMap<String, u64>),
}

/// What became of a unit's rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    pub rows: u64,
    /// Rows that did not take the place of a newer one of the same key.
    pub superseded: u64,
    /// Rows that the sink refused, by reason: they are dead letters.
    pub refused: BTreeMap<String, u64>,
}

/// Where a lane stands.
#[derive(Debug, Clone, Serialize)]
pub struct LaneState {
    #[serde(serialize_with = "shown")]
    pub lane: Lane,
    #[serde(serialize_with = "shown")]
    pub source: SourceId,
    #[serde(serialize_with = "shown")]
    pub position: Position,
    /// The claim that may move it.
    pub owner: Uuid,
    #[serde(serialize_with = "as_rfc3339")]
    pub claimed: SystemTime,
    /// When its position moved last.
    #[serde(serialize_with = "as_rfc3339")]
    pub moved: SystemTime,
    /// So many of the next dead letters were accepted beforehand.
    pub accepted_rejects: u64,
    /// Why it does not go on, as far as the sink was told.
    pub halted: Option<String>,
}

/// A range of a lane that one generation cleaned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LineageRange {
    #[serde(with = "as_text")]
    pub lane: Lane,
    #[serde(with = "as_text")]
    pub from: Position,
    #[serde(with = "as_text")]
    pub to: Position,
    /// None for a gap that somebody made by moving the lane.
    #[serde(with = "as_text::option")]
    pub generation: Option<Digest>,
    #[serde(flatten)]
    pub sums: LineageSums,
}

impl LineageRange {
    /// Whether a replay has cleaned these records again: what it did with them is summed up in its own
    /// lineage.
    pub fn is_replayed(&self) -> bool {
        let is_empty = self.from.order() == self.to.order();
        self.generation.is_some() && !is_empty && self.sums == LineageSums::default()
    }

    /// Whether it is this range whose generation made the row.
    pub fn made(&self, row: &RowOrigin) -> bool {
        let (from, to) = (self.from.order(), self.to.order());
        self.lane == row.lane && from <= row.place && row.place < to && self.generation.is_some()
    }
}

/// The record that a row was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowOrigin {
    pub lane: Lane,
    pub place: PositionOrder,
    /// As the row has it.
    pub written: String,
}

impl RowOrigin {
    /// None if that is no place.
    pub fn new(lane: &str, written: &str) -> Option<Self> {
        let place = written.parse::<Position>().ok()?.order();
        Some(Self { lane: Lane::new(lane), place, written: written.to_owned() })
    }
}

/// What became of the records of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LineageSums {
    pub read: u64,
    pub stored: u64,
    pub superseded: u64,
    pub dropped: u64,
    pub dead: u64,
}

impl Add for LineageSums {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            read: self.read + other.read,
            stored: self.stored + other.stored,
            superseded: self.superseded + other.superseded,
            dropped: self.dropped + other.dropped,
            dead: self.dead + other.dead,
        }
    }
}

impl LineageSums {
    /// The conservation law: every record read ends in exactly one place.
    pub fn is_balanced(&self) -> bool {
        self.read == self.stored + self.superseded + self.dropped + self.dead
    }
}

/// How a generation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It did well.
    Live,
    /// It did not get as far as cleaning a record that counts.
    Refused,
    /// It was refused before and has taken over since: nothing more is known.
    OnProbation,
    /// It took over, and the one before took over again.
    RolledBack,
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Refused => "refused",
            Self::OnProbation => "on probation",
            Self::RolledBack => "rolled back",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no verdict")]
pub struct VerdictError(String);

impl FromStr for Verdict {
    type Err = VerdictError;

    fn from_str(name: &str) -> Result<Self, VerdictError> {
        let known = [Self::Live, Self::Refused, Self::OnProbation, Self::RolledBack];
        let verdict = known.into_iter().find(|verdict| verdict.name() == name);
        verdict.ok_or_else(|| VerdictError(name.to_owned()))
    }
}

/// A verdict, and why it came to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    #[serde(serialize_with = "shown")]
    pub generation: Digest,
    pub verdict: Verdict,
    pub reason: Option<String>,
    pub time: SystemTime,
}

/// What is known of a generation: that it was rolled back, whatever others found later that tried it at the
/// same time; or else what was found last.
pub fn judgement_of(generation: Digest, judgements: &[Judgement]) -> Option<&Judgement> {
    let of_it = || judgements.iter().rev().filter(|it| it.generation == generation);
    of_it().find(|it| it.verdict == Verdict::RolledBack).or_else(|| of_it().next())
}

/// Letters come in the order in which they were first stored.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// All, if there is none.
    pub ids: Vec<String>,
    pub state: Option<DeadLetterState>,
    /// Those that come after this one: what a listing in pieces goes on from.
    pub after: Option<String>,
    pub limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterState {
    Dead,
    /// A retry made a row of it, or dropped it.
    Retried,
}

/// A record that could not be cleaned or stored, with everything that it takes to try again.
#[derive(Debug, Clone)]
pub struct StoredDeadLetter {
    /// Stable: the lane and the place in it, as `LANE:PLACE`.
    pub id: String,
    pub lane: Lane,
    pub position: Position,
    pub value: Option<Bytes>,
    pub key: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
    pub timestamp_micros: Option<i64>,
    pub topic: Option<String>,
    pub partition: Option<i64>,
    pub step: Option<String>,
    pub reason: String,
    pub detail: Option<String>,
    pub generation: Digest,
    pub time: SystemTime,
    /// How often it was tried, the first time included.
    pub attempts: u32,
    pub state: DeadLetterState,
}

/// Dead letters that went through the rule again.
#[derive(Debug, Clone)]
pub struct Retry {
    pub generation: Digest,
    pub letters: Vec<RetriedLetter>,
}

#[derive(Debug, Clone)]
pub struct RetriedLetter {
    pub id: String,
    /// What `attempts` was when it was read.
    pub attempts: u32,
    pub lane: Lane,
    /// Its single record, and what became of it.
    pub part: UnitPart,
}

fn shown<S: serde::Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

fn as_rfc3339<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let time = Timestamp::try_from(*time).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(&time.to_string())
}
