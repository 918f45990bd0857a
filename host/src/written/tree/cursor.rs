//! Finds the places of values that were read.

use std::collections::BTreeMap;

use super::{Content, Entry, File, Node, Tree};
use crate::written::finding::{Finding, Place};

/// By JSON Pointers, texts as they were written.
pub(crate) type Templates = BTreeMap<String, String>;

/// A piece of a tree. What is not there is shown at what it would stand in.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'t> {
    file: &'t File,
    node: &'t Node,
    /// Where it stands, if it stands under a key.
    entry: Option<&'t Entry>,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(tree: &'t Tree) -> Self {
        Self { file: &tree.file, node: &tree.root, entry: None }
    }

    /// What stands under a key.
    pub fn key(self, key: &str) -> Self {
        self.get(key).unwrap_or(self)
    }

    /// The same, if it is there.
    pub fn get(self, key: &str) -> Option<Self> {
        let entry = self.node.entries().iter().find(|entry| entry.key == key)?;
        Some(Self { node: &entry.value, entry: Some(entry), ..self })
    }

    /// An item of a list, counted as it was read: without those that were cut out.
    pub fn item(self, index: usize) -> Self {
        self.items().nth(index).unwrap_or(self)
    }

    pub fn items(self) -> impl Iterator<Item = Self> {
        let sound = self.node.items().iter().filter(|item| !item.cut);
        sound.map(move |node| Self { node, entry: None, ..self })
    }

    /// How many items it has, those cut out too.
    pub(crate) fn len(self) -> usize {
        self.node.items().len()
    }

    /// The keys of its entries, those cut out too.
    pub fn keys(self) -> impl Iterator<Item = &'t str> {
        self.node.entries().iter().map(|entry| entry.key.as_str())
    }

    /// Where a JSON Pointer leads, as far as it leads anywhere.
    pub fn pointer(self, pointer: &str) -> Self {
        pointer.split('/').skip(1).fold(self, |at, part| {
            let part = part.replace("~1", "/").replace("~0", "~");
            match &at.node.content {
                Content::List(_) => part.parse().map_or(at, |index| at.item(index)),
                _ => at.key(&part),
            }
        })
    }

    /// Whether something stands here under this key, be it cut out.
    pub fn has(self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether it was cut out.
    pub fn is_cut(self) -> bool {
        self.node.cut
    }

    /// Whether something of it is not known.
    pub fn is_damaged(self) -> bool {
        self.node.is_damaged()
    }

    /// The text of a scalar as it may be shown, if variables were filled in.
    pub fn template(self) -> Option<&'t str> {
        match &self.node.content {
            Content::Scalar(scalar) => scalar.template.as_deref(),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// The text of a scalar.
    pub fn text(self) -> Option<&'t str> {
        match &self.node.content {
            Content::Scalar(scalar) => Some(&scalar.text),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// What stands below it with variables filled in: JSON Pointers, and the texts as they were
    /// written.
    pub(crate) fn templates(self) -> Templates {
        let mut templates = Templates::new();
        self.node.collect_templates("", &mut templates);
        templates
    }

    /// All texts that are part of it.
    pub fn texts(self) -> Vec<&'t str> {
        let below = |node| Self { node, entry: None, ..self }.texts();
        match &self.node.content {
            Content::Scalar(scalar) => vec![&scalar.text],
            Content::List(items) => items.iter().flat_map(below).collect(),
            Content::Map(entries) => entries.iter().flat_map(|entry| below(&entry.value)).collect(),
        }
    }

    /// All keys in it.
    pub fn all_keys(self) -> Vec<&'t str> {
        let below = self.node.children();
        let below = below.flat_map(|node| Self { node, entry: None, ..self }.all_keys());
        self.keys().chain(below).collect()
    }

    pub fn place(self) -> Place {
        let mark = match (self.entry, &self.node.content) {
            (Some(entry), Content::List(_) | Content::Map(_)) => entry.key_at.clone(),
            _ => self.node.own_mark(),
        };
        self.file.place(&mark)
    }

    /// What a message is about that points here: the key, if it is the key that it names.
    pub fn place_for(self, message: &str) -> Place {
        let names = |text: &str| message.contains(&format!("`{text}`"));
        match self.entry {
            Some(entry) if names(&entry.key) && !self.text().is_some_and(names) => self.key_place(),
            _ => self.place(),
        }
    }

    /// Its key; itself, if it stands under none.
    pub fn key_place(self) -> Place {
        match self.entry {
            Some(entry) => self.file.place(&entry.key_at),
            None => self.place(),
        }
    }

    pub fn finding(self, message: impl Into<String>) -> Finding {
        Finding::new(message).at(self.place())
    }
}

/// Finds what has to be more than nothing and is not.
pub fn positive(at: Cursor<'_>, figures: &[(&str, u64)], found: &mut Vec<Finding>) {
    for (name, figure) in figures {
        if *figure == 0 {
            found.push(at.key(name).finding(format!("`{name}` has to be more than nothing")));
        }
    }
}

impl Node {
    fn collect_templates(&self, pointer: &str, to: &mut Templates) {
        match &self.content {
            Content::Scalar(scalar) => {
                to.extend(scalar.template.clone().map(|template| (pointer.to_owned(), template)));
            }
            Content::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect_templates(&format!("{pointer}/{index}"), to);
                }
            }
            Content::Map(entries) => {
                for entry in entries {
                    entry.value.collect_templates(&below(pointer, &entry.key), to);
                }
            }
        }
    }
}

/// The pointer to what stands under a key.
pub(crate) fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
