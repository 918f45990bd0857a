//! Every so many-th record, where nobody knows beforehand how many there are.

use crate::record::RawBatch;

/// Starts with every record, and with every other one of those that it has whenever these become too many.
#[derive(Debug)]
pub(super) struct Sample {
    records_max: u64,
    bytes_max: u64,
    every: u64,
    seen: u64,
    records: u64,
    bytes: u64,
    picked: Vec<Picked>,
}

/// Records of one batch, with their numbers.
#[derive(Debug)]
struct Picked {
    numbers: Vec<u64>,
    raw: RawBatch,
}

impl Picked {
    fn of(raw: &RawBatch, numbers: impl Iterator<Item = u64>, every: u64) -> Option<Self> {
        let is_picked = |(_, number): &(usize, u64)| number.is_multiple_of(every);
        let (at, numbers): (Vec<_>, Vec<_>) = numbers.enumerate().filter(is_picked).unzip();
        (!at.is_empty()).then(|| Self { numbers, raw: raw.pick(&at) })
    }
}

impl Sample {
    pub fn new(records_max: u64, bytes_max: u64) -> Self {
        let picked = Vec::new();
        Self { records_max, bytes_max, every: 1, seen: 0, records: 0, bytes: 0, picked }
    }

    pub fn push(&mut self, raw: &RawBatch) {
        let numbers = self.seen..self.seen + raw.records.len() as u64;
        self.seen = numbers.end;
        if let Some(picked) = Picked::of(raw, numbers, self.every) {
            self.keep(picked);
        }
        while self.records > self.records_max || self.bytes > self.bytes_max && self.records > 1 {
            self.every *= 2;
            (self.records, self.bytes) = (0, 0);
            for Picked { numbers, raw } in std::mem::take(&mut self.picked) {
                if let Some(fewer) = Picked::of(&raw, numbers.into_iter(), self.every) {
                    self.keep(fewer);
                }
            }
        }
    }

    fn keep(&mut self, picked: Picked) {
        self.records += picked.numbers.len() as u64;
        self.bytes += picked.raw.memory() as u64;
        self.picked.push(picked);
    }

    pub fn every(&self) -> u64 {
        self.every
    }

    pub fn seen(&self) -> u64 {
        self.seen
    }

    pub fn records(&self) -> u64 {
        self.records
    }

    pub fn into_batches(self) -> impl Iterator<Item = RawBatch> + Send + use<> {
        self.picked.into_iter().map(|picked| picked.raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ArchivedPlace, Lane, Past, Position, RawHeader, RawRecord, Span};

    /// Records whose value, key, header and archived place are their number.
    fn raw(from: u64, to: u64) -> RawBatch {
        let mut bytes = Vec::new();
        let mut headers = Vec::new();
        let records = (from..to).map(|number| {
            let start = bytes.len();
            bytes.extend_from_slice(number.to_string().as_bytes());
            let span = Span::new(start..bytes.len());
            let header = headers.len();
            headers.push(RawHeader { name: "n".into(), value: Some(span) });
            RawRecord {
                key: Some(span),
                headers: Span::new(header..header + 1),
                ..RawRecord::value(Position::number(number), span.range())
            }
        });
        let records = records.collect();
        let place = |at| ArchivedPlace { at: Position::number(at), next: Position::number(at + 1) };
        RawBatch {
            headers,
            past: Some(Past::Archived {
                lane: Some(Lane::new("t-0")),
                places: (from..to).map(place).collect(),
            }),
            ..RawBatch::new(bytes.into(), records, (Position::number(from), Position::number(to)))
        }
    }

    fn sampled(sample: Sample) -> Vec<u64> {
        let mut numbers = Vec::new();
        for raw in sample.into_batches() {
            for at in 0..raw.records.len() {
                let number = raw.position(at).as_number().unwrap();
                let written = number.to_string();
                raw.read(at, |record| {
                    let header = record.headers[0].value;
                    for part in [record.value, record.key, header] {
                        assert_eq!(part, Some(written.as_bytes()));
                    }
                });
                numbers.push(number);
            }
        }
        numbers
    }

    #[test]
    fn records_are_spread_evenly_whatever_their_number() {
        for (all, expected) in [(3, vec![0, 1, 2]), (9, vec![0, 4, 8]), (100, vec![0, 32, 64, 96])]
        {
            let mut sample = Sample::new(4, u64::MAX);
            for from in (0..all).step_by(7) {
                sample.push(&raw(from, (from + 7).min(all)));
            }
            assert_eq!((sample.seen(), sample.records()), (all, expected.len() as u64));
            assert_eq!(sampled(sample), expected);
        }
    }

    #[test]
    fn a_sample_is_bounded_in_bytes_too() {
        let one = raw(0, 1).memory() as u64;
        let mut sample = Sample::new(1_000, 5 * one);
        for from in 0..100 {
            sample.push(&raw(from, from + 1));
        }
        assert!(sample.records() <= 5 && sample.records() >= 2, "{sample:?}");
        let mut large = Sample::new(1_000, 1);
        large.push(&raw(0, 1));
        assert_eq!(sampled(large), [0], "one is kept whatever its size");
    }
}
