//! Writes a unit: rows, dead letters, lineage and the lane's position, in one transaction.
//!
//! It waits for Kafka, on a thread that may.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use uuid::Uuid;

use super::KafkaSinkError;
use super::config::KafkaSinkConfig;
use super::entry::{Entry, EntryKey, LaneEntry, LastUnit, RangeEntry};
use super::letters::{self, LetterWriter};
use super::messages::{Makers, Messages};
use super::producer::{LATE_MAX, TransactionFault, TransactionalProducer, is_late};
use super::topics::Targets;
use crate::connect::Stored;
use crate::ledger::model::{self, LaneModel};
use crate::ledger::{LineageRange, LineageSums};
use crate::record::provenance::{LaneName, LaneSources};
use crate::record::{Past, Unit, UnitPart};

#[derive(Debug)]
pub(super) struct UnitWork {
    pub config: Arc<KafkaSinkConfig>,
    pub pipeline: Arc<str>,
    pub replay_into: Option<Arc<str>>,
    /// The topic of dead letters, and what it takes.
    pub letters: String,
    pub letter_bytes: usize,
    pub targets: Arc<Targets>,
    pub unit: Unit,
    /// The lane as it is.
    pub model: LaneModel,
    pub entry: LaneEntry,
    pub last_range: Option<LineageRange>,
    pub sources: LaneSources,
}

/// How a unit ended.
#[derive(Debug)]
pub(super) enum UnitEnd {
    Committed(Box<Committed>),
    /// More rows are refused than it allows, by reason.
    Refused(BTreeMap<String, u64>),
    /// Nothing was begun, or all was taken back, and somebody has to mend something.
    Failed(KafkaSinkError),
    TakenBack(KafkaError),
    /// It is not known, and the producer cannot go on.
    Lost(KafkaError),
}

/// The lane as it is now.
#[derive(Debug)]
pub(super) struct Committed {
    pub entry: LaneEntry,
    pub range: LineageRange,
    pub stored: Stored,
}

impl UnitWork {
    pub fn run(&self, producer: &TransactionalProducer) -> UnitEnd {
        let makers = Makers { generation: self.unit.generation, lanes: self.lanes() };
        let messages = Messages::new(&self.config, &self.targets, &self.unit.parts, &makers);
        let mut messages = match messages {
            Ok(messages) => messages,
            Err(error) => return UnitEnd::Failed(error),
        };
        let mut late = 0;
        loop {
            if messages.refused.len() as u64 > self.unit.refusals_max {
                return UnitEnd::Refused(reasons(&messages));
            }
            let suspects = match self.commit(producer, &messages) {
                Ok(UnitEnd::TakenBack(error)) if is_late(&error) && late < LATE_MAX => {
                    late += 1;
                    continue;
                }
                Ok(end) => return end,
                Err(suspects) => suspects,
            };
            let left = self.unit.refusals_max - messages.refused.len() as u64;
            match find(producer, &messages, &suspects, left) {
                Ok(found) if found.is_empty() => {
                    let code = suspects.first().map_or(RDKafkaErrorCode::Fail, |(_, code)| *code);
                    return UnitEnd::Failed(KafkaSinkError::Together { code });
                }
                Ok(found) => messages.refuse(&found),
                Err(TransactionFault::Lost(error)) => return UnitEnd::Lost(error),
                Err(TransactionFault::TakenBack(error)) => return UnitEnd::TakenBack(error),
                Err(TransactionFault::Refused(_)) => unreachable!("these are what is found"),
            }
        }
    }

    /// Messages that may be at fault, if some are.
    fn commit(
        &self,
        producer: &TransactionalProducer,
        messages: &Messages<'_>,
    ) -> Result<UnitEnd, Vec<(usize, RDKafkaErrorCode)>> {
        let unit = &self.unit;
        let letters = letters::of_unit(&unit.parts, &messages.refused);
        let writer = LetterWriter {
            pipeline: &self.pipeline,
            lane: &unit.lane,
            generation: unit.generation,
            topic: &self.letters,
            message_bytes: self.letter_bytes,
        };
        let mut entries = Vec::new();
        for (part, letter) in &letters {
            entries.extend(writer.entries(&part.raw, letter));
        }
        let (entry, range) = match self.moved(messages) {
            Ok(moved) => moved,
            Err(error) => return Ok(UnitEnd::Failed(error)),
        };
        let stored =
            Stored { rows: range.1.stored, refused: reasons(messages), ..Stored::default() };
        let (number, own) = (entry.ranges - 1, &range.0);
        let lane = unit.lane.name();
        entries.push(self.entry(
            &EntryKey::Lineage(lane.to_owned(), number),
            &RangeEntry { from: own.from, to: own.to, generation: own.generation, sums: own.sums },
        ));
        // Last, as it moves the lane.
        entries.push(self.entry(&EntryKey::Lane(lane.to_owned()), &entry));
        let dead = letters.iter().flat_map(|(part, letter)| writer.messages(&part.raw, letter));
        match producer.commit(messages.all().chain(dead), &entries) {
            Ok(delivered) => {
                let receipts = || messages.receipts(&delivered);
                let receipts = unit.wants_receipts.then(receipts);
                let stored = Stored { receipts, ..stored };
                let committed = Committed { entry, range: range.0, stored };
                Ok(UnitEnd::Committed(committed.into()))
            }
            Err(TransactionFault::Refused(suspects)) => {
                let (rows, others): (Vec<_>, Vec<_>) =
                    suspects.into_iter().partition(|(number, _)| *number < messages.len());
                match others.first() {
                    // A letter cannot become a letter.
                    Some((_, code)) if rows.is_empty() => {
                        Ok(UnitEnd::Failed(KafkaSinkError::Together { code: *code }))
                    }
                    _ => Err(rows),
                }
            }
            Err(TransactionFault::TakenBack(error)) => Ok(UnitEnd::TakenBack(error)),
            Err(TransactionFault::Lost(error)) => Ok(UnitEnd::Lost(error)),
        }
    }

