//! From a file to what will run.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::Pipeline;
use super::config::{
    LimitsConfig, PipelineConfig, PluginLimitsConfig, RuleConfig, RuleConfigOrPath,
};
use super::fit;
use super::rule::{self, Resolved, Rule, Workshop};
use super::step::{self, PluginSwap};
use crate::connect::{ConfigFile, PipelineLedger, PipelineSink, PipelineSource};
use crate::decode::DecodeLimits;
use crate::plugin::{PluginLimits, Sandbox};
use crate::sink::{LEDGERS, SINK_EXAMPLE, SINKS};
use crate::source::{SOURCE_EXAMPLE, SOURCES};
use crate::written::{
    self, Cursor, Finding, Findings, Templates, Tree, Variables, Written, nearest, secrets,
};

/// What a file turned out to be, told by its keys.
#[derive(Debug, Clone)]
pub enum Document {
    Pipeline(Box<Pipeline>),
    Rule(Box<Rule>),
}

impl Pipeline {
    /// Reads a pipeline and the rule that it names, loads its plugins and configures them. Talks to
    /// no source and no sink.
    pub fn load(path: &Path, sandbox: &Sandbox) -> Result<Self, Findings> {
        Self::load_with(path, sandbox, &[])
    }

    /// The same with other plugins in some of its steps.
    pub fn load_with(
        path: &Path,
        sandbox: &Sandbox,
        swaps: &[PluginSwap],
    ) -> Result<Self, Findings> {
        Self::load_in(path, Workshop { sandbox, running: &[], swaps })
    }

    /// The same with plugins from this workshop.
    pub fn load_in(path: &Path, workshop: Workshop<'_>) -> Result<Self, Findings> {
        let mut found = Vec::new();
        let loaded = read_tree(path, &mut found).and_then(|tree| {
            if is_rule(tree.root()) {
                found.push(needs_pipeline(&tree));
                return None;
            }
            load_pipeline(tree, workshop, &mut found)
        });
        sound(path, loaded, found).map(|(pipeline, warnings)| Self { warnings, ..pipeline })
    }

    /// Reads another version of this pipeline: a rule that takes the place of its own, or a whole
    /// pipeline.
    pub fn load_other(&self, path: &Path, sandbox: &Sandbox) -> Result<Self, Findings> {
        let mut found = Vec::new();
        let Some(tree) = read_tree(path, &mut found) else {
            return Err(Findings::sorted(path, &found));
        };
        let running = self.rule.as_ref().map_or(&[][..], |rule| &rule.steps);
        let workshop = Workshop { sandbox, running, swaps: &[] };
        if !is_rule(tree.root()) {
            let loaded = load_pipeline(tree, workshop, &mut found);
            return sound(path, loaded, found)
                .map(|(pipeline, warnings)| Self { warnings, ..pipeline });
        }
        let limits = Arc::new(self.limits.plugin.to_limits());
        let loaded = load_rule(tree, workshop, &limits, &mut found);
        let rule = loaded.map(|(resolved, _)| Some(Arc::new(resolved.rule)));
        let (rule, warnings) = sound(path, rule, found)?;
        Ok(Self { rule, warnings, ..self.clone() })
    }
}

impl Document {
    pub fn load(path: &Path, sandbox: &Sandbox) -> Result<Self, Findings> {
        let mut found = Vec::new();
        let tree = read_tree(path, &mut found);
        Self::of_tree(path, tree, found, sandbox)
    }

    /// Loads a text as if it were in this file, from which its relative paths start.
    pub fn parse(path: &Path, text: String, sandbox: &Sandbox) -> Result<Self, Findings> {
        let mut found = Vec::new();
        let tree = Tree::parse(path, text, &Variables::of_process(), &mut found);
        Self::of_tree(path, tree, found, sandbox)
    }

    fn of_tree(
        path: &Path,
        tree: Option<Tree>,
        mut found: Vec<Finding>,
        sandbox: &Sandbox,
    ) -> Result<Self, Findings> {
        let Some(tree) = tree else { return Err(Findings::sorted(path, &found)) };
        let workshop = Workshop { sandbox, running: &[], swaps: &[] };
        if is_rule(tree.root()) {
            let loaded = load_rule(tree, workshop, &Arc::default(), &mut found);
            let rule = loaded.map(|(resolved, _)| resolved.rule);
            return sound(path, rule, found).map(|(rule, _)| Self::Rule(Box::new(rule)));
        }
        let loaded = load_pipeline(tree, workshop, &mut found);
        let (pipeline, warnings) = sound(path, loaded, found)?;
        Ok(Self::Pipeline(Box::new(Pipeline { warnings, ..pipeline })))
    }
}

