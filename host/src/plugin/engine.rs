//! The sandbox: wasmtime's engines, set up once, and the folder where compiled components are kept.
//!
//! What takes over from a plugin that runs is compiled twice: quickly, so that it can take over, and well, on
//! a thread that gives way to all others.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::component::Component;
use wasmtime::{Cache, CacheConfig, Config, Engine, OptLevel, RegallocAlgorithm, Strategy};

use super::v1;
use crate::private_folder::own;

/// How often deadlines are looked at; a call may run this much longer than its limit.
const TICK: Duration = Duration::from_millis(10);

/// How long a plugin runs as it was compiled quickly, at least: while it takes over, nothing else is to ask
/// for a core.
const CALM: Duration = Duration::from_secs(2);

/// Code that was made quickly may take so many times longer. Mostly it takes twice as long.
const PATIENCE: u32 = 4;

/// How much the folder of compiled components may hold before the oldest are removed.
const CACHE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Where compiled components are kept between runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CacheFolder {
    /// `PINHOST_CACHE_DIR`, or a folder of our own below the user's cache folder.
    #[default]
    Usual,
    At(PathBuf),
    Off,
}

#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("this machine cannot run the sandbox: {0}")]
    Engine(wasmtime::Error),
}

/// Whose process plugins run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    Ours,
    /// Its signal handlers are not ours, and it may fork. Python's is one.
    Shared,
}

/// What all plugins of a process share. Cloning it is cheap.
#[derive(Clone)]
pub struct Sandbox {
    engines: Arc<Engines>,
    is_gentle: bool,
}

struct Engines {
    process: Process,
    cache: Option<Cache>,
    /// Ends calls by the clock: for all that is run as a whole.
    timed: v1::Runtime,
    /// The same for what is compiled in a hurry. Made when first needed: many runs have none of it.
    quick: OnceLock<Option<v1::Runtime>>,
    /// Ends calls by the number of instructions, for rows that are judged alone. Made when first
    /// needed: most runs have no such row.
    metered: OnceLock<Result<v1::Runtime, String>>,
    /// To the thread that compiles well what was compiled quickly.
    improvements: OnceLock<Option<mpsc::Sender<Improvement>>>,
}

/// Compiles something well, with the engine that is given to it.
type Improve = Box<dyn FnOnce(&v1::Runtime) + Send>;

struct Improvement {
    not_before: Instant,
    improve: Improve,
}

/// How machine code is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// As good as can be, on all cores.
    Good,
    /// The same on one core.
    GoodOnOneCore,
    /// In a tenth of the time, on all cores.
    Quick,
}

impl Code {
    /// How many times longer it may take.
    pub(crate) fn patience(self) -> u32 {
        match self {
            Self::Good | Self::GoodOnOneCore => 1,
            Self::Quick => PATIENCE,
        }
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sandbox")
    }
}

/// What ends a call that does not end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metering {
    Time,
    /// Instructions, and time where that is not the plugin's own.
    Fuel,
}

impl Sandbox {
    pub fn new(folder: &CacheFolder) -> Result<Self, SandboxError> {
        Self::of(Process::Ours, folder)
    }

    /// A sandbox in somebody else's process. It traps without signals, because others replace their
    /// handlers, and compiles without a thread pool, which would not survive a fork. Plugins run about a
    /// tenth slower for it, and compile half as fast.
    ///
    /// Its clock is a thread, so a fork needs a sandbox of its own.
    pub fn embedded(folder: &CacheFolder) -> Result<Self, SandboxError> {
        Self::of(Process::Shared, folder)
    }

    fn of(process: Process, folder: &CacheFolder) -> Result<Self, SandboxError> {
        let cache = cache(folder);
        let timed =
            runtime(Metering::Time, Code::Good, process, &cache).map_err(SandboxError::Engine)?;
        let (quick, metered, improvements) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let engines = Arc::new(Engines { process, cache, timed, quick, metered, improvements });
        Ok(Self { engines, is_gentle: false })
    }

    /// The same for plugins that are to take over from others that run: they are compiled quickly, and well
    /// by and by.
    #[must_use]
    pub fn gentle(&self) -> Self {
        Self { is_gentle: true, ..self.clone() }
    }

    /// Machine code whose calls end by the clock, and what runs it.
    pub(crate) fn compile(&self, bytes: &[u8]) -> wasmtime::Result<(Component, &v1::Runtime)> {
        let engines = &*self.engines;
        let quick = || {
            let make =
                || runtime(Metering::Time, Code::Quick, engines.process, &engines.cache).ok();
            let quick = engines.quick.get_or_init(make).as_ref()?;
            // The compiler that is quick does not know all that the good one does.
            Some((quick.compile(bytes).ok()?, quick))
        };
        if self.is_gentle
            && let Some(compiled) = quick()
        {
            return Ok(compiled);
        }
        Ok((engines.timed.compile(bytes)?, &engines.timed))
    }

    /// Has something compiled well when nobody is in a hurry.
    pub(crate) fn improve(&self, improve: impl FnOnce(&v1::Runtime) + Send + 'static) {
        let engines = &*self.engines;
        let start = || improving(engines.process, engines.cache.clone());
        let thread = engines.improvements.get_or_init(start);
        if let Some(thread) = thread {
            let not_before = Instant::now() + CALM;
            // Without the thread it stays as it is.
            let _ = thread.send(Improvement { not_before, improve: Box::new(improve) });
        }
    }

