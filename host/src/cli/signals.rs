//! Ctrl-C and its like: the first one drains, the second one stops at once.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{CliError, Exit, output};

/// Which signal came, if one did.
#[derive(Debug, Clone, Default)]
pub(super) struct Signalled(Arc<AtomicU8>);

impl Signalled {
    pub(super) fn exit(&self) -> Option<Exit> {
        let number = self.0.load(Ordering::Acquire);
        (number != 0).then_some(Exit::Signal(number))
    }
}

/// Cancels `drain` at the first signal.
pub(super) fn drain_on_signal(drain: CancellationToken) -> Result<Signalled, CliError> {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| CliError::environment("signals cannot be listened to").because(&error))
    };
    let mut interrupts = listen(SignalKind::interrupt())?;
    let mut terminations = listen(SignalKind::terminate())?;
    let signalled = Signalled::default();
    let noted = signalled.clone();
    tokio::spawn(async move {
        loop {
            let kind = tokio::select! {
                Some(()) = interrupts.recv() => SignalKind::interrupt(),
                Some(()) = terminations.recv() => SignalKind::terminate(),
                else => return,
            };
            let number = kind.as_raw_value() as u8;
            if drain.is_cancelled() {
                process::exit(Exit::Signal(number).code().into());
            }
            noted.0.store(number, Ordering::Release);
            output::talk("committing what was read; once more to stop at once");
            drain.cancel();
        }
    });
    Ok(signalled)
}
