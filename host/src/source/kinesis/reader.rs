//! Reads one shard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record as KinesisRecord, ShardIteratorType};
use bytes::Bytes;
use tokio::time::sleep_until;

use super::aggregate::{Unpacked, unpack};
use super::{KinesisPosition, KinesisSourceError, Shared, lock};
use crate::kinesis::{KinesisError, ShardFacts, StreamFacts};
use crate::record::{ConnectorError, Lane, Position, RawBatch, RawFault, RawRecord, Span, Start};
use crate::source::frame::{KEPT_BYTES, too_large};
use crate::source::{LaneReader, Most};

/// What Kinesis gives at once.
const RECORDS_MAX: u64 = 10_000;

/// What arrived so long after the run began has certainly done so.
const CLOCKS_APART_MS: i64 = 3_000;

/// Until the first records have told.
const RECORD_BYTES: u64 = 1_024;

/// A shard that gives this little at once, to bound memory, still flows.
const RECORDS_MIN: u64 = 100;

/// Waits while others ask too often.
const THROTTLED: Duration = Duration::from_secs(1);
const THROTTLED_MAX: Duration = Duration::from_secs(10);

/// So many refusals in a row are told as a failure.
const THROTTLES_MAX: u32 = 8;

/// Of a lane that is at its end for good.
#[derive(Debug)]
pub(super) struct ReadToTheEnd;

#[async_trait]
impl LaneReader for ReadToTheEnd {
    async fn read(&mut self, _: Most) -> Result<Option<RawBatch>, ConnectorError> {
        Ok(None)
    }
}

#[derive(Debug)]
pub(super) struct KinesisReader {
    shared: Arc<Shared>,
    lane: Lane,
    stream: Arc<str>,
    facts: StreamFacts,
    shard: Arc<ShardFacts>,
    /// The number of the shard in its id.
    number: Option<i64>,
    /// Where the next batch begins.
    from: Position,
    /// Behind all that Kinesis has given: where an iterator is opened.
    next: Position,
    iterator: Option<String>,
    /// The record before the next one. It has to be there still, or others may have gone unread.
    expected: Option<[u64; 3]>,
    /// Given, and not in a batch yet.
    given: VecDeque<Given>,
    /// Nothing will ever come behind what was given.
    is_at_end: bool,
    /// Everything was read that was there when the run began.
    is_through: bool,
    ask_at: Instant,
    record_bytes: u64,
    throttles: u32,
    /// An iterator was refused right after it was opened.
    is_doubted: bool,
}

/// A record on its way into a batch.
#[derive(Debug)]
struct Given {
    at: KinesisPosition,
    key: Bytes,
    value: Bytes,
    timestamp_micros: Option<i64>,
}

impl KinesisReader {
    pub fn new(
        shared: Arc<Shared>,
        lane: Lane,
        (stream, facts): (Arc<str>, StreamFacts),
        shard: Arc<ShardFacts>,
        from: Position,
    ) -> Self {
        let at = KinesisPosition::try_from(from).ok();
        let now = Instant::now();
        let is_whole = shared.paces.is_whole(&lane, from, now);
        let expected = at.filter(|at| at.sub > 0 && !is_whole).map(|at| at.sequence);
        let ask_at = shared.paces.first(&lane, at.is_none_or(|at| at.sub == 0), now);
        let number = shard.id.strip_prefix(super::SHARD).and_then(|number| number.parse().ok());
        Self {
            shared,
            lane,
            stream,
            facts,
            shard,
            number,
            from,
            next: from,
            iterator: None,
            expected,
            given: VecDeque::new(),
            is_at_end: false,
            is_through: false,
            ask_at,
            record_bytes: RECORD_BYTES,
            throttles: 0,
            is_doubted: false,
        }
    }

