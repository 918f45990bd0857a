//! Names in a log's store. Everything here is injective: two lanes or pipelines never share a name.

use std::fmt::Write as _;

use uuid::Uuid;

use crate::objects::OWN;
use crate::record::{Digest, Lane};

/// Longer names end in a digest: file names have an end at 255 bytes, and there are several to a
/// name.
const NAME_BYTES_MAX: usize = 80;
/// A lane never has this name: `~` is escaped in theirs.
const RETRIES: &str = "~retries";
const VERDICTS: &str = "~verdicts";

/// The names of one pipeline, from the sink's URL on.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// As a part of a path.
    pub pipeline: String,
}

/// Whose log it is, and whose rows.
#[derive(Debug, Clone)]
pub(crate) struct LogKeys {
    /// `_pinhost/<pipeline>/lanes/<lane>`
    pub folder: String,
    /// Where all staged objects of it are.
    pub staged: String,
    /// The lane's entry in the pipeline's list of lanes, which stands outside its folder: whoever
    /// loses the one still has the other.
    pub listed: String,
    pub own: String,
    /// `<pipeline>--<lane>`. Neither part has two dashes in a row, or one at an end.
    pub stem: String,
    lane: String,
}

impl Keys {
    pub fn new(pipeline: &str) -> Self {
        Self { pipeline: name(pipeline) }
    }

    pub fn own(&self) -> String {
        format!("{OWN}/{}", self.pipeline)
    }

    pub fn lanes(&self) -> String {
        format!("{}/lanes", self.own())
    }

    /// The list of the pipeline's lanes: an object each.
    pub fn lane_list(&self) -> String {
        format!("{}/lane_list", self.own())
    }

    pub fn lane(&self, lane: &Lane) -> LogKeys {
        self.lane_folder(name(lane.name()))
    }

    /// The lane whose folder below [`Keys::lanes`] has this name.
    pub fn lane_folder(&self, folder: String) -> LogKeys {
        self.log(format!("{}/{folder}", self.lanes()), folder)
    }

    /// The log of dead letters that were tried again.
    pub fn retries(&self) -> LogKeys {
        self.log(format!("{}/retries", self.own()), RETRIES.to_owned())
    }

    /// The log of what the pipeline found out about generations.
    pub fn verdicts(&self) -> LogKeys {
        self.log(format!("{}/verdicts", self.own()), VERDICTS.to_owned())
    }

    fn log(&self, folder: String, lane: String) -> LogKeys {
        LogKeys {
            folder,
            staged: format!("{}/staged/{lane}", self.own()),
            listed: format!("{}/{lane}.json", self.lane_list()),
            own: self.own(),
            stem: format!("{}--{lane}", self.pipeline),
            lane,
        }
    }

    pub fn dead_letters(&self) -> String {
        format!("{}/dead_letters", self.own())
    }

    pub fn identity(&self) -> String {
        Self::identity_in(&self.pipeline)
    }

    /// That of the pipeline whose folder has this name.
    pub fn identity_in(folder: &str) -> String {
        format!("{OWN}/{folder}/pipeline.json")
    }

    pub fn first_run(&self) -> String {
        format!("{}/first_run.json", self.own())
    }

    pub fn members(&self) -> String {
        format!("{}/members", self.own())
    }

    pub fn member(&self, id: Uuid) -> String {
        format!("{}/{id}", self.members())
    }

    pub fn generation(&self, digest: Digest) -> String {
        format!("{}/generations/{digest}.json", self.own())
    }

    /// Plugins are shared: what names them is their bytes.
    pub fn plugin(&self, digest: Digest) -> String {
        format!("{OWN}/plugins/{digest}.wasm")
    }

    pub fn probe(&self, attempt: Uuid) -> String {
        format!("{}/probe/{attempt}", self.own())
    }
}

impl Keys {
    /// Those of a replay of this pipeline whose folder has this name.
    pub fn of_replay(&self, folder: &str) -> Option<Self> {
        let is_replay = folder.strip_prefix(&self.pipeline)?.starts_with(".replay-");
        is_replay.then(|| Self { pipeline: folder.to_owned() })
    }
}

impl LogKeys {
    pub fn record(&self, number: u64) -> String {
        format!("{}/log/{number:012}.json", self.folder)
    }

    pub fn checkpoint(&self) -> String {
        format!("{}/checkpoint.json", self.folder)
    }

    pub fn journal(&self, number: u64, attempt: Uuid) -> String {
        format!("{}/journal/{number:012}-{attempt}", self.folder)
    }

    /// What one attempt to commit stages, before anybody may see it. The number of the claim comes
    /// first, so that whoever claims later knows which attempts can no longer succeed.
    pub fn attempt(&self, claimed: u64, attempt: Uuid) -> String {
        format!("{}/{claimed:012}-{attempt}", self.staged)
    }

    /// The number of the claim that staged this, given what follows [`LogKeys::staged`].
    pub fn claimed(staged: &str) -> Option<u64> {
        staged.get(..12)?.parse().ok()
    }

    pub fn dead_letters(&self, number: u64) -> String {
        format!("{}{number:012}.ndjson", self.dead_letters_prefix())
    }

    pub fn dead_letters_prefix(&self) -> String {
        format!("{}/dead_letters/{}-", self.own, self.lane)
    }

    /// The number of the record that has put dead letters there.
    pub fn dead_letters_number(key: &str) -> Option<u64> {
        let (_, name) = key.rsplit_once('-')?;
        name.strip_suffix(".ndjson")?.parse().ok()
    }
}

/// A name of our own choosing as a part of a path.
fn name(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let last = at + 1 == name.len();
        let plain = match byte {
            b'-' => !(last || escaped.is_empty() || escaped.ends_with('-')),
            b'.' => at > 0,
            _ => byte == b'_' || byte.is_ascii_alphanumeric(),
        };
        escape(byte, plain, &mut escaped);
    }
    if escaped.is_empty() {
        return "~".to_owned();
    }
    if escaped.len() > NAME_BYTES_MAX {
        let digest = Digest::of(name.as_bytes()).to_string();
        escaped.truncate(NAME_BYTES_MAX - 17);
        let _ = write!(escaped, "~{}", &digest[..16]);
    }
    escaped
}

pub(crate) fn escape(byte: u8, plain: bool, out: &mut String) {
    if plain {
        out.push(char::from(byte));
    } else {
        let _ = write!(out, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_whose_log_it_is() {
        let lane = Keys::new("pin-to-files").lane(&Lane::new("pinterest.pin/3"));
        assert_eq!(
            lane.record(3),
            "_pinhost/pin-to-files/lanes/pinterest.pin%2F3/log/000000000003.json"
        );
    }

    #[test]
    fn names_stay_short_and_apart() {
        for (given, escaped) in [
            ("", "~"),
            ("..", "%2E."),
            ("-a--b-", "%2Da-%2Db%2D"),
            ("Wörter", "W%C3%B6rter"),
            ("~retries", "%7Eretries"),
        ] {
            assert_eq!(name(given), escaped);
        }
        let (a, b) = ("x".repeat(300) + "a", "x".repeat(300) + "b");
        assert_eq!(name(&a).len(), NAME_BYTES_MAX);
        assert_ne!(name(&a), name(&b));
    }
}
