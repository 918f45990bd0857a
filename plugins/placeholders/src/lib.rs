//! Puts nulls in the place of texts that stand for no value, such as `No Title Data Available`.
//!
//! A value has to be the placeholder, not contain it: a description that speaks of it stays.

use std::collections::BTreeMap;

use pinhost_plugin::kernels::OneOf;
use pinhost_plugin::{Batch, ColumnType, Edit, Edits, Finding, Plan, Plugin, Tally, Text, pointer};

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// For each column, the texts that stand for no value in it, to the letter. Without this, those
    /// of pin records, in such of their columns as there are.
    columns: Option<BTreeMap<String, Vec<String>>>,
    /// Whether an empty text in these columns stands for no value either.
    #[serde(default = "yes")]
    empty: bool,
}

fn yes() -> bool {
    true
}

/// What the scraper of pin records writes when it finds nothing. `N,o, ,T` is no slip of ours: it
/// joins the letters of `No Tags Available` with commas, as it does with tags.
const PIN_RECORDS: [(&str, &[&str]); 6] = [
    ("title", &["No Title Data Available"]),
    ("description", &["No description available Story format", "No description available"]),
    ("poster_name", &["User Info Error"]),
    ("follower_count", &["User Info Error"]),
    ("tag_list", &["N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e"]),
    ("image_src", &["Image src error."]),
];

#[derive(Debug)]
pub struct Placeholders {
    columns: Vec<(Edits<Text>, OneOf, Tally)>,
}

impl Plugin for Placeholders {
    type Config = Config;

    fn configure(config: Config, plan: &mut Plan) -> Result<Self, Finding> {
        let columns = match config.columns {
            Some(columns) => columns,
            None => {
                let exist = |name| plan.kind_of(name) == Some(ColumnType::Text);
                let columns = PIN_RECORDS.iter().filter(|(name, _)| exist(name));
                columns
                    .map(|(name, texts)| {
                        ((*name).to_owned(), texts.iter().map(|&text| text.to_owned()).collect())
                    })
                    .collect()
            }
        };
        if columns.is_empty() {
            return Err(Finding::new("", "there is no column to look for placeholders in")
                .help("name columns and their placeholders under `columns`"));
        }
        let column = |(name, texts): (String, Vec<String>)| {
            let empty = config.empty.then(String::new);
            (
                plan.edit(&pointer(["columns", &name]), &name),
                OneOf::new(texts.into_iter().chain(empty)),
                plan.tally(format!("{name}: placeholder replaced")),
            )
        };
        Ok(Self { columns: columns.into_iter().map(column).collect() })
    }

    fn clean(&self, batch: &mut Batch<'_>) {
        for (column, placeholders, replaced) in &self.columns {
            batch.edit(*column, |value, row| {
                if placeholders.contains(value) {
                    row.tally(*replaced);
                    Edit::Null
                } else {
                    Edit::Keep
                }
            });
        }
    }
}

pinhost_plugin::export!(Placeholders);

#[cfg(test)]
mod tests {
    use pinhost_plugin::testing::{clean, findings, json};

    use super::*;

    #[test]
    fn the_placeholders_of_pin_records_need_no_configuration() {
        let columns: Vec<&str> = PIN_RECORDS.iter().map(|(name, _)| *name).collect();
        for (name, texts) in PIN_RECORDS {
            for text in texts.iter().chain(&[""]) {
                let mut row = json!({"index": 1, "category": "No Title Data Available"});
                for name in &columns {
                    row[name] = json!("Untitled");
                }
                row[name] = json!(text);
                let mut expected = row.clone();
                expected[name] = json!(null);
                let got = clean::<Placeholders>(json!({}), json!([row]));
                assert_eq!(got.rows, json!([expected]));
                assert_eq!(got.tallies[&format!("{name}: placeholder replaced")], 1);
            }
        }
    }

    #[test]
    fn only_the_whole_text_is_a_placeholder() {
        let rows = json!([
            {"image_src": "Image src error", "title": "No Title Data Available "},
            {"image_src": " ", "title": "User Info Error"},
            {"image_src": null, "title": "no title data available"},
        ]);
        assert_eq!(clean::<Placeholders>(json!({}), rows.clone()).rows, rows);
    }

    #[test]
    fn placeholders_and_columns_can_be_others() {
        let config = json!({"columns": {"title": ["Untitled", "n/a"]}, "empty": false});
        let got = clean::<Placeholders>(
            config,
            json!([{"title": "n/a"}, {"title": "Untitled"}, {"title": ""}, {"title": "No Title Data Available"}]),
        );
        let rows = json!([{"title": null}, {"title": null}, {"title": ""}, {"title": "No Title Data Available"}]);
        assert_eq!(got.rows, rows);
        assert_eq!(got.tallies["title: placeholder replaced"], 2);
    }

    #[test]
    fn a_column_has_to_exist_and_be_text_if_it_is_named() {
        let config = json!({"columns": {"a/b": ["-"], "index": ["-"]}});
        let found = findings::<Placeholders>(config, json!([{"index": 1, "title": "x"}]));
        let found: Vec<_> = found.iter().map(|f| (&*f.pointer, &*f.message)).collect();
        assert_eq!(
            found,
            [
                ("/columns/a~1b", "there is no column `a/b`"),
                ("/columns/index", "column `index` is integer; this takes text"),
            ]
        );
        let found = findings::<Placeholders>(json!({}), json!([{"title": 1}]));
        assert_eq!(found[0].message, "there is no column to look for placeholders in");
    }
}
