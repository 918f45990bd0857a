//! What a field may be taken from besides the record's own bytes.

use crate::connect::Surrounding;
use crate::decode::Origin;

/// What may stand in `from:`; a header's name follows the last one.
pub(super) const NAMES: [&str; 9] = [
    "$key",
    "$topic",
    "$partition",
    "$offset",
    "$timestamp",
    "$sequence",
    "$shard",
    "$rest",
    "$headers.",
];

pub(super) fn read(from: &str) -> Option<Origin> {
    Some(match from {
        "$key" => Origin::Key,
        "$topic" => Origin::Topic,
        "$partition" => Origin::Partition,
        "$offset" => Origin::Offset,
        "$timestamp" => Origin::Timestamp,
        "$sequence" => Origin::Sequence,
        "$shard" => Origin::Shard,
        "$rest" => Origin::Rest,
        other => {
            let header = other.strip_prefix("$headers.").filter(|name| !name.is_empty())?;
            Origin::Header(header.to_owned())
        }
    })
}

/// How it is written, unless it is the record's own.
pub(super) fn written(origin: &Origin) -> Option<String> {
    Some(match origin {
        Origin::Value(_) => return None,
        Origin::Rest => "$rest".to_owned(),
        Origin::Key => "$key".to_owned(),
        Origin::Topic => "$topic".to_owned(),
        Origin::Partition => "$partition".to_owned(),
        Origin::Offset => "$offset".to_owned(),
        Origin::Timestamp => "$timestamp".to_owned(),
        Origin::Sequence => "$sequence".to_owned(),
        Origin::Shard => "$shard".to_owned(),
        Origin::Header(name) => format!("$headers.{name}"),
    })
}

/// What the source has to know, unless it stands in the record's own bytes.
pub(super) fn of(origin: &Origin) -> Option<Surrounding> {
    Some(match origin {
        Origin::Value(_) | Origin::Rest => return None,
        Origin::Key => Surrounding::Key,
        Origin::Topic => Surrounding::Topic,
        Origin::Partition => Surrounding::Partition,
        Origin::Offset => Surrounding::Offset,
        Origin::Timestamp => Surrounding::Timestamp,
        Origin::Sequence => Surrounding::Sequence,
        Origin::Shard => Surrounding::Shard,
        Origin::Header(_) => Surrounding::Headers,
    })
}
