//! Steps as they are written become plugins at their places.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::config::StepConfig;
use super::field::Columns;
use super::rule::Workshop;
use crate::plugin::{
    ConfigureError, Plugin, PluginError, PluginFile, PluginLimits, Sandbox, Step, discarded,
    standard, traced,
};
use crate::record::Digest;
use crate::written::nearest::{self, nearest};
use crate::written::{Cursor, Finding, Gate};

/// A plugin with its configuration, at its place in a rule.
#[derive(Debug, Clone)]
pub struct RuleStep {
    /// Its stable name in metrics, lineage and dead letters.
    pub id: Arc<str>,
    pub step: Step,
}

impl RuleStep {
    /// The same without a voice: for rows that are run only to see what becomes of them.
    pub fn quiet(&self) -> Result<Self, ConfigureError> {
        let step = &self.step;
        let step = Step::new(step.plugin(), step.config(), step.input(), discarded())?;
        Ok(Self { id: Arc::clone(&self.id), step })
    }
}

/// A plugin that takes the place of the one that a step names, under the same configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSwap {
    pub step: String,
    /// From the current folder.
    pub file: PathBuf,
}

impl FromStr for PluginSwap {
    type Err = &'static str;

    /// `STEP=FILE`
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((step, file)) if !step.is_empty() && !file.is_empty() => {
                Ok(Self { step: step.to_owned(), file: file.into() })
            }
            _ => Err("it is written STEP=FILE, like tags=./tags.wasm"),
        }
    }
}

/// What it takes to find plugins and to load them.
pub(super) struct Plugins<'a> {
    sandbox: &'a Sandbox,
    swaps: &'a [PluginSwap],
    limits: Arc<PluginLimits>,
    /// Paths of plugins are those from here on.
    folder: &'a Path,
    loaded: HashMap<Digest, Plugin>,
}

impl<'a> Plugins<'a> {
    pub(super) fn new(
        workshop: Workshop<'a>,
        limits: &Arc<PluginLimits>,
        folder: &'a Path,
    ) -> Self {
        let Workshop { sandbox, running, swaps } = workshop;
        let running = running.iter().map(|step| step.step.plugin());
        let same = running.filter(|plugin| plugin.limits() == limits);
        let loaded = same.map(|plugin| (plugin.file().digest(), plugin.clone())).collect();
        Self { sandbox, swaps, limits: Arc::clone(limits), folder, loaded }
    }
}

/// The steps as far as they are sound; `columns` become those after the last one.
pub(super) fn configured(
    configs: &[StepConfig],
    at: Cursor<'_>,
    plugins: &mut Plugins<'_>,
    columns: &mut Columns,
    found: &mut Vec<Finding>,
) -> Vec<RuleStep> {
    // A step that could not be read may have done anything.
    let is_complete = !at.is_cut() && at.items().count() == at.len();
    if !is_complete {
        columns.doubt(None);
    }
    let mut ids: Vec<String> = Vec::new();
    // Of the others nobody knows what they are called.
    let mut certain: Vec<String> = Vec::new();
    let mut steps = Vec::new();
    for (config, at) in configs.iter().zip(at.items()) {
        let plugin = plugins.load(&config.plugin, at.key("plugin"), found);
        let id = match (&config.id, &plugin) {
            (Some(id), _) => id.clone(),
            (None, Some(plugin)) => plugin.name().to_owned(),
            (None, None) => config.plugin.clone(),
        };
        if config.id.is_some() || plugin.is_some() && !is_guess(&config.plugin) {
            check_id(&id, config, at, &certain, found);
            certain.push(id.clone());
        }
        ids.push(id.clone());
        let plugin = match plugins.swaps.iter().find(|swap| swap.step == id) {
            Some(swap) => plugins.load_instead(&swap.file, found),
            None => plugin,
        };
        let step = plugin.and_then(|plugin| configure(&plugin, &id, config, at, columns, found));
        match step {
            Some(step) => {
                columns.fields = Arc::clone(step.output());
                steps.push(RuleStep { id: id.into(), step });
            }
            None => columns.doubt(at.get("with")),
        }
    }
    if is_complete && certain.len() == ids.len() {
        check_swaps(plugins.swaps, &ids, found);
    }
    steps
}

/// Plugins that take no other's place.
pub(super) fn check_swaps(swaps: &[PluginSwap], ids: &[String], found: &mut Vec<Finding>) {
    let known: Vec<_> = ids.iter().map(String::as_str).collect();
    for PluginSwap { step, .. } in swaps.iter().filter(|swap| !ids.contains(&swap.step)) {
        let told = Finding::new(format!("no step is called `{step}`"));
        found.push(Finding { help: nearest::help(step, &known, "there are"), ..told });
    }
}

fn check_id(
    id: &str,
    config: &StepConfig,
    at: Cursor<'_>,
    before: &[String],
    found: &mut Vec<Finding>,
) {
    let place = at.key(if config.id.is_some() { "id" } else { "plugin" });
    if config.id.is_some()
        && let Err(fault) = crate::plugin::check_name("step", id)
    {
        found.push(place.finding(fault));
    }
    if before.iter().any(|before| before == id) {
        let told = place.finding(format!("a step before this one is called `{id}` too"));
        found.push(told.help("give one of them another `id`: it is kept when steps are moved"));
    }
}

