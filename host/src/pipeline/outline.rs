//! Describes a rule to people. It works on the resolved rule, since nobody has the text of a rule that
//! came out of a sink.

use std::fmt::Write as _;

use super::surroundings;
use super::{Rule, RuleStep};
use crate::decode::{DeclaredField, Origin};
use crate::record::Field;

impl Rule {
    /// Fields, steps with their plugins, and output.
    pub fn outline(&self) -> String {
        let mut outline = String::from("fields\n");
        for declared in &self.fields {
            let _ = writeln!(outline, "  {}", field(declared));
        }
        if !self.steps.is_empty() {
            outline.push_str("steps\n");
        }
        for step in &self.steps {
            outline.push_str(&self::step(step));
        }
        let _ = writeln!(outline, "output\n  {}", columns(self.columns()));
        outline
    }
}

/// `ind (integer), required, from index`
fn field(declared: &DeclaredField) -> String {
    let DeclaredField { name, kind, required, key, coerce, from } = declared;
    let mut line = format!("{name} ({kind})");
    for (is_so, word) in [(required, "required"), (key, "key"), (coerce, "coerced")] {
        if *is_so {
            let _ = write!(line, ", {word}");
        }
    }
    let from = match from {
        Origin::Value(paths) => {
            let paths: Vec<_> = paths.iter().map(|path| path.keys().join(".")).collect();
            paths.join(" or ")
        }
        other => surroundings::written(other).unwrap_or_default(),
    };
    if from != **name {
        let _ = write!(line, ", from {from}");
    }
    line
}

fn step(RuleStep { id, step }: &RuleStep) -> String {
    let (plugin, plan) = (step.plugin(), step.plan());
    let digest = plugin.file().digest().short();
    let reads: Vec<_> = plan.reads.iter().map(|at| &*step.input()[*at].name).collect();
    let writes: Vec<_> = plan.writes.iter().map(|write| &*step.output()[write.to].name).collect();
    let list = |names: Vec<&str>| match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.join(", "),
    };
    format!(
        "  {id}: {} {} ({digest}) with {}\n    reads {}; writes {}\n",
        plugin.name(),
        plugin.version(),
        step.config(),
        list(reads),
        list(writes)
    )
}

/// `title (text), n (integer)`
fn columns(fields: &[Field]) -> String {
    let columns = fields.iter().map(|field| format!("{} ({})", field.name, field.kind));
    columns.collect::<Vec<_>>().join(", ")
}
