//! Commands that lift what halts a lane, as a person can paste them into a shell.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Lane;

/// A pipeline as commands are given it: its file; of a replay, also which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineArgs {
    pub file: PathBuf,
    pub replay: Option<Box<ReplayOf>>,
}

/// A replay of a pipeline, which has lanes and dead letters of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayOf {
    pub run_id: Box<str>,
    /// The file of the pipeline whose sink it writes into, if that is another one.
    pub sink_of: Option<PathBuf>,
    /// The name of the pipeline whose sink it writes into.
    pub into: Arc<str>,
}

impl fmt::Display for PipelineArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Word::from(&*self.file))?;
        let Some(ReplayOf { run_id, sink_of, into: _ }) = self.replay.as_deref() else {
            return Ok(());
        };
        write!(f, " --run-id {run_id}")?;
        match sink_of {
            Some(other) => write!(f, " --sink-of {}", Word::from(&**other)),
            None => Ok(()),
        }
    }
}

/// Has a lane go on somewhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub pipeline: PipelineArgs,
    pub lane: Lane,
    /// A position, `earliest` or `latest`.
    pub to: String,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pipeline, lane, to } = self;
        let lane = Word::from(lane.name());
        write!(f, "pinhost lanes move {pipeline} {lane} --to {to} --accept-gap")
    }
}

/// Lets a bad stretch of a lane through.
#[derive(Debug)]
pub struct Resume<'a> {
    pub pipeline: &'a PipelineArgs,
    pub lane: &'a Lane,
    pub records: u64,
}

impl fmt::Display for Resume<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pipeline, lane, records } = self;
        let lane = Word::from(lane.name());
        write!(f, "pinhost lanes resume {pipeline} {lane} --accept-rejects {records}")
    }
}

/// One word for a shell, in quotes where it needs them.
#[derive(Debug)]
pub struct Word(String);

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&Path> for Word {
    fn from(path: &Path) -> Self {
        Self(path.to_string_lossy().into_owned())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@%".contains(&byte);
        if !self.0.is_empty() && self.0.bytes().all(is_plain) {
            f.write_str(&self.0)
        } else {
            write!(f, "'{}'", self.0.replace('\'', r"'\''"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn move_in(file: &str) -> String {
        let pipeline = PipelineArgs { file: file.into(), replay: None };
        move_of(pipeline)
    }

    fn move_of(pipeline: PipelineArgs) -> String {
        let lane = Lane::new("objects");
        Move { pipeline, lane, to: "3.8.0".to_owned() }.to_string()
    }

    #[test]
    fn a_replay_is_told_from_its_pipeline() {
        let sink_of = Some("other one.yaml".into());
        let replay = Some(Box::new(ReplayOf { run_id: "7f".into(), sink_of, into: "b".into() }));
        assert_eq!(
            move_of(PipelineArgs { file: "a.yaml".into(), replay }),
            "pinhost lanes move a.yaml --run-id 7f --sink-of 'other one.yaml' objects --to 3.8.0 --accept-gap"
        );
    }

    #[test]
    fn a_command_can_be_pasted() {
        assert_eq!(
            move_in("a/b.yaml"),
            "pinhost lanes move a/b.yaml objects --to 3.8.0 --accept-gap"
        );
        let odd = move_in("it's here.yaml");
        assert!(odd.starts_with(r"pinhost lanes move 'it'\''s here.yaml' objects"), "{odd}");
    }
}
