//! Lanes on plain values: what happened goes in, what is to be done comes out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::super::breaker::BreakerLimits;
use super::super::budget::Budget;
use super::super::clean::CleanedBatch;
use super::super::cut::UnitLimits;
use super::super::pool::Uncleanable;
use super::*;
use crate::connect::{CommitOutcome, Stored};
use crate::ledger::{Claim, LaneState};
use crate::pipeline::config::ProbationConfig;
use crate::record::lift::PipelineArgs;
use crate::record::{
    ConnectorError, Digest, ErrorClass, Lane, Position, RawBatch, RawRecord, Rows, Unit, UnitPart,
};
use crate::run::{Conduct, Generations, Live};
use crate::sink::stdout::StdoutSink;
use crate::source::Most;

fn at(record: u64) -> Position {
    Position::number(record)
}

fn live(name: &str) -> Live {
    Live::bare(Digest::of(name.as_bytes()), StdoutSink::of_tests())
}

/// A lane, and what it asked for last.
struct Scene {
    machine: LaneMachine,
    generations: Arc<Generations>,
    budget: Budget,
    now: Instant,
    actions: Vec<LaneAction>,
}

impl Scene {
    fn new(has_group: bool, until: Option<Position>) -> Self {
        let (generations, _) = Generations::new(Arc::new(live("one")));
        let settings = LaneSettings {
            args: PipelineArgs { file: "a.yaml".into(), replay: None },
            batch: Most { records: 2, bytes: 1 << 20 },
            unit: UnitLimits { rows: 4, bytes: u64::MAX, time: Duration::from_secs(1) },
            breaker: BreakerLimits::new(0.05),
            batches_max: 4,
            has_group,
            is_awaited: false,
        };
        let random = fastrand::Rng::with_seed(1);
        let lane = Lane::new("a");
        let mut machine = LaneMachine::new(lane, settings, Arc::clone(&generations), until, random);
        let actions = machine.begin();
        let budget = Budget::new(1 << 20);
        Self { machine, generations, budget, now: Instant::now(), actions }
    }

    fn on(&mut self, event: LaneEvent) {
        self.actions = self.machine.on(self.now, event);
    }

    #[track_caller]
    fn take_over(&self, name: &str) -> Arc<Live> {
        let taken = self.generations.take_over(live(name), &ProbationConfig::default());
        taken.expect("nobody found it to be bad")
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
        self.on(LaneEvent::Tick);
    }

    #[track_caller]
    fn claim(&mut self, position: u64) {
        let asked = self.actions.iter().find_map(|action| match action {
            LaneAction::Claim(ticket) => Some(*ticket),
            _ => None,
        });
        self.on(LaneEvent::Claimed(asked.expect("a claim"), Ok((claim(position), Vec::new()))));
    }

    #[track_caller]
    fn reads(&self) -> Vec<Ticket> {
        let read = |action: &LaneAction| match action {
            LaneAction::Read { ticket, .. } => Some(*ticket),
            _ => None,
        };
        self.actions.iter().filter_map(read).collect()
    }

    fn read(&mut self, ticket: Ticket, from: u64, to: u64) {
        let held = self.budget.hold(1).now_or_never().expect("there is room");
        let raw = Arc::new(raw(from, to));
        self.on(LaneEvent::Read(ticket, Ok(Some(ReadBatch { raw, held, ahead: None }))));
    }

    /// What is cleaned, and by what.
    fn cleans(&self) -> Vec<(Ticket, Arc<Live>, Arc<RawBatch>)> {
        let clean = |action: &LaneAction| match action {
            LaneAction::Clean { ticket, live, raw } => {
                Some((*ticket, Arc::clone(live), Arc::clone(raw)))
            }
            _ => None,
        };
        self.actions.iter().filter_map(clean).collect()
    }

    /// Cleans everything that was asked for.
    fn clean(&mut self) {
        for (ticket, _, raw) in self.cleans() {
            self.on(LaneEvent::Cleaned(ticket, Ok(cleaned(&raw))));
        }
    }

    #[track_caller]
    fn commit(&self) -> (Ticket, Arc<Unit>) {
        let commit = self.actions.iter().find_map(|action| match action {
            LaneAction::Commit { ticket, unit, .. } => Some((*ticket, Arc::clone(unit))),
            _ => None,
        });
        commit.expect("a commit")
    }

