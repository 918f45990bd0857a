//! Which records there are, and how dirty each of them is.

use fastrand::Rng;

use super::GenerateProfile;

use super::json::{Form, Object};
use super::pin::Pin;
use super::place::{write_geo, write_user};

/// Of 10,000 records so many are no record of their profile. Together they stay well below the share of
/// dead letters at which a lane halts.
const MALFORMED: [(Shape, u32); 9] = [
    (Shape::Foreign, 30),
    (Shape::CutShort, 20),
    (Shape::Envelope, 25),
    (Shape::Nested, 10),
    (Shape::Null, 20),
    (Shape::Misnamed, 15),
    (Shape::Incomplete, 10),
    (Shape::Tutorial, 5),
    (Shape::Empty, 5),
];

/// Of 100 records so many are of an earlier post, unless the number of keys is given.
const REPEATS: u64 = 8;
/// How far back an earlier post lies at most.
const REPEAT_DISTANCE_MAX: u64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Sound,
    /// Of another profile.
    Foreign,
    /// It ends somewhere.
    CutShort,
    /// `{"value": {…}}`
    Envelope,
    /// `{"index": {…}}`
    Nested,
    /// All nulls but the key.
    Null,
    /// A field has another name, and is null.
    Misnamed,
    /// Fields are missing.
    Incomplete,
    /// Somebody tried out the stream with what a tutorial shows.
    Tutorial,
    Empty,
}

/// Writes any record, without those before it.
#[derive(Debug)]
pub struct Posts {
    profile: GenerateProfile,
    seed: u64,
    keys: Option<u64>,
    pin: Pin,
}

/// How a record comes over the wire.
#[derive(Debug)]
pub(super) struct Wire {
    pub form: Form,
    pub is_incomplete: bool,
    pub is_misnamed: bool,
    pub is_later_edition: bool,
    has_other_key: bool,
    pub rng: Rng,
}

impl Wire {
    /// The key is called `index` in posts and `ind` elsewhere, as a rule.
    pub(super) fn key_name(&self, is_post: bool) -> &'static str {
        if is_post == self.has_other_key { "ind" } else { "index" }
    }
}

impl Posts {
    pub fn new(profile: GenerateProfile, seed: u64, keys: Option<u64>) -> Self {
        Self { profile, seed, keys, pin: Pin::default() }
    }

    /// Appends this record.
    pub fn write(&mut self, record: u64, out: &mut Vec<u8>) {
        let mut rng = self.rng(record, Purpose::Wire);
        let shape = shape(&mut rng);
        let key = self.key(record);
        let is_later_edition = match self.keys {
            Some(keys) => record >= keys,
            // The other half are retries of clients, and say the same again.
            None => key != record && rng.bool(),
        };
        let form = Form {
            is_ascii: rng.bool(),
            is_compact: one_in(&mut rng, 8),
            is_sorted: one_in(&mut rng, 10),
            has_numbers_as_text: one_in(&mut rng, 40),
            is_null: shape == Shape::Null,
        };
        let wire = Wire {
            form,
            is_incomplete: shape == Shape::Incomplete
                || shape == Shape::Misnamed && self.profile != GenerateProfile::Pin,
            is_misnamed: shape == Shape::Misnamed,
            is_later_edition,
            has_other_key: one_in(&mut rng, 100),
            rng,
        };
        self.write_shape(shape, key, wire, out);
    }

    /// What kind of record it is.
    #[cfg(test)]
    pub(super) fn shape(&self, record: u64) -> Shape {
        shape(&mut self.rng(record, Purpose::Wire))
    }

    /// Whose record it is: that of an earlier post, now and then.
    pub(super) fn key(&self, mut record: u64) -> u64 {
        if let Some(keys) = self.keys {
            return record % keys;
        }
        loop {
            let mut rng = self.rng(record, Purpose::Key);
            if record == 0 || rng.u64(0..100) >= REPEATS {
                return record;
            }
            record -= 1 + rng.u64(0..record.min(REPEAT_DISTANCE_MAX));
        }
    }

    fn write_shape(&mut self, shape: Shape, key: u64, mut wire: Wire, out: &mut Vec<u8>) {
        let start = out.len();
        match shape {
            Shape::Sound | Shape::Null | Shape::Misnamed | Shape::Incomplete => {
                self.write_as(self.profile, key, &mut wire, out);
            }
            Shape::Foreign => {
                use GenerateProfile::{Geo, Pin, User};
                let others = match self.profile {
                    Pin => [Geo, User],
                    Geo => [Pin, User],
                    User => [Pin, Geo],
                };
                let profile = pick(&mut wire.rng, &others);
                self.write_as(profile, key, &mut wire, out);
            }
            Shape::CutShort => {
                self.write_as(self.profile, key, &mut wire, out);
                out.truncate(wire.rng.usize(start + 1..out.len()));
            }
            Shape::Envelope | Shape::Nested => {
                let is_post = self.profile == GenerateProfile::Pin;
                let name = if shape == Shape::Envelope { "value" } else { wire.key_name(is_post) };
                out.extend_from_slice(b"{\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\": ");
                self.write_as(self.profile, key, &mut wire, out);
                out.push(b'}');
            }
            Shape::Tutorial => {
                let mut object = Object::new(out, Form::default());
                object.key("index", 1);
                object.text("name", "Maya");
                object.integer("age", 25);
                object.text("role", "engineer");
                object.finish();
            }
            Shape::Empty => out.extend_from_slice(if wire.rng.bool() { b"{}" } else { b"" }),
        }
    }

    fn write_as(&mut self, profile: GenerateProfile, key: u64, wire: &mut Wire, out: &mut Vec<u8>) {
        let content = self.rng(key, Purpose::Content);
        match profile {
            GenerateProfile::Pin => self.pin.write(key, content, wire, out),
            GenerateProfile::Geo => write_geo(key, content, wire, out),
            GenerateProfile::User => write_user(key, content, wire, out),
        }
    }

    fn rng(&self, of: u64, purpose: Purpose) -> Rng {
        let stream = (self.profile as u64) << 8 | purpose as u64;
        Rng::with_seed(mix(mix(self.seed ^ stream) ^ of))
    }
}

/// Numbers drawn for one purpose say nothing about those drawn for another.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Key,
    Wire,
    Content,
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit.
fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

fn shape(rng: &mut Rng) -> Shape {
    let mut roll = rng.u32(0..10_000);
    for (shape, share) in MALFORMED {
        if roll < share {
            return shape;
        }
        roll -= share;
    }
    Shape::Sound
}

pub(super) fn pick<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    items[rng.usize(0..items.len())]
}

pub(super) fn one_in(rng: &mut Rng, n: u32) -> bool {
    rng.u32(0..n) == 0
}
