//! What a configured step reads and writes: the plugin's plan, checked and resolved to places.

use std::collections::HashSet;
use std::sync::Arc;

use crate::record::{Field, Kind};

const NAME_BYTES_MAX: usize = 128;
const TALLIES_MAX: usize = 64;
const WRITES_MAX: usize = 1_000;

/// A plan as a plugin gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlanGiven {
    pub(crate) reads: Vec<String>,
    pub(crate) writes: Vec<(String, Kind)>,
    pub(crate) tallies: Vec<String>,
}

/// A plan that fits the columns at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The columns handed over, as places among the input's.
    pub reads: Vec<usize>,
    pub writes: Vec<Write>,
    pub tallies: Vec<String>,
    /// The columns there are after the step.
    pub output: Arc<[Field]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its place among the output's columns.
    pub to: usize,
    pub kind: Kind,
    /// Where among `reads` the column as it was stands, if it is read and keeps its kind.
    pub edits: Option<usize>,
}

impl Plan {
    /// The error says which sentence of the contract is broken.
    pub(crate) fn check(given: &PlanGiven, input: &[Field]) -> Result<Self, String> {
        let place = |name: &str| input.iter().position(|field| &*field.name == name);
        let mut seen = HashSet::new();
        let mut reads = Vec::new();
        for name in &given.reads {
            reads.push(
                place(name)
                    .ok_or_else(|| format!("it reads column {name:?}, which is not there"))?,
            );
            if !seen.insert(name) {
                return Err(format!("it reads column {name:?} twice"));
            }
        }
        seen.clear();
        if given.writes.len() > WRITES_MAX {
            return Err(format!("it writes more than {WRITES_MAX} columns"));
        }
        let mut output = input.to_vec();
        let mut writes = Vec::new();
        for (name, kind) in &given.writes {
            check_name("column", name)?;
            if !seen.insert(name) {
                return Err(format!("it writes column {name:?} twice"));
            }
            let (to, edits) = match place(name) {
                Some(to) => {
                    let keeps_kind = input[to].kind == *kind;
                    output[to].kind = *kind;
                    (to, reads.iter().position(|read| *read == to).filter(|_| keeps_kind))
                }
                None => {
                    output.push(Field::new(name.as_str(), *kind));
                    (output.len() - 1, None)
                }
            };
            writes.push(Write { to, kind: *kind, edits });
        }
        seen.clear();
        if given.tallies.len() > TALLIES_MAX {
            return Err(format!("it has more than {TALLIES_MAX} tallies"));
        }
        for name in &given.tallies {
            check_name("tally", name)?;
            if !seen.insert(name) {
                return Err(format!("it has the tally {name:?} twice"));
            }
        }
        Ok(Self { reads, writes, tallies: given.tallies.clone(), output: output.into() })
    }
}

pub(crate) fn check_name(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("a {what} without a name"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("the name of a {what} has more than {NAME_BYTES_MAX} bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("the name of a {what} has control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> Vec<Field> {
        vec![Field::new("a", Kind::Text), Field::new("b", Kind::Integer)]
    }

    fn given(reads: &[&str], writes: &[(&str, Kind)], tallies: &[&str]) -> Result<Plan, String> {
        let given = PlanGiven {
            reads: reads.iter().map(ToString::to_string).collect(),
            writes: writes.iter().map(|(name, kind)| (name.to_string(), *kind)).collect(),
            tallies: tallies.iter().map(ToString::to_string).collect(),
        };
        Plan::check(&given, &input())
    }

    #[test]
    fn new_columns_come_last_and_others_keep_their_place() {
        let plan = given(
            &["b", "a"],
            &[("c", Kind::Float), ("a", Kind::Text), ("b", Kind::Text)],
            &["changed"],
        )
        .unwrap();
        assert_eq!(plan.reads, [1, 0]);
        let output: Vec<_> = plan.output.iter().map(|f| (&*f.name, f.kind)).collect();
        assert_eq!(output, [("a", Kind::Text), ("b", Kind::Text), ("c", Kind::Float)]);
        let writes: Vec<_> = plan.writes.iter().map(|w| (w.to, w.edits)).collect();
        assert_eq!(writes, [(2, None), (0, Some(1)), (1, None)]);
    }

    #[test]
    fn a_plan_that_breaks_the_contract_is_refused_by_name() {
        let long = "x".repeat(129);
        for (plan, said) in [
            (given(&["z"], &[], &[]), "reads column \"z\", which is not there"),
            (given(&["a", "a"], &[], &[]), "reads column \"a\" twice"),
            (given(&[], &[("c", Kind::Text), ("c", Kind::Text)], &[]), "writes column \"c\" twice"),
            (given(&[], &[("", Kind::Text)], &[]), "a column without a name"),
            (given(&[], &[("\n", Kind::Text)], &[]), "control characters"),
            (given(&[], &[(&long, Kind::Text)], &[]), "more than 128 bytes"),
            (given(&[], &[], &["t", "t"]), "tally \"t\" twice"),
            (given(&[], &[], &[""]), "a tally without a name"),
            (given(&[], &[], &["t"; 65]), "more than 64 tallies"),
        ] {
            let error = plan.unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
