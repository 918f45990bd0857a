//! What becomes of a batch of records: decoded, taken through the steps, brought into the form of the
//! output; one without a value skips the steps, and may delete a row. On one thread, and a function of the records and the rule alone (invariant 9).

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::chain::{Chain, ChainHalted, StepTally, only};
use super::conduct::Conduct;
use super::examples::{Example, Examples};
use super::live::Live;
use crate::decode::{DecodeLimits, Decoder, Reject};
use crate::diff::Outcome;
use crate::pipeline::{Deleted, Rule, Tombstones};
use crate::record::{
    Batch, DeadLetter, Deletes, DroppedRecord, Field, RawBatch, RawFault, Record, Rows, UnitPart,
};

/// Runs a rule on one thread.
#[derive(Debug)]
pub struct Worker {
    live: Arc<Live>,
    by_rule: Option<ByRule>,
}

/// Runs a rule on one thread, for whoever wants its rows.
#[derive(Debug)]
pub(super) struct ByRule {
    rule: Arc<Rule>,
    decoder: Decoder,
    without_value: WithoutValue,
    chain: Chain,
}

/// Takes records that have no value.
#[derive(Debug)]
enum WithoutValue {
    Delete { decoder: Box<Decoder>, columns: Arc<[Field]> },
    Reject { reason: String },
}

/// A batch, cleaned.
#[derive(Debug)]
pub(crate) struct CleanedBatch {
    pub part: UnitPart,
    pub tallies: Vec<StepTally>,
    /// How many rows each step dropped.
    pub dropped: Vec<u64>,
    pub examples: Vec<Example>,
    pub conduct: Conduct,
}

/// A batch, cleaned, with rows as the rule's output says.
#[derive(Debug)]
pub struct CleanRows {
    /// None without a rule: the records are the rows.
    pub rows: Option<Batch>,
    /// For each row its record, as an index into those of the batch; ascending.
    pub origins: Vec<u32>,
    /// Keys of rows that are to go, and for each its record.
    pub deletes: Option<(Batch, Vec<u32>)>,
    /// Step by step.
    pub dropped: Vec<DroppedRecord>,
    /// By record, ascending.
    pub dead_letters: Vec<DeadLetter>,
    pub failed_calls: u64,
    tallies: Vec<StepTally>,
    examples: Vec<Example>,
}

impl CleanRows {
    /// What became of some of the records, as if they had been a batch of their own. What steps count is
    /// only known of all of them.
    #[must_use]
    pub fn slice(&self, records: Range<usize>) -> Self {
        let from = records.start as u32;
        let is_among = |record: u32| records.contains(&(record as usize));
        let origins = |all: &[u32]| {
            let start = all.partition_point(|record| (*record as usize) < records.start);
            let end = all.partition_point(|record| (*record as usize) < records.end);
            (start, all[start..end].iter().map(|record| record - from).collect::<Vec<_>>())
        };
        let (row, rows) = origins(&self.origins);
        let dropped = self.dropped.iter().filter(|dropped| is_among(dropped.record));
        let dead = self.dead_letters.iter().filter(|dead| is_among(dead.record));
        Self {
            rows: self.rows.as_ref().map(|all| all.slice(row, rows.len())),
            origins: rows,
            deletes: self.deletes.as_ref().map(|(keys, all)| {
                let (key, records) = origins(all);
                (keys.slice(key, records.len()), records)
            }),
            dropped: dropped
                .map(|dropped| DroppedRecord { record: dropped.record - from, ..dropped.clone() })
                .collect(),
            dead_letters: dead
                .map(|dead| DeadLetter { record: dead.record - from, ..dead.clone() })
                .collect(),
            failed_calls: 0,
            tallies: Vec::new(),
            examples: Vec::new(),
        }
    }

