//! Which keys of which objects are declared, and a guess which key comes next.
//!
//! Writers put keys in the same order in record after record. So each key remembers which one
//! followed it last, and that one is compared with first; only if it is another is it looked up.
//! Undeclared keys are remembered too, as they stand between the others. All of this is about speed:
//! what a key means never depends on what came before.

use std::collections::HashMap;
use std::sync::Arc;

use super::cursor::{Cursor, Word};
use super::declare::{DeclarationError, DeclaredField, Origin};
use super::reject::Result;

/// The objects that fields are read from. The first is the record itself.
#[derive(Debug)]
pub(super) struct Shape {
    objects: Vec<Object>,
    /// The dotted paths of all declared keys.
    places: Vec<String>,
    fields: usize,
}

#[derive(Debug)]
struct Object {
    /// The first one stands for the beginning of the object; then the declared, then the remembered.
    keys: Vec<Key>,
    declared: usize,
    lookup: HashMap<Box<str>, u16>,
    /// The key read last.
    last: usize,
}

#[derive(Debug)]
struct Key {
    /// As it stands in most records, with its quotes.
    quoted: Word,
    meaning: Meaning,
    /// The key that followed last time.
    next: u16,
}

/// What a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Undeclared,
    Field { field: u16, place: u16 },
    Object { object: u16, place: u16 },
}

/// Per object. Keys longer than that are not worth the memory either.
const REMEMBERED_MAX: usize = 64;
const REMEMBERED_BYTES_MAX: usize = 64;

/// Stands where no record can match: UTF-8 does not have this byte.
const UNMATCHABLE: &[u8] = &[0xff];

impl Shape {
    pub(super) fn new(fields: &[DeclaredField]) -> std::result::Result<Self, DeclarationError> {
        let mut shape =
            Self { objects: vec![Object::new()], places: Vec::new(), fields: fields.len() };
        for (index, field) in fields.iter().enumerate() {
            let Origin::Value(paths) = &field.from else {
                continue;
            };
            if paths.is_empty() {
                let field = Arc::clone(&field.name);
                return Err(DeclarationError::NoPath { field });
            }
            for path in paths {
                shape.declare(fields, index, path.keys())?;
            }
        }
        // Fields, objects, keys and places are counted in 16 bits.
        let keys = shape.objects.iter().map(|object| object.keys.len()).max();
        let most = fields.len().max(shape.places.len()).max(keys.unwrap_or(0));
        if most + shape.objects.len() + REMEMBERED_MAX >= usize::from(u16::MAX) {
            let fields = fields.len();
            return Err(DeclarationError::TooMany { fields });
        }
        for object in &mut shape.objects {
            object.declared = object.keys.len();
            object.forget();
        }
        Ok(shape)
    }

    /// Leads `path` to the field, by way of objects that are made if they aren't there yet.
    fn declare(
        &mut self,
        fields: &[DeclaredField],
        index: usize,
        path: &[String],
    ) -> std::result::Result<(), DeclarationError> {
        let field = Arc::clone(&fields[index].name);
        let Some((last, parents)) = path.split_last() else {
            return Err(DeclarationError::NoPath { field });
        };
        let mut at = 0;
        for (depth, key) in parents.iter().enumerate() {
            at = match self.objects[at].find(key) {
                Meaning::Object { object, .. } => usize::from(object),
                Meaning::Field { field, .. } => {
                    let field = Arc::clone(&fields[usize::from(field)].name);
                    let path = path[..=depth].join(".");
                    return Err(DeclarationError::ValueAndObject { field, path });
                }
                Meaning::Undeclared => {
                    let object = self.objects.len();
                    self.objects.push(Object::new());
                    let place = self.place(&path[..=depth]);
                    let meaning = Meaning::Object { object: object as u16, place };
                    self.objects[at].add(key, meaning);
                    object
                }
            };
        }
        match self.objects[at].find(last) {
            Meaning::Undeclared => {
                let place = self.place(path);
                let meaning = Meaning::Field { field: index as u16, place };
                self.objects[at].add(last, meaning);
                Ok(())
            }
            Meaning::Object { .. } => {
                let path = path.join(".");
                Err(DeclarationError::ValueAndObject { field, path })
            }
            Meaning::Field { field: other, .. } => {
                let other = Arc::clone(&fields[usize::from(other)].name);
                let path = path.join(".");
                Err(DeclarationError::SharedPath { field, other, path })
            }
        }
    }

