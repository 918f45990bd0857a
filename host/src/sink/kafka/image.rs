//! What the ledger comes to: the topic's entries, folded in their order. No I/O and no clock.
//!
//! Dead letters and the bytes of plugins are not in it: who asks for them reads the topic once more.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use uuid::Uuid;

use super::KafkaSinkError;
use super::entry::{
    AnswerEntry, ClaimEntry, EntryKey, FORMAT, GenerationEntry, HaltEntry, Identity, LaneEntry,
    RangeEntry, RequestEntry, VerdictEntry, read,
};
use crate::ledger::{FirstRun, Judgement, LaneState, LedgerFault, LineageRange, Member, Verdict};
use crate::record::provenance::LaneSources;
use crate::record::{Digest, Lane, Position, SourceId};

#[derive(Debug, Default)]
pub(super) struct Image {
    pipelines: BTreeMap<String, PipelineImage>,
    /// The youngest entry's time, as the brokers have it.
    now_millis: i64,
}

/// A value of the topic, and when and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Dated<T> {
    pub value: T,
    pub offset: i64,
    pub millis: i64,
}

#[derive(Debug, Default)]
pub(super) struct PipelineImage {
    identities: BTreeMap<String, Dated<Identity>>,
    first_runs: BTreeMap<Uuid, Dated<FirstRun>>,
    lanes: BTreeMap<String, LaneImage>,
    generations: BTreeMap<Digest, GenerationEntry>,
    verdicts: BTreeMap<String, Dated<Judgement>>,
    members: BTreeMap<Uuid, Dated<String>>,
    requests: BTreeMap<Uuid, RequestEntry>,
    answers: BTreeMap<Uuid, AnswerEntry>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct LaneImage {
    pub claim: Option<Dated<ClaimEntry>>,
    pub lane: Option<Dated<LaneEntry>>,
    halt: Option<HaltEntry>,
    lineage: BTreeMap<u64, Dated<RangeEntry>>,
    journal: BTreeMap<u64, Bytes>,
}

impl Image {
    pub fn pipeline(&self, name: &str) -> Option<&PipelineImage> {
        self.pipelines.get(name)
    }

    /// Takes the next entry of the topic. Keys of others are let be.
    pub fn apply(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        (offset, millis): (i64, i64),
    ) -> Result<(), KafkaSinkError> {
        self.now_millis = self.now_millis.max(millis);
        let key = str::from_utf8(key).ok().and_then(EntryKey::read);
        let Some((pipeline, key)) = key else { return Ok(()) };
        let pipeline = match self.pipelines.get_mut(pipeline) {
            Some(known) => known,
            None => self.pipelines.entry(pipeline.to_owned()).or_default(),
        };
        pipeline.apply(&key, value, (offset, millis))
    }

    /// The pipelines that write to this target, by name.
    pub fn of_target(&self, target: &str) -> Vec<String> {
        let writes = |pipeline: &PipelineImage| {
            pipeline.identity().is_some_and(|identity| identity.target == target)
        };
        let known = self.pipelines.iter().filter(|(_, pipeline)| writes(pipeline));
        known.map(|(name, _)| name.clone()).collect()
    }

