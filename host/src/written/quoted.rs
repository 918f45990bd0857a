//! Text as YAML has it.

use serde_json::Value;

use super::is_text;

/// In quotes unless it is text without them, wherever it stands.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./$ ".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_./$".contains(c));
    if begins && text.chars().all(is_plain) && !text.ends_with(' ') && is_text(text) {
        return text.to_owned();
    }
    if text.contains('"') && !text.contains('\'') && !text.contains(char::is_control) {
        return format!("'{text}'");
    }
    Value::from(text).to_string()
}
