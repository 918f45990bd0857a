//! Merges the parts of a name, `Abigail` and `Ali`, into one text with blanks between them.
//!
//! Parts are trimmed; what is missing is left out with its blank.

use pinhost_plugin::kernels::trim;
use pinhost_plugin::{Batch, Finding, Plan, Plugin, Read, Tally, Text, Write};

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The text columns with the parts, in the order in which they stand in the name.
    #[serde(default = "first_and_last_name")]
    columns: Vec<String>,
    /// The column to write: text.
    #[serde(default = "user_name")]
    output: String,
}

fn first_and_last_name() -> Vec<String> {
    ["first_name", "last_name"].map(str::to_owned).into()
}

fn user_name() -> String {
    "user_name".to_owned()
}

#[derive(Debug)]
pub struct UserMerge {
    parts: Vec<Read<Text>>,
    name: Write<Text>,
    merged: Tally,
    left_out: Tally,
    no_name: Tally,
}

impl Plugin for UserMerge {
    type Config = Config;

    fn configure(config: Config, plan: &mut Plan) -> Result<Self, Finding> {
        if config.columns.is_empty() {
            return Err(Finding::new("/columns", "there are no columns to merge"));
        }
        let mut parts = vec![];
        for (at, column) in config.columns.iter().enumerate() {
            let pointer = format!("/columns/{at}");
            if config.columns[..at].contains(column) {
                plan.find(Finding::new(&pointer, format!("column `{column}` is named twice")));
            }
            parts.push(plan.read(&pointer, column));
        }
        Ok(Self {
            parts,
            name: plan.write("/output", &config.output),
            merged: plan.tally("names merged"),
            left_out: plan.tally("parts left out"),
            no_name: plan.tally("no name"),
        })
    }

    fn clean(&self, batch: &mut Batch<'_>) {
        let columns: Vec<_> = self.parts.iter().map(|part| batch.column(*part)).collect();
        batch.derive(self.parts[0], self.name, |_, row| {
            let index = row.index();
            let parts = columns.iter().filter_map(|column| column.get(index)).map(trim);
            // More than almost any name takes, so that it does not have to move.
            let mut name = String::with_capacity(64);
            let mut count = 0;
            for part in parts.filter(|part| !part.is_empty()) {
                if count > 0 {
                    name.push(' ');
                }
                name.push_str(part);
                count += 1;
            }
            row.tally(match count {
                0 => self.no_name,
                _ if count < columns.len() => self.left_out,
                _ => self.merged,
            });
            (count > 0).then_some(name)
        });
    }
}

pinhost_plugin::export!(UserMerge);

#[cfg(test)]
mod tests {
    use pinhost_plugin::testing::{Json, clean, findings, json};
    use proptest::prelude::*;

    use super::UserMerge;

    fn name(first: &Json, last: &Json) -> Json {
        let rows = json!([{"first_name": first, "last_name": last}]);
        clean::<UserMerge>(json!({}), rows).rows[0]["user_name"].clone()
    }

    #[test]
    fn one_blank_stands_between_parts() {
        for (first, last, expected) in [
            ("Abigail", "Ali", "Abigail Ali"),
            (" Abigail ", "\tAli\n", "Abigail Ali"),
            ("Abigail\u{a0}", "\u{2003}Ali", "Abigail Ali"),
            ("Mary  Ann", "de\u{a0}la Cruz", "Mary  Ann de\u{a0}la Cruz"),
            ("Zoë", "李", "Zoë 李"),
            ("null", "None", "null None"),
        ] {
            assert_eq!(name(&json!(first), &json!(last)), json!(expected));
        }
    }

    #[test]
    fn parts_that_are_missing_are_left_out() {
        for missing in [json!(null), json!(""), json!(" "), json!("\u{a0}\t")] {
            assert_eq!(name(&missing, &json!("Ali")), json!("Ali"));
            assert_eq!(name(&json!("Abigail "), &missing), json!("Abigail"));
            assert_eq!(name(&missing, &missing), json!(null));
        }
    }

    #[test]
    fn rows_are_counted() {
        let rows = json!([
            {"first_name": "Abigail", "last_name": "Ali"},
            {"first_name": "Abigail", "last_name": null},
            {"first_name": "", "last_name": "Ali"},
            {"first_name": "", "last_name": null},
        ]);
        let tallies = [("names merged", 1), ("parts left out", 2), ("no name", 1)];
        let tallies = tallies.map(|(name, count)| (name.to_owned(), count));
        assert_eq!(clean::<UserMerge>(json!({}), rows).tallies, tallies.into());
    }

    #[test]
    fn the_columns_can_be_others() {
        let config = json!({"columns": ["title", "name", "suffix"], "output": "name"});
        let got = clean::<UserMerge>(
            config,
            json!([
                {"title": "Dr", "name": "Ali", "suffix": "MD"},
                {"title": null, "name": "Ali", "suffix": "MD"},
                {"title": null, "name": "Ali", "suffix": null},
            ]),
        );
        assert_eq!(
            got.rows,
            json!([
                {"title": "Dr", "name": "Dr Ali MD", "suffix": "MD"},
                {"title": null, "name": "Ali MD", "suffix": "MD"},
                {"title": null, "name": "Ali", "suffix": null},
            ])
        );
    }

    #[test]
    fn columns_that_cannot_be_merged_are_found() {
        let found = |columns: Json| -> Vec<_> {
            let findings =
                findings::<UserMerge>(json!({"columns": columns}), json!([{"a": "x", "age": 3}]));
            findings.into_iter().map(|finding| (finding.pointer, finding.message)).collect()
        };
        let finding = |at: &str, message: &str| (at.to_owned(), message.to_owned());
        assert_eq!(found(json!([])), [finding("/columns", "there are no columns to merge")]);
        assert_eq!(
            found(json!(["a", "a", "age", "b"])),
            [
                finding("/columns/1", "column `a` is named twice"),
                finding("/columns/2", "column `age` is integer; this takes text"),
                finding("/columns/3", "there is no column `b`"),
            ]
        );
    }

    #[test]
    fn names_are_those_that_others_published() {
        let read = |lines: &str| -> Vec<Json> {
            lines.lines().map(|line| line.parse().expect("JSON")).collect()
        };
        let records = read(include_str!("../../../tests/data/published/user.ndjson"));
        let published = read(include_str!("../../../tests/data/published/user_cleaned.ndjson"));
        let cleaned = clean::<UserMerge>(json!({}), json!(records)).rows;
        let mine = cleaned.as_array().unwrap().iter().map(|row| (&row["ind"], &row["user_name"]));
        let theirs = published.iter().map(|row| (&row["ind"], &row["expected"]["user_name"]));
        assert_eq!(mine.collect::<Vec<_>>(), theirs.collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn a_name_is_its_parts(parts in prop::collection::vec(prop::option::of("[ a\u{a0}é]{0,4}"), 1..5)) {
            let columns: Vec<String> = (0..parts.len()).map(|at| format!("part {at}")).collect();
            let row: Json = columns.iter().cloned().zip(parts.iter().map(|part| json!(part))).collect();
            let got = clean::<UserMerge>(json!({"columns": columns}), json!([row]));
            let there: Vec<&str> =
                parts.iter().flatten().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
            let expected = if there.is_empty() { json!(null) } else { json!(there.join(" ")) };
            prop_assert_eq!(&got.rows[0]["user_name"], &expected);
        }
    }
}
