//! A plugin without a sandbox: for benches and tests that link it, and what the sandbox's exports
//! are made of.

use crate::batch::Batch;
use crate::contract::{self, Cleaned, Column, Finding};
use crate::plan::{Plan, Wiring};
use crate::view::ColumnData;
use crate::{Plugin, config};

/// A configured plugin.
#[derive(Debug)]
pub struct Native<P> {
    plugin: P,
    wiring: Wiring,
}

impl<P: Plugin> Native<P> {
    /// What `cleaner.configure` does.
    pub fn configure(config: &str, columns: Vec<Column>) -> Result<Self, Vec<Finding>> {
        let config = config::parse(config)?;
        let mut plan = Plan::new(columns);
        let plugin = P::configure(config, &mut plan).map_err(|finding| plan.find(finding));
        let wiring = plan.finish()?;
        let plugin = plugin.expect("a plan with a finding does not hold");
        Ok(Self { plugin, wiring })
    }

    pub fn plan(&self) -> &contract::Plan {
        &self.wiring.plan
    }

    /// What `cleaner.clean` does, on columns that lie elsewhere: those of `plan().reads`, in that
    /// order.
    pub fn clean(&self, rows: usize, columns: &[ColumnData<'_>]) -> Result<Cleaned, String> {
        let mut batch = Batch::new(rows, columns, &self.wiring)?;
        self.plugin.clean(&mut batch);
        batch.finish()
    }
}

/// The JSON Schema of a plugin's configuration.
pub fn config_schema<P: Plugin>() -> String {
    config::schema::<P::Config>()
}
