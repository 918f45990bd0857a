//! Plans: which objects are read, in which order. They stand in the lane's journal and never change.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ObjectsSourceError;
use super::kafka_connect::Companion;
use super::look::micros;
use crate::record::Digest;

/// What is older is read, what is newer is refused.
const FORMAT: u32 = 2;
/// What those read, too, who know nothing of what lies beside objects.
const PLAIN_FORMAT: u32 = 1;

/// An object as it was when it was planned. Ordered by key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Planned {
    /// What stands behind the URL; nothing if the URL is that of the object.
    pub key: String,
    pub size: u64,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub modified: i64,
    /// A bucket's. Those of files would hold their inodes, which a backup does not bring back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Keys and headers of its records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Companion>,
}

impl Planned {
    pub fn new(key: String, meta: &ObjectMeta, is_local: bool) -> Self {
        // Stores do not agree on whether the quotes are part of it.
        let etag = || Some(meta.e_tag.as_ref()?.trim_matches('"').to_owned());
        Self {
            key,
            size: meta.size,
            modified: micros(meta.last_modified.into()),
            etag: if is_local { None } else { etag() },
            beside: Vec::new(),
        }
    }

    /// Whether both hold the same bytes, as far as that can be told from outside.
    pub fn is_same(&self, other: &Self) -> bool {
        self.version() == other.version()
    }

    /// A bucket's object that was written again with the same bytes is the same.
    fn version(&self) -> (u64, Result<&str, i64>) {
        (self.size, self.etag.as_deref().ok_or(self.modified))
    }
}

#[derive(Serialize)]
struct NewEntry<'a> {
    format: u32,
    objects: &'a [Planned],
}

#[derive(Deserialize)]
struct Entry<'a> {
    format: u32,
    #[serde(borrow)]
    objects: &'a RawValue,
}

/// The entry of the journal that makes a plan of these.
pub(super) fn to_entry(objects: &[Planned]) -> Bytes {
    let is_plain = objects.iter().all(|object| object.beside.is_empty());
    let entry = NewEntry { format: if is_plain { PLAIN_FORMAT } else { FORMAT }, objects };
    serde_json::to_vec(&entry).expect("a plan is plain values").into()
}

pub(super) fn from_entry(plan: u64, entry: &[u8]) -> Result<Vec<Planned>, ObjectsSourceError> {
    let unreadable = |cause| ObjectsSourceError::Plan { plan, cause };
    let entry: Entry<'_> = serde_json::from_slice(entry).map_err(unreadable)?;
    if entry.format > FORMAT {
        return Err(ObjectsSourceError::NewerPlan { plan });
    }
    serde_json::from_str(entry.objects.get()).map_err(unreadable)
}

/// What was planned and as what: digests, as there may be millions.
#[derive(Debug, Default)]
pub(super) struct Known {
    planned: HashMap<[u64; 2], u64>,
    left_out: HashSet<[u64; 2]>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    New,
    Known,
    /// It was another one when it was planned.
    Changed,
}

impl Known {
    pub fn standing(&self, object: &Planned) -> Standing {
        let (key, version) = digests(object);
        match self.planned.get(&key) {
            None => Standing::New,
            Some(known) if *known == version || self.left_out.contains(&key) => Standing::Known,
            Some(_) => Standing::Changed,
        }
    }

    pub fn plan(&mut self, object: &Planned) {
        let (key, version) = digests(object);
        self.planned.insert(key, version);
    }

    /// From now on it does not matter how the object changes.
    pub fn leave_out(&mut self, object: &Planned) {
        self.left_out.insert(digests(object).0);
    }
}

fn digests(object: &Planned) -> ([u64; 2], u64) {
    let (size, of) = object.version();
    let modified = of.err().map(i64::to_be_bytes);
    let of = modified.as_ref().map_or_else(|| of.unwrap_or_default().as_bytes(), |of| &of[..]);
    let [a, b] = Digest::of(object.key.as_bytes()).words();
    let [version, _] = Digest::of_pieces([&size.to_be_bytes()[..], of]).words();
    ([a, b], version)
}
