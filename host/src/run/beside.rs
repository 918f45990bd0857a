//! Two versions of a rule on the same records, side by side. Nothing of it has an effect.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::chain::ChainHalted;
use super::clean::{ByRule, CleanRows};
use super::examples::Examples;
use crate::decode::DecodeLimits;
use crate::diff::{Comparison, Diff};
use crate::pipeline::{Pipeline, Rule, Tombstones};
use crate::plugin::ConfigureError;
use crate::record::{Position, RawBatch};

/// Cleans batches twice, on as many threads at once as ask for it.
#[derive(Debug)]
pub struct Beside {
    old: Version,
    new: Version,
    comparison: Comparison,
    /// Those that nobody uses right now: instances are worth keeping.
    idle: Mutex<Vec<Workers>>,
}

/// Everything that decides what becomes of a record.
#[derive(Debug)]
struct Version {
    rule: Arc<Rule>,
    tombstones: Tombstones,
    unwrap: Option<Box<str>>,
    limits: DecodeLimits,
}

#[derive(Debug)]
struct Workers {
    old: ByRule,
    new: ByRule,
    /// Who comes second finds the records in the cache: they take turns.
    is_new_first: bool,
}

/// A batch, cleaned twice.
#[derive(Debug)]
pub struct Compared {
    pub diff: Diff,
    /// On a cleaning thread.
    pub old_took: Duration,
    pub new_took: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Old,
    New,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Old => "old",
            Self::New => "new",
        })
    }
}

/// A batch that one of the rules cannot clean: with it a lane would halt.
#[derive(Debug, thiserror::Error)]
#[error("the {which} rule halts at the records from {at} on: {cause}")]
pub struct BesideError {
    pub which: Which,
    pub at: Position,
    #[source]
    pub cause: Box<ChainHalted>,
}

impl Beside {
    /// None if one of them has no rule. Examples show the columns of `key`.
    pub fn new(
        old: &Pipeline,
        new: &Pipeline,
        key: impl IntoIterator<Item = String>,
        examples_max: usize,
    ) -> Result<Option<Self>, ConfigureError> {
        let (Some(old), Some(new)) = (Version::of(old)?, Version::of(new)?) else {
            return Ok(None);
        };
        let comparison = Comparison::new(old.rule.columns(), new.rule.columns(), key, examples_max);
        Ok(Some(Self { old, new, comparison, idle: Mutex::default() }))
    }

    /// The differences of no records at all.
    pub fn nothing(&self) -> Diff {
        self.comparison.nothing()
    }

    /// Cleans a batch by both. `place` says where one of its records stands, for people.
    pub fn compare(
        &self,
        raw: &RawBatch,
        place: &dyn Fn(u32) -> String,
    ) -> Result<Compared, BesideError> {
        self.compare_each(raw, raw, place)
    }

    /// The same for records that came as columns, which each rule reads as its own fields.
    pub fn compare_each(
        &self,
        old_raw: &RawBatch,
        new_raw: &RawBatch,
        place: &dyn Fn(u32) -> String,
    ) -> Result<Compared, BesideError> {
        let idle = self.idle().pop();
        let mut workers = idle.unwrap_or_else(|| Workers {
            old: self.old.worker(),
            new: self.new.worker(),
            is_new_first: false,
        });
        let ((old, old_took), (new, new_took)) = workers.clean(old_raw, new_raw)?;
        let by_rule = "a rule gives columns";
        let was = old.outcome(&self.old.rule).expect(by_rule);
        let is = new.outcome(&self.new.rule).expect(by_rule);
        let diff = self.comparison.compare(old_raw.records.len(), &was, &is, place);
        self.idle().push(workers);
        Ok(Compared { diff, old_took, new_took })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Workers>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Version {
    fn of(pipeline: &Pipeline) -> Result<Option<Self>, ConfigureError> {
        let Some(rule) = &pipeline.rule else { return Ok(None) };
        Ok(Some(Self {
            rule: Arc::new(rule.quiet()?),
            tombstones: Tombstones::of(rule, &pipeline.sink),
            unwrap: pipeline.source.unwrap().map(Box::from),
            limits: pipeline.limits.to_decode_limits(),
        }))
    }

    fn worker(&self) -> ByRule {
        ByRule::new(&self.rule, &self.tombstones, self.unwrap.as_deref(), self.limits)
    }
}

type Timed = (CleanRows, Duration);

impl Workers {
    fn clean(
        &mut self,
        old_raw: &RawBatch,
        new_raw: &RawBatch,
    ) -> Result<(Timed, Timed), BesideError> {
        let clean = |worker: &mut ByRule, which, raw: &RawBatch| {
            let began = Instant::now();
            let cleaned = worker.clean(raw, &Examples::of_batches(0));
            let cleaned = cleaned.map_err(|cause| BesideError { which, at: raw.from, cause })?;
            Ok((cleaned, began.elapsed()))
        };
        self.is_new_first = !self.is_new_first;
        if self.is_new_first {
            let new = clean(&mut self.new, Which::New, new_raw)?;
            return Ok((clean(&mut self.old, Which::Old, old_raw)?, new));
        }
        Ok((clean(&mut self.old, Which::Old, old_raw)?, clean(&mut self.new, Which::New, new_raw)?))
    }
}
