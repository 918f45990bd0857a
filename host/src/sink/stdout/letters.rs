//! Dead letters, which have no place among the rows.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};

use serde::Serialize;

use crate::ledger::letter::HeaderValue;
use crate::record::ndjson::RowWriter;
use crate::record::{DeadLetter, Unit, UnitPart};

/// Dead letters of a unit that are told one by one.
const TOLD_MAX: usize = 5;

/// What becomes of dead letters.
#[derive(Debug)]
pub enum LetterOutput {
    /// The first ones of each unit stand in the log.
    Told,
    /// They are counted, as everywhere.
    Counted,
    /// A JSON object a line.
    Written(BufWriter<File>),
}

/// A dead letter without what is different in each run.
#[derive(Debug, Serialize)]
struct Letter<'a> {
    position: String,
    step: Option<&'a str>,
    reason: &'a str,
    detail: Option<&'a str>,
    value: Option<HeaderValue>,
    generation: String,
}

impl LetterOutput {
    pub(super) fn take(&mut self, unit: &Unit) -> io::Result<()> {
        match self {
            Self::Told => {
                tell(unit);
                Ok(())
            }
            Self::Counted => Ok(()),
            Self::Written(file) => {
                for (part, letter) in letters(unit) {
                    serde_json::to_writer(&mut *file, &as_letter(unit, part, letter))?;
                    file.write_all(b"\n")?;
                }
                file.flush()
            }
        }
    }
}

fn letters(unit: &Unit) -> impl Iterator<Item = (&UnitPart, &DeadLetter)> {
    unit.parts.iter().flat_map(|part| part.dead_letters.iter().map(move |letter| (part, letter)))
}

fn as_letter<'a>(unit: &Unit, part: &UnitPart, letter: &'a DeadLetter) -> Letter<'a> {
    let record = letter.record as usize;
    let value = match &part.raw.columns {
        None => part.raw.value(record),
        Some(columns) => {
            let mut row = Vec::new();
            RowWriter::new(columns).write(record, &mut row);
            row.pop();
            Some(row.into())
        }
    };
    Letter {
        position: part.raw.records[record].position.place().to_string(),
        step: letter.step.as_deref(),
        reason: &letter.reason,
        detail: letter.detail.as_deref(),
        value: value.as_deref().map(HeaderValue::of),
        generation: unit.generation.to_string(),
    }
}

fn tell(unit: &Unit) {
    for (part, letter) in letters(unit).take(TOLD_MAX) {
        let record = &part.raw.records[letter.record as usize];
        let detail = letter.detail.as_deref().unwrap_or_default();
        tracing::warn!(
            lane = %unit.lane, place = %record.position.place(), detail,
            "dead letter: {}", letter.reason
        );
    }
    let dead = unit.dead_letters();
    if dead > TOLD_MAX as u64 {
        tracing::warn!(lane = %unit.lane, "{} more dead letters in this unit", dead - TOLD_MAX as u64);
    }
}
