//! A stream of Kinesis, what is put into it, and an oracle that knows what rows have to come of it.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, ScalingType, Shard, ShardIteratorType, StreamStatus,
};
use md5::{Digest as _, Md5};
use serde_json::Value;

use crate::ledger::Verdict;

/// How long the server may take for anything.
const TIME: Duration = Duration::from_secs(60);

/// Entries of one request: the service takes 500.
const ENTRIES: usize = 400;

/// What a process needs to be let in.
pub const CREDENTIALS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];

/// A stream of a name that nobody else has.
#[derive(Debug, Clone)]
pub struct Stream {
    client: Client,
    pub name: String,
    pub endpoint: String,
}

impl Stream {
    /// # Panics
    /// If it cannot be made.
    pub async fn on(endpoint: &str, shards: i32) -> Self {
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .build();
        let name = format!("s-{:016x}", fastrand::u64(..));
        let stream =
            Self { client: Client::from_conf(config), name, endpoint: endpoint.to_owned() };
        stream.make(shards).await;
        stream
    }

    /// Makes it under its name, anew if it was deleted.
    pub async fn make(&self, shards: i32) {
        let made = self.client.create_stream().stream_name(&self.name).shard_count(shards);
        made.send().await.expect("a stream");
        self.is_active().await;
    }

    /// Deletes it, and waits until it is gone.
    pub async fn delete(&self) {
        self.client.delete_stream().stream_name(&self.name).send().await.expect("it is deleted");
        let began = Instant::now();
        while self.client.describe_stream_summary().stream_name(&self.name).send().await.is_ok() {
            assert!(began.elapsed() < TIME, "it is still there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn is_active(&self) {
        let began = Instant::now();
        loop {
            let told = self.client.describe_stream_summary().stream_name(&self.name).send().await;
            let status = told.ok().and_then(|told| told.stream_description_summary);
            if status.is_some_and(|told| told.stream_status == StreamStatus::Active) {
                return;
            }
            assert!(began.elapsed() < TIME, "it does not become active");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn shards(&self) -> Vec<Shard> {
        let (mut all, mut token) = (Vec::new(), None);
        loop {
            let request = self.client.list_shards();
            let request = match token {
                Some(token) => request.next_token(token),
                None => request.stream_name(&self.name),
            };
            let page = request.send().await.expect("its shards");
            all.extend(page.shards().iter().cloned());
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                return all;
            }
        }
    }

    /// Those that take records, by the hashes that they take.
    pub async fn open_shards(&self) -> Vec<Shard> {
        let shards = self.shards().await.into_iter();
        let is_open = |shard: &Shard| {
            let numbers = shard.sequence_number_range();
            numbers.is_some_and(|numbers| numbers.ending_sequence_number().is_none())
        };
        let mut open: Vec<_> = shards.filter(is_open).collect();
        open.sort_by_key(|shard| *hashes(shard).start());
        open
    }

    /// # Panics
    /// If an entry is not taken.
    pub async fn put(&self, entries: &[(String, Vec<u8>)]) {
        for entries in entries.chunks(ENTRIES) {
            let entries = entries.iter().map(|(key, data)| {
                let entry = PutRecordsRequestEntry::builder().partition_key(key);
                entry.data(Blob::new(data.clone())).build().expect("an entry")
            });
            let put = self.client.put_records().stream_name(&self.name);
            let put =
                put.set_records(Some(entries.collect())).send().await.expect("they are taken");
            assert_eq!(put.failed_record_count().unwrap_or(0), 0);
        }
    }

    /// All records, each with its partition key: of each shard in its order.
    pub async fn records(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        for shard in self.shards().await {
            let iterator = self.client.get_shard_iterator().stream_name(&self.name);
            let iterator = iterator.shard_id(shard.shard_id());
            let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon);
            let mut next = iterator.send().await.expect("an iterator").shard_iterator;
            while let Some(iterator) = next {
                let got = self.client.get_records().shard_iterator(iterator).send().await;
                let got = got.expect("records");
                // Small streams come at once.
                next = got.next_shard_iterator.filter(|_| !got.records.is_empty());
                let record = |record: aws_sdk_kinesis::types::Record| {
                    (record.partition_key.unwrap_or_default(), record.data.into_inner())
                };
                all.extend(got.records.into_iter().map(record));
            }
        }
        all
    }

    /// Splits a shard or merges two, as chance has it, so that there are two to six of them.
    pub async fn reshard(&self) {
        let open = self.open_shards().await;
        if open.len() < 3 || open.len() < 6 && fastrand::bool() {
            let shard = fastrand::choice(&open).expect("one is open");
            let range = hashes(shard);
            let middle = range.start() + (range.end() - range.start()) / 2;
            let split = self.client.split_shard().stream_name(&self.name);
            let split = split.shard_to_split(shard.shard_id());
            let split = split.new_starting_hash_key(middle.to_string()).send().await;
            split.expect("it is split");
        } else {
            let at = fastrand::usize(..open.len() - 1);
            let merge = self.client.merge_shards().stream_name(&self.name);
            let merge = merge.shard_to_merge(open[at].shard_id());
            let merge = merge.adjacent_shard_to_merge(open[at + 1].shard_id()).send().await;
            merge.expect("they are merged");
        }
        self.is_active().await;
    }

    pub async fn set_shards(&self, count: i32) {
        let update = self.client.update_shard_count().stream_name(&self.name);
        let update = update.target_shard_count(count).scaling_type(ScalingType::UniformScaling);
        update.send().await.expect("another number of shards");
        self.is_active().await;
    }
}

fn hashes(shard: &Shard) -> RangeInclusive<u128> {
    let range = shard.hash_key_range().expect("every shard has one");
    let number = |text: &str| text.parse().expect("a number");
    number(range.starting_hash_key())..=number(range.ending_hash_key())
}

fn hash_of(key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(key.as_bytes()).into())
}

/// Different keys: each comes again and again.
const KEYS: usize = 40;

/// What was put: of each key so many records, numbered from 0.
#[derive(Debug, Default)]
pub struct Oracle {
    counts: HashMap<String, i64>,
}

impl Oracle {
    fn record(&mut self, key: &str) -> Vec<u8> {
        let count = self.counts.entry(key.to_owned()).or_default();
        let n = *count;
        *count += 1;
        let filling = "x".repeat(fastrand::usize(..100));
        format!("{{\"k\": \"{key}\", \"n\": {n}, \"filling\": \"{filling}\"}}").into_bytes()
    }

