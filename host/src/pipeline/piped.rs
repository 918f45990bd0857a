//! A pipeline or a rule as a function: records in, rows out.

use std::path::PathBuf;
use std::sync::Arc;

use super::config::{DeadLettersConfig, PipelineConfig, UnitConfig};
use super::{Document, Pipeline, Rule};
use crate::connect::{PipelineSink, PipelineSource};
use crate::written::{Duration, Place, Templates};

impl Document {
    /// The member of each record's object in which the record stands, by its source.
    pub fn unwrap(&self) -> Option<String> {
        match self {
            Self::Pipeline(pipeline) => pipeline.source.unwrap(),
            Self::Rule(_) => None,
        }
    }

    /// Between this source and this sink, whatever the pipeline's own are. Dead letters never halt
    /// it, however many there are, and rows are written as soon as there are any.
    pub fn piped(self, source: PipelineSource, sink: PipelineSink) -> Pipeline {
        let pipeline = match self {
            Self::Pipeline(pipeline) => Pipeline { source, sink, ..*pipeline },
            Self::Rule(rule) => {
                let path = rule.path.clone();
                Pipeline::bare(path, Some(Arc::new(*rule)), source, sink)
            }
        };
        Pipeline {
            dead_letters: DeadLettersConfig { max_ratio: 1.0, ..pipeline.dead_letters },
            unit: UnitConfig { time: Duration::secs(0), ..pipeline.unit },
            ..pipeline
        }
    }
}

impl Pipeline {
    /// A pipeline around a rule that belongs to none, with the defaults for everything else.
    pub(super) fn bare(
        path: PathBuf,
        rule: Option<Arc<Rule>>,
        source: PipelineSource,
        sink: PipelineSink,
    ) -> Self {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let config = PipelineConfig::default();
        let name_place =
            Place { path: path.clone(), line: 1, column: 1, width: 0, text: String::new() };
        Self {
            name: Arc::from(name),
            path,
            replay: None,
            source,
            sink,
            unit: config.unit.clone(),
            limits: config.limits.clone(),
            dead_letters: config.dead_letters.clone(),
            watch: config.watch,
            warnings: Vec::new(),
            name_place,
            config,
            templates: Templates::default(),
            rule,
        }
    }
}
