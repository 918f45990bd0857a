//! Whose each lane is, where the processes themselves spread them: everybody comes to the same from the
//! same members and the same lanes. No I/O and no clock.
//!
//! Views may differ for a while, as processes look at different times: then two of them claim a lane in
//! turns, which costs a fence and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use super::Member;
use crate::record::{Digest, Lane};

/// When members beat, and when they are taken for dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub beat: Duration,
    /// Longer than some beats, as a store may be slow.
    pub dead: Duration,
    /// Lanes move no more often than this, but for those that nobody has.
    pub rest: Duration,
}

impl Pace {
    /// Of members that are dead after a silence of `session`, in a ledger for which a unit is so much work.
    pub fn new(session: Duration, unit_floor: Duration) -> Self {
        let beat = (session / 4).max(unit_floor * 5);
        Self { beat, dead: beat * 4, rest: beat * 5 }
    }
}

/// So many beats make a member that lanes are given to, if there are others: one that dies while it starts
/// gets none.
const BEATS_MIN: u64 = 2;

/// Rendezvous hashing: each lane wants the member that weighs most with it, and no member has more than its
/// share of the lanes, rounded up. Who comes or goes moves few of the others' lanes.
pub fn share<'a>(
    members: &BTreeSet<Uuid>,
    lanes: impl IntoIterator<Item = &'a Lane>,
) -> BTreeMap<Lane, Uuid> {
    let lanes: BTreeSet<&Lane> = lanes.into_iter().collect();
    let most = lanes.len().div_ceil(members.len().max(1));
    let wish = |lane: &'a Lane, member: Uuid| (weight(member, lane), member, lane);
    let wishes = lanes.iter().flat_map(|lane| members.iter().map(|member| wish(lane, *member)));
    // The strongest come first.
    let mut wishes: Vec<_> = wishes.collect();
    wishes.sort_unstable_by(|a, b| b.cmp(a));
    let mut given = BTreeMap::new();
    let mut held: BTreeMap<Uuid, usize> = BTreeMap::new();
    for (_, member, lane) in wishes {
        let held = held.entry(member).or_default();
        if *held < most && !given.contains_key(lane) {
            given.insert(lane.clone(), member);
            *held += 1;
        }
    }
    given
}

fn weight(member: Uuid, lane: &Lane) -> u64 {
    let [weight, _] = Digest::of_pieces([&member.as_bytes()[..], lane.name().as_bytes()]).words();
    weight
}

/// What one process makes of what it sees of the others.
#[derive(Debug)]
pub struct Roster {
    own: Uuid,
    pace: Pace,
    /// Whose each lane is.
    given: BTreeMap<Lane, Uuid>,
    /// When lanes were given last.
    shared_at: Option<Duration>,
    beats: u64,
    /// All lanes are this process's, so that it sees with its own eyes that they were read to their end.
    sweeps: bool,
}

/// What a member says of a run that is to end, beside how often it has beaten.
const DONE: &str = "done";
const SWEEPS: &str = "sweeps";

/// What became ours, and what is no longer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shift {
    pub gained: Vec<Lane>,
    pub lost: Vec<Lane>,
}

impl Roster {
    pub fn new(own: Uuid, pace: Pace) -> Self {
        Self { own, pace, given: BTreeMap::new(), shared_at: None, beats: 0, sweeps: false }
    }

    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// What the next beat tells the others: how many there were; and, of a run that is to end, whether all
    /// lanes of this process were read to where they ended when it began.
    pub fn note(&mut self, is_done: bool) -> String {
        self.beats += 1;
        let said = match (self.sweeps, is_done && self.shared_at.is_some()) {
            (true, _) => SWEEPS,
            (false, true) => DONE,
            (false, false) => "",
        };
        format!("{} {said}", self.beats).trim_end().to_owned()
    }

    /// Whose lanes are, `at` a time since whenever, by what the ledger says and by which lanes may be read.
    pub fn look(&mut self, at: Duration, seen: &[Member], lanes: &BTreeSet<Lane>) -> Shift {
        let live = self.live(seen);
        let before = self.ours();
        self.given.retain(|lane, _| lanes.contains(lane));
        // A lane that nobody has is read by nobody.
        let is_orphan =
            |lane: &Lane| self.given.get(lane).is_none_or(|owner| !live.contains(owner));
        let has_rested = self.shared_at.is_none_or(|then| at >= then + self.pace.rest);
        let wanted = share(&live, lanes);
        // Not only when members come and go: others that have looked at another time would hold on to
        // another view for ever, in which a lane may be nobody's.
        if lanes.iter().any(is_orphan) || has_rested && wanted != self.given {
            self.given = wanted;
            self.shared_at = Some(at);
        }
        let after = self.ours();
        Shift {
            gained: after.difference(&before).cloned().collect(),
            lost: before.difference(&after).cloned().collect(),
        }
    }

