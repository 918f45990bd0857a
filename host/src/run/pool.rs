//! Cleaning threads: plugins run on threads of their own, one instance of each step on each.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::chain::ChainHalted;
use super::clean::{CleanedBatch, Worker};
use super::live::Live;
use crate::record::RawBatch;

/// Rules that a thread keeps instances of: those of several pipelines, before and after a swap.
const WORKERS_MAX: usize = 8;

/// What hands batches to the cleaning threads, which end when the last of these is dropped.
#[derive(Debug, Clone)]
pub struct Pool {
    jobs: mpsc::Sender<Job>,
    threads: usize,
}

#[derive(Debug)]
struct Job {
    live: Arc<Live>,
    raw: Arc<RawBatch>,
    answer: Box<dyn Answer>,
}

/// Where the result of a batch goes.
pub(super) trait Answer: Debug + Send {
    /// Whether anybody still waits for it.
    fn is_wanted(&self) -> bool;

    fn give(self: Box<Self>, result: CleanResult);
}

impl Answer for oneshot::Sender<CleanResult> {
    fn is_wanted(&self) -> bool {
        !self.is_closed()
    }

    fn give(self: Box<Self>, result: CleanResult) {
        let _ = self.send(result);
    }
}

pub(crate) type CleanResult = Result<CleanedBatch, Uncleanable>;

/// Why a batch is not cleaned.
#[derive(Debug, thiserror::Error)]
pub enum Uncleanable {
    #[error(transparent)]
    Halted(#[from] Box<ChainHalted>),
    /// A bug of ours; the batch has gone nowhere.
    #[error("pinhost itself failed on a batch: {0}")]
    Bug(String),
}

impl Pool {
    pub fn start(threads: usize) -> io::Result<Self> {
        // Whoever submits waits while it is full: what is on its way is bounded by each lane as well.
        let (jobs, queue) = mpsc::channel(threads * 2);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(format!("clean-{number}")).spawn(move || work(&queue))?;
        }
        Ok(Self { jobs, threads })
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Queues a batch; waits while the queue is full.
    pub(super) async fn clean(
        &self,
        live: &Arc<Live>,
        raw: Arc<RawBatch>,
    ) -> oneshot::Receiver<CleanResult> {
        let (done, result) = oneshot::channel();
        let job = Job { live: Arc::clone(live), raw, answer: Box::new(done) };
        self.jobs.send(job).await.expect("cleaning threads live as long as the pool");
        result
    }

    /// Queues a batch, behind others where the queue is full; waits for nothing.
    pub(super) fn hand_in(&self, live: &Arc<Live>, raw: Arc<RawBatch>, answer: Box<dyn Answer>) {
        let job = Job { live: Arc::clone(live), raw, answer };
        let Err(TrySendError::Full(job)) = self.jobs.try_send(job) else { return };
        let jobs = self.jobs.clone();
        // Nobody is left to hear of it once the pool has ended.
        tokio::spawn(async move {
            let _ = jobs.send(job).await;
        });
    }
}

fn work(queue: &Mutex<mpsc::Receiver<Job>>) {
    let mut workers: Vec<(Arc<Live>, Worker)> = Vec::new();
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(Job { live, raw, answer }) = job else { return };
        // Instances hold memory: those of a generation that is gone for good are let go.
        workers.retain(|(known, _)| !known.is_retired());
        // Nobody waits for it: its lane has ended.
        if !answer.is_wanted() {
            continue;
        }
        let at = workers.iter().position(|(known, _)| Arc::ptr_eq(known, &live));
        let mut worker = match at {
            Some(at) => workers.remove(at).1,
            None => Worker::new(&live),
        };
        let result = match catch_unwind(AssertUnwindSafe(|| worker.clean(&raw))) {
            Ok(result) => {
                // The one used last stands last.
                workers.push((live, worker));
                if workers.len() > WORKERS_MAX {
                    workers.remove(0);
                }
                result.map_err(Uncleanable::from)
            }
            Err(panic) => Err(Uncleanable::Bug(said(&*panic))),
        };
        answer.give(result);
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}
