//! Whether rows have the columns that their sink needs.

use super::Columns;
use crate::pipeline::config::{
    ObjectsSinkConfig, PostgresSinkConfig, RowFormat, SinkConfig, SqliteSinkConfig,
};
use crate::pipeline::finding::Finding;
use crate::pipeline::nearest;
use crate::pipeline::tree::Cursor;
use crate::record::Kind;

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
        SinkConfig::Postgres(PostgresSinkConfig { key, newest, .. })
        | SinkConfig::Sqlite(SqliteSinkConfig { key, newest, .. }) => Asks {
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
pub(in crate::pipeline) fn rows(
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
    if let SinkConfig::Objects(ObjectsSinkConfig { keys: Some(_), .. }) = sink {
        let told = kind_at.key("keys").finding("this names objects of records as they came");
        found.push(
            told.help("leave it out where there is a rule; `partition_by` names folders then"),
        );
    }
    let all: Vec<&str> = columns.fields.iter().map(|field| &*field.name).collect();
    let refused = sink.names().map(|database| database.columns(&all)).unwrap_or_default();
    for (name, fault) in refused {
        let told = kind_at.finding(fault.to_string());
        found.push(told.help(format!("rename `{name}` in the rule's `output:`")));
    }
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
                    found.push(Finding {
                        help: nearest::help(name, &all, "there are"),
                        ..at.finding(format!("rows have no column `{name}`"))
                    });
                }
            }
        }
        let has_all = names.len() >= all.len() && !columns.open;
        if role == Role::Partition && has_all && !names.is_empty() {
            found.push(at.finding("nothing is left to be written: these are all columns"));
        }
    }
}
