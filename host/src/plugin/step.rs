//! A plugin with its configuration at its place in a rule, and the instances that run it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::plan::Plan;
use super::{Cleaned, Failure, Fault, Finding, LogSink, Plugin, discarded, v1};
use crate::record::{Batch, Field};

const CONFIG_BYTES_MAX: usize = 1024 * 1024;

/// A configured plugin. Cloning it is cheap.
#[derive(Clone)]
pub struct Step(Arc<Configured>);

struct Configured {
    plugin: Plugin,
    config: String,
    input: Arc<[Field]>,
    plan: Plan,
    log: LogSink,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with {}", self.0.plugin, self.0.config)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// The user's to mend.
    #[error("plugin {plugin} does not take this configuration")]
    Findings { plugin: String, findings: Vec<Finding> },
    #[error("the configuration of plugin {plugin} is larger than 1 MiB")]
    TooLarge { plugin: String },
    /// The plugin's author's to mend.
    #[error("plugin {plugin} cannot be configured: {failure}")]
    Failed { plugin: String, failure: Failure },
}

impl Step {
    /// Configures `plugin` for the columns that exist at its place.
    pub fn new(
        plugin: &Plugin,
        config: &str,
        input: &Arc<[Field]>,
        log: LogSink,
    ) -> Result<Self, ConfigureError> {
        let name = || plugin.name().to_owned();
        if config.len() > CONFIG_BYTES_MAX {
            return Err(ConfigureError::TooLarge { plugin: name() });
        }
        let failed = |failure| ConfigureError::Failed { plugin: name(), failure };
        let breach = |breach| failed(Failure::from(Fault::Breach(breach)));
        let mut instance =
            v1::Instance::new(plugin.timed(), plugin.limits(), Arc::clone(&log)).map_err(failed)?;
        let given = match instance.configure(config, input).map_err(failed)? {
            Ok(given) => given,
            Err(findings) if findings.is_empty() => {
                return Err(breach("no plan, and no finding that says why".to_owned()));
            }
            Err(findings) => return Err(ConfigureError::Findings { plugin: name(), findings }),
        };
        let plan = Plan::check(&given, input).map_err(breach)?;
        Ok(Self(Arc::new(Configured {
            plugin: plugin.clone(),
            config: config.to_owned(),
            input: Arc::clone(input),
            plan,
            log,
        })))
    }

    pub fn plugin(&self) -> &Plugin {
        &self.0.plugin
    }

    /// As JSON.
    pub fn config(&self) -> &str {
        &self.0.config
    }

    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// The columns there are before the step.
    pub fn input(&self) -> &Arc<[Field]> {
        &self.0.input
    }

    /// The columns there are after it.
    pub fn output(&self) -> &Arc<[Field]> {
        &self.0.plan.output
    }

    /// Something that runs this step on one thread.
    pub fn cleaner(&self) -> Cleaner {
        Cleaner { step: self.clone(), instance: None }
    }

    /// Gets ready to judge rows: compiles the plugin a second time, if that has not been done.
    pub fn prepare_to_judge(&self) -> Result<(), Failure> {
        self.0.plugin.metered().map(drop)
    }

    /// Runs one row alone, on an instance of its own, by instructions and not by time: what comes out
    /// is the same whatever ran before and however busy the machine is. `time` only ends what the host
    /// does for the plugin, and is nobody's verdict.
    pub fn judge(&self, row: &Batch, time: Duration) -> Result<Judged, Uncleaned> {
        let linked = self.0.plugin.metered().map_err(Uncleaned::Unjudged)?;
        // What it says, it has said when the batch was run.
        let mut instance = self.instance(linked, discarded()).map_err(Uncleaned::Unjudged)?;
        let cleaned =
            instance.clean(&self.0.plan, row, time).map_err(|failure| match failure.fault {
                Fault::Time(_) => Uncleaned::Unjudged(failure),
                _ => Uncleaned::Guilty(failure),
            })?;
        Ok(Judged { cleaned, fuel: instance.fuel_used().unwrap_or(0) })
    }

    fn instance(&self, linked: &v1::Linked, log: LogSink) -> Result<v1::Instance, Failure> {
        let Configured { plugin, config, input, plan, .. } = &*self.0;
        let mut instance = v1::Instance::new(linked, plugin.limits(), log)?;
        let again = instance
            .configure(config, input)?
            .map_err(|_| "an instance that refuses a configuration which others took".to_owned())
            .and_then(|given| Plan::check(&given, input));
        match again {
            Ok(again) if again == *plan => Ok(instance),
            Ok(_) => Err(Fault::Breach("instances with different plans".to_owned()).into()),
            Err(breach) => Err(Fault::Breach(breach).into()),
        }
    }
}

/// What came of a row alone.
#[derive(Debug, Clone)]
pub struct Judged {
    pub cleaned: Cleaned,
    /// Instructions, about.
    pub fuel: u64,
}

/// Why a row alone was not cleaned.
#[derive(Debug, thiserror::Error)]
pub enum Uncleaned {
    /// By its own fault.
    #[error("{0}")]
    Guilty(Failure),
    /// It never came to a verdict: there was no instance to be had, say.
    #[error("{0}")]
    Unjudged(Failure),
}

/// Runs a step on one thread. An instance that failed is never entered again.
#[derive(Debug)]
pub struct Cleaner {
    step: Step,
    instance: Option<v1::Instance>,
}

impl Cleaner {
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// Cleans a batch of at least one row.
    pub fn clean(&mut self, batch: &Batch) -> Result<Cleaned, Failure> {
        self.clean_within(batch, self.step.0.plugin.limits().call)
    }

    /// Cleans a batch in less time than one may take: to find out whether it fails.
    pub fn clean_within(&mut self, batch: &Batch, time: Duration) -> Result<Cleaned, Failure> {
        let Configured { plugin, log, .. } = &*self.step.0;
        let linked = plugin.timed();
        // An instance keeps nothing between batches: there may be better code for the next one.
        let mut instance = match self.instance.take().filter(|it| it.code() == linked.code()) {
            Some(instance) => instance,
            None => self.step.instance(linked, Arc::clone(log))?,
        };
        let cleaned = instance.clean(&self.step.0.plan, batch, time)?;
        self.instance = Some(instance);
        Ok(cleaned)
    }

    /// Bytes of linear memory that the instance has, which is the most it ever had.
    pub fn memory(&self) -> usize {
        self.instance.as_ref().map_or(0, v1::Instance::memory)
    }

    /// Makes the next call run on a new instance.
    pub fn renew(&mut self) {
        self.instance = None;
    }
}
