//! Tidies texts in the ways that are asked for, and in no other.
//!
//! Entities are decoded first, as they may stand for what the other ways tidy.

mod tidy;

use pinhost_plugin::kernels::trim;
use pinhost_plugin::{Batch, Edit, Edits, Finding, Plan, Plugin, Row, Tally, Text};

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The text columns to tidy.
    columns: Vec<String>,
    /// Puts the character in the place of an entity of HTML: `&amp;`, `&#33;`, `&#x21;`. It has to be
    /// complete, from `&` to `;`, and is decoded once.
    #[serde(default)]
    entities: bool,
    /// Takes control characters out. Tabs and line breaks, which hold words apart, stay.
    #[serde(default)]
    controls: bool,
    /// Puts a plain blank in the place of each no-break space, tab, or other blank that is no line
    /// break.
    #[serde(default)]
    blanks: bool,
    /// Composes characters, an `e` with an accent after it to one `é`: the form NFC of Unicode.
    #[serde(default)]
    nfc: bool,
    /// Takes blanks and line breaks off both ends.
    #[serde(default)]
    trim: bool,
}

#[derive(Debug)]
pub struct TextTidy {
    columns: Vec<Edits<Text>>,
    ways: Vec<(Way, Tally)>,
    trimmed: Option<Tally>,
}

/// What a text becomes, if it becomes another one.
type Way = fn(&str) -> Option<String>;

impl Plugin for TextTidy {
    type Config = Config;

    fn configure(config: Config, plan: &mut Plan) -> Result<Self, Finding> {
        if config.columns.is_empty() {
            return Err(Finding::new("/columns", "there are no columns to tidy"));
        }
        let ways: [(bool, Way, &str); 4] = [
            (config.entities, tidy::decode_entities, "entities decoded"),
            (config.controls, tidy::remove_controls, "control characters removed"),
            (config.blanks, tidy::plain_blanks, "blanks made plain"),
            (config.nfc, tidy::compose, "characters composed"),
        ];
        let ways = ways.into_iter().filter(|(wanted, ..)| *wanted);
        let tidy = Self {
            ways: ways.map(|(_, way, tally)| (way, plan.tally(tally))).collect(),
            trimmed: config.trim.then(|| plan.tally("texts trimmed")),
            columns: config
                .columns
                .iter()
                .enumerate()
                .map(|(at, column)| plan.edit(&format!("/columns/{at}"), column))
                .collect(),
        };
        if tidy.ways.is_empty() && tidy.trimmed.is_none() {
            return Err(Finding::new("", "there is nothing to tidy")
                .help("ask for one of `entities`, `controls`, `blanks`, `nfc`, `trim`"));
        }
        Ok(tidy)
    }

    fn clean(&self, batch: &mut Batch<'_>) {
        for column in &self.columns {
            batch.edit(*column, |text, row| self.tidy(text, row));
        }
    }
}

impl TextTidy {
    fn tidy<'a>(&self, text: &'a str, row: &mut Row<'_>) -> Edit<'a> {
        if tidy::is_plain(text) {
            return Edit::Slice(self.trim(text, row));
        }
        let mut other: Option<String> = None;
        for (way, tally) in &self.ways {
            if let Some(tidied) = way(other.as_deref().unwrap_or(text)) {
                row.tally(*tally);
                other = Some(tidied);
            }
        }
        match other {
            None => Edit::Slice(self.trim(text, row)),
            Some(other) => Edit::Text(self.trim(&other, row).to_owned()),
        }
    }

    fn trim<'t>(&self, text: &'t str, row: &mut Row<'_>) -> &'t str {
        let Some(tally) = self.trimmed else {
            return text;
        };
        let trimmed = trim(text);
        if trimmed.len() < text.len() {
            row.tally(tally);
        }
        trimmed
    }
}

pinhost_plugin::export!(TextTidy);

#[cfg(test)]
mod tests {
    use pinhost_plugin::testing::{Json, clean, findings, json};
    use proptest::prelude::*;

    use super::TextTidy;

    const WAYS: [&str; 5] = ["entities", "controls", "blanks", "nfc", "trim"];

