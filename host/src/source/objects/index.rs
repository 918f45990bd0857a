//! The index of an object as it is read: a few lines at a time, however long it is and however small its
//! file.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt as _};
use tokio::io::AsyncReadExt as _;

use super::indexed::IndexFolder;
use super::look::Shelf;
use crate::objects::Compression;
use crate::objects::{IndexEntry, IndexHead, index};
use crate::record::Position;
use crate::source::Most;
use crate::source::inflate::{Input, inflate};

/// A record that is larger than this was never written by us.
const RECORD_BYTES_MAX: u64 = 1 << 30;

/// A line has the key and the headers of its record, which have to fit into memory.
const LINE_BYTES_MAX: usize = 32 << 20;

/// So much is read ahead, whatever a batch may hold.
const AHEAD_BYTES: usize = 1 << 20;

const READ_BYTES: usize = 64 << 10;

pub(super) struct Index {
    pub head: IndexHead<'static>,
    input: Input,
    /// Lines of records that were not handed out; the last one may not be whole.
    lines: Bytes,
    /// The same while more are read; what is here comes before the rest of `input`.
    filling: BytesMut,
    /// Whether nothing comes behind these lines.
    is_whole: bool,
}

/// The next records, as their lines say.
#[derive(Debug)]
pub(super) struct Stretch<'a> {
    pub entries: Vec<IndexEntry<'a>>,
    /// Of the lines.
    length: usize,
    /// Where the record behind these stands.
    pub next: Option<Position>,
    /// Whether no record comes behind these.
    pub is_last: bool,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Index {
    /// The index of an object, if it has one.
    pub async fn open(
        shelf: &Shelf,
        folders: &[IndexFolder],
        object: &Path,
    ) -> Result<Option<Self>, io::Error> {
        for folder in folders {
            let Some(path) = folder.index_of(object) else { continue };
            let got = match shelf.root.store.get(&path).await {
                Ok(got) => got,
                Err(StoreError::NotFound { .. }) => continue,
                Err(cause) => return Err(cause.into()),
            };
            let stored = got.into_stream().map_err(io::Error::from);
            let stored = tokio_util::io::StreamReader::new(Box::pin(stored));
            return Self::over(inflate(stored, Compression::Auto).await?).await.map(Some);
        }
        Ok(None)
    }

    async fn over(input: Input) -> Result<Self, io::Error> {
        let head = IndexHead::default();
        let (lines, filling) = (Bytes::new(), BytesMut::new());
        let mut index = Self { head, input, lines, filling, is_whole: false };
        index.fill(1).await?;
        let line = next_line(&index.lines).ok_or_else(unfit)?;
        let length = line.len();
        let head: IndexHead<'_> = serde_json::from_slice(line)?;
        if head.format > index::FORMAT {
            return Err(io::Error::other("its index was written by a newer pinhost"));
        }
        index.head = head.into_owned();
        index.lines.advance(length);
        Ok(index)
    }

    /// Has so many lines at hand, or as many as are enough for a while, or all there are. May be dropped
    /// while it waits.
    async fn fill(&mut self, lines: usize) -> Result<(), io::Error> {
        let is_filled = |bytes: &[u8], is_whole| {
            let whole = memchr::memchr_iter(b'\n', bytes).take(lines).count();
            is_whole || whole == lines || whole > 1 && bytes.len() >= AHEAD_BYTES
        };
        if self.filling.is_empty() && is_filled(&self.lines, self.is_whole) {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.lines);
        if !lines.is_empty() {
            self.filling = [&lines[..], &self.filling[..]].concat().as_slice().into();
        }
        while !is_filled(&self.filling, self.is_whole) {
            if self.filling.len() > 2 * LINE_BYTES_MAX {
                return Err(io::Error::other("its index has a line that is too long"));
            }
            self.filling.reserve(READ_BYTES);
            self.is_whole = self.input.read_buf(&mut self.filling).await? == 0;
        }
        self.lines = self.filling.split().freeze();
        Ok(())
    }

    /// Passes some records by. Says how many if they are not all at hand.
    pub async fn skip(&mut self, records: &mut u64) -> Result<(), io::Error> {
        while *records > 0 {
            self.fill(1).await?;
            let length = next_line(&self.lines).ok_or_else(unfit)?.len();
            self.lines.advance(length);
            *records -= 1;
        }
        Ok(())
    }

    /// The lines of the next records, as many as a batch may hold and one more. May be dropped while it
    /// waits.
    pub async fn lines(&mut self, most: Most) -> Result<Bytes, io::Error> {
        self.fill(most.records.saturating_add(1)).await?;
        Ok(self.lines.clone())
    }

    /// Of these lines, as many as a batch may hold.
    pub fn stretch<'a>(&self, lines: &'a [u8], most: Most) -> Result<Stretch<'a>, io::Error> {
        let (mut entries, mut length, mut start) = (Vec::<IndexEntry<'_>>::new(), 0, None);
        let mut next = None;
        while let Some(line) = next_line(&lines[length..]) {
            let entry: IndexEntry<'_> = serde_json::from_slice(line)?;
            let begin = *start.get_or_insert(entry.from);
            let is_sound = entries.last().map_or(begin, |last| last.to) <= entry.from
                && (entry.from..=entry.from.saturating_add(RECORD_BYTES_MAX)).contains(&entry.to);
            if !is_sound {
                return Err(unfit());
            }
            let is_full = entries.len() >= most.records || entry.to - begin > most.bytes as u64;
            // Of a record it has to be known what comes behind it.
            let is_known = self.is_whole || next_line(&lines[length + line.len()..]).is_some();
            if !entries.is_empty() && (is_full || !is_known) {
                next = Some(entry.position);
                break;
            }
            entries.push(entry);
            length += line.len();
        }
        let is_last = self.is_whole && length == lines.len();
        if next.is_none() && !is_last {
            return Err(unfit());
        }
        Ok(Stretch { entries, length, next, is_last })
    }

    /// These records are handed out.
    pub fn advance(&mut self, stretch: &Stretch<'_>) {
        self.lines.advance(stretch.length);
    }
}

