//! What a lane keeps from one claim to the next, among it the current row of failures.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tracing::Level;

use super::super::breaker::Breaker;
use super::super::halt::Halt;
use super::super::live::{Generations, Live};
use super::super::news::{LaneHealth, LaneStep, News};
use super::super::patience::Patience;
use super::machine::{LaneAction, LaneReport, LaneSettings, Ticket};
use crate::record::{ConnectorError, Digest, ErrorClass, Lane, Position, RawBatch};

/// The longest waits between claims.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// An unbroken row of failures. How long a lane has been failing is counted from the first one.
#[derive(Debug)]
struct FailureRow {
    since: Instant,
    /// Those that have failed, and not gone well since.
    steps: Vec<LaneStep>,
    said: String,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub lane: Lane,
    pub settings: LaneSettings,
    pub generations: Arc<Generations>,
    /// How far the lane has to be read, if the run has an end.
    pub until: Option<Position>,
    pub breaker: Breaker,
    /// The generation whose dead letters it has counted.
    pub counted: Option<Digest>,
    /// How far it has come, as far as this process knows.
    pub position: Option<Position>,
    pub is_draining: bool,
    /// Between claims.
    pub claims: Patience,
    row: Option<FailureRow>,
    seeds: RefCell<Rng>,
    tickets: u64,
    actions: Vec<LaneAction>,
}

impl Kept {
    pub fn new(
        lane: Lane,
        settings: LaneSettings,
        generations: Arc<Generations>,
        until: Option<Position>,
        mut random: Rng,
    ) -> Self {
        Self {
            claims: Patience::new(LONGEST_WAIT, random.fork()),
            breaker: Breaker::new(settings.breaker),
            lane,
            settings,
            generations,
            until,
            counted: None,
            position: None,
            is_draining: false,
            row: None,
            seeds: random.into(),
            tickets: 0,
            actions: Vec::new(),
        }
    }

    pub fn take_actions(&mut self) -> Vec<LaneAction> {
        std::mem::take(&mut self.actions)
    }

    pub fn act(&mut self, action: LaneAction) {
        self.actions.push(action);
    }

    pub fn tell(&mut self, news: News) {
        self.act(LaneAction::Tell(news));
    }

    pub fn report(&mut self, report: LaneReport) {
        self.act(LaneAction::Report(report));
    }

    pub fn warn(&mut self, text: String) {
        self.say(Level::WARN, text, None);
    }

    pub fn say(&mut self, level: Level, text: String, help: Option<String>) {
        self.act(LaneAction::Say { level, text, help });
    }

    pub fn health(&mut self, health: LaneHealth) {
        let lane = self.lane.clone();
        self.tell(News::Health { lane, health });
    }

    pub fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket::new(self.tickets)
    }

    pub fn patience(&self, longest: Duration) -> Patience {
        Patience::new(longest, self.seeds.borrow_mut().fork())
    }

    pub fn clean(&mut self, live: &Arc<Live>, raw: &Arc<RawBatch>) -> Ticket {
        let ticket = self.ticket();
        let (live, raw) = (Arc::clone(live), Arc::clone(raw));
        self.act(LaneAction::Clean { ticket, live, raw });
        ticket
    }

    /// Whether the lane is known to have been read to its end.
    pub fn has_evidence(&self, position: Position) -> bool {
        self.until.is_some_and(|until| {
            until.is_comparable(&position) && position.place() >= until.place()
        })
    }

    /// Whether the ledger does not yet show that the lane was read to its end.
    pub fn lacks_evidence(&self, position: Position) -> bool {
        self.until
            .is_some_and(|until| until.is_comparable(&position) && position.place() < until.place())
    }

    pub fn is_failing(&self) -> bool {
        self.row.is_some()
    }

    /// Something failed and is tried again. Returns whether the cause is a new one.
    pub fn failed(&mut self, step: LaneStep, cause: Halt, now: Instant) -> bool {
        let (lane, class) = (self.lane.clone(), cause.class());
        self.tell(News::Failed { lane, step, class });
        let said = cause.to_string();
        let row = self.row.get_or_insert_with(|| FailureRow {
            since: now,
            steps: Vec::new(),
            said: String::new(),
        });
        if !row.steps.contains(&step) {
            row.steps.push(step);
        }
        let since = row.since;
        let is_new = row.said != said;
        row.said.clone_from(&said);
        let help = cause.help(&self.settings.args, &self.lane);
        self.health(LaneHealth::Halted { reason: said, help, since });
        self.report(LaneReport::Failing { since, cause: Arc::new(cause) });
        is_new
    }

    /// The sink did not take a unit, which is offered again.
    pub fn sink_failed(&mut self, error: ConnectorError, now: Instant) {
        let help = error.help.clone();
        let (level, text) = match error.class {
            ErrorClass::Transient => {
                (Level::WARN, format!("the sink does not take a unit, trying again: {error}"))
            }
            _ => (
                Level::ERROR,
                format!(
                    "the sink refuses a unit; the lane is halted until that is mended: {error}"
                ),
            ),
        };
        if self.failed(LaneStep::Commit, Halt::Sink(error), now) {
            self.say(level, text, help);
        }
    }

    /// What failed before has gone well.
    pub fn went_well(&mut self, step: LaneStep) {
        let Some(row) = &mut self.row else { return };
        row.steps.retain(|failed| *failed != step);
        if row.steps.is_empty() {
            self.all_is_well();
        }
    }

    /// Nothing fails any more.
    pub fn all_is_well(&mut self) {
        let Some(row) = self.row.take() else { return };
        if row.steps.contains(&LaneStep::Commit) {
            self.say(Level::INFO, "the sink takes units again".to_owned(), None);
        }
        self.health(LaneHealth::Running);
        self.report(LaneReport::Well);
    }
}