    fn is_committing(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, LaneAction::Commit { .. }))
    }

    fn committed(&mut self, ticket: Ticket) {
        let done = CommitAnswer::Outcome(CommitOutcome::Done(Stored::default()));
        self.on(LaneEvent::Committed(ticket, Ok(done)));
    }

    fn end(&self) -> Option<LaneEnd> {
        self.actions.iter().find_map(|action| match action {
            LaneAction::End(end) => Some(end.clone()),
            _ => None,
        })
    }

    fn failing_since(&self) -> Option<Instant> {
        self.actions.iter().find_map(|action| match action {
            LaneAction::Report(LaneReport::Failing { since, .. }) => Some(*since),
            _ => None,
        })
    }
}

fn claim(position: u64) -> Claim {
    let (lane, token) = (Lane::new("a"), Uuid::from_u128(1));
    Claim { lane, token, position: at(position), accepted_rejects: 0 }
}

fn raw(from: u64, to: u64) -> RawBatch {
    RawBatch::new(
        bytes::Bytes::new(),
        (from..to).map(|record| RawRecord::value(at(record), 0..0)).collect(),
        (at(from), at(to)),
    )
}

fn cleaned(raw: &Arc<RawBatch>) -> CleanedBatch {
    let records = raw.records.len();
    CleanedBatch {
        part: UnitPart {
            raw: Arc::clone(raw),
            rows: Rows::Raw,
            origins: (0..records as u32).collect(),
            deletes: None,
            dropped: 0,
            dead_letters: Vec::new(),
        },
        tallies: Vec::new(),
        dropped: Vec::new(),
        examples: Vec::new(),
        conduct: Conduct { batches: 1, records: records as u64, ..Conduct::default() },
    }
}

fn transient() -> ConnectorError {
    ConnectorError::new(ErrorClass::Transient, "no answer")
}

#[test]
fn results_are_taken_in_the_order_of_the_lane_and_cut_where_a_unit_is_full() {
    let mut scene = Scene::new(true, None);
    scene.claim(0);
    let reads = scene.reads();
    assert_eq!(reads.len(), 1, "the first one shows whether there is anything");
    scene.read(reads[0], 0, 2);
    let first = scene.cleans();
    let reads = scene.reads();
    assert_eq!(reads.len(), 2, "it reads ahead");
    scene.read(reads[0], 2, 4);
    let second = scene.cleans();
    scene.on(LaneEvent::Cleaned(second[0].0, Ok(cleaned(&second[0].2))));
    assert!(!scene.is_committing(), "what comes before it is not cleaned yet");
    scene.on(LaneEvent::Cleaned(first[0].0, Ok(cleaned(&first[0].2))));
    let (ticket, unit) = scene.commit();
    assert_eq!((unit.from, unit.to, unit.parts.len()), (at(0), at(4), 2));
    scene.committed(ticket);
    let acknowledged = scene
        .actions
        .iter()
        .any(|it| matches!(it, LaneAction::Acknowledge { to, .. } if *to == at(4)));
    assert!(acknowledged, "{:?}", scene.actions);
}

#[test]
fn a_small_unit_is_committed_when_its_time_is_over_or_somebody_waits_for_memory() {
    let mut scene = Scene::new(true, None);
    scene.claim(0);
    let reads = scene.reads();
    scene.read(reads[0], 0, 1);
    let reads = scene.reads();
    scene.clean();
    assert!(!scene.is_committing());
    assert_eq!(scene.machine.due(), Some(scene.now + Duration::from_secs(1)));
    scene.passes(Duration::from_secs(1));
    let (ticket, _) = scene.commit();
    scene.committed(ticket);
    scene.read(reads[0], 1, 2);
    scene.clean();
    assert!(scene.machine.may_free_memory());
    scene.on(LaneEvent::MemoryShort);
    assert_eq!(scene.commit().1.from, at(1));
}

#[test]
fn a_lane_reads_and_cleans_on_while_a_unit_waits_for_its_sink() {
    let mut scene = Scene::new(true, None);
    scene.claim(0);
    let reads = scene.reads();
    scene.read(reads[0], 0, 4);
    let reads = scene.reads();
    scene.clean();
    let (ticket, _) = scene.commit();
    scene.read(reads[0], 4, 8);
    let more = scene.reads();
    scene.clean();
    scene.read(reads[1], 8, 9);
    assert!(!more.is_empty(), "another batch is asked for");
    scene.committed(ticket);
    assert_eq!(scene.commit().1.from, at(4), "it was cut meanwhile");
}

