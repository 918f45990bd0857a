//! What columns are called, and what a name tells about its column.

use std::collections::HashSet;

/// Postgres takes 63 bytes, and a number may have to be added.
const BYTES_MAX: usize = 58;

/// Envelopes that are left out of column names.
const WRAPPERS: [&str; 1] = ["_airbyte_data"];

/// Names that are given once.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// `customer.address.city` becomes `customer_address_city`.
    pub fn name(&mut self, path: &[String]) -> String {
        let is_telling = |key: &&String| !key.starts_with('$') && !WRAPPERS.contains(&&***key);
        let mut keys: Vec<_> = path.iter().filter(is_telling).map(|key| plain(key)).collect();
        keys.retain(|key| !key.is_empty());
        if keys.is_empty() {
            keys = path.iter().map(|key| plain(key)).collect();
        }
        while keys.len() > 1 && keys.join("_").len() > BYTES_MAX {
            keys.remove(0);
        }
        let mut name = keys.join("_");
        name.truncate(BYTES_MAX);
        if name.is_empty() {
            "field".clone_into(&mut name);
        }
        if name.to_ascii_lowercase().starts_with("_pinhost") {
            name = name.trim_start_matches('_').to_owned();
        }
        self.only(name)
    }

    /// The name, with a number if it is taken.
    pub fn only(&mut self, name: String) -> String {
        // Not every database tells case apart.
        if self.0.insert(name.to_ascii_lowercase()) {
            return name;
        }
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let mut free = numbered.filter(|name| self.0.insert(name.to_ascii_lowercase()));
        free.next().expect("numbers do not end")
    }
}

/// Letters, digits and `_`.
fn plain(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for c in key.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            name.push(c);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    if key.starts_with('_') { name } else { name.trim_matches('_').to_owned() }
}

/// The words of a name in lower case: `orderId`, `order_id` and `order-id` are `order` and `id`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        let is_break = c.is_uppercase() && was_lower;
        was_lower = c.is_lowercase() || c.is_ascii_digit();
        if !c.is_alphanumeric() || is_break {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            let word = words.last_mut().expect("there is one");
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether one of these words is in the name.
pub(super) fn has_word(name: &str, known: &[&str]) -> bool {
    words(name).iter().any(|word| known.contains(&word.as_str()))
}

/// Whether the name ends in one of these words.
pub(super) fn ends_in(name: &str, known: &[&str]) -> bool {
    words(name).last().is_some_and(|word| known.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(dotted: &str) -> Vec<String> {
        dotted.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_column_is_called_after_its_path() {
        for (dotted, name) in [
            ("title", "title"),
            ("customer.address.city", "customer_address_city"),
            ("_id.$oid", "_id"),
            ("created.$date.$numberLong", "created"),
            ("_airbyte_data.id", "id"),
            ("order date", "order_date"),
            ("Straße", "Stra_e"),
            ("_pinhost_lane", "pinhost_lane"),
            ("$$", "field"),
        ] {
            assert_eq!(Names::default().name(&path(dotted)), name, "{dotted}");
        }
    }

    #[test]
    fn no_two_columns_have_one_name() {
        let mut names = Names::default();
        for (dotted, name) in [("a.b", "a_b"), ("a_b", "a_b_2"), ("A_B", "A_B_3")] {
            assert_eq!(names.name(&path(dotted)), name);
        }
    }

    #[test]
    fn names_are_made_of_words() {
        for name in ["orderId", "order_id", "order-id", "OrderID"] {
            assert_eq!(words(name), ["order", "id"], "{name}");
        }
    }
}
