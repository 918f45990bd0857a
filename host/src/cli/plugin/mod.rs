//! `pinhost plugin`: everything from the first line of a plugin to its last microsecond.

mod bench;
mod build;
mod cases;
mod inspect;
mod list;
mod measure;
mod new;
mod schema;
mod subject;
mod test;

use clap::Subcommand;

use super::{CliError, Exit};

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Start a plugin: a folder with a rule that works, its tests, and all it needs.
    New(new::NewArgs),
    /// Compile a plugin's folder to one component file.
    Build(build::BuildArgs),
    /// Run a plugin's golden cases in the sandbox.
    ///
    /// Each case is run as a whole, row by row, backwards, and on an instance that has cleaned other
    /// rows. It passes if what comes out is as expected, and the same each time.
    Test(test::TestArgs),
    /// Show what a plugin is, how it is configured, and what it would do to which columns.
    Inspect(inspect::InspectArgs),
    /// Measure what a plugin costs.
    Bench(bench::BenchArgs),
    /// Show the plugins that come with pinhost.
    List(list::ListArgs),
}

impl PluginCommand {
    pub(super) fn run(self) -> Result<Exit, CliError> {
        match self {
            Self::New(args) => new::run(&args),
            Self::Build(args) => build::run(&args),
            Self::Test(args) => test::run(&args),
            Self::Inspect(args) => inspect::run(&args),
            Self::Bench(args) => bench::run(&args),
            Self::List(args) => list::run(&args),
        }
    }
}
