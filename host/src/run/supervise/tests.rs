//! The supervisor on plain values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::halt::Halt;
use super::super::lane::{LaneEnd, LaneReport};
use super::*;
use crate::record::{ConnectorError, ErrorClass};
use crate::source::LaneChange;

const START: Duration = Duration::from_secs(30);
const HALT: Duration = Duration::from_secs(300);

fn at(record: u64) -> Position {
    Position::number(record)
}

fn a() -> Lane {
    Lane::new("a")
}

fn sink_error() -> Arc<Halt> {
    Arc::new(Halt::Sink(ConnectorError::new(ErrorClass::Transient, "no answer")))
}

struct Scene {
    supervisor: Supervisor,
    now: Instant,
    actions: Vec<SupervisorAction>,
    /// What the ledger says to every look.
    answers: BTreeMap<Lane, Position>,
}

impl Scene {
    fn new(settings: SupervisorSettings, ends: &[(&str, u64)]) -> Self {
        let ends = ends.iter().map(|(lane, end)| (Lane::new(*lane), at(*end))).collect();
        let mut supervisor = Supervisor::new(settings, ends, fastrand::Rng::with_seed(1));
        let actions = supervisor.begin();
        Self { supervisor, now: Instant::now(), actions, answers: BTreeMap::new() }
    }

    fn on(&mut self, event: SupervisorEvent) {
        self.actions = self.supervisor.on(self.now, event);
    }

    /// Nothing happens meanwhile but that it is told the time when it has asked for it.
    fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        let mut all = Vec::new();
        loop {
            let due = self.supervisor.due().map_or(end, |due| due.clamp(self.now, end));
            self.now = due;
            self.on(SupervisorEvent::Tick);
            let is_over = due == end || self.end().is_some();
            if self.looks() && !self.answers.is_empty() {
                all.append(&mut self.actions);
                let positions = self.answers.clone();
                self.on(SupervisorEvent::Looked(Ok(positions)));
            }
            all.append(&mut self.actions);
            if is_over {
                (self.now, self.actions) = (end, all);
                return;
            }
        }
    }

    fn is_stopped(&mut self, time: Duration) {
        self.now += time;
        self.on(SupervisorEvent::Tick);
    }

    fn assign(&mut self) {
        self.on(SupervisorEvent::Change(Ok(Some(LaneChange::Assigned {
            lane: a(),
            after: Vec::new(),
        }))));
    }

    fn fails(&mut self) {
        let (since, cause) = (self.now, sink_error());
        self.on(SupervisorEvent::Reported(a(), LaneReport::Failing { since, cause }));
    }

    fn commits(&mut self, to: u64, dead: &[(&str, u64)], records: u64) {
        let dead = dead.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
        let report = LaneReport::Committed { to: at(to), records, dead, accepted: 0 };
        self.on(SupervisorEvent::Reported(a(), report));
    }

    fn end(&self) -> Option<Result<(), PipelineError>> {
        self.actions.iter().find_map(|action| match action {
            SupervisorAction::End(end) => Some(end.clone()),
            _ => None,
        })
    }

    fn starts(&self, name: &str) -> bool {
        let is_its = |action: &SupervisorAction| matches!(action, SupervisorAction::Start { lane, .. } if lane.name() == name);
        self.actions.iter().any(is_its)
    }

    fn looks(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, SupervisorAction::Look))
    }
}

fn forever() -> SupervisorSettings {
    SupervisorSettings {
        start_time: START,
        halt_time: None,
        is_finite: false,
        dead_ratio_max: 0.05,
        has_committed: false,
    }
}

fn until_end() -> SupervisorSettings {
    SupervisorSettings { halt_time: Some(HALT), is_finite: true, ..forever() }
}

