//! Plugins: WebAssembly components that clean batches in a sandbox.
//!
//! A [`PluginFile`] is read and told apart by its first bytes; a [`Plugin`] is compiled, speaks a
//! contract that we speak and has described itself; a [`Step`] is a plugin with its configuration at
//! its place in a rule; a [`Cleaner`] runs a step on one thread. Each stage checks what can be checked
//! before the next. Not here: what becomes of a batch whose call fails, which `run` decides.

mod engine;
mod failure;
mod file;
mod limits;
mod log;
mod plan;
pub mod standard;
mod step;
pub mod v1;
mod wasi;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use wasmtime::component::Component;

use engine::Code;
pub use engine::{CacheFolder, Sandbox, SandboxError};
pub use failure::{Failure, Fault};
pub use file::{Origin, PluginFile, PluginFileError};
pub use limits::PluginLimits;
pub use log::{LogLevel, LogSink, discarded, traced};
pub(crate) use plan::check_name;
pub use plan::{Plan, Write};
pub use step::{Cleaner, ConfigureError, Judged, Step, Uncleaned};

use crate::record::Batch;

/// What a step makes of a batch.
#[derive(Debug, Clone)]
pub struct Cleaned {
    /// All rows, also those that are dropped or rejected: what they hold means nothing.
    pub batch: Batch,
    /// Ascending.
    pub dropped: Vec<u32>,
    /// Ascending; none that is dropped as well.
    pub rejected: Vec<Rejection>,
    /// One for each of the plan's tallies.
    pub tallies: Vec<u32>,
}

/// A row that cannot be cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub row: u32,
    pub reason: String,
    pub detail: Option<String>,
}

/// Something that a plugin finds wrong with its configuration, or with the columns that it meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// JSON Pointer into the configuration.
    pub pointer: String,
    pub message: String,
    pub help: Option<String>,
}

/// Why a component is no plugin that can be run.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    #[error("{origin} is damaged or cut short: {cause}")]
    Invalid { origin: Origin, cause: String },
    #[error("{origin} is a component, but no plugin: {}", exports(found))]
    OtherWorld { origin: Origin, found: Vec<String> },
    #[error(
        "{origin} was built for version {version} of the contract; this pinhost speaks {}",
        v1::VERSION
    )]
    OtherContract { origin: Origin, version: String },
    #[error("{origin} cannot be linked: {cause}")]
    Unlinkable { origin: Origin, cause: String },
    #[error("{origin} cannot describe itself: {failure}")]
    Describe { origin: Origin, failure: Failure },
    #[error("{origin} describes itself wrongly: {breach}")]
    Description { origin: Origin, breach: String },
}

fn exports(found: &[String]) -> String {
    if found.is_empty() {
        "it exports nothing".to_owned()
    } else {
        format!("it exports {}", found.join(", "))
    }
}

impl PluginError {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { .. } => Some("build it again; the copy may still be under way"),
            Self::OtherWorld { .. } => {
                Some("a plugin exports pinhost:plugin/cleaner: `pinhost plugin new` makes one")
            }
            Self::OtherContract { .. } => {
                Some("build it with the SDK that belongs to this pinhost, or use another pinhost")
            }
            Self::Unlinkable { .. } => {
                Some("a plugin gets its batches and a log, and WASI with nothing in it; no more")
            }
            Self::Describe { .. } | Self::Description { .. } => {
                Some("its author has to mend `describe`")
            }
        }
    }
}

/// A component that can be configured and run. Cloning it is cheap.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

struct Loaded {
    file: PluginFile,
    limits: Arc<PluginLimits>,
    sandbox: Sandbox,
    timed: v1::Linked,
    /// Compiled well, if that was done in a hurry at first.
    improved: OnceLock<v1::Linked>,
    /// Compiled a second time, for rows that are judged alone.
    metered: OnceLock<Result<v1::Linked, String>>,
    description: v1::Description,
    config_schema: Value,
    imports: Vec<String>,
    compiled: Compiled,
}

/// What it took to make machine code of a component.
#[derive(Debug, Clone, Copy)]
pub struct Compiled {
    pub took: Duration,
    /// It was compiled before, and only read.
    pub from_cache: bool,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({:?})", self.name(), self.version(), self.0.file)
    }
}

