//! A plugin that does wrong what its configuration names, so that the host can be tested on it.
//!
//!     { do: trap, where: poison, n: 3, in: clean }
//!
//! `do` is a name from [`misbehaviour`], which says what each does. With `where` only a batch that
//! holds that very text provokes it, and all others come back unchanged: bisection has something to
//! find. `n` is how many, how much or how often. It reads the text column `text`, and the integer
//! column `n` if there is one.

mod answer;
mod deed;
#[allow(dead_code, reason = "the harness uses the rest of it")]
mod misbehaviour;
mod plan;

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

use std::cell::RefCell;

use serde::Deserialize;

use crate::exports::pinhost::plugin::cleaner::Guest;
use crate::misbehaviour::{Describing, Misbehaviour};
use crate::pinhost::plugin::log;
use crate::pinhost::plugin::types::{
    Batch, Cleaned, Column, Description, Finding, Plan, Texts, Values,
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "do")]
    what: Misbehaviour,
    #[serde(rename = "where")]
    guilty: Option<String>,
    n: Option<usize>,
    #[serde(rename = "in", default)]
    call: Call,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum Call {
    Configure,
    #[default]
    Clean,
}

/// What an instance remembers.
struct State {
    config: Config,
    /// The column written.
    writes: Column,
    /// How many batches with guilty rows there were, this one included.
    calls: usize,
    /// How many guilty rows there were, those of this batch included.
    rows: usize,
    leaked: Vec<Vec<u8>>,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// The rows of a batch, and which of them are guilty.
struct Rows<'a> {
    count: u32,
    text: &'a Texts,
    valid: Option<&'a [u8]>,
    /// Never empty.
    guilty: Vec<u32>,
}

impl<'a> Rows<'a> {
    /// `None` if no row is guilty.
    fn of(batch: &'a Batch, guilty: Option<&str>) -> Option<Self> {
        let column = &batch.columns[0];
        let Values::Text(text) = &column.values else { panic!("`text` is a text column") };
        let mut rows =
            Self { count: batch.rows, text, valid: column.valid.as_deref(), guilty: Vec::new() };
        rows.guilty = (0..batch.rows)
            .filter(|&row| guilty.is_none_or(|text| rows.get(row) == Some(text.as_bytes())))
            .collect();
        (!rows.guilty.is_empty()).then_some(rows)
    }

    /// What stands in the place of a row's value, though it be null.
    fn bytes(&self, row: u32) -> &'a [u8] {
        let (start, end) = (self.text.offsets[row as usize], self.text.offsets[row as usize + 1]);
        &self.text.bytes[start as usize..end as usize]
    }

    fn get(&self, row: u32) -> Option<&'a [u8]> {
        let valid = self.valid.is_none_or(|bits| bits[row as usize / 8] >> (row % 8) & 1 == 1);
        valid.then(|| self.bytes(row))
    }

    fn is_guilty(&self, row: u32) -> bool {
        self.guilty.binary_search(&row).is_ok()
    }

    /// One value for guilty rows, the other for the rest.
    fn values<T: Copy>(&self, guilty: T, other: T) -> Vec<T> {
        (0..self.count).map(|row| if self.is_guilty(row) { guilty } else { other }).collect()
    }
}

struct Hostile;

impl Guest for Hostile {
    fn describe() -> Description {
        plan::describe(describing())
    }

    fn configure(config: String, columns: Vec<Column>) -> Result<Plan, Vec<Finding>> {
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("something that is no text");
            log::write(log::Level::Error, &format!("panicked: {message}"));
        }));
        let config: Config = serde_json::from_str(&config)
            .map_err(|error| vec![plan::finding("", &error.to_string())])?;
        let plan = plan::plan(config.what, &columns)?;
        let mut state =
            State { config, writes: plan.writes[0].clone(), calls: 0, rows: 0, leaked: Vec::new() };
        let answer = match (state.config.what, state.config.call) {
            (Misbehaviour::Deed(deed), Call::Configure) => deed::perform(deed, &mut state, None)
                .map_err(|error| vec![plan::finding("/do", &error)])
                .map(|()| plan),
            (Misbehaviour::BadPlan(bad), _) => plan::spoil(bad, state.config.n, plan),
            _ => Ok(plan),
        };
        STATE.set(Some(state));
        answer
    }

    fn clean(batch: Batch) -> Result<Cleaned, String> {
        STATE.with_borrow_mut(|state| {
            let state = state.as_mut().expect("`configure` came first");
            let Some(rows) = Rows::of(&batch, state.config.guilty.as_deref()) else {
                return Ok(answer::honest(&state.writes, batch.rows));
            };
            state.calls += 1;
            state.rows += rows.guilty.len();
            match (state.config.what, state.config.call) {
                (Misbehaviour::Deed(deed), Call::Clean) => {
                    deed::perform(deed, state, Some(&rows))?;
                    Ok(answer::honest(&state.writes, batch.rows))
                }
                (Misbehaviour::Answer(answer), _) => {
                    Ok(answer::answer(answer, state.config.n, state.calls, &state.writes, &rows))
                }
                _ => Ok(answer::honest(&state.writes, batch.rows)),
            }
        })
    }
}

/// `describe` has no configuration: the harness changes the byte after the colon, in the module.
fn describing() -> Describing {
    static WHICH: [u8; 20] = *b"hostile-describing:\0";
    let at = &raw const WHICH[19];
    // SAFETY: it points to a byte of a static. Volatile, so that the compiler doesn't know it.
    let which = unsafe { at.read_volatile() };
    Describing::ALL[usize::from(which)]
}

/// Text that a terminal, a log file or a line of JSON has to be protected from.
const CONTROL: &str =
    "hostile: \u{1b}[2J\u{1b}]0;owned\u{7} red\r\nERROR forged line\0 \u{202e}end";

/// `n` KiB and a bit of characters that have three bytes each.
fn long(kib: usize) -> String {
    "₪".repeat(kib * 1024 / 3 + 1)
}

export!(Hostile);
