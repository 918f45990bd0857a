//! A pipeline or a rule as YAML, with everything that was left out filled in.

use std::fmt::Write as _;

use super::document::Document;
use super::{Pipeline, Rule, Tombstones};
use crate::record::Field;

impl Pipeline {
    /// The whole pipeline with its rule in it, all defaults, and the columns after each step.
    /// Variables stand as they were written.
    pub fn resolved(&self) -> String {
        let mut document = Document::of(&self.config);
        document.put(&self.templates, "");
        if let Some(rule) = &self.rule {
            let inner = rule.document();
            if let Document::Map(entries) = &mut document
                && let Some((_, written)) = entries.iter_mut().find(|(key, _)| key == "rule")
            {
                *written = inner;
            }
        }
        let generation = self.generation().digest.short();
        let mut yaml = format!("# delivery: {}\n", self.delivery());
        if let Some(rule) = self.rule.as_ref().filter(|_| self.source.facts().has_tombstones) {
            let _ = writeln!(yaml, "# tombstones: {}", Tombstones::of(rule, &self.sink));
        }
        let _ = writeln!(yaml, "# generation: {generation}");
        document.write(&mut yaml, 0);
        yaml
    }
}

impl Rule {
    pub fn resolved(&self) -> String {
        let mut yaml = String::new();
        self.document().write(&mut yaml, 0);
        yaml
    }

    fn document(&self) -> Document {
        let mut document = Document::of(&self.config);
        document.put(&self.templates, "");
        let Document::Map(entries) = &mut document else { return document };
        for (key, value) in entries {
            let Document::List(steps) = value else { continue };
            if key != "steps" {
                continue;
            }
            for (written, step) in steps.iter_mut().zip(&self.steps) {
                let bare = std::mem::replace(written, Document::List(Vec::new()));
                let after = format!("after it: {}", columns(step.step.output()));
                *written = Document::Noted(Box::new(bare), after);
            }
        }
        document
    }
}

/// `title (text), n (integer)`
fn columns(fields: &[Field]) -> String {
    let columns = fields.iter().map(|field| format!("{} ({})", field.name, field.kind));
    columns.collect::<Vec<_>>().join(", ")
}