impl Plugin {
    /// Compiles a component, or takes the result from the cache, and asks it what it is.
    pub fn load(
        sandbox: &Sandbox,
        file: PluginFile,
        limits: &Arc<PluginLimits>,
    ) -> Result<Self, PluginError> {
        let origin = || file.origin().clone();
        let (hits, began) = (sandbox.cache_hits(), Instant::now());
        let (component, runtime) = sandbox
            .compile(file.bytes())
            .map_err(|error| PluginError::Invalid { origin: origin(), cause: chain(&error) })?;
        let compiled = Compiled { took: began.elapsed(), from_cache: sandbox.cache_hits() > hits };
        let imports = check_world(&component, runtime, origin())?;
        let timed = runtime
            .link(&component)
            .map_err(|error| PluginError::Unlinkable { origin: origin(), cause: chain(&error) })?;
        let description = v1::Instance::new(&timed, limits, discarded())
            .and_then(|mut instance| instance.describe())
            .map_err(|failure| PluginError::Describe { origin: origin(), failure })?;
        let config_schema = check_description(&description)
            .map_err(|breach| PluginError::Description { origin: origin(), breach })?;
        let code = timed.code();
        let plugin = Self(Arc::new(Loaded {
            limits: Arc::clone(limits),
            sandbox: sandbox.clone(),
            timed,
            improved: OnceLock::new(),
            metered: OnceLock::new(),
            description,
            config_schema,
            imports,
            compiled,
            file,
        }));
        if code == Code::Quick {
            plugin.improve();
        }
        Ok(plugin)
    }

    /// Has it compiled well, unless it is gone by then.
    fn improve(&self) {
        let loaded = Arc::downgrade(&self.0);
        self.0.sandbox.improve(move |runtime| {
            let Some(loaded) = loaded.upgrade() else { return };
            let component = runtime.compile(loaded.file.bytes());
            match component.and_then(|component| runtime.link(&component)) {
                // Nobody else sets it.
                Ok(linked) => drop(loaded.improved.set(linked)),
                Err(error) => {
                    tracing::debug!("{} stays as it is: {error:#}", loaded.file.origin());
                }
            }
        });
    }

    pub fn name(&self) -> &str {
        &self.0.description.name
    }

    pub fn version(&self) -> &str {
        &self.0.description.version
    }

    pub fn summary(&self) -> &str {
        &self.0.description.summary
    }

    /// JSON Schema of the configuration.
    pub fn config_schema(&self) -> &Value {
        &self.0.config_schema
    }

    /// What the component imports, of the contract and of WASI.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    pub fn compiled(&self) -> Compiled {
        self.0.compiled
    }

    pub fn file(&self) -> &PluginFile {
        &self.0.file
    }

    pub fn limits(&self) -> &Arc<PluginLimits> {
        &self.0.limits
    }

    pub(crate) fn timed(&self) -> &v1::Linked {
        self.0.improved.get().unwrap_or(&self.0.timed)
    }

    /// How many times longer it may take than it would if it were compiled well.
    pub fn patience(&self) -> u32 {
        self.timed().code().patience()
    }

    pub(crate) fn metered(&self) -> Result<&v1::Linked, Failure> {
        let made = self.0.metered.get_or_init(|| {
            let runtime = self.0.sandbox.metered()?;
            let component = runtime.compile(self.0.file.bytes());
            let linked = component.and_then(|component| runtime.link(&component));
            linked.map_err(|error| chain(&error))
        });
        made.as_ref().map_err(|cause| Fault::Uncounted(cause.clone()).into())
    }
}

const SCHEMA_BYTES_MAX: usize = 1024 * 1024;
const SUMMARY_BYTES_MAX: usize = 1024;

fn chain(error: &wasmtime::Error) -> String {
    format!("{error:#}")
}

/// Looks for the contract's export by name and version; returns what is imported.
fn check_world(
    component: &Component,
    runtime: &v1::Runtime,
    origin: Origin,
) -> Result<Vec<String>, PluginError> {
    const CLEANER: &str = "pinhost:plugin/cleaner@";
    let world = component.component_type();
    let names =
        |names: &mut dyn Iterator<Item = &str>| names.map(str::to_owned).collect::<Vec<_>>();
    let found = names(&mut world.exports(runtime.engine()).map(|(name, _)| name));
    let versions: Vec<_> = found.iter().filter_map(|name| name.strip_prefix(CLEANER)).collect();
    match versions[..] {
        [] => Err(PluginError::OtherWorld { origin, found }),
        ref versions if versions.contains(&v1::VERSION) => {
            Ok(names(&mut world.imports(runtime.engine()).map(|(name, _)| name)))
        }
        [version, ..] => Err(PluginError::OtherContract { origin, version: version.to_owned() }),
    }
}

fn check_description(description: &v1::Description) -> Result<Value, String> {
    check_name("plugin", &description.name)?;
    for (what, text) in [("version", &description.version), ("summary", &description.summary)] {
        if text.len() > SUMMARY_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(format!("its {what} is longer than 1 KiB, or has control characters"));
        }
    }
    if description.config_schema.len() > SCHEMA_BYTES_MAX {
        return Err("its configuration schema is larger than 1 MiB".to_owned());
    }
    match serde_json::from_str(&description.config_schema) {
        Ok(schema @ (Value::Object(_) | Value::Bool(true))) => Ok(schema),
        Ok(_) => Err("its configuration schema is neither a JSON object nor `true`".to_owned()),
        Err(error) => Err(format!("its configuration schema is not JSON: {error}")),
    }
}
