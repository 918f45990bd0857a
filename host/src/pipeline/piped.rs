//! A pipeline or a rule as a function: records in, rows out.

use std::path::PathBuf;
use std::sync::Arc;

use super::config::{
    Compression, DeadLettersConfig, Duration, PipelineConfig, SinkConfig, SourceConfig,
    StdinSourceConfig, StdoutSinkConfig, UnitConfig,
};
use super::tree::Templates;
use super::{Document, Pipeline, Place, Rule};

impl Document {
    /// Between the standard input and the standard output, whatever the pipeline's own source and sink
    /// are; records are unwrapped as those of its source. Dead letters never halt it, however many there
    /// are, and rows are written as soon as there are any.
    pub fn piped(self) -> Pipeline {
        let pipeline = match self {
            Self::Pipeline(pipeline) => *pipeline,
            Self::Rule(rule) => {
                let (path, source) = (rule.path.clone(), StdinSourceConfig::default());
                Pipeline::bare(path, Some(Arc::new(*rule)), source)
            }
        };
        let unwrap = pipeline.source.unwrap().map(str::to_owned);
        Pipeline {
            source: SourceConfig::Stdin(StdinSourceConfig {
                compression: Compression::Auto,
                unwrap,
            }),
            sink: SinkConfig::Stdout(StdoutSinkConfig::default()),
            dead_letters: DeadLettersConfig { max_ratio: 1.0, ..pipeline.dead_letters },
            unit: UnitConfig { time: Duration::secs(0), ..pipeline.unit },
            ..pipeline
        }
    }
}

impl Pipeline {
    /// Around a rule that stands by itself, with everything as it is by default.
    pub(super) fn bare(path: PathBuf, rule: Option<Arc<Rule>>, source: StdinSourceConfig) -> Self {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let config = PipelineConfig::default();
        let name_place =
            Place { path: path.clone(), line: 1, column: 1, width: 0, text: String::new() };
        Self {
            name: Arc::from(name),
            path,
            replay: None,
            source: SourceConfig::Stdin(source),
            sink: SinkConfig::Stdout(StdoutSinkConfig::default()),
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
