//! What belongs to one process: the sandbox, and threads of our own.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use pinhost::plugin::{CacheFolder, Sandbox};
use pyo3::prelude::*;

use crate::error::{RuleError, os_error};

/// A plugin may use 1 MiB, and the code that calls it needs some too. Most of the stack is never touched.
pub const STACK_BYTES: usize = 8 << 20;

/// How often Ctrl-C is looked for while we wait.
pub const PATIENCE: Duration = Duration::from_millis(50);

pub fn id() -> u32 {
    std::process::id()
}

/// Held only while the GIL is.
static SANDBOX: Mutex<Option<(u32, Sandbox)>> = Mutex::new(None);

/// The sandbox of this process.
pub fn sandbox(py: Python<'_>) -> PyResult<Sandbox> {
    let pid = id();
    if let Some((of, sandbox)) = &*locked(&SANDBOX)
        && *of == pid
    {
        return Ok(sandbox.clone());
    }
    let made = on_own_thread(py, || Sandbox::embedded(&CacheFolder::Usual))?;
    let made = made.map_err(|error| RuleError::new_err(error.to_string()))?;
    let mut sandbox = locked(&SANDBOX);
    match &*sandbox {
        // Another thread was faster.
        Some((of, sandbox)) if *of == pid => Ok(sandbox.clone()),
        _ => {
            // A fork never drops what its parent made: the parent's threads are not here.
            std::mem::forget(sandbox.replace((pid, made.clone())));
            Ok(made)
        }
    }
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does the work on a thread of our own, without the GIL. Ctrl-C ends the wait.
pub fn on_own_thread<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let (done, mut answer) = mpsc::sync_channel(1);
    let work = move || {
        // The caller may have been interrupted.
        let _ = done.send(catch_unwind(AssertUnwindSafe(work)));
    };
    let thread = thread::Builder::new().name("pinhost-rule".to_owned()).stack_size(STACK_BYTES);
    thread.spawn(work).map_err(|error| os_error(&error))?;
    loop {
        let (answered, back) = py.detach(move || (answer.recv_timeout(PATIENCE), answer));
        answer = back;
        match answered {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => unreachable!("a panic is caught"),
        }
    }
}

pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("pinhost itself failed: {}", text.unwrap_or("a panic"))
}

/// Waits for an answer and looks for Ctrl-C meanwhile. None if nobody is left to answer.
pub fn wait<T>(
    answers: &Receiver<T>,
    interrupted: &dyn Fn() -> Option<PyErr>,
) -> Result<Option<T>, PyErr> {
    loop {
        match answers.recv_timeout(PATIENCE) {
            Ok(answer) => return Ok(Some(answer)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(interrupt) = interrupted() {
                    return Err(interrupt);
                }
            }
        }
    }
}