#[test]
fn what_a_bad_generation_cleaned_is_taken_back_and_cleaned_again_in_order() {
    let mut scene = Scene::new(true, None);
    let two = scene.take_over("two");
    scene.claim(0);
    let reads = scene.reads();
    scene.read(reads[0], 0, 4);
    let reads = scene.reads();
    scene.clean();
    let (ticket, unit) = scene.commit();
    assert_eq!(unit.generation, two.generation);
    scene.read(reads[0], 4, 6);
    scene.clean();
    // Another lane finds it to be bad while the first unit is on its way.
    scene.generations.roll_back(&two, crate::run::Trouble::Asked, None);
    scene.on(LaneEvent::GenerationsChanged);
    let again = scene.cleans();
    assert_eq!(again.len(), 1, "what is on its way to the sink is not taken back");
    assert_eq!(again[0].1.generation, Digest::of(b"one"));
    scene.on(LaneEvent::Committed(ticket, Ok(CommitAnswer::Condemned)));
    let more: Vec<_> = scene.cleans().iter().map(|(.., raw)| raw.from).collect();
    assert_eq!(more, [at(0)]);
    scene.clean();
    let (_, unit) = scene.commit();
    assert_eq!((unit.from, unit.generation), (at(0), Digest::of(b"one")));
}

#[test]
fn nothing_is_offered_again_once_its_generation_is_condemned() {
    let mut scene = Scene::new(true, None);
    let two = scene.take_over("two");
    scene.claim(0);
    let reads = scene.reads();
    scene.read(reads[0], 0, 4);
    scene.clean();
    let (ticket, _) = scene.commit();
    scene.generations.roll_back(&two, crate::run::Trouble::Asked, None);
    scene.on(LaneEvent::Committed(ticket, Err(transient())));
    assert!(!scene.is_committing());
    assert_eq!(scene.cleans().len(), 1);
}

#[test]
fn a_batch_that_one_generation_cannot_clean_is_shown_to_the_one_before() {
    let mut scene = Scene::new(true, None);
    scene.take_over("two");
    scene.claim(0);
    let reads = scene.reads();
    scene.read(reads[0], 0, 2);
    let (ticket, ..) = scene.cleans().remove(0);
    scene.on(LaneEvent::Cleaned(ticket, Err(Uncleanable::Bug("it trapped".to_owned()))));
    let (ticket, asked, raw) = scene.cleans().remove(0);
    assert_eq!(asked.generation, Digest::of(b"one"));
    scene.on(LaneEvent::Cleaned(ticket, Ok(cleaned(&raw))));
    let (_, now, _) = scene.cleans().remove(0);
    assert_eq!(now.generation, Digest::of(b"one"), "it takes over again");
}

#[test]
fn how_long_a_lane_fails_counts_from_the_first_failure_of_a_row() {
    let mut scene = Scene::new(true, None);
    scene.claim(0);
    let reads = scene.reads();
    scene.read(reads[0], 0, 4);
    let reads = scene.reads();
    scene.clean();
    let (ticket, _) = scene.commit();
    let first = scene.now;
    scene.on(LaneEvent::Committed(ticket, Err(transient())));
    assert_eq!(scene.failing_since(), Some(first));
    scene.passes(Duration::from_secs(20));
    let (ticket, _) = scene.commit();
    scene.on(LaneEvent::Committed(ticket, Err(transient())));
    assert_eq!(scene.failing_since(), Some(first));
    scene.passes(Duration::from_secs(20));
    let (ticket, _) = scene.commit();
    scene.committed(ticket);
    let is_well = |it: &LaneAction| matches!(it, LaneAction::Report(LaneReport::Well));
    assert!(scene.actions.iter().any(is_well), "{:?}", scene.actions);
    scene.passes(Duration::from_secs(3_600));
    scene.on(LaneEvent::Read(reads[0], Err(transient())));
    assert_eq!(scene.failing_since(), Some(scene.now), "that was another row");
}

#[test]
fn a_row_of_failures_ends_when_nothing_fails_for_a_while() {
    let mut scene = Scene::new(true, None);
    scene.claim(0);
    let reads = scene.reads();
    scene.on(LaneEvent::Read(reads[0], Err(transient())));
    assert!(scene.failing_since().is_some());
    scene.passes(Duration::from_secs(1));
    assert_eq!(scene.reads().len(), 1, "it is opened again");
    scene.passes(Duration::from_secs(30));
    let is_well = |it: &LaneAction| matches!(it, LaneAction::Report(LaneReport::Well));
    assert!(scene.actions.iter().any(is_well), "{:?}", scene.actions);
}

