//! Rows of which a column has a value, in objects that this pipeline has written: where they come from.
//!
//! Folders tell what their rows have, and Parquet tells what its row groups may hold; lines are read one by
//! one. What is read is bounded: whoever has more than that asks a query engine, for which the same columns
//! are there.

mod lines;
mod parquet;
mod value;

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::ObjectsSinkError;
use super::key::{hive, is_data_or_replay};
use super::store::{Listed, Store};
use crate::ledger::RowOrigin;
use crate::ledger::log::keys::Keys;
use crate::sink::objects::{ObjectsSinkConfig, RowFormat};

/// Objects that are looked into at a time.
const IN_FLIGHT: usize = 8;
/// Rows that are told of at most.
const ROWS_MAX: usize = 1_000;
/// What is read at most: of Parquet the footers, and the columns of row groups that may have the value.
const BYTES_MAX: u64 = 2 << 30;

/// What is looked for.
#[derive(Debug)]
struct Search<'a> {
    column: &'a str,
    /// As somebody types it.
    value: &'a str,
    /// The column names folders, and every row of those that are looked into has the value.
    is_folder: bool,
}

pub(super) async fn origins(
    store: &Store,
    keys: &Keys,
    config: &ObjectsSinkConfig,
    column: &str,
    value: &str,
) -> Result<Vec<RowOrigin>, ObjectsSinkError> {
    let is_folder = config.partition_by.iter().any(|name| name == column);
    let folder = is_folder.then(|| folder_of(column, value));
    let mut objects = Vec::new();
    store
        .each("", |object| {
            let is_there = folder.as_ref().is_none_or(|folder| {
                let path = object.key.rsplit_once('/').map(|(path, _)| path);
                path.is_some_and(|path| path.split('/').any(|part| *part == **folder))
            });
            if is_there && is_data_or_replay(keys, &object.key) {
                objects.push(object);
            }
        })
        .await?;
    objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Search { column, value, is_folder }.through(store, config.format, objects).await
}

/// The part of a path that rows with this value have.
fn folder_of(column: &str, value: &str) -> String {
    let mut folder = String::new();
    hive(column, &mut folder);
    folder.push('=');
    hive(value, &mut folder);
    folder
}

impl Search<'_> {
    async fn through(
        &self,
        store: &Store,
        format: RowFormat,
        objects: Vec<Listed>,
    ) -> Result<Vec<RowOrigin>, ObjectsSinkError> {
        let all = objects.len();
        let look = |object: Listed| async move {
            match format {
                RowFormat::Parquet => self.in_parquet(store, &object).await,
                RowFormat::Ndjson => self.in_lines(store, &object).await,
            }
        };
        let mut looked = futures_util::stream::iter(objects).map(look).buffered(IN_FLIGHT);
        let (mut rows, mut bytes, mut objects, mut is_known) = (Vec::new(), 0, 0, false);
        while let Some(found) = looked.try_next().await? {
            rows.extend(found.rows);
            is_known |= found.has_column;
            bytes += found.bytes_read;
            objects += 1;
            if rows.len() >= ROWS_MAX {
                rows.truncate(ROWS_MAX);
                break;
            }
            if bytes > BYTES_MAX && objects < all {
                return Err(ObjectsSinkError::TooMuchToSearch { objects, all });
            }
        }
        if all > 0 && !is_known {
            return Err(ObjectsSinkError::UnknownColumn { column: self.column.to_owned() });
        }
        Ok(rows)
    }
}

/// What one object has.
#[derive(Debug, Default)]
struct Found {
    rows: Vec<RowOrigin>,
    /// Whether its rows have the column at all.
    has_column: bool,
    bytes_read: u64,
}

/// What a row says of itself, if it does.
fn origin(lane: Option<&str>, place: Option<&str>, generation: Option<&str>) -> Option<RowOrigin> {
    RowOrigin::new(lane?, place?, generation)
}
