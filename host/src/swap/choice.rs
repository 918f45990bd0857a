//! Which generation a process begins with, by what the ledger knows of them. Plain values.

use crate::ledger::{Judgement, Verdict, judgement_of};
use crate::record::Digest;

/// What to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// What is written: it did well before.
    Known,
    /// What is written: there is nothing to compare it with.
    First,
    /// What is written, watched beside this one.
    Beside(Digest),
    /// This one: what is written did badly.
    Kept { good: Digest, verdict: Verdict },
    /// What is written, although it did badly: nothing else is kept.
    Unhappy,
}

pub(crate) fn choose(written: Digest, judgements: &[Judgement]) -> Choice {
    match (verdict(written, judgements), good_beside(written, judgements)) {
        (Some(Verdict::Live), _) => Choice::Known,
        (None | Some(Verdict::OnProbation), Some(good)) => Choice::Beside(good),
        (None | Some(Verdict::OnProbation), None) => Choice::First,
        (Some(verdict), Some(good)) => Choice::Kept { good, verdict },
        (Some(_), None) => Choice::Unhappy,
    }
}

/// The one that ran last and was not found to be bad, apart from this one: also while it was watched.
pub(crate) fn good_beside(other: Digest, judgements: &[Judgement]) -> Option<Digest> {
    let is_good = |found| matches!(found, Some(Verdict::Live | Verdict::OnProbation));
    let good = judgements.iter().rev().find(|judgement| {
        judgement.generation != other && is_good(verdict(judgement.generation, judgements))
    });
    good.map(|good| good.generation)
}

/// The one that is known to be good, beside which `watched` was on probation when it ran last.
pub(crate) fn proven_beside(watched: Digest, judgements: &[Judgement]) -> Option<Digest> {
    if verdict(watched, judgements) != Some(Verdict::OnProbation) {
        return None;
    }
    let good = judgements.iter().rev().find(|judgement| {
        let found = verdict(judgement.generation, judgements);
        judgement.generation != watched && found == Some(Verdict::Live)
    });
    good.map(|good| good.generation)
}

fn verdict(generation: Digest, judgements: &[Judgement]) -> Option<Verdict> {
    judgement_of(generation, judgements).map(|judgement| judgement.verdict)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn chosen(judged: &[(&str, Verdict)]) -> Choice {
        let judged: Vec<_> = judged
            .iter()
            .map(|(generation, verdict)| Judgement {
                generation: digest(generation),
                verdict: *verdict,
                reason: None,
                time: SystemTime::UNIX_EPOCH,
            })
            .collect();
        choose(digest("written"), &judged)
    }

    #[test]
    fn what_is_written_runs_unless_it_is_known_to_be_bad_and_a_good_one_is_kept() {
        use Verdict::{Live, OnProbation, Refused, RolledBack};
        let (one, two) = (digest("one"), digest("two"));
        assert_eq!(chosen(&[]), Choice::First);
        assert_eq!(chosen(&[("written", Live)]), Choice::Known);
        assert_eq!(chosen(&[("one", Live)]), Choice::Beside(one));
        assert_eq!(chosen(&[("one", Live), ("two", Live)]), Choice::Beside(two));
        assert_eq!(
            chosen(&[("one", Live), ("two", Live), ("two", RolledBack)]),
            Choice::Beside(one)
        );
        assert_eq!(chosen(&[("two", RolledBack), ("two", Live)]), Choice::First);
        let kept = Choice::Kept { good: one, verdict: RolledBack };
        let others = [("one", Live), ("written", RolledBack), ("written", Refused)];
        assert_eq!(chosen(&others), kept, "what another process found does not make it better");
        assert_eq!(chosen(&[("one", Live), ("written", RolledBack)]), kept);
        assert_eq!(chosen(&[("written", Live), ("one", Live), ("written", RolledBack)]), kept);
        assert_eq!(
            chosen(&[("one", Live), ("written", Refused), ("written", OnProbation)]),
            Choice::Beside(one)
        );
        let kept = Choice::Kept { good: one, verdict: Refused };
        assert_eq!(chosen(&[("one", Live), ("written", Refused)]), kept);
        assert_eq!(chosen(&[("written", Refused)]), Choice::Unhappy);
        assert_eq!(
            chosen(&[("one", Live), ("written", Refused), ("written", Live)]),
            Choice::Known
        );
        let others = [("one", Live), ("two", OnProbation), ("written", OnProbation)];
        let rolled_back = [("written", RolledBack), ("two", OnProbation)];
        let kept = Choice::Kept { good: two, verdict: RolledBack };
        assert_eq!(chosen(&[&others[..], &rolled_back].concat()), kept, "it ran last");
        let gone = [("two", RolledBack)];
        let kept = Choice::Kept { good: one, verdict: RolledBack };
        assert_eq!(chosen(&[&others[..], &rolled_back, &gone].concat()), kept);
    }
}
