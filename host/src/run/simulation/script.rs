//! What a seed decides before anything runs: how many of everything there are, what becomes of each
//! record under each rule, and when what goes wrong.

use std::time::Duration;

use fastrand::Rng;

use crate::connect::Spread;

/// Microseconds of simulated time.
pub(super) type Time = u64;

pub(super) const BY_MEMBERS: Spread = Spread::ByMembers { session: Duration::from_secs(12) };

pub(super) const MILLI: Time = 1_000;
pub(super) const SECOND: Time = 1_000_000;

/// What a rule does to records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Conduct {
    Good,
    /// Rejects many records that a good one takes.
    Rejects,
    /// Rejects everything.
    RejectsAll,
    /// Its calls fail from a record on.
    Traps,
    /// Takes long for every record.
    Slow,
    /// Makes rows that the sink refuses.
    Refused,
    /// Does not pass the gates.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub conduct: Conduct,
    /// Another rule takes other records out.
    pub salt: u64,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Row,
    Dropped,
    Dead,
    /// A row that the sink refuses: it is dead as well.
    Refused,
}

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fault {
    /// Nothing of the ledger answers for a while.
    LedgerDown,
    /// Commits are refused for a while, as if the table were gone.
    TableGone,
    /// The next commit is lost without effect.
    CommitLost,
    /// The next commit takes effect, and its answer is settled late.
    AnswerLost,
    /// The client gives the next commit up, which takes effect later.
    LateEffect,
    /// The next commits are slow.
    SlowCommits,
    /// The last commits are lost.
    FailOver,
    /// Reads of the ledger are old for a while.
    StaleReads,
    /// The source errs for a while.
    SourceDown,
    /// The source says nothing of lanes for a while, but errors.
    GroupDown,
    /// Lanes are dealt out anew.
    Rebalance,
    /// A process sees the others as they were, for a while.
    OldView,
    Crash,
    /// A process stands still for a while.
    Pause,
    /// A process is asked to end, and starts again.
    Roll,
    /// Somebody saves another rule.
    Edit,
    /// Somebody saves what has the lanes begin anew.
    EditUnit,
    /// Somebody asks for the rule before.
    AskBack,
    /// Another process finds the rule that runs to be bad.
    OtherVerdict,
    /// Somebody moves a lane forward.
    Move,
    /// Somebody lets bad records through.
    Resume,
}

pub(super) const FAULTS: [Fault; 21] = [
    Fault::LedgerDown,
    Fault::TableGone,
    Fault::CommitLost,
    Fault::AnswerLost,
    Fault::LateEffect,
    Fault::SlowCommits,
    Fault::FailOver,
    Fault::StaleReads,
    Fault::SourceDown,
    Fault::GroupDown,
    Fault::Rebalance,
    Fault::OldView,
    Fault::Crash,
    Fault::Pause,
    Fault::Roll,
    Fault::Edit,
    Fault::EditUnit,
    Fault::AskBack,
    Fault::OtherVerdict,
    Fault::Move,
    Fault::Resume,
];

/// What lanes may be doing when something strikes.
pub(super) const STATES: [&str; 11] = [
    "claiming",
    "reading",
    "reading again",
    "cleaning",
    "comparing",
    "gathering",
    "committing",
    "offering again",
    "halted",
    "waiting",
    "standing by",
];