#[test]
fn the_owner_of_a_lane_commits_the_evidence_that_it_was_read_to_its_end() {
    let mut scene = Scene::new(true, Some(at(5)));
    scene.claim(0);
    let reads = scene.reads();
    scene.read(reads[0], 0, 3);
    let reads = scene.reads();
    scene.clean();
    // The last two are no records.
    scene.on(LaneEvent::Read(reads[0], Ok(None)));
    let (ticket, _) = scene.commit();
    scene.committed(ticket);
    let (ticket, unit) = scene.commit();
    assert_eq!((unit.from, unit.to, unit.parts.len()), (at(3), at(5), 0));
    scene.committed(ticket);
    assert!(matches!(scene.end(), Some(LaneEnd::Ended)));
}

#[test]
fn a_lane_that_another_process_has_is_left_to_it_until_it_is_quiet_by_this_clock() {
    let mut scene = Scene::new(false, None);
    scene.claim(0);
    let reads = scene.reads();
    scene.read(reads[0], 0, 4);
    scene.clean();
    let (ticket, _) = scene.commit();
    scene.on(LaneEvent::Committed(ticket, Ok(CommitAnswer::Outcome(CommitOutcome::Fenced))));
    let look = |scene: &Scene| {
        scene.actions.iter().find_map(|action| match action {
            LaneAction::Look(ticket) => Some(*ticket),
            _ => None,
        })
    };
    // The ledger's clock is days ahead of this one.
    let far = std::time::SystemTime::now() + Duration::from_secs(86_400 * 3);
    let state = LaneState {
        lane: Lane::new("a"),
        source: crate::record::SourceId::new("s"),
        position: at(2),
        owner: Uuid::from_u128(2),
        member: None,
        claimed: far,
        moved: far,
        accepted_rejects: 0,
        halted: None,
    };
    let began = scene.now;
    let is_claiming =
        |scene: &Scene| scene.actions.iter().any(|it| matches!(it, LaneAction::Claim(_)));
    while !is_claiming(&scene) {
        scene.passes(Duration::from_secs(11));
        let asked = look(&scene).expect("it looks");
        scene.on(LaneEvent::Looked(asked, Ok(Some(state.clone()))));
    }
    let waited = scene.now - began;
    let expected = Duration::from_secs(60)..Duration::from_secs(90);
    assert!(expected.contains(&waited), "{waited:?}");
}

#[test]
fn a_lane_that_nobody_else_claimed_is_taken_back_at_once() {
    let mut scene = Scene::new(false, None);
    scene.claim(0);
    let reads = scene.reads();
    scene.read(reads[0], 0, 4);
    scene.clean();
    let (ticket, _) = scene.commit();
    scene.on(LaneEvent::Committed(ticket, Ok(CommitAnswer::Outcome(CommitOutcome::Fenced))));
    scene.passes(Duration::from_secs(1));
    let asked = scene.actions.iter().find_map(|action| match action {
        LaneAction::Look(ticket) => Some(*ticket),
        _ => None,
    });
    let state = LaneState {
        lane: Lane::new("a"),
        source: crate::record::SourceId::new("s"),
        position: at(4),
        owner: claim(0).token,
        member: None,
        claimed: std::time::SystemTime::UNIX_EPOCH,
        moved: std::time::SystemTime::UNIX_EPOCH,
        accepted_rejects: 0,
        halted: None,
    };
    scene.on(LaneEvent::Looked(asked.expect("it looks"), Ok(Some(state))));
    assert!(scene.actions.iter().any(|it| matches!(it, LaneAction::Claim(_))));
}

/// The lane stays ours, and no record is read again.
#[test]
fn a_unit_of_a_rule_that_others_found_bad_is_cleaned_again() {
    let mut scene = Scene::new(false, None);
    scene.claim(0);
    let reads = scene.reads();
    scene.read(reads[0], 0, 4);
    scene.clean();
    let (ticket, _) = scene.commit();
    scene.on(LaneEvent::Committed(ticket, Ok(CommitAnswer::Outcome(CommitOutcome::Condemned))));
    assert!(scene.failing_since().is_none() && !scene.is_committing());
    assert!(!scene.actions.iter().any(|it| matches!(it, LaneAction::Claim(_))));
    scene.clean();
    assert_eq!(scene.commit().1.to, at(4));
}

#[test]
fn a_lane_that_is_asked_to_end_commits_what_it_has_read() {
    let mut scene = Scene::new(true, None);
    scene.claim(0);
    let reads = scene.reads();
    scene.read(reads[0], 0, 1);
    let cleaning = scene.cleans();
    scene.on(LaneEvent::Drain);
    assert!(scene.end().is_none());
    scene.on(LaneEvent::Cleaned(cleaning[0].0, Ok(cleaned(&cleaning[0].2))));
    let (ticket, _) = scene.commit();
    scene.committed(ticket);
    assert!(matches!(scene.end(), Some(LaneEnd::Drained)));
}
