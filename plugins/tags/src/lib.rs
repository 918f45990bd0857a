//! Turns a text of tags with commas between them, `Art,Oil Painting`, into a list.
//!
//! Each tag is trimmed and loses one leading `#`; empty tags and repeats go. All else, and the order,
//! stays. A text with no tag in it becomes null.
//!
//! A text that went through a join by mistake has a comma between any two characters:
//! `N,o, ,T,a,g,s`. That is undone first. It is told from a list by its form alone: a comma stands in
//! every second place, and at least five characters that are no commas in the others. A list of five
//! or more tags with one character each has that form too, but hardly exists; where it does,
//! `repair: false` keeps it. Anything shorter, as `a,b`, is a list.

use pinhost_plugin::kernels::trim;
use pinhost_plugin::{
    Batch, Edits, Finding, List, Pieces, Plan, Plugin, Read, Row, Tally, Text, TextList, Write,
};

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The text column with the tags.
    column: String,
    /// What the column becomes.
    #[serde(default, rename = "as")]
    form: Form,
    /// Whether to undo a comma between any two characters.
    #[serde(default = "yes")]
    repair: bool,
}

#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Form {
    /// A list of texts.
    #[default]
    List,
    /// A text with commas between the tags, as it was.
    Text,
}

fn yes() -> bool {
    true
}

#[derive(Debug)]
pub struct Tags {
    target: Target,
    repair: bool,
    repaired: Tally,
    repeats: Tally,
    hashes: Tally,
}

#[derive(Debug)]
enum Target {
    List(Read<Text>, Write<TextList>),
    Text(Edits<Text>),
}

impl Plugin for Tags {
    type Config = Config;

    fn configure(config: Config, plan: &mut Plan) -> Result<Self, Finding> {
        let (pointer, column) = ("/column", &config.column);
        Ok(Self {
            target: match config.form {
                Form::List => Target::List(plan.read(pointer, column), plan.write(pointer, column)),
                Form::Text => Target::Text(plan.edit(pointer, column)),
            },
            repair: config.repair,
            repaired: plan.tally("tag lists repaired"),
            repeats: plan.tally("repeats dropped"),
            hashes: plan.tally("hashes stripped"),
        })
    }

    fn clean(&self, batch: &mut Batch<'_>) {
        match self.target {
            Target::List(text, list) => {
                batch.split(text, list, b',', |pieces, tags, row| {
                    self.row(pieces, tags, row);
                });
            }
            Target::Text(text) => {
                batch.split_and_join(text, b',', |pieces, tags, row| self.row(pieces, tags, row));
            }
        }
    }
}

impl Tags {
    // Inlined into both of the loops above, by force, as a call for each tag is a fifth of the time.
    #[inline(always)]
    fn row(&self, pieces: Pieces<'_, '_>, tags: &mut List<'_>, row: &mut Row<'_>) {
        match unjoined(pieces.text()).filter(|_| self.repair) {
            Some(text) => self.repaired(&text, tags, row),
            None => {
                for piece in pieces {
                    self.tag(piece, tags, row);
                }
            }
        }
        if tags.is_empty() {
            tags.set_null();
        }
    }

    #[inline(always)]
    fn tag(&self, piece: &str, tags: &mut List<'_>, row: &mut Row<'_>) {
        let mut tag = trim(piece);
        if let Some(rest) = tag.strip_prefix('#') {
            row.tally(self.hashes);
            tag = rest.trim_start();
        }
        if !tag.is_empty() && !tags.push_new(tag) {
            row.tally(self.repeats);
        }
    }

    #[cold]
    fn repaired(&self, text: &str, tags: &mut List<'_>, row: &mut Row<'_>) {
        row.tally(self.repaired);
        for piece in text.split(',') {
            self.tag(piece, tags, row);
        }
    }
}

/// The text before it was joined, if it was.
#[inline]
fn unjoined(text: &str) -> Option<String> {
    if text.chars().nth(1) == Some(',') { look(text) } else { None }
}

#[cold]
fn look(text: &str) -> Option<String> {
    let joined = text.chars().skip(1).step_by(2).all(|comma| comma == ',');
    let characters = text.chars().step_by(2);
    let ends = text.chars().count() % 2 == 1;
    let enough = characters.clone().filter(|&character| character != ',').count() >= 5;
    (joined && ends && enough).then(|| characters.collect())
}

pinhost_plugin::export!(Tags);