    /// The lane after the unit, the range that the unit ends or extends, and what the unit itself adds.
    fn moved(
        &self,
        messages: &Messages<'_>,
    ) -> Result<(LaneEntry, (LineageRange, LineageSums)), KafkaSinkError> {
        let unit = &self.unit;
        let late = messages.refused.len() as u64;
        let sums = LineageSums {
            read: unit.records(),
            stored: unit.rows() + unit.deletes() - late,
            superseded: 0,
            dropped: unit.dropped(),
            dead: unit.dead_letters() + late,
        };
        let own = model::own_range(unit, sums);
        model::check_range(&own)?;
        let last = self.last_range.as_ref();
        let (range, ranges) = match last.and_then(|last| model::extended(last, &own)) {
            Some(extended) => (extended, self.entry.ranges),
            None => (own, self.entry.ranges + 1),
        };
        let mut lane = self.model.clone();
        let token = lane.owner;
        let has_moved = lane.commit(token, (unit.from, unit.to), unit.accepted_rejects);
        debug_assert!(has_moved, "whoever holds the lane has looked where it stands");
        let entry = LaneEntry {
            position: lane.position,
            token,
            accepted_rejects: lane.accepted_rejects,
            topics: self.targets.ids(),
            ranges,
            last: Some(LastUnit {
                attempt: Uuid::new_v4(),
                from: unit.from,
                generation: unit.generation,
                rows: sums.stored,
                refused: reasons(messages),
            }),
        };
        Ok((entry, (range, sums)))
    }

    fn entry(&self, key: &EntryKey, value: &impl serde::Serialize) -> Entry {
        Entry::new(&self.pipeline, key, value)
    }

    /// For each part its lane as rows name it.
    fn lanes(&self) -> Vec<LaneName> {
        let name = |part: &UnitPart| match &part.raw.past {
            // The row is that of whoever read the record first.
            Some(Past::Archived { lane: Some(lane), .. }) => LaneName {
                pipeline: Arc::clone(self.replay_into.as_ref().unwrap_or(&self.pipeline)),
                lane: lane.name().into(),
                sources: LaneSources::new(part.raw.records.first().map(|_| part.raw.position(0))),
            },
            Some(Past::Archived { lane: None, .. } | Past::Unknown { .. }) | None => LaneName {
                pipeline: Arc::clone(&self.pipeline),
                lane: self.unit.lane.name().into(),
                sources: self.sources.clone(),
            },
        };
        self.unit.parts.iter().map(name).collect()
    }
}

fn reasons(messages: &Messages<'_>) -> BTreeMap<String, u64> {
    let mut reasons = BTreeMap::new();
    for (_, letter) in &messages.refused {
        *reasons.entry(letter.reason.clone()).or_default() += 1;
    }
    reasons
}

/// A message that is at fault, by its number, and why.
pub(super) type Culprit = (usize, String, Option<String>);

/// Those of the suspects that are refused alone, up to one more than so many.
pub(super) fn find(
    producer: &TransactionalProducer,
    messages: &Messages<'_>,
    suspects: &[(usize, RDKafkaErrorCode)],
    most: u64,
) -> Result<Vec<Culprit>, TransactionFault> {
    // What librdkafka refuses itself needs no broker.
    let alone = |code| code == RDKafkaErrorCode::MessageSizeTooLarge;
    if let [(number, code)] = suspects {
        return Ok(vec![culprit(*number, *code)]);
    }
    let mut groups = vec![suspects.iter().map(|(number, _)| *number).collect::<Vec<_>>()];
    let mut found: Vec<Culprit> = Vec::new();
    let mut late = 0;
    while let Some(group) = groups.pop() {
        if found.len() as u64 > most {
            break;
        }
        match producer.probe(messages.some(&group)) {
            Ok(()) => {}
            Err(TransactionFault::Refused(refused)) => match (&group[..], &refused[..]) {
                ([number], [(_, code), ..]) => found.push(culprit(*number, *code)),
                // It says which of them, and never had to ask.
                (_, refused)
                    if refused.iter().all(|(_, code)| alone(*code))
                        && refused.len() < group.len() =>
                {
                    let is_refused = |at: usize| refused.iter().any(|(number, _)| *number == at);
                    let (bad, rest): (Vec<_>, Vec<_>) =
                        (0..group.len()).partition(|at| is_refused(*at));
                    groups.push(rest.into_iter().map(|at| group[at]).collect());
                    groups.extend(bad.into_iter().map(|at| vec![group[at]]));
                }
                _ => {
                    let (one, other) = group.split_at(group.len() / 2);
                    groups.extend([other.to_vec(), one.to_vec()]);
                }
            },
            Err(TransactionFault::TakenBack(error)) if is_late(&error) && late < LATE_MAX => {
                late += 1;
                groups.push(group);
            }
            Err(fault) => return Err(fault),
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn culprit(number: usize, code: RDKafkaErrorCode) -> Culprit {
    let reason = match code {
        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize => {
            "the message is larger than the topic takes"
        }
        RDKafkaErrorCode::InvalidTimestamp => "the message's time is not one that the topic takes",
        _ => "the topic does not take the message",
    };
    (number, reason.to_owned(), Some(code.to_string()))
}
