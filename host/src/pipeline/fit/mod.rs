//! Whether the parts of a pipeline fit together.

mod limits;
mod rows;

use std::path::{Component, Path, PathBuf};

use super::surroundings;
use crate::connect::{PipelineSink, PipelineSource, SinkFacts};
use crate::decode::DeclaredField;
use crate::written::{Cursor, Duration, Finding};

pub(super) use limits::limits;
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

/// Whether the pipeline names a ledger where its sink has none, and only there.
pub(super) fn ledger(sink: &PipelineSink, at: Cursor<'_>, found: &mut Vec<Finding>) {
    let kind = sink.kind();
    match (sink.wants_ledger(), at.has("ledger")) {
        (true, false) => {
            let told = at.key("sink").key(kind).finding(format!("{kind} keeps no progress"));
            let help = "name what does: `ledger: { postgres: { url: … } }` or `ledger: { sqlite: { path: … } }`";
            found.push(told.help(help));
        }
        (false, true) => {
            let told = at.key("ledger").finding(format!("{kind} keeps the ledger itself"));
            found.push(told.help("leave it out"));
        }
        (true, true) | (false, false) => {}
    }
}

/// What records of this source do not have is null in every row.
pub(super) fn surroundings(
    source: &PipelineSource,
    fields: &[DeclaredField],
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) {
    let known = source.facts().surroundings;
    for field in fields {
        let Some(surrounding) = surroundings::of(&field.from) else { continue };
        if known.always.contains(&surrounding) {
            continue;
        }
        let Some(written) = surroundings::written(&field.from) else { continue };
        let kind = source.kind();
        let at = at.key("fields").key(&field.name).key("from");
        if known.in_archives.contains(&surrounding) {
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

/// Units that are cut more often than the sink can take them only wait.
pub(super) fn unit_time(
    time: Duration,
    sink: &SinkFacts,
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) {
    let floor = Duration(sink.unit_floor);
    let at = at.key("unit");
    if at.has("time") && time < floor && time.0.as_millis() > 0 {
        let told = at.key("time").finding(format!("a unit takes this sink about {floor}"));
        found.push(told.help(format!("rows come no sooner than with `time: {floor}`")).warning());
    }
}

/// Rows must not come back as records.
pub(super) fn circle(
    source: &PipelineSource,
    sink: &PipelineSink,
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) {
    let (Some(read), Some(written)) = (source.facts().objects, sink.facts().objects) else {
        return;
    };
    let inside = match (bucket(&read.url), bucket(&written)) {
        (None, None) => match (folder(&read.url), folder(&written)) {
            (Some(read), Some(written)) => written.starts_with(read),
            _ => false,
        },
        (Some(read), Some(written)) => written.starts_with(read),
        _ => false,
    };
    if inside && read.matching.is_none() {
        let told = at.key("sink").key(sink.kind()).key("url");
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

/// Without links and `..` in it, as far as it is there; what is not there yet is told without
/// looking.
fn folder(path: &str) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let mut plain = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => {
                plain.push(part.as_os_str());
                if let Ok(real) = plain.canonicalize() {
                    plain = real;
                }
            }
        }
    }
    Some(plain).filter(|plain| plain != Path::new(""))
}