#[cfg(test)]
mod tests {
    use pinhost_plugin::testing::{Cleaning, Json, clean, json};
    use proptest::prelude::*;

    use super::{Tags, unjoined};

    fn tags(texts: &[&str]) -> Cleaning {
        let rows: Vec<Json> = texts.iter().map(|text| json!({"tags": text})).collect();
        clean::<Tags>(json!({"column": "tags"}), json!(rows))
    }

    #[test]
    fn tags_are_trimmed_and_told_apart() {
        for (text, expected) in [
            ("Art,Oil Painting", json!(["Art", "Oil Painting"])),
            (" Art , #Oil Painting,,Art", json!(["Art", "Oil Painting"])),
            ("#a,a,# a,##a", json!(["a", "#a"])),
            ("Art,art,Wörter Tattoos ,…", json!(["Art", "art", "Wörter Tattoos", "…"])),
            ("a#b,C#", json!(["a#b", "C#"])),
            ("a,b", json!(["a", "b"])),
            ("a, ,b", json!(["a", "b"])),
            ("", json!(null)),
            (", ,#,", json!(null)),
        ] {
            assert_eq!(tags(&[text]).rows, json!([{"tags": expected}]), "{text:?}");
        }
    }

    #[test]
    fn rows_are_counted() {
        let got = tags(&["a,a,b,b", "#a,#b", "#a,a", "a,b", "N,o, ,T,a,g"]);
        assert_eq!(
            got.tallies,
            [
                ("hashes stripped".to_owned(), 2),
                ("repeats dropped".to_owned(), 2),
                ("tag lists repaired".to_owned(), 1),
            ]
            .into()
        );
    }

    #[test]
    fn a_comma_between_any_two_characters_is_undone() {
        for (text, expected) in [
            ("N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e", json!(["No Tags Available"])),
            ("T,é,g,ł,😀", json!(["Tégł😀"])),
            ("a,r,t,,,o,a,k", json!(["art", "oak"])),
            ("#,a,r,t,y", json!(["arty"])),
            ("a,b,a,c", json!(["a", "b", "c"])),
            ("a,b,c,d,ef", json!(["a", "b", "c", "d", "ef"])),
            ("a,b,c,d,e,", json!(["a", "b", "c", "d", "e"])),
            (",,,,,,,,,", json!(null)),
        ] {
            // Beside a list without that fault, as pieces and texts of its own meet in a column.
            let got = tags(&["Oak,Elm", text]);
            assert_eq!(got.rows, json!([{"tags": ["Oak", "Elm"]}, {"tags": expected}]), "{text:?}");
        }
        let config = json!({"column": "tags", "repair": false});
        let got = clean::<Tags>(config, json!([{"tags": "a,b,c,d,e"}]));
        assert_eq!(got.rows, json!([{"tags": ["a", "b", "c", "d", "e"]}]));
    }

    #[test]
    fn tags_can_stay_a_text() {
        for (text, expected) in [
            ("Art,Oil Painting", json!("Art,Oil Painting")),
            (" Art ,#Oil,Art", json!("Art,Oil")),
            ("H,e,l,l,o", json!("Hello")),
            ("Art,Oil,", json!("Art,Oil")),
            (",", json!(null)),
            ("", json!(null)),
        ] {
            let config = json!({"column": "tags", "as": "text"});
            let got = clean::<Tags>(config, json!([{"tags": text}, {"tags": null}]));
            assert_eq!(got.rows, json!([{"tags": expected}, {"tags": null}]), "{text:?}");
        }
    }

    fn naive(text: &str) -> Json {
        let mut tags: Vec<&str> = vec![];
        for tag in text.split(',') {
            let tag = tag.trim();
            let tag = tag.strip_prefix('#').unwrap_or(tag).trim();
            if !tag.is_empty() && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        if tags.is_empty() { json!(null) } else { json!(tags) }
    }

    proptest! {
        #[test]
        fn it_does_as_the_plain_way_does(texts in prop::collection::vec("[a-cé# ,]{0,12}", 1..20)) {
            let expected: Vec<Json> = texts
                .iter()
                .map(|text| json!({"tags": naive(&unjoined(text).unwrap_or(text.clone()))}))
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            prop_assert_eq!(tags(&texts).rows, json!(expected));
        }

        #[test]
        fn any_joined_text_is_undone(text in "[^,]{5,30}") {
            let joined: Vec<String> = text.chars().map(String::from).collect();
            prop_assert_eq!(unjoined(&joined.join(",")), Some(text));
        }
    }
}