    /// What is compared with what another rule makes of the same batch; `rule` has made this. None without
    /// a rule.
    pub fn outcome<'a>(&'a self, rule: &'a Rule) -> Option<Outcome<'a>> {
        let tallies = self.tallies.iter().flat_map(|tally| {
            let step = &rule.steps[tally.step];
            let names = step.step.plan().tallies.iter().zip(&tally.counts);
            names.map(|(name, count)| (&*step.id, name.as_str(), u64::from(*count)))
        });
        Some(Outcome {
            rows: self.rows.as_ref()?,
            origins: &self.origins,
            deletes: self.deletes.as_ref().map(|(keys, origins)| (keys, &**origins)),
            dropped: &self.dropped,
            dead_letters: &self.dead_letters,
            tallies: tallies.collect(),
        })
    }
}

impl Worker {
    pub fn new(live: &Arc<Live>) -> Self {
        let by_rule = live.rule.as_ref().zip(live.tombstones.as_ref());
        let by_rule = by_rule.map(|(rule, tombstones)| {
            ByRule::new(rule, tombstones, live.unwrap.as_deref(), live.limits)
        });
        Self { live: Arc::clone(live), by_rule }
    }

    /// Nothing of the batch has gone anywhere if that fails.
    pub(super) fn clean(&mut self, raw: &Arc<RawBatch>) -> Result<CleanedBatch, Box<ChainHalted>> {
        let began = Instant::now();
        let CleanRows {
            rows,
            origins,
            deletes,
            dropped,
            dead_letters,
            failed_calls,
            tallies,
            examples,
        } = self.rows(raw)?;
        let writer = &self.live.writer;
        let steps = self.by_rule.iter().flat_map(|by_rule| &by_rule.rule.steps);
        let by_step = steps.map(|step| {
            let is_its = |record: &&DroppedRecord| Arc::ptr_eq(&record.step, &step.id);
            dropped.iter().filter(is_its).count() as u64
        });
        let by_step = by_step.collect();
        let part = UnitPart {
            raw: Arc::clone(raw),
            rows: rows.map_or(Rows::Raw, |rows| writer.encode(rows)),
            origins,
            deletes: deletes.map(|(keys, origins)| Deletes { keys: writer.encode(keys), origins }),
            dropped: dropped.len() as u64,
            dead_letters,
        };
        let conduct = Conduct {
            batches: 1,
            records: raw.records.len() as u64,
            rejects: part.dead_letters.len() as u64,
            failed_calls,
            took: began.elapsed(),
        };
        Ok(CleanedBatch { part, tallies, dropped: by_step, examples, conduct })
    }

    /// The same as far as it is the rule's work, and not yet for a sink.
    pub fn rows(&mut self, raw: &RawBatch) -> Result<CleanRows, Box<ChainHalted>> {
        match &mut self.by_rule {
            Some(by_rule) => by_rule.clean(raw, &self.live.examples),
            None => Ok(passed_on(raw)),
        }
    }
}

impl ByRule {
    pub fn new(
        rule: &Arc<Rule>,
        tombstones: &Tombstones,
        unwrap: Option<&str>,
        limits: DecodeLimits,
    ) -> Self {
        Self {
            decoder: Decoder::new(&rule.fields, limits).unwrapping(unwrap),
            without_value: WithoutValue::new(tombstones, limits),
            chain: Chain::new(rule.steps.iter().map(|step| &step.step)),
            rule: Arc::clone(rule),
        }
    }

