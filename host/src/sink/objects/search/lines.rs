//! Lines of JSON: each is looked at.

use std::collections::HashMap;
use std::io;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use super::super::ObjectsSinkError;
use super::super::store::{Listed, Store};
use super::value::is_written;
use super::{Found, Search, origin};
use crate::record::provenance::{GENERATION, LANE, POSITION};

impl Search<'_> {
    pub(super) async fn in_lines(
        &self,
        store: &Store,
        object: &Listed,
    ) -> Result<Found, ObjectsSinkError> {
        // Somebody has taken it away since it was listed.
        let Some(bytes) = store.get(&object.key).await? else { return Ok(Found::default()) };
        let bytes_read = bytes.len() as u64;
        let bytes = io::Cursor::new(bytes);
        let lines: Box<dyn AsyncRead + Send + Unpin> = if object.key.ends_with(".gz") {
            let mut decoder = GzipDecoder::new(BufReader::new(bytes));
            decoder.multiple_members(true);
            Box::new(decoder)
        } else if object.key.ends_with(".zst") {
            let mut decoder = ZstdDecoder::new(BufReader::new(bytes));
            decoder.multiple_members(true);
            Box::new(decoder)
        } else {
            Box::new(bytes)
        };
        let unreadable =
            |cause| ObjectsSinkError::UnreadableRows { key: object.key.clone(), cause };
        let mut lines = BufReader::new(lines);
        let (mut line, mut rows, mut has_column) = (Vec::new(), Vec::new(), false);
        while lines.read_until(b'\n', &mut line).await.map_err(unreadable)? > 0 {
            let values: HashMap<String, Value> = serde_json::from_slice(&line)
                .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            let value = values.get(self.column);
            has_column |= self.is_folder || value.is_some();
            if self.is_folder || value.is_some_and(|value| is_written(value, self.value)) {
                let text = |name: &str| values.get(name).and_then(Value::as_str);
                rows.extend(origin(text(LANE), text(POSITION), text(GENERATION)));
            }
            line.clear();
        }
        Ok(Found { rows, has_column, bytes_read })
    }
}
