//! `stdin`: records on the standard input, in any form that [framing](super::frame) reads.
//!
//! What was read once cannot be read again: every run is a lane of its own. Within the run a lane can be
//! opened anew where it stands in the sink, as what is not committed yet is kept; the runtime holds the
//! same bytes at that time, and bounds them.

mod config;
mod kind;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::OwnedMutexGuard;
use tokio_util::task::AbortOnDropHandle;

use crate::objects::Compression;
use crate::record::{ConnectorError, ErrorClass, Lane, Position, RawBatch, RawRecord, SourceId};

pub use self::config::StdinSourceConfig;
pub use self::kind::Stdin;
use super::frame::{Frame, Framed, Framer};
use super::inflate::{Input, inflate};
use super::{Journal, Known, LaneChange, LaneReader, Most, Outset, Receipts, Source, run_lane};

#[derive(Debug, thiserror::Error)]
pub enum StdinSourceError {
    #[error("cannot read the standard input")]
    Read(#[source] io::Error),
    #[error("lane {lane} stands at {from}, which cannot be read again")]
    Gone { lane: Lane, from: Position },
}

impl StdinSourceError {
    /// What the runtime does about it: design.md, section 5.
    pub fn class(&self) -> ErrorClass {
        match self {
            // Reading on after an error would leave records out, and there is no way back.
            Self::Read(_) | Self::Gone { .. } => ErrorClass::Fatal,
        }
    }
}

impl From<StdinSourceError> for ConnectorError {
    fn from(error: StdinSourceError) -> Self {
        Self::new(error.class(), error)
    }
}

#[derive(Debug)]
pub struct StdinSource {
    /// The run's, once it is known which one it is.
    lane: OnceLock<Lane>,
    is_told: AtomicBool,
    feed: Arc<tokio::sync::Mutex<Feed>>,
    kept: Arc<Mutex<VecDeque<Kept>>>,
}

impl StdinSource {
    pub fn new(config: &StdinSourceConfig, record_bytes_max: usize) -> Self {
        Self::over(tokio::io::stdin(), config.compression, record_bytes_max)
    }

    /// Without a ledger there is no other run.
    fn lane(&self) -> &Lane {
        self.lane.get_or_init(|| run_lane::first("stdin"))
    }

    fn over(
        raw: impl AsyncRead + Send + Unpin + 'static,
        compression: Compression,
        record_bytes_max: usize,
    ) -> Self {
        let feed = Feed {
            input: FeedInput::Raw(Some(Box::new(raw)), compression),
            framer: Framer::new(record_bytes_max),
            next: 0,
        };
        Self {
            lane: OnceLock::new(),
            is_told: AtomicBool::new(false),
            feed: Arc::new(tokio::sync::Mutex::new(feed)),
            kept: Arc::default(),
        }
    }
}

#[async_trait]
impl Source for StdinSource {
    async fn identity(&self) -> Result<SourceId, ConnectorError> {
        Ok(SourceId::new("stdin"))
    }

    async fn resume(&self, known: &Known) -> Result<Outset, ConnectorError> {
        self.is_told.store(false, Ordering::Relaxed);
        let lane = self.lane.get_or_init(|| run_lane::next("stdin", known));
        Ok(Outset::of_one(lane, known))
    }

    async fn next_change(&self) -> Result<Option<LaneChange>, ConnectorError> {
        let was_told = self.is_told.swap(true, Ordering::Relaxed);
        Ok((!was_told).then(|| LaneChange::assigned(self.lane().clone())))
    }

    async fn start(&self, _lane: &Lane) -> Result<Position, ConnectorError> {
        Ok(Position::number(0))
    }

    async fn open(
        &self,
        lane: &Lane,
        from: Position,
        _journal: Arc<dyn Journal>,
    ) -> Result<Box<dyn LaneReader>, ConnectorError> {
        // One that read it before is about to be dropped.
        let feed = Arc::clone(&self.feed).lock_owned().await;
        let oldest = lock(&self.kept).front().map_or(feed.next, |kept| kept.from);
        match from.as_number() {
            Some(next) if (oldest..=feed.next).contains(&next) => {
                let kept = Arc::clone(&self.kept);
                Ok(Box::new(StdinReader { lane: lane.clone(), feed, kept, next }))
            }
            _ => Err(StdinSourceError::Gone { lane: lane.clone(), from }.into()),
        }
    }

    fn committed(&self, _lane: &Lane, to: Position, _receipts: Option<&Receipts>) {
        let Some(to) = to.as_number() else { return };
        let mut kept = lock(&self.kept);
        while kept.front().is_some_and(|kept| kept.to() <= to) {
            kept.pop_front();
        }
    }
}

/// Nothing that is done under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What comes in.
#[derive(Debug)]
struct Feed {
    input: FeedInput,
    framer: Framer,
    /// The number of the first record that the framer holds, or will hold.
    next: u64,
}

enum FeedInput {
    /// Taken when it is read for the first time.
    Raw(Option<Input>, Compression),
    Opening(AbortOnDropHandle<io::Result<Input>>),
    Open(Input),
    Ended,
}

impl fmt::Debug for FeedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw(..) => "Raw",
            Self::Opening(_) => "Opening",
            Self::Open(_) => "Open",
            Self::Ended => "Ended",
        })
    }
}

