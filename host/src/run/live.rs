//! Generations at work: the one that cleans, the previous ones kept beside it while it is on
//! probation, and how one replaces another.
//!
//! Lanes look at [`Generations`] between two batches and nowhere else. Whatever a rolled-back
//! generation has cleaned is condemned: a lane that still holds some of it cleans those records
//! again, from the source bytes, which are kept until they are committed.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{mpsc, watch};

use super::conduct::{Account, Conduct, Trouble, Watched};
use super::examples::Examples;
use super::ring::Ring;
use crate::connect::{Sink, Writer};
use crate::decode::DecodeLimits;
use crate::ledger::{Judgement, Verdict, judgement_of};
use crate::pipeline::config::ProbationConfig;
use crate::pipeline::{Pipeline, Rule, Tombstones};
use crate::plugin::ConfigureError;
use crate::record::{ConnectorError, Digest, Field, Generation, Lane, Position};

/// A generation at work: a rule as it is, for a sink.
#[derive(Debug)]
pub struct Live {
    /// Without one, records are passed on unchanged.
    pub rule: Option<Arc<Rule>>,
    /// What becomes of records without a value, where there is a rule.
    pub tombstones: Option<Tombstones>,
    /// The member of each record's object in which the record stands.
    pub unwrap: Option<Box<str>>,
    pub generation: Digest,
    pub limits: DecodeLimits,
    pub sink: Arc<dyn Sink>,
    /// Takes its rows.
    pub writer: Arc<dyn Writer>,
    pub examples: Examples,
    life: Life,
}

/// How many previous generations are kept while the current one is on probation.
const BEFORE_MAX: usize = 3;

/// What became of a generation so far.
#[derive(Debug, Default)]
struct Life {
    /// What it is made of, until the sink knows.
    to_keep: tokio::sync::Mutex<Option<Generation>>,
    account: Arc<Account>,
    probation: Option<Probation>,
    is_condemned: AtomicBool,
    is_retired: AtomicBool,
    /// The first records that it cleaned.
    began: Mutex<BTreeMap<Lane, Position>>,
}

/// Watches a generation that has just taken over. It stays in force when the next one takes over,
/// because batches handed to this one may still be in flight.
#[derive(Debug)]
struct Probation {
    /// A verdict is known.
    is_over: AtomicBool,
    /// Takes over again if this one turns out bad.
    before: Mutex<Option<Arc<Live>>>,
    /// How that one did; outlives it.
    account_before: Arc<Account>,
    watched: Mutex<Watched>,
}

impl Live {
    /// Examples of what the rule does are taken from the first batches.
    pub fn new(
        pipeline: &Pipeline,
        generation: Digest,
        (sink, writer): (Arc<dyn Sink>, Arc<dyn Writer>),
        example_batches: u32,
    ) -> Self {
        Self {
            rule: pipeline.rule.clone(),
            tombstones: pipeline.rule.as_ref().map(|rule| Tombstones::of(rule, &pipeline.sink)),
            unwrap: pipeline.source.unwrap().map(Box::from),
            generation,
            limits: pipeline.limits.to_decode_limits(),
            sink,
            writer,
            examples: Examples::of_batches(example_batches),
            life: Life::default(),
        }
    }

    /// Passes records on unchanged: for tests of everything around a rule.
    #[cfg(test)]
    pub(crate) fn bare(
        generation: Digest,
        (sink, writer): (Arc<dyn Sink>, Arc<dyn Writer>),
    ) -> Self {
        Self {
            rule: None,
            tombstones: None,
            unwrap: None,
            generation,
            limits: DecodeLimits::default(),
            sink,
            writer,
            examples: Examples::of_batches(0),
            life: Life::default(),
        }
    }

    /// The sink does not know it yet.
    #[must_use]
    pub fn to_be_kept(mut self, generation: Generation) -> Self {
        self.life.to_keep = Some(generation).into();
        self
    }

    /// Has the sink store what it is made of, no earlier than needed: before the first unit that
    /// names it.
    pub(super) async fn keep(&self) -> Result<(), ConnectorError> {
        let mut to_keep = self.life.to_keep.lock().await;
        if let Some(generation) = &*to_keep {
            self.sink.ledger().archive.keep(generation).await?;
            *to_keep = None;
        }
        Ok(())
    }