    /// How many components came from the cache so far.
    pub(crate) fn cache_hits(&self) -> usize {
        self.engines.cache.as_ref().map_or(0, Cache::cache_hits)
    }

    pub(crate) fn metered(&self) -> Result<&v1::Runtime, &str> {
        let made = self.engines.metered.get_or_init(|| {
            runtime(Metering::Fuel, Code::Good, self.engines.process, &self.engines.cache)
                .map_err(|error| format!("{error:#}"))
        });
        made.as_ref().map_err(String::as_str)
    }
}

/// Starts a thread that lasts as long as somebody can send it something; none if there is no such thread to be
/// had.
fn improving(process: Process, cache: Option<Cache>) -> Option<mpsc::Sender<Improvement>> {
    let (sender, improvements) = mpsc::channel::<Improvement>();
    let work = move || {
        give_way();
        let code = Code::GoodOnOneCore;
        let Ok(runtime) = runtime(Metering::Time, code, process, &cache) else { return };
        for Improvement { not_before, improve } in improvements {
            thread::sleep(not_before.saturating_duration_since(Instant::now()));
            improve(&runtime);
        }
    };
    thread::Builder::new().name("pinhost-compile".to_owned()).spawn(work).ok()?;
    Some(sender)
}

/// Leaves other threads ten times as much of a core. Where that cannot be had, it is one among them.
fn give_way() {
    #[cfg(unix)]
    let _ = rustix::process::nice(10);
}

fn runtime(
    metering: Metering,
    code: Code,
    process: Process,
    cache: &Option<Cache>,
) -> wasmtime::Result<v1::Runtime> {
    let engine = Engine::new(&config(metering, code, process, cache.clone()))?;
    tick(&engine);
    v1::Runtime::new(engine, metering, code)
}

fn config(metering: Metering, code: Code, process: Process, cache: Option<Cache>) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Calls are synchronous; without this each costs 112 ns and not 396.
        .concurrency_support(false)
        // Also where instructions are counted: what the host does for a plugin costs none.
        .epoch_interruption(true)
        .consume_fuel(metering == Metering::Fuel)
        // The same row gives the same answer on every machine.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        // Less to attack, and nothing that a cleaning rule needs. Threads, GC, exceptions and
        // component-model async are not even compiled in.
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .shared_memory(false)
        .max_wasm_stack(1024 * 1024)
        .wasm_backtrace_max_frames(NonZeroUsize::new(20))
        .signals_based_traps(process == Process::Ours)
        .parallel_compilation(process == Process::Ours && code != Code::GoodOnOneCore)
        .cache(cache);
    if code == Code::Quick {
        config
            .cranelift_opt_level(OptLevel::None)
            .cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
        // It leaves NaNs as the processor makes them: which bits they have is all that can differ.
        if cfg!(target_arch = "x86_64") {
            config.strategy(Strategy::Winch);
        }
    }
    config
}

/// Moves the engine's clock on, for as long as there is the engine.
fn tick(engine: &Engine) {
    let engine = engine.weak();
    thread::Builder::new()
        .name("pinhost-deadlines".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })
        .expect("the machine can start a thread");
}

/// Ticks after which a call has had at least `limit`.
pub(crate) fn ticks(limit: Duration) -> u64 {
    // The tick under way may end at any moment.
    limit.as_millis().div_ceil(TICK.as_millis()) as u64 + 1
}

/// A cache that cannot be had is done without: plugins then take a moment longer to load.
fn cache(folder: &CacheFolder) -> Option<Cache> {
    let folder = match folder {
        CacheFolder::Off => return None,
        CacheFolder::At(folder) => folder.clone(),
        CacheFolder::Usual => usual_folder()?,
    };
    // What lies in it is run as machine code.
    let made = || {
        own(&folder).map_err(|cause| cause.to_string())?;
        let mut config = CacheConfig::new();
        config
            .with_directory(folder.canonicalize().map_err(|cause| cause.to_string())?)
            .with_files_total_size_soft_limit(CACHE_BYTES_MAX);
        Cache::new(config).map_err(|cause| cause.to_string())
    };
    made()
        .inspect_err(|cause| {
            tracing::debug!("compiled plugins are not kept in {}: {cause}", folder.display());
        })
        .ok()
}

fn usual_folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;

    if let Some(folder) = std::env::var_os("PINHOST_CACHE_DIR") {
        return (!folder.is_empty()).then(|| PathBuf::from(folder));
    }
    Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("pinhost"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_that_others_can_reach_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let ours = folder.path().join("a/b");
        assert!(own(&ours).is_ok());
        assert_eq!(ours.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::set_permissions(&ours, std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(own(&ours).is_err());
        assert!(cache(&CacheFolder::At(ours)).is_none());
    }

    #[test]
    fn a_call_gets_its_whole_time() {
        assert_eq!(ticks(Duration::from_millis(250)), 26);
        assert_eq!(ticks(Duration::from_millis(1)), 2);
    }
}