    /// What was given, as far as one batch may hold it. The end of the shard goes with the last records.
    fn take(&mut self, most: Most) -> Option<RawBatch> {
        if self.given.is_empty() && !(self.is_at_end && self.from != Position::End) {
            return None;
        }
        let (mut bytes, mut records) = (Vec::new(), Vec::new());
        let mut to = self.next;
        while let Some(given) = self.given.pop_front() {
            to = given.at.with_sub(given.at.sub as usize + 1).into();
            records.push(self.record(given, &mut bytes));
            let next = self.given.front().map_or(0, |next| next.value.len());
            if records.len() >= most.records || bytes.len() + next > most.bytes {
                break;
            }
        }
        if self.given.is_empty() {
            to = if self.is_at_end { Position::End } else { self.next };
        }
        let from = std::mem::replace(&mut self.from, to);
        Some(RawBatch {
            bytes: bytes.into(),
            records,
            headers: Vec::new(),
            columns: None,
            topic: Some(Arc::clone(&self.stream)),
            partition: self.number,
            from,
            to,
            past: None,
        })
    }

    fn record(&self, given: Given, bytes: &mut Vec<u8>) -> RawRecord {
        let Given { at, key, value, timestamp_micros } = given;
        let mut keep = |part: &[u8]| {
            let from = bytes.len();
            bytes.extend_from_slice(part);
            Span::new(from..bytes.len())
        };
        let is_wanted =
            |only: &glob::Pattern| std::str::from_utf8(&key).is_ok_and(|key| only.matches(key));
        let is_passed_by = self.shared.only.as_ref().is_some_and(|only| !is_wanted(only));
        let most = self.shared.options.record_bytes_max;
        let is_large = value.len() > most;
        let kept = if is_large { KEPT_BYTES.min(most) } else { value.len() };
        RawRecord {
            position: at.into(),
            value: (!is_passed_by).then(|| keep(&value[..kept])),
            key: Some(keep(&key)),
            timestamp_micros,
            headers: Span::default(),
            fault: match (is_passed_by, is_large) {
                (true, _) => Some(RawFault::passed_by()),
                (false, true) => Some(too_large(value.len(), most)),
                (false, false) => None,
            },
        }
    }

    /// Asks for more when it is time to. May be dropped while it waits.
    async fn ask(&mut self) -> Result<(), KinesisSourceError> {
        sleep_until(self.ask_at.into()).await;
        let asked = self.try_to_ask().await;
        let error = match asked {
            Ok(()) => {
                (self.throttles, self.is_doubted) = (0, false);
                return Ok(());
            }
            Err(error) => error,
        };
        match error {
            KinesisSourceError::Service(KinesisError::Throttled { .. })
                if self.throttles < THROTTLES_MAX =>
            {
                let wait = (THROTTLED * (1 << self.throttles)).min(THROTTLED_MAX);
                tracing::debug!(lane = %self.lane, "{error}; asking again in {wait:?}");
                self.throttles += 1;
                self.ask_at = Instant::now() + wait.mul_f64(0.75 + fastrand::f64() / 2.0);
                Ok(())
            }
            // It lives for five minutes, and for less now and then.
            KinesisSourceError::Service(KinesisError::Expired { .. }) => {
                self.iterator = None;
                Ok(())
            }
            // Another iterator may do.
            KinesisSourceError::Service(KinesisError::Invalid { .. })
                if self.iterator.is_some() && !self.is_doubted =>
            {
                (self.iterator, self.is_doubted) = (None, true);
                Ok(())
            }
            KinesisSourceError::Service(KinesisError::Invalid { reason, .. })
                if self.iterator.is_none() =>
            {
                let (args, lane) = (self.shared.options.args.clone(), self.lane.clone());
                let at = Box::new(self.next.place());
                Err(KinesisSourceError::Unknown { args, lane, at, reason })
            }
            KinesisSourceError::Service(KinesisError::NotFound { .. }) => Err(self.gone().await),
            error => Err(error),
        }
    }

