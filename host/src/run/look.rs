//! Runs a rule over records that somebody only looks at: what each record says, and what becomes of it.
//! Nothing of it has an effect.

use std::sync::Arc;

use serde_json::Value;

use super::chain::ChainHalted;
use super::clean::{ByRule, CleanRows};
use super::examples::Examples;
use crate::pipeline::{Pipeline, Rule, Tombstones};
use crate::plugin::ConfigureError;
use crate::record::{Batch, RawBatch, json};

/// Cleans batches on one thread, and reads them once more without the steps.
#[derive(Debug)]
pub struct Look {
    rule: Arc<Rule>,
    cleaned: ByRule,
    read: ByRule,
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum LookedEnd {
    /// A value for each of the output's columns.
    Row(Vec<LookedValue>),
    /// It has no value, and deletes a row.
    Delete,
    Dropped {
        step: Arc<str>,
    },
    Dead {
        step: Option<Arc<str>>,
        reason: String,
        detail: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct LookedValue {
    pub value: Value,
    /// What the record said, if a step has changed it.
    pub was: Option<Value>,
}

/// A batch that was looked at.
#[derive(Debug)]
pub struct Looked {
    /// Of each record.
    pub ends: Vec<LookedEnd>,
    /// Of each step what it counts, and how often it was true.
    pub tallies: Vec<(Arc<str>, String, u64)>,
}

impl Look {
    /// None if the pipeline has no rule.
    pub fn of(pipeline: &Pipeline) -> Result<Option<Self>, ConfigureError> {
        let Some(rule) = &pipeline.rule else { return Ok(None) };
        let rule = Arc::new(rule.quiet()?);
        let tombstones = Tombstones::of(&rule, &pipeline.sink);
        let unwrap = pipeline.source.unwrap();
        let limits = pipeline.limits.to_decode_limits();
        let by_rule = |rule: &Arc<Rule>| ByRule::new(rule, &tombstones, unwrap.as_deref(), limits);
        let read = Arc::new(rule.without_steps());
        Ok(Some(Self { cleaned: by_rule(&rule), read: by_rule(&read), rule }))
    }

    pub fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }

    pub fn clean(&mut self, raw: &RawBatch) -> Result<Looked, Box<ChainHalted>> {
        let nobody = Examples::of_batches(0);
        let read = self.read.clean(raw, &nobody)?;
        let cleaned = self.cleaned.clean(raw, &nobody)?;
        let outcome = cleaned.outcome(&self.rule).expect("a rule gives columns");
        let tallies = outcome.tallies.iter();
        let tallies =
            tallies.map(|(step, what, count)| (Arc::from(*step), (*what).to_owned(), *count));
        let tallies = tallies.collect();
        Ok(Looked { ends: self.ends(raw, &read, &cleaned), tallies })
    }

    fn ends(&self, raw: &RawBatch, read: &CleanRows, cleaned: &CleanRows) -> Vec<LookedEnd> {
        let mut ends = vec![LookedEnd::Delete; raw.records.len()];
        for dropped in &cleaned.dropped {
            ends[dropped.record as usize] = LookedEnd::Dropped { step: Arc::clone(&dropped.step) };
        }
        for dead in &cleaned.dead_letters {
            ends[dead.record as usize] = LookedEnd::Dead {
                step: dead.step.clone(),
                reason: dead.reason.clone(),
                detail: dead.detail.clone(),
            };
        }
        let by_rule = "a rule gives columns";
        let (before, after) =
            (read.rows.as_ref().expect(by_rule), cleaned.rows.as_ref().expect(by_rule));
        let origins = self.rule.origins();
        let places: Vec<_> = origins
            .map(|origin| before.fields().iter().position(|field| field.name == *origin))
            .collect();
        for (row, record) in cleaned.origins.iter().enumerate() {
            let was = read.origins.binary_search(record).ok();
            let values = (0..after.fields().len()).map(|column| {
                let value = value(after, column, row);
                let was =
                    was.zip(places[column]).map(|(row, place)| self::value(before, place, row));
                LookedValue { was: was.filter(|was| *was != value), value }
            });
            ends[*record as usize] = LookedEnd::Row(values.collect());
        }
        ends
    }
}

fn value(batch: &Batch, column: usize, row: usize) -> Value {
    json::value(batch.fields()[column].kind, &batch.columns()[column], row)
}
