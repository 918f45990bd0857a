//! The bytes of one object, as if it were not compressed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use object_store::GetResultPayload;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinHandle;
use tokio_util::io::StreamReader;

use crate::objects::Compression;
use crate::source::inflate::{self, inflate, told_by};

/// What is asked of a file at once. Threads take turns for it, which may take a while when all are busy.
const PIECE_BYTES: usize = 2 << 20;
/// Room for what comes out of a stream.
const ROOM_BYTES: usize = 1 << 20;

/// What a store answers with.
pub(super) enum Raw {
    Stream(BoxStream<'static, object_store::Result<Bytes>>),
    File(Arc<File>),
}

impl From<GetResultPayload> for Raw {
    fn from(payload: GetResultPayload) -> Self {
        match payload {
            GetResultPayload::Stream(stream) => Self::Stream(stream),
            GetResultPayload::File(file, _) => Self::File(Arc::new(file)),
        }
    }
}

pub(super) enum Input {
    Stream(inflate::Input),
    /// A file that is not compressed.
    File(Pieces),
}

/// Reads straight to where the bytes stay.
pub(super) struct Pieces {
    file: Arc<File>,
    /// What is being read, behind what there was before: so many bytes.
    reading: Option<(usize, JoinHandle<io::Result<Vec<u8>>>)>,
    has_ended: bool,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream(_) => "Stream",
            Self::File(_) => "File",
        })
    }
}

impl Input {
    /// Some of the beginning, at most `start` bytes, and what reads the rest. Must not be dropped while it
    /// waits.
    pub async fn open(
        raw: Raw,
        compression: Compression,
        start: usize,
    ) -> io::Result<(BytesMut, Self)> {
        let mut bytes = BytesMut::with_capacity(start);
        let raw = match raw {
            Raw::Stream(stream) => {
                let raw = StreamReader::new(stream.map_err(io::Error::from));
                return Ok((bytes, Self::Stream(inflate(raw, compression).await?)));
            }
            Raw::File(file) => file,
        };
        let mut pieces = Pieces { file: Arc::clone(&raw), reading: None, has_ended: false };
        if matches!(compression, Compression::Auto | Compression::None) {
            pieces.read(&mut bytes, start).await?;
            let is_plain = compression == Compression::None
                || told_by(&bytes).is_none_or(|found| found == Compression::None);
            if is_plain {
                return Ok((bytes, Self::File(pieces)));
            }
            (&*raw).rewind()?;
        }
        bytes.clear();
        let file = tokio::fs::File::from_std(raw.try_clone()?);
        Ok((bytes, Self::Stream(inflate(file, compression).await?)))
    }

    /// Appends what comes next; 0 at the end. May be dropped while it waits: nothing is skipped.
    pub async fn read(&mut self, bytes: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::File(pieces) => pieces.read(bytes, PIECE_BYTES).await,
            Self::Stream(stream) => {
                if bytes.capacity() == bytes.len() {
                    bytes.reserve(ROOM_BYTES);
                }
                stream.read_buf(bytes).await
            }
        }
    }
}

impl Pieces {
    async fn read(&mut self, bytes: &mut BytesMut, most: usize) -> io::Result<usize> {
        if self.has_ended {
            return Ok(0);
        }
        let (before, reading) = self.reading.get_or_insert_with(|| {
            let file = Arc::clone(&self.file);
            let mut piece = Vec::with_capacity(bytes.len() + most);
            piece.extend_from_slice(bytes);
            let read = move || {
                (&*file).take(most as u64).read_to_end(&mut piece)?;
                Ok(piece)
            };
            (bytes.len(), tokio::task::spawn_blocking(read))
        });
        let read = reading.await.map_err(io::Error::other).flatten();
        let before = *before;
        self.reading = None;
        let piece = read?;
        let read = piece.len() - before;
        self.has_ended = read < most;
        if bytes.len() == before {
            *bytes = BytesMut::from(Bytes::from(piece));
        } else {
            // Some of them were taken since it was asked for.
            bytes.extend_from_slice(&piece[before..]);
        }
        Ok(read)
    }
}
