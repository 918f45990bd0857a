//! What becomes of a batch of records: decoded, taken through the steps, brought into the form of the
//! output; one without a value skips the steps, and may delete a row. On one thread, and a function of the records and the rule alone (invariant 9).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chain::{Chain, ChainHalted, StepTally, only};
use super::examples::{Example, Examples};
use crate::decode::{DecodeLimits, Decoder, Reject};
use crate::pipeline::{Deleted, Pipeline, Rule, Tombstones};
use crate::record::{
    Batch, DeadLetter, Deletes, Digest, Field, RawBatch, RawFault, Record, Rows, UnitPart,
};
use crate::sink::Sink;

/// What cleans records at the moment: a rule as it is, for a sink.
#[derive(Debug)]
pub struct Live {
    /// None passes records on as they came.
    pub rule: Option<Arc<Rule>>,
    /// What becomes of records without a value, where there is a rule.
    pub tombstones: Option<Tombstones>,
    /// The member of each record's object in which the record stands.
    pub unwrap: Option<Box<str>>,
    pub generation: Digest,
    pub limits: DecodeLimits,
    pub sink: Arc<dyn Sink>,
    pub examples: Examples,
}

impl Live {
    /// Examples of what the rule does are taken from the first batches.
    pub fn new(
        pipeline: &Pipeline,
        generation: Digest,
        sink: Arc<dyn Sink>,
        example_batches: u32,
    ) -> Self {
        Self {
            rule: pipeline.rule.clone(),
            tombstones: pipeline.rule.as_ref().map(|rule| Tombstones::of(rule, &pipeline.sink)),
            unwrap: pipeline.source.unwrap().map(Box::from),
            generation,
            limits: pipeline.limits.to_decode_limits(),
            sink,
            examples: Examples::of_batches(example_batches),
        }
    }
}

/// Runs a rule on one thread.
#[derive(Debug)]
pub(super) struct Worker {
    live: Arc<Live>,
    by_rule: Option<ByRule>,
}

#[derive(Debug)]
struct ByRule {
    rule: Arc<Rule>,
    decoder: Decoder,
    without_value: WithoutValue,
    chain: Chain,
}

/// Takes records that have no value.
#[derive(Debug)]
enum WithoutValue {
    Delete { decoder: Box<Decoder>, columns: Arc<[Field]> },
    Reject { reason: String },
}

/// A batch, cleaned.
#[derive(Debug)]
pub(super) struct CleanedBatch {
    pub part: UnitPart,
    pub tallies: Vec<StepTally>,
    /// How many rows each step dropped.
    pub dropped: Vec<u64>,
    pub examples: Vec<Example>,
    pub took: Duration,
}

impl Worker {
    pub(super) fn new(live: &Arc<Live>) -> Self {
        let by_rule = live.rule.as_ref().zip(live.tombstones.as_ref());
        let by_rule = by_rule.map(|(rule, tombstones)| ByRule {
            decoder: Decoder::new(&rule.fields, live.limits).unwrapping(live.unwrap.as_deref()),
            without_value: WithoutValue::new(tombstones, live.limits),
            chain: Chain::new(rule.steps.iter().map(|step| &step.step)),
            rule: Arc::clone(rule),
        });
        Self { live: Arc::clone(live), by_rule }
    }

    /// Nothing of the batch has gone anywhere if that fails.
    pub(super) fn clean(&mut self, raw: &Arc<RawBatch>) -> Result<CleanedBatch, Box<ChainHalted>> {
        let began = Instant::now();
        let mut cleaned = match &mut self.by_rule {
            Some(by_rule) => by_rule.clean(raw, &self.live)?,
            None => passed_on(raw),
        };
        cleaned.took = began.elapsed();
        Ok(cleaned)
    }
}

impl ByRule {
    fn clean(
        &mut self,
        raw: &Arc<RawBatch>,
        live: &Live,
    ) -> Result<CleanedBatch, Box<ChainHalted>> {
        let Decoded { batch: before, records: decoded, deleted, mut dead_letters } =
            match &raw.columns {
                Some(columns) => as_given(raw, columns),
                None => self.decode(raw),
            };
        let chained = self.chain.clean(&before)?;
        let steps = &self.rule.steps;
        let mut dropped = vec![0; steps.len()];
        for drop in &chained.dropped {
            dropped[drop.step] += 1;
        }
        dead_letters.extend(chained.rejected.into_iter().map(|rejected| DeadLetter {
            record: decoded[rejected.row as usize],
            step: Some(Arc::clone(&steps[rejected.step].id)),
            reason: rejected.reason,
            detail: rejected.detail,
        }));
        dead_letters.sort_by_key(|dead| dead.record);
        let after = self.rule.output.project(&chained.batch);
        let examples = live.examples.take(&self.rule, &before, chained.rows.as_deref(), &after);
        let origins = match chained.rows {
            None => decoded,
            Some(rows) => rows.into_iter().map(|row| decoded[row as usize]).collect(),
        };
        let part = UnitPart {
            raw: Arc::clone(raw),
            rows: live.sink.encode(after),
            origins,
            deletes: self.without_value.deletes(deleted, &*live.sink),
            dropped: dropped.iter().sum(),
            dead_letters,
        };
        let tallies = chained.tallies;
        Ok(CleanedBatch { part, tallies, dropped, examples, took: Duration::ZERO })
    }

