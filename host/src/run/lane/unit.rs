//! A unit in the making, and one that waits for its sink.

use std::sync::Arc;
use std::time::Instant;

use super::super::budget::Held;
use super::super::clean::{CleanedBatch, ONLY};
use super::super::cut::Gauge;
use super::super::live::Live;
use super::super::news::UnitFigures;
use super::super::patience::Patience;
use super::machine::Ticket;
use crate::record::{Lane, Position, RawBatch, Unit};

/// What is cleaned, and goes into one unit.
#[derive(Debug, Default)]
pub(super) struct UnitInMaking {
    /// What cleaned its batches: all of them.
    pub live: Option<Arc<Live>>,
    pub batches: Vec<CleanedBatch>,
    pub held: Vec<Held>,
    pub gauge: Gauge,
    pub accepted_rejects: u64,
}

/// Records that have to be cleaned again.
pub(super) struct TakenBack {
    pub records: Vec<(Arc<RawBatch>, Held)>,
    /// Dead letters that were let through, and may be again.
    pub accepted_rejects: u64,
}

impl UnitInMaking {
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub fn is_condemned(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.is_condemned())
    }

    pub fn take_back(self) -> TakenBack {
        let raws = self.batches.into_iter().map(|batch| batch.part.raw);
        TakenBack {
            records: raws.zip(self.held).collect(),
            accepted_rejects: self.accepted_rejects,
        }
    }

    /// Everything that it holds, to be offered to the sink.
    pub fn cut(
        self,
        lane: &Lane,
        refusals_max: impl FnOnce(&Unit) -> u64,
        patience: Patience,
        wants_receipts: bool,
    ) -> Offer {
        let live = self.live.expect("a unit has batches");
        let from = self.batches[0].part.raw.from;
        let to = self.batches[self.batches.len() - 1].part.raw.to;
        let figures = figures(&live, &self.batches);
        let mut unit = Unit {
            lane: lane.clone(),
            from,
            to,
            generation: live.generation,
            parts: self.batches.into_iter().map(|batch| batch.part).collect(),
            accepted_rejects: self.accepted_rejects,
            refusals_max: u64::MAX,
            wants_receipts,
        };
        unit.refusals_max = refusals_max(&unit);
        assert!(unit.is_balanced(), "every record of a unit ends in exactly one place");
        Offer {
            unit: Arc::new(unit),
            live,
            held: self.held,
            figures,
            patience,
            state: OfferState::Due,
            since: None,
        }
    }
}

/// A unit that waits for its sink.
#[derive(Debug)]
pub(super) struct Offer {
    pub unit: Arc<Unit>,
    pub live: Arc<Live>,
    pub held: Vec<Held>,
    pub figures: UnitFigures,
    pub patience: Patience,
    pub state: OfferState,
    /// When the sink was first asked.
    pub since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfferState {
    Due,
    Offered(Ticket),
    /// Until the next attempt.
    Waiting(Instant),
}

impl Offer {
    /// One without records, up to a place to which there are none: the evidence that a lane was
    /// read to its end.
    pub fn evidence(
        lane: &Lane,
        live: Arc<Live>,
        from: Position,
        to: Position,
        patience: Patience,
    ) -> Self {
        let unit = Unit {
            lane: lane.clone(),
            from,
            to,
            generation: live.generation,
            parts: Vec::new(),
            accepted_rejects: 0,
            refusals_max: u64::MAX,
            wants_receipts: false,
        };
        let figures = UnitFigures::default();
        Self {
            unit: Arc::new(unit),
            live,
            held: Vec::new(),
            figures,
            patience,
            state: OfferState::Due,
            since: None,
        }
    }

    pub fn take_back(self) -> TakenBack {
        let raws = self.unit.parts.iter().map(|part| Arc::clone(&part.raw));
        TakenBack {
            records: raws.zip(self.held).collect(),
            accepted_rejects: self.unit.accepted_rejects,
        }
    }
}

fn figures(live: &Live, batches: &[CleanedBatch]) -> UnitFigures {
    let mut figures = UnitFigures::default();
    let steps = live.rule.as_ref().map_or(&[][..], |rule| &rule.steps);
    for batch in batches {
        let raw = &batch.part.raw;
        figures.records += raw.records.len() as u64;
        figures.bytes += raw.bytes.len() as u64;
        figures.rows += batch.part.origins.len() as u64 + batch.part.deletes();
        figures.cleaning += batch.conduct.took;
        figures.batch_times.push(batch.conduct.took);
        let times = raw.records.iter().filter_map(|record| record.timestamp_micros);
        figures.latest_micros = figures.latest_micros.max(times.max());
        figures.examples.extend(batch.examples.iter().cloned());
        for dead in &batch.part.dead_letters {
            *figures.dead_letters.entry(dead.reason.clone()).or_default() += 1;
            if let Some(step) = &dead.step {
                *figures.rejected.entry(step.to_string()).or_default() += 1;
            }
        }
        let passed_by = raw.passed_by();
        if passed_by > 0 {
            *figures.dropped.entry(ONLY.to_owned()).or_default() += passed_by;
        }
        for (step, rows) in steps.iter().zip(&batch.dropped).filter(|(_, rows)| **rows > 0) {
            *figures.dropped.entry(step.id.to_string()).or_default() += rows;
        }
        for tally in &batch.tallies {
            let step = &steps[tally.step];
            for (name, count) in step.step.plan().tallies.iter().zip(&tally.counts) {
                let key = (step.id.to_string(), name.clone());
                *figures.tallies.entry(key).or_default() += u64::from(*count);
            }
        }
    }
    figures
}
