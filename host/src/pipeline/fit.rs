//! Whether the parts of a pipeline fit together, and whether its figures make sense.

use std::path::{Path, PathBuf};

use super::config::{
    DeadLettersConfig, LimitsConfig, ObjectsSinkConfig, RowFormat, SinkCompression, SinkConfig,
    SourceConfig, SqliteSinkConfig, UnitConfig,
};
use super::field::Columns;
use super::finding::Finding;
use super::nearest;
use super::surroundings;
use super::tree::Cursor;
use crate::decode::DeclaredField;
use crate::record::Kind;

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
        found.push(if field.required {
            at.finding(format!("records of {kind} have no {written}, and it is required"))
                .help("every record would be a dead letter; leave `required` out, and it is null")
        } else {
            at.finding(format!("records of {kind} have no {written}: the column is null")).warning()
        });
    }
}

/// What a sink asks of rows.
struct Asks<'a> {
    /// Why they have to have columns, if they have to.
    columns: Option<&'static str>,
    asked: Vec<(&'static str, &'a [String], Role)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Key,
    Newest,
    Partition,
}

impl Role {
    fn takes(self, kind: Kind) -> bool {
        match self {
            Self::Key | Self::Partition => {
                !matches!(kind, Kind::Float | Kind::TextList | Kind::FloatList)
            }
            Self::Newest => matches!(kind, Kind::Integer | Kind::Timestamp),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Key => "a key is boolean, integer, text or timestamp",
            Self::Newest => "what tells which row is newer is integer or timestamp",
            Self::Partition => "a folder is named by boolean, integer, text or timestamp",
        }
    }
}

fn asks(sink: &SinkConfig) -> Asks<'_> {
    match sink {
        SinkConfig::Sqlite(SqliteSinkConfig { key, newest, .. }) => Asks {
            columns: Some("a table has columns"),
            asked: vec![("key", key, Role::Key), ("newest", newest.as_slice(), Role::Newest)],
        },
        SinkConfig::Objects(ObjectsSinkConfig { format, partition_by, .. }) => Asks {
            columns: match format {
                RowFormat::Parquet => Some("Parquet has columns"),
                RowFormat::Ndjson if !partition_by.is_empty() => {
                    Some("folders are named by columns")
                }
                RowFormat::Ndjson => None,
            },
            asked: vec![("partition_by", partition_by, Role::Partition)],
        },
        SinkConfig::Stdout(_) => Asks { columns: None, asked: Vec::new() },
    }
}

/// Whether the rows have what the sink needs. `columns` is none where there is no rule.
pub(super) fn rows(
    sink: &SinkConfig,
    columns: Option<&Columns>,
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) {
    let Asks { columns: why, asked } = asks(sink);
    let kind_at = at.key("sink").key(sink.kind());
    let Some(columns) = columns else {
        if let Some(why) = why {
            found.push(
                kind_at
                    .finding(format!("{why}, and without a rule there are none"))
                    .help("add `rule: rules/NAME.yaml`, with the fields of a record"),
            );
        }
        return;
    };
    for (setting, names, role) in asked {
        let at = kind_at.key(setting);
        for (index, name) in names.iter().enumerate() {
            let at = at.item(index);
            if names[..index].contains(name) {
                found.push(at.finding(format!("`{name}` is there twice")));
                continue;
            }
            let known = columns.fields.iter().find(|field| *field.name == **name);
            match known {
                Some(_) if columns.doubtful.contains(name) => {}
                Some(field) if role.takes(field.kind) => {}
                Some(field) => found.push(
                    at.finding(format!("column `{name}` is {}", field.kind)).help(role.what()),
                ),
                None if columns.open => {}
                None => {
                    let names: Vec<_> = columns.fields.iter().map(|field| &*field.name).collect();
                    found.push(Finding {
                        help: nearest::help(name, &names, "there are"),
                        ..at.finding(format!("rows have no column `{name}`"))
                    });
                }
            }
        }
        let all = names.len() >= columns.fields.len() && !columns.open;
        if role == Role::Partition && all && !names.is_empty() {
            found.push(at.finding("nothing is left to be written: these are all columns"));
        }
    }
}

