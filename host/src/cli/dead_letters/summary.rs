//! Counts dead letters by their reasons.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::json;

use super::choice::{Choice, READ};
use super::{Pages, first_chars};
use crate::cli::output::{self, FAINT, number};
use crate::cli::{CliError, Exit, sinks};
use crate::ledger::{DeadLetterFilter, DeadLetterState, StoredDeadLetter};
use crate::pipeline::Pipeline;

/// Dead letters with one reason.
struct Reason {
    letters: u64,
    first: SystemTime,
    last: SystemTime,
    /// The first one.
    id: String,
    begins: String,
}

type Reasons = BTreeMap<(String, String), Reason>;

pub(super) fn run(pipeline: &Pipeline, choice: &Choice, as_json: bool) -> Result<Exit, CliError> {
    let reasons = sinks::small_runtime()?.block_on(counted(pipeline, choice))?;
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, reason)| std::cmp::Reverse(reason.letters));
    if as_json {
        let rows: Vec<_> = reasons
            .iter()
            .map(|((step, reason), counted)| {
                json!({
                    "letters": counted.letters,
                    "step": Some(step).filter(|step| **step != READ),
                    "reason": reason,
                    "first": told(counted.first),
                    "last": told(counted.last),
                    "example": counted.id,
                })
            })
            .collect();
        for row in &rows {
            output::data_line(row)?;
        }
        return Ok(Exit::Done);
    }
    if reasons.is_empty() {
        output::talk(format!("{} has no dead letters like that", pipeline.name));
        return Ok(Exit::Done);
    }
    let now = SystemTime::now();
    let lines = reasons.iter().map(|((step, reason), counted)| {
        let age = output::age(now.duration_since(counted.last).unwrap_or_default());
        let Reason { letters, id, begins, .. } = counted;
        format!(
            "{}  {step}: {reason}\n    {FAINT}the last {age}; like {id}  {begins}{FAINT:#}",
            number(*letters)
        )
    });
    output::data(lines.collect::<Vec<_>>().join("\n"))?;
    Ok(Exit::Done)
}

fn told(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| time.to_string())
}

async fn counted(pipeline: &Pipeline, choice: &Choice) -> Result<Reasons, CliError> {
    let sink = sinks::open(pipeline).await?;
    let filter =
        DeadLetterFilter { state: Some(DeadLetterState::Dead), ..DeadLetterFilter::default() };
    let mut pages = Pages::new(&sink, filter);
    let mut reasons = Reasons::new();
    while let Some(letters) = pages.next().await? {
        for letter in letters.iter().filter(|letter| choice.takes(letter)) {
            count(&mut reasons, letter);
        }
    }
    Ok(reasons)
}

fn count(reasons: &mut Reasons, letter: &StoredDeadLetter) {
    let step = letter.step.clone().unwrap_or_else(|| READ.to_owned());
    let reason = reasons.entry((step, letter.reason.clone())).or_insert_with(|| Reason {
        letters: 0,
        first: letter.time,
        last: letter.time,
        id: letter.id.clone(),
        begins: first_chars(letter),
    });
    reason.letters += 1;
    reason.first = reason.first.min(letter.time);
    reason.last = reason.last.max(letter.time);
}
