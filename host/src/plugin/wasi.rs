//! WASI for components whose languages cannot do without it: everything is there and nothing is in
//! it. No files, no network, no environment; a clock that stands still; randomness that repeats.
//! What is written to stdout and stderr becomes lines of the plugin's log.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamResult, subscribe};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiView};

use super::log::{GuestLog, LogLevel};

/// What `clean` of every instance finds if it asks for randomness.
const SEED: &[u8] = b"pinhost: the same for every instance, so that a row is always cleaned alike";

pub(crate) fn context(log: &Arc<Mutex<GuestLog>>) -> WasiCtx {
    let mut bytes = vec![0; 4096];
    blake3::Hasher::new().update(SEED).finalize_xof().fill(&mut bytes);
    WasiCtxBuilder::new()
        .stdout(Lines::new(log, LogLevel::Info))
        .stderr(Lines::new(log, LogLevel::Error))
        .wall_clock(Standing)
        .monotonic_clock(Standing)
        .secure_random(Deterministic::new(bytes.clone()))
        .insecure_random(Deterministic::new(bytes))
        .insecure_random_seed(0)
        .max_random_size(64 * 1024)
        .allow_tcp(false)
        .allow_udp(false)
        .build()
}

/// Links WASI, save that nobody can sleep: a wait for the clock is over at once.
pub(crate) fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<T, StandingClock>(linker, |state| Waits(state.ctx().table))?;
    linker.allow_shadowing(false);
    Ok(())
}

struct Standing;

impl HostWallClock for Standing {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Standing {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

struct StandingClock;

impl HasData for StandingClock {
    type Data<'a> = Waits<'a>;
}

struct Waits<'a>(&'a mut ResourceTable);

impl Waits<'_> {
    fn over(&mut self) -> wasmtime::Result<Resource<DynPollable>> {
        let over = self.0.push(Over)?;
        subscribe(self.0, over)
    }
}

impl monotonic_clock::Host for Waits<'_> {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        Ok(HostMonotonicClock::now(&Standing))
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Duration> {
        Ok(HostMonotonicClock::resolution(&Standing))
    }

    fn subscribe_instant(
        &mut self,
        _: monotonic_clock::Instant,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        self.over()
    }

    fn subscribe_duration(
        &mut self,
        _: monotonic_clock::Duration,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        self.over()
    }
}

struct Over;

#[wasmtime_wasi::async_trait]
impl Pollable for Over {
    async fn ready(&mut self) {}
}

/// A stream of which every line goes to the log.
#[derive(Clone)]
struct Lines {
    log: Arc<Mutex<GuestLog>>,
    level: LogLevel,
}

impl Lines {
    fn new(log: &Arc<Mutex<GuestLog>>, level: LogLevel) -> Self {
        Self { log: Arc::clone(log), level }
    }

    fn take(&self, bytes: &[u8]) {
        self.log.lock().expect("no panic while it is held").write_bytes(self.level, bytes);
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    // Without the task in between that the default makes: a line is in the log before the call ends.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
