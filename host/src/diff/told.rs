//! Differences in words: the same ones in the report of `pinhost diff` and in a line of a log.

use std::fmt::{self, Write as _};

use indicatif::HumanCount;

use super::{ColumnDiff, Diff, Example, Fate, FateDiff, TallyDiff};

/// Of each kind, in a line.
const SHOWN_MAX: usize = 5;

/// Of a value or of a reason, in a line.
const CHARS_MAX: usize = 40;

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row => f.write_str("row"),
            Self::Delete => f.write_str("delete"),
            Self::Dropped { step } => write!(f, "dropped by {step}"),
            Self::Rejected { step: Some(step), reason } => {
                write!(f, "rejected by {step}: {reason}")
            }
            Self::Rejected { step: None, reason } => write!(f, "rejected: {reason}"),
        }
    }
}

impl Diff {
    /// `3 of 10 rows change`
    pub fn rows_told(&self) -> String {
        let verb = if self.changed == 1 { "changes" } else { "change" };
        format!("{} of {} {verb}", HumanCount(self.changed), count(self.compared, "row"))
    }

    /// `; rows 10 → 9; dropped 0 → 1`
    pub fn ends_told(&self) -> String {
        let (old, new) = (self.old, self.new);
        let mut told = String::new();
        for (what, old, new) in [
            ("rows", old.rows, new.rows),
            ("deletes", old.deletes, new.deletes),
            ("dropped", old.dropped, new.dropped),
            ("dead letters", old.rejected, new.rejected),
        ] {
            if old != new {
                let _ = write!(told, "; {what} {} → {}", HumanCount(old), HumanCount(new));
            }
        }
        told
    }

    /// All of it in a line, with an example of what each column has.
    pub fn in_a_line(&self) -> String {
        if self.is_empty() {
            return "nothing differs".to_owned();
        }
        let mut told = vec![format!("{}{}", self.rows_told(), self.ends_told())];
        if self.reordered {
            told.push("the columns come in another order".to_owned());
        }
        let columns = self.columns.iter().filter(|column| !column.is_empty());
        told.extend(some(columns.map(ColumnDiff::in_a_line).collect(), "columns"));
        let mut fates: Vec<_> = self.fates.iter().collect();
        fates.sort_by_key(|fate| std::cmp::Reverse(fate.records));
        told.extend(some(fates.into_iter().map(FateDiff::in_a_line).collect(), "ends"));
        let tallies = self.tallies.iter().filter(|tally| tally.old != tally.new);
        told.extend(some(tallies.map(TallyDiff::in_a_line).collect(), "counts"));
        told.join("; ")
    }

    /// A record that comes to another end or becomes another row, and how, if examples are kept.
    pub fn example(&self) -> Option<(&str, String)> {
        let fate = self.fates.iter().find_map(|fate| {
            let example = fate.examples.first()?;
            Some((&*example.record, fate.told()))
        });
        fate.or_else(|| {
            self.columns.iter().find_map(|column| {
                let example = column.examples.first()?;
                Some((&*example.record, format!("{} {}", column.name, example.told())))
            })
        })
    }
}

/// `1 row`, `1,200 rows`
fn count(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", HumanCount(number))
}

/// No more than a line should have.
fn some(mut told: Vec<String>, what: &str) -> Vec<String> {
    let rest = told.len().saturating_sub(SHOWN_MAX);
    told.truncate(SHOWN_MAX);
    if rest > 0 {
        told.push(format!("and {rest} more {what}"));
    }
    told
}

impl ColumnDiff {
    /// What became of the column itself.
    pub fn standing(&self) -> String {
        match (self.old_type, self.new_type) {
            (None, Some(new)) => format!("new: {new}"),
            (Some(_), None) => "gone".to_owned(),
            (Some(old), Some(new)) if old != new => format!("{old} → {new}"),
            _ => String::new(),
        }
    }

    /// `title in 3 rows ("a" → null)`
    fn in_a_line(&self) -> String {
        let mut told = self.name.clone();
        let standing = self.standing();
        if !standing.is_empty() {
            let _ = write!(told, " {standing},");
        }
        let _ = write!(told, " in {}", count(self.rows(), "row"));
        if let Some(example) = self.examples.iter().max_by_key(|example| example.change) {
            let _ = write!(told, " ({})", example.told());
        }
        told
    }
}

impl Example {
    /// `"a" → null`
    fn told(&self) -> String {
        let (old, new) = focused(&self.old.to_string(), &self.new.to_string(), CHARS_MAX);
        format!("{old} → {new}")
    }
}

impl FateDiff {
    /// `row → dropped by tags`
    fn told(&self) -> String {
        let told = |fate: &Fate| cut(&fate.to_string(), 0, 2 * CHARS_MAX);
        format!("{} → {}", told(&self.old), told(&self.new))
    }

