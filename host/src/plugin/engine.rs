//! The sandbox: wasmtime's engines, set up once, and the folder where compiled components are kept.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Cache, CacheConfig, Config, Engine};

use super::v1;
use crate::private_folder::own;

/// How often deadlines are looked at; a call may run this much longer than its limit.
const TICK: Duration = Duration::from_millis(10);

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

/// What all plugins of a process share. Cloning it is cheap.
#[derive(Clone)]
pub struct Sandbox {
    engines: Arc<Engines>,
    is_gentle: bool,
}

struct Engines {
    cache: Option<Cache>,
    /// Compiles on one thread, into the cache.
    gentle: OnceLock<Option<Engine>>,
    /// Ends calls by the clock: for all that is run as a whole.
    timed: v1::Runtime,
    /// Ends calls by the number of instructions, for rows that are judged alone. Made when first
    /// needed: most runs have no such row.
    metered: OnceLock<Result<v1::Runtime, String>>,
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
        let cache = cache(folder);
        let timed = runtime(Metering::Time, cache.clone()).map_err(SandboxError::Engine)?;
        let (gentle, metered) = (OnceLock::new(), OnceLock::new());
        let engines = Arc::new(Engines { cache, gentle, timed, metered });
        Ok(Self { engines, is_gentle: false })
    }

    /// The same for plugins that are compiled beside others that run: by one thread, and not by as many as
    /// there are cores.
    #[must_use]
    pub fn gentle(&self) -> Self {
        Self { is_gentle: true, ..self.clone() }
    }

    /// Compiles a component if it is to be done gently; what comes out waits in the cache. How many threads
    /// compile is set for a whole engine, and cannot be changed for one that runs plugins.
    pub(crate) fn compile_gently(&self, bytes: &[u8]) {
        let Some(cache) = self.engines.cache.as_ref().filter(|_| self.is_gentle) else { return };
        let made = self.engines.gentle.get_or_init(|| {
            let mut config = config(Metering::Time, Some(cache.clone()));
            config.parallel_compilation(false);
            Engine::new(&config).ok()
        });
        if let Some(engine) = made {
            // What is wrong with it is found out where it is taken from the cache.
            let _ = Component::new(engine, bytes);
        }
    }

    pub(crate) fn timed(&self) -> &v1::Runtime {
        &self.engines.timed
    }

    /// How many components came from the cache so far.
    pub(crate) fn cache_hits(&self) -> usize {
        self.engines.cache.as_ref().map_or(0, Cache::cache_hits)
    }

    pub(crate) fn metered(&self) -> Result<&v1::Runtime, &str> {
        let made = self.engines.metered.get_or_init(|| {
            runtime(Metering::Fuel, self.engines.cache.clone())
                .map_err(|error| format!("{error:#}"))
        });
        made.as_ref().map_err(String::as_str)
    }
}

fn runtime(metering: Metering, cache: Option<Cache>) -> wasmtime::Result<v1::Runtime> {
    let engine = Engine::new(&config(metering, cache))?;
    tick(&engine);
    v1::Runtime::new(engine, metering)
}

fn config(metering: Metering, cache: Option<Cache>) -> Config {
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
        .cache(cache);
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
