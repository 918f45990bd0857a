//! Generations at work: which one cleans, the one before beside it while it is on probation, and how it
//! comes that another one cleans.
//!
//! Lanes look at [`Generations`] between two batches and nowhere else. What was cleaned by a generation
//! that was rolled back is condemned: a lane that still has some of it cleans it again, from the source
//! bytes that are kept until they are committed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::conduct::{Account, Conduct, Trouble, Watched};
use super::examples::Examples;
use super::ring::Ring;
use crate::decode::DecodeLimits;
use crate::pipeline::config::ProbationConfig;
use crate::pipeline::{Pipeline, Rule, Tombstones};
use crate::plugin::ConfigureError;
use crate::record::{Digest, Field, Lane, Position};
use crate::sink::Sink;

/// A generation at work: a rule as it is, for a sink.
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
    account: Account,
    probation: Option<Probation>,
    is_condemned: AtomicBool,
    is_retired: AtomicBool,
    /// The first records that it cleaned.
    began: Mutex<BTreeMap<Lane, Position>>,
}

/// What watches a generation that has just taken over.
#[derive(Debug)]
struct Probation {
    is_over: AtomicBool,
    /// What takes over again if need be.
    before: Mutex<Option<Arc<Live>>>,
    watched: Mutex<Watched>,
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
            account: Account::default(),
            probation: None,
            is_condemned: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            began: Mutex::default(),
        }
    }

    /// Watched beside the one before.
    #[must_use]
    pub fn on_probation(mut self, before: Arc<Self>, limits: &ProbationConfig) -> Self {
        self.probation = Some(Probation {
            is_over: AtomicBool::new(false),
            before: Mutex::new(Some(before)),
            watched: Mutex::new(Watched::new(limits)),
        });
        self
    }

    /// The same apart from what is running: nobody hears what its plugins say, and nothing is counted.
    pub fn apart(&self) -> Result<Arc<Self>, ConfigureError> {
        let rule = self.rule.as_ref().map(|rule| rule.quiet()).transpose()?;
        Ok(Arc::new(Self {
            rule: rule.map(Arc::new),
            tombstones: self.tombstones.clone(),
            unwrap: self.unwrap.clone(),
            generation: self.generation,
            limits: self.limits,
            sink: Arc::clone(&self.sink),
            examples: Examples::of_batches(0),
            account: Account::default(),
            probation: None,
            is_condemned: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            began: Mutex::default(),
        }))
    }

    /// The columns of its rows; none without a rule.
    pub fn columns(&self) -> Option<&Arc<[Field]>> {
        self.rule.as_ref().map(|rule| rule.columns())
    }

    /// What it did so far, in this process and as far as it is known from before.
    pub fn conduct(&self) -> Conduct {
        self.account.sum()
    }

    /// What is known of it from before.
    pub fn remember(&self, conduct: &Conduct) {
        self.account.add(conduct);
    }

    /// Nothing more of it is to be committed.
    pub fn is_condemned(&self) -> bool {
        self.is_condemned.load(Ordering::Acquire)
    }

    /// Nothing is cleaned with it any more.
    pub(super) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    /// The one that takes over again, while this one is on probation.
    pub fn before(&self) -> Option<Arc<Self>> {
        let probation = self.probation.as_ref()?;
        if probation.is_over.load(Ordering::Acquire) {
            return None;
        }
        locked(&probation.before).clone()
    }

    /// It did well enough, or does not count any more: the one before is let go.
    pub fn end_probation(&self) {
        let Some(probation) = &self.probation else { return };
        probation.is_over.store(true, Ordering::Release);
        if let Some(before) = locked(&probation.before).take() {
            before.retire();
        }
    }

    /// What would be wrong with it if a batch came out like this.
    pub(super) fn trouble(&self, batch: &Conduct) -> Option<Trouble> {
        let probation = self.probation.as_ref()?;
        let before = self.before()?.conduct();
        locked(&probation.watched).trouble(batch, &before)
    }

    /// A batch came out like this.
    pub(super) fn note(&self, batch: Conduct) {
        self.account.add(&batch);
        if let Some(probation) = &self.probation
            && !probation.is_over.load(Ordering::Acquire)
        {
            locked(&probation.watched).add(batch);
        }
    }

    /// How long it is watched, and how closely.
    pub fn probation_limits(&self) -> Option<ProbationConfig> {
        let probation = self.probation.as_ref()?;
        Some(locked(&probation.watched).limits().clone())
    }

    /// Where it took over in each lane.
    pub fn began(&self) -> BTreeMap<Lane, Position> {
        locked(&self.began).clone()
    }

    pub(super) fn begin(&self, lane: &Lane, at: Position) {
        locked(&self.began).entry(lane.clone()).or_insert(at);
    }

    fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }

    fn condemn(&self) {
        self.is_condemned.store(true, Ordering::Release);
        self.retire();
    }

    /// Puts another one in the place of the one before.
    fn replace_before(&self, before: Option<Arc<Self>>) {
        if let Some(probation) = &self.probation {
            probation.is_over.store(before.is_none(), Ordering::Release);
            *locked(&probation.before) = before;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What lanes tell about generations.
#[derive(Debug)]
pub enum GenerationEvent {
    RolledBack {
        bad: Arc<Live>,
        why: Trouble,
        /// The record from which on it cleans no more, if a lane found that out.
        at: Option<(Lane, Position)>,
    },
    /// Another process found it to be bad, and there is none before it in this one.
    Unwanted { bad: Arc<Live>, why: String },
}

/// The generation that cleans, for all lanes of a pipeline.
#[derive(Debug)]
pub struct Generations {
    live: watch::Sender<Arc<Live>>,
    ring: Ring,
    events: mpsc::UnboundedSender<GenerationEvent>,
}

impl Generations {
    pub fn new(first: Arc<Live>) -> (Arc<Self>, mpsc::UnboundedReceiver<GenerationEvent>) {
        let (events, told) = mpsc::unbounded_channel();
        let generations = Self { live: watch::Sender::new(first), ring: Ring::default(), events };
        (Arc::new(generations), told)
    }

    pub fn current(&self) -> Arc<Live> {
        Arc::clone(&self.live.borrow())
    }

    /// Tells about changes since now.
    pub(super) fn follow(&self) -> watch::Receiver<Arc<Live>> {
        self.live.subscribe()
    }

    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The next batch of every lane is cleaned by another generation, which is watched beside the one that
    /// cleans now. Of those before that one none is needed any more.
    pub fn take_over(&self, next: Live, limits: &ProbationConfig) -> Arc<Live> {
        // Whichever that is by now.
        self.live.send_modify(|live| {
            if let Some(before_that) = live.before() {
                live.replace_before(None);
                before_that.retire();
            }
            *live = Arc::new(next.on_probation(Arc::clone(live), limits));
        });
        self.current()
    }

    /// Has the one before take over again. False if there is none, or if it has done so already.
    pub fn roll_back(&self, bad: &Arc<Live>, why: Trouble, at: Option<(&Lane, Position)>) -> bool {
        let is_done = self.live.send_if_modified(|live| {
            let Some(before) = bad.before() else { return false };
            if Arc::ptr_eq(live, bad) {
                *live = before;
            } else if live.before().is_some_and(|known| Arc::ptr_eq(&known, bad)) {
                live.replace_before(Some(before));
            } else {
                return false;
            }
            bad.condemn();
            bad.replace_before(None);
            true
        });
        if is_done {
            let at = at.map(|(lane, position)| (lane.clone(), position));
            // Nobody may listen: then the run ends.
            let _ = self.events.send(GenerationEvent::RolledBack { bad: Arc::clone(bad), why, at });
        }
        is_done
    }

    /// Another process found the generation that cleans to be bad.
    pub(super) fn unwanted(&self, bad: &Arc<Live>, why: &str) {
        if !self.roll_back(bad, Trouble::Elsewhere(why.to_owned()), None) {
            let (bad, why) = (Arc::clone(bad), why.to_owned());
            let _ = self.events.send(GenerationEvent::Unwanted { bad, why });
        }
    }
}
