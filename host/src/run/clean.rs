//! What becomes of a batch of records: decoded, taken through the steps, brought into the form of the
//! output. On one thread, and a function of the records and the rule alone (invariant 9).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chain::{Chain, ChainHalted, StepTally};
use super::examples::{Example, Examples};
use crate::decode::{DecodeLimits, Decoder, Reject};
use crate::pipeline::Rule;
use crate::record::{DeadLetter, Digest, RawBatch, Rows, UnitPart};
use crate::sink::Sink;

/// What cleans records at the moment: a rule as it is, for a sink.
#[derive(Debug)]
pub struct Live {
    /// None passes records on as they came.
    pub rule: Option<Arc<Rule>>,
    pub generation: Digest,
    pub limits: DecodeLimits,
    pub sink: Arc<dyn Sink>,
    pub examples: Examples,
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
    chain: Chain,
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
        let by_rule = live.rule.as_ref().map(|rule| ByRule {
            decoder: Decoder::new(&rule.fields, live.limits),
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
        let mut decoded = Vec::with_capacity(raw.records.len());
        let mut dead_letters = Vec::new();
        for (at, record) in raw.records.iter().enumerate() {
            let at = at as u32;
            if let Some(fault) = &record.fault {
                dead_letters.push(faulty(at, fault));
                continue;
            }
            match raw.read(at as usize, |record| self.decoder.push(record)) {
                Ok(()) => decoded.push(at),
                Err(reject) => {
                    let value = raw.value(at as usize);
                    let Reject { reason, detail, .. } = self.rule.explain(value.as_deref(), reject);
                    dead_letters.push(DeadLetter { record: at, step: None, reason, detail });
                }
            }
        }
        let before = self.decoder.finish();
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
            dropped: dropped.iter().sum(),
            dead_letters,
        };
        let tallies = chained.tallies;
        Ok(CleanedBatch { part, tallies, dropped, examples, took: Duration::ZERO })
    }
}

fn faulty(record: u32, fault: &crate::record::RawFault) -> DeadLetter {
    let (reason, detail) = (fault.reason.clone(), fault.detail.clone());
    DeadLetter { record, step: None, reason, detail }
}

/// Records as they came, without a rule.
fn passed_on(raw: &Arc<RawBatch>) -> CleanedBatch {
    let mut origins = Vec::with_capacity(raw.records.len());
    let mut dead_letters = Vec::new();
    for (at, record) in raw.records.iter().enumerate() {
        match &record.fault {
            Some(fault) => dead_letters.push(faulty(at as u32, fault)),
            None => origins.push(at as u32),
        }
    }
    CleanedBatch {
        part: UnitPart { raw: Arc::clone(raw), rows: Rows::Raw, origins, dropped: 0, dead_letters },
        tallies: Vec::new(),
        dropped: Vec::new(),
        examples: Vec::new(),
        took: Duration::ZERO,
    }
}