/// None if it cannot be configured, be it by its own fault or by that of something before it.
fn configure(
    plugin: &Plugin,
    id: &str,
    config: &StepConfig,
    at: Cursor<'_>,
    columns: &Columns,
    found: &mut Vec<Finding>,
) -> Option<Step> {
    let with = at.get("with");
    if with.is_some_and(Cursor::is_damaged) {
        return None;
    }
    let json = serde_json::Value::from(config.with.clone()).to_string();
    let place = with.unwrap_or(at.key("plugin"));
    match Step::new(plugin, &json, &columns.fields, traced(id)) {
        Ok(step) => return Some(step),
        Err(ConfigureError::Findings { findings, .. }) => {
            for told in findings {
                let place = with.map_or(place, |with| with.pointer(&told.pointer));
                if is_consequence(&told.message, place.text(), columns) {
                    continue;
                }
                let at = place.place_for(&told.message);
                let message = format!("{}: {}", plugin.name(), told.message);
                let told = Finding { help: told.help, ..Finding::new(message).at(at) };
                found.push(told.met_at(Gate::Configure));
            }
        }
        Err(error @ ConfigureError::TooLarge { .. }) => {
            found.push(place.finding(error.to_string()).met_at(Gate::Configure));
        }
        Err(error @ ConfigureError::Failed { .. }) => {
            let told = at.key("plugin").finding(error.to_string());
            let told = told.help("this is the plugin's fault, not the rule's");
            found.push(told.met_at(Gate::Configure));
        }
    }
    None
}

/// Whether a plugin may have found this only because a step or a field before has a mistake.
/// `named` is the text that it points to.
fn is_consequence(message: &str, named: Option<&str>, columns: &Columns) -> bool {
    let is_doubtful =
        |name: &String| named == Some(name.as_str()) || message.contains(&format!("`{name}`"));
    // A column that is not there may be one that a step before would have made.
    let is_unknown = |name: &str| {
        message.contains(name) && !columns.fields.iter().any(|field| *field.name == *name)
    };
    columns.doubtful.iter().any(is_doubtful) || columns.open && named.is_some_and(is_unknown)
}

fn is_bare(named: &str) -> bool {
    !named.contains(['/', '\\']) && !named.ends_with(".wasm")
}

/// Whether another plugin takes this one's place, so that what follows can be checked.
fn is_guess(named: &str) -> bool {
    is_bare(named) && standard::find(named).is_none()
}

impl Plugins<'_> {
    fn load(&mut self, named: &str, at: Cursor<'_>, found: &mut Vec<Finding>) -> Option<Plugin> {
        let file = self.find(named, at, found)?;
        self.load_file(file, |message| at.finding(message), found)
    }

    fn load_instead(&mut self, path: &Path, found: &mut Vec<Finding>) -> Option<Plugin> {
        match PluginFile::read(path, self.limits.file) {
            Ok(file) => self.load_file(file, Finding::new, found),
            Err(error) => {
                let help = error.help().map(str::to_owned).or_else(|| nearest::file(path, ".wasm"));
                let told = Finding { help, ..Finding::new(chain(&error)) };
                found.push(told.met_at(Gate::Read));
                None
            }
        }
    }

    fn load_file(
        &mut self,
        file: PluginFile,
        finding: impl FnOnce(String) -> Finding,
        found: &mut Vec<Finding>,
    ) -> Option<Plugin> {
        if let Some(plugin) = self.loaded.get(&file.digest()) {
            return Some(plugin.clone());
        }
        let digest = file.digest();
        match Plugin::load(self.sandbox, file, &self.limits) {
            Ok(plugin) => {
                self.loaded.insert(digest, plugin.clone());
                Some(plugin)
            }
            Err(error) => {
                let help = error.help().map(str::to_owned);
                let told = Finding { help, ..finding(error.to_string()) };
                found.push(told.met_at(match error {
                    PluginError::Invalid { .. } => Gate::Compile,
                    _ => Gate::Contract,
                }));
                None
            }
        }
    }

    /// What [`is_bare`] names comes with pinhost; anything else is a path.
    fn find(&self, named: &str, at: Cursor<'_>, found: &mut Vec<Finding>) -> Option<PluginFile> {
        if is_bare(named) {
            if let Some(file) = standard::find(named) {
                return Some(file);
            }
            let known: Vec<_> = standard::names().collect();
            let told = at.finding(format!("no plugin that comes with pinhost is called `{named}`"));
            let meant = nearest(named, known.iter().copied());
            found.push(told.help(match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!(
                    "there are {}; a plugin of your own is a path, like ./{named}.wasm",
                    known.join(", ")
                ),
            }));
            // So that what follows is checked as it was meant.
            return standard::find(meant?);
        }
        let path = self.folder.join(named);
        match PluginFile::read(&path, self.limits.file) {
            Ok(file) => Some(file),
            Err(error) => {
                let help =
                    error.help().map(str::to_owned).or_else(|| nearest::file(&path, ".wasm"));
                let told = Finding { help, ..at.finding(chain(&error)) };
                found.push(told.met_at(Gate::Read));
                None
            }
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
