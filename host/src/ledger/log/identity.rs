//! What a pipeline reads and what it writes, for ever: its lanes stand for that and nothing else.

use serde::{Deserialize, Serialize};

use super::LogError;
use super::records::FORMAT;
use super::store::{LogStore, create_once};

/// Copying a pipeline's file and changing one line is the most common edit of all: the positions
/// under its name are not those of the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub format: u32,
    /// Its name, which is not always that of its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    pub source: String,
    /// What shape its rows have: readers of a folder meet one only.
    pub target: String,
}

impl Identity {
    pub fn new(pipeline: String, source: String, target: String) -> Self {
        Self { format: FORMAT, pipeline: Some(pipeline), source, target }
    }

    pub async fn read(store: &dyn LogStore, key: &str) -> Result<Option<Self>, LogError> {
        let Some(stored) = store.read(key).await? else { return Ok(None) };
        let unreadable = |cause| LogError::Unreadable { key: key.to_owned(), cause };
        let stored: Self = serde_json::from_slice(&stored).map_err(unreadable)?;
        if stored.format > FORMAT {
            return Err(LogError::Newer { key: key.to_owned() });
        }
        Ok(Some(stored))
    }

    /// Stores it if there is none yet, and meets the one that is stored.
    pub async fn settle(&self, store: &dyn LogStore, key: &str) -> Result<(), LogError> {
        let body = serde_json::to_vec(self).expect("an identity is plain values");
        create_once(store, key, body.into()).await?;
        let lost = || LogError::Gap { key: key.to_owned() };
        let stored = Self::read(store, key).await?.ok_or_else(lost)?;
        self.meet(&stored.source, &stored.target)
    }

    /// What is stored has to be the same.
    pub fn meet(&self, source: &str, target: &str) -> Result<(), LogError> {
        if self.source != source {
            let (stored, given) = (source.to_owned(), self.source.clone());
            return Err(LogError::OtherSource { stored, given });
        }
        if self.target != target {
            let (stored, given) = (target.to_owned(), self.target.clone());
            return Err(LogError::OtherTarget { stored, given });
        }
        Ok(())
    }
}
