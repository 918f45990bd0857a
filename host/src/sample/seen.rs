//! Counts what was seen at one place in all records.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::json::Json;

/// An object with more members than this has data for keys.
const MEMBERS_MAX: usize = 2_000;

/// What stood under one key, or in the record itself.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub nulls: u64,
    pub booleans: u64,
    /// Those without a point or an exponent.
    pub integers: u64,
    /// Integers of more than 64 bits.
    pub huge: u64,
    /// `1.0` and the like.
    pub pointed: u64,
    /// Those that are not whole.
    pub fractions: u64,
    pub least: i64,
    pub greatest: i64,
    pub distinct_integers: HashSet<i64>,
    /// How often each text was seen.
    pub texts: BTreeMap<String, u64>,
    pub lists: Lists,
    pub objects: u64,
    members: Vec<(String, Seen)>,
    places: HashMap<String, usize>,
}

#[derive(Debug, Default)]
pub(super) struct Lists {
    pub lists: u64,
    pub empty: u64,
    pub texts: u64,
    pub numbers: u64,
    /// Items that no list column takes.
    pub others: u64,
    pub objects: u64,
}

impl Seen {
    pub fn see(&mut self, value: &Json) {
        match value {
            Json::Null => self.nulls += 1,
            Json::Boolean(_) => self.booleans += 1,
            Json::Integer(value) => {
                if self.integers == 0 {
                    (self.least, self.greatest) = (*value, *value);
                }
                self.integers += 1;
                self.least = self.least.min(*value);
                self.greatest = self.greatest.max(*value);
                self.distinct_integers.insert(*value);
            }
            Json::Huge => self.huge += 1,
            Json::Float(value) if value.fract() == 0.0 => self.pointed += 1,
            Json::Float(_) => self.fractions += 1,
            Json::Text(text) => match self.texts.get_mut(text) {
                Some(count) => *count += 1,
                None => {
                    self.texts.insert(text.clone(), 1);
                }
            },
            Json::List(items) => self.lists.see(items),
            Json::Object(members) => {
                self.objects += 1;
                for (key, value) in members {
                    if let Some(member) = self.member_mut(key) {
                        member.see(value);
                    }
                }
            }
        }
    }

    fn member_mut(&mut self, key: &str) -> Option<&mut Self> {
        let at = match self.places.get(key) {
            Some(at) => *at,
            None if self.members.len() == MEMBERS_MAX => return None,
            None => {
                self.places.insert(key.to_owned(), self.members.len());
                self.members.push((key.to_owned(), Self::default()));
                self.members.len() - 1
            }
        };
        Some(&mut self.members[at].1)
    }

    /// In the order in which they were first seen.
    pub fn members(&self) -> &[(String, Self)] {
        &self.members
    }

    pub fn numbers(&self) -> u64 {
        self.integers + self.huge + self.pointed + self.fractions
    }

    pub fn text_values(&self) -> u64 {
        self.texts.values().sum()
    }

    /// How often it was there and not null.
    pub fn values(&self) -> u64 {
        let scalars = self.booleans + self.numbers() + self.text_values();
        scalars + self.lists.lists + self.objects
    }

    /// Whether its keys are data rather than names: days, say, or ids.
    pub fn is_map(&self) -> bool {
        let keys = self.members.len();
        let values: u64 = self.members.iter().map(|(_, member)| member.values()).sum();
        let is_sparse = keys > 50 && values as f64 / (keys as f64 * self.objects as f64) < 0.1;
        let begins = |key: &str| key.starts_with(|first: char| first.is_ascii_digit());
        let has_data = keys >= 5 && self.members.iter().all(|(key, _)| begins(key));
        is_sparse || has_data
    }
}

impl Lists {
    fn see(&mut self, items: &[Json]) {
        self.lists += 1;
        self.empty += u64::from(items.is_empty());
        for item in items {
            match item {
                Json::Text(_) => self.texts += 1,
                Json::Integer(_) | Json::Float(_) => self.numbers += 1,
                Json::Object(_) => self.objects += 1,
                Json::Null | Json::Boolean(_) | Json::Huge | Json::List(_) => self.others += 1,
            }
        }
    }
}