    fn tidy(ways: &[&str], text: &str) -> String {
        let mut config = json!({"columns": ["text"]});
        for way in ways {
            config[way] = json!(true);
        }
        let got = clean::<TextTidy>(config, json!([{"text": text}, {"text": null}]));
        assert_eq!(got.rows[1]["text"], json!(null));
        got.rows[0]["text"].as_str().expect("no text becomes null").to_owned()
    }

    #[test]
    fn each_way_does_one_thing() {
        let text = " Cafe\u{301}\u{1}&amp;bar\u{a0}";
        for (way, expected) in [
            ("entities", " Cafe\u{301}\u{1}&bar\u{a0}"),
            ("controls", " Cafe\u{301}&amp;bar\u{a0}"),
            ("blanks", " Cafe\u{301}\u{1}&amp;bar "),
            ("nfc", " Café\u{1}&amp;bar\u{a0}"),
            ("trim", "Cafe\u{301}\u{1}&amp;bar"),
        ] {
            assert_eq!(tidy(&[way], text), expected, "{way}");
        }
        assert_eq!(tidy(&WAYS, text), "Café&bar");
    }

    #[test]
    fn what_entities_stand_for_is_tidied_too() {
        assert_eq!(tidy(&WAYS, "a&nbsp;b&#1;&#x301;&nbsp;"), "a b\u{301}");
        assert_eq!(tidy(&WAYS, "e&#x301;"), "é");
        assert_eq!(tidy(&WAYS, "&amp;nbsp;"), "&nbsp;");
        assert_eq!(tidy(&WAYS, "\u{a0}"), "");
    }

    #[test]
    fn rows_are_counted_for_each_way() {
        let config = json!({"columns": ["a", "b"], "entities": true, "blanks": true, "trim": true});
        let got = clean::<TextTidy>(
            config,
            json!([
                {"a": "x\u{a0}y", "b": "x\u{a0}", "c": "\u{a0}"},
                {"a": "x y", "b": "&lt;", "c": "&lt;"},
            ]),
        );
        assert_eq!(
            got.rows,
            json!([{"a": "x y", "b": "x", "c": "\u{a0}"}, {"a": "x y", "b": "<", "c": "&lt;"}])
        );
        let tallies = [("blanks made plain", 1), ("entities decoded", 1), ("texts trimmed", 1)];
        assert_eq!(got.tallies, tallies.map(|(name, count)| (name.to_owned(), count)).into());
    }

    #[test]
    fn nothing_to_tidy_is_found() {
        let found = |config: Json| -> Vec<_> {
            let findings = findings::<TextTidy>(config, json!([{"a": "x", "n": 1}]));
            findings.into_iter().map(|finding| (finding.pointer, finding.message)).collect()
        };
        let finding = |at: &str, message: &str| (at.to_owned(), message.to_owned());
        assert_eq!(
            found(json!({"columns": [], "nfc": true})),
            [finding("/columns", "there are no columns to tidy")]
        );
        assert_eq!(found(json!({"columns": ["a"]})), [finding("", "there is nothing to tidy")]);
        assert_eq!(
            found(json!({"columns": ["a", "n", "a"], "nfc": true})),
            [
                finding("/columns/1", "column `n` is integer; this takes text"),
                finding("/columns/2", "column `a` is written twice"),
            ]
        );
    }

    proptest! {
        #[test]
        fn tidied_texts_are_tidy(
            text in "([a-z]|[ \t\r\n\u{b}\u{85}\u{a0}\u{2003}\u{2028}\u{3000}]|\\p{Cc}|[e\u{301}\u{344}가\u{212b}]|\\PC){0,20}",
        ) {
            // Entities are decoded once: twice would decode what they stand for.
            let ways = &WAYS[1..];
            let tidied = tidy(ways, &text);
            prop_assert_eq!(&tidy(ways, &tidied), &tidied);
            for way in ways {
                prop_assert_eq!(&tidy(&[way], &tidied), &tidied);
            }
        }

        #[test]
        fn plain_texts_stay(text in "[ -%'-~À-ɏ]{0,20}") {
            prop_assert_eq!(tidy(&WAYS[..4], &text), text);
        }
    }
}
