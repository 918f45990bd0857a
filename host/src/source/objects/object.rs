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
use super::kafka_connect::{Beside, ConnectKey, Keys, Lines, Part};
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
    /// Keys and headers, if it is Kafka Connect's and has some.
    pub beside: Option<Beside>,
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
    pub async fn open(self, record_bytes_max: usize) -> Result<Opened, ObjectsSourceError> {
        let (object, lift) = (self.name(), self.lift());
        let (shelf, indexes) = (Arc::clone(&self.shelf), Arc::clone(&self.indexes));
        let path = shelf.root.path(&self.object.key).map_err(|cause| self.failed(cause.into()))?;
        let companions = self.object.beside.clone();
        let of_companions = |object| Self {
            shelf: Arc::clone(&shelf),
            object,
            at: self.at,
            indexes: Arc::clone(&indexes),
        };
        let tickets: Vec<_> = companions
            .into_iter()
            .map(|companion| (companion.part, of_companions(companion.object)))
            .collect();
        let index = Index::open(&shelf, &indexes, &path).await;
        let index = index.map_err(|cause| self.failed(cause))?;
        let begun = self.begin().await?;
        let mut beside = None;
        if index.is_none() {
            begun.is_text()?;
            for (part, ticket) in tickets {
                let beside = beside.get_or_insert_with(Beside::default);
                ticket.open_beside(part, beside, record_bytes_max).await?;
            }
        }
        let Begun { start, rest, answered_in, .. } = begun;
        Ok(Opened { start, rest, object, lift, index, beside, answered_in })
    }

    /// Opens what lies beside an object.
    async fn open_beside(
        self,
        part: Part,
        beside: &mut Beside,
        line_bytes_max: usize,
    ) -> Result<(), ObjectsSourceError> {
        let are_json = ConnectKey::parse(&self.object.key).is_some_and(|key| key.is_json());
        let is_taken = match part {
            Part::Keys => beside.keys.is_some(),
            Part::Headers => beside.headers.is_some(),
        };
        if is_taken {
            let cause = format!("its records have other {} beside them as well", part.name());
            return Err(self.failed(io::Error::other(cause)));
        }
        let begun = self.begin().await?;
        begun.is_text()?;
        let lines = Lines::new(begun.start, begun.rest, line_bytes_max);
        match part {
            Part::Keys => beside.keys = Some(Keys { lines, are_json }),
            Part::Headers => beside.headers = Some(lines),
        }
        Ok(())
    }

    /// Reads the beginning of the object, which has to be the one that was planned.
    async fn begin(self) -> Result<Begun, ObjectsSourceError> {
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
        let (object, lift) = (self.name(), self.lift());
        let bytes = usize::try_from(self.object.size).unwrap_or(usize::MAX);
        let bytes = bytes.saturating_add(1).min(START_BYTES_MAX);
        let opened = Input::open(raw, shelf.compression, bytes).await;
        let (mut start, input) = opened.map_err(|cause| self.failed(cause))?;
        let mut rest = Some(Rest { input, ticket: self, file });
        while start.len() < START_BYTES_MAX {
            let Some(unread) = &mut rest else { break };
            if !unread.read(&mut start).await? {
                rest = None;
            }
        }
        Ok(Begun { start, rest, object, lift, answered_in })
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

/// The beginning of an object.
#[derive(Debug)]
struct Begun {
    start: BytesMut,
    rest: Option<Rest>,
    object: String,
    lift: Lift,
    answered_in: Duration,
}

impl Begun {
    /// Fails if it is known to hold no text: of every piece of it a dead letter would be made.
    fn is_text(&self) -> Result<(), ObjectsSourceError> {
        const FORMS: [(&[u8], &str); 2] = [(b"Obj\x01", "Avro"), (b"PAR1", "Parquet")];
        match FORMS.iter().find(|(mark, _)| self.start.starts_with(mark)) {
            None => Ok(()),
            Some(&(_, form)) => {
                let (object, lift) = (self.object.clone(), self.lift.clone());
                Err(ObjectsSourceError::Form { object, form, lift })
            }
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
