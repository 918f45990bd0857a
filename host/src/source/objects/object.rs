//! One object that is read: opened ahead of its turn, and checked to be the one that was planned.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use object_store::{Error as StoreError, ObjectStoreExt as _};

use super::LANE;
use super::error::{Lift, of_store};
use super::index::Index;
use super::indexed::IndexFolder;
use super::input::{Input, Raw};
use super::look::{Shelf, micros};
use super::plan::Planned;
use super::{ObjectPosition, ObjectsSourceError};
use crate::record::lift::Move;
use crate::record::{Lane, Position};

/// What is read of an object before it is its turn. Most objects are smaller, when there are many.
pub(super) const START_BYTES_MAX: usize = 256 << 10;

/// An object that is open.
#[derive(Debug)]
pub(super) struct Opened {
    /// What was read of it already.
    pub start: BytesMut,
    /// What is not; none if that was all.
    pub rest: Option<Rest>,
    /// For people.
    pub object: String,
    pub lift: Lift,
    /// What says where its records stand, if it is of an archive.
    pub index: Option<Index>,
    /// How long it took until the store began to answer.
    pub answered_in: Duration,
}

/// What is still to be read of an object.
#[derive(Debug)]
pub(super) struct Rest {
    input: Input,
    ticket: Ticket,
    /// What it is read from, if it is a file: nobody keeps others from writing to it.
    file: Option<Arc<File>>,
}

/// What is to be opened, and its place in the lane.
#[derive(Debug)]
pub(super) struct Ticket {
    pub shelf: Arc<Shelf>,
    pub object: Planned,
    pub at: ObjectPosition,
    pub indexes: Arc<[IndexFolder]>,
}

impl Ticket {
    pub async fn open(self) -> Result<Opened, ObjectsSourceError> {
        let shelf = &self.shelf;
        let got = async { shelf.root.store.get(&shelf.root.path(&self.object.key)?).await };
        let asked = Instant::now();
        let got = got.await;
        let answered_in = asked.elapsed();
        let got = match got {
            Ok(got) => got,
            Err(StoreError::NotFound { .. }) => return Err(self.vanished()),
            Err(cause) => return Err(self.failed(cause.into())),
        };
        let found = Planned::new(self.object.key.clone(), &got.meta, shelf.is_local());
        if !found.is_same(&self.object) {
            return Err(self.changed());
        }
        let raw = Raw::from(got.payload);
        let file = match &raw {
            Raw::File(file) => Some(Arc::clone(file)),
            Raw::Stream(_) => None,
        };
        let index = Index::open(shelf, &self.indexes, &got.meta.location).await;
        let index = index.map_err(|cause| self.failed(cause))?;
        let (object, lift) = (self.name(), self.lift());
        let bytes = usize::try_from(self.object.size).unwrap_or(usize::MAX);
        let bytes = bytes.saturating_add(1).min(START_BYTES_MAX);
        let opened = Input::open(raw, shelf.compression, bytes).await;
        let (mut start, input) = opened.map_err(|cause| self.failed(cause))?;
        let mut rest = Rest { input, ticket: self, file };
        while start.len() < START_BYTES_MAX {
            if !rest.read(&mut start).await? {
                return Ok(Opened { start, rest: None, object, lift, index, answered_in });
            }
        }
        Ok(Opened { start, rest: Some(rest), object, lift, index, answered_in })
    }

    /// Fails if the file was written to. A bucket's object stays what it was while it is read.
    async fn check(&self, file: Option<&Arc<File>>) -> Result<(), ObjectsSourceError> {
        let Some(file) = file.cloned() else { return Ok(()) };
        let meta = tokio::task::spawn_blocking(move || file.metadata()).await;
        let meta = meta.map_err(io::Error::other).flatten();
        let now = meta.and_then(|meta| Ok((meta.len(), micros(meta.modified()?))));
        let now = now.map_err(|cause| self.failed(cause))?;
        if now == (self.object.size, self.object.modified) { Ok(()) } else { Err(self.changed()) }
    }

    fn lift(&self) -> Lift {
        if self.shelf.replay.is_some() {
            return Lift::Replay;
        }
        let to = Position::from(self.at.next_object()).to_string();
        Lift::Move(Move { pipeline: self.shelf.args.clone(), lane: Lane::new(LANE), to })
    }

    fn name(&self) -> String {
        self.shelf.name(&self.object.key)
    }

    fn vanished(&self) -> ObjectsSourceError {
        ObjectsSourceError::Vanished { object: self.name(), lift: self.lift() }
    }

    fn changed(&self) -> ObjectsSourceError {
        ObjectsSourceError::Changed { object: self.name(), lift: self.lift() }
    }

    fn failed(&self, cause: io::Error) -> ObjectsSourceError {
        let object = self.name();
        // What neither the store nor the operating system says is said by who decompresses.
        if of_store(&cause).is_some() || cause.raw_os_error().is_some() {
            ObjectsSourceError::Read { object, cause }
        } else {
            ObjectsSourceError::Damaged { object, lift: self.lift(), cause }
        }
    }
}

impl Rest {
    /// Appends what comes next; false at the end of an object that is still the one that was planned. May
    /// be dropped while it waits: nothing is skipped.
    pub async fn read(&mut self, space: &mut BytesMut) -> Result<bool, ObjectsSourceError> {
        let read = self.input.read(space).await;
        let read = match read {
            Ok(read) => read,
            Err(cause) => {
                self.ticket.check(self.file.as_ref()).await?;
                return Err(self.ticket.failed(cause));
            }
        };
        if read == 0 {
            self.ticket.check(self.file.as_ref()).await?;
        }
        Ok(read > 0)
    }
}
