//! Objects of an archive: an index beside each says where its records stand, and what they were when they
//! were read first.

use std::io;
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use object_store::Error as StoreError;
use object_store::path::Path;

use super::error::{Lift, of_store};
use super::index::{Index, Stretch, unfit};
use super::look::Shelf;
use super::object::{Opened, Rest};
use super::replay::Meant;
use super::{ObjectPosition, ObjectsSourceError};
use crate::objects::{OWN, index};
use crate::record::{
    ArchivedPlace, Lane, Past, Place, Position, RawBatch, RawHeader, RawRecord, Span,
};
use crate::source::Most;
use crate::source::frame::too_large;

/// A place where indexes may be of the objects that are read.
#[derive(Debug, Clone)]
pub(super) struct IndexFolder {
    /// Whose objects have their indexes there.
    of: Path,
    folder: Path,
}

impl IndexFolder {
    /// Those of the folder that is read, and of the archive that is named. Who may write to another folder
    /// above does not decide what is in the objects.
    pub async fn find(shelf: &Shelf) -> Result<Arc<[Self]>, ObjectsSourceError> {
        let mut found = Vec::new();
        let own = (!shelf.is_file().await?).then(|| shelf.root.root.clone());
        let named = shelf.archive.clone().filter(|named| Some(named) != own.as_ref());
        for of in own.into_iter().chain(named) {
            for pipeline in folders(shelf, &of.clone().join(OWN)).await? {
                let is_index = |folder: &Path| folder.filename() == Some(index::FOLDER);
                let folders = folders(shelf, &pipeline).await?;
                let folders = folders.into_iter().filter(is_index);
                found.extend(folders.map(|folder| Self { of: of.clone(), folder }));
            }
        }
        Ok(found.into())
    }

    pub fn index_of(&self, object: &Path) -> Option<Path> {
        let below = object.prefix_match(&self.of)?;
        Some(self.folder.parts().chain(below).collect())
    }
}

/// The folders right below one; none where we may not look.
async fn folders(shelf: &Shelf, folder: &Path) -> Result<Vec<Path>, ObjectsSourceError> {
    match shelf.root.store.list_with_delimiter(Some(folder)).await {
        Ok(listed) => Ok(listed.common_prefixes),
        Err(StoreError::NotFound { .. } | StoreError::PermissionDenied { .. }) => Ok(Vec::new()),
        Err(cause) => Err(shelf.failed(cause)),
    }
}

/// An object whose index is known, and what is still to be read of it.
#[derive(Debug)]
pub(super) struct Indexed {
    object: String,
    lift: Lift,
    index: Index,
    /// Records that are to be passed by before the first.
    skip: u64,
    lane: Option<Lane>,
    topic: Option<Arc<str>>,
    /// Where the next record stands.
    at: ObjectPosition,
    bytes: BytesMut,
    /// How much of the object comes before `bytes`.
    before: u64,
    rest: Option<Rest>,
    record_bytes_max: usize,
    /// The others are passed by.
    meant: Meant,
}

impl Indexed {
    /// From a record on.
    pub fn new(
        opened: Opened,
        index: Index,
        from: ObjectPosition,
        record_bytes_max: usize,
        meant: Meant,
    ) -> Self {
        let Opened { start, rest, object, lift, .. } = opened;
        Self {
            object,
            lift,
            lane: index.head.lane.as_deref().map(Lane::new),
            topic: index.head.topic.as_deref().map(Into::into),
            index,
            skip: from.row,
            at: from,
            bytes: start,
            before: 0,
            rest,
            record_bytes_max,
            meant,
        }
    }

    fn damaged(&self, cause: io::Error) -> ObjectsSourceError {
        ObjectsSourceError::Damaged { object: self.object.clone(), lift: self.lift.clone(), cause }
    }

    /// The index cannot be read on.
    fn failed(&self, cause: io::Error) -> ObjectsSourceError {
        let object = self.object.clone();
        // What neither the store nor the operating system says is said by who decompresses.
        if of_store(&cause).is_some() || cause.raw_os_error().is_some() {
            ObjectsSourceError::Read { object, cause }
        } else {
            self.damaged(cause)
        }
    }

    /// The next records; none behind the last. Those come when the whole object was read and is still the
    /// one that was planned. May be dropped while it waits: nothing is skipped.
    pub async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ObjectsSourceError> {
        loop {
            match self.read_on(most).await? {
                // None of these was meant.
                Some(batch) if batch.records.is_empty() => {}
                read => return Ok(read),
            }
        }
    }

