//! Final names of objects. Everything here is injective: two lanes, pipelines or values never share a name.

use crate::ledger::log::keys::{Keys, LogKeys, escape};
use crate::objects::{OWN, index};

/// The `number`th record of a log puts this object, the `index`th of its partition.
pub(super) fn rows(
    keys: &LogKeys,
    number: u64,
    partition: &str,
    index: usize,
    extension: &str,
) -> String {
    let stem = &keys.stem;
    match index {
        0 => format!("{partition}{stem}-{number:012}.{extension}"),
        _ => format!("{partition}{stem}-{number:012}-{index}.{extension}"),
    }
}

/// What lies beside the object with this key.
pub(super) fn index_of(keys: &LogKeys, key: &str) -> String {
    format!("{}/{}/{key}", keys.own, index::FOLDER)
}

/// Whether a key is that of rows which this pipeline has written.
pub(super) fn is_data(keys: &Keys, key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    let rest = name.strip_prefix(&keys.pipeline).and_then(|rest| rest.strip_prefix("--"));
    !key.starts_with(OWN) && rest.is_some()
}

/// The same, also of rows that a replay of this pipeline has written.
pub(super) fn is_data_or_replay(keys: &Keys, key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    let is_replay = name
        .strip_prefix(&keys.pipeline)
        .is_some_and(|rest| rest.starts_with(".replay-") && rest.contains("--"));
    is_data(keys, key) || !key.starts_with(OWN) && is_replay
}

/// A column's name or value as a part of a folder's name, as Hive escapes it: readers take it back.
pub(super) fn hive(text: &str, folder: &mut String) {
    for byte in text.bytes() {
        let plain = matches!(byte, b'-' | b'_' | b'.') || byte.is_ascii_alphanumeric();
        escape(byte, plain, folder);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Lane;

    #[test]
    fn names_show_whose_rows_they_hold() {
        let lane = Keys::new("pin-to-files").lane(&Lane::new("pinterest.pin/3"));
        assert_eq!(
            rows(&lane, 17, "category=art/", 0, "ndjson.gz"),
            "category=art/pin-to-files--pinterest.pin%2F3-000000000017.ndjson.gz"
        );
        assert_eq!(
            rows(&lane, 17, "", 2, "parquet"),
            "pin-to-files--pinterest.pin%2F3-000000000017-2.parquet"
        );
    }

    #[test]
    fn data_is_known_by_its_name() {
        let lane = |pipeline| Keys::new(pipeline).lane(&Lane::new("a"));
        let keys = Keys::new("p");
        assert!(is_data(&keys, &rows(&lane("p"), 3, "x=1/", 0, "ndjson")));
        assert!(!is_data(&keys, &rows(&lane("p-q"), 3, "", 0, "ndjson")));
        assert!(!is_data(&keys, &lane("p").record(3)));
        let replayed = rows(&lane("p.replay-7"), 3, "", 0, "ndjson");
        assert!(is_data_or_replay(&keys, &replayed) && !is_data(&keys, &replayed));
    }

    proptest! {
        #[test]
        fn two_lanes_never_share_a_name(a in "[-~.a]{0,4}", b in "[-~.a]{0,4}", c in "[-~.a]{0,4}", d in "[-~.a]{0,4}") {
            let key = |pipeline, lane: &str| {
                rows(&Keys::new(pipeline).lane(&Lane::new(lane)), 1, "", 0, "x")
            };
            prop_assert_eq!(key(&a, &b) == key(&c, &d), (&a, &b) == (&c, &d));
        }
    }
}
