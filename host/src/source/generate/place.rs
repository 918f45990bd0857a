//! Where posts were posted, and by whom.

use std::fmt::Write as _;

use fastrand::Rng;

use super::json::Object;
use super::words::{COUNTRIES, FIRST_NAMES, LAST_NAMES};
use super::{Wire, pick};

pub(super) fn write_geo(key: u64, mut content: Rng, wire: &mut Wire, out: &mut Vec<u8>) {
    let time = time(&mut content, 2017..2023);
    let latitude = degrees(&mut content, 89);
    let longitude = degrees(&mut content, 179);
    // Some are seen far more often than others.
    let country = content.usize(0..COUNTRIES.len()).min(content.usize(0..COUNTRIES.len()));
    let shown_time = wire.shown(&time);
    let mut object = Object::new(out, wire.form);
    let key_name = wire.key_name(false);
    if wire.form.is_sorted {
        if !wire.is_incomplete {
            object.text("country", COUNTRIES[country]);
        }
        object.key(key_name, key);
        object.number("latitude", latitude.as_bytes());
        object.number("longitude", longitude.as_bytes());
        object.text("timestamp", &shown_time);
    } else {
        object.key(key_name, key);
        object.text("timestamp", &shown_time);
        object.number("latitude", latitude.as_bytes());
        object.number("longitude", longitude.as_bytes());
        if !wire.is_incomplete {
            object.text("country", COUNTRIES[country]);
        }
    }
    object.finish();
}

pub(super) fn write_user(key: u64, mut content: Rng, wire: &mut Wire, out: &mut Vec<u8>) {
    let (first_name, last_name) = (pick(&mut content, FIRST_NAMES), pick(&mut content, LAST_NAMES));
    let age = content.u64(20..61);
    let time = time(&mut content, 2015..2018);
    let shown_time = wire.shown(&time);
    let mut object = Object::new(out, wire.form);
    let key_name = wire.key_name(false);
    if wire.form.is_sorted {
        object.integer("age", age);
        object.text("date_joined", &shown_time);
        object.text("first_name", first_name);
        object.key(key_name, key);
        if !wire.is_incomplete {
            object.text("last_name", last_name);
        }
    } else {
        object.key(key_name, key);
        object.text("first_name", first_name);
        if !wire.is_incomplete {
            object.text("last_name", last_name);
        }
        object.integer("age", age);
        object.text("date_joined", &shown_time);
    }
    object.finish();
}

/// A time without its zone, as it is written in these records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
}

fn time(rng: &mut Rng, years: std::ops::Range<u32>) -> Time {
    Time {
        year: rng.u32(years),
        month: rng.u32(1..13),
        // Every month has as many.
        day: rng.u32(1..29),
        hour: rng.u32(0..24),
        minute: rng.u32(0..60),
        second: rng.u32(0..60),
    }
}

impl Wire {
    /// In one of the five forms that are seen.
    fn shown(&mut self, time: &Time) -> String {
        let Time { year, month, day, hour, minute, second } = time;
        let mut out = String::with_capacity(20);
        // Writing to a text cannot fail.
        let _ = match self.rng.u32(0..100) {
            0..10 => write!(out, "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"),
            10..14 => write!(out, "{year}:{month:02}:{day:02} {hour:02}:{minute:02}:{second:02}"),
            14..18 => write!(out, "{month:02}/{day:02}/{year}, {hour:02}:{minute:02}:{second:02}"),
            18..20 => write!(out, "{year}-{month:02}-{day:02}"),
            _ => write!(out, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"),
        };
        out
    }
}

fn degrees(rng: &mut Rng, whole_max: u32) -> String {
    let sign = if rng.bool() { "-" } else { "" };
    let (whole, part) = (rng.u32(0..=whole_max), rng.u32(1..9999));
    format!("{sign}{whole}.{part:04}")
}