    /// How many records there are.
    pub fn records(&self) -> usize {
        self.counts.values().map(|count| *count as usize).sum()
    }

    /// Puts about so many records: each by itself or packed with others, as producers do it; and some that
    /// were packed for another shard, which count for nothing.
    pub async fn put(&mut self, stream: &Stream, records: usize) {
        let keys: Vec<String> = (0..KEYS).map(|key| format!("key {key}")).collect();
        let open = stream.open_shards().await;
        let mut entries = Vec::new();
        let until = self.records() + records;
        while self.records() < until {
            let key = fastrand::choice(&keys).expect("there are keys");
            if fastrand::f64() < 0.8 {
                entries.push((key.clone(), self.record(key)));
                continue;
            }
            let shard = open.iter().map(hashes).find(|shard| shard.contains(&hash_of(key)));
            let shard = shard.expect("every key has a shard");
            let is_here = |key: &&String| shard.contains(&hash_of(key));
            let (here, elsewhere): (Vec<_>, Vec<_>) = keys.iter().partition(is_here);
            let chosen = (0..fastrand::usize(1..8)).map(|_| *fastrand::choice(&here).expect("one"));
            let packed: Vec<_> = chosen.map(|key| (key.as_str(), self.record(key))).collect();
            if let (Some(stray), 0..3) = (elsewhere.first(), fastrand::u8(..10)) {
                let mut astray = packed.clone();
                let no_row = br#"{"k": "never", "n": 0}"#.to_vec();
                astray.insert(fastrand::usize(..=packed.len()), (stray.as_str(), no_row));
                entries.push((key.clone(), pack(&astray)));
            }
            entries.push((key.clone(), pack(&packed)));
        }
        stream.put(&entries).await;
    }

    /// Rows of `k, n` in the order in which they were written: each once, and those of a key in order.
    pub fn compare(&self, rows: &[Vec<Value>]) -> Verdict {
        let mut verdict = Verdict { records: self.records() as u64, ..Verdict::default() };
        let mut found: HashMap<&str, Vec<i64>> = HashMap::new();
        for row in rows {
            let (key, n) = (row[0].as_str().unwrap_or_default(), row[1].as_i64().unwrap_or(-1));
            if self.counts.get(key).is_some_and(|count| (0..*count).contains(&n)) {
                found.entry(key).or_default().push(n);
            } else {
                verdict.other += 1;
            }
        }
        for (key, count) in &self.counts {
            let all = found.remove(key.as_str()).unwrap_or_default();
            let mut sorted = all.clone();
            sorted.sort_unstable();
            sorted.dedup();
            verdict.lost += *count as u64 - sorted.len() as u64;
            verdict.repeated += (all.len() - sorted.len()) as u64;
            verdict.reordered += all.windows(2).filter(|two| two[0] > two[1]).count() as u64;
        }
        verdict
    }
}

/// Records as producers pack them: a message of Protocol Buffers between a mark and its MD5.
pub fn pack(records: &[(&str, Vec<u8>)]) -> Vec<u8> {
    fn push_number(out: &mut Vec<u8>, mut number: u64) {
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }
    fn push_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
        push_number(out, field << 3 | 2);
        push_number(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
    let mut message = Vec::new();
    records.iter().for_each(|(key, _)| push_bytes(&mut message, 1, key.as_bytes()));
    for (index, (_, data)) in records.iter().enumerate() {
        let mut record = Vec::new();
        push_number(&mut record, 1 << 3);
        push_number(&mut record, index as u64);
        push_bytes(&mut record, 3, data);
        push_bytes(&mut message, 3, &record);
    }
    let digest = Md5::digest(&message);
    [&[0xf3, 0x89, 0x9a, 0xc2][..], &message, &digest].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_is_wrong_with_rows_is_seen() {
        let counts = [("a".to_owned(), 3), ("b".to_owned(), 1)];
        let oracle = Oracle { counts: counts.into() };
        let verdict = |rows: Value| {
            let rows: Vec<Vec<Value>> = serde_json::from_value(rows).unwrap();
            oracle.compare(&rows)
        };
        let is = |lost, repeated, reordered, other| Verdict {
            records: 4,
            lost,
            repeated,
            reordered,
            other,
        };
        assert_eq!(verdict(json!([["a", 0], ["a", 1], ["b", 0], ["a", 2]])), is(0, 0, 0, 0));
        assert_eq!(verdict(json!([["a", 0], ["b", 0], ["a", 2]])), is(1, 0, 0, 0));
        assert_eq!(
            verdict(json!([["a", 0], ["a", 1], ["a", 1], ["a", 2], ["b", 0]])),
            is(0, 1, 0, 0)
        );
        assert_eq!(verdict(json!([["a", 1], ["a", 0], ["a", 2], ["b", 0]])), is(0, 0, 1, 0));
        assert_eq!(
            verdict(json!([["a", 0], ["a", 1], ["a", 2], ["b", 0], ["b", 1]])),
            is(0, 0, 0, 1)
        );
    }
}
