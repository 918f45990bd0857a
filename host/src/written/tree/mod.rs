//! A YAML file as a tree of which every piece knows where it stands.
//!
//! The shape of the tree is what was written, with variables filled in; what it means is told by
//! the types that are read from it (`de`). Of a piece with a mistake the rest can still be read: it
//! is cut out, and read again (`repair`). Places are found again by a [`Cursor`].

mod cursor;
mod de;
mod parse;
mod repair;
mod scalar;

use std::ops::Range;
use std::path::{Path, PathBuf};

pub use cursor::{Cursor, positive};
pub(crate) use cursor::{Templates, below};
pub(crate) use repair::{read, read_kind};
pub(crate) use scalar::is_text;

use serde::de::DeserializeOwned;

use super::finding::{Finding, Place};
use super::variables::Variables;

/// A file that was read.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    file: File,
    root: Node,
}

#[derive(Debug, Clone)]
struct File {
    path: PathBuf,
    text: String,
}

#[derive(Debug, Clone)]
struct Node {
    /// Different for each node of a tree.
    id: usize,
    /// Where it stands.
    at: Range<usize>,
    content: Content,
    /// Left out when the tree is read: a finding was made of it.
    cut: bool,
}

#[derive(Debug, Clone)]
enum Content {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
struct Entry {
    key: String,
    key_at: Range<usize>,
    /// Another key is written there, and this one was probably meant.
    guessed: bool,
    value: Node,
}

/// Text of which the reader's type decides what it is: `8080` is text where text is wanted.
#[derive(Debug, Clone)]
struct Scalar {
    text: String,
    /// In quotes, or a block: text whatever it looks like.
    quoted: bool,
    /// As it was written, if variables were filled in.
    template: Option<String>,
    /// One of them could not be: what the text should be is not known.
    unfilled: bool,
}

/// What stands below the key of a kind, to be read as the type of that kind's configuration.
#[derive(Debug, Clone, Copy)]
pub struct Written<'t>(&'t Node);

/// Why it cannot be read. It becomes a finding with a place.
#[derive(Debug)]
pub struct ReadError(de::Error);

impl Written<'_> {
    pub fn read<T: DeserializeOwned>(self) -> Result<T, ReadError> {
        T::deserialize(self.0).map_err(ReadError)
    }
}

impl Tree {
    /// Reads YAML. Mistakes in it are added to `found`; none is returned if nothing can be read
    /// after them.
    pub(crate) fn parse(
        path: &Path,
        text: String,
        variables: &Variables<'_>,
        found: &mut Vec<Finding>,
    ) -> Option<Self> {
        parse::parse(File { path: path.to_owned(), text }, variables, found)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }

    pub(crate) fn root(&self) -> Cursor<'_> {
        Cursor::new(self)
    }
}

impl File {
    /// Some bytes of the text, of which the first line is marked.
    fn place(&self, at: &Range<usize>) -> Place {
        let starts = self.text.floor_char_boundary(at.start);
        let before = &self.text[..starts];
        let line = before.rfind('\n').map_or(0, |end| end + 1);
        let marked = self.text.get(starts..at.end).unwrap_or_default();
        let marked = marked.lines().next().unwrap_or_default().trim_end();
        Place {
            path: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column: self.text[line..starts].chars().count() + 1,
            width: marked.chars().count().max(1),
            text: self.text[line..].lines().next().unwrap_or_default().to_owned(),
        }
    }
}

impl Node {
    fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            Content::Scalar(_) | Content::List(_) => &[],
        }
    }

    fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            Content::Scalar(_) | Content::Map(_) => &[],
        }
    }

    fn children(&self) -> impl Iterator<Item = &Self> {
        self.entries().iter().map(|entry| &entry.value).chain(self.items())
    }

    /// The node with this id, if it is this one or below.
    fn find_mut(&mut self, id: usize) -> Option<&mut Self> {
        if self.id == id {
            return Some(self);
        }
        match &mut self.content {
            Content::Scalar(_) => None,
            Content::List(items) => items.iter_mut().find_map(|item| item.find_mut(id)),
            Content::Map(entries) => entries.iter_mut().find_map(|entry| entry.value.find_mut(id)),
        }
    }

    /// Whether something of it is not known, as it was cut out or depends on a variable.
    fn is_damaged(&self) -> bool {
        let unfilled = matches!(&self.content, Content::Scalar(scalar) if scalar.unfilled);
        self.cut || unfilled || self.children().any(Self::is_damaged)
    }

    /// What it is, for a person.
    fn said(&self) -> String {
        match &self.content {
            Content::Scalar(scalar) if scalar.is_null() => "nothing".to_owned(),
            Content::Scalar(Scalar { text, quoted: true, template: None, .. }) => {
                format!("`\"{}\"`", shortened(text))
            }
            Content::Scalar(scalar) => format!("`{}`", shortened(scalar.shown())),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "keys and values".to_owned(),
        }
    }
}

fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let line = text.lines().next().unwrap_or_default();
    if line.len() == text.len() && line.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    format!("{}…", line.chars().take(CHARS_MAX).collect::<String>())
}