impl Feed {
    /// Reads on until there is a record; `None` if there is no other.
    async fn read(&mut self, most: Most) -> io::Result<Option<Framed>> {
        loop {
            if let Some(framed) = self.framer.take(most) {
                return Ok(Some(framed));
            }
            match &mut self.input {
                FeedInput::Raw(raw, compression) => {
                    let raw = raw.take().expect("taken once");
                    let opening = tokio::spawn(inflate(raw, *compression));
                    self.input = FeedInput::Opening(AbortOnDropHandle::new(opening));
                }
                FeedInput::Opening(opening) => {
                    self.input = FeedInput::Open(opening.await.map_err(io::Error::other)??);
                }
                FeedInput::Open(input) => {
                    if input.read_buf(self.framer.space()).await? > 0 {
                        self.framer.scan();
                    } else {
                        self.framer.end();
                        self.input = FeedInput::Ended;
                    }
                }
                FeedInput::Ended => return Ok(None),
            }
        }
    }
}

/// Records that were handed out, and may be asked for again.
#[derive(Debug)]
struct Kept {
    from: u64,
    framed: Framed,
}

impl Kept {
    fn to(&self) -> u64 {
        self.from + self.framed.frames.len() as u64
    }

    /// From this record on, as many as `most` allows.
    fn batch(&self, from: u64, most: Most) -> RawBatch {
        let frames = &self.framed.frames[(from - self.from) as usize..];
        let frames = &frames[..most.fitting(frames)];
        let record = |(at, frame): (u64, &Frame)| RawRecord {
            fault: frame.fault.clone(),
            ..RawRecord::value(Position::number(at), frame.value.range())
        };
        RawBatch::new(
            Bytes::clone(&self.framed.bytes),
            (from..).zip(frames).map(record).collect(),
            (Position::number(from), Position::number(from + frames.len() as u64)),
        )
    }
}

#[derive(Debug)]
struct StdinReader {
    lane: Lane,
    feed: OwnedMutexGuard<Feed>,
    kept: Arc<Mutex<VecDeque<Kept>>>,
    next: u64,
}

