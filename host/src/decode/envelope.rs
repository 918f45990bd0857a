//! A record that somebody put into a member of another object.

use std::ops::Range;

use super::cursor::Cursor;
use super::reject::{Reject, Result};

/// Where `member`'s value stands in the record, if it has such a member. Where there is an envelope, all of
/// it has to be JSON.
pub(super) fn inside(
    member: &str,
    mut cursor: Cursor<'_>,
    scratch: &mut String,
) -> Result<Option<Range<usize>>> {
    cursor.skip_blanks();
    if !cursor.take(b'{') {
        return Ok(None);
    }
    cursor.skip_blanks();
    if cursor.take(b'}') {
        return Ok(None);
    }
    let mut inner = None;
    loop {
        let key = cursor.at();
        let is_member = is_key(member, &mut cursor, scratch)?;
        cursor.colon()?;
        let from = cursor.at();
        cursor.skip_value(1)?;
        if is_member && inner.replace(from..cursor.at()).is_some() {
            let reason = format!("member {member} is given twice");
            return Err(Reject::new(reason, format!("again at byte {key}"), key));
        }
        if !cursor.next_item(b'}')? {
            break;
        }
    }
    cursor.skip_blanks();
    if !cursor.is_at_end() {
        return Err(cursor.expected("the end of the record"));
    }
    Ok(inner)
}

/// Reads a key.
fn is_key(member: &str, cursor: &mut Cursor<'_>, scratch: &mut String) -> Result<bool> {
    if cursor.peek() != b'"' {
        return Err(cursor.expected("a key"));
    }
    let from = cursor.at();
    let has_escapes = cursor.skip_string()?;
    let end = cursor.at();
    if !has_escapes {
        return Ok(cursor.text(from + 1..end - 1) == member);
    }
    cursor.go_back(from);
    scratch.clear();
    // Half a surrogate pair is fine with the grammar, and in no member's name.
    let is_text = cursor.string_into(scratch, member).is_ok();
    cursor.go_back(end);
    Ok(is_text && scratch == member)
}
