//! Whether rows have the columns that their sink needs.

use crate::connect::{ColumnRole, NamedColumns, PipelineSink};
use crate::pipeline::field::Columns;
use crate::record::Kind;
use crate::written::{Cursor, Finding, nearest};

impl ColumnRole {
    fn takes(self, kind: Kind) -> bool {
        match self {
            Self::Key | Self::Partition => {
                !matches!(kind, Kind::Float | Kind::TextList | Kind::FloatList)
            }
            Self::Newest => matches!(kind, Kind::Integer | Kind::Timestamp),
            Self::Header => !matches!(kind, Kind::TextList | Kind::FloatList),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Key => "a key is boolean, integer, text or timestamp",
            Self::Newest => "what tells which row is newer is integer or timestamp",
            Self::Header => "a list cannot be a header",
            Self::Partition => "a folder is named by boolean, integer, text or timestamp",
        }
    }
}

/// Whether the rows have what the sink needs. `columns` is none where there is no rule.
pub(in crate::pipeline) fn rows(
    sink: &PipelineSink,
    columns: Option<&Columns>,
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) {
    let facts = sink.facts();
    let at = at.key("sink").key(sink.kind());
    let Some(columns) = columns else {
        if let Some(why) = facts.columns.because {
            found.push(
                at.finding(format!("{why}, and without a rule there are none"))
                    .help("add `rule: rules/NAME.yaml`, with the fields of a record"),
            );
        }
        return;
    };
    for needless in facts.not_with_rule {
        found.push(at.key(needless.setting).finding(needless.message).help(needless.help));
    }
    let all: Vec<&str> = columns.fields.iter().map(|field| &*field.name).collect();
    let refused = facts.names.map(|database| database.columns(&all)).unwrap_or_default();
    for (name, fault) in refused {
        let told = at.finding(fault.to_string());
        found.push(told.help(format!("rename `{name}` in the rule's `output:`")));
    }
    for named in &facts.columns.named {
        named_columns(named, columns, &all, at.key(named.setting), found);
    }
}

/// Whether the columns that a setting names are there, and of a kind that fits.
fn named_columns(
    NamedColumns { names, role, .. }: &NamedColumns,
    columns: &Columns,
    all: &[&str],
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) {
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
            Some(field) => found
                .push(at.finding(format!("column `{name}` is {}", field.kind)).help(role.what())),
            None if columns.open => {}
            None => {
                found.push(Finding {
                    help: nearest::help(name, all, "there are"),
                    ..at.finding(format!("rows have no column `{name}`"))
                });
            }
        }
    }
    let has_all = names.len() >= all.len() && !columns.open;
    if *role == ColumnRole::Partition && has_all && !names.is_empty() {
        found.push(at.finding("nothing is left to be written: these are all columns"));
    }
}
