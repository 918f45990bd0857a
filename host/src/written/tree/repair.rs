//! Finds all mistakes of a tree at once.
//!
//! serde stops at the first mistake. So whatever is wrong is told and put right, if it is clear
//! what was meant, or cut out, and the rest is read again. What is missing only because it was cut
//! out is not told: its surroundings are cut out as well.

use std::ops::Range;

use serde::de::DeserializeOwned;

use super::de::{At, Error, Fault};
use super::{Content, Entry, Node, ReadError, Tree, Written};
use crate::written::finding::Finding;
use crate::written::nearest;

/// Reads what is sound; what was cut out stays cut out. None if nothing is left.
pub(crate) fn read<T: DeserializeOwned>(tree: &mut Tree, found: &mut Vec<Finding>) -> Option<T> {
    loop {
        if tree.root.cut {
            return None;
        }
        match T::deserialize(&tree.root) {
            Ok(read) => return Some(read),
            // Each error changes the tree, so that this comes to an end.
            Err(error) => found.extend(tree.mend(error)),
        }
    }
}

/// Reads what stands under a key whose value has one key itself, one of these kinds: which kind it
/// is, and what `read` makes of what stands below that. None if there is no such key, or nothing
/// sound below it.
pub(crate) fn read_kind<T>(
    tree: &mut Tree,
    key: &str,
    kinds: &[&'static str],
    read: impl Fn(usize, Written<'_>) -> Result<T, ReadError>,
    found: &mut Vec<Finding>,
) -> Option<T> {
    loop {
        let entry = tree.root.entries().iter().find(|entry| entry.key == key)?;
        if entry.value.cut {
            return None;
        }
        let chosen = entry.value.kind(kinds).and_then(|(kind, written)| {
            read(kind, Written(written)).map_err(|ReadError(error)| error)
        });
        match chosen {
            Ok(read) => return Some(read),
            // Each error changes the tree, so that this comes to an end.
            Err(error) => found.extend(tree.mend(error)),
        }
    }
}

impl Tree {
    /// Puts right or cuts out what an error is about; a finding unless one was made before.
    fn mend(&mut self, error: Error) -> Option<Finding> {
        let Error { at, fault } = error;
        let at = at.unwrap_or(At { node: self.root.id, key: false });
        let place = self.root.mark(at).unwrap_or_else(|| self.root.at.clone());
        let mut finding = self.root.tell(at, &fault);
        if let Some(finding) = &mut finding {
            finding.place = Some(self.file.place(&place));
        }
        self.root.put_right(at, &fault);
        finding
    }
}

impl Node {
    fn tell(&mut self, at: At, fault: &Fault) -> Option<Finding> {
        let entry = self.entry_of(at.node);
        // What does not fit a key that is only a guess says that the guess was wrong.
        if !at.key && entry.is_some_and(|entry| entry.guessed) {
            return None;
        }
        let key = entry.map(|entry| entry.key.clone());
        let node = self.find_mut(at.node)?;
        if matches!(&node.content, Content::Scalar(scalar) if scalar.unfilled) {
            return None;
        }
        Some(match fault {
            Fault::UnknownKey { key, known } => with_help(
                Finding::new(format!("unknown key `{key}`")),
                nearest::help(key, known, "known here are"),
            ),
            Fault::UnknownKind { known, .. } => {
                // As it was written: a variable's value is nobody's business.
                let said = if at.key { format!("`{}`", key?) } else { node.said() };
                let kind = said.trim_matches('`');
                with_help(
                    Finding::new(format!("there is no kind {said}")),
                    nearest::help(kind, known, "the kinds are"),
                )
            }
            Fault::Missing(key) => {
                // It was there, and is cut out.
                if node.entries().iter().any(|entry| entry.key == *key) {
                    return None;
                }
                Finding::new(format!("the key `{key}` is missing"))
            }
            Fault::Wrong { expected, example } => {
                let told = Finding::new(format!("here should be {expected}, not {}", node.said()));
                let nothing = matches!(&node.content, Content::Scalar(scalar) if scalar.is_null());
                let example = match *example {
                    "{ key: value }" if nothing => "{}",
                    example => example,
                };
                match key {
                    _ if example.is_empty() => told,
                    Some(key) => told.help(format!("like `{key}: {example}`")),
                    None => told.help(format!("like `{example}`")),
                }
            }
            Fault::Damaged => return None,
            Fault::Other(message) => Finding::new(match &node.content {
                Content::Scalar(scalar) if scalar.template.is_some() && !scalar.text.is_empty() => {
                    message.replace(&scalar.text, scalar.shown())
                }
                _ => message.clone(),
            }),
        })
    }

    fn put_right(&mut self, at: At, fault: &Fault) {
        let meant = match fault {
            Fault::UnknownKey { key, known } => nearest::nearest(key, known.iter().copied()),
            Fault::UnknownKind { kind, known } => nearest::nearest(kind, known.iter().copied()),
            _ => None,
        };
        let renamed = meant.is_some_and(|meant| {
            if at.key { self.rename(at.node, meant) } else { self.reword(at.node, meant) }
        });
        if !renamed && let Some(node) = self.find_mut(at.node) {
            node.cut = true;
        }
    }

    /// Calls an entry by another key, if there is none of that key yet.
    fn rename(&mut self, value: usize, key: &str) -> bool {
        match &mut self.content {
            Content::Map(entries) => match entries.iter().position(|e| e.value.id == value) {
                Some(_) if entries.iter().any(|entry| entry.key == key) => false,
                Some(at) => {
                    key.clone_into(&mut entries[at].key);
                    entries[at].guessed = true;
                    true
                }
                None => entries.iter_mut().any(|entry| entry.value.rename(value, key)),
            },
            Content::List(items) => items.iter_mut().any(|item| item.rename(value, key)),
            Content::Scalar(_) => false,
        }
    }

    fn reword(&mut self, node: usize, word: &str) -> bool {
        match self.find_mut(node).map(|node| &mut node.content) {
            Some(Content::Scalar(scalar)) => {
                word.clone_into(&mut scalar.text);
                true
            }
            _ => false,
        }
    }

    /// Where a node stands, if it stands under a key.
    fn entry_of(&self, id: usize) -> Option<&Entry> {
        let here = self.entries().iter().find(|entry| entry.value.id == id);
        here.or_else(|| self.children().find_map(|child| child.entry_of(id)))
    }

    /// What is marked for a node: a key for what reaches over lines.
    fn mark(&self, at: At) -> Option<Range<usize>> {
        if self.id == at.node {
            return Some(self.own_mark());
        }
        for entry in self.entries() {
            if entry.value.id == at.node {
                return Some(if at.key || !matches!(entry.value.content, Content::Scalar(_)) {
                    entry.key_at.clone()
                } else {
                    entry.value.at.clone()
                });
            }
        }
        self.children().find_map(|child| child.mark(at))
    }

    /// What is marked for it where there is no key.
    pub(super) fn own_mark(&self) -> Range<usize> {
        match &self.content {
            Content::Map(entries) => {
                entries.first().map_or_else(|| self.at.clone(), |entry| entry.key_at.clone())
            }
            Content::List(items) => items.first().map_or_else(|| self.at.clone(), Self::own_mark),
            Content::Scalar(_) => self.at.clone(),
        }
    }
}

fn with_help(finding: Finding, help: Option<String>) -> Finding {
    Finding { help, ..finding }
}

#[cfg(test)]
mod tests {
    use std::env::VarError;
    use std::path::Path;

    use serde::Deserialize;

    use super::*;
    use crate::written::variables::Variables;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct House {
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        rooms: Vec<Room>,
        #[serde(default)]
        roof: Option<Roof>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Room {
        name: String,
        #[serde(default)]
        windows: u8,
        #[serde(default)]
        heated: bool,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Roof {
        Tiled { colour: String },
        Thatched(Reed),
    }

    #[derive(Debug, PartialEq, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Reed {
        layers: u32,
    }

    fn read_house(text: &str) -> (Option<House>, Vec<String>) {
        let environment = |name: &str| match name {
            "NUMBER" => Ok("3".to_owned()),
            "TRICK" => Ok("{ a: [1] }\nrooms: []".to_owned()),
            _ => Err(VarError::NotPresent),
        };
        let variables = Variables { environment: &environment };
        let mut found = Vec::new();
        let house = Tree::parse(Path::new("house.yaml"), text.to_owned(), &variables, &mut found)
            .and_then(|mut tree| read(&mut tree, &mut found));
        let found = found.into_iter().map(|finding| {
            let place = finding.place.expect("a place");
            let marked: String =
                place.text.chars().skip(place.column - 1).take(place.width).collect();
            format!("{}: {} [{marked}]", place.line, finding.message)
        });
        (house, found.collect())
    }

    #[test]
    fn what_is_sound_is_read_as_its_type_says() {
        let text = "
name: 12
rooms:
  - { name: '${NUMBER}', windows: \"${NUMBER}\", heated: true }
  - { name: '${TRICK}', windows: 0x2 }
roof: { thatched: {} }
";
        let (house, found) = read_house(text);
        assert_eq!(found, [""; 0]);
        let house = house.unwrap();
        assert_eq!(house.name.as_deref(), Some("12"));
        assert_eq!((house.rooms[0].name.as_str(), house.rooms[0].windows), ("3", 3));
        assert_eq!(house.rooms[1].name, "{ a: [1] }\nrooms: []");
        assert_eq!(house.rooms.len(), 2, "a value stays inside of its scalar");
        assert_eq!(house.roof, Some(Roof::Thatched(Reed::default())));
    }

    #[test]
    fn all_mistakes_are_told_and_the_rest_is_read() {
        let text = "
nam: hut
rooms:
  - { name: kitchen, windows: many }
  - { name: hall, windows: 300, heted: true, cellar: 1 }
  - { name: bath, window: 'small' }
  - windows: 1
  - [a]
  - { name: [], windows: 1 }
roof:
  thatchd: { layers: -1 }
";
        let (house, found) = read_house(text);
        assert_eq!(
            found,
            [
                "2: unknown key `nam` [nam]",
                "4: here should be a whole number, not `many` [many]",
                "5: here should be a whole number from 0 to 255, not `300` [300]",
                "5: unknown key `heted` [heted]",
                "5: unknown key `cellar` [cellar]",
                "6: unknown key `window` [window]",
                "7: the key `name` is missing [windows]",
                "8: here should be keys and values, not a list [a]",
                "9: here should be text, not a list [name]",
                "11: there is no kind `thatchd` [thatchd]",
                "11: here should be a whole number from 0 to 4294967295, not `-1` [-1]",
            ]
        );
        let house = house.unwrap();
        assert_eq!(house.name.as_deref(), Some("hut"), "what was meant is clear");
        let names: Vec<_> = house.rooms.iter().map(|room| room.name.as_str()).collect();
        assert_eq!(names, ["kitchen", "hall", "bath"]);
        assert!(house.rooms[1].heated);
    }

    #[test]
    fn what_is_missing_because_of_a_finding_is_no_finding() {
        let (house, found) =
            read_house("rooms: [{ name: '${NONE}' }]\nroof: { tiled: { colour: [] } }");
        assert_eq!(
            found,
            [
                "1: the variable NONE is not set [${NONE}]",
                "2: here should be text, not a list [colour]",
            ]
        );
        let room = Room { name: "${NONE}".into(), windows: 0, heated: false };
        assert_eq!(house, Some(House { name: None, rooms: vec![room], roof: None }));
    }

    #[test]
    fn what_is_no_tree_of_ours_is_told_once() {
        for (text, said) in [
            ("", "1: there is nothing in this file []"),
            ("name: x\nname: y", "2: `name` is there twice [name]"),
            ("name: x\n---\nname: y", "3: a second document begins here [n]"),
            ("name: !!str x", "1: tags like `!!str` mean nothing here [x]"),
            ("? [a]\n: b", "1: a key is a text [[]"),
        ] {
            let (_, found) = read_house(text);
            assert_eq!(found, [said], "{text}");
        }
        for text in ["name: [a\nb: }", "rooms: [{ name: ${NONE} }]"] {
            let (house, found) = read_house(text);
            assert_eq!((house, found.len()), (None, 1));
            assert!(found[0].contains("this is not YAML: "), "{found:?}");
        }
        let nested = "[".repeat(100) + &"]".repeat(100);
        assert_eq!(read_house(&nested).1.len(), 1);
    }

    #[test]
    fn aliases_are_read_and_counted() {
        let (house, found) = read_house("rooms: [&a { name: x }, *a]");
        assert_eq!((house.unwrap().rooms.len(), found.len()), (2, 0));
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let below = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb += &format!("a{level}: &a{level} [{below}]\n");
        }
        let (_, found) = read_house(&bomb);
        assert!(found[0].contains("more than 100000 values"), "{found:?}");
    }
}
