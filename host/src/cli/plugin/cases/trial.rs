//! Runs a case the way a pipeline would, and in three more ways that must make no difference.
//!
//! What becomes of a row may depend on that row and the configuration alone; the host relies on it when
//! it cuts batches. So every case is run whole, row by row, backwards, and on an instance that has
//! cleaned other rows, and each row has to come to the same end each time.

use super::{Case, Cleaning, Outcome, diff};
use crate::plugin::{ConfigureError, Plugin, Step, discarded, traced};
use crate::record::json::{self, JsonRow};
use crate::run::{Chain, RowOutcome};

/// What came of a case, and what else came of it.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) outcome: Outcome,
    /// The first row, if any, of which something else became another time.
    pub(super) disagreement: Option<Disagreement>,
    /// The step, unless it was refused.
    pub(crate) step: Option<Step>,
}

impl Trial {
    /// Whether the same came out each time.
    pub(crate) fn is_settled(&self) -> bool {
        self.disagreement.is_none()
    }
}

#[derive(Debug, PartialEq)]
pub(super) struct Disagreement {
    /// `None`: the tallies.
    pub(super) row: Option<usize>,
    /// How the case was run: `alone`
    pub(super) how: &'static str,
    pub(super) whole: String,
    pub(super) other: String,
}

/// The error is one that no expectation covers: a plugin that fails to be configured, or on too many
/// rows.
pub(crate) fn run(plugin: &Plugin, case: &Case) -> Result<Trial, String> {
    let config = case.config.to_string();
    // What it says is shown once.
    let step = match Step::new(plugin, &config, &case.fields, traced(plugin.name())) {
        Ok(step) => step,
        Err(ConfigureError::Findings { findings, .. }) => {
            let outcome = Outcome::Refused(findings);
            return Ok(Trial { outcome, disagreement: None, step: None });
        }
        Err(error) => return Err(error.to_string()),
    };
    let quiet = Step::new(plugin, &config, &case.fields, discarded()).map_err(|e| e.to_string())?;

    let all: Vec<usize> = (0..case.rows.len()).collect();
    let backwards: Vec<usize> = all.iter().rev().copied().collect();
    let whole = clean(&mut Chain::new([&step]), &step, case, &all)?;
    let mut disagreement = None;
    let mut compare = |how, other: &Cleaning| {
        if disagreement.is_none() {
            disagreement = differ(how, &whole, other);
        }
    };

    let mut alone = Cleaning { rows: Vec::new(), tallies: Vec::new(), ..whole.clone() };
    for row in &all {
        let cleaning = clean(&mut Chain::new([&quiet]), &quiet, case, &[*row])?;
        alone.rows.extend(cleaning.rows);
        add(&mut alone.tallies, cleaning.tallies);
    }
    if !all.is_empty() {
        compare("alone", &alone);
    }
    let mut used = Chain::new([&quiet]);
    let mut reversed = clean(&mut used, &quiet, case, &backwards)?;
    reversed.rows.reverse();
    compare("in a batch the other way round", &reversed);
    compare("on an instance that has cleaned other rows", &clean(&mut used, &quiet, case, &all)?);

    Ok(Trial { outcome: Outcome::Cleaned(whole), disagreement, step: Some(quiet) })
}

fn add(sums: &mut Vec<(String, u32)>, tallies: Vec<(String, u32)>) {
    if sums.is_empty() {
        *sums = tallies;
        return;
    }
    for ((_, sum), (_, count)) in sums.iter_mut().zip(tallies) {
        *sum += count;
    }
}

/// Cleans some rows of the case; the answer has them in that order.
fn clean(chain: &mut Chain, step: &Step, case: &Case, rows: &[usize]) -> Result<Cleaning, String> {
    let picked: Vec<&JsonRow> = rows.iter().map(|row| &case.rows[*row]).collect();
    let batch = json::batch(&picked, &case.fields)
        .expect("the rows were made into a batch when they were read");
    let chained = chain.clean(&batch).map_err(|halted| halted.to_string())?;

    let outcomes = RowOutcome::of(&chained, &chained.batch, rows.len());
    let counts = chained.tallies.into_iter().next().map(|tally| tally.counts);
    let names = &step.plan().tallies;
    let counts = counts.unwrap_or_else(|| vec![0; names.len()]);
    Ok(Cleaning {
        fields: step.output().clone(),
        rows: outcomes,
        tallies: names.iter().cloned().zip(counts).collect(),
    })
}

fn differ(how: &'static str, whole: &Cleaning, other: &Cleaning) -> Option<Disagreement> {
    let mut rows = whole.rows.iter().zip(&other.rows).enumerate();
    if let Some((row, (one, another))) = rows.find(|(_, (one, another))| !one.agrees(another)) {
        return Some(Disagreement {
            row: Some(row),
            how,
            whole: one.told(&whole.fields),
            other: another.told(&other.fields),
        });
    }
    (whole.tallies != other.tallies).then(|| Disagreement {
        row: None,
        how,
        whole: diff::tallies(&whole.tallies),
        other: diff::tallies(&other.tallies),
    })
}
