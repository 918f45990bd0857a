//! Records that a producer library packed into one: F3 89 9A C2, a message of Protocol Buffers, its MD5.
//!
//! ```text
//! message AggregatedRecord {
//!   repeated string partition_key_table = 1;
//!   repeated string explicit_hash_key_table = 2;
//!   repeated Record records = 3;
//! }
//! message Record {
//!   required uint64 partition_key_index = 1;
//!   optional uint64 explicit_hash_key_index = 2;
//!   required bytes data = 3;
//! }
//! ```

use std::ops::{Range, RangeInclusive};

use md5::{Digest as _, Md5};

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const DIGEST_BYTES: usize = 16;

/// A record that was packed with others, by its places in the bytes of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackedRecord {
    pub key: Range<usize>,
    pub data: Range<usize>,
    hash: u128,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unpacked {
    /// Nothing was packed; or it is damaged, and taken as it is.
    Plain,
    Records(Vec<PackedRecord>),
    /// A record in it does not belong into this shard: it went astray when shards were split or merged, and
    /// its producer has put all of it again. The Kinesis Client Library drops it as well.
    Astray,
}

/// Takes a record of a shard that has these hashes of keys.
pub(super) fn unpack(bytes: &[u8], hashes: &RangeInclusive<u128>) -> Unpacked {
    let length = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.len().checked_sub(DIGEST_BYTES));
    let Some(length) = length.filter(|length| *length > 0) else { return Unpacked::Plain };
    let message = MAGIC.len()..MAGIC.len() + length;
    if Md5::digest(&bytes[message.clone()])[..] != bytes[message.end..] {
        return Unpacked::Plain;
    }
    match read(bytes, message) {
        None => Unpacked::Plain,
        Some(records) if records.iter().any(|record| !hashes.contains(&record.hash)) => {
            Unpacked::Astray
        }
        Some(records) => Unpacked::Records(records),
    }
}

fn read(bytes: &[u8], message: Range<usize>) -> Option<Vec<PackedRecord>> {
    let (mut keys, mut hash_keys, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let mut fields = Fields { bytes, left: message };
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(range)) => keys.push(range),
            (2, Value::Bytes(range)) => hash_keys.push(range),
            (3, Value::Bytes(range)) => records.push(range),
            _ => {}
        }
    }
    let record = |range| record(bytes, range, &keys, &hash_keys);
    records.into_iter().map(record).collect()
}

fn record(
    bytes: &[u8],
    message: Range<usize>,
    keys: &[Range<usize>],
    hash_keys: &[Range<usize>],
) -> Option<PackedRecord> {
    let at = |table: &[Range<usize>], index: u64| table.get(usize::try_from(index).ok()?).cloned();
    let (mut key, mut hash, mut data) = (None, None, None);
    let mut fields = Fields { bytes, left: message };
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Number(index)) => key = Some(at(keys, index)?),
            (2, Value::Number(index)) => {
                let text = std::str::from_utf8(&bytes[at(hash_keys, index)?]).ok()?;
                hash = Some(text.parse::<u128>().ok()?);
            }
            (3, Value::Bytes(range)) => data = Some(range),
            _ => {}
        }
    }
    let key = key?;
    let hash = hash.unwrap_or_else(|| u128::from_be_bytes(Md5::digest(&bytes[key.clone()]).into()));
    Some(PackedRecord { key, data: data?, hash })
}

enum Value {
    Number(u64),
    Bytes(Range<usize>),
}

/// Of a message, one after the other.
struct Fields<'a> {
    bytes: &'a [u8],
    left: Range<usize>,
}

impl Fields<'_> {
    /// None if that is no message; none within behind the last field.
    fn next(&mut self) -> Option<Option<(u64, Value)>> {
        if self.left.is_empty() {
            return Some(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Bytes(self.take(4)?),
            _ => return None,
        };
        Some(Some((tag >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Option<Range<usize>> {
        let end = self.left.start.checked_add(length).filter(|end| *end <= self.left.end)?;
        let taken = self.left.start..end;
        self.left.start = end;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes[self.take(1)?.start];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: RangeInclusive<u128> = 0..=u128::MAX;

    /// The example of the producer library's own documents.
    const KNOWN: [u8; 45] = [
        243, 137, 154, 194, 10, 13, 112, 97, 114, 116, 105, 116, 105, 111, 110, 95, 107, 101, 121,
        26, 8, 8, 0, 26, 4, 100, 97, 116, 97, 208, 54, 153, 218, 90, 34, 47, 163, 33, 8, 173, 27,
        217, 85, 161, 78,
    ];

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

    fn pack(records: &[(&str, &[u8])]) -> Vec<u8> {
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
        [&MAGIC[..], &message, &digest].concat()
    }

    fn texts(bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
        let Unpacked::Records(records) = unpack(bytes, &ALL) else { panic!("it is packed") };
        let text = |record: PackedRecord| (&bytes[record.key], &bytes[record.data]);
        records.into_iter().map(text).collect()
    }

    #[test]
    fn packed_records_are_unpacked() {
        assert_eq!(texts(&KNOWN), [(&b"partition_key"[..], &b"data"[..])]);
        let packed = pack(&[("a", b"one"), ("b", b""), ("a", b"three")]);
        let expected: [(&[u8], &[u8]); 3] = [(b"a", b"one"), (b"b", b""), (b"a", b"three")];
        assert_eq!(texts(&packed), expected);
        assert_eq!(unpack(&packed, &(0..=5)), Unpacked::Astray);
        assert_eq!(unpack(b"{}", &ALL), Unpacked::Plain);
    }

    #[test]
    fn what_is_damaged_is_a_record_as_it_is() {
        let packed = pack(&[("a", b"one"), ("b", b"two")]);
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 1;
            assert_eq!(unpack(&damaged, &ALL), Unpacked::Plain);
            assert_eq!(unpack(&packed[..at], &ALL), Unpacked::Plain);
        }
    }

    proptest! {
        /// Whatever it is, as long as the digest is right.
        #[test]
        fn nothing_makes_it_panic(message in proptest::collection::vec(any::<u8>(), 1..200)) {
            let digest = Md5::digest(&message);
            unpack(&[&MAGIC[..], &message, &digest].concat(), &ALL);
        }
    }
}
