//! What a unit comes to: rows, dead letters, sums.

use std::collections::BTreeMap;

use super::fault::TableFault;
use super::key::KeyForm;
use super::lanes::RowLanes;
use super::rows::{Candidates, Refusal, RowAt, RowPart};
use super::target::Target;
use crate::connect::{RetriedLetter, Retry, Stored};
use crate::ledger::LineageSums;
use crate::ledger::sql::letters::NewLetter;
use crate::record::{DeadLetter, Digest, Lane, Past, Receipt, RowReceipt, Unit, UnitPart};

/// Rows that a transaction writes, and those that it deletes: of a unit, or of letters that are tried again.
#[derive(Debug)]
pub(crate) struct RowsToWrite<'a> {
    pub(crate) parts: Vec<RowPart<'a>>,
    pub(crate) candidates: Candidates,
    /// What made them, as rows name it.
    pub(crate) generation: String,
    /// Their lanes, as rows name them: known in the transaction only.
    pub(crate) lanes: RowLanes,
    refusals_max: u64,
}

impl<'a> RowsToWrite<'a> {
    pub(crate) fn of_unit(
        target: &Target,
        forms: &[KeyForm],
        unit: &'a Unit,
    ) -> Result<Self, TableFault> {
        let parts = unit.parts.iter().enumerate();
        let parts = parts.map(|(at, part)| (at, &unit.lane, part));
        Self::new((target, forms), parts, unit.generation, unit.refusals_max)
    }

    pub(crate) fn of_retry(
        target: &Target,
        forms: &[KeyForm],
        retry: &'a Retry,
    ) -> Result<Self, TableFault> {
        let letters = retry.letters.iter().enumerate();
        let parts = letters.map(|(at, letter)| (at, &letter.lane, &letter.part));
        Self::new((target, forms), parts, retry.generation, u64::MAX)
    }

    fn new(
        (target, forms): (&Target, &[KeyForm]),
        parts: impl Iterator<Item = (usize, &'a Lane, &'a UnitPart)>,
        generation: Digest,
        refusals_max: u64,
    ) -> Result<Self, TableFault> {
        let parts: Vec<_> =
            parts.map(|part| RowPart::of(target, part)).collect::<Result<_, _>>()?;
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let candidates = Candidates::new(target, forms, &parts);
        let generation = generation.to_string();
        let lanes = RowLanes::default();
        Ok(Self { parts, candidates, generation, lanes, refusals_max })
    }

    /// Whether it is of no use to look for more rows that the table does not take.
    pub(crate) fn are_too_many(&self, refused: &[Refusal]) -> bool {
        (self.candidates.refused.len() + refused.len()) as u64 > self.refusals_max
    }

    /// Whether some row may have to go.
    pub(crate) fn has_deletes(&self) -> bool {
        self.parts.iter().any(|part| part.is_delete)
    }

    /// Those of the candidates that are rows, and those that are deletes.
    pub(crate) fn apart(&self, candidates: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let is_row = |at: &u32| !self.parts[self.candidates.at(*at).part].is_delete;
        candidates.iter().partition(|at| is_row(at))
    }

    /// What became of them: `refused` are those that the table did not take.
    pub(crate) fn written(&self, stored: u64, mut refused: Vec<Refusal>) -> Written {
        let superseded = self.candidates.len() as u64 - stored - refused.len() as u64;
        refused.extend(self.candidates.refused.iter().cloned());
        Written { stored, superseded, refused }
    }

    /// What the runtime is told of a unit.
    pub(crate) fn told(&self, unit: &Unit, written: &Written) -> Stored {
        let receipts = unit.wants_receipts.then(|| self.receipts(written));
        Stored { receipts, ..written.told() }
    }

    /// Of rows that are not simply stored. That a row of the table was newer than one of these is not told:
    /// the table has the newest of its key either way.
    fn receipts(&self, written: &Written) -> Vec<RowReceipt> {
        let of = |at: RowAt, receipt| {
            let part = &self.parts[at.part];
            RowReceipt { part: part.of, record: part.origin(at.row), receipt }
        };
        let refused = &written.refused;
        let dead = refused.iter().map(|it| of(it.at, Receipt::dead(&self.letter(it))));
        let superseded = self.candidates.superseded(refused).into_iter();
        dead.chain(superseded.map(|at| of(at, Receipt::Superseded))).collect()
    }