    async fn try_to_ask(&mut self) -> Result<(), KinesisSourceError> {
        let iterator = match self.iterator.clone() {
            Some(iterator) => iterator,
            None => {
                let iterator = self.open().await?;
                self.iterator = Some(iterator.clone());
                iterator
            }
        };
        let now = Instant::now();
        self.shared.paces.asks(&self.lane, now);
        let request = self.shared.service.client.get_records().shard_iterator(iterator);
        let limit = self.limit();
        let answer = request.limit(limit as i32).send().await;
        let answer =
            answer.map_err(|error| KinesisError::of("read the records", &self.stream, &error))?;
        if !answer.records().is_empty() {
            // An iterator knows a stream by its name.
            let is = self.shared.streams.facts(&self.stream).await?;
            if is.id != self.facts.id {
                return Err(self.renewed(&is));
            }
        }
        self.take_in(answer, limit, now)
    }

    /// How many records may come at once: what waits in all lanes together is bounded.
    fn limit(&self) -> u64 {
        let lanes = self.shared.paces.lanes().max(1) as u64;
        let share = self.shared.options.prefetch_bytes / lanes;
        (share / self.record_bytes.max(1)).clamp(RECORDS_MIN, RECORDS_MAX)
    }

    /// An iterator at the next record.
    async fn open(&self) -> Result<String, KinesisSourceError> {
        let request = self.shared.service.client.get_shard_iterator();
        let request = request.stream_name(&*self.stream).shard_id(&*self.shard.id);
        let request = match self.next {
            Position::Start(Start::Time(time)) => request
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(time.as_millisecond())),
            Position::Start(Start::Latest) => {
                request.shard_iterator_type(ShardIteratorType::Latest)
            }
            Position::Start(Start::Earliest) | Position::End => {
                request.shard_iterator_type(ShardIteratorType::TrimHorizon)
            }
            Position::At(_) => match KinesisPosition::try_from(self.next) {
                Ok(at) if at.sub > 0 || at.sequence_text() != self.shard.begins => request
                    .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                    .starting_sequence_number(at.sequence_text()),
                _ => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            },
        };
        let answer = request.send().await;
        let answer =
            answer.map_err(|error| KinesisError::of("open the shards", &self.stream, &error))?;
        answer.shard_iterator.ok_or_else(|| {
            let (action, stream) = ("open the shards", self.stream.to_string());
            let reason = "the answer has no iterator".to_owned();
            KinesisError::Failed { action, stream, reason }.into()
        })
    }

    /// An answer that was asked for at that moment.
    fn take_in(
        &mut self,
        answer: GetRecordsOutput,
        limit: u64,
        asked: Instant,
    ) -> Result<(), KinesisSourceError> {
        let GetRecordsOutput { records, next_shard_iterator, millis_behind_latest, .. } = answer;
        let (count, mut bytes) = (records.len() as u64, 0);
        let last = records.last().and_then(KinesisRecord::approximate_arrival_timestamp);
        let last_ms = last.and_then(|time| time.to_millis().ok());
        for record in records {
            bytes += record.data().as_ref().len() as u64;
            self.take_in_record(record)?;
        }
        if let Some(average) = bytes.checked_div(count) {
            self.record_bytes = average.max(1);
        }
        let behind = Duration::from_millis(millis_behind_latest.unwrap_or(0).max(0) as u64);
        self.is_at_end = next_shard_iterator.is_none();
        if self.is_at_end && self.expected.is_some() {
            // Nothing came, not even what was read last.
            return Err(self.removed());
        }
        self.iterator = next_shard_iterator;
        let (began, began_at_service) = *lock(&self.shared.began);
        let is_read_through = match last_ms {
            Some(last) => last >= began_at_service.as_millisecond() + CLOCKS_APART_MS,
            None => count == 0 && behind <= asked.duration_since(began),
        };
        // What is closed has an end of its own.
        let has_no_end = self.shared.options.until_end && self.shard.is_open;
        self.is_through = has_no_end && is_read_through;
        if behind.is_zero() && self.expected.is_none() {
            self.shared.paces.at_tip(&self.lane, self.next, asked);
        }
        // What trickles in is no reason to ask more often: others read as well.
        let has_more = count >= limit || behind > self.shared.config.poll.0;
        self.ask_at = asked + self.shared.paces.wait(has_more);
        Ok(())
    }

    fn take_in_record(&mut self, record: KinesisRecord) -> Result<(), KinesisSourceError> {
        let number = &record.sequence_number;
        let first = KinesisPosition::of(number, self.facts.id)
            .ok_or_else(|| KinesisSourceError::NoSequence(number.clone()))?;
        if let Some(expected) = self.expected
            && expected != first.sequence
        {
            return Err(self.removed());
        }
        self.expected = None;
        let time = record.approximate_arrival_timestamp();
        let micros = time.and_then(|time| i64::try_from(time.as_nanos() / 1_000).ok());
        let value = Bytes::from(record.data.into_inner());
        let given = match unpack(&value, &self.shard.hashes) {
            Unpacked::Plain => {
                let key = Bytes::from(record.partition_key.unwrap_or_default());
                self.give(first, key, value, micros);
                1
            }
            Unpacked::Records(packed) => {
                let count = packed.len();
                for (sub, one) in packed.into_iter().enumerate() {
                    let (key, data) = (value.slice(one.key), value.slice(one.data));
                    self.give(first.with_sub(sub), key, data, micros);
                }
                count
            }
            Unpacked::Astray => {
                tracing::debug!(lane = %self.lane, "{number} was packed for another shard, and is put again by its producer");
                0
            }
        };
        self.next = first.with_sub(given.max(1)).into();
        Ok(())
    }

    fn give(
        &mut self,
        at: KinesisPosition,
        key: Bytes,
        value: Bytes,
        timestamp_micros: Option<i64>,
    ) {
        // What was packed together may be read from its middle on. Nothing else is ever passed by.
        let is_read = KinesisPosition::try_from(self.from)
            .is_ok_and(|from| from.sequence == at.sequence && at.sub < from.sub);
        if !is_read {
            self.given.push_back(Given { at, key, value, timestamp_micros });
        }
    }

    fn removed(&self) -> KinesisSourceError {
        let (args, lane) = (self.shared.options.args.clone(), self.lane.clone());
        KinesisSourceError::Removed { args, lane, at: Box::new(self.next.place()) }
    }

    fn renewed(&self, is: &StreamFacts) -> KinesisSourceError {
        let (args, lane) = (self.shared.options.args.clone(), self.lane.clone());
        let (stream, created) = (self.stream.to_string(), is.created);
        KinesisSourceError::Renewed { args, lane, stream, created }
    }

    /// Why there is no such stream or shard.
    async fn gone(&self) -> KinesisSourceError {
        self.shared.streams.doubt(&self.stream);
        let is = match self.shared.streams.facts(&self.stream).await {
            Ok(is) => is,
            Err(error) => return error.into(),
        };
        if is.id != self.facts.id {
            return self.renewed(&is);
        }
        match self.shared.streams.list(&self.stream).await {
            Ok(shards) if shards.iter().any(|shard| shard.id == self.shard.id) => {
                let (action, stream) = ("read the records", self.stream.to_string());
                let reason = "it does not find a shard that it lists".to_owned();
                KinesisError::Failed { action, stream, reason }.into()
            }
            Ok(_) => {
                let (args, lane) = (self.shared.options.args.clone(), self.lane.clone());
                KinesisSourceError::Gone { args, lane, at: Box::new(self.next.place()) }
            }
            Err(error) => error.into(),
        }
    }
}

#[async_trait]
impl LaneReader for KinesisReader {
    async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ConnectorError> {
        loop {
            if let Some(batch) = self.take(most) {
                return Ok(Some(batch));
            }
            if self.from == Position::End || self.is_through {
                return Ok(None);
            }
            self.ask().await?;
        }
    }
}
