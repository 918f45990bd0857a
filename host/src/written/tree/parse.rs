//! Events of the YAML parser become a tree.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::{Content, Entry, File, Node, Scalar, Tree};
use crate::written::finding::Finding;
use crate::written::variables::Variables;

/// Far beyond what a person writes; aliases count with what they stand for.
const NODES_MAX: usize = 100_000;
const NESTING_MAX: usize = 64;

pub(super) fn parse(
    file: File,
    variables: &Variables<'_>,
    found: &mut Vec<Finding>,
) -> Option<Tree> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: NESTING_MAX,
        block_nesting_limit: NESTING_MAX,
    };
    let mut builder = Builder {
        file: &file,
        variables,
        found,
        parser: Parser::new_from_str_with_options(&file.text, options),
        anchors: HashMap::new(),
        nodes: 0,
    };
    let root = match builder.document() {
        Ok(root) => root,
        Err(finding) => {
            found.push(*finding);
            return None;
        }
    };
    Some(Tree { root, file })
}

struct Builder<'a, 'v> {
    file: &'a File,
    variables: &'a Variables<'v>,
    found: &'a mut Vec<Finding>,
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

type Result<T> = std::result::Result<T, Box<Finding>>;

impl<'a> Builder<'a, '_> {
    /// The only document of the file.
    fn document(&mut self) -> Result<Node> {
        let mut root = None;
        loop {
            match self.event()? {
                (Event::StreamEnd, at) => {
                    return root.ok_or_else(|| self.finding("there is nothing in this file", &at));
                }
                (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
                (_, at) if root.is_some() => {
                    let finding = self.finding("a second document begins here", &at);
                    return Err(Box::new(finding.help("a file holds one")));
                }
                (event, at) => root = Some(self.node(event, at)?),
            }
        }
    }

    fn event(&mut self) -> Result<(Event<'a>, Range<usize>)> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, bytes(&span))),
            Some(Err(error)) => {
                let at = error.marker().byte_offset().unwrap_or_default();
                let message = format!("this is not YAML: {}", error.info());
                let mut finding = self.finding(message, &(at..at + 1));
                if finding.place.as_ref().is_some_and(|place| place.text.contains("${")) {
                    let help = "inside of { } and [ ] a variable stands in quotes: \"${NAME}\"";
                    finding.help = Some(help.to_owned());
                }
                Err(finding)
            }
            None => Ok((Event::StreamEnd, 0..0)),
        }
    }

    fn node(&mut self, event: Event<'a>, at: Range<usize>) -> Result<Node> {
        let (content, anchor, at) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.untagged(tag.is_some(), &at)?;
                let scalar = self.scalar(&text, style, &at);
                let node = self.numbered(Content::Scalar(scalar), at)?;
                self.keep(anchor, &node);
                return Ok(node);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.untagged(tag.is_some(), &at)?;
                let mut items = Vec::new();
                loop {
                    match self.event()? {
                        (Event::SequenceEnd, end) => {
                            break (Content::List(items), anchor, at.start..end.end.max(at.end));
                        }
                        (event, at) => items.push(self.node(event, at)?),
                    }
                }
            }
            Event::MappingStart(_, anchor, tag) => {
                self.untagged(tag.is_some(), &at)?;
                let mut entries = Vec::new();
                loop {
                    match self.event()? {
                        (Event::MappingEnd, end) => {
                            break (Content::Map(entries), anchor, at.start..end.end.max(at.end));
                        }
                        (event, at) => self.entry(event, at, &mut entries)?,
                    }
                }
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.finding("this would hold itself", &at));
                };
                return self.renumbered(node);
            }
            _ => return Err(self.finding("here should be a value", &at)),
        };
        let node = self.numbered(content, at)?;
        self.keep(anchor, &node);
        Ok(node)
    }

    fn entry(&mut self, key: Event<'a>, key_at: Range<usize>, to: &mut Vec<Entry>) -> Result<()> {
        let Event::Scalar(key, ..) = key else {
            return Err(self.finding("a key is a text", &key_at));
        };
        let (event, at) = self.event()?;
        let mut value = self.node(event, at)?;
        // What stands nowhere is shown at its key.
        if value.at.is_empty() {
            value.at = key_at.clone();
        }
        if to.iter().any(|entry| entry.key == *key) {
            let finding = self.finding(format!("`{key}` is there twice"), &key_at);
            self.found.push(*finding);
            return Ok(());
        }
        to.push(Entry { key: key.into_owned(), key_at, guessed: false, value });
        Ok(())
    }

    /// Fills in variables.
    fn scalar(&mut self, text: &str, style: ScalarStyle, at: &Range<usize>) -> Scalar {
        let quoted = style != ScalarStyle::Plain;
        let folder = self.file.path.parent().unwrap_or(Path::new(""));
        let written = text.to_owned();
        match self.variables.fill(text, folder) {
            Ok(None) => Scalar { text: written, quoted, template: None, unfilled: false },
            Ok(Some(text)) => Scalar { text, quoted, template: Some(written), unfilled: false },
            Err(unfilled) => {
                // Its place in the file, if it stands there as it does in the text.
                let piece = &text[unfilled.at];
                let found = self.file.text.get(at.clone()).and_then(|found| found.find(piece));
                let at =
                    found.map_or(at.clone(), |from| at.start + from..at.start + from + piece.len());
                let mut finding = self.finding(unfilled.message, &at).hiding();
                finding.help = unfilled.help;
                self.found.push(finding);
                Scalar { text: written, quoted, template: Some(text.to_owned()), unfilled: true }
            }
        }
    }

    fn untagged(&self, tagged: bool, at: &Range<usize>) -> Result<()> {
        if tagged {
            return Err(self.finding("tags like `!!str` mean nothing here", at));
        }
        Ok(())
    }

    fn numbered(&mut self, content: Content, at: Range<usize>) -> Result<Node> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let message = format!("there are more than {NODES_MAX} values in this file");
            return Err(self.finding(message, &at));
        }
        Ok(Node { id: self.nodes, at, content, cut: false })
    }

    /// A copy is another node, although it stands in the same place.
    fn renumbered(&mut self, node: Node) -> Result<Node> {
        let content = match node.content {
            Content::List(items) => {
                let items = items.into_iter().map(|item| self.renumbered(item));
                Content::List(items.collect::<Result<_>>()?)
            }
            Content::Map(entries) => {
                let entries = entries
                    .into_iter()
                    .map(|entry| Ok(Entry { value: self.renumbered(entry.value)?, ..entry }));
                Content::Map(entries.collect::<Result<_>>()?)
            }
            scalar @ Content::Scalar(_) => scalar,
        };
        Ok(Node { cut: node.cut, ..self.numbered(content, node.at)? })
    }

    fn keep(&mut self, anchor: usize, node: &Node) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    fn finding(&self, message: impl Into<String>, at: &Range<usize>) -> Box<Finding> {
        Box::new(Finding::new(message).at(self.file.place(at)))
    }
}

fn bytes(span: &Span) -> Range<usize> {
    // There always is one where the whole text is at hand.
    span.byte_range().unwrap_or_default()
}
