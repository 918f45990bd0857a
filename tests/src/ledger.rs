//! An oracle: it knows every record that was sent, and so what a table has to hold.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::kafka::Topic;

/// Different keys: each comes again and again, in all partitions.
const KEYS: u64 = 500;

/// Times of records lie within this span before the test began, in no order and with repeats.
const SPAN_MS: i64 = 20_000;

/// Records of a batch that is sent at once.
const BATCH: u64 = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub partition: i64,
    pub offset: i64,
    pub key: String,
    pub number: i64,
    pub time_ms: i64,
}

/// What was sent to a topic.
pub struct Ledger {
    topic: Topic,
    partitions: i32,
    producer: FutureProducer,
    began_ms: i64,
    /// In each record, and in no row.
    filling: String,
    pub sent: Vec<Sent>,
}

/// What is wrong with what a table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    pub records: u64,
    pub lost: u64,
    pub repeated: u64,
    pub reordered: u64,
    /// Rows that say something else than the record did.
    pub other: u64,
}

impl Verdict {
    #[track_caller]
    pub fn is_sound(&self) {
        assert_eq!(*self, Self { records: self.records, ..Self::default() });
        assert!(self.records > 0, "there is something to compare");
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Ledger");
        shown.field("topic", &self.topic).field("sent", &self.sent.len()).finish_non_exhaustive()
    }
}

impl Ledger {
    /// # Panics
    /// If there is no time after 1970.
    pub fn new(topic: &Topic, partitions: i32) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let began_ms = i64::try_from(now.as_millis()).expect("not yet");
        let (topic, producer) = (topic.clone(), topic.producer());
        let filling = String::new();
        Self { topic, partitions, producer, began_ms, filling, sent: Vec::new() }
    }

    /// Makes records so much larger.
    pub fn fill(&mut self, bytes: usize) {
        self.filling = "z".repeat(bytes);
    }

    /// Sends more records, and waits until the broker has them.
    ///
    /// # Panics
    /// If it does not take them.
    pub async fn send(&mut self, records: u64) {
        for _ in 0..records.div_ceil(BATCH) {
            self.send_batch(BATCH.min(records)).await;
        }
    }

    async fn send_batch(&mut self, records: u64) {
        let partitions = self.partitions;
        let any = || (fastrand::i32(0..partitions), format!("key {}", fastrand::u64(..KEYS)));
        self.send_to((0..records).map(|_| any())).await;
    }

    /// Sends records to these partitions, with these keys, and waits until the broker has them.
    ///
    /// # Panics
    /// If it does not take them.
    pub async fn send_to(&mut self, records: impl IntoIterator<Item = (i32, String)>) {
        let mut on_their_way = Vec::new();
        for (partition, key) in records {
            let number = (self.sent.len() + on_their_way.len()) as i64;
            let time_ms = self.began_ms - fastrand::i64(0..SPAN_MS);
            let value = json!({ "k": key, "n": number, "filling": self.filling }).to_string();
            let record = FutureRecord::to(&self.topic.name)
                .partition(partition)
                .timestamp(time_ms)
                .key(&key)
                .payload(&value);
            let delivery = self.producer.send_result(record);
            let delivery = delivery.unwrap_or_else(|(error, _)| panic!("it is not taken: {error}"));
            on_their_way.push((delivery, key, number, time_ms));
        }
        for (delivery, key, number, time_ms) in on_their_way {
            let delivered = delivery.await.expect("an answer");
            let delivered =
                delivered.unwrap_or_else(|(error, _)| panic!("it is not taken: {error}"));
            let (partition, offset) = (delivered.partition.into(), delivered.offset);
            self.sent.push(Sent { partition, offset, key, number, time_ms });
        }
    }

    /// Sends records until it is told to stop, so many a second at most.
    pub fn feed(mut self, runtime: &Handle, per_second: u64) -> Feed {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let every = Duration::from_secs(1) * u32::try_from(BATCH).expect("small")
            / u32::try_from(per_second).expect("small");
        let feeding = runtime.spawn(async move {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !over.load(Ordering::Relaxed) {
                ticks.tick().await;
                self.send_batch(BATCH).await;
            }
            self
        });
        Feed { is_over, feeding }
    }

    /// How many records there are, by partition.
    pub fn by_partition(&self) -> Vec<(i64, i64)> {
        let mut counts = vec![0; usize::try_from(self.partitions).expect("small")];
        for sent in &self.sent {
            counts[usize::try_from(sent.partition).expect("small")] += 1;
        }
        (0..).zip(counts).collect()
    }

    /// Rows of `part, at, k, n` in the order in which they were written: one for each record.
    pub fn compare_all(&self, rows: &[Vec<Value>]) -> Verdict {
        compare_all(&self.sent, rows)
    }

    /// Rows of `part, at, k, n`: one for each key, of its newest record.
    pub fn compare_newest(&self, rows: &[Vec<Value>]) -> Verdict {
        compare_newest(&self.sent, rows)
    }
}

