//! `pinhost plugin inspect`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::schema;
use super::subject::{ColumnsArg, ConfigArg, Subject, sandbox};
use crate::cli::output::{STRONG, bytes, lines, table, time};
use crate::cli::{CliError, Exit, output};
use crate::plugin::{Plugin, Step, traced, v1};
use crate::record::Field;

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A plugin's folder, a .wasm file, or the name of one that comes with pinhost.
    #[arg(default_value = ".")]
    plugin: String,
    /// Configure it too, and show what it would read and write: '{column: title}'
    #[arg(long, value_name = "JSON")]
    config: Option<ConfigArg>,
    /// The columns it would find: title=text,n=integer
    #[arg(long, value_name = "COLUMNS")]
    columns: Option<ColumnsArg>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &InspectArgs) -> Result<Exit, CliError> {
    let sandbox = sandbox()?;
    let subject = Subject::find(&args.plugin)?;
    let plugin = subject.load(&sandbox)?;
    let step = if args.config.is_some() || args.columns.is_some() {
        Some(configure(&plugin, args)?)
    } else {
        None
    };
    if args.json {
        output::json(&told_as_json(&subject, &plugin, step.as_ref()))?;
    } else {
        output::result(told(&subject, &plugin, step.as_ref()))?;
    }
    Ok(Exit::Done)
}

fn configure(plugin: &Plugin, args: &InspectArgs) -> Result<Step, CliError> {
    let config = ConfigArg::or_empty(args.config.as_ref()).to_string();
    let columns = args.columns.as_ref().map(|ColumnsArg(columns)| columns.clone());
    let made = Step::new(plugin, &config, &columns.unwrap_or_default(), traced(plugin.name()));
    made.map_err(|error| {
        let error = CliError::from(error);
        if args.columns.is_some() {
            return error;
        }
        error.help("say which columns there are: --columns title=text,n=integer")
    })
}

fn told(subject: &Subject, plugin: &Plugin, step: Option<&Step>) -> String {
    let compiled = plugin.compiled();
    let how = if compiled.from_cache { "from the cache, read in" } else { "compiled in" };
    let facts = [
        ("file", subject.to_string()),
        ("digest", plugin.file().digest().to_string()),
        ("size", bytes(plugin.file().bytes().len() as u64)),
        ("contract", format!("pinhost:plugin@{}", v1::VERSION)),
        ("imports", imports(plugin)),
        ("machine code", format!("{how} {}", time(compiled.took))),
    ];
    let facts = facts.map(|(name, fact)| [name.to_owned(), fact]);
    let mut told = format!(
        "{STRONG}{} {}{STRONG:#}\n{}\n\n{}\n\n{STRONG}configuration{STRONG:#}\n",
        plugin.name(),
        plugin.version(),
        plugin.summary(),
        lines(&table(facts), "  "),
    );
    told += &settings(plugin);
    if let Some(step) = step {
        let _ = write!(told, "\n\n{STRONG}plan{STRONG:#}\n{}", plan(step));
    }
    told
}

fn imports(plugin: &Plugin) -> String {
    let wasi = plugin.imports().iter().filter(|import| import.starts_with("wasi:")).count();
    let ours = plugin.imports().iter().filter(|import| !import.starts_with("wasi:"));
    let mut told: Vec<_> = ours.cloned().collect();
    if wasi > 0 {
        told.push(format!("{} of WASI, with nothing in it", output::count(wasi, "interface")));
    }
    if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
}

fn settings(plugin: &Plugin) -> String {
    let settings = schema::settings(plugin.config_schema());
    if settings.is_empty() {
        return match plugin.config_schema() {
            Value::Object(schema) if schema.get("type").is_some_and(|kind| kind == "object") => {
                "  none".to_owned()
            }
            _ => "  anything, as far as its schema says".to_owned(),
        };
    }
    let rows = settings.into_iter().map(|setting| {
        let default = setting.default.map(|default| format!("default {default}"));
        let need =
            if setting.required { "required".to_owned() } else { default.unwrap_or_default() };
        [setting.name, setting.kind, need, setting.description]
    });
    lines(&table(rows), "  ")
}

fn plan(step: &Step) -> String {
    let plan = step.plan();
    let list = |items: Vec<String>| match items.is_empty() {
        true => "nothing".to_owned(),
        false => items.join(", "),
    };
    let column = |field: &Field| format!("{} ({})", field.name, field.kind);
    let facts = [
        ("reads", list(plan.reads.iter().map(|at| column(&step.input()[*at])).collect())),
        ("writes", list(plan.writes.iter().map(|write| column(&plan.output[write.to])).collect())),
        ("counts", list(plan.tallies.clone())),
        ("after it", list(plan.output.iter().map(column).collect())),
    ];
    lines(&table(facts.map(|(name, fact)| [name.to_owned(), fact])), "  ")
}

fn told_as_json(subject: &Subject, plugin: &Plugin, step: Option<&Step>) -> Value {
    let column = |field: &Field| json!({"name": &*field.name, "kind": field.kind});
    let plan = step.map(|step| {
        let plan = step.plan();
        json!({
            "reads": plan.reads.iter().map(|at| column(&step.input()[*at])).collect::<Vec<_>>(),
            "writes":
                plan.writes.iter().map(|write| column(&plan.output[write.to])).collect::<Vec<_>>(),
            "tallies": plan.tallies,
            "columns": plan.output.iter().map(column).collect::<Vec<_>>(),
        })
    });
    let mut told = json!({
        "name": plugin.name(),
        "version": plugin.version(),
        "summary": plugin.summary(),
        "file": subject.to_string(),
        "digest": plugin.file().digest().to_string(),
        "bytes": plugin.file().bytes().len(),
        "contract": v1::VERSION,
        "imports": plugin.imports(),
        "compiled": {
            "seconds": plugin.compiled().took.as_secs_f64(),
            "from_cache": plugin.compiled().from_cache,
        },
        "config_schema": plugin.config_schema(),
    });
    if let Some(plan) = plan {
        told["plan"] = plan;
    }
    told
}
