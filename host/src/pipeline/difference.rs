//! What it takes to bring a running pipeline to what is written now.

use std::path::PathBuf;

use super::Pipeline;

/// How much of a pipeline is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing that a record or a lane could notice.
    Nothing,
    /// What becomes of records: another generation cleans from the next batch on.
    Rule,
    /// Where records come from or go to, or how they are on their way: its lanes have to end first.
    Restart,
    /// Its name, under which its progress is kept.
    Name,
}

impl Pipeline {
    /// From this one, which runs, to `next`.
    pub fn change_to(&self, next: &Self) -> Change {
        if self.name != next.name {
            return Change::Name;
        }
        let are_connected_alike = self.source == next.source
            && self.sink == next.sink
            && self.unit == next.unit
            && self.dead_letters == next.dead_letters
            && self.limits.memory == next.limits.memory
            && self.watch == next.watch;
        if !are_connected_alike {
            return Change::Restart;
        }
        if self.generation().digest != next.generation().digest {
            return Change::Rule;
        }
        Change::Nothing
    }

    /// What stands in a step: the plugin with its version and digest, and its configuration.
    pub fn plugin_of(&self, step: &str) -> String {
        let steps = self.rule.iter().flat_map(|rule| &rule.steps);
        let Some(found) = steps.into_iter().find(|it| *it.id == *step) else {
            return "nothing".to_owned();
        };
        let plugin = found.step.plugin();
        let digest = plugin.file().digest().short();
        let with = found.step.config();
        format!("{} {} ({digest}) with {with}", plugin.name(), plugin.version())
    }

    /// The files that it is made of.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.path.clone()];
        for file in self.rule.iter().flat_map(|rule| rule.files()) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files
    }
}