fn compare_all(sent: &[Sent], rows: &[Vec<Value>]) -> Verdict {
    let mut verdict = Verdict { records: sent.len() as u64, ..Verdict::default() };
    let expected: HashMap<_, _> =
        sent.iter().map(|sent| ((sent.partition, sent.offset), sent)).collect();
    let mut found = HashSet::new();
    let mut last: HashMap<i64, i64> = HashMap::new();
    for row in rows {
        let (partition, offset) = place(row);
        let says = expected.get(&(partition, offset)).map(|sent| says(sent));
        verdict.other += u64::from(says.as_deref() != Some(&row[2..]));
        verdict.repeated += u64::from(!found.insert((partition, offset)));
        let before = last.insert(partition, offset);
        verdict.reordered += u64::from(before.is_some_and(|before| before > offset));
    }
    verdict.lost = expected.keys().filter(|place| !found.contains(*place)).count() as u64;
    verdict
}

fn compare_newest(sent: &[Sent], rows: &[Vec<Value>]) -> Verdict {
    let mut verdict = Verdict { records: sent.len() as u64, ..Verdict::default() };
    let mut newest: HashMap<&str, &Sent> = HashMap::new();
    let version = |sent: &Sent| (sent.time_ms, sent.partition, sent.offset);
    for sent in sent {
        let known = newest.entry(&sent.key).or_insert(sent);
        if version(sent) > version(known) {
            *known = sent;
        }
    }
    let mut found = HashSet::new();
    for row in rows {
        let key = row[2].as_str().expect("a key");
        verdict.repeated += u64::from(!found.insert(key));
        let expected = newest.get(key);
        let is_newest = expected.is_some_and(|sent| place(row) == (sent.partition, sent.offset));
        verdict.reordered += u64::from(!is_newest);
        let says = expected.map(|sent| says(sent));
        verdict.other += u64::from(is_newest && says.as_deref() != Some(&row[2..]));
    }
    verdict.lost = newest.keys().filter(|key| !found.contains(*key)).count() as u64;
    verdict
}

fn place(row: &[Value]) -> (i64, i64) {
    (row[0].as_i64().expect("a partition"), row[1].as_i64().expect("an offset"))
}

/// What a row says of a record.
fn says(sent: &Sent) -> Vec<Value> {
    vec![sent.key.as_str().into(), sent.number.into()]
}

/// Records that are being sent.
#[derive(Debug)]
pub struct Feed {
    is_over: Arc<AtomicBool>,
    feeding: JoinHandle<Ledger>,
}

impl Feed {
    /// # Panics
    /// If a record was not taken.
    pub fn stop(self, runtime: &Handle) -> Ledger {
        self.is_over.store(true, Ordering::Relaxed);
        runtime.block_on(self.feeding).expect("records are taken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys come again; the newest `a` is not the last one.
    fn sent() -> Vec<Sent> {
        let sent = [(0, 0, "a", 5), (0, 1, "b", 1), (1, 0, "a", 9), (0, 2, "a", 7)];
        let sent = (0..).zip(sent).map(|(number, (partition, offset, key, time_ms))| {
            let key = key.to_owned();
            Sent { partition, offset, key, number, time_ms }
        });
        sent.collect()
    }

    fn rows(which: &[usize]) -> Vec<Vec<Value>> {
        let sent = sent();
        let row = |sent: &Sent| [vec![sent.partition.into(), sent.offset.into()], says(sent)];
        which.iter().map(|at| row(&sent[*at]).concat()).collect()
    }

    fn verdict(lost: u64, repeated: u64, reordered: u64, other: u64) -> Verdict {
        Verdict { records: 4, lost, repeated, reordered, other }
    }

    #[test]
    fn whatever_is_wrong_with_rows_is_seen() {
        let all = |which: &[usize]| compare_all(&sent(), &rows(which));
        assert_eq!(all(&[0, 2, 1, 3]), verdict(0, 0, 0, 0), "partitions have no common order");
        assert_eq!(all(&[0, 1, 3]), verdict(1, 0, 0, 0));
        assert_eq!(all(&[0, 1, 1, 2, 3]), verdict(0, 1, 0, 0));
        assert_eq!(all(&[1, 0, 2, 3]), verdict(0, 0, 1, 0));
        let mut rows = rows(&[0, 1, 2, 3]);
        rows[2][3] = 7.into();
        assert_eq!(compare_all(&sent(), &rows), verdict(0, 0, 0, 1));
    }

    #[test]
    fn whatever_is_wrong_with_the_newest_rows_is_seen() {
        let newest = |which: &[usize]| compare_newest(&sent(), &rows(which));
        assert_eq!(newest(&[1, 2]), verdict(0, 0, 0, 0));
        assert_eq!(newest(&[2]), verdict(1, 0, 0, 0));
        assert_eq!(newest(&[1, 3]), verdict(0, 0, 1, 0));
        assert_eq!(newest(&[1, 2, 2]), verdict(0, 1, 0, 0));
    }
}