    async fn read_on(&mut self, most: Most) -> Result<Option<RawBatch>, ObjectsSourceError> {
        let skipped = self.index.skip(&mut self.skip).await;
        skipped.map_err(|cause| self.failed(cause))?;
        let lines = self.index.lines(most).await.map_err(|cause| self.failed(cause))?;
        let stretch = self.index.stretch(&lines, most).map_err(|cause| self.damaged(cause))?;
        let Some((first, last)) = stretch.entries.first().zip(stretch.entries.last()) else {
            return Ok(None);
        };
        let (from, to, end) = (first.from, last.to, self.index.head.bytes);
        let is_last = stretch.is_last;
        self.read_to(from, if is_last { end.max(to) } else { to }).await?;
        let there = self.before + self.bytes.len() as u64;
        if there < to || is_last && there != end {
            return Err(self.damaged(unfit()));
        }
        let batch = self.batch(&stretch, from);
        self.index.advance(&stretch);
        Ok(Some(batch))
    }

    /// Has the bytes from `from` to `to` at hand and one more, or all there are.
    async fn read_to(&mut self, from: u64, to: u64) -> Result<(), ObjectsSourceError> {
        loop {
            let needless = from.saturating_sub(self.before).min(self.bytes.len() as u64);
            self.bytes.advance(needless as usize);
            self.before += needless;
            if self.before + self.bytes.len() as u64 > to {
                return Ok(());
            }
            let Some(rest) = &mut self.rest else { return Ok(()) };
            if !rest.read(&mut self.bytes).await? {
                self.rest = None;
            }
        }
    }

    fn batch(&mut self, stretch: &Stretch<'_>, from: u64) -> RawBatch {
        let values = stretch.entries.last().map_or(0, |last| last.to - from) as usize;
        let mut bytes = self.bytes[..values].to_vec();
        let push = |bytes: &mut Vec<u8>, data: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(data);
            Span::new(start..bytes.len())
        };
        let (mut records, mut headers) = (Vec::new(), Vec::new());
        let mut places = Vec::with_capacity(stretch.entries.len());
        let start = self.at;
        let all = self.meant.is_all();
        for (entry, next) in stretch.entries.iter().zip(self.nexts(stretch)) {
            let (time, lane) = (entry.timestamp_micros, self.lane.as_ref());
            if !all && !self.meant.holds(time, lane, (entry.position, self.at)) {
                self.at.row += 1;
                continue;
            }
            let value = (entry.from - from) as usize..(entry.to - from) as usize;
            let length = value.len();
            let is_large = length > self.record_bytes_max;
            let kept = value.start..value.start + length.min(self.record_bytes_max);
            let first_header = headers.len();
            for (name, value) in &entry.headers {
                let value = value.as_ref().map(|value| push(&mut bytes, value.as_bytes()));
                headers.push(RawHeader { name: name.as_ref().into(), value });
            }
            records.push(RawRecord {
                position: self.at.into(),
                value: (!entry.null).then(|| Span::new(kept)),
                key: entry.key.as_ref().map(|key| push(&mut bytes, key.as_bytes())),
                timestamp_micros: entry.timestamp_micros,
                headers: Span::new(first_header..headers.len()),
                fault: is_large.then(|| too_large(length, self.record_bytes_max)),
            });
            places.push(ArchivedPlace { at: entry.position, next });
            self.at.row += 1;
        }
        if stretch.is_last {
            self.at = self.at.next_object();
        }
        RawBatch {
            bytes: bytes.into(),
            records,
            headers,
            topic: self.topic.clone(),
            partition: self.index.head.partition,
            columns: None,
            from: start.into(),
            to: self.at.into(),
            past: Some(Past::Archived { lane: self.lane.clone(), places }),
        }
    }

    /// For each of these records the position behind it: where the next one stands. The head of the index
    /// tells it of the last one.
    fn nexts(&self, stretch: &Stretch<'_>) -> Vec<Position> {
        let of_entries = stretch.entries.iter().skip(1).map(|entry| entry.position);
        let of_last = stretch.entries.last().map(|last| {
            let told = stretch.next.or(self.index.head.to);
            told.unwrap_or_else(|| behind(last.position))
        });
        of_entries.chain(of_last).collect()
    }

    /// Where what comes behind the records that were handed out stands.
    pub fn next(&self) -> ObjectPosition {
        self.at
    }
}

/// Behind the last record of an object, for an index that does not tell it: those of format 1 hold numbers
/// and rows of objects, which are dense enough for that.
fn behind(last: Position) -> Position {
    let Position::At(place) = last else { return last };
    let mut words = place.words().to_vec();
    if let Some(word) = words.last_mut() {
        *word = word.saturating_add(1);
    }
    Position::At(Place::new(&words, place.mark()))
}
