//! Where what came out differs from what was expected, field by field.

use std::sync::Arc;

use super::trial::Trial;
use super::{Case, Cleaning, Expect, ExpectCleaned, ExpectFinding, Outcome};
use crate::plugin::Finding;
use crate::record::Field;
use crate::record::json::JsonRow;
use crate::run::{Difference, Named, RowOutcome, kept, rejected, row_differences};

/// All that is wrong with a case that was run; empty if it passes.
pub(crate) fn differences(case: &Case, trial: &Trial) -> Vec<Difference> {
    let mut found = match (&case.expect, &trial.outcome) {
        (None, _) => vec![Difference {
            help: Some("`pinhost plugin test --update` writes down what comes out"),
            ..Difference::new("expect", "something", "nothing is written there")
        }],
        (Some(Expect::Refused(expected)), Outcome::Refused(got)) => findings(expected, got),
        (Some(Expect::Refused(expected)), Outcome::Cleaned(_)) => {
            let expected = expected.iter().map(expected_finding).collect::<Vec<_>>().join("; ");
            vec![Difference::new("configuration", format!("refused: {expected}"), "accepted")]
        }
        (Some(Expect::Cleaned(_)), Outcome::Refused(got)) => {
            let got = got.iter().map(finding).collect::<Vec<_>>().join("; ");
            vec![Difference::new("configuration", "accepted", format!("refused: {got}"))]
        }
        (Some(Expect::Cleaned(expected)), Outcome::Cleaned(got)) => cleaned(expected, got),
    };
    if let Some(disagreement) = &trial.disagreement {
        let what =
            disagreement.row.map_or_else(|| "tallies".to_owned(), |row| format!("row {row}"));
        found.push(Difference {
            help: Some(
                "what becomes of a row may depend on that row alone: pinhost cuts batches as it likes",
            ),
            ..Difference::new(
                format!("{what}, {}", disagreement.how),
                format!("as in the whole batch: {}", disagreement.whole),
                disagreement.other.clone(),
            )
        });
    }
    found
}

fn findings(expected: &[ExpectFinding], got: &[Finding]) -> Vec<Difference> {
    let matches = |expected: &ExpectFinding, got: &Finding| {
        expected.pointer == got.pointer
            && expected.message == got.message
            && (expected.help.is_none() || expected.help == got.help)
    };
    let missing = expected
        .iter()
        .filter(|expected| !got.iter().any(|got| matches(expected, got)))
        .map(|missing| Difference::new("finding", expected_finding(missing), "not found"));
    let more = got
        .iter()
        .filter(|got| !expected.iter().any(|expected| matches(expected, got)))
        .map(|more| Difference::new("finding", "none like it", finding(more)));
    missing.chain(more).collect()
}

fn expected_finding(finding: &ExpectFinding) -> String {
    with_pointer(&finding.pointer, &finding.message, finding.help.as_deref())
}

fn finding(finding: &Finding) -> String {
    with_pointer(&finding.pointer, &finding.message, finding.help.as_deref())
}

fn with_pointer(pointer: &str, message: &str, help: Option<&str>) -> String {
    let pointer = if pointer.is_empty() { String::new() } else { format!("{pointer}: ") };
    let help = help.map_or_else(String::new, |help| format!(" (help: {help})"));
    format!("{pointer}{message}{help}")
}

fn cleaned(expected: &ExpectCleaned, got: &Cleaning) -> Vec<Difference> {
    let mut found = match expected_outcomes(expected, got.rows.len()) {
        Ok(outcomes) => outcomes
            .iter()
            .zip(&got.rows)
            .enumerate()
            .flat_map(|(row, (expected, got_row))| row_differs(row, expected, got_row, &got.fields))
            .collect(),
        Err(contradiction) => vec![contradiction],
    };
    for (name, count) in expected.tallies.iter().flatten() {
        match got.tallies.iter().find(|(tally, _)| tally == name) {
            Some((_, got)) if got == count => {}
            Some((_, got)) => found.push(Difference::new(
                format!("tally `{name}`"),
                count.to_string(),
                got.to_string(),
            )),
            None => {
                let names: Vec<_> =
                    got.tallies.iter().map(|(name, _)| format!("`{name}`")).collect();
                let got = match names.is_empty() {
                    true => "the plugin counts nothing".to_owned(),
                    false => format!("the plugin counts {}", names.join(", ")),
                };
                found.push(Difference::new(format!("tally `{name}`"), count.to_string(), got));
            }
        }
    }
    found
}

enum Expected<'a> {
    Kept(&'a JsonRow),
    Dropped,
    Rejected { reason: &'a str, detail: Option<&'a str> },
}

/// What is expected of each row that goes in.
fn expected_outcomes(
    expected: &ExpectCleaned,
    rows: usize,
) -> Result<Vec<Expected<'_>>, Difference> {
    let mut outcomes: Vec<Option<Expected<'_>>> = Vec::new();
    outcomes.resize_with(rows, || None);
    let dropped = expected.dropped.iter().map(|row| (*row, Expected::Dropped));
    let rejected = expected.rejected.iter().map(|rejection| {
        let (reason, detail) = (rejection.reason.as_str(), rejection.detail.as_deref());
        (rejection.row, Expected::Rejected { reason, detail })
    });
    for (row, outcome) in dropped.chain(rejected) {
        let place = format!("row {row}");
        match outcomes.get_mut(row as usize) {
            Some(taken @ None) => *taken = Some(outcome),
            Some(Some(_)) => {
                return Err(Difference::new(
                    place,
                    "one end for each row",
                    "it has two in `expect`",
                ));
            }
            None => {
                let got = format!("{rows} rows go in, counted from 0");
                return Err(Difference::new(place, "it is there", got));
            }
        }
    }
    let left = outcomes.iter().filter(|outcome| outcome.is_none()).count();
    if left != expected.rows.len() {
        return Err(Difference {
            help: Some("every row that goes in stands in rows, dropped or rejected"),
            ..Difference::new(
                "expect",
                format!("{rows} rows, as many as go in"),
                format!(
                    "{} kept, {} dropped and {} rejected",
                    expected.rows.len(),
                    expected.dropped.len(),
                    expected.rejected.len()
                ),
            )
        });
    }
    let mut kept = expected.rows.iter();
    Ok(outcomes
        .into_iter()
        .map(|outcome| {
            outcome.unwrap_or_else(|| Expected::Kept(kept.next().expect("they were counted")))
        })
        .collect())
}

