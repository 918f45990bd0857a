//! What a field may be taken from besides the record's own bytes, and which source has it.

use super::config::SourceConfig;
use crate::decode::Origin;

/// What may stand in `from:`; a header's name follows the last one.
pub(super) const NAMES: [&str; 7] =
    ["$key", "$topic", "$partition", "$offset", "$timestamp", "$rest", "$headers."];

pub(super) fn read(from: &str) -> Option<Origin> {
    Some(match from {
        "$key" => Origin::Key,
        "$topic" => Origin::Topic,
        "$partition" => Origin::Partition,
        "$offset" => Origin::Offset,
        "$timestamp" => Origin::Timestamp,
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
        Origin::Header(name) => format!("$headers.{name}"),
    })
}

/// Whether records of this source have it.
pub(super) fn has(source: &SourceConfig, origin: &Origin) -> bool {
    match origin {
        Origin::Value(_) | Origin::Rest => true,
        // An archive keeps keys and headers, and so may Kafka Connect. Other objects have none.
        Origin::Key => match source {
            SourceConfig::Generate(_) | SourceConfig::Kafka(_) | SourceConfig::Objects(_) => true,
            SourceConfig::Stdin(_) => false,
        },
        Origin::Header(_) => match source {
            SourceConfig::Kafka(_) | SourceConfig::Objects(_) => true,
            SourceConfig::Generate(_) | SourceConfig::Stdin(_) => false,
        },
        Origin::Timestamp => {
            matches!(source, SourceConfig::Generate(_) | SourceConfig::Kafka(_))
        }
        // The number of the record. Rows of an object have a place that is no single number.
        Origin::Offset => match source {
            SourceConfig::Generate(_) | SourceConfig::Kafka(_) | SourceConfig::Stdin(_) => true,
            SourceConfig::Objects(_) => false,
        },
        Origin::Topic | Origin::Partition => match source {
            SourceConfig::Kafka(_) => true,
            SourceConfig::Generate(_) | SourceConfig::Objects(_) | SourceConfig::Stdin(_) => false,
        },
    }
}