    /// Watched beside the one before.
    #[must_use]
    pub fn on_probation(mut self, before: Arc<Self>, limits: &ProbationConfig) -> Self {
        self.life.probation = Some(Probation {
            is_over: AtomicBool::new(false),
            account_before: Arc::clone(&before.life.account),
            before: Mutex::new(Some(before)),
            watched: Mutex::new(Watched::new(limits)),
        });
        self
    }

    /// A copy for trials: its plugins' logs go nowhere, and nothing it does is counted.
    pub fn apart(&self) -> Result<Arc<Self>, ConfigureError> {
        let rule = self.rule.as_ref().map(|rule| rule.quiet()).transpose()?;
        Ok(Arc::new(Self {
            rule: rule.map(Arc::new),
            tombstones: self.tombstones.clone(),
            unwrap: self.unwrap.clone(),
            generation: self.generation,
            limits: self.limits,
            sink: Arc::clone(&self.sink),
            writer: Arc::clone(&self.writer),
            examples: Examples::of_batches(0),
            life: Life::default(),
        }))
    }

    /// The columns of its rows; none without a rule.
    pub fn columns(&self) -> Option<&Arc<[Field]>> {
        self.rule.as_ref().map(|rule| rule.columns())
    }

    /// What it has done so far, including what is remembered from earlier runs.
    pub fn conduct(&self) -> Conduct {
        self.life.account.sum()
    }

    /// Adds what is known of it from earlier runs.
    pub fn remember(&self, conduct: &Conduct) {
        self.life.account.add(conduct);
    }

    /// Nothing more that it cleaned may be committed.
    pub fn is_condemned(&self) -> bool {
        self.life.is_condemned.load(Ordering::Acquire)
    }

    /// Nothing more is cleaned with it.
    pub(super) fn is_retired(&self) -> bool {
        self.life.is_retired.load(Ordering::Acquire)
    }

    /// The previous one, which takes over again if this one fails its probation.
    pub fn before(&self) -> Option<Arc<Self>> {
        locked(&self.life.probation.as_ref()?.before).clone()
    }

    /// The previous ones that are kept, latest first. The oldest is known to be good; the others
    /// are on probation themselves.
    pub fn all_before(&self) -> impl Iterator<Item = Arc<Self>> + use<> {
        iter::successors(self.before(), |live| live.before())
    }

    /// It did well enough: the previous ones are let go.
    fn end_probation(&self) {
        if let Some(probation) = &self.life.probation {
            probation.is_over.store(true, Ordering::Release);
        }
        self.forget_before();
    }

    /// What would be wrong with it if a batch came out like this.
    pub(super) fn trouble(&self, batch: &Conduct) -> Option<Trouble> {
        let probation = self.watching()?;
        let before = probation.account_before.sum();
        locked(&probation.watched).trouble(batch, &before, self.patience())
    }

    /// How many times longer it may take than well-compiled plugins would.
    pub fn patience(&self) -> u32 {
        let steps = self.rule.iter().flat_map(|rule| &rule.steps);
        steps.map(|step| step.step.plugin().patience()).max().unwrap_or(1)
    }

    /// A batch came out like this.
    pub(super) fn note(&self, batch: Conduct) {
        self.life.account.add(&batch);
        if let Some(probation) = self.watching() {
            locked(&probation.watched).add(batch, self.patience());
        }
    }

    /// How long it is watched, and how closely.
    pub fn probation_limits(&self) -> Option<ProbationConfig> {
        let probation = self.life.probation.as_ref()?;
        Some(locked(&probation.watched).limits().clone())
    }

    /// Where it took over in each lane.
    pub fn began(&self) -> BTreeMap<Lane, Position> {
        locked(&self.life.began).clone()
    }

    pub(super) fn begin(&self, lane: &Lane, at: Position) {
        locked(&self.life.began).entry(lane.clone()).or_insert(at);
    }

    fn retire(&self) {
        self.life.is_retired.store(true, Ordering::Release);
    }

    fn condemn(&self) {
        self.life.is_condemned.store(true, Ordering::Release);
        self.retire();
    }

    /// Its probation, until that is over.
    fn watching(&self) -> Option<&Probation> {
        self.life.probation.as_ref().filter(|probation| !probation.is_over.load(Ordering::Acquire))
    }

