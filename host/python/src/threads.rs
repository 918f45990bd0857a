//! The threads that clean for a rule. The rule keeps them: making a plugin's instance takes longer than
//! cleaning a few hundred rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{io, thread};

use pinhost::record::RawBatch;
use pinhost::run::{FunctionRows, RuleFunction};

use crate::process::{STACK_BYTES, locked, panic_message};

/// Batches that a thread is given at once: it cleans one while the other waits.
pub const JOBS_MAX: usize = 2;

/// Threads that are kept for the next call. Each holds the memory of its plugins.
const IDLE_MAX: usize = 8;

#[derive(Debug)]
pub struct Job {
    pub raw: RawBatch,
    /// The number of its first record.
    pub from: u64,
}

/// The cleaned rows, or why the batch halts.
pub type Answer = Result<FunctionRows, String>;

/// A thread that cleans its jobs in order.
#[derive(Debug)]
pub struct CleaningThread {
    pub jobs: SyncSender<Job>,
    pub answers: Receiver<Answer>,
    /// Jobs whose answers have not been taken yet.
    pub waiting: usize,
}

#[derive(Debug)]
pub struct CleaningThreads {
    function: RuleFunction,
    idle: Mutex<Vec<CleaningThread>>,
}

impl CleaningThreads {
    pub fn new(function: RuleFunction) -> Self {
        Self { function, idle: Mutex::default() }
    }

    pub fn function(&self) -> &RuleFunction {
        &self.function
    }

    /// A thread for the caller alone, until it is given back or dropped.
    pub fn take(&self) -> io::Result<CleaningThread> {
        if let Some(thread) = locked(&self.idle).pop() {
            return Ok(thread);
        }
        let (jobs, given) = sync_channel::<Job>(JOBS_MAX);
        let (done, answers) = sync_channel(JOBS_MAX);
        let function = self.function.clone();
        thread::Builder::new()
            .name("pinhost-clean".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || work(&function, &given, &done))?;
        Ok(CleaningThread { jobs, answers, waiting: 0 })
    }

    pub fn give_back(&self, thread: CleaningThread) {
        let mut idle = locked(&self.idle);
        // A thread that still works for a caller who left ends by itself.
        if thread.waiting == 0 && idle.len() < IDLE_MAX {
            idle.push(thread);
        }
    }
}

fn work(function: &RuleFunction, jobs: &Receiver<Job>, done: &SyncSender<Answer>) {
    let mut kept = None;
    for Job { raw, from } in jobs {
        let mut worker = kept.take().unwrap_or_else(|| function.worker());
        let cleaned = catch_unwind(AssertUnwindSafe(|| worker.clean(&raw, from)));
        let answer = match cleaned {
            Ok(cleaned) => {
                kept = Some(worker);
                cleaned.map_err(|halted| halted.to_string())
            }
            Err(panic) => Err(panic_message(&*panic)),
        };
        if done.send(answer).is_err() {
            return;
        }
    }
}