    fn letter(&self, refusal: &Refusal) -> DeadLetter {
        let Refusal { at, reason, detail } = refusal;
        let record = self.parts[at.part].origin(at.row);
        DeadLetter { record, step: None, reason: reason.clone(), detail: detail.clone() }
    }

    /// The letters of a unit: of the records that never became rows, and of refused rows.
    pub(crate) fn letters(&self, unit: &'a Unit, written: &Written) -> Vec<NewLetter<'a>> {
        let lane = &unit.lane;
        let mut letters = Vec::new();
        for part in &unit.parts {
            let new =
                |letter: &DeadLetter| NewLetter { lane, raw: &part.raw, letter: letter.clone() };
            letters.extend(part.dead_letters.iter().map(new));
        }
        for refusal in &written.refused {
            let raw = &unit.parts[self.parts[refusal.at.part].of].raw;
            letters.push(NewLetter { lane, raw, letter: self.letter(refusal) });
        }
        letters
    }

    /// The letters of refused rows, by the number of the letter that was tried again.
    pub(crate) fn refused_again(&self, written: &Written) -> BTreeMap<usize, DeadLetter> {
        let refused = written.refused.iter();
        let letter = |refusal: &Refusal| (self.parts[refusal.at.part].of, self.letter(refusal));
        refused.map(letter).collect()
    }
}

/// Where the records of a unit were read first: their places, by lane, as it is called and as rows name it.
/// What was made of them then makes way.
pub(crate) fn places<'a>(
    unit: &'a Unit,
    lanes: &'a RowLanes,
) -> Result<BTreeMap<(&'a str, &'a str), Vec<String>>, TableFault> {
    let mut places = BTreeMap::<_, Vec<_>>::new();
    for (at, UnitPart { raw, .. }) in unit.parts.iter().enumerate() {
        if !matches!(raw.past, Some(Past::Archived { .. })) {
            return Err(TableFault::NoPast { lane: unit.lane.clone() });
        }
        for record in 0..raw.records.len() {
            let (lane, position) = raw.place(record, unit.lane.name());
            let key = (lane, lanes.name(at, &position));
            places.entry(key).or_default().push(position.place().to_string());
        }
    }
    Ok(places)
}

/// What became of rows.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Deletes too.
    pub(crate) stored: u64,
    pub(crate) superseded: u64,
    pub(crate) refused: Vec<Refusal>,
}

impl Written {
    /// The reasons, if more rows are refused than the unit allows.
    pub(crate) fn too_many(&self, unit: &Unit) -> Option<BTreeMap<String, u64>> {
        (self.refused.len() as u64 > unit.refusals_max).then(|| self.told().refused)
    }

    /// How many of the dead letters that were accepted beforehand this uses up, at most.
    pub(crate) fn rejects(&self, unit: &Unit) -> u64 {
        unit.accepted_rejects + self.refused.len() as u64
    }

    /// What the runtime is told.
    pub(crate) fn told(&self) -> Stored {
        let mut refused = BTreeMap::new();
        for Refusal { reason, .. } in &self.refused {
            *refused.entry(reason.clone()).or_default() += 1;
        }
        Stored { rows: self.stored, superseded: self.superseded, refused, receipts: None }
    }

    pub(crate) fn sums(&self, unit: &Unit) -> LineageSums {
        LineageSums {
            read: unit.records(),
            stored: self.stored,
            superseded: self.superseded,
            dropped: unit.dropped(),
            dead: unit.dead_letters() + self.refused.len() as u64,
        }
    }
}

/// Why a letter that was tried again is dead again, if it is.
pub(crate) fn died<'a>(
    letter: &'a RetriedLetter,
    refused: Option<&'a DeadLetter>,
) -> Option<&'a DeadLetter> {
    refused.or(letter.part.dead_letters.first())
}
