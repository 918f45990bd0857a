//! What a new generation has to pass before it cleans a record that counts. Each gate is asked after the one
//! before, tells in a line what it found, and has an error of its own.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::machine::{Passed, Ready};
use super::trial::{TrialFault, Tried, trial};
use crate::ledger::{Judgement, Verdict, judgement_of};
use crate::pipeline::{Change, Pipeline, PluginSwap, Workshop};
use crate::plugin::Sandbox;
use crate::record::{ConnectorError, Digest, ErrorClass, Generation};
use crate::run::{Difference, Generations, Halt, Live, LiveMaker, RuleTestError, RuleTests};
use crate::written::Findings;

/// Why what is written does not take over.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What is written makes no sense, a plugin is none, or it does not take its configuration.
    #[error("{} failed: {}", found.gate().name(), plain(found))]
    Written { found: Findings },
    #[error(
        "a pipeline that runs keeps its name, `{running}`: under `{written}` it would begin anew"
    )]
    Name { running: Arc<str>, written: Arc<str> },
    #[error("generation {} was rolled back: {reason}", generation.short())]
    Marked { generation: Digest, reason: String },
    #[error("the sink does not take its rows: {}", with_help(.0))]
    Columns(#[source] ConnectorError),
    #[error("it could not begin: {0}")]
    Start(Box<Halt>),
    #[error("{} of the rule's {tests} tests fail: {}", failed.len(), list(failed))]
    Tests { tests: usize, failed: Vec<FailedTest> },
    #[error("test `{name}` comes to no answer: {cause}")]
    TestHalted {
        name: String,
        #[source]
        cause: Box<RuleTestError>,
    },
    #[error("the trial failed: {0}")]
    Trial(#[from] TrialFault),
    #[error("the sink does not answer: {0}")]
    Sink(#[source] ConnectorError),
    #[error("no generation before this one is kept that did well")]
    NoneBefore,
    #[error("generation {} does not run any more: {why}", generation.short())]
    Gone { generation: Digest, why: String },
    #[error("step `{step}` was the same in all generations that are kept")]
    SameStep { step: String },
    #[error("only what becomes of records can be tried: the source, the sink or limits differ too")]
    NotOnlyTheRule,
}

impl Refusal {
    /// Whether another try could end otherwise although nothing was changed.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Sink(_) => true,
            Self::Columns(error) => error.class == ErrorClass::Transient,
            Self::Start(cause) => cause.class() == ErrorClass::Transient,
            _ => false,
        }
    }
}

/// A test of the rule that does not come out as it should.
#[derive(Debug)]
pub struct FailedTest {
    pub name: String,
    pub differences: Vec<Difference>,
}

impl fmt::Display for FailedTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        match self.differences.first() {
            Some(Difference { place, expected, got, .. }) => {
                write!(f, " ({place}: expected {expected}, got {got})")
            }
            None => Ok(()),
        }
    }
}

fn with_help(error: &ConnectorError) -> String {
    let help = error.help.as_deref().map(|help| format!("; {help}"));
    format!("{error}{}", help.unwrap_or_default())
}

/// Without colours: it goes to logs.
fn plain(found: &Findings) -> String {
    anstream::adapter::strip_str(&found.to_string()).to_string()
}