    fn decode(&mut self, raw: &RawBatch) -> Decoded {
        let mut records = Vec::with_capacity(raw.records.len());
        let mut deleted = Vec::new();
        let mut dead_letters = Vec::new();
        for (at, record) in raw.records.iter().enumerate() {
            let at = at as u32;
            if let Some(fault) = &record.fault {
                dead_letters.push(faulty(at, fault));
                continue;
            }
            if record.value.is_none() {
                match raw.read(at as usize, |record| self.without_value.push(record)) {
                    Ok(()) => deleted.push(at),
                    Err(Reject { reason, detail, .. }) => {
                        dead_letters.push(DeadLetter { record: at, step: None, reason, detail });
                    }
                }
                continue;
            }
            match raw.read(at as usize, |record| self.decoder.push(record)) {
                Ok(()) => records.push(at),
                Err(reject) => {
                    let value = raw.value(at as usize);
                    let Reject { reason, detail, .. } = self.rule.explain(value.as_deref(), reject);
                    dead_letters.push(DeadLetter { record: at, step: None, reason, detail });
                }
            }
        }
        Decoded { batch: self.decoder.finish(), records, deleted, dead_letters }
    }
}

impl WithoutValue {
    fn new(tombstones: &Tombstones, limits: DecodeLimits) -> Self {
        match tombstones {
            Tombstones::Delete(Deleted { fields, columns }) => Self::Delete {
                decoder: Box::new(Decoder::new(fields, limits)),
                columns: Arc::clone(columns),
            },
            Tombstones::Reject(why) => {
                Self::Reject { reason: format!("record has no value, and {why}") }
            }
        }
    }

    fn push(&mut self, record: &Record<'_>) -> Result<(), Reject> {
        match self {
            Self::Delete { decoder, .. } => decoder.push_surroundings(record),
            Self::Reject { reason } => {
                Err(Reject { reason: reason.clone(), detail: None, offset: None })
            }
        }
    }

    fn deletes(&mut self, origins: Vec<u32>, sink: &dyn Sink) -> Option<Deletes> {
        let Self::Delete { decoder, columns } = self else { return None };
        if origins.is_empty() {
            return None;
        }
        let keys = decoder.finish();
        let keys = Batch::new(keys.rows(), Arc::clone(columns), keys.columns().to_vec());
        Some(Deletes { keys: sink.encode(keys), origins })
    }
}

/// The records that became rows, those that delete some, and those that cannot do either.
struct Decoded {
    batch: Batch,
    /// For each row its record.
    records: Vec<u32>,
    /// The records whose rows are to go.
    deleted: Vec<u32>,
    dead_letters: Vec<DeadLetter>,
}

/// Records that came as columns.
fn as_given(raw: &RawBatch, columns: &Batch) -> Decoded {
    let (records, dead_letters) = without_faults(raw);
    let batch = if dead_letters.is_empty() {
        columns.clone()
    } else {
        only(columns, raw.records.iter().map(|record| record.fault.is_none()).collect())
    };
    Decoded { batch, records, deleted: Vec::new(), dead_letters }
}

fn without_faults(raw: &RawBatch) -> (Vec<u32>, Vec<DeadLetter>) {
    let mut records = Vec::with_capacity(raw.records.len());
    let mut dead_letters = Vec::new();
    for (at, record) in raw.records.iter().enumerate() {
        match &record.fault {
            Some(fault) => dead_letters.push(faulty(at as u32, fault)),
            None => records.push(at as u32),
        }
    }
    (records, dead_letters)
}

fn faulty(record: u32, fault: &RawFault) -> DeadLetter {
    let (reason, detail) = (fault.reason.clone(), fault.detail.clone());
    DeadLetter { record, step: None, reason, detail }
}

/// Records as they came, without a rule.
fn passed_on(raw: &Arc<RawBatch>) -> CleanedBatch {
    let (origins, dead_letters) = without_faults(raw);
    CleanedBatch {
        part: UnitPart {
            raw: Arc::clone(raw),
            rows: Rows::Raw,
            origins,
            deletes: None,
            dropped: 0,
            dead_letters,
        },
        tallies: Vec::new(),
        dropped: Vec::new(),
        examples: Vec::new(),
        took: Duration::ZERO,
    }
}
