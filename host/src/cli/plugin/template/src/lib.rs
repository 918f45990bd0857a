//! Writes a text column in capitals. Replace this by a rule of your own.

use pinhost_plugin::{Batch, Edit, Edits, Finding, Plan, Plugin, Stop, Tally, Text};

/// What a rule says below `with:`. These comments are what `pinhost plugin inspect` shows.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The text column to write in capitals.
    column: String,
    /// Texts of more characters than this are rejected: their rows go to the dead letters.
    #[serde(default = "default_longest")]
    longest: usize,
}

fn default_longest() -> usize {
    1_000
}

/// A configured plugin: what `clean` needs to know, and handles for the columns it works on.
#[derive(Debug)]
pub struct MyPlugin {
    column: Edits<Text>,
    changed: Tally,
    longest: usize,
}

impl Plugin for MyPlugin {
    type Config = Config;

    /// Runs once, before the first row. All that can be checked is checked here; `plan` does it for
    /// columns: whether they exist, and have the right kind. `/column` is where in the configuration
    /// the mistake would be.
    fn configure(config: Config, plan: &mut Plan) -> Result<Self, Finding> {
        if config.longest == 0 {
            return Err(Finding::new("/longest", "no text is that short").help("at least 1"));
        }
        Ok(Self {
            column: plan.edit("/column", &config.column),
            changed: plan.tally("texts changed"),
            longest: config.longest,
        })
    }

    /// Runs for batch after batch. What becomes of a row depends on that row alone: pinhost cuts
    /// batches as it likes. Nulls are skipped and stay null.
    fn clean(&self, batch: &mut Batch<'_>) {
        batch.edit(self.column, |text, row| {
            if text.chars().count() > self.longest {
                return Err(Stop::reject("text is too long"));
            }
            if text.chars().all(|char| !char.is_lowercase()) {
                // Costs nothing: on clean data most values are as they should be.
                return Ok(Edit::Keep);
            }
            row.tally(self.changed);
            Ok(Edit::Text(text.to_uppercase()))
        });
    }
}

pinhost_plugin::export!(MyPlugin);

#[cfg(test)]
mod tests {
    use pinhost_plugin::testing::{clean, findings, json};

    use super::MyPlugin;

    // Without the sandbox, for `cargo test`. What a rule's users should know stands in `cases`.
    #[test]
    fn texts_are_written_in_capitals() {
        let rows = json!([{"title": "oak"}, {"title": null}, {"title": "OAK"}]);
        let got = clean::<MyPlugin>(json!({"column": "title"}), rows);
        assert_eq!(got.rows[0]["title"], "OAK");
        assert_eq!(got.tallies["texts changed"], 1);
    }

    #[test]
    fn a_column_that_is_not_there_is_found_before_the_first_row() {
        let rows = json!([{"title": "oak"}]);
        let found = findings::<MyPlugin>(json!({"column": "titel"}), rows);
        assert_eq!(found[0].pointer, "/column");
    }
}
