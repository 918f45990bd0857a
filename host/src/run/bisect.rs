//! Whose fault it is that a batch failed: found by calling again with parts of it. A pure decision; the
//! calls are made by the caller.

use std::ops::Range;

/// What is called with parts of a batch that failed as a whole, twice.
pub(super) trait Attempts {
    type Answer;
    type Failure;

    /// Runs some rows together. A failure says only that the search goes on.
    fn together(&mut self, rows: Range<usize>) -> Result<Self::Answer, Self::Failure>;

    /// Runs one row alone.
    fn alone(&mut self, row: usize) -> Result<Self::Answer, Alone<Self::Failure>>;

    /// Whether the search has taken so long that it is given up.
    fn is_spent(&self) -> bool;
}

/// Why a row alone has no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Alone<F> {
    /// The failure is the row's own.
    Guilty(F),
    /// There was no verdict: the search cannot go on.
    Unjudged(F),
}

/// A part of the batch of which is known what becomes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<A, F> {
    Fine(Range<usize>, A),
    Guilty(usize, F),
}

/// All parts of a batch, in order.
pub(super) type Parts<T> = Vec<Part<<T as Attempts>::Answer, <T as Attempts>::Failure>>;

/// The search was given up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GivenUp<F> {
    /// More rows than allowed are guilty; the failure of the last.
    TooMany(F),
    /// It took too long.
    Spent,
    /// A row could not be judged.
    Unjudged(F),
}

/// Splits a batch of `rows` rows, which failed as a whole, until every part is fine or a single guilty
/// row. The parts come in order and cover the batch.
pub(super) fn bisect<T: Attempts>(
    attempts: &mut T,
    rows: usize,
    guilty_max: usize,
) -> Result<Parts<T>, GivenUp<T::Failure>> {
    let mut parts = Vec::new();
    let mut guilty = 0;
    // What is still to be looked at, the next one last.
    let mut ahead = Vec::new();
    let split = |range: Range<usize>, ahead: &mut Vec<_>| {
        let middle = range.start + range.len() / 2;
        ahead.extend([middle..range.end, range.start..middle]);
    };
    if rows == 1 {
        ahead.push(0..1);
    } else {
        split(0..rows, &mut ahead);
    }
    while let Some(range) = ahead.pop() {
        if attempts.is_spent() {
            return Err(GivenUp::Spent);
        }
        if range.len() > 1 {
            match attempts.together(range.clone()) {
                Ok(answer) => parts.push(Part::Fine(range, answer)),
                Err(_) => split(range, &mut ahead),
            }
            continue;
        }
        match attempts.alone(range.start) {
            Ok(answer) => parts.push(Part::Fine(range, answer)),
            Err(Alone::Guilty(failure)) if guilty == guilty_max => {
                return Err(GivenUp::TooMany(failure));
            }
            Err(Alone::Guilty(failure)) => {
                guilty += 1;
                parts.push(Part::Guilty(range.start, failure));
            }
            Err(Alone::Unjudged(failure)) => return Err(GivenUp::Unjudged(failure)),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Fails where a poisoned row is among the rows; a flaky one fails only together with others.
    struct Scripted {
        poisoned: BTreeSet<usize>,
        flaky: BTreeSet<usize>,
        unjudged: BTreeSet<usize>,
        calls: usize,
        calls_max: usize,
    }

    impl Attempts for Scripted {
        type Answer = Vec<usize>;
        type Failure = &'static str;

        fn together(&mut self, rows: Range<usize>) -> Result<Vec<usize>, &'static str> {
            assert!(rows.len() > 1, "a single row is judged alone");
            self.calls += 1;
            let fails =
                rows.clone().any(|row| self.poisoned.contains(&row) || self.flaky.contains(&row));
            if fails { Err("together") } else { Ok(rows.collect()) }
        }

        fn alone(&mut self, row: usize) -> Result<Vec<usize>, Alone<&'static str>> {
            self.calls += 1;
            if self.unjudged.contains(&row) {
                return Err(Alone::Unjudged("no instance"));
            }
            if self.poisoned.contains(&row) { Err(Alone::Guilty("alone")) } else { Ok(vec![row]) }
        }

        fn is_spent(&self) -> bool {
            self.calls >= self.calls_max
        }
    }

    fn scripted(poisoned: &[usize]) -> Scripted {
        let poisoned = poisoned.iter().copied().collect();
        Scripted {
            poisoned,
            flaky: BTreeSet::new(),
            unjudged: BTreeSet::new(),
            calls: 0,
            calls_max: usize::MAX,
        }
    }

    #[test]
    fn one_guilty_row_of_1024_is_found_in_few_calls() {
        let mut attempts = scripted(&[700]);
        let parts = bisect(&mut attempts, 1024, 10).unwrap();
        assert!(parts.contains(&Part::Guilty(700, "alone")));
        assert!(attempts.calls <= 20, "{}", attempts.calls);
    }

    #[test]
    fn a_single_row_is_judged_alone_at_once() {
        assert_eq!(bisect(&mut scripted(&[0]), 1, 1), Ok(vec![Part::Guilty(0, "alone")]));
        assert_eq!(bisect(&mut scripted(&[]), 1, 1), Ok(vec![Part::Fine(0..1, vec![0])]));
    }

    #[test]
    fn more_guilty_rows_than_allowed_end_the_search() {
        let gave_up = bisect(&mut scripted(&[1, 3, 5]), 8, 2);
        assert_eq!(gave_up, Err(GivenUp::TooMany("alone")));
    }

    #[test]
    fn a_row_that_cannot_be_judged_ends_the_search_and_is_not_guilty() {
        let mut attempts = scripted(&[5]);
        attempts.unjudged = [5].into();
        assert_eq!(bisect(&mut attempts, 8, 2), Err(GivenUp::Unjudged("no instance")));
    }

    #[test]
    fn a_search_that_takes_too_long_ends() {
        let mut attempts = scripted(&[5]);
        attempts.calls_max = 3;
        assert_eq!(bisect(&mut attempts, 1024, 10), Err(GivenUp::Spent));
        assert_eq!(attempts.calls, 3);
    }

    proptest! {
        #[test]
        fn exactly_the_guilty_rows_are_found_and_all_others_are_fine_once_and_in_order(
            rows in 1_usize..200,
            poisoned in prop::collection::btree_set(0_usize..200, 0..20),
            flaky in prop::collection::btree_set(0_usize..200, 0..20),
        ) {
            let mut attempts = scripted(&[]);
            attempts.poisoned = poisoned.iter().copied().filter(|row| *row < rows).collect();
            attempts.flaky = flaky;
            let parts = bisect(&mut attempts, rows, usize::MAX).unwrap();
            let mut seen = Vec::new();
            for part in parts {
                match part {
                    Part::Fine(range, answer) => {
                        prop_assert_eq!(&answer, &range.collect::<Vec<_>>());
                        prop_assert!(answer.iter().all(|row| !attempts.poisoned.contains(row)));
                        seen.extend(answer);
                    }
                    Part::Guilty(row, _) => {
                        prop_assert!(attempts.poisoned.contains(&row));
                        seen.push(row);
                    }
                }
            }
            prop_assert_eq!(seen, (0..rows).collect::<Vec<_>>());
        }
    }
}
