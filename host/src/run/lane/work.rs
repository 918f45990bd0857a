//! What a lane does while it holds a claim: batches are read and cleaned ahead, results are taken
//! in order, and units are cut and offered to the sink one at a time. No I/O and no clock.

use std::collections::VecDeque;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::breaker::Breaker;
use super::super::budget::Held;
use super::super::clean::CleanedBatch;
use super::super::conduct::{Conduct, Trouble};
use super::super::cut::UnitLimits;
use super::super::halt::{CommonReasons, Halt};
use super::super::live::Live;
use super::super::news::{LaneStep, News};
use super::super::patience::Patience;
use super::super::pool::CleanResult;
use super::kept::Kept;
use super::machine::{CommitAnswer, LaneAction, LaneReport, Opening, ReadBatch, Ticket};
use super::unit::{Offer, OfferState, TakenBack, UnitInMaking};
use crate::connect::{CommitOutcome, Stored};
use crate::ledger::Claim;
use crate::record::{ConnectorError, ErrorClass, Position, RawBatch, Receipts, Unit};
use crate::source::Most;

/// While a unit waits for the sink, 1/n of the next one is cleaned ahead.
const AHEAD_SHARE: u64 = 4;

/// Reads that are asked for before the first of them is answered.
const READS_MAX: usize = 2;

/// Records of the first batch when a halted lane is tried again.
const PROBE_RECORDS: usize = 16;

/// The longest wait for a source or a sink that does not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How work under one claim ends.
#[derive(Debug)]
pub(super) enum WorkEnd {
    /// All of the lane was read and is committed.
    Ended,
    /// It was asked to end; what was read is committed.
    Drained,
    /// Another owner has the lane.
    Fenced,
    Halted(Halt),
}

#[derive(Debug)]
pub(super) struct Work {
    claim: Claim,
    is_probe: bool,
    reading: Reading,
    /// In the order of the lane.
    batches: VecDeque<InFlight>,
    making: UnitInMaking,
    /// Complete units, oldest first.
    cut: VecDeque<UnitInMaking>,
    offer: Option<Offer>,
    /// Why the work ends, once everything before that point is committed.
    end: Option<Halt>,
    /// Somebody waits for memory.
    is_short: bool,
    /// How many dead letters may still come without being counted.
    accepted_rejects: u64,
}

#[derive(Debug)]
struct Reading {
    /// As it was when the lane was claimed.
    claim: Claim,
    asked: VecDeque<Ticket>,
    is_open: bool,
    /// Where the next batch begins.
    next: Position,
    has_read: bool,
    /// Records that were read and are not committed.
    uncommitted: u64,
    /// Records that are there behind those that were read, if the source knows.
    ahead: Option<u64>,
    waits: Option<Instant>,
    patience: Patience,
    /// Nothing more is read.
    over: Option<ReadEnd>,
    /// The last request or answer.
    since: Instant,
    /// What the last batch was given to.
    live: Option<Arc<Live>>,
}

#[derive(Debug)]
enum ReadEnd {
    Ended,
    Drained,
    Fenced,
    Failed(ConnectorError),
}

/// A batch between the source and its unit.
#[derive(Debug)]
struct InFlight {
    live: Arc<Live>,
    raw: Arc<RawBatch>,
    held: Held,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Cleaning(Ticket),
    Cleaned(CleanResult),
    /// A generation on probation did badly: others clean the batch too, for comparison.
    Compared(Box<Comparison>),
    /// Nobody would have done better.
    Judged(CleanResult, Conduct),
}

#[derive(Debug)]
struct Comparison {
    ticket: Ticket,
    result: CleanResult,
    conduct: Conduct,
    trouble: Trouble,
    /// Those that are still to be asked.
    others: VecDeque<Arc<Live>>,
    /// The rejects of the one that was asked last.
    accepted: Option<u64>,
}

