//! Puts rows into a stream, those of a key in their order.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use super::rows::Entry;
use crate::kinesis::{KinesisError, Service};
use crate::record::ErrorClass;

/// What Kinesis takes at once.
const ENTRIES_MAX: usize = 500;
const BYTES_MAX: usize = 4 << 20;

/// Rows that are looked through for such as may go together.
const WINDOW: usize = 4 * ENTRIES_MAX;

/// Waits when a shard takes no more.
const WAIT: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// So many failures in a row are told, and the whole unit is put again then.
const TRIES: u32 = 20;

#[derive(Debug)]
pub(super) struct Putter {
    service: Service,
    stream: String,
}

impl Putter {
    pub fn new(service: Service, stream: &str) -> Self {
        Self { service, stream: stream.to_owned() }
    }

    /// All of them. What Kinesis refuses for the moment is put again, before what follows of its key.
    pub async fn put(&self, rows: Vec<Entry>) -> Result<(), KinesisError> {
        let mut left = VecDeque::from(rows);
        let mut tries = 0;
        while !left.is_empty() {
            let together = together(&left);
            match self.put_together(&left, &together).await {
                Ok(refused) => {
                    let stored = together.len() - refused.len();
                    tries = if stored > 0 { 0 } else { tries + 1 };
                    let is_done: HashSet<usize> =
                        together.into_iter().filter(|at| !refused.contains_key(at)).collect();
                    let mut at = 0;
                    left.retain(|_| {
                        at += 1;
                        !is_done.contains(&(at - 1))
                    });
                    if refused.is_empty() {
                        continue;
                    }
                    if tries >= TRIES {
                        let code = refused.into_values().next().unwrap_or_default();
                        return Err(self.refused(code));
                    }
                }
                // What was put without an answer is put again: one row of a key, and nothing behind it.
                Err(error) if error.class() == ErrorClass::Transient && tries < TRIES => {
                    tracing::debug!("putting rows again: {error}");
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
            let wait = (WAIT * (1 << tries.min(10))).min(WAIT_MAX);
            tokio::time::sleep(wait.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        }
        Ok(())
    }

    /// Which of them were refused for the moment, and why.
    async fn put_together(
        &self,
        left: &VecDeque<Entry>,
        together: &[usize],
    ) -> Result<BTreeMap<usize, String>, KinesisError> {
        let entries = together.iter().map(|at| {
            let Entry { key, hash_key, data } = &left[*at];
            let entry = PutRecordsRequestEntry::builder()
                .partition_key(key)
                .set_explicit_hash_key(hash_key.clone())
                .data(Blob::new(data.to_vec()));
            entry.build().expect("it has data and a key")
        });
        let request = self.service.client.put_records().stream_name(&self.stream);
        let answer = request.set_records(Some(entries.collect())).send().await;
        let answer =
            answer.map_err(|error| KinesisError::of("put records", &self.stream, &error))?;
        let mut refused = BTreeMap::new();
        for (at, told) in together.iter().zip(answer.records()) {
            let Some(code) = told.error_code() else { continue };
            if code.starts_with("KMS") && code != "KMSThrottlingException" {
                let (stream, code) = (self.stream.clone(), code.to_owned());
                let reason = told.error_message().unwrap_or_default().to_owned();
                return Err(KinesisError::Key { stream, code, reason });
            }
            refused.insert(*at, code.to_owned());
        }
        Ok(refused)
    }

    fn refused(&self, code: String) -> KinesisError {
        KinesisError::Throttled { action: "put records", stream: self.stream.clone(), code }
    }
}

/// Those that may go in one request: of each key the first, as entries fail one by one.
fn together(left: &VecDeque<Entry>) -> Vec<usize> {
    let (mut keys, mut bytes, mut together) = (HashSet::new(), 0, Vec::new());
    for (at, entry) in left.iter().take(WINDOW).enumerate() {
        let is_first = keys.insert(entry.key.as_str());
        if !is_first {
            continue;
        }
        let is_full = together.len() == ENTRIES_MAX || bytes + entry.bytes() > BYTES_MAX;
        if is_full && !together.is_empty() {
            break;
        }
        bytes += entry.bytes();
        together.push(at);
    }
    together
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(keys: &[&str], bytes: usize) -> VecDeque<Entry> {
        let entry = |key: &&str| Entry {
            key: (*key).to_owned(),
            hash_key: None,
            data: vec![0; bytes].into(),
        };
        keys.iter().map(entry).collect()
    }

    #[test]
    fn a_request_has_one_row_of_a_key_and_the_first() {
        assert_eq!(together(&entries(&["a", "b", "a", "c", "b"], 1)), [0, 1, 3]);
        assert_eq!(together(&entries(&["a", "b", "c"], BYTES_MAX / 2)), [0]);
        assert_eq!(together(&entries(&["a", "b"], BYTES_MAX * 2)), [0], "one always goes");
        let many: Vec<String> = (0..700).map(|key| key.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(together(&entries(&many, 1)).len(), ENTRIES_MAX);
    }
}