    /// Ends its probation; false if that was over.
    fn is_found_bad(&self) -> bool {
        let probation = self.life.probation.as_ref();
        probation.is_some_and(|it| !it.is_over.swap(true, Ordering::AcqRel))
    }

    /// Sets which one takes over again if this one turns out bad.
    fn replace_before(&self, before: Option<Arc<Self>>) -> Option<Arc<Self>> {
        let probation = self.life.probation.as_ref()?;
        std::mem::replace(&mut *locked(&probation.before), before)
    }

    /// There is no way back to the previous ones any more.
    fn forget_before(&self) {
        let mut last = self.replace_before(None);
        while let Some(live) = last {
            live.retire();
            last = live.replace_before(None);
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
        /// The record from which it no longer cleans, if a lane found that out.
        at: Option<(Lane, Position)>,
    },
    /// Another process found it to be bad, and this one keeps no previous generation.
    Unwanted { bad: Arc<Live>, why: String },
}

/// The generation that cleans, for all lanes of a pipeline.
#[derive(Debug)]
pub struct Generations {
    live: watch::Sender<Arc<Live>>,
    /// Taken only while `live` is being modified.
    known: Mutex<KnownLives>,
    ring: Ring,
    events: mpsc::UnboundedSender<GenerationEvent>,
}

/// A verdict binds every `Live` of its generation: a rule that is edited back and forth takes over
/// repeatedly.
#[derive(Debug, Default)]
struct KnownLives {
    all: Vec<Weak<Live>>,
    bad: BTreeSet<Digest>,
}

impl KnownLives {
    fn add(&mut self, live: &Arc<Live>) {
        self.all.retain(|known| known.strong_count() > 0);
        self.all.push(Arc::downgrade(live));
    }

    /// Nothing more that a generation cleaned may be committed.
    fn condemn(&mut self, generation: Digest) {
        self.bad.insert(generation);
        let of_it = |live: &Arc<Live>| live.generation == generation;
        for live in self.all.iter().filter_map(Weak::upgrade).filter(of_it) {
            live.is_found_bad();
            live.replace_before(None);
            live.condemn();
        }
    }
}

impl Generations {
    pub fn new(first: Arc<Live>) -> (Arc<Self>, mpsc::UnboundedReceiver<GenerationEvent>) {
        let (events, told) = mpsc::unbounded_channel();
        let mut known = KnownLives::default();
        first.all_before().for_each(|live| known.add(&live));
        known.add(&first);
        let generations = Self {
            live: watch::Sender::new(first),
            known: known.into(),
            ring: Ring::default(),
            events,
        };
        (Arc::new(generations), told)
    }

    pub fn current(&self) -> Arc<Live> {
        Arc::clone(&self.live.borrow())
    }

    /// Tells of changes from now on.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Live>> {
        self.live.subscribe()
    }

    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The next batch of every lane is cleaned by `next`, which is on probation beside the current
    /// one. None if this process has found its generation to be bad.
    pub fn take_over(&self, next: Live, limits: &ProbationConfig) -> Option<Arc<Live>> {
        self.replace(next, |next, live| {
            let next = Arc::new(next.on_probation(Arc::clone(live), limits));
            let before: Vec<_> = next.all_before().collect();
            if let [.., last_kept, oldest, first] = &before[..]
                && before.len() > BEFORE_MAX
            {
                // The first one is known to be good.
                last_kept.replace_before(Some(Arc::clone(first)));
                oldest.replace_before(None);
                oldest.retire();
            }
            next
        })
    }

    /// One that did well before takes over again, without probation. What the bad one cleaned and
    /// is not yet committed is cleaned again. None if this process has found the good one to be
    /// bad.
    pub fn go_back(&self, good: Live, bad: &Live) -> Option<Arc<Live>> {
        self.replace(good, |good, live| {
            live.forget_before();
            locked(&self.known).condemn(bad.generation);
            Arc::new(good)
        })
    }

    /// Replaces whichever cleans by now, unless `next` was found to be bad.
    fn replace(
        &self,
        next: Live,
        replaced: impl FnOnce(Live, &Arc<Live>) -> Arc<Live>,
    ) -> Option<Arc<Live>> {
        let mut new = None;
        self.live.send_if_modified(|live| {
            if locked(&self.known).bad.contains(&next.generation) {
                return false;
            }
            *live = replaced(next, live);
            locked(&self.known).add(live);
            new = Some(Arc::clone(live));
            true
        });
        new
    }

