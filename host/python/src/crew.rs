//! The threads that clean for a rule. They are kept with it: to make a plugin's instance takes longer than
//! to clean a few hundred rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{io, thread};

use pinhost::record::RawBatch;
use pinhost::run::{FunctionRows, RuleFunction};

use crate::process::{STACK_BYTES, locked, said};

/// Batches that a thread is given at once: one that it cleans, one that waits for it.
pub const JOBS_MAX: usize = 2;

/// Threads that are kept for the next call; each has a plugin's memory.
const IDLE_MAX: usize = 8;

#[derive(Debug)]
pub struct Job {
    pub raw: RawBatch,
    /// The number of its first record.
    pub from: u64,
}

/// Or why the batch halts.
pub type Answer = Result<FunctionRows, String>;

/// A thread that cleans, in the order in which it is told.
#[derive(Debug)]
pub struct Hand {
    pub jobs: SyncSender<Job>,
    pub answers: Receiver<Answer>,
    /// Jobs whose answers were not taken yet.
    pub waiting: usize,
}

#[derive(Debug)]
pub struct Crew {
    function: RuleFunction,
    idle: Mutex<Vec<Hand>>,
}

impl Crew {
    pub fn new(function: RuleFunction) -> Self {
        Self { function, idle: Mutex::default() }
    }

    pub fn function(&self) -> &RuleFunction {
        &self.function
    }

    /// One for the caller alone, until it is given back or dropped.
    pub fn hand(&self) -> io::Result<Hand> {
        if let Some(hand) = locked(&self.idle).pop() {
            return Ok(hand);
        }
        let (jobs, given) = sync_channel::<Job>(JOBS_MAX);
        let (done, answers) = sync_channel(JOBS_MAX);
        let function = self.function.clone();
        thread::Builder::new()
            .name("pinhost-clean".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || work(&function, &given, &done))?;
        Ok(Hand { jobs, answers, waiting: 0 })
    }

    pub fn give_back(&self, hand: Hand) {
        let mut idle = locked(&self.idle);
        // One that still works on what nobody wants ends by itself.
        if hand.waiting == 0 && idle.len() < IDLE_MAX {
            idle.push(hand);
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
            Err(panic) => Err(said(&*panic)),
        };
        if done.send(answer).is_err() {
            return;
        }
    }
}