#[test]
fn a_pipeline_that_never_committed_ends_when_it_fails_for_too_long() {
    let mut scene = Scene::new(forever(), &[]);
    scene.assign();
    // Idle for a day: that is no failure.
    scene.passes(Duration::from_secs(86_400));
    scene.fails();
    assert!(scene.supervisor.due().is_some_and(|due| due <= scene.now + START));
    scene.passes(START - Duration::from_secs(1));
    assert!(scene.end().is_none(), "it counts from the first failure");
    scene.passes(Duration::from_secs(1));
    let Some(Err(error)) = scene.end() else { panic!("it has to end") };
    assert!(matches!(error, PipelineError::NotStarted { .. }) && error.is_outside());
}

#[test]
fn one_that_committed_before_is_tried_for_ever_whatever_this_process_did() {
    let mut scene = Scene::new(SupervisorSettings { has_committed: true, ..forever() }, &[]);
    scene.assign();
    scene.fails();
    scene.passes(Duration::from_secs(86_400));
    assert!(scene.end().is_none());
    assert_eq!(scene.supervisor.due(), None);
}

#[test]
fn a_run_with_an_end_does_not_wait_for_ever_for_somebody_to_mend_it() {
    let mut scene =
        Scene::new(SupervisorSettings { has_committed: true, ..until_end() }, &[("a", 9)]);
    scene.assign();
    scene.commits(1, &[], 1);
    scene.fails();
    scene.passes(HALT);
    let Some(Err(error)) = scene.end() else { panic!("it has to end") };
    assert!(matches!(error, PipelineError::Halted { .. }) && error.is_outside());
}

#[test]
fn time_in_which_the_process_stood_still_does_not_count() {
    let mut scene = Scene::new(forever(), &[]);
    scene.assign();
    scene.fails();
    scene.is_stopped(Duration::from_secs(3_600));
    assert!(scene.end().is_none(), "it was stopped");
    // Also for a time that is shorter than its patience.
    scene.is_stopped(START - Duration::from_secs(1));
    scene.passes(START - Duration::from_secs(1));
    assert!(scene.end().is_none(), "it was stopped again");
    scene.passes(Duration::from_secs(1));
    assert!(scene.end().is_some());
}

#[test]
fn no_lanes_are_no_end() {
    let mut scene = Scene::new(until_end(), &[("a", 9)]);
    assert!(scene.end().is_none());
    scene.assign();
    assert!(!scene.looks());
    scene.on(SupervisorEvent::Change(Ok(Some(LaneChange::Revoked(a())))));
    assert!(scene.end().is_none() && scene.looks(), "somebody else may read it");
    let others = |to| SupervisorEvent::Looked(Ok(BTreeMap::from([(a(), at(to))])));
    scene.on(others(8));
    assert!(scene.end().is_none());
    scene.passes(Duration::from_secs(10));
    assert!(scene.looks());
    scene.on(others(9));
    assert!(matches!(scene.end(), Some(Ok(()))));
}

/// A lane that waits for those before it, as a shard does for its parents.
#[test]
fn a_lane_starts_once_those_before_it_are_at_their_end_for_good() {
    let mut scene = Scene::new(forever(), &[]);
    let child = LaneChange::Assigned { lane: Lane::new("child"), after: vec![a()] };
    scene.on(SupervisorEvent::Change(Ok(Some(child))));
    assert!(!scene.starts("child") && scene.looks(), "somebody else may have read the parent");
    scene.on(SupervisorEvent::Looked(Ok(BTreeMap::from([(a(), at(8))]))));
    assert!(!scene.starts("child"));
    scene.passes(Duration::from_secs(10));
    assert!(scene.looks());
    scene.on(SupervisorEvent::Looked(Ok(BTreeMap::from([(a(), Position::End)]))));
    assert!(scene.starts("child"));
}