    /// All that have beaten and not left. `now` is the time of the youngest entry, which is the asker's own.
    pub fn members(&self, pipeline: &str) -> Vec<Member> {
        let members = self.pipelines.get(pipeline).into_iter().flat_map(|it| &it.members);
        let member = |(id, beat): (&Uuid, &Dated<String>)| Member {
            id: *id,
            age: Duration::from_millis(
                self.now_millis.saturating_sub(beat.millis).try_into().unwrap_or_default(),
            ),
            note: beat.value.clone(),
        };
        members.map(member).collect()
    }
}

/// Puts a value in its place, or takes it away.
fn set<K: Ord, T>(map: &mut BTreeMap<K, T>, key: K, value: Option<T>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

impl PipelineImage {
    fn apply(
        &mut self,
        key: &EntryKey,
        value: Option<&[u8]>,
        (offset, millis): (i64, i64),
    ) -> Result<(), KafkaSinkError> {
        fn dated<T>(value: Option<T>, (offset, millis): (i64, i64)) -> Option<Dated<T>> {
            value.map(|value| Dated { value, offset, millis })
        }
        let at = (offset, millis);
        match key {
            EntryKey::Identity(digest) => {
                let identity = value.map(|value| read::<Identity>(key, value)).transpose()?;
                if let Some(found) = identity.as_ref().map(|it| it.format as usize)
                    && found > FORMAT as usize
                {
                    let known = FORMAT as usize;
                    return Err(LedgerFault::NewerFormat { found, known }.into());
                }
                set(&mut self.identities, digest.to_string(), dated(identity, at));
            }
            EntryKey::FirstRun(id) => {
                let read = |value| {
                    let text = str::from_utf8(value).unwrap_or_default();
                    let unreadable = || LedgerFault::state(key, "first run", text);
                    FirstRun::from_json(text).ok_or_else(unreadable)
                };
                set(&mut self.first_runs, *id, dated(value.map(read).transpose()?, at));
            }
            EntryKey::Claim(lane) => {
                let claim = value.map(|value| read(key, value)).transpose()?;
                self.lane_mut(lane).claim = dated(claim, at);
            }
            EntryKey::Lane(lane) => {
                let entry = value.map(|value| read(key, value)).transpose()?;
                self.lane_mut(lane).lane = dated(entry, at);
            }
            EntryKey::Halt(lane) => {
                let halt = value.map(|value| read(key, value)).transpose()?;
                self.lane_mut(lane).halt = halt;
            }
            EntryKey::Lineage(lane, number) => {
                let range = value.map(|value| read(key, value)).transpose()?;
                set(&mut self.lane_mut(lane).lineage, *number, dated(range, at));
            }
            EntryKey::Journal(lane, number) => {
                let entry = value.map(Bytes::copy_from_slice);
                set(&mut self.lane_mut(lane).journal, *number, entry);
            }
            EntryKey::Generation(digest) => {
                let generation = value.map(|value| read(key, value)).transpose()?;
                set(&mut self.generations, *digest, generation);
            }
            EntryKey::Verdict(digest, verdict) => {
                let judged = value.map(|value| read::<VerdictEntry>(key, value)).transpose()?;
                let judgement = judged.map(|VerdictEntry { reason, time }| Judgement {
                    generation: *digest,
                    verdict: *verdict,
                    reason,
                    time: time.into(),
                });
                set(&mut self.verdicts, verdict_key(*digest, *verdict), dated(judgement, at));
            }
            EntryKey::Member(id) => {
                let note = value.map(|note| String::from_utf8_lossy(note).into_owned());
                set(&mut self.members, *id, dated(note, at));
            }
            EntryKey::Request(id) => {
                let request = value.map(|value| read(key, value)).transpose()?;
                set(&mut self.requests, *id, request);
            }
            EntryKey::Answer(id) => {
                let answer = value.map(|value| read(key, value)).transpose()?;
                set(&mut self.answers, *id, answer);
            }
            EntryKey::Piece(..)
            | EntryKey::Letter(..)
            | EntryKey::LetterState(_)
            | EntryKey::Mark(_) => {}
        }
        Ok(())
    }

    fn lane_mut(&mut self, lane: &str) -> &mut LaneImage {
        if !self.lanes.contains_key(lane) {
            self.lanes.insert(lane.to_owned(), LaneImage::default());
        }
        self.lanes.get_mut(lane).expect("it is there")
    }

    /// Of several, the first one counts.
    pub fn identity(&self) -> Option<&Identity> {
        let first = self.identities.values().min_by_key(|dated| dated.offset);
        first.map(|dated| &dated.value)
    }

    pub fn first_run(&self) -> Option<&FirstRun> {
        let first = self.first_runs.values().min_by_key(|dated| dated.offset);
        first.map(|dated| &dated.value)
    }

    pub fn lane(&self, lane: &str) -> Option<&LaneImage> {
        self.lanes.get(lane)
    }

    pub fn generation(&self, digest: Digest) -> Option<&GenerationEntry> {
        self.generations.get(&digest)
    }

    pub fn answer(&self, id: Uuid) -> Option<AnswerEntry> {
        self.answers.get(&id).copied()
    }

    /// What nobody has done yet.
    pub fn requests(&self) -> Vec<(Uuid, RequestEntry)> {
        let open = self.requests.iter().filter(|(id, _)| !self.answers.contains_key(id));
        open.map(|(id, request)| (*id, request.clone())).collect()
    }

    /// The oldest first.
    pub fn judgements(&self) -> Vec<Judgement> {
        let mut all: Vec<_> = self.verdicts.values().collect();
        all.sort_by_key(|dated| dated.offset);
        all.into_iter().map(|dated| dated.value.clone()).collect()
    }

    /// What was written last is the last.
    pub fn lineage(&self) -> Vec<LineageRange> {
        let of_lane = |(name, lane): (&String, &LaneImage)| {
            let name = Lane::new(name.as_str());
            let ranges = lane.lineage.values();
            let range = |dated: &Dated<RangeEntry>| (dated.offset, dated.value.of(&name));
            ranges.map(range).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.lanes.iter().flat_map(of_lane).collect();
        all.sort_by_key(|(offset, _)| *offset);
        all.into_iter().map(|(_, range)| range).collect()
    }

    /// By name.
    pub fn states(&self) -> Vec<LaneState> {
        let source = self.identity().map_or("", |identity| &identity.source);
        let state = |(name, lane): (&String, &LaneImage)| {
            let (at, claim) = (lane.lane.as_ref()?, lane.claim.as_ref());
            let owner = claim.map_or(at.value.token, |claim| claim.value.token);
            let halted = lane
                .halt
                .as_ref()
                .filter(|halt| halt.token == owner && halt.position == at.value.position);
            Some(LaneState {
                lane: Lane::new(name.as_str()),
                source: SourceId::new(source),
                position: at.value.position,
                owner,
                member: claim.and_then(|claim| claim.value.member),
                claimed: time(claim.map_or(at.millis, |claim| claim.millis)),
                moved: time(at.millis),
                accepted_rejects: at.value.accepted_rejects,
                halted: halted.map(|halt| halt.reason.clone()),
            })
        };
        self.lanes.iter().filter_map(state).collect()
    }
}

impl LaneImage {
    pub fn owner(&self) -> Option<Uuid> {
        self.claim.as_ref().map(|claim| claim.value.token)
    }

    /// The last range of the lineage.
    pub fn last_range(&self, lane: &Lane) -> Option<LineageRange> {
        self.lineage.last_key_value().map(|(_, dated)| dated.value.of(lane))
    }

    pub fn journal(&self) -> impl Iterator<Item = &Bytes> {
        self.journal.values()
    }

    /// A position of each source that the lane was read from, one after the other.
    pub fn known(&self) -> Vec<Position> {
        let known = self.lineage.values().flat_map(|dated| [dated.value.from, dated.value.to]);
        let mut positions: Vec<Position> = Vec::new();
        for position in known.chain(self.lane.iter().map(|dated| dated.value.position)) {
            if !LaneSources::new(positions.iter().copied()).hold(&[position]) {
                positions.push(position);
            }
        }
        positions
    }
}

impl RangeEntry {
    fn of(&self, lane: &Lane) -> LineageRange {
        let Self { from, to, generation, sums } = *self;
        LineageRange { lane: lane.clone(), from, to, generation, sums }
    }
}

fn verdict_key(digest: Digest, verdict: Verdict) -> String {
    format!("{digest}/{verdict}")
}

fn time(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    fn apply(image: &mut Image, key: &EntryKey, value: &impl Serialize, offset: i64) {
        let value = serde_json::to_vec(value).unwrap();
        image.apply(key.of("pins").as_bytes(), Some(&value), (offset, offset)).unwrap();
    }

    fn identity(source: &str) -> Identity {
        Identity { format: FORMAT, source: source.to_owned(), target: "pin".to_owned() }
    }

    #[test]
    fn of_two_identities_the_first_one_counts_also_when_it_is_written_no_more() {
        let mut image = Image::default();
        for (source, offset) in [("one", 3), ("two", 9)] {
            let identity = identity(source);
            apply(&mut image, &EntryKey::Identity(identity.digest()), &identity, offset);
        }
        let pins = image.pipeline("pins").unwrap();
        assert_eq!(pins.identity(), Some(&identity("one")));
        assert_eq!(image.of_target("pin"), ["pins"]);
        assert!(image.of_target("geo").is_empty());
    }

    #[test]
    fn a_newer_format_and_what_is_no_entry_are_refused_and_keys_of_others_are_let_be() {
        let mut image = Image::default();
        let newer = Identity { format: FORMAT + 1, ..identity("one") };
        let key = EntryKey::Identity(newer.digest()).of("pins");
        let value = serde_json::to_vec(&newer).unwrap();
        assert!(image.apply(key.as_bytes(), Some(&value), (0, 0)).is_err());
        assert!(image.apply(b"pins/lane/a", Some(b"{}"), (1, 1)).is_err());
        assert!(image.apply(b"\xff", None, (2, 2)).is_ok());
        assert!(image.apply(b"somebody's", Some(b"x"), (3, 3)).is_ok());
    }

    #[test]
    fn a_lane_is_known_once_it_has_a_position() {
        let mut image = Image::default();
        let token = Uuid::from_u128(1);
        let claim = ClaimEntry { token, member: None };
        apply(&mut image, &EntryKey::Claim("a".to_owned()), &claim, 0);
        assert!(image.pipeline("pins").unwrap().states().is_empty());
        let entry = LaneEntry {
            position: Position::number(7),
            token,
            accepted_rejects: 2,
            topics: BTreeMap::new(),
            ranges: 0,
            last: None,
        };
        apply(&mut image, &EntryKey::Lane("a".to_owned()), &entry, 1);
        let halt = |position| HaltEntry { token, position, reason: "too many".to_owned() };
        apply(&mut image, &EntryKey::Halt("a".to_owned()), &halt(Position::number(7)), 2);
        let state = image.pipeline("pins").unwrap().states().pop().unwrap();
        assert_eq!((state.position, state.owner), (Position::number(7), token));
        assert_eq!(state.halted.as_deref(), Some("too many"));
        apply(&mut image, &EntryKey::Halt("a".to_owned()), &halt(Position::number(6)), 3);
        assert_eq!(image.pipeline("pins").unwrap().states()[0].halted, None);
    }

    #[test]
    fn of_verdicts_the_one_that_was_given_last_is_the_last() {
        let mut image = Image::default();
        let digest = Digest::of(b"one");
        let verdict = VerdictEntry { reason: None, time: jiff::Timestamp::UNIX_EPOCH };
        for (given, offset) in [(Verdict::Live, 0), (Verdict::Refused, 1), (Verdict::Live, 2)] {
            apply(&mut image, &EntryKey::Verdict(digest, given), &verdict, offset);
        }
        let told = image.pipeline("pins").unwrap().judgements();
        let told: Vec<_> = told.iter().map(|judgement| judgement.verdict).collect();
        assert_eq!(told, [Verdict::Refused, Verdict::Live]);
    }
}
