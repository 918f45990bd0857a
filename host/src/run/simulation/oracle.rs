//! Says whether what happened may have happened. It knows the records, the rules and the ledger's
//! contents, and nothing of how the product decides.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{Applied, Ledger};
use super::script::{Fate, Fault, SECOND, Script, Time};
use super::world::generation;
use crate::record::{Digest, Receipt, Receipts};
use crate::run::{GenerationEvent, PipelineError};

pub(super) struct Oracle {
    script: Script,
    /// From which step on a process knows that a generation is bad.
    condemned: BTreeMap<(usize, Digest), u64>,
    outages: Vec<(Fault, Time, Time)>,
    began: BTreeMap<usize, (Time, bool)>,
    has_failed_over: bool,
    /// Where lanes start, as it was stored first.
    starts: BTreeMap<usize, u64>,
    pub wrong: Vec<String>,
    pub rolled_back: u64,
    pub exits: u64,
}

impl Oracle {
    pub fn new(script: Script) -> Self {
        Self {
            script,
            condemned: BTreeMap::new(),
            outages: Vec::new(),
            began: BTreeMap::new(),
            has_failed_over: false,
            starts: BTreeMap::new(),
            wrong: Vec::new(),
            rolled_back: 0,
            exits: 0,
        }
    }

    pub fn rule_is_added(&mut self, rules: Vec<super::script::Rule>) {
        self.script.rules = rules;
    }

    pub fn lanes_grow(&mut self, lanes: Vec<u64>) {
        self.script.lanes = lanes;
    }

    fn is_wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    pub fn outage(&mut self, fault: Fault, from: Time, to: Time) {
        self.outages.push((fault, from, to));
    }

    pub fn fails_over(&mut self) {
        self.has_failed_over = true;
    }

    /// What ran last and was not found to be bad is what starts, unless something else is written
    /// that is not known to be bad either.
    pub fn begins(
        &mut self,
        now: Time,
        process: usize,
        written: usize,
        runs: usize,
        ledger: &Ledger,
    ) {
        self.condemned.retain(|(of, _), _| *of != process);
        self.began.insert(process, (now, ledger.has_committed()));
        let (is_bad, last) = verdicts(ledger);
        let of_written = generation(written);
        let is_refused = |digest: &Digest| {
            let last = ledger.judgements.iter().rev().find(|(_, it)| it.generation == *digest);
            last.is_some_and(|(_, it)| it.verdict.name() == "refused")
        };
        let is_fine = !is_bad.contains(&of_written) && !is_refused(&of_written);
        let expected = if is_fine {
            Some(of_written)
        } else {
            last.into_iter().find(|digest| {
                *digest != of_written && !is_bad.contains(digest) && !is_refused(digest)
            })
        };
        let expected = expected.unwrap_or(of_written);
        if generation(runs) != expected {
            self.is_wrong(format!(
                "process {process} starts with rule {runs}, and not as it should"
            ));
        }
    }

    pub fn crashes(&mut self, process: usize) {
        self.condemned.retain(|(of, _), _| *of != process);
    }

    pub fn hears(&mut self, step: u64, process: usize, event: &GenerationEvent) {
        if let GenerationEvent::RolledBack { bad, .. } = event {
            self.rolled_back += 1;
            self.condemned.entry((process, bad.generation)).or_insert(step);
        }
    }

    /// It was stored where lanes start that are there.
    pub fn first_runs(&mut self, starts: BTreeMap<usize, u64>) {
        self.starts = starts;
    }

    /// The source answers whoever waits for these records: once, and only what is stored.
    pub fn acknowledged(
        &mut self,
        lane: usize,
        (before, to): (Option<u64>, u64),
        receipts: Option<&Receipts>,
        ledger: &Ledger,
    ) {
        if self.has_failed_over {
            return;
        }
        let stands = ledger.stands(lane).unwrap_or(0);
        let is_its = |unit: &&Applied| unit.to == to && unit.generation.is_some();
        let units = ledger.lanes.get(&lane).map(|lane| &lane.units[..]).unwrap_or_default();
        let stored = units.iter().rev().find(is_its);
        if to > stands || stored.is_none() {
            self.is_wrong(format!("lane {lane} is acknowledged to {to}, and stands at {stands}"));
        }
        if let Some((receipts, stored)) = receipts.zip(stored) {
            let is_right = |(at, receipt): (u64, &Receipt)| match receipt {
                Receipt::Stored { .. } => stored.rows.contains(&at),
                Receipt::Dead { .. } => stored.dead.contains(&at) || stored.refused.contains(&at),
                Receipt::Dropped | Receipt::Superseded => {
                    !stored.rows.contains(&at) && !stored.dead.contains(&at)
                }
            };
            let is_whole = receipts.records.len() as u64 == stored.records;
            if !is_whole || !(stored.from..).zip(&receipts.records).all(is_right) {
                self.is_wrong(format!("lane {lane}: {receipts:?} are not those of {stored:?}"));
            }
        }
        if before.is_some_and(|before| before >= to) {
            self.is_wrong(format!("lane {lane} is acknowledged to {to} after {before:?}"));
        }
    }