#[async_trait]
impl LaneReader for StdinReader {
    async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ConnectorError> {
        if self.next == self.feed.next {
            let framed = self.feed.read(most).await.map_err(StdinSourceError::Read)?;
            let Some(framed) = framed else { return Ok(None) };
            let kept = Kept { from: self.next, framed };
            self.feed.next = kept.to();
            lock(&self.kept).push_back(kept);
        }
        let kept = lock(&self.kept);
        let holds = |kept: &&Kept| (kept.from..kept.to()).contains(&self.next);
        let Some(holder) = kept.iter().rev().find(holds) else {
            let (lane, from) = (self.lane.clone(), Position::number(self.next));
            return Err(StdinSourceError::Gone { lane, from }.into());
        };
        let batch = holder.batch(self.next, most);
        self.next += batch.records.len() as u64;
        Ok(Some(batch))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;

    use uuid::Uuid;

    use super::super::inflate::tests::gzip;
    use super::*;

    const MOST: Most = Most { records: 100, bytes: 1 << 20 };

    #[derive(Debug)]
    struct NoJournal;

    #[async_trait]
    impl Journal for NoJournal {
        async fn entries(&self) -> Result<Vec<Bytes>, ConnectorError> {
            unreachable!("nothing is planned")
        }

        async fn append(&self, _number: u64, _entry: Bytes) -> Result<(), ConnectorError> {
            unreachable!("nothing is planned")
        }
    }

    fn over(input: impl AsyncRead + Send + Unpin + 'static) -> StdinSource {
        StdinSource::over(input, Compression::Auto, 1 << 20)
    }

    async fn open(source: &StdinSource, from: u64) -> Result<Box<dyn LaneReader>, ConnectorError> {
        source.open(source.lane(), Position::number(from), Arc::new(NoJournal)).await
    }

    fn values(batch: &RawBatch) -> Vec<(Position, String)> {
        let value = |at| String::from_utf8_lossy(&batch.value(at).unwrap()).into_owned();
        (0..batch.records.len()).map(|at| (batch.records[at].position, value(at))).collect()
    }

    fn numbered(range: std::ops::Range<u64>) -> Vec<(Position, String)> {
        range.map(|at| (Position::number(at), format!("{{\"a\": {at}}}"))).collect()
    }

    fn lines(range: std::ops::Range<u64>) -> Vec<u8> {
        range.map(|at| format!("{{\"a\": {at}}}\n")).collect::<String>().into_bytes()
    }

    #[tokio::test]
    async fn records_are_numbered_and_the_lane_ends_with_the_input() {
        for input in [lines(0..10), gzip(&lines(0..10)).await] {
            let source = over(io::Cursor::new(input));
            let mut reader = open(&source, 0).await.unwrap();
            let mut at = 0;
            while let Some(batch) = reader.read(Most { records: 4, ..MOST }).await.unwrap() {
                assert_eq!(batch.from, Position::number(at));
                let to = (at + 4).min(10);
                assert_eq!(values(&batch), numbered(at..to));
                assert_eq!(batch.to, Position::number(to));
                at = to;
            }
            assert_eq!(at, 10);
        }
    }

    #[tokio::test]
    async fn every_run_is_a_lane_of_its_own() {
        let (one, other) = (over(tokio::io::empty()), over(tokio::io::empty()));
        let lane = one.next_change().await.unwrap();
        assert_eq!(lane, Some(LaneChange::assigned(one.lane().clone())));
        assert_eq!(one.next_change().await.unwrap(), None);
        assert_ne!(one.lane(), other.lane());
        assert!(open(&one, 0).await.unwrap().read(MOST).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_later_run_is_newer_whatever_the_clock_says() {
        let mut known = Known::default();
        let mut lanes = vec![Lane::new(format!("stdin-{}", Uuid::now_v7()))];
        known.lanes.insert(lanes[0].clone(), Position::number(7));
        for _ in 0..12 {
            let source = over(tokio::io::empty());
            source.resume(&known).await.unwrap();
            lanes.push(source.lane().clone());
            known.lanes.insert(source.lane().clone(), Position::number(7));
        }
        assert!(lanes.is_sorted() && lanes[12].name().starts_with("stdin-run-0000000012-"));
    }

    /// As when an edit has the lanes begin anew.
    #[tokio::test]
    async fn a_run_that_begins_anew_has_the_same_lane_and_loses_nothing() {
        let source = over(io::Cursor::new(lines(0..10)));
        source.resume(&Known::default()).await.unwrap();
        let lane = source.lane().clone();
        let mut reader = open(&source, 0).await.unwrap();
        reader.read(Most { records: 4, ..MOST }).await.unwrap().unwrap();
        drop(reader);
        source.committed(&lane, Position::number(2), None);
        let known = Known { lanes: [(lane.clone(), Position::number(2))].into(), has_run: true };
        assert_eq!(source.resume(&known).await.unwrap(), Outset::default());
        let change = source.next_change().await.unwrap();
        assert_eq!(change, Some(LaneChange::assigned(lane)));
        let mut reader = open(&source, 2).await.unwrap();
        let mut found = Vec::new();
        while let Some(batch) = reader.read(MOST).await.unwrap() {
            found.extend(values(&batch));
        }
        assert_eq!(found, numbered(2..10));
    }

    #[tokio::test]
    async fn a_record_is_handed_on_as_soon_as_it_is_there() {
        let (mut writer, input) = tokio::io::duplex(1 << 10);
        let source = over(input);
        let mut reader = open(&source, 0).await.unwrap();
        writer.write_all(b"{\"a\": 0}\n{\"a\"").await.unwrap();
        let batch = reader.read(MOST).await.unwrap().unwrap();
        assert_eq!(values(&batch), numbered(0..1));

        let waiting = tokio::time::timeout(Duration::from_millis(1), reader.read(MOST)).await;
        assert!(waiting.is_err(), "the second record is not complete");
        writer.write_all(b": 1}").await.unwrap();
        drop(writer);
        let batch = reader.read(MOST).await.unwrap().unwrap();
        assert_eq!(values(&batch), numbered(1..2));
        assert!(reader.read(MOST).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_not_committed_can_be_read_again() {
        let source = over(io::Cursor::new(lines(0..10)));
        let mut reader = open(&source, 0).await.unwrap();
        let most = Most { records: 3, ..MOST };
        for _ in 0..2 {
            reader.read(most).await.unwrap().unwrap();
        }
        // The next reader waits for the one before it.
        let (opened, ()) = tokio::join!(open(&source, 0), async { drop(reader) });
        drop(opened.unwrap());
        source.committed(source.lane(), Position::number(3), None);
        assert_eq!(open(&source, 0).await.unwrap_err().class, ErrorClass::Fatal, "it is gone");

        let mut reader = open(&source, 3).await.unwrap();
        let mut found = Vec::new();
        while let Some(batch) = reader.read(Most { records: 2, ..MOST }).await.unwrap() {
            assert!(batch.records.len() <= 2);
            found.extend(values(&batch));
        }
        assert_eq!(found, numbered(3..10));
        source.committed(source.lane(), Position::number(10), None);
        assert!(lock(&source.kept).is_empty());
    }

    #[tokio::test]
    async fn input_that_cannot_be_read_ends_the_run() {
        let whole = gzip(&lines(0..10)).await;
        let source = over(io::Cursor::new(whole[..whole.len() / 2].to_vec()));
        let mut reader = open(&source, 0).await.unwrap();
        let error = loop {
            match reader.read(MOST).await {
                Ok(batch) => assert!(batch.is_some(), "the end is missing"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.class, ErrorClass::Fatal);
    }
}
