//! Turns counts as people write them, `124k` or `1.2M`, into whole numbers.
//!
//! The arithmetic is exact: `1.1k` is 1100, and `1.2345k`, which is no whole number, is no count.

use pinhost_plugin::kernels::{Inexact, trim, whole_number};
use pinhost_plugin::{Batch, Finding, Integer, Plan, Plugin, Read, Row, Stop, Tally, Text, Write};

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The text column with the counts; it becomes an integer column.
    column: String,
    /// What becomes of a value that is not a count. One that is, but does not fit 64 bits, always
    /// rejects its row.
    #[serde(default)]
    otherwise: Option<Otherwise>,
}

#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Otherwise {
    /// It becomes null. The default.
    Null,
    /// Its row goes to the dead letters.
    Reject,
}

#[derive(Debug)]
pub struct FollowerCount {
    text: Read<Text>,
    count: Write<Integer>,
    spelled_out: Tally,
    not_a_count: Tally,
    otherwise: Otherwise,
    column: String,
}

impl Plugin for FollowerCount {
    type Config = Config;

    fn configure(config: Config, plan: &mut Plan) -> Result<Self, Finding> {
        Ok(Self {
            text: plan.read("/column", &config.column),
            count: plan.write("/column", &config.column),
            spelled_out: plan.tally("counts spelled out"),
            not_a_count: plan.tally("not a count"),
            otherwise: config.otherwise.unwrap_or(Otherwise::Null),
            column: config.column,
        })
    }

    fn clean(&self, batch: &mut Batch<'_>) {
        batch.derive(self.text, self.count, |text, row| match text.map(trim) {
            None | Some("") => Ok(None),
            Some(text) => self.count(text, row),
        });
    }
}

impl FollowerCount {
    #[inline]
    fn count(&self, text: &str, row: &mut Row<'_>) -> Result<Option<i64>, Stop> {
        let tens = match text.as_bytes().last() {
            Some(b'k' | b'K') => 3,
            Some(b'm' | b'M') => 6,
            Some(b'b' | b'B') => 9,
            _ => 0,
        };
        let number = if tens == 0 { text } else { text[..text.len() - 1].trim_end() };
        match whole_number(number, tens) {
            Ok(count) => {
                if tens > 0 {
                    row.tally(self.spelled_out);
                }
                Ok(Some(count))
            }
            Err(Inexact::Malformed | Inexact::Fraction) if self.otherwise == Otherwise::Null => {
                row.tally(self.not_a_count);
                Ok(None)
            }
            Err(Inexact::Malformed | Inexact::Fraction) => self.reject("is not a count", text),
            Err(Inexact::Overflow) => self.reject("is too large a count", text),
        }
    }

    #[cold]
    fn reject(&self, fault: &str, text: &str) -> Result<Option<i64>, Stop> {
        Err(Stop::reject(&format!("{} {fault}", self.column)).detail(text))
    }
}

pinhost_plugin::export!(FollowerCount);

#[cfg(test)]
mod tests {
    use pinhost_plugin::testing::{Json, clean, json};
    use proptest::prelude::*;

    use super::FollowerCount;

    fn count(text: &str) -> Json {
        let got = clean::<FollowerCount>(json!({"column": "n"}), json!([{"n": text}]));
        got.rows[0]["n"].clone()
    }

    #[test]
    fn counts_are_spelled_out() {
        for (text, expected) in [
            ("0", 0),
            ("998", 998),
            ("124k", 124_000),
            ("1.1K", 1_100),
            ("1.2M", 1_200_000),
            ("15 m", 15_000_000),
            ("3B", 3_000_000_000),
            ("0.5b", 500_000_000),
            (" 1,234 ", 1_234),
            ("1,234.5k", 1_234_500),
            ("5.0", 5),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(count(text), json!(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_a_count_is_null_and_never_0() {
        let texts = [
            "User Info Error",
            "k",
            "1.2345k",
            "1.5",
            "-3",
            "+3",
            "1e3",
            "12,34",
            "1kk",
            "1 2",
            "٣",
            "1.k",
        ];
        let rows: Vec<Json> = texts.iter().map(|text| json!({"n": text})).collect();
        let got = clean::<FollowerCount>(json!({"column": "n", "otherwise": null}), json!(rows));
        assert_eq!(got.rows, Json::from(vec![json!({"n": null}); 12]));
        assert_eq!((got.tallies["not a count"], got.tallies["counts spelled out"]), (12, 0));
    }

    #[test]
    fn what_is_not_a_count_can_be_rejected() {
        let got = clean::<FollowerCount>(
            json!({"column": "n", "otherwise": "reject"}),
            json!([{"n": "1.5"}, {"n": "12"}, {"n": null}, {"n": " "}]),
        );
        assert_eq!(got.rows, json!([{"n": 12}, {"n": null}, {"n": null}]));
        assert_eq!(
            got.rejected,
            json!([{"row": 0, "reason": "n is not a count", "detail": "1.5"}])
        );
        assert_eq!(got.tallies["not a count"], 0);
    }

    #[test]
    fn a_count_too_large_rejects_its_row() {
        let rows = json!([{"n": "9223372036854775808"}, {"n": "99999999999B"}, {"n": "1k"}]);
        let got = clean::<FollowerCount>(json!({"column": "n"}), rows);
        assert_eq!(got.rows, json!([{"n": 1000}]));
        assert_eq!(got.rejected[0]["reason"], "n is too large a count");
        assert_eq!(got.rejected[1]["detail"], "99999999999B");
    }

    proptest! {
        #[test]
        fn a_whole_number_is_itself(number in 0..=i64::MAX) {
            prop_assert_eq!(count(&number.to_string()), json!(number));
        }
    }
}
