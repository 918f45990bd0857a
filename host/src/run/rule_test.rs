//! Runs the tests of a rule the way its pipelines would: records are decoded, cleaned and made into rows.
//!
//! What becomes of a record may depend on that record alone, so each test is run as a whole and record by
//! record, and every record has to come to the same end.

use serde_json::Value;

use super::{Chain, ChainHalted, Difference, Named, RowOutcome, rejected, row_differences};
use crate::decode::{DecodeLimits, Decoder};
use crate::pipeline::config::TestConfig;
use crate::pipeline::{Rule, RuleStep};
use crate::plugin::{ConfigureError, Step, discarded};
use crate::record::{Batch, Record};

/// Why a test came to no answer.
#[derive(Debug, thiserror::Error)]
pub enum RuleTestError {
    #[error(transparent)]
    Halted(Box<ChainHalted>),
    #[error(transparent)]
    Configure(#[from] ConfigureError),
}

/// A rule whose tests can be run.
#[derive(Debug)]
pub struct RuleTests<'a> {
    rule: &'a Rule,
    limits: DecodeLimits,
    /// What plugins say is heard once, when the test is run as a whole.
    quiet: Vec<Step>,
}

impl<'a> RuleTests<'a> {
    pub fn new(rule: &'a Rule, limits: DecodeLimits) -> Result<Self, RuleTestError> {
        let quiet = |RuleStep { step, .. }: &RuleStep| {
            Step::new(step.plugin(), step.config(), step.input(), discarded())
        };
        let quiet = rule.steps.iter().map(quiet).collect::<Result<_, _>>()?;
        Ok(Self { rule, limits, quiet })
    }

    /// Where what comes out differs from what is expected; empty if the test passes.
    pub fn run(&self, test: &TestConfig) -> Result<Vec<Difference>, RuleTestError> {
        let records: Vec<&str> = test.records.iter().map(|record| record.0.as_str()).collect();
        let mut loud = Chain::new(self.rule.steps.iter().map(|step| &step.step));
        let whole = self.clean(&mut loud, &records)?;
        let mut found = differences(test, &whole, self.rule);
        let mut quiet = Chain::new(&self.quiet);
        for (at, record) in records.iter().enumerate() {
            let alone = self.clean(&mut quiet, &[record])?;
            if alone.iter().any(|alone| !alone.agrees(&whole[at])) {
                let fields = self.rule.output.fields();
                let told = |outcome: &RowOutcome| outcome.told(fields);
                found.push(Difference {
                    help: Some(ALONE),
                    ..Difference::new(
                        format!("record {at}, alone"),
                        format!("as among the others: {}", told(&whole[at])),
                        alone.first().map(told).unwrap_or_default(),
                    )
                });
                break;
            }
        }
        Ok(found)
    }

    /// What becomes of a record by itself.
    pub fn end_of(&self, record: &str) -> Result<RowOutcome, RuleTestError> {
        let ends = self.clean(&mut Chain::new(&self.quiet), &[record])?;
        Ok(ends.into_iter().next().expect("an end for each record"))
    }

    /// What becomes of each record.
    fn clean(&self, chain: &mut Chain, records: &[&str]) -> Result<Vec<RowOutcome>, RuleTestError> {
        let mut decoder = Decoder::new(&self.rule.fields, self.limits);
        let mut outcomes: Vec<Option<RowOutcome>> = Vec::with_capacity(records.len());
        for record in records {
            let record = Record { value: Some(record.as_bytes()), ..Record::default() };
            outcomes.push(match decoder.push(&record) {
                Ok(()) => None,
                Err(reject) => {
                    let reject = self.rule.explain(record.value, reject);
                    let (reason, detail) = (reject.reason, reject.detail);
                    Some(RowOutcome::Rejected { reason, detail })
                }
            });
        }
        let batch: Batch = decoder.finish();
        let chained = chain.clean(&batch).map_err(RuleTestError::Halted)?;
        let kept = self.rule.output.project(&chained.batch);
        let mut cleaned = RowOutcome::of(&chained, &kept, batch.rows()).into_iter();
        let next = |outcome: Option<RowOutcome>| {
            outcome.or_else(|| cleaned.next()).expect("a row for each record that was decoded")
        };
        Ok(outcomes.into_iter().map(next).collect())
    }
}

const ALONE: &str =
    "what becomes of a record may depend on it alone: pinhost cuts batches as it likes";

fn differences(test: &TestConfig, got: &[RowOutcome], rule: &Rule) -> Vec<Difference> {
    let fields = rule.output.fields();
    let mut found = Vec::new();
    for (record, outcome) in got.iter().enumerate() {
        let expected = test.rejects.iter().find(|reject| reject.record as usize == record);
        let place = format!("record {record}");
        match (expected, outcome) {
            (Some(expected), RowOutcome::Rejected { reason, detail })
                if expected.reason == *reason
                    && (expected.detail.is_none() || expected.detail == *detail) => {}
            (Some(expected), outcome) => {
                let expected = rejected(&expected.reason, expected.detail.as_deref());
                found.push(Difference::new(place, expected, outcome.told(fields)));
            }
            (None, RowOutcome::Rejected { .. }) => {
                let expected = "a row, or dropped";
                found.push(Difference::new(place, expected, outcome.told(fields)));
            }
            (None, RowOutcome::Kept(_) | RowOutcome::Dropped) => {}
        }
    }
    let dropped = got.iter().filter(|outcome| **outcome == RowOutcome::Dropped).count();
    if dropped as u64 != test.dropped {
        found.push(Difference::new("dropped", test.dropped.to_string(), dropped.to_string()));
    }
    let rows: Vec<&Vec<Value>> = got
        .iter()
        .filter_map(|outcome| match outcome {
            RowOutcome::Kept(values) => Some(values),
            RowOutcome::Dropped | RowOutcome::Rejected { .. } => None,
        })
        .collect();
    if rows.len() != test.rows.len() {
        let more = rows.get(test.rows.len()).map(|values| {
            let row = RowOutcome::Kept((*values).clone()).told(fields);
            format!("{}; the first that is not expected: {row}", rows.len())
        });
        let got = more.unwrap_or_else(|| rows.len().to_string());
        found.push(Difference::new("number of rows", test.rows.len().to_string(), got));
        return found;
    }
    for (row, (expected, got)) in test.rows.iter().zip(rows).enumerate() {
        found.extend(row_differences(&format!("row {row}"), expected, Named::Some, fields, got));
    }
    found
}