    fn live(&mut self, seen: &[Member]) -> BTreeSet<Uuid> {
        let beats = |member: &Member| {
            let beats = member.note.split(' ').next().and_then(|beats| beats.parse().ok());
            beats.unwrap_or(0_u64)
        };
        let alive = seen.iter().filter(|member| member.age < self.pace.dead);
        let (settled, new): (Vec<_>, Vec<_>) = alive.partition(|member| beats(member) >= BEATS_MIN);
        // Where nobody was before, nobody has to wait.
        let live = if settled.is_empty() { new } else { settled };
        self.sweeper(&live)
            .map_or_else(|| live.iter().map(|member| member.id).collect(), |id| [id].into())
    }

    /// Where all have read their lanes to the end, and wait for each other: one after the other looks for
    /// itself, and has all lanes meanwhile.
    fn sweeper(&mut self, live: &[&Member]) -> Option<Uuid> {
        let says = |member: &&&Member, what: &str| member.note.ends_with(what);
        let is_done = !live.is_empty() && live.iter().all(|member| says(&member, DONE));
        let first = live.iter().map(|member| member.id).min();
        self.sweeps |= is_done && first == Some(self.own);
        if self.sweeps {
            return Some(self.own);
        }
        live.iter().filter(|member| says(member, SWEEPS)).map(|member| member.id).min()
    }

    pub fn ours(&self) -> BTreeSet<Lane> {
        let ours = self.given.iter().filter(|(_, owner)| **owner == self.own);
        ours.map(|(lane, _)| lane.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lanes(count: usize) -> BTreeSet<Lane> {
        (0..count).map(|lane| Lane::new(format!("shardId-{lane:012}"))).collect()
    }

    fn ids(seed: u64, count: usize) -> BTreeSet<Uuid> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..count).map(|_| Uuid::from_u128(random.u128(..))).collect()
    }

    fn held(given: &BTreeMap<Lane, Uuid>) -> Vec<usize> {
        let mut held: BTreeMap<Uuid, usize> = BTreeMap::new();
        given.values().for_each(|member| *held.entry(*member).or_default() += 1);
        held.into_values().collect()
    }

    proptest! {
        #[test]
        fn each_lane_has_one_owner_and_no_member_more_than_its_share(
            seed: u64, members in 1_usize..20, count in 0_usize..200,
        ) {
            let (members, lanes) = (ids(seed, members), lanes(count));
            let given = share(&members, &lanes);
            prop_assert_eq!(given.keys().cloned().collect::<BTreeSet<_>>(), lanes.clone());
            prop_assert!(given.values().all(|owner| members.contains(owner)));
            let most = count.div_ceil(members.len());
            prop_assert!(held(&given).into_iter().all(|held| held <= most));
            // The order in which lanes are seen changes nothing.
            let backwards: Vec<_> = lanes.iter().rev().collect();
            prop_assert_eq!(share(&members, backwards), given);
        }
    }

    #[test]
    fn one_more_member_moves_few_lanes() {
        for (count, members) in [(4, 2), (16, 4), (100, 7), (500, 20)] {
            let (lanes, mut moved) = (lanes(count), 0);
            for seed in 0..10 {
                let few = ids(seed, members);
                let more = few.iter().copied().chain([Uuid::from_u128(1)]).collect();
                let (before, after) = (share(&few, &lanes), share(&more, &lanes));
                moved += lanes.iter().filter(|lane| before[*lane] != after[*lane]).count();
            }
            let ideal = 10 * count / (members + 1);
            assert!(moved <= 2 * ideal, "{count} lanes, {members} members: {moved} moved");
        }
        assert!(share(&BTreeSet::new(), &lanes(3)).is_empty());
    }

    fn member(id: u128, age: u64, beats: u64) -> Member {
        let (id, age) = (Uuid::from_u128(id), Duration::from_secs(age));
        Member { id, age, note: beats.to_string() }
    }

    fn pace() -> Pace {
        Pace::new(Duration::from_secs(12), Duration::ZERO)
    }

    #[test]
    fn a_beat_that_is_dear_is_rare() {
        let [three, twelve, fifteen] = [3, 12, 15].map(Duration::from_secs);
        assert_eq!(pace(), Pace { beat: three, dead: twelve, rest: fifteen });
        let objects = Pace::new(twelve, Duration::from_secs(1));
        assert_eq!((objects.beat, objects.dead), (Duration::from_secs(5), Duration::from_secs(20)));
    }