    /// Nothing of the batch has gone anywhere if that fails.
    pub fn clean(
        &mut self,
        raw: &RawBatch,
        examples: &Examples,
    ) -> Result<CleanRows, Box<ChainHalted>> {
        let Decoded { batch: before, records: decoded, deleted, passed_by, mut dead_letters } =
            match &raw.columns {
                Some(columns) => as_given(raw, columns),
                None => self.decode(raw),
            };
        let deletes = self.without_value.deletes(deleted);
        let chained = self.chain.clean(&before)?;
        let steps = &self.rule.steps;
        let dropped = chained.dropped.into_iter().map(|dropped| DroppedRecord {
            record: decoded[dropped.row as usize],
            step: Arc::clone(&steps[dropped.step].id),
        });
        let dropped = passed_by.into_iter().chain(dropped).collect();
        dead_letters.extend(chained.rejected.into_iter().map(|rejected| DeadLetter {
            record: decoded[rejected.row as usize],
            step: Some(Arc::clone(&steps[rejected.step].id)),
            reason: rejected.reason,
            detail: rejected.detail,
        }));
        dead_letters.sort_by_key(|dead| dead.record);
        let after = self.rule.output.project(&chained.batch);
        let examples = examples.take(&self.rule, &before, chained.rows.as_deref(), &after);
        let origins = match chained.rows {
            None => decoded,
            Some(rows) => rows.into_iter().map(|row| decoded[row as usize]).collect(),
        };
        Ok(CleanRows {
            rows: Some(after),
            origins,
            deletes,
            dropped,
            dead_letters,
            failed_calls: chained.failed_calls,
            tallies: chained.tallies,
            examples,
        })
    }

    fn decode(&mut self, raw: &RawBatch) -> Decoded {
        let mut records = Vec::with_capacity(raw.records.len());
        let mut deleted = Vec::new();
        let mut passed_by = Vec::new();
        let mut dead_letters = Vec::new();
        for (at, record) in raw.records.iter().enumerate() {
            let at = at as u32;
            match &record.fault {
                Some(fault) if fault.is_passed_by() => {
                    passed_by.push(left_out(at));
                    continue;
                }
                Some(fault) => {
                    dead_letters.push(faulty(at, fault));
                    continue;
                }
                None => {}
            }
            if record.value.is_none() {
                match raw.read(at as usize, |record| self.without_value.push(record)) {
                    Ok(()) => deleted.push(at),
                    Err(Reject { reason, detail, .. }) => {
                        dead_letters.push(DeadLetter { record: at, step: None, reason, detail });
                    }
                }
                continue;
            }
            match raw.read(at as usize, |record| self.decoder.push(record)) {
                Ok(()) => records.push(at),
                Err(reject) => {
                    let value = raw.value(at as usize);
                    let Reject { reason, detail, .. } = self.rule.explain(value.as_deref(), reject);
                    dead_letters.push(DeadLetter { record: at, step: None, reason, detail });
                }
            }
        }
        Decoded { batch: self.decoder.finish(), records, deleted, passed_by, dead_letters }
    }
}

impl WithoutValue {
    fn new(tombstones: &Tombstones, limits: DecodeLimits) -> Self {
        match tombstones {
            Tombstones::Delete(Deleted { fields, columns }) => Self::Delete {
                decoder: Box::new(Decoder::new(fields, limits)),
                columns: Arc::clone(columns),
            },
            Tombstones::Reject(why) => {
                Self::Reject { reason: format!("record has no value, and {why}") }
            }
        }
    }

    fn push(&mut self, record: &Record<'_>) -> Result<(), Reject> {
        match self {
            Self::Delete { decoder, .. } => decoder.push_surroundings(record),
            Self::Reject { reason } => {
                Err(Reject { reason: reason.clone(), detail: None, offset: None })
            }
        }
    }

    fn deletes(&mut self, origins: Vec<u32>) -> Option<(Batch, Vec<u32>)> {
        let Self::Delete { decoder, columns } = self else { return None };
        if origins.is_empty() {
            return None;
        }
        let keys = decoder.finish();
        let keys = Batch::new(keys.rows(), Arc::clone(columns), keys.columns().to_vec());
        Some((keys, origins))
    }
}

/// The records that became rows, those that delete some, and those that cannot do either.
struct Decoded {
    batch: Batch,
    /// For each row its record.
    records: Vec<u32>,
    /// The records whose rows are to go.
    deleted: Vec<u32>,
    /// The records that the source was told to pass by.
    passed_by: Vec<DroppedRecord>,
    dead_letters: Vec<DeadLetter>,
}

/// What passes records by: a setting of the source.
pub(super) const ONLY: &str = "only";