/// The line with its end.
fn next_line(lines: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', lines)?;
    Some(&lines[..=end])
}

pub(super) fn unfit() -> io::Error {
    io::Error::other("its index is that of another object")
}

#[cfg(test)]
mod tests {
    use super::super::super::inflate::tests::zstd;
    use super::*;

    async fn index(text: Vec<u8>) -> Result<Index, io::Error> {
        let stored = zstd(&text).await;
        assert!(stored.len() < 100_000, "it is a small file");
        Index::over(inflate(io::Cursor::new(stored), Compression::Auto).await.unwrap()).await
    }

    fn head(records: u64) -> Vec<u8> {
        let head = IndexHead { format: index::FORMAT, records, ..IndexHead::default() };
        let mut lines = Vec::new();
        index::push(&head, &mut lines);
        lines
    }

    /// 68 kB were 2 GB once.
    #[tokio::test]
    async fn a_small_file_never_takes_much_memory() {
        let mut text = head(100_000);
        text.extend(b"{\"position\":\"7\",\"from\":0,\"to\":0}\n".repeat(100_000));
        let mut index = index(text).await.unwrap();
        let (most, mut found) = (Most { records: 1000, bytes: 1 << 20 }, 0);
        loop {
            let lines = index.lines(most).await.unwrap();
            assert!(lines.len() <= AHEAD_BYTES + READ_BYTES, "{} bytes at a time", lines.len());
            let stretch = index.stretch(&lines, most).unwrap();
            found += stretch.entries.len();
            index.advance(&stretch);
            if stretch.is_last {
                break;
            }
            assert_eq!(stretch.next, Some(Position::number(7)));
        }
        assert_eq!(found, 100_000);

        let mut long = head(1);
        long.resize(3 * LINE_BYTES_MAX, b' ');
        let mut long = self::index(long).await.unwrap();
        let error = long.lines(most).await.unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
        assert!(long.filling.capacity() < 4 * LINE_BYTES_MAX);
    }

    #[tokio::test]
    async fn an_index_that_is_cut_off_is_none() {
        let mut text = head(2);
        text.extend_from_slice(b"{\"position\":\"0\",\"from\":0,\"to\":1}\n{\"position\":");
        let mut index = index(text).await.unwrap();
        let most = Most { records: 10, bytes: 1 << 20 };
        let lines = index.lines(most).await.unwrap();
        assert!(index.stretch(&lines, most).is_err());
    }
}