fn is_rule(root: Cursor<'_>) -> bool {
    let any = |keys: &[&str]| keys.iter().any(|key| root.has(key));
    any(&["fields", "steps", "output", "tests"]) && !any(&["name", "source", "sink", "rule"])
}

/// Told of a rule where a pipeline is needed: whatever else it lacks follows from that.
fn needs_pipeline(tree: &Tree) -> Finding {
    let (root, name) = (tree.root(), tree.path().file_name().unwrap_or_default());
    let first = root.keys().next().map_or(root, |first| root.key(first));
    Finding::new("this is a rule; a pipeline has `name`, `source` and `sink`")
        .at(first.key_place())
        .help(format!(
            "name it in a pipeline, as `rule: {}`; `pinhost pipe` and `pinhost test` take a rule as it is",
            name.display()
        ))
}

fn is_pipeline(root: Cursor<'_>) -> bool {
    ["source", "sink"].iter().any(|key| root.has(key)) && !root.has("fields")
}

/// What was loaded with what should be looked at, if there is no error among it.
fn sound<T>(
    path: &Path,
    loaded: Option<T>,
    found: Vec<Finding>,
) -> Result<(T, Vec<Finding>), Findings> {
    match loaded {
        Some(loaded) if !found.iter().any(Finding::is_error) => Ok((loaded, found)),
        _ => Err(Findings::sorted(path, &found)),
    }
}

fn load_pipeline(
    mut tree: Tree,
    workshop: Workshop<'_>,
    found: &mut Vec<Finding>,
) -> Option<Pipeline> {
    let mut config: PipelineConfig = written::read(&mut tree, found)?;
    config.source = read_source(&mut tree, found);
    config.sink = read_sink(&mut tree, found);
    config.ledger = read_ledger(&mut tree, found);
    let at = tree.root();
    for key in ["name", "source", "sink"] {
        if !at.has(key) {
            found.push(at.finding(format!("the key `{key}` is missing")).help(match key {
                "name" => "what the pipeline is called, like `name: pins-to-sqlite`".to_owned(),
                "source" => format!("where records come from, like `{SOURCE_EXAMPLE}`"),
                _ => format!("where rows go, like `{SINK_EXAMPLE}`"),
            }));
        }
    }
    fit::limits(&config.limits, &config.unit, &config.dead_letters, at, found);
    if let Some(name) = &config.name {
        fit::name(name, at.key("name"), found);
    }
    let file = ConfigFile { pipeline: config.name.as_deref(), path: tree.path() };
    if let Some(source) = &mut config.source {
        source.check(at.key("source").key(source.kind()), found);
        source.complete(&file);
    }
    if let Some(sink) = &mut config.sink {
        sink.check(at.key("sink").key(sink.kind()), found);
        sink.complete(&file);
        fit::unit_time(config.unit.time, &sink.facts(), at, found);
        fit::ledger(sink, at, found);
    }
    if let Some(ledger) = &mut config.ledger {
        ledger.check(at.key("ledger").key(ledger.kind()), found);
        ledger.complete(&file);
    }
    let rule = resolve_rule(&config, &tree, workshop, found);
    if let Some(sink) = &config.sink {
        match &rule {
            Some(Some(resolved)) => fit::rows(sink, Some(&resolved.columns), at, found),
            Some(None) => fit::rows(sink, None, at, found),
            None => {}
        }
        if let Some(source) = &config.source {
            fit::circle(source, sink, at, found);
        }
    }
    let templates = at.templates();
    show_numbers(&config, &templates);
    Some(Pipeline {
        name: config.name.clone()?.into(),
        path: tree.path().to_owned(),
        replay: None,
        source: config.source.clone()?,
        sink: config.sink.clone()?.with_ledger(config.ledger.clone()),
        rule: rule?.map(|resolved| Arc::new(resolved.rule)),
        unit: config.unit.clone(),
        limits: config.limits.clone(),
        dead_letters: config.dead_letters.clone(),
        watch: config.watch,
        warnings: Vec::new(),
        name_place: at.key("name").place(),
        templates,
        config,
    })
}

fn read_source(tree: &mut Tree, found: &mut Vec<Finding>) -> Option<PipelineSource> {
    let kinds: Vec<_> = SOURCES.iter().map(|kind| kind.key()).collect();
    let read = |kind: usize, written: Written<'_>| PipelineSource::read(SOURCES[kind], written);
    written::read_kind(tree, "source", &kinds, read, found)
}

fn read_sink(tree: &mut Tree, found: &mut Vec<Finding>) -> Option<PipelineSink> {
    let kinds: Vec<_> = SINKS.iter().map(|kind| kind.key()).collect();
    let read = |kind: usize, written: Written<'_>| PipelineSink::read(SINKS[kind], written);
    written::read_kind(tree, "sink", &kinds, read, found)
}