fn left_out(record: u32) -> DroppedRecord {
    DroppedRecord { record, step: ONLY.into() }
}

/// Records that came as columns.
fn as_given(raw: &RawBatch, columns: &Batch) -> Decoded {
    let (records, passed_by, dead_letters) = without_faults(raw);
    let batch = if dead_letters.is_empty() && passed_by.is_empty() {
        columns.clone()
    } else {
        only(columns, raw.records.iter().map(|record| record.fault.is_none()).collect())
    };
    Decoded { batch, records, deleted: Vec::new(), passed_by, dead_letters }
}

fn without_faults(raw: &RawBatch) -> (Vec<u32>, Vec<DroppedRecord>, Vec<DeadLetter>) {
    let mut records = Vec::with_capacity(raw.records.len());
    let (mut passed_by, mut dead_letters) = (Vec::new(), Vec::new());
    for (at, record) in raw.records.iter().enumerate() {
        match &record.fault {
            Some(fault) if fault.is_passed_by() => passed_by.push(left_out(at as u32)),
            Some(fault) => dead_letters.push(faulty(at as u32, fault)),
            None => records.push(at as u32),
        }
    }
    (records, passed_by, dead_letters)
}

fn faulty(record: u32, fault: &RawFault) -> DeadLetter {
    let (reason, detail) = (fault.reason.clone(), fault.detail.clone());
    DeadLetter { record, step: None, reason, detail }
}