#[derive(Debug, Clone)]
pub(super) struct Script {
    pub seed: u64,
    pub processes: usize,
    /// Records of each lane at the end.
    pub lanes: Vec<u64>,
    /// So many of them are there from the start.
    pub there: Vec<u64>,
    /// From when on the last lane is there, if it was not from the start.
    pub last_appears: Option<Time>,
    pub spread: Spread,
    /// The first run begins with what is new.
    pub starts_latest: bool,
    /// Somebody waits for what becomes of each record.
    pub is_awaited: bool,
    /// The ledger compares verdicts in the step that commits.
    pub compares_verdicts: bool,
    pub until_end: bool,
    pub unit_rows: u64,
    pub batch: usize,
    pub memory: u64,
    pub rules: Vec<Rule>,
    /// With what a lane is to be doing when it strikes, if that is not left to chance.
    pub faults: Vec<(Time, Fault, Option<&'static str>)>,
    /// The last place of a lane is no record, as where a transaction ends: only its end tells.
    pub has_tail: bool,
    /// From then on nothing goes wrong any more.
    pub calm: Time,
    pub start_time: Time,
    pub halt_time: Time,
    pub probation: Time,
    pub dead_ratio_max: f64,
    pub dead_records_min: u64,
}

impl Script {
    pub fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed ^ 0x5eed);
        let lanes: Vec<u64> = (0..random.usize(1..=3)).map(|_| random.u64(4..=40)).collect();
        let until_end = random.u8(0..4) == 0;
        let there = lanes.iter().map(|all| if until_end { *all } else { random.u64(0..=*all) });
        let there = there.collect();
        let span = [2 * SECOND, 30 * SECOND, 240 * SECOND][random.usize(0..3)];
        let is_one_late = !until_end && lanes.len() > 1 && random.u8(0..4) == 0;
        let last_appears = is_one_late.then(|| random.u64(0..span));
        let mut faults: Vec<_> = (0..random.usize(0..=11))
            .map(|_| {
                // Many come close together.
                let at = if random.bool() { random.u64(0..span) } else { random.u64(0..span / 8) };
                // What is rare is waited for more often.
                let rare = ["comparing", "waiting", "halted"];
                let state = match random.u8(0..3) {
                    0 => STATES[random.usize(0..STATES.len())],
                    _ => rare[random.usize(0..rare.len())],
                };
                (at, FAULTS[random.usize(0..FAULTS.len())], random.bool().then_some(state))
            })
            .collect();
        faults.sort();
        let first = Rule { conduct: Conduct::Good, salt: random.u64(..) };
        let kinds = [
            Conduct::Good,
            Conduct::Rejects,
            Conduct::RejectsAll,
            Conduct::Traps,
            Conduct::Slow,
            Conduct::Refused,
            Conduct::Broken,
        ];
        let mut rules = vec![first];
        for _ in 0..random.usize(1..=3) {
            let conduct = kinds[random.usize(0..kinds.len())];
            rules.push(Rule { conduct, salt: random.u64(..) });
        }
        Self {
            seed,
            processes: random.usize(1..=3),
            lanes,
            there,
            last_appears,
            spread: [Spread::Nobody, Spread::ByGroup, BY_MEMBERS][random.usize(0..3)],
            starts_latest: !until_end && random.u8(0..4) == 0,
            is_awaited: random.u8(0..3) == 0,
            compares_verdicts: random.bool(),
            has_tail: until_end && random.bool(),
            until_end,
            unit_rows: random.u64(1..=8),
            batch: random.usize(1..=4),
            memory: [2 << 10, 8 << 10, 1 << 20][random.usize(0..3)],
            rules,
            faults,
            calm: span + 60 * SECOND,
            start_time: 30 * SECOND,
            halt_time: 300 * SECOND,
            probation: [5 * SECOND, 600 * SECOND][random.usize(0..2)],
            dead_ratio_max: 0.4,
            dead_records_min: 10,
        }
    }

    /// What a rule makes of a record.
    pub fn fate(&self, rule: usize, lane: usize, record: u64) -> Fate {
        let Rule { conduct, salt } = self.rules[rule];
        let own = mix(self.seed ^ (lane as u64) << 32 ^ record);
        let of_both = mix(own ^ salt);
        // Some records are bad whatever the rule.
        if own.is_multiple_of(29) {
            return Fate::Dead;
        }
        match conduct {
            Conduct::RejectsAll => Fate::Dead,
            Conduct::Rejects if of_both.is_multiple_of(2) => Fate::Dead,
            Conduct::Refused if of_both.is_multiple_of(2) => Fate::Refused,
            _ if of_both.is_multiple_of(11) => Fate::Dropped,
            _ => Fate::Row,
        }
    }

    /// Whether a call fails for a batch that has this record.
    pub fn traps(&self, rule: usize, lane: usize, record: u64) -> bool {
        let Rule { conduct, salt } = self.rules[rule];
        let of_both = mix(self.seed ^ salt ^ (lane as u64) << 32 ^ record ^ 0x7a9);
        conduct == Conduct::Traps && of_both.is_multiple_of(3)
    }
}

pub(super) fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