impl Work {
    pub fn new(claim: Claim, is_probe: bool, kept: &Kept, now: Instant) -> Self {
        Self {
            accepted_rejects: claim.accepted_rejects,
            reading: Reading {
                claim: claim.clone(),
                asked: VecDeque::new(),
                is_open: false,
                next: claim.position,
                has_read: false,
                uncommitted: 0,
                ahead: None,
                waits: None,
                patience: kept.patience(LONGEST_WAIT),
                over: None,
                since: now,
                live: None,
            },
            claim,
            is_probe,
            batches: VecDeque::new(),
            making: UnitInMaking::default(),
            cut: VecDeque::new(),
            offer: None,
            end: None,
            is_short: false,
        }
    }

    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    #[cfg(test)]
    pub fn state_name(&self) -> &'static str {
        let is_compared = |batch: &InFlight| matches!(batch.stage, Stage::Compared(_));
        match &self.offer {
            Some(Offer { state: OfferState::Waiting(_), .. }) => "offering again",
            Some(_) => "committing",
            None if self.batches.iter().any(is_compared) => "comparing",
            None if !self.batches.is_empty() => "cleaning",
            None if !self.making.is_empty() => "gathering",
            None if self.reading.waits.is_some() => "reading again",
            None => "reading",
        }
    }

    /// When something has to be done even if no event comes.
    pub fn due(&self, limits: &UnitLimits) -> Option<Instant> {
        let offer = match self.offer.as_ref().map(|offer| offer.state) {
            Some(OfferState::Waiting(until)) => Some(until),
            Some(_) => None,
            None => self.making.gauge.due(limits),
        };
        [offer, self.reading.waits].into_iter().flatten().min()
    }

    /// Whether it could free memory that somebody waits for.
    pub fn may_free_memory(&self) -> bool {
        self.offer.is_none() && !self.making.is_empty() && !self.is_short
    }

    /// Since when it has been idle without failing.
    pub fn rests_since(&self) -> Option<Instant> {
        let is_waiting = self.reading.is_open && !self.reading.asked.is_empty();
        let is_idle = self.offer.is_none() && self.making.is_empty() && self.cut.is_empty();
        (is_waiting && is_idle && self.batches.is_empty()).then_some(self.reading.since)
    }

    pub fn memory_is_short(&mut self) {
        self.is_short = true;
    }

    pub fn generations_changed(&mut self) {
        if let Some(offer) = &mut self.offer
            && matches!(offer.state, OfferState::Waiting(_))
        {
            offer.state = OfferState::Due;
        }
    }

    /// Nothing more is read; what was read is committed.
    pub fn drain(&mut self, kept: &mut Kept) {
        if self.reading.over.is_none() {
            self.stop_reading(ReadEnd::Drained, kept);
        }
        // One more attempt, and no wait after it.
        self.generations_changed();
    }

    fn stop_reading(&mut self, end: ReadEnd, kept: &mut Kept) {
        self.reading.asked.clear();
        self.reading.waits = None;
        self.reading.over = Some(end);
        kept.act(LaneAction::StopReading);
    }

    /// What the source has.
    pub fn read(
        &mut self,
        now: Instant,
        ticket: Ticket,
        read: Result<Option<ReadBatch>, ConnectorError>,
        kept: &mut Kept,
    ) {
        let Some(at) = self.reading.asked.iter().position(|asked| *asked == ticket) else { return };
        self.reading.asked.remove(at);
        self.reading.since = now;
        match read {
            Ok(Some(ReadBatch { raw, held, ahead })) => {
                kept.went_well(LaneStep::Read);
                self.reading.patience.renew();
                self.reading.next = raw.to;
                self.reading.has_read = true;
                self.reading.uncommitted += raw.records.len() as u64;
                self.reading.ahead = ahead;
                self.tell_behind(kept);
                kept.generations.ring().push(&raw);
                let live = self.reading.live(kept, raw.from);
                let stage = Stage::Cleaning(kept.clean(&live, &raw));
                self.batches.push_back(InFlight { live, raw, held, stage });
            }
            Ok(None) => {
                kept.went_well(LaneStep::Read);
                self.stop_reading(ReadEnd::Ended, kept);
            }
            Err(error) if error.class == ErrorClass::Transient => {
                kept.warn(format!("the source does not answer, trying again: {error}"));
                kept.failed(LaneStep::Read, Halt::Source(error), now);
                // The other requests find no reader.
                self.reading.asked.clear();
                self.reading.is_open = false;
                self.reading.waits = Some(now + self.reading.patience.wait());
            }
            Err(error) if error.class == ErrorClass::Fenced => {
                self.stop_reading(ReadEnd::Fenced, kept);
            }
            Err(error) => self.stop_reading(ReadEnd::Failed(error), kept),
        }
    }

    fn tell_behind(&self, kept: &mut Kept) {
        let Some(ahead) = self.reading.ahead else { return };
        let records = ahead + self.reading.uncommitted;
        kept.tell(News::Behind { lane: self.claim.lane.clone(), records });
    }

    /// What became of a batch.
    pub fn cleaned(&mut self, ticket: Ticket, result: CleanResult, kept: &mut Kept) {
        let is_its = |batch: &InFlight| match &batch.stage {
            Stage::Cleaning(asked) => *asked == ticket,
            Stage::Compared(comparison) => comparison.ticket == ticket,
            Stage::Cleaned(_) | Stage::Judged(..) => false,
        };
        let Some(at) = self.batches.iter().position(is_its) else { return };
        let batch = &mut self.batches[at];
        let stage = std::mem::replace(&mut batch.stage, Stage::Cleaning(Ticket::NONE));
        let stage = match stage {
            Stage::Compared(comparison) => self.compared(at, *comparison, &result, kept),
            Stage::Cleaning(_) | Stage::Cleaned(_) | Stage::Judged(..) => Stage::Cleaned(result),
        };
        self.batches[at].stage = stage;
    }

    /// What another generation made of a batch.
    fn compared(
        &mut self,
        at: usize,
        mut it: Comparison,
        result: &CleanResult,
        kept: &mut Kept,
    ) -> Stage {
        let batch = &self.batches[at];
        match result {
            Ok(other) if other.conduct.is_better_than(&it.conduct) => {
                return self.rolled_back(at, it.trouble, kept);
            }
            Ok(other) => it.accepted = Some(other.conduct.rejects),
            Err(_) => it.accepted = it.accepted.or(Some(0)),
        }
        if let Some(other) = it.others.pop_front() {
            it.ticket = kept.clean(&other, &batch.raw);
            return Stage::Compared(Box::new(it));
        }
        let conduct = match it.accepted {
            Some(rejects) => Conduct { rejects, failed_calls: 0, ..it.conduct },
            None => it.conduct,
        };
        Stage::Judged(it.result, conduct)
    }

    /// The generation of a batch has to go. Another lane may have rolled it back already.
    fn rolled_back(&mut self, at: usize, trouble: Trouble, kept: &mut Kept) -> Stage {
        let batch = &mut self.batches[at];
        let place = (&self.claim.lane, batch.raw.from);
        kept.generations.roll_back(&batch.live, trouble, Some(place));
        batch.live = kept.generations.current();
        Stage::Cleaning(kept.clean(&batch.live, &batch.raw))
    }

    /// The sink's answer to the unit on offer.
    pub fn committed(
        &mut self,
        now: Instant,
        ticket: Ticket,
        answer: Result<CommitAnswer, ConnectorError>,
        kept: &mut Kept,
    ) -> Option<WorkEnd> {
        let offer =
            self.offer.as_mut().filter(|offer| offer.state == OfferState::Offered(ticket))?;
        let is_current = Arc::ptr_eq(&offer.live, &kept.generations.current());
        match answer {
            Ok(CommitAnswer::Outcome(CommitOutcome::Done(stored))) => {
                let offer = self.offer.take()?;
                self.done(now, offer, &stored, kept);
            }
            Ok(CommitAnswer::Outcome(CommitOutcome::Fenced)) => return Some(WorkEnd::Fenced),
            Ok(CommitAnswer::Outcome(CommitOutcome::Refused(reasons))) => {
                let records = offer.unit.records();
                let generation = offer.unit.generation;
                let halt = Halt::TooManyRefused { records, reasons, generation };
                let trouble = Trouble::Halted(halt.to_string());
                let at = (&self.claim.lane, offer.unit.from);
                // If it is on probation, the previous generation takes over again.
                let gives_way =
                    is_current && kept.generations.roll_back(&offer.live, trouble, Some(at));
                if is_current && !gives_way {
                    return Some(WorkEnd::Halted(halt));
                }
                self.take_back_from_offer(kept);
            }
            Ok(CommitAnswer::Condemned | CommitAnswer::Outcome(CommitOutcome::Condemned)) => {
                self.take_back_from_offer(kept);
            }
            Err(error) if error.class == ErrorClass::Fenced => return Some(WorkEnd::Fenced),
            Err(error) if error.class == ErrorClass::Fatal => {
                return Some(WorkEnd::Halted(Halt::Sink(error)));
            }
            Err(_) if kept.is_draining => return Some(WorkEnd::Drained),
            Err(error) => {
                offer.state = OfferState::Waiting(now + offer.patience.wait());
                // Trying again is pointless: another generation has taken over, whose rows the sink
                // may take.
                let has_gone = offer.live.is_condemned()
                    || error.class != ErrorClass::Transient && !is_current;
                if has_gone {
                    self.take_back_from_offer(kept);
                }
                kept.sink_failed(error, now);
            }
        }
        None
    }

    fn done(&mut self, now: Instant, offer: Offer, stored: &Stored, kept: &mut Kept) {
        let Offer { unit, live, figures, since, .. } = offer;
        let took = since.map_or(Duration::ZERO, |since| now - since);
        self.reading.uncommitted = self.reading.uncommitted.saturating_sub(figures.records);
        self.claim.position = unit.to;
        let refused = stored.refused.values().sum::<u64>();
        let accepted = refused.min(self.accepted_rejects);
        self.accepted_rejects -= accepted;
        let counted = refused - accepted;
        kept.breaker.note_refused(counted);
        if counted > 0 {
            self.note_refused(&live, counted, kept);
        }
        kept.all_is_well();
        kept.claims.renew();
        kept.position = Some(unit.to);
        let dead = figures.dead_letters.iter().chain(&stored.refused);
        let report = LaneReport::Committed {
            to: unit.to,
            records: figures.records,
            dead: dead.map(|(reason, count)| (reason.clone(), *count)).collect(),
            accepted: unit.accepted_rejects + accepted,
        };
        kept.report(report);
        let (lane, to) = (unit.lane.clone(), unit.to);
        let figures = Box::new(figures);
        kept.tell(News::Committed { lane, to, figures, stored: stored.clone(), took });
        self.tell_behind(kept);
        let rows = stored.receipts.as_deref();
        let receipts = rows.map(|rows| Receipts::of(&unit, rows));
        kept.act(LaneAction::Acknowledge { to, receipts });
    }

    /// Rows that the sink refuses are dead letters like others.
    fn note_refused(&self, live: &Arc<Live>, refused: u64, kept: &Kept) {
        let conduct = Conduct { rejects: refused, ..Conduct::default() };
        let trouble = live.trouble(&conduct);
        live.note(conduct);
        if let Some(trouble @ Trouble::Rejects { .. }) = trouble {
            let at = (&self.claim.lane, self.claim.position);
            kept.generations.roll_back(live, trouble, Some(at));
        }
    }

    /// Does everything that can be done now.
    pub fn go_on(&mut self, now: Instant, kept: &mut Kept) -> Option<WorkEnd> {
        loop {
            self.take_back_condemned(kept);
            if self.end.is_none() && self.has_room(kept) && self.take_in(now, kept) {
                continue;
            }
            if self.offer.is_none() {
                let is_over = self.end.is_some() || self.is_all_cleaned();
                let is_late =
                    self.making.gauge.due(&kept.settings.unit).is_some_and(|due| due <= now);
                let is_cut = !self.cut.is_empty();
                if is_cut || !self.making.is_empty() && (is_late || is_over || self.is_short) {
                    self.cut(kept);
                } else if is_over {
                    match self.over(kept) {
                        Some(end) => return Some(end),
                        None => continue,
                    }
                }
            }
            self.offer_unit(now, kept);
            self.ask_for_records(now, kept);
            return None;
        }
    }

    /// Everything is committed. None if the evidence of that is still to come.
    fn over(&mut self, kept: &mut Kept) -> Option<WorkEnd> {
        if let Some(halt) = self.end.take() {
            return Some(WorkEnd::Halted(halt));
        }
        match self.reading.over.take()? {
            ReadEnd::Ended if kept.lacks_evidence(self.claim.position) => {
                self.reading.over = Some(ReadEnd::Ended);
                let to = kept.until.expect("it lacks evidence");
                let live = kept.generations.current();
                let patience = kept.patience(LONGEST_WAIT);
                let offer =
                    Offer::evidence(&self.claim.lane, live, self.claim.position, to, patience);
                self.offer = Some(offer);
                None
            }
            ReadEnd::Ended => Some(WorkEnd::Ended),
            ReadEnd::Drained => Some(WorkEnd::Drained),
            ReadEnd::Fenced => Some(WorkEnd::Fenced),
            ReadEnd::Failed(error) => Some(WorkEnd::Halted(Halt::Source(error))),
        }
    }

    fn is_all_cleaned(&self) -> bool {
        self.reading.over.is_some() && self.batches.is_empty()
    }

    /// Whether more may be gathered: one unit beside the one being committed and the beginning of
    /// the next, so that threads stay busy while a sink waits for its disk.
    fn has_room(&self, kept: &Kept) -> bool {
        match self.cut.len() {
            0 => true,
            1 => !self.making.gauge.is_full(&kept.settings.unit.share(AHEAD_SHARE)),
            _ => false,
        }
    }

    /// Takes the result of the lane's next batch; false if it is not known yet.
    fn take_in(&mut self, now: Instant, kept: &mut Kept) -> bool {
        let Some(batch) = self.batches.front_mut() else { return false };
        let stage = std::mem::replace(&mut batch.stage, Stage::Cleaning(Ticket::NONE));
        match stage {
            Stage::Cleaned(result) => {
                let stage = self.watch(result, kept);
                self.batches[0].stage = stage;
                true
            }
            Stage::Judged(result, conduct) => {
                let batch = self.batches.pop_front().expect("there is one in front");
                if let Err(halt) = self.gather(batch, result, conduct, now, kept) {
                    // What came before is sound, and is committed.
                    self.end = Some(halt);
                    self.batches.clear();
                    self.stop_reading(ReadEnd::Ended, kept);
                }
                true
            }
            stage @ (Stage::Cleaning(_) | Stage::Compared(_)) => {
                batch.stage = stage;
                false
            }
        }
    }

    /// Judges how a generation did with the batch in front. If it is on probation and did badly,
    /// the previous ones, and the one that has taken over from it, clean the batch as well: bad
    /// records are nobody's fault.
    fn watch(&mut self, result: CleanResult, kept: &mut Kept) -> Stage {
        let batch = &self.batches[0];
        let records = batch.raw.records.len() as u64;
        let (conduct, trouble) = match &result {
            Ok(cleaned) => (cleaned.conduct, batch.live.trouble(&cleaned.conduct)),
            Err(cause) => {
                let failed = Conduct { rejects: records, failed_calls: 1, ..Conduct::default() };
                (failed, Some(Trouble::Halted(cause.to_string())))
            }
        };
        let Some(trouble) = trouble else { return Stage::Judged(result, conduct) };
        let current = kept.generations.current();
        let has_taken_over = !Arc::ptr_eq(&current, &batch.live);
        if matches!(trouble, Trouble::Slow { .. }) {
            let is_watched = !has_taken_over && batch.live.before().is_some();
            if is_watched {
                return self.rolled_back(0, trouble, kept);
            }
            return Stage::Judged(result, conduct);
        }
        let others = batch.live.all_before().chain(has_taken_over.then_some(current));
        let mut others: VecDeque<_> = others.collect();
        let Some(other) = others.pop_front() else { return Stage::Judged(result, conduct) };
        let ticket = kept.clean(&other, &batch.raw);
        let comparison = Comparison { ticket, result, conduct, trouble, others, accepted: None };
        Stage::Compared(Box::new(comparison))
    }

    fn gather(
        &mut self,
        batch: InFlight,
        result: CleanResult,
        conduct: Conduct,
        now: Instant,
        kept: &mut Kept,
    ) -> Result<(), Halt> {
        let InFlight { live, raw, held, stage: _ } = batch;
        let cleaned = result.map_err(|cause| Halt::Clean { cause, to: raw.to })?;
        self.count(&cleaned, &live, kept)?;
        live.note(conduct);
        if self.making.live.as_ref().is_some_and(|other| !Arc::ptr_eq(other, &live)) {
            // A unit is of one generation only.
            self.cut.push_back(std::mem::take(&mut self.making));
        }
        let (records, dead) = (raw.records.len() as u64, cleaned.part.dead_letters.len() as u64);
        let accepted = dead.min(self.accepted_rejects);
        // What `tests/bench/swap.py` reads.
        tracing::trace!(lane = %self.claim.lane, generation = %live.generation, records, "cleaned");
        self.accepted_rejects -= accepted;
        self.making.accepted_rejects += accepted;
        self.making.gauge.add(records, raw.bytes.len() as u64, now);
        self.making.batches.push(cleaned);
        self.making.held.push(held);
        self.making.live = Some(live);
        if self.making.gauge.is_full(&kept.settings.unit) {
            self.cut.push_back(std::mem::take(&mut self.making));
        }
        Ok(())
    }

    /// Counts dead letters, except those that were accepted beforehand.
    fn count(&mut self, cleaned: &CleanedBatch, live: &Live, kept: &mut Kept) -> Result<(), Halt> {
        if kept.counted != Some(live.generation) {
            // What another generation rejected says nothing about this one.
            kept.breaker = Breaker::new(kept.settings.breaker);
            kept.counted = Some(live.generation);
        }
        let letters = &cleaned.part.dead_letters;
        let dead = letters.len() as u64;
        let accepted = dead.min(self.accepted_rejects);
        let reasons = CommonReasons::of(&cleaned.part.raw, letters);
        let noted = kept.breaker.note(cleaned.conduct.records, dead - accepted, reasons);
        noted.map_err(|(tripped, reasons)| Halt::TooManyDead { tripped, reasons })
    }

    /// Everything that a condemned generation has cleaned is cleaned again, except what is on its
    /// way to the sink.
    fn take_back_condemned(&mut self, kept: &mut Kept) {
        let is_offered = |offer: &Offer| matches!(offer.state, OfferState::Offered(_));
        let offer = self.offer.as_ref().filter(|offer| !is_offered(offer));
        if offer.is_some_and(|offer| offer.live.is_condemned()) {
            self.take_back_from_offer(kept);
        }
        self.cut.push_back(std::mem::take(&mut self.making));
        match self.cut.iter().position(UnitInMaking::is_condemned) {
            Some(first) => {
                let taken = self.cut.split_off(first).into_iter().map(UnitInMaking::take_back);
                self.again(taken.collect(), kept);
            }
            None => self.making = self.cut.pop_back().expect("it was put there"),
        }
        for batch in &mut self.batches {
            if batch.live.is_condemned() {
                batch.live = kept.generations.current();
                batch.stage = Stage::Cleaning(kept.clean(&batch.live, &batch.raw));
            }
        }
    }

    /// Takes back the unit that the sink did not take, and all behind it.
    fn take_back_from_offer(&mut self, kept: &mut Kept) {
        let Some(offer) = self.offer.take() else { return };
        self.cut.push_back(std::mem::take(&mut self.making));
        let rest = std::mem::take(&mut self.cut).into_iter().map(UnitInMaking::take_back);
        let taken = iter::once(offer.take_back()).chain(rest).collect();
        self.again(taken, kept);
    }

    /// The current generation cleans these records, ahead of everything behind them.
    fn again(&mut self, taken: Vec<TakenBack>, kept: &mut Kept) {
        kept.breaker = Breaker::new(kept.settings.breaker);
        let live = kept.generations.current();
        let mut batches = VecDeque::new();
        for TakenBack { records, accepted_rejects } in taken {
            self.accepted_rejects += accepted_rejects;
            for (raw, held) in records {
                let stage = Stage::Cleaning(kept.clean(&live, &raw));
                batches.push_back(InFlight { live: Arc::clone(&live), raw, held, stage });
            }
        }
        batches.append(&mut self.batches);
        self.batches = batches;
    }

    fn cut(&mut self, kept: &Kept) {
        self.is_short = false;
        let making = &mut self.making;
        let unit = self.cut.pop_front().unwrap_or_else(|| std::mem::take(making));
        let accepted = self.accepted_rejects;
        let refusals_max = |unit: &Unit| {
            let dead = unit.dead_letters() - unit.accepted_rejects;
            kept.breaker.room(unit.records(), dead).saturating_add(accepted)
        };
        self.offer = Some({
            let patience = kept.patience(LONGEST_WAIT);
            unit.cut(&kept.lane, refusals_max, patience, kept.settings.is_awaited)
        });
    }

    /// Offers the next unit, if it is time to.
    fn offer_unit(&mut self, now: Instant, kept: &mut Kept) {
        let Some(offer) = &mut self.offer else { return };
        match offer.state {
            OfferState::Due => {}
            OfferState::Waiting(until) if until <= now => {}
            OfferState::Waiting(_) | OfferState::Offered(_) => return,
        }
        // The unit before this one is committed by now, so the claim stands here.
        let claim = Claim { position: offer.unit.from, ..self.claim.clone() };
        let ticket = kept.ticket();
        offer.state = OfferState::Offered(ticket);
        offer.since.get_or_insert(now);
        let (unit, live) = (Arc::clone(&offer.unit), Arc::clone(&offer.live));
        kept.act(LaneAction::Commit { ticket, claim, unit, live });
    }

    fn ask_for_records(&mut self, now: Instant, kept: &mut Kept) {
        let reading = &mut self.reading;
        if reading.waits.is_some_and(|until| until <= now) {
            reading.waits = None;
        }
        let may_read = reading.over.is_none() && reading.waits.is_none() && self.end.is_none();
        while may_read
            && reading.asked.len() < READS_MAX
            && reading.asked.len() + self.batches.len() < kept.settings.batches_max
            // A probe waits for what becomes of its first batch.
            && (reading.has_read || reading.asked.is_empty())
        {
            let most = kept.settings.batch;
            // Too many dead letters are too many of a thousand.
            let is_small = !reading.has_read && self.is_probe && !kept.breaker.is_tripped();
            let records = if is_small { PROBE_RECORDS.min(most.records) } else { most.records };
            let is_open = std::mem::replace(&mut reading.is_open, true);
            let open =
                (!is_open).then(|| Opening { claim: reading.claim.clone(), from: reading.next });
            let ticket = kept.ticket();
            reading.asked.push_back(ticket);
            reading.since = now;
            kept.act(LaneAction::Read { ticket, open, most: Most { records, ..most } });
        }
    }
}

impl Reading {
    /// The generation that cleans a batch from here.
    fn live(&mut self, kept: &Kept, from: Position) -> Arc<Live> {
        let current = kept.generations.current();
        if self.live.as_ref().is_none_or(|live| !Arc::ptr_eq(live, &current)) {
            current.begin(&kept.lane, from);
            self.live = Some(Arc::clone(&current));
        }
        current
    }
}
