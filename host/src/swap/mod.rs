//! Hot swap: another rule takes over while its pipeline runs.
//!
//! What is written is read whole and passes gate after gate beside the stream ([`gates`], [`trial`]); only
//! then does it take over, between two batches of each lane. For a while it is watched beside the generation
//! before, which takes over again if the new one does worse: lanes decide that for themselves
//! ([`Generations`]), and what is left to do here is to write down the verdict and to tell people. A
//! generation that did badly is not begun with again, in whichever process ([`start`]). What is written of
//! the source or the sink is another matter: then the pipeline's lanes end and begin anew.

mod choice;
mod control;
mod gates;
mod kept;
mod known;
pub(crate) mod machine;
mod request;
mod start;
mod swapper;
mod trial;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::sleep;

pub use control::{Control, ControlError, ask};
pub use gates::{FailedTest, Refusal};
pub use kept::{KeptGenerationError, kept_generation};
pub use known::{Known, KnownGeneration, known};
pub use request::{Answer, Asked, GenerationStatus, Request, Standing};
pub use trial::{TrialFault, Tried};

#[cfg(test)]
pub(crate) use self::choice::{Choice, choose, good_beside, proven_beside};

use self::start::First;
use self::swapper::{Restart, Swapper};
use self::watch::Watch;
use crate::pipeline::Pipeline;
use crate::plugin::Sandbox;
use crate::record::{ConnectorError, ErrorClass};
use crate::run::{Connected, Halt, PipelineError, PipelineRun, Running, closed};
use crate::source::Source;

/// Between two tries to read what a process begins with.
const AGAIN: Duration = Duration::from_secs(1);

/// How a pipeline went that ended without an error.
enum End {
    Over,
    Restart(Restart),
}

/// How a pipeline went.
struct Course {
    end: Result<End, PipelineError>,
    /// Its source and its sink fit each other: from then on an error is not about what was edited.
    has_claimed: bool,
    has_committed: bool,
    source: Option<Arc<dyn Source>>,
}

/// Runs a pipeline to its end, whatever is written of it meanwhile.
pub async fn run(
    run: PipelineRun,
    sandbox: Sandbox,
    mut requests: mpsc::Receiver<Request>,
) -> Result<(), PipelineError> {
    let mut watch = Watch::new(run.pipeline.watch, run.pipeline.files());
    let mut next = run.clone();
    // What ran before the source or the sink was another one.
    let mut before: Option<Arc<Pipeline>> = None;
    // What was read last: whoever asks it something meanwhile has an answer.
    let mut source: Option<Arc<dyn Source>> = None;
    loop {
        let pipeline = Arc::clone(&next.pipeline);
        let this = PipelineRun { drain: run.drain.child_token(), ..next.clone() };
        let mut went = run_once(this, source.take(), &sandbox, &mut watch, &mut requests).await;
        source = went.source.take();
        // A source that cannot be read again goes on where it is.
        let goes_on = !pipeline.source.facts().reopens;
        next.source = if goes_on { source.clone() } else { run.source.clone() };
        match went.end {
            Ok(End::Over) => {
                source_closed(source).await;
                return Ok(());
            }
            Ok(End::Restart(restart)) => {
                // What was not edited is not to be doubted: it is waited for as before.
                let is_connected_alike = restart.before.source == restart.next.source
                    && restart.before.sink == restart.next.sink;
                next.has_committed = is_connected_alike && went.has_committed;
                before = Some(restart.before);
                next.pipeline = restart.next;
            }
            Err(error) => {
                let Some(former) = before.take().filter(|_| !went.has_claimed) else {
                    source_closed(source).await;
                    return Err(error);
                };
                tracing::error!(
                    pipeline = %pipeline.name,
                    "what is written now does not start, and what ran before goes on: {error}"
                );
                next.pipeline = former;
                // It ran: what it needs is waited for.
                next.has_committed = true;
            }
        }
    }
}

/// Nothing is read any more: whoever waits for an answer is given one.
async fn source_closed(source: Option<Arc<dyn Source>>) {
    if let Some(source) = source {
        source.close().await;
    }
}

async fn run_once(
    run: PipelineRun,
    before: Option<Arc<dyn Source>>,
    sandbox: &Sandbox,
    watch: &mut Watch,
    requests: &mut mpsc::Receiver<Request>,
) -> Course {
    let (written, drain) = (Arc::clone(&run.pipeline), run.drain.clone());
    let listener = Arc::clone(&run.listener);
    let mut went = Course {
        end: Ok(End::Over),
        has_claimed: false,
        has_committed: false,
        // Until there is another one.
        source: run.source.clone().or(before),
    };
    let connected = match run.connect().await {
        Ok(Some(connected)) => connected,
        Ok(None) => return went,
        Err(error) => {
            went.end = Err(error);
            return went;
        }
    };
    went.source = Some(Arc::clone(&connected.source));
    let first = drain.run_until_cancelled(first(&written, &connected, sandbox)).await;
    let first = match first {
        Some(Ok(first)) => first,
        None => return went,
        Some(Err(error)) => {
            let cause = Arc::new(Halt::Sink(error));
            went.end = Err(PipelineError::NotStarted { cause });
            return went;
        }
    };
    let (maker, sink) = (connected.maker.clone(), Arc::clone(&connected.sink));
    let Running { generations, mut events, course, lanes } =
        connected.begin(Arc::clone(&first.live));
    let mut swapper = Swapper::new(&written, first, generations, maker, sandbox.clone(), listener);
    let mut lanes = std::pin::pin!(lanes);
    let (ended, end) = loop {
        tokio::select! {
            ended = &mut lanes => break (ended, End::Over),
            restart = swapper.serve(watch, &mut events, requests) => {
                if !written.source.facts().reopens && restart.next.source != written.source {
                    tracing::error!(
                        pipeline = %written.name,
                        "refused: what was taken from the standard input cannot be read again, so that \
                         another `source:` takes effect when it is run anew"
                    );
                    continue;
                }
                tracing::info!(
                    pipeline = %restart.next.name,
                    "the source or the sink is another one now: the lanes end, and begin anew"
                );
                drain.cancel();
                break (lanes.await, End::Restart(restart));
            }
        }
    };
    swapper.end(watch, &mut events, ended.is_ok() && !drain.is_cancelled()).await;
    closed(&*sink).await;
    went.has_claimed = course.has_claimed();
    went.has_committed = course.has_committed();
    went.end = ended.map(|()| end);
    went
}

/// What the process begins with. A sink that does not answer is asked again.
async fn first(
    written: &Arc<Pipeline>,
    connected: &Connected,
    sandbox: &Sandbox,
) -> Result<First, ConnectorError> {
    let mut since = None;
    loop {
        let error = match start::first(written, connected, sandbox).await {
            Ok(first) => return Ok(first),
            Err(error) => error,
        };
        let since = *since.get_or_insert_with(Instant::now);
        let is_late = since.elapsed() >= connected.patience();
        if is_late || error.class != ErrorClass::Transient {
            return Err(error);
        }
        sleep(AGAIN).await;
    }
}