    #[test]
    fn a_process_alone_has_all_lanes_at_once() {
        let mut roster = Roster::new(Uuid::from_u128(1), pace());
        assert_eq!((roster.note(true), roster.note(false)), ("1".to_owned(), "2".to_owned()));
        let lanes = lanes(3);
        let shift = roster.look(Duration::ZERO, &[member(1, 0, 1)], &lanes);
        assert_eq!(shift.gained, lanes.iter().cloned().collect::<Vec<_>>());
        // One that joins has none before its second beat.
        let mut other = Roster::new(Uuid::from_u128(2), pace());
        let both = [member(1, 0, 2), member(2, 0, 1)];
        assert_eq!(other.look(Duration::ZERO, &both, &lanes), Shift::default());
        // One that ends for good is let go.
        let fewer = lanes.iter().skip(1).cloned().collect();
        let shift = roster.look(Duration::from_secs(6), &[member(1, 0, 3)], &fewer);
        assert_eq!((shift.gained.len(), shift.lost.len()), (0, 1));
    }

    /// Two processes that have looked at other times, and seen other lanes, come to the same.
    #[test]
    fn views_that_differ_become_one() {
        let both = [member(1, 0, 9), member(2, 0, 9)];
        let at = Duration::from_secs;
        for count in 2..40 {
            let [mut one, mut other] = [1, 2].map(|id| Roster::new(Uuid::from_u128(id), pace()));
            let all = lanes(count);
            one.look(at(0), &both, &all);
            // The other process looks when one of the lanes has ended.
            let fewer: BTreeSet<Lane> = all.iter().skip(1).cloned().collect();
            other.look(at(1), &both, &fewer);
            one.look(at(3), &both, &fewer);
            one.look(at(16), &both, &fewer);
            other.look(at(17), &both, &fewer);
            let (ours, theirs) = (one.ours(), other.ours());
            assert!(ours.is_disjoint(&theirs), "{count} lanes");
            assert_eq!(ours.union(&theirs).count(), count - 1);
        }
    }

    /// Nobody can tell where a shard ends but by reading it: each sees for itself, one after the other.
    #[test]
    fn those_who_wait_for_each_other_look_for_themselves() {
        let lanes = lanes(4);
        let said = |id: u128, note: &str| Member { note: note.to_owned(), ..member(id, 0, 9) };
        let at = Duration::from_secs;
        let [mut one, mut other] = [1, 2].map(|id| Roster::new(Uuid::from_u128(id), pace()));
        let both = [said(1, "9"), said(2, "9 done")];
        let (ours, theirs) = (one.look(at(0), &both, &lanes), other.look(at(0), &both, &lanes));
        assert_eq!(ours.gained.len() + theirs.gained.len(), 4);
        assert_eq!(one.note(true), "1 done");
        let both = [said(1, "10 done"), said(2, "10 done")];
        one.look(at(16), &both, &lanes);
        assert_eq!((one.ours(), one.note(false)), (lanes.clone(), "2 sweeps".to_owned()));
        let both = [said(1, "11 sweeps"), said(2, "11 done")];
        other.look(at(16), &both, &lanes);
        assert_eq!(other.ours(), BTreeSet::new());
        // The first one has seen enough, and has left.
        other.look(at(32), &[said(2, "12 done")], &lanes);
        assert_eq!(other.ours(), lanes);
    }

    #[test]
    fn a_dead_members_lanes_move_at_once_and_a_joiner_waits_for_the_next_round() {
        let (mut roster, lanes) = (Roster::new(Uuid::from_u128(1), pace()), lanes(8));
        let both = [member(1, 0, 9), member(2, 0, 9)];
        let at = Duration::from_secs;
        assert_eq!(roster.look(at(0), &both, &lanes).gained.len(), 4);
        let three = [member(1, 0, 9), member(2, 0, 9), member(3, 0, 2)];
        assert_eq!(roster.look(at(3), &three, &lanes), Shift::default(), "lanes rest");
        let shift = roster.look(at(15), &three, &lanes);
        assert!(!shift.lost.is_empty());
        // The second one is silent for too long.
        let dead = [member(1, 0, 9), member(2, 12, 9), member(3, 0, 2)];
        let ours = 4 - shift.lost.len() + shift.gained.len();
        let shift = roster.look(at(18), &dead, &lanes);
        assert_eq!(ours + shift.gained.len() - shift.lost.len(), 4);
    }

    /// A process whose own beat is old, as it was stopped, has nothing: others have taken its lanes.
    #[test]
    fn one_that_was_stopped_lets_go_of_its_lanes() {
        let (mut roster, lanes) = (Roster::new(Uuid::from_u128(1), pace()), lanes(4));
        let both = |age| [member(1, age, 9), member(2, 0, 9)];
        assert_eq!(roster.look(Duration::ZERO, &both(0), &lanes).gained.len(), 2);
        assert_eq!(roster.look(Duration::from_secs(3), &both(60), &lanes).lost.len(), 2);
    }
}