    pub fn exits(
        &mut self,
        now: Time,
        process: usize,
        end: &Result<(), PipelineError>,
        was_asked: bool,
        ledger: &Ledger,
        ends: &BTreeMap<usize, u64>,
    ) {
        self.exits += 1;
        let (began, had_committed) = self.began.get(&process).copied().unwrap_or_default();
        match end {
            Ok(()) if was_asked => {}
            Ok(()) => {
                if !self.script.until_end {
                    self.is_wrong(format!("process {process} ends, and nobody asked it to"));
                }
                for (lane, end) in ends {
                    let stands = ledger.stands(*lane).unwrap_or(0);
                    if stands < *end && !self.has_failed_over {
                        self.is_wrong(format!(
                            "process {process} ends with 0, and lane {lane} stands at {stands} of {end}"
                        ));
                    }
                }
            }
            Err(PipelineError::NotStarted { .. }) => {
                if had_committed && !self.script.until_end {
                    self.is_wrong(format!(
                        "process {process} gives up although the pipeline has worked before"
                    ));
                }
                self.has_failed_for(now, began, 30 * SECOND, process);
            }
            Err(PipelineError::Halted { .. } | PipelineError::Unread { .. }) => {
                if !self.script.until_end {
                    self.is_wrong(format!("process {process} gives up a run that has no end"));
                }
                self.ran_for(now, began, 300 * SECOND, process);
            }
            Err(error) => self.is_wrong(format!("process {process} ends with {error}")),
        }
    }

    fn ran_for(&mut self, now: Time, began: Time, time: Time, process: usize) {
        if now - began < time {
            self.is_wrong(format!("process {process} gives up after {} s", (now - began) / SECOND));
        }
    }

    /// Something was out of order for nearly as long, however often it came back in between for
    /// less than the waits between attempts.
    fn has_failed_for(&mut self, now: Time, began: Time, time: Time, process: usize) {
        self.ran_for(now, began, time, process);
        let since = now.saturating_sub(time);
        let is_there = |(_, from, to): &&(Fault, Time, Time)| *to > since && *from < now;
        let out: Time = self.outages.iter().filter(is_there).map(|(_, from, to)| to - from).sum();
        if out < time / 2 {
            self.is_wrong(format!("process {process} gives up, and little was out of order"));
        }
    }

    /// When everything is over.
    pub fn ends(&mut self, ledger: &Ledger) {
        for (number, lane) in &ledger.lanes {
            // A fail-over may lose where lanes start.
            let first = lane.units.first().filter(|_| self.has_failed_over);
            let first = first.map(|unit| unit.from);
            let mut next = first.unwrap_or(self.starts.get(number).copied().unwrap_or(0));
            for unit in &lane.units {
                if unit.from != next {
                    self.is_wrong(format!("lane {number}: {} follows {next}", unit.from));
                }
                next = unit.to;
                self.unit(*number, unit);
            }
            let stands = lane.stands();
            if next != stands && !(self.has_failed_over && lane.units.is_empty()) {
                self.is_wrong(format!("lane {number} stands at {stands}, not {next}"));
            }
        }
        // A run that has ended does not come back for what a fail-over has lost.
        let is_whole = !(self.has_failed_over && self.script.until_end);
        for (number, all) in self.script.lanes.clone().iter().enumerate() {
            let stands = ledger.stands(number).unwrap_or(0);
            if stands != *all && is_whole {
                self.is_wrong(format!("lane {number} ends at {stands} of {all}"));
            }
        }
    }

    /// Every record of a unit ended once, in order, as its generation has it.
    fn unit(&mut self, lane: usize, unit: &Applied) {
        let Applied { from, to, generation: Some(digest), rows, dead, refused, dropped, .. } = unit
        else {
            return;
        };
        let name = format!("lane {lane}: the unit {from}..{to}");
        let rules = 0..self.script.rules.len();
        let Some(rule) = rules.into_iter().find(|rule| generation(*rule) == *digest) else {
            return self.is_wrong(format!("{name} is of no generation"));
        };
        let is_evidence = self.script.has_tail && unit.records == 0 && to - from == 1;
        if is_evidence {
            return;
        }
        if unit.records != to - from {
            self.is_wrong(format!("{name} has {} records", unit.records));
        }
        if !rows.is_sorted() {
            self.is_wrong(format!("{name} is out of order"));
        }
        let expected = |fate: Fate| -> Vec<u64> {
            (*from..*to).filter(|record| self.script.fate(rule, lane, *record) == fate).collect()
        };
        let (are_rows, are_dead) = (expected(Fate::Row), expected(Fate::Dead));
        let (are_refused, are_dropped) = (expected(Fate::Refused), expected(Fate::Dropped));
        let agrees = are_rows == *rows
            && are_dead == *dead
            && are_refused == *refused
            && are_dropped.len() as u64 == *dropped;
        if !agrees {
            self.is_wrong(format!("{name} is not as rule {rule} has it: {unit:?}"));
        }
        if let Some(since) = self.condemned.get(&(unit.by, *digest))
            && unit.sent > *since
        {
            self.is_wrong(format!("{name} is of rule {rule}, which its process knew to be bad"));
        }
    }
}

/// Those that were rolled back, and those that ran, the last first.
fn verdicts(ledger: &Ledger) -> (BTreeSet<Digest>, Vec<Digest>) {
    let of = |name: &'static str| {
        ledger.judgements.iter().filter(move |(_, it)| it.verdict.name() == name)
    };
    let is_bad = of("rolled back").map(|(_, it)| it.generation).collect();
    let ran = ledger.judgements.iter().rev();
    let ran = ran.filter(|(_, it)| matches!(it.verdict.name(), "live" | "on probation"));
    (is_bad, ran.map(|(_, it)| it.generation).collect())
}