    /// Hands over to the previous generation. If another one has taken over from the bad one
    /// meanwhile, that one stays, and the bad one is no longer a way back. False if there is no
    /// other generation, or if somebody did it before.
    pub fn roll_back(&self, bad: &Arc<Live>, why: Trouble, at: Option<(&Lane, Position)>) -> bool {
        let mut is_done = false;
        self.live.send_if_modified(|live| {
            let chain = iter::once(Arc::clone(live)).chain(live.all_before());
            let others: Vec<_> = chain.filter(|it| it.generation != bad.generation).collect();
            let Some(first) = others.first() else { return false };
            if !bad.is_found_bad() {
                return false;
            }
            is_done = true;
            locked(&self.known).condemn(bad.generation);
            for (at, other) in others.iter().enumerate() {
                let mut before = others[at + 1..].iter();
                // One is no way back from another of its own generation.
                let before = before.find(|it| it.generation != other.generation);
                other.replace_before(before.cloned());
            }
            *live = Arc::clone(first);
            // Lanes may hold batches of it even if it was not the current one.
            true
        });
        if is_done {
            let at = at.map(|(lane, position)| (lane.clone(), position));
            // If nobody listens, the run is ending.
            let _ = self.events.send(GenerationEvent::RolledBack { bad: Arc::clone(bad), why, at });
        }
        is_done
    }

    /// It did well enough and stays.
    pub fn end_probation(&self, live: &Live) {
        // Under the lock, so that nobody rolls back at the same time.
        self.live.send_if_modified(|_| {
            live.end_probation();
            false
        });
    }

