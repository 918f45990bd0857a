//! Commands that lift what halts a lane, as a person can paste them into a shell.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Lane;

/// Has a lane go on somewhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The pipeline's file.
    pub file: PathBuf,
    pub lane: Lane,
    /// A position, `earliest` or `latest`.
    pub to: String,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, lane, to } = self;
        let (file, lane) = (Word::from(&**file), Word(lane.name().to_owned()));
        write!(f, "pinhost lanes move {file} {lane} --to {to} --accept-gap")
    }
}

/// Lets a bad stretch of a lane through.
#[derive(Debug)]
pub struct Resume<'a> {
    pub file: &'a Path,
    pub lane: &'a Lane,
    pub records: u64,
}

impl fmt::Display for Resume<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, lane, records } = self;
        let (file, lane) = (Word::from(*file), Word(lane.name().to_owned()));
        write!(f, "pinhost lanes resume {file} {lane} --accept-rejects {records}")
    }
}

/// One word for a shell, in quotes where it needs them.
struct Word(String);

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
        let lane = Lane::new("objects");
        Move { file: file.into(), lane, to: "3.8.0".to_owned() }.to_string()
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
