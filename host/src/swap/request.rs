//! What somebody may ask of a pipeline that runs, and what the answer is.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// Something that is asked, and where the answer goes.
#[derive(Debug)]
pub enum Request {
    Swap {
        /// The id of a step.
        step: String,
        /// The plugin that is to take its place.
        file: PathBuf,
        is_dry: bool,
        answer: oneshot::Sender<Answer>,
    },
    RollBack {
        /// The id of a step.
        step: String,
        answer: oneshot::Sender<Answer>,
    },
    Generations {
        answer: oneshot::Sender<Answer>,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done { told: Vec<String> },
    Refused { told: Vec<String>, why: String },
    Generations { generations: Vec<GenerationStatus> },
}

/// A generation that cleans or may clean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationStatus {
    pub digest: String,
    /// `live`, `on probation`, `before`.
    pub state: String,
    /// Records that it cleaned in this process.
    pub records: u64,
    pub dead_letters: u64,
    /// Lanes, and from where on in each.
    pub began: Vec<(String, String)>,
}