fn list(failed: &[FailedTest]) -> String {
    failed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What gates say, in the log and to whoever asked.
#[derive(Debug)]
pub(super) struct Told {
    pipeline: Arc<str>,
    pub lines: Vec<String>,
}

impl Told {
    pub(super) fn new(pipeline: &Arc<str>) -> Self {
        Self { pipeline: Arc::clone(pipeline), lines: Vec::new() }
    }

    pub(super) fn tell(&mut self, line: impl Into<String>) {
        let line = line.into();
        tracing::info!(pipeline = %self.pipeline, "{line}");
        self.lines.push(line);
    }
}

/// What is to be run next.
#[derive(Debug)]
pub(super) struct Wanted {
    /// What runs now.
    pub running: Arc<Pipeline>,
    pub sandbox: Sandbox,
    pub maker: LiveMaker,
    pub generations: Arc<Generations>,
    pub what: What,
    /// Nothing takes over.
    pub is_dry: bool,
}

#[derive(Debug)]
pub(super) enum What {
    /// What the files say.
    Written,
    /// The same, with another plugin in a step.
    Plugin(PluginSwap),
    /// One that ran before.
    Kept(Arc<Pipeline>),
}

/// A generation that did as it should apart from the stream.
struct Tested {
    next: Live,
    /// What there is to tell.
    lines: Vec<String>,
}

impl Wanted {
    /// Asks every gate. What is refused comes with its generation, if that is judged by it.
    pub(super) async fn pass(
        self,
        told: &mut Told,
    ) -> Result<Passed<Arc<Pipeline>>, (Refusal, Option<Digest>)> {
        // The sink may be busy with the stream for a while.
        let archive = Arc::clone(&self.generations.current().sink.ledger().archive);
        let (loaded, judgements) = tokio::join!(self.loaded(told), archive.judgements());
        let pipeline = loaded.map_err(|refusal| (refusal, None))?;
        let generation = pipeline.generation();
        // What is only looked at, or has run before, is not judged; nor what begins anew, by the rule alone.
        let is_new = !self.is_dry
            && !matches!(self.what, What::Kept(_))
            && matches!(self.running.change_to(&pipeline), Change::Rule);
        let digest = is_new.then_some(generation.digest);
        let judged = self.judged(pipeline, generation, judgements, told).await;
        judged.map_err(|refusal| (refusal, digest))
    }

    /// Read, compiled, of this contract, configured.
    async fn loaded(&self, told: &mut Told) -> Result<Arc<Pipeline>, Refusal> {
        let began = Instant::now();
        let swaps = match &self.what {
            What::Kept(pipeline) => return Ok(Arc::clone(pipeline)),
            What::Written => Vec::new(),
            What::Plugin(swap) => vec![swap.clone()],
        };
        let (running, sandbox) = (Arc::clone(&self.running), self.sandbox.gentle());
        let loaded = aside(move || {
            let steps = running.rule.as_ref().map_or(&[][..], |rule| &rule.steps);
            let workshop = Workshop { sandbox: &sandbox, running: steps, swaps: &swaps };
            Pipeline::load_in(&running.path, workshop)
        });
        let loaded = loaded.await.map_err(|found| Refusal::Written { found })?;
        told.lines.extend(self.told(&loaded, began.elapsed()));
        Ok(Arc::new(loaded))
    }

    /// What it took to load it.
    fn told(&self, loaded: &Pipeline, took: Duration) -> Option<String> {
        let steps = |pipeline: &Pipeline| {
            pipeline.rule.iter().flat_map(|rule| rule.steps.clone()).collect::<Vec<_>>()
        };
        let known: Vec<_> =
            steps(&self.running).iter().map(|step| step.step.plugin().file().digest()).collect();
        let compiled: Vec<_> = steps(loaded)
            .iter()
            .filter(|step| !known.contains(&step.step.plugin().file().digest()))
            .map(|step| format!("{} ({})", step.id, time(step.step.plugin().compiled().took)))
            .collect();
        let line = if compiled.is_empty() {
            format!("read and configured in {}; no plugin is new", time(took))
        } else {
            format!("compiled {}; read and configured in {}", compiled.join(", "), time(took))
        };
        tracing::info!(pipeline = %loaded.name, "{line}");
        Some(line)
    }

    async fn judged(
        self,
        pipeline: Arc<Pipeline>,
        generation: Generation,
        judgements: Result<Vec<Judgement>, ConnectorError>,
        told: &mut Told,
    ) -> Result<Passed<Arc<Pipeline>>, Refusal> {
        match self.running.change_to(&pipeline) {
            Change::Name => {
                let (running, written) =
                    (Arc::clone(&self.running.name), Arc::clone(&pipeline.name));
                return Err(Refusal::Name { running, written });
            }
            Change::Nothing => return Ok(Passed::Same),
            Change::Restart if matches!(self.what, What::Written) && !self.is_dry => {
                tests(&pipeline).await?;
                let could_begin = self.maker.could_begin(&pipeline, &self.running).await;
                could_begin.map_err(|cause| Refusal::Start(Box::new(cause)))?;
                return Ok(Passed::Restart(pipeline));
            }
            Change::Restart => return Err(Refusal::NotOnlyTheRule),
            Change::Rule => {}
        }
        refuse_marked(generation.digest, &judgements.map_err(Refusal::Sink)?)?;
        let live = self.generations.current();
        let next = self.maker.live(&pipeline, &live).await.map_err(Refusal::Columns)?;
        let next = next.to_be_kept(generation);
        let has_other_columns = !Arc::ptr_eq(&next.writer, &live.writer);
        let Tested { mut next, lines } = self.tested(&pipeline, &live, next).await?;
        if has_other_columns {
            told.tell("the sink takes the new columns");
        }
        lines.into_iter().for_each(|line| told.tell(line));
        if self.is_dry {
            return Ok(Passed::Tried);
        }
        if has_other_columns {
            self.maker.make_place(&mut next).await.map_err(Refusal::Columns)?;
        }
        Ok(Passed::Ready(Box::new(Ready { pipeline, live: next })))
    }

    async fn tested(
        &self,
        pipeline: &Arc<Pipeline>,
        live: &Arc<Live>,
        next: Live,
    ) -> Result<Tested, Refusal> {
        let mut lines: Vec<_> = tests(pipeline).await?.into_iter().collect();
        let (next, found) = self.tried(live, next).await?;
        lines.push(format!("tried {found}{}", in_time(&found)));
        Ok(Tested { next, lines })
    }

    async fn tried(&self, live: &Arc<Live>, next: Live) -> Result<(Live, Tried), Refusal> {
        let (live, batches) = (Arc::clone(live), self.generations.ring().recent());
        let limits = self.running.limits.probation.clone();
        aside(move || {
            let found = trial(&live, &next, &batches, &limits)?;
            Ok((next, found))
        })
        .await
    }
}

/// A generation that was rolled back does not come back by itself.
fn refuse_marked(generation: Digest, judgements: &[Judgement]) -> Result<(), Refusal> {
    match judgement_of(generation, judgements) {
        Some(Judgement { verdict: Verdict::RolledBack, reason, .. }) => {
            Err(Refusal::Marked { generation, reason: reason.clone().unwrap_or_default() })
        }
        Some(_) | None => Ok(()),
    }
}

fn in_time(found: &Tried) -> String {
    if found.records == 0 { String::new() } else { format!("; in {}", time(found.took)) }
}

/// The tests of a rule; what they say if there are any.
pub(super) async fn tests(pipeline: &Arc<Pipeline>) -> Result<Option<String>, Refusal> {
    let pipeline = Arc::clone(pipeline);
    aside(move || match &pipeline.rule {
        Some(rule) if !rule.tests.is_empty() => {
            let began = Instant::now();
            let halted = |name: &str, cause| {
                let (name, cause) = (name.to_owned(), Box::new(cause));
                Refusal::TestHalted { name, cause }
            };
            // Nobody hears what plugins say to tests.
            let quiet = rule.quiet().map_err(|error| halted("", error.into()))?;
            let limits = pipeline.limits.to_decode_limits();
            let tests = RuleTests::new(&quiet, limits).map_err(|error| halted("", error))?;
            let mut failed = Vec::new();
            for test in &rule.tests {
                let name = &test.test.name;
                let differences = tests.run(&test.test).map_err(|error| halted(name, error))?;
                if !differences.is_empty() {
                    failed.push(FailedTest { name: name.clone(), differences });
                }
            }
            match rule.tests.len() {
                tests if !failed.is_empty() => Err(Refusal::Tests { tests, failed }),
                1 => Ok(Some(format!("the rule's test passed in {}", time(began.elapsed())))),
                tests => Ok(Some(format!("{tests} tests passed in {}", time(began.elapsed())))),
            }
        }
        Some(_) => Ok(Some("the rule has no tests: only the trial speaks for it".to_owned())),
        None => Ok(None),
    })
    .await
}

/// Somewhere where it holds nobody up.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// 12 ms, 10m
pub(super) fn time(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{} ms", time.as_millis());
    }
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}