    fn in_a_line(&self) -> String {
        format!("{}: {}", count(self.records, "record"), self.told())
    }
}

impl TallyDiff {
    /// `tags: tags split 3,993 → 3,972`
    fn in_a_line(&self) -> String {
        let count = |count: Option<u64>| {
            count.map_or_else(|| "–".to_owned(), |count| HumanCount(count).to_string())
        };
        format!("{}: {} {} → {}", self.step, self.tally, count(self.old), count(self.new))
    }
}

/// Both as far as there is room, from where they begin to differ.
pub fn focused(old: &str, new: &str, chars_max: usize) -> (String, String) {
    /// That much of what is the same stays before it.
    const BEFORE: usize = 12;
    let longest = old.chars().count().max(new.chars().count());
    let same = old.chars().zip(new.chars()).take_while(|(old, new)| old == new).count();
    let from = match longest > chars_max && same + BEFORE > chars_max {
        true => same - BEFORE.min(same),
        false => 0,
    };
    (cut(old, from, chars_max), cut(new, from, chars_max))
}

/// So many characters from one of them on; `…` stands for what is left out.
pub fn cut(text: &str, from: usize, chars_max: usize) -> String {
    let count = text.chars().count();
    if from == 0 && count <= chars_max {
        return text.to_owned();
    }
    let before = if from > 0 { "…" } else { "" };
    let room = chars_max.saturating_sub(1 + before.len().min(1));
    let after = if count > from + room { "…" } else { "" };
    let shown: String = text.chars().skip(from).take(room).collect();
    format!("{before}{shown}{after}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diff::{Change, Ends, FateExample};
    use crate::record::Kind;
    use crate::record::json::JsonRow;

    #[test]
    fn long_texts_are_shown_where_they_differ() {
        let same = "x".repeat(60);
        assert_eq!(focused("a", "b", 10), ("a".to_owned(), "b".to_owned()));
        assert_eq!(
            focused(&format!("{same}old text that goes on"), &format!("{same}new"), 20),
            ("…xxxxxxxxxxxxold te…".to_owned(), "…xxxxxxxxxxxxnew".to_owned())
        );
        let (old, new) = focused(&format!("old{same}"), "new", 20);
        assert_eq!((old.chars().count(), new.as_str()), (20, "new"));
        let (old, new) = focused(&format!("ä{same}"), "", 20);
        assert_eq!((old.chars().count(), new.as_str()), (20, ""));
    }

    fn column(name: &str, kinds: [Option<Kind>; 2], values: [serde_json::Value; 2]) -> ColumnDiff {
        let [old, new] = values;
        let record = "7".to_owned();
        let change = Change::ValueToOther;
        let example = Example { change, record, key: JsonRow::default(), old, new };
        ColumnDiff {
            name: name.to_owned(),
            old_type: kinds[0],
            new_type: kinds[1],
            null_to_value: 0,
            value_to_null: 0,
            value_to_other: 1_200,
            examples: vec![example],
        }
    }

    #[test]
    fn what_differs_is_told_in_a_line() {
        assert_eq!(Diff::default().in_a_line(), "nothing differs");
        let text = Some(Kind::Text);
        let rejected = Fate::Rejected { step: Some("s".to_owned()), reason: "no".to_owned() };
        let example = FateExample { record: "9".to_owned(), key: JsonRow::default(), detail: None };
        let diff = Diff {
            records: 2_000,
            compared: 1_999,
            changed: 1_200,
            old: Ends { rows: 2_000, ..Ends::default() },
            new: Ends { rows: 1_999, rejected: 1, ..Ends::default() },
            columns: vec![
                column("title", [text, text], [json!("a"), json!(null)]),
                column("tags", [None, Some(Kind::TextList)], [json!(null), json!(["a"])]),
            ],
            fates: vec![FateDiff {
                old: Fate::Row,
                new: rejected,
                records: 1,
                examples: vec![example],
            }],
            tallies: vec![TallyDiff {
                step: "s".to_owned(),
                tally: "seen".to_owned(),
                old: None,
                new: Some(3),
            }],
            ..Diff::default()
        };
        assert_eq!(
            diff.in_a_line(),
            "1,200 of 1,999 rows change; rows 2,000 → 1,999; dead letters 0 → 1; title in 1,200 rows \
             (\"a\" → null); tags new: text-list, in 1,200 rows (null → [\"a\"]); 1 record: row → \
             rejected by s: no; s: seen – → 3"
        );
        assert_eq!(diff.example(), Some(("9", "row → rejected by s: no".to_owned())));
        let columns = Diff { fates: Vec::new(), ..diff };
        assert_eq!(columns.example(), Some(("7", "title \"a\" → null".to_owned())));
        let many = Diff { columns: vec![columns.columns[0].clone(); 7], ..Diff::default() };
        assert!(many.in_a_line().ends_with("; and 2 more columns"), "{}", many.in_a_line());
    }
}