/// Records as they came, without a rule.
fn passed_on(raw: &RawBatch) -> CleanRows {
    let (origins, dropped, dead_letters) = without_faults(raw);
    CleanRows {
        rows: None,
        origins,
        deletes: None,
        dropped,
        dead_letters,
        failed_calls: 0,
        tallies: Vec::new(),
        examples: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::connect::{CommitOutcome, Retry, Writer};
    use crate::ledger::Claim;
    use crate::pipeline::Pipeline;
    use crate::plugin::{CacheFolder, Sandbox};
    use crate::record::{ConnectorError, Digest, Position, RawRecord, Span, Unit, ndjson};
    use crate::sink::stdout::StdoutSink;

    /// Of a rule with these lines, a sink with these.
    fn live(rule: &str, sink: &str) -> Arc<Live> {
        let folder = tempfile::tempdir().unwrap();
        let (path, rules) = (folder.path().join("a.yaml"), folder.path().join("rule.yaml"));
        fs::write(&rules, rule).unwrap();
        let source = "kafka: { brokers: 'localhost:9092', topics: [posts] }";
        let pipeline =
            format!("name: a\nsource: {{ {source} }}\nrule: rule.yaml\nsink: {{ {sink} }}\n");
        fs::write(&path, pipeline).unwrap();
        let sandbox = Sandbox::new(&CacheFolder::Off).unwrap();
        let pipeline = Pipeline::load(&path, &sandbox).unwrap();
        let (sink, writer) = StdoutSink::of_tests();
        let has_columns = pipeline.sink.facts().positions.are_kept();
        let writer: Arc<dyn Writer> = if has_columns { Arc::new(ColumnWriter) } else { writer };
        Arc::new(Live::new(&pipeline, Digest::of(b"test"), (sink, writer), 0))
    }

    /// Takes rows as they are, and is not asked to write them.
    #[derive(Debug)]
    struct ColumnWriter;

    #[async_trait]
    impl Writer for ColumnWriter {
        async fn commit(&self, _: &Claim, _: &Unit) -> Result<CommitOutcome, ConnectorError> {
            unreachable!("nothing is committed")
        }

        async fn commit_retry(&self, _: &Retry) -> Result<CommitOutcome, ConnectorError> {
            unreachable!("nothing is committed")
        }
    }

    /// A record for each pair of a key and a value.
    fn raw(given: &[(Option<&str>, Option<&str>)]) -> Arc<RawBatch> {
        let mut bytes = Vec::new();
        let mut add = |text: &str| {
            let from = bytes.len();
            bytes.extend_from_slice(text.as_bytes());
            Span::new(from..bytes.len())
        };
        let records = given.iter().zip(0..).map(|((key, value), at)| RawRecord {
            key: key.map(&mut add),
            value: value.map(&mut add),
            timestamp_micros: Some(at),
            ..RawRecord::value(Position::number(at.cast_unsigned()), 0..0)
        });
        let records: Vec<_> = records.collect();
        let to = Position::number(given.len() as u64);
        Arc::new(RawBatch {
            topic: Some("posts".into()),
            partition: Some(0),
            ..RawBatch::new(Bytes::from(bytes), records, (Position::number(0), to))
        })
    }

    fn cleaned(live: &Arc<Live>, raw: &Arc<RawBatch>) -> UnitPart {
        Worker::new(live).clean(raw).unwrap().part
    }

    fn shown(rows: &Rows) -> String {
        let Rows::Columns(batch) = rows else { panic!("{rows:?}") };
        String::from_utf8(ndjson::encode(batch)).unwrap()
    }

    const FIELDS: &str = "fields:\n  id: { type: integer, from: $key, coerce: true }\n  \
                          title: text\n  seen: { type: timestamp, from: $timestamp }\n";

    #[test]
    fn a_record_without_a_value_deletes_by_its_key() {
        let rule = format!("{FIELDS}output: [title, {{ pin: id }}, seen]\n");
        let live = live(&rule, "sqlite: { path: a.db, table: t, key: [pin], newest: seen }");
        let raw = raw(&[
            (Some("1"), Some(r#"{"title": "a"}"#)),
            (Some("2"), None),
            (Some("x"), None),
            (Some("3"), Some("{}")),
            (None, None),
            (Some("1"), None),
        ]);
        let mut worker = Worker::new(&live);
        // Nothing of a batch is left over for the next.
        for _ in 0..2 {
            let part = worker.clean(&raw).unwrap().part;
            assert_eq!((shown(&part.rows).lines().count(), &*part.origins), (1, &[0][..]));
            let deletes = part.deletes.as_ref().unwrap();
            assert_eq!(deletes.origins, [1, 4, 5]);
            let expected = "{\"pin\":2,\"seen\":\"1970-01-01T00:00:00.000001Z\"}\n\
                            {\"pin\":null,\"seen\":\"1970-01-01T00:00:00.000004Z\"}\n\
                            {\"pin\":1,\"seen\":\"1970-01-01T00:00:00.000005Z\"}\n";
            assert_eq!(shown(&deletes.keys), expected);
            let dead: Vec<_> =
                part.dead_letters.iter().map(|dead| (dead.record, &*dead.reason)).collect();
            assert_eq!(dead, [(2, "field id is not an integer"), (3, "all fields are null")]);
        }
    }

    #[test]
    fn a_record_without_a_value_that_deletes_nothing_is_a_dead_letter_that_says_why() {
        let sqlite = |rest: &str| format!("sqlite: {{ path: a.db, table: t{rest} }}");
        for (sink, why) in [
            ("stdout: {}".to_owned(), "stdout has no `key:` to delete a row by"),
            (sqlite(""), "sqlite has no `key:` to delete a row by"),
            (sqlite(", key: [id, title]"), "key column title does not come `from: $key`"),
            (sqlite(", key: [title]"), "key column title does not come `from: $key`"),
            (
                sqlite(", key: [id], newest: n"),
                "column n, which tells what is newest, is in the value",
            ),
        ] {
            let live = live(&format!("{FIELDS}  n: integer\n"), &sink);
            let part = cleaned(&live, &raw(&[(Some("1"), Some(r#"{"n": 1}"#)), (Some("1"), None)]));
            assert!(part.deletes.is_none());
            assert_eq!(part.dead_letters.len(), 1);
            assert_eq!(part.dead_letters[0].record, 1);
            assert_eq!(part.dead_letters[0].reason, format!("record has no value, and {why}"));
        }
    }
}
