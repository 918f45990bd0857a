//! What goes wrong with tables, whatever the database.

use crate::connect::NameFault;
use crate::record::{ErrorClass, Lane};

#[derive(Debug, thiserror::Error)]
pub enum TableFault {
    #[error("rows of a table have columns, and without a rule there are none")]
    NoRule,
    #[error(transparent)]
    Name(#[from] NameFault),
    #[error("`{option}:` names column `{column}`, which the rule does not give")]
    NoColumn { option: &'static str, column: String },
    #[error("`key:` names column `{column}` twice")]
    KeyTwice { column: String },
    #[error("`newest:` tells rows of one key apart, and there is no `key:`")]
    NewestWithoutKey,
    #[error("`newest:` names column `{column}`, and lists have no order")]
    NewestList { column: String },

    #[error("there is no table {table}")]
    NoTable { table: String, ddl: String },
    #[error("{table} is a view, which takes no rows")]
    View { table: String },
    #[error("table {table} has no column {columns}")]
    NoColumns { table: String, columns: String, ddl: String },
    #[error("nothing keeps the rows of table {table} apart by {key}")]
    NoUniqueKey { table: String, key: String, ddl: String },
    #[error("versions of rows in table {table} are {known}, and the pipeline has them {here}")]
    OtherVersions { table: String, known: String, here: String },
    #[error("rows of table {table} do not tell which records they were made of")]
    NoProvenance { table: String },
    #[error("rows of lane {lane} in table {table} do not say which pipeline they are of")]
    NoPipeline { table: String, lane: String, name: String },
    #[error("lane {lane} has records of which nobody knows where they were read before")]
    NoPast { lane: Lane },

    #[error(
        "the table refuses too many rows of a unit, {found} of them so far, the last because: {reason}"
    )]
    TooManyRefused { found: usize, reason: String },

    #[error("table {table} has no column `{column}` to look at")]
    UnknownColumn { table: String, column: String },
    #[error("rows came with other columns than the sink was opened for")]
    OtherColumns,
}

impl TableFault {
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NoTable { .. }
            | Self::View { .. }
            | Self::NoColumns { .. }
            | Self::NoUniqueKey { .. }
            | Self::OtherVersions { .. }
            | Self::NoProvenance { .. }
            | Self::NoPast { .. }
            | Self::NoPipeline { .. }
            | Self::TooManyRefused { .. } => ErrorClass::Systemic,
            Self::UnknownColumn { .. }
            | Self::NoRule
            | Self::Name(_)
            | Self::NoColumn { .. }
            | Self::KeyTwice { .. }
            | Self::NewestWithoutKey
            | Self::NewestList { .. }
            | Self::OtherColumns => ErrorClass::Fatal,
        }
    }

    pub(crate) fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoTable { ddl, .. } | Self::NoColumns { ddl, .. } => {
                format!("make it, or let pinhost do so by `create: true`:\n{ddl}")
            }
            Self::NoUniqueKey { ddl, .. } => format!("an index does:\n{ddl}"),
            Self::OtherVersions { .. } => {
                "rows of one meaning are never older or newer than those of another: every update would be lost. \
                 `pinhost versions rebase PIPELINE` makes the versions of all rows anew, by what the pipeline says now"
                    .to_owned()
            }
            Self::NoProvenance { .. } => {
                "only rows with `_pinhost_lane` and `_pinhost_position` can be replaced".to_owned()
            }
            Self::NoPipeline { table, lane, name } => {
                let of = |text: &str| text.replace('\'', "''");
                format!(
                    "an older pinhost wrote them. If all of them are of this pipeline, say so: UPDATE {table} SET \
                     _pinhost_lane = '{}' WHERE _pinhost_lane = '{}'; or write to another table: `--to FILE`",
                    of(name),
                    of(lane)
                )
            }
            Self::NoPast { .. } => {
                "replace what an archive of pinhost's has, with its indexes beside it".to_owned()
            }
            Self::View { .. } => "name a table that the view is made of".to_owned(),
            Self::TooManyRefused { .. } => {
                "make the table take what the rule gives, or mend the rule; if the rows are really like that, make \
                 units smaller by `unit: { rows: … }`: each has so many"
                    .to_owned()
            }
            Self::Name(fault) => fault.help().to_owned(),
            Self::NoRule => "give the pipeline a `rule:`".to_owned(),
            _ => return None,
        })
    }
}