/// What can be wrong with a sink by itself.
pub(super) fn sink(sink: &SinkConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    let at = at.key("sink").key(sink.kind());
    match sink {
        SinkConfig::Sqlite(sqlite) => {
            if sqlite.newest.is_some() && sqlite.key.is_empty() {
                let told = at.key("newest").finding("without a `key` no row takes another's place");
                found.push(told.help("name the columns that tell which row it is: `key: [id]`"));
            }
            if sqlite.table.is_empty() {
                found.push(at.key("table").finding("a table needs a name"));
            } else if sqlite.table.to_ascii_lowercase().starts_with("pinhost_") {
                let told = at.key("table").finding("tables called `pinhost_…` are pinhost's own");
                found.push(told.help("call it otherwise"));
            }
        }
        SinkConfig::Objects(objects) => {
            url(&objects.url, at.key("url"), found);
            let (format, takes, names) = match objects.format {
                RowFormat::Ndjson => {
                    use SinkCompression::{Gzip, None, Zstd};
                    ("ndjson", [None, Gzip, Zstd], "none, gzip or zstd")
                }
                RowFormat::Parquet => {
                    use SinkCompression::{None, Snappy, Zstd};
                    ("parquet", [None, Snappy, Zstd], "none, snappy or zstd")
                }
            };
            if objects.compression.is_some_and(|given| !takes.contains(&given)) {
                let at = at.key("compression");
                found.push(at.finding(format!("{format} is not compressed like this")).help(names));
            }
            positive(
                at,
                &[
                    ("row_group_rows", u64::from(objects.row_group_rows)),
                    ("object_size", objects.object_size.0),
                ],
                found,
            );
        }
        SinkConfig::Stdout(_) => {}
    }
}

/// What can be wrong with a source by itself.
pub(super) fn source(source: &SourceConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    let at = at.key("source").key(source.kind());
    match source {
        SourceConfig::Generate(generate) => {
            let given = |value: Option<u64>| value.unwrap_or(1);
            positive(at, &[("rate", given(generate.rate)), ("keys", given(generate.keys))], found);
        }
        SourceConfig::Objects(objects) => {
            url(&objects.url, at.key("url"), found);
            positive(at, &[("poll", objects.poll.0.as_millis() as u64)], found);
        }
        SourceConfig::Stdin(_) => {}
    }
}

fn url(url: &str, at: Cursor<'_>, found: &mut Vec<Finding>) {
    const HELP: &str = "a folder, like ./posts/, or s3://bucket/prefix";
    let finding = match url.split_once("://") {
        _ if url.is_empty() => at.finding("here should be a folder"),
        Some(("s3", rest)) if rest.split('/').next().is_some_and(|bucket| !bucket.is_empty()) => {
            return;
        }
        Some(("s3", _)) => at.finding("this has no bucket"),
        Some((scheme, _)) => at.finding(format!("`{scheme}://` is not understood here")),
        None => return,
    };
    found.push(finding.help(HELP));
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

pub(super) fn limits(
    limits: &LimitsConfig,
    unit: &UnitConfig,
    dead_letters: &DeadLettersConfig,
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) {
    let millis = |time: &super::config::Duration| time.0.as_millis() as u64;
    let own = at.key("limits");
    positive(
        own,
        &[
            ("memory", limits.memory.0),
            ("record", limits.record.0),
            ("depth", limits.depth as u64),
            ("start_time", millis(&limits.start_time)),
            ("halt_time", millis(&limits.halt_time)),
        ],
        found,
    );
    let plugin = &limits.plugin;
    positive(
        own.key("plugin"),
        &[
            ("call", millis(&plugin.call)),
            ("configure", millis(&plugin.configure)),
            ("memory", plugin.memory.0),
            ("output", plugin.output.0),
            ("table_entries", plugin.table_entries as u64),
            ("file", plugin.file.0),
            ("row_fuel", plugin.row_fuel),
        ],
        found,
    );
    positive(
        at.key("unit"),
        &[("rows", u64::from(unit.rows)), ("bytes", unit.bytes.0), ("time", millis(&unit.time))],
        found,
    );
    if limits.memory < limits.record && limits.memory.0 > 0 {
        let place = if own.has("memory") { own.key("memory") } else { own.key("record") };
        let told = place.finding(format!(
            "a record may have {}, and all that is on its way {}",
            limits.record, limits.memory
        ));
        found.push(told.help("`limits.memory` has to hold several records"));
    }
    if !(0.0..=1.0).contains(&dead_letters.max_ratio) {
        let told = at.key("dead_letters").key("max_ratio").finding("a share is from 0 to 1");
        found.push(told.help("0.05 is five of a hundred"));
    }
}

fn positive(at: Cursor<'_>, figures: &[(&str, u64)], found: &mut Vec<Finding>) {
    for (name, figure) in figures {
        if *figure == 0 {
            found.push(at.key(name).finding(format!("`{name}` has to be more than nothing")));
        }
    }
}
