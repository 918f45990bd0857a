//! Takes a prefix off the values of a text column.

use pinhost_plugin::{Batch, Edit, Edits, Finding, Plan, Plugin, Tally, Text, kernels};

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The column to clean.
    column: String,
    /// What to take off, once. Values without it stay as they are.
    prefix: String,
}

#[derive(Debug)]
pub struct StripPrefix {
    column: Edits<Text>,
    stripped: Tally,
    prefix: String,
}

impl Plugin for StripPrefix {
    type Config = Config;

    fn configure(config: Config, plan: &mut Plan) -> Result<Self, Finding> {
        Ok(Self {
            column: plan.edit("/column", &config.column),
            stripped: plan.tally("prefixes stripped"),
            prefix: config.prefix,
        })
    }

    fn clean(&self, batch: &mut Batch<'_>) {
        batch.edit(self.column, |value, row| match kernels::strip_prefix(value, &self.prefix) {
            Some(rest) => {
                row.tally(self.stripped);
                Edit::Slice(rest)
            }
            None => Edit::Keep,
        });
    }
}

pinhost_plugin::export!(StripPrefix);

#[cfg(test)]
mod tests {
    use pinhost_plugin::testing::{clean, findings, json};

    use super::StripPrefix;

    #[test]
    fn a_prefix_goes_once() {
        let got = clean::<StripPrefix>(
            json!({"column": "path", "prefix": "a/"}),
            json!([{"path": "a/b"}, {"path": "a/a/"}, {"path": "a/"}, {"path": "b/a/"}, {"path": null}]),
        );
        let rows =
            json!([{"path": "b"}, {"path": "a/"}, {"path": ""}, {"path": "b/a/"}, {"path": null}]);
        assert_eq!(got.rows, rows);
        assert_eq!(got.tallies["prefixes stripped"], 3);
    }

    #[test]
    fn a_column_that_is_misspelt_is_found() {
        let config = json!({"column": "paht", "prefix": "a/"});
        let findings = findings::<StripPrefix>(config, json!([{"path": "a/b"}]));
        assert_eq!(findings[0].pointer, "/column");
        assert_eq!(findings[0].help.as_deref(), Some("did you mean `path`?"));
    }
}