    fn place(&mut self, path: &[String]) -> u16 {
        self.places.push(path.join("."));
        (self.places.len() - 1) as u16
    }

    pub(super) fn place_name(&self, place: u16) -> &str {
        &self.places[usize::from(place)]
    }

    /// How many things a record can give once: fields, and objects that hold fields.
    pub(super) fn slots(&self) -> usize {
        self.fields + self.objects.len()
    }

    pub(super) fn object_slot(&self, object: u16) -> usize {
        self.fields + usize::from(object)
    }

    pub(super) fn begin(&mut self, object: u16) {
        self.objects[usize::from(object)].last = 0;
    }

    /// Reads the next key of the object, the cursor being at its opening quote.
    #[inline]
    pub(super) fn key(
        &mut self,
        object: u16,
        cursor: &mut Cursor<'_>,
        scratch: &mut String,
    ) -> Result<Meaning> {
        let object = &mut self.objects[usize::from(object)];
        let guess = usize::from(object.keys[object.last].next);
        let key = &object.keys[guess];
        if cursor.take_word(&key.quoted) {
            object.last = guess;
            return Ok(key.meaning);
        }
        object.look_up(cursor, scratch)
    }

    /// Makes room for other keys, as those that fill it may never come again.
    pub(super) fn forget_if_full(&mut self) {
        for object in &mut self.objects {
            if object.keys.len() == object.declared + REMEMBERED_MAX {
                object.forget();
            }
        }
    }
}

impl Object {
    fn new() -> Self {
        let beginning =
            Key { quoted: Word::new(UNMATCHABLE), meaning: Meaning::Undeclared, next: 0 };
        Self { keys: vec![beginning], declared: 0, lookup: HashMap::new(), last: 0 }
    }

    fn find(&self, name: &str) -> Meaning {
        let key = self.lookup.get(name).copied().unwrap_or(0);
        self.keys[usize::from(key)].meaning
    }

    fn add(&mut self, name: &str, meaning: Meaning) {
        let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
        let quoted = if name.bytes().all(is_plain) {
            Word::new(format!("\"{name}\"").as_bytes())
        } else {
            Word::new(UNMATCHABLE)
        };
        self.lookup.insert(name.into(), self.keys.len() as u16);
        self.keys.push(Key { quoted, meaning, next: 0 });
    }

    /// Back to the declared keys, in the order of their declaration.
    fn forget(&mut self) {
        self.keys.truncate(self.declared);
        self.lookup.retain(|_, key| usize::from(*key) < self.declared);
        for (index, key) in self.keys.iter_mut().enumerate() {
            key.next = if index + 1 < self.declared { index as u16 + 1 } else { 0 };
        }
    }

    #[cold]
    fn look_up(&mut self, cursor: &mut Cursor<'_>, scratch: &mut String) -> Result<Meaning> {
        if cursor.peek() != b'"' {
            return Err(cursor.expected("a key"));
        }
        let from = cursor.at();
        let has_escapes = cursor.skip_string()?;
        let quoted = cursor.since(from);
        let mut name = &quoted[1..quoted.len() - 1];
        if has_escapes {
            let end = cursor.at();
            cursor.go_back(from);
            scratch.clear();
            let unescaped = cursor.string_into(scratch, "");
            cursor.go_back(end);
            if unescaped.is_err() {
                // Half a surrogate pair is fine with the grammar, and in no declared name.
                return Ok(Meaning::Undeclared);
            }
            name = scratch;
        }
        let key = match self.lookup.get(name) {
            Some(&key) => usize::from(key),
            None if !has_escapes
                && name.len() <= REMEMBERED_BYTES_MAX
                && self.keys.len() < self.declared + REMEMBERED_MAX =>
            {
                self.add(name, Meaning::Undeclared);
                self.keys.len() - 1
            }
            // As if it weren't there: the guess for the key after it stays the same.
            None => return Ok(Meaning::Undeclared),
        };
        self.keys[self.last].next = key as u16;
        self.last = key;
        Ok(self.keys[key].meaning)
    }
}
