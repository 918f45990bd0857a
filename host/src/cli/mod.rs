//! The command line: a file per command.
//!
//! stdout carries results and nothing else, stderr carries talk. A command returns what it found out as
//! its [`Exit`], or a [`CliError`]; nothing below here ends the process.

mod check;
mod completions;
mod dead_letters;
mod diff;
mod emulate;
mod ends;
mod error;
mod explain;
mod history;
mod lanes;
mod lineage;
mod log;
mod looked;
#[cfg(target_env = "gnu")]
mod memory;
mod new;
mod output;
mod pipe;
mod plugin;
mod preview;
mod replay;
mod run;
mod schema;
mod signals;
mod sinks;
mod summary;
mod swap;
mod test;
mod threads;
mod versions;
mod which;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};

pub use error::{CliError, Exit};

use crate::plugin::v1;

/// A stream processor whose cleaning rules are sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(
    name = "pinhost",
    bin_name = "pinhost",
    version = env!("CARGO_PKG_VERSION"),
    long_version = LONG_VERSION.as_str(),
    after_help = AFTER_HELP,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: log::LogArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check pipelines and rules, without touching a source or a sink.
    Check(check::CheckArgs),
    /// Show, export and retry records that could not be cleaned or stored.
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Print a page of the manual: of a source or a sink, a plugin, or a word like lane.
    Explain(explain::ExplainArgs),
    /// Show which generations of its rule a pipeline has run, and how they did.
    Generations(swap::GenerationsArgs),
    /// Show how far a pipeline has come; move a lane.
    Lanes(lanes::LanesArgs),
    /// Show which generation of its rule cleaned which records, or made a row.
    Lineage(lineage::LineageArgs),
    /// Clean records between the standard input and the standard output.
    Pipe(pipe::PipeArgs),
    /// Show what becomes of records, without writing anything.
    Preview(preview::PreviewArgs),
    /// Run pipelines.
    ///
    /// A run ends when its sources do. Ctrl-C commits what was read and ends it; a second one ends it at
    /// once, and the next run goes on from the last commit either way.
    Run(run::RunArgs),
    /// Put another plugin into a step of a pipeline that runs.
    ///
    /// It passes the same gates as a file that was saved: the contract, its configuration, the rule's tests,
    /// a trial on the last records. Then it takes over between two batches, and is watched for a while.
    Swap(swap::SwapArgs),
    /// Have the generation before take over again in a pipeline that runs.
    Rollback(swap::RollbackArgs),
    /// Run a pipeline's rule over objects: an archive, or what others have written.
    ///
    /// What is there is listed once, and exactly that is read. A replay that was stopped goes on when it is
    /// started again; one that is complete changes nothing. Rows that are newer are never overwritten, and
    /// records whose time nobody knows only fill in rows that are missing.
    Replay(replay::ReplayArgs),
    /// Show what another rule would change, over objects: an archive, or what others have written.
    ///
    /// Each record is cleaned by both, and what comes out is compared, column by column. No sink is opened,
    /// and nothing is written.
    Diff(diff::DiffArgs),
    /// Post made-up posts to an HTTP source, as the emulators of pipelines do it.
    ///
    /// Each post is three requests, one after the other: pin, geo, user. Exit code 1 if one of them is
    /// not answered by a 2xx.
    Emulate(emulate::EmulateArgs),
    /// Write a pipeline and its rule: from a sample of records, or to be filled in.
    New(new::NewArgs),
    /// Run the tests of rules: records in, rows and rejects out.
    ///
    /// Each test is run as a whole and record by record. It passes if what comes out is as expected, and
    /// the same both times.
    Test(test::TestArgs),
    /// Print the JSON Schema of pipelines or of rules, for editors.
    Schema(schema::SchemaArgs),
    /// Print what a shell needs to complete commands.
    Completions(completions::CompletionsArgs),
    /// Make anew what tells which row of a key is newer.
    Versions {
        #[command(subcommand)]
        command: versions::VersionsCommand,
    },
    /// Write, build and try cleaning plugins.
    Plugin {
        #[command(subcommand)]
        command: plugin::PluginCommand,
    },
}

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 failed, or a test case did; 2 the input is wrong; 3 the environment is;
4 `diff --exit-code` found differences; 130 and 143 ended by a signal.";

/// Everything that decides what becomes of a row, but the rule and its plugins.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = match env!("PINHOST_COMMIT") {
        "" => String::new(),
        commit => format!(" ({commit})"),
    };
    format!(
        "{}{commit}\ncontract  pinhost:plugin@{}\nwasmtime  {}",
        env!("CARGO_PKG_VERSION"),
        v1::VERSION,
        env!("PINHOST_WASMTIME"),
    )
});

/// Does what the arguments of this process say.
pub fn main() -> ExitCode {
    main_from(env::args_os()).into()
}

/// Does what these arguments say; the first is the name of the command. The process must have no other
/// purpose: this sets up its allocator, log and signals.
pub fn main_from(args: impl IntoIterator<Item = OsString>) -> Exit {
    #[cfg(target_env = "gnu")]
    memory::keep_pages();
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(answer) => {
            // Help that was asked for comes as an error too. Nothing is left to do if nobody reads it.
            let _ = answer.print();
            return if answer.use_stderr() { Exit::Input } else { Exit::Done };
        }
    };
    let done = log::start(&cli.log).and_then(|()| match cli.command {
        Command::Check(args) => check::run(&args),
        Command::DeadLetters(args) => dead_letters::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Generations(args) => swap::generations(&args),
        Command::Lanes(args) => lanes::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Emulate(args) => emulate::run(&args),
        Command::Lineage(args) => lineage::run(&args),
        Command::Pipe(args) => pipe::run(&args),
        Command::Preview(args) => preview::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Swap(args) => swap::swap(&args),
        Command::Rollback(args) => swap::roll_back(&args),
        Command::New(args) => new::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Versions { command } => command.run(),
        Command::Plugin { command } => command.run(),
    });
    done.unwrap_or_else(|error| {
        error.print();
        error.exit()
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