fn row_differs(
    row: usize,
    expected: &Expected<'_>,
    got: &RowOutcome,
    fields: &Arc<[Field]>,
) -> Vec<Difference> {
    let place = format!("row {row}");
    match (expected, got) {
        (Expected::Kept(expected), RowOutcome::Kept(values)) => {
            row_differences(&place, expected, Named::All, fields, values)
        }
        (Expected::Dropped, RowOutcome::Dropped) => Vec::new(),
        (
            Expected::Rejected { reason, detail },
            RowOutcome::Rejected { reason: got_reason, detail: got_detail },
        ) => {
            let same_detail = detail.is_none() || *detail == got_detail.as_deref();
            if *reason == got_reason && same_detail {
                return Vec::new();
            }
            // A detail that is not expected is told if it may say why the reason is another.
            let got_detail = got_detail.as_deref();
            vec![Difference::new(
                place,
                rejected(reason, *detail),
                rejected(got_reason, got_detail),
            )]
        }
        (expected, got) => {
            let expected = match expected {
                Expected::Kept(row) => kept(row),
                Expected::Dropped => "dropped".to_owned(),
                Expected::Rejected { reason, detail } => rejected(reason, *detail),
            };
            vec![Difference::new(place, expected, got.told(fields))]
        }
    }
}

pub(super) fn tallies(tallies: &[(String, u32)]) -> String {
    let counts: Vec<_> = tallies.iter().map(|(name, count)| format!("{name}: {count}")).collect();
    counts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::plugin::cases::ExpectRejection;
    use crate::record::Kind;

    fn rows(json: Value) -> Vec<JsonRow> {
        serde_json::from_value(json).unwrap()
    }

    fn got() -> Cleaning {
        Cleaning {
            fields: [Field::new("n", Kind::Float), Field::new("at", Kind::Timestamp)].into(),
            rows: vec![
                RowOutcome::Kept(vec![json!(1.0), json!("2020-01-01T00:00:00Z")]),
                RowOutcome::Dropped,
                RowOutcome::Rejected { reason: "no".into(), detail: Some("x".into()) },
            ],
            tallies: vec![("seen".into(), 3)],
        }
    }

    fn expected() -> ExpectCleaned {
        ExpectCleaned {
            rows: rows(json!([{"at": "2020-01-01T01:00:00+01:00", "n": 1}])),
            dropped: vec![1],
            rejected: vec![ExpectRejection { row: 2, reason: "no".into(), detail: None }],
            tallies: Some(vec![("seen".into(), 3)]),
        }
    }

    fn told(expected: &ExpectCleaned) -> Vec<String> {
        let found = cleaned(expected, &got());
        found.iter().map(|d| format!("{}: {} / {}", d.place, d.expected, d.got)).collect()
    }

    #[test]
    fn values_are_compared_as_their_column_holds_them() {
        assert_eq!(told(&expected()), [""; 0]);
        let wrong = ExpectCleaned { rows: rows(json!([{"n": "1", "m": 2}])), ..expected() };
        assert_eq!(
            told(&wrong),
            [
                "row 0, n: \"1\" / 1.0",
                "row 0, at: no such column / \"2020-01-01T00:00:00Z\"",
                "row 0, m: 2 / no such column",
            ]
        );
    }

    #[test]
    fn another_end_of_a_row_is_told_with_what_it_was() {
        let wrong = ExpectCleaned {
            rows: rows(json!([{"n": 1}, {"n": 2}])),
            dropped: vec![0],
            rejected: vec![],
            tallies: Some(vec![("seen".into(), 2), ("sean".into(), 1)]),
        };
        assert_eq!(
            told(&wrong),
            [
                r#"row 0: dropped / kept: {"n":1.0,"at":"2020-01-01T00:00:00Z"}"#,
                r#"row 1: kept: {"n":1} / dropped"#,
                r#"row 2: kept: {"n":2} / rejected: no (detail: x)"#,
                "tally `seen`: 2 / 3",
                "tally `sean`: 1 / the plugin counts `seen`",
            ]
        );
    }

    #[test]
    fn an_expectation_that_contradicts_itself_is_told_as_that() {
        let few = ExpectCleaned { rows: vec![], ..expected() };
        assert_eq!(
            told(&few),
            ["expect: 3 rows, as many as go in / 0 kept, 1 dropped and 1 rejected"]
        );
        let twice = ExpectCleaned { dropped: vec![1, 2], ..expected() };
        assert_eq!(told(&twice), ["row 2: one end for each row / it has two in `expect`"]);
        let beyond = ExpectCleaned { dropped: vec![7], ..expected() };
        assert_eq!(told(&beyond), ["row 7: it is there / 3 rows go in, counted from 0"]);
    }
}