/// Where a shard ends at the moment nobody can tell: its reader says when it has come there.
#[test]
fn an_end_without_a_place_is_told_by_the_reader() {
    let mut scene = Scene::new(until_end(), &[]);
    let latest = Position::Start(crate::record::Start::Latest);
    let ends = BTreeMap::from([(a(), latest)]);
    scene.supervisor = Supervisor::new(until_end(), ends, fastrand::Rng::with_seed(1));
    scene.assign();
    let no_place =
        |action: &SupervisorAction| matches!(action, SupervisorAction::Start { until: None, .. });
    assert!(scene.actions.iter().any(no_place));
    scene.commits(7, &[], 7);
    assert!(scene.end().is_none());
    scene.on(SupervisorEvent::Ended(a(), LaneEnd::Ended));
    assert!(matches!(scene.end(), Some(Ok(()))));
}

#[test]
fn what_nobody_reads_on_ends_the_run_with_an_error_of_the_environment() {
    let mut scene = Scene::new(until_end(), &[("a", 9)]);
    scene.answers = BTreeMap::from([(a(), at(3))]);
    scene.on(SupervisorEvent::Change(Ok(None)));
    scene.on(SupervisorEvent::Looked(Ok(scene.answers.clone())));
    scene.passes(HALT - Duration::from_secs(20));
    scene.answers = BTreeMap::from([(a(), at(4))]);
    scene.passes(HALT - Duration::from_secs(20));
    assert!(scene.end().is_none(), "it has moved");
    scene.passes(Duration::from_secs(40));
    let Some(Err(error)) = scene.end() else { panic!("it has to end") };
    assert!(matches!(error, PipelineError::Unread { .. }) && error.is_outside());
}

#[test]
fn an_error_of_the_group_is_asked_again_and_no_end() {
    let mut scene = Scene::new(SupervisorSettings { has_committed: true, ..forever() }, &[]);
    let error = ConnectorError::new(ErrorClass::Transient, "the coordinator is gone");
    scene.on(SupervisorEvent::Change(Err(error)));
    assert!(scene.end().is_none());
    scene.passes(Duration::from_secs(1));
    let asks = |action: &SupervisorAction| matches!(action, SupervisorAction::AskForChange);
    assert!(scene.actions.iter().any(asks));
}

#[test]
fn a_group_that_says_nothing_more_does_not_fail() {
    let mut scene = Scene::new(forever(), &[]);
    let error = ConnectorError::new(ErrorClass::Transient, "the coordinator is gone");
    scene.on(SupervisorEvent::Change(Err(error)));
    scene.passes(START * 2);
    assert!(scene.end().is_none());
}

fn ended(dead_ratio_max: f64, dead: u64, records: u64) -> Option<Result<(), PipelineError>> {
    let mut scene = Scene::new(SupervisorSettings { dead_ratio_max, ..until_end() }, &[]);
    scene.assign();
    scene.on(SupervisorEvent::Change(Ok(None)));
    scene.commits(records, &[("not JSON", dead)], records);
    scene.on(SupervisorEvent::Ended(a(), LaneEnd::Ended));
    scene.end()
}

#[test]
fn a_run_whose_records_mostly_died_ends_with_an_error_that_says_why() {
    let Some(Err(error)) = ended(0.05, 900, 900) else { panic!("it has to be an error") };
    assert!(!error.is_outside());
    assert!(error.to_string().contains("900 × not JSON"), "{error}");
    assert!(matches!(ended(0.05, 19, 100), Some(Ok(()))), "they are few");
    assert!(matches!(ended(0.05, 20, 400), Some(Ok(()))), "as many as may be");
    assert!(matches!(ended(0.05, 21, 400), Some(Err(_))));
    assert!(matches!(ended(0.05, 1, 1), Some(Err(_))), "there is nothing but them");
    assert!(matches!(ended(1.0, 900, 900), Some(Ok(()))), "it is meant");
}

#[test]
fn a_run_that_is_asked_to_end_waits_for_its_lanes() {
    let mut scene = Scene::new(forever(), &[]);
    scene.assign();
    scene.on(SupervisorEvent::Drain);
    assert!(scene.end().is_none());
    scene.on(SupervisorEvent::Ended(a(), LaneEnd::Drained));
    assert!(matches!(scene.end(), Some(Ok(()))));
}