fn read_ledger(tree: &mut Tree, found: &mut Vec<Finding>) -> Option<PipelineLedger> {
    if !tree.root().has("ledger") {
        return None;
    }
    let kinds: Vec<_> = LEDGERS.iter().map(|kind| kind.key()).collect();
    let read = |kind: usize, written: Written<'_>| PipelineLedger::read(LEDGERS[kind], written);
    written::read_kind(tree, "ledger", &kinds, read, found)
}

/// What is read as a number is no secret, wherever it came from.
fn show_numbers(config: &PipelineConfig, templates: &Templates) {
    let config = serde_json::to_value(config).expect("keys are text");
    for pointer in templates.keys() {
        if let Some(serde_json::Value::Number(number)) = config.pointer(pointer) {
            secrets::forget(&number.to_string());
        }
    }
}

/// The rule as far as it is sound. `None` if there is one and nothing of it could be read.
fn resolve_rule(
    config: &PipelineConfig,
    tree: &Tree,
    workshop: Workshop<'_>,
    found: &mut Vec<Finding>,
) -> Option<Option<Resolved>> {
    let at = tree.root();
    let limits = Arc::new(config.limits.plugin.to_limits());
    let written = match &config.rule {
        None if at.has("rule") && at.key("rule").is_cut() => return None,
        None => {
            step::check_swaps(workshop.swaps, &[], found);
            return Some(None);
        }
        Some(written) => written,
    };
    let check = |resolved: &Resolved, at: Cursor<'_>, found: &mut Vec<Finding>| {
        if let Some(source) = &config.source {
            fit::surroundings(source, &resolved.rule.fields, at, found);
        }
    };
    match written {
        RuleConfigOrPath::Inline(rule) => {
            let at = at.key("rule");
            let resolved =
                rule::resolve(RuleConfig::clone(rule), tree.path(), at, workshop, &limits, found);
            check(&resolved, at, found);
            Some(Some(resolved))
        }
        RuleConfigOrPath::Path(named) => {
            let path = beside(tree.path(), named);
            if !path.exists() {
                let told = at.key("rule").finding(format!("there is no rule {}", path.display()));
                let known = nearest::file(&path, ".yaml");
                let help = known.unwrap_or_else(|| "a path is that from this file on".to_owned());
                found.push(told.help(help));
                return None;
            }
            let rule = read_tree(&path, found)?;
            if is_pipeline(rule.root()) {
                let told = at.key("rule").finding(format!(
                    "{} is a pipeline; a rule has `fields`, and perhaps `steps` and `output`",
                    path.display()
                ));
                found.push(told.help(
                    "name the rule that it names, or a file with what stands below its `rule:`",
                ));
                return None;
            }
            let (resolved, rule) = load_rule(rule, workshop, &limits, found)?;
            check(&resolved, rule.root(), found);
            Some(Some(resolved))
        }
    }
}

fn load_rule(
    mut tree: Tree,
    workshop: Workshop<'_>,
    limits: &Arc<PluginLimits>,
    found: &mut Vec<Finding>,
) -> Option<(Resolved, Tree)> {
    let config: RuleConfig = written::read(&mut tree, found)?;
    let resolved = rule::resolve(config, tree.path(), tree.root(), workshop, limits, found);
    Some((resolved, tree))
}

/// Paths in a file are those from the file on.
fn beside(file: &Path, named: &str) -> std::path::PathBuf {
    file.parent().unwrap_or(Path::new("")).join(named)
}

/// Far more than a person writes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

pub(super) fn read_tree(path: &Path, found: &mut Vec<Finding>) -> Option<Tree> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(why) => {
            found.push(Finding::new(format!("{} cannot be read: {why}", path.display())));
            return None;
        }
    };
    Tree::parse(path, text, &Variables::of_process(), found)
}

fn read_text(path: &Path) -> Result<String, String> {
    let said = |error: std::io::Error| error.to_string();
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(said)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(said)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err("it is larger than 4 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

impl PluginLimitsConfig {
    pub fn to_limits(&self) -> PluginLimits {
        PluginLimits {
            call: self.call.0,
            configure: self.configure.0,
            memory: self.memory.into(),
            output: self.output.into(),
            table_entries: self.table_entries,
            file: self.file.into(),
            row_fuel: self.row_fuel,
        }
    }
}

impl LimitsConfig {
    pub fn to_decode_limits(&self) -> DecodeLimits {
        let record_bytes_max = usize::try_from(self.record.0).unwrap_or(usize::MAX);
        DecodeLimits { record_bytes_max, depth_max: self.depth }
    }
}