    /// Gives up the current generation if another process found it to be bad; says whether one did.
    pub fn obey(&self, live: &Arc<Live>, judgements: &[Judgement]) -> bool {
        let known = judgement_of(live.generation, judgements);
        let Some(bad) = known.filter(|known| known.verdict == Verdict::RolledBack) else {
            return false;
        };
        let why = bad.reason.as_deref().unwrap_or("it was rolled back").to_owned();
        if !self.roll_back(live, Trouble::Elsewhere(why.clone()), None) {
            let _ = self.events.send(GenerationEvent::Unwanted { bad: Arc::clone(live), why });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::stdout::StdoutSink;

    fn live(name: &str) -> Live {
        Live::bare(Digest::of(name.as_bytes()), StdoutSink::of_tests())
    }

    fn take_over(generations: &Generations, name: &str) -> Arc<Live> {
        let taken = generations.take_over(live(name), &ProbationConfig::default());
        taken.expect("nobody found it to be bad")
    }

    fn is_current(generations: &Generations, name: &str) -> bool {
        generations.current().generation == Digest::of(name.as_bytes())
    }

    #[test]
    fn whoever_is_bad_gives_way_once_to_the_one_before() {
        let (generations, mut events) = Generations::new(Arc::new(live("one")));
        let one = generations.current();
        assert!(!generations.roll_back(&one, Trouble::Asked, None), "there is none before it");
        let two = take_over(&generations, "two");
        assert!(is_current(&generations, "two"));
        assert!(generations.roll_back(&two, Trouble::Asked, None));
        assert!(is_current(&generations, "one"));
        assert!(two.is_condemned() && two.is_retired() && !one.is_retired());
        assert!(!generations.roll_back(&two, Trouble::Asked, None), "it was, by another lane");
        let told = events.try_recv().unwrap();
        assert!(matches!(told, GenerationEvent::RolledBack { bad, .. } if Arc::ptr_eq(&bad, &two)));
        assert!(events.try_recv().is_err(), "it is told once");
    }

    #[test]
    fn those_before_are_let_go_once_one_is_good_or_when_they_are_many() {
        let (generations, _events) = Generations::new(Arc::new(live("one")));
        let one = generations.current();
        let two = take_over(&generations, "two");
        let three = take_over(&generations, "three");
        assert!(two.before().is_some_and(|before| Arc::ptr_eq(&before, &one)));
        assert!(three.before().is_some_and(|before| Arc::ptr_eq(&before, &two)));
        take_over(&generations, "four");
        assert!(!one.is_retired());
        let five = take_over(&generations, "five");
        assert!(two.is_retired() && !one.is_retired(), "the first one is known to be good");
        assert!(three.before().is_some_and(|before| Arc::ptr_eq(&before, &one)));
        let failed = Conduct { batches: 1, records: 10, failed_calls: 1, ..Conduct::default() };
        assert!(two.trouble(&failed).is_some(), "what it still has at hand is watched");
        generations.end_probation(&five);
        assert!(one.is_retired() && three.is_retired() && !three.is_condemned());
        assert!(!generations.roll_back(&five, Trouble::Asked, None), "it has stayed");
    }

    #[test]
    fn whoever_turns_out_bad_after_another_took_over_is_not_gone_back_to() {
        let (generations, mut events) = Generations::new(Arc::new(live("one")));
        let two = take_over(&generations, "two");
        let three = take_over(&generations, "three");
        let failed = Conduct { batches: 1, records: 10, failed_calls: 1, ..Conduct::default() };
        assert!(matches!(two.trouble(&failed), Some(Trouble::Traps { .. })), "it is still watched");
        assert!(generations.roll_back(&two, Trouble::Asked, None));
        assert!(is_current(&generations, "three") && two.is_condemned() && !three.is_condemned());
        assert!(!generations.roll_back(&two, Trouble::Asked, None), "it was, by another lane");
        let told = events.try_recv().unwrap();
        assert!(matches!(told, GenerationEvent::RolledBack { bad, .. } if Arc::ptr_eq(&bad, &two)));
        assert!(generations.roll_back(&three, Trouble::Asked, None));
        assert!(is_current(&generations, "one"));
    }

    #[test]
    fn whoever_has_come_back_is_watched_as_before() {
        let (generations, _events) = Generations::new(Arc::new(live("one")));
        let two = take_over(&generations, "two");
        let three = take_over(&generations, "three");
        assert!(generations.roll_back(&three, Trouble::Asked, None));
        assert!(is_current(&generations, "two"));
        assert!(generations.roll_back(&two, Trouble::Asked, None));
        assert!(is_current(&generations, "one"));
    }

    #[test]
    fn a_verdict_binds_all_that_is_of_its_generation() {
        let (generations, _events) = Generations::new(Arc::new(live("one")));
        let two = take_over(&generations, "two");
        let three = take_over(&generations, "three");
        let two_again = take_over(&generations, "two");
        assert!(generations.roll_back(&two_again, Trouble::Asked, None));
        assert!(two.is_condemned(), "what it still has at hand is cleaned again");
        assert!(is_current(&generations, "three"));
        assert!(generations.roll_back(&three, Trouble::Asked, None));
        assert!(is_current(&generations, "one"), "and not the first two");
        let limits = ProbationConfig::default();
        assert!(generations.take_over(live("two"), &limits).is_none());
        let one = generations.current();
        assert!(generations.go_back(live("three"), &one).is_none());
        let four = generations.go_back(live("four"), &one).expect("it is not known to be bad");
        assert!(generations.take_over(live("one"), &limits).is_none(), "it was given up");
        assert!(Arc::ptr_eq(&four, &generations.current()) && one.is_condemned());
    }

    #[test]
    fn whoever_cleans_is_not_rolled_back_for_itself() {
        let (generations, _events) = Generations::new(Arc::new(live("one")));
        let two = take_over(&generations, "two");
        let one_again = take_over(&generations, "one");
        assert!(generations.roll_back(&two, Trouble::Asked, None));
        assert!(one_again.before().is_none());
        assert!(!generations.roll_back(&one_again, Trouble::Asked, None), "it would be itself");
        assert!(is_current(&generations, "one") && !one_again.is_condemned());
    }

    #[test]
    fn only_what_was_not_accepted_counts_while_it_is_watched() {
        let (generations, _events) = Generations::new(Arc::new(live("one")));
        let one = generations.current();
        let good = Conduct { batches: 1, records: 1_000, ..Conduct::default() };
        one.note(good);
        assert_eq!(one.trouble(&Conduct { rejects: 1_000, ..good }), None, "nobody watches it");
        let two = take_over(&generations, "two");
        assert_eq!(two.trouble(&Conduct { rejects: 10, ..good }), None);
        let bad = two.trouble(&Conduct { rejects: 11, ..good });
        assert!(matches!(bad, Some(Trouble::Rejects { rejects: 11, .. })), "{bad:?}");
        generations.end_probation(&two);
        assert_eq!(two.trouble(&Conduct { rejects: 1_000, ..good }), None);
    }
}
