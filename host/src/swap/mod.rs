//! Hot swap: another rule takes over while its pipeline runs.
//!
//! What is written is read whole and passes gate after gate beside the stream ([`gates`], [`trial`]); only
//! then does it take over, between two batches of each lane. For a while it is watched beside the generation
//! before, which takes over again if the new one does worse: lanes decide that for themselves
//! ([`Generations`]), and what is left to do here is to write down the verdict and to tell people. A
//! generation that did badly is not begun with again, in whichever process ([`start`]). What is written of
//! the source or the sink is another matter: then the pipeline's lanes end and begin anew.

mod control;
mod gates;
mod kept;
mod known;
mod request;
mod start;
mod swapper;
mod trial;
mod watch;

use std::sync::Arc;

use tokio::sync::mpsc;

pub use control::{Control, ControlError, ask};
pub use gates::{FailedTest, Refusal};
pub use kept::{KeptGenerationError, kept_generation};
pub use known::{Known, KnownGeneration, known};
pub use request::{Answer, Asked, GenerationStatus, Request, Standing};
pub use trial::{TrialFault, Tried};

use self::swapper::{Restart, Swapper};
use self::watch::Watch;
use crate::pipeline::Pipeline;
use crate::plugin::Sandbox;
use crate::run::{Halt, PipelineError, PipelineRun, Running, closed};

/// How a pipeline went that ended without an error.
enum End {
    Over,
    Restart(Restart),
}

/// Runs a pipeline to its end, whatever is written of it meanwhile.
pub async fn run(
    run: PipelineRun,
    sandbox: Sandbox,
    mut requests: mpsc::Receiver<Request>,
) -> Result<(), PipelineError> {
    let mut pipeline = Arc::clone(&run.pipeline);
    let mut watch = Watch::new(pipeline.watch, pipeline.files());
    // What ran before the source or the sink was another one.
    let mut before: Option<Arc<Pipeline>> = None;
    loop {
        let this = PipelineRun {
            pipeline: Arc::clone(&pipeline),
            drain: run.drain.child_token(),
            ..run.clone()
        };
        match run_once(this, &sandbox, &mut watch, &mut requests).await {
            Ok(End::Over) => return Ok(()),
            Ok(End::Restart(restart)) => {
                before = Some(restart.before);
                pipeline = restart.next;
            }
            Err(PipelineError::NotStarted { cause }) if before.is_some() => {
                tracing::error!(
                    pipeline = %pipeline.name,
                    "what is written now does not start, and what ran before goes on: {cause}"
                );
                pipeline = before.take().unwrap_or(pipeline);
            }
            Err(error) => return Err(error),
        }
    }
}

async fn run_once(
    run: PipelineRun,
    sandbox: &Sandbox,
    watch: &mut Watch,
    requests: &mut mpsc::Receiver<Request>,
) -> Result<End, PipelineError> {
    let (written, drain) = (Arc::clone(&run.pipeline), run.drain.clone());
    let stats = Arc::clone(&run.stats);
    let Some(connected) = run.connect().await? else { return Ok(End::Over) };
    let first = start::first(&written, &connected, sandbox).await;
    let first = first.map_err(|error| PipelineError::NotStarted { cause: Halt::Sink(error) })?;
    let (maker, sink) = (connected.maker.clone(), Arc::clone(&connected.sink));
    let Running { generations, mut events, lanes } = connected.begin(Arc::clone(&first.live));
    let mut swapper = Swapper::new(written, first, generations, maker, sandbox.clone(), stats);
    let mut lanes = std::pin::pin!(lanes);
    let (ended, end) = tokio::select! {
        ended = &mut lanes => (ended, End::Over),
        restart = swapper.serve(watch, &mut events, requests) => {
            tracing::info!(
                pipeline = %restart.next.name,
                "the source or the sink is another one now: the lanes end, and begin anew"
            );
            drain.cancel();
            (lanes.await, End::Restart(restart))
        }
    };
    swapper.end(&mut events, ended.is_ok() && !drain.is_cancelled()).await;
    closed(&*sink).await;
    ended.map(|()| end)
}
