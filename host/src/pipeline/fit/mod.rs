//! Whether the parts of a pipeline fit together, and whether each makes sense by itself.

mod kafka;
mod parts;
mod rows;

use std::path::{Path, PathBuf};

use super::config::{SinkConfig, SourceConfig};
use super::field::Columns;
use super::finding::Finding;
use super::surroundings;
use super::tree::Cursor;
use crate::decode::DeclaredField;

pub(super) use parts::{limits, sink, source};
pub(super) use rows::rows;

/// A pipeline's name is part of file names, of tables' keys and of metrics.
pub(super) fn name(name: &str, at: Cursor<'_>, found: &mut Vec<Finding>) {
    const BYTES_MAX: usize = 100;
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let begins = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !begins || !name.bytes().all(is_inner) || name.len() > BYTES_MAX {
        let shown = at.template().unwrap_or(name);
        found.push(at.finding(format!("`{shown}` cannot be a pipeline's name")).help(
            "letters, digits, `_`, `.` and `-`, 100 at most, the first a letter or a digit: like pins-to-sqlite",
        ));
    }
}

/// What records of this source do not have is null in every row.
pub(super) fn surroundings(
    source: &SourceConfig,
    fields: &[DeclaredField],
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) {
    for field in fields {
        if surroundings::has(source, &field.from) {
            continue;
        }
        let Some(written) = surroundings::written(&field.from) else { continue };
        let kind = source.kind();
        let at = at.key("fields").key(&field.name).key("from");
        if let SourceConfig::Objects(_) = source {
            let others = if field.required {
                "others are dead letters"
            } else {
                "of others the column is null"
            };
            let told = format!("only records of an archive have {written}: {others}");
            found.push(at.finding(told).warning());
            continue;
        }
        found.push(if field.required {
            at.finding(format!("records of {kind} have no {written}, and it is required"))
                .help("every record would be a dead letter; leave `required` out, and it is null")
        } else {
            at.finding(format!("records of {kind} have no {written}: the column is null")).warning()
        });
    }
}

/// Rows must not come back as records.
pub(super) fn circle(
    source: &SourceConfig,
    sink: &SinkConfig,
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) {
    let (SourceConfig::Objects(source), SinkConfig::Objects(sink)) = (source, sink) else { return };
    let inside = match (bucket(&source.url), bucket(&sink.url)) {
        (None, None) => match (folder(&source.url), folder(&sink.url)) {
            (Some(source), Some(sink)) => sink.starts_with(source),
            _ => false,
        },
        (Some(source), Some(sink)) => sink.starts_with(source),
        _ => false,
    };
    if inside && source.matching.is_none() {
        let told = at.key("sink").key("objects").key("url");
        found.push(
            told.finding(
                "rows are written to where records are read, and would be read as records",
            )
            .help("write to another folder, or say by `match:` which objects are records"),
        );
    }
}

fn bucket(url: &str) -> Option<PathBuf> {
    url.strip_prefix("s3://").map(PathBuf::from)
}

/// Without `..` in it, as far as that can be told without looking.
fn folder(path: &str) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let mut plain = PathBuf::new();
    for part in absolute.components() {
        match part {
            std::path::Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part.as_os_str()),
        }
    }
    Some(plain).filter(|plain| plain != Path::new(""))
}
