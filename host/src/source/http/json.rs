//! Pieces of JSON in a body, by their places in it.

use std::ops::Range;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::refusal::Refusal;

/// The ranges of the objects in a body: one, or those of an array.
pub(super) fn objects(bytes: &[u8]) -> Result<Vec<Range<usize>>, Refusal> {
    let whole: &RawValue = read(bytes)?;
    let items = match whole.get().as_bytes()[0] {
        b'[' => read::<Vec<&RawValue>>(bytes)?,
        _ => vec![whole],
    };
    ranges(bytes, &items)
}

/// The ranges of the objects in a body that has one in each line.
pub(super) fn lines(bytes: &[u8]) -> Result<Vec<Range<usize>>, Refusal> {
    let items = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
    let items = items.collect::<Result<Vec<_>, _>>().map_err(|error| refusal(bytes, &error))?;
    ranges(bytes, &items)
}

/// A body of this shape.
pub(super) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| refusal(bytes, &error))
}

/// Where a piece stands in the body that it is of.
pub(super) fn range(bytes: &[u8], piece: &RawValue) -> Range<usize> {
    let start = piece.get().as_ptr().addr() - bytes.as_ptr().addr();
    start..start + piece.get().len()
}

fn ranges(bytes: &[u8], items: &[&RawValue]) -> Result<Vec<Range<usize>>, Refusal> {
    let range = |(at, item): (usize, &&RawValue)| {
        let range = range(bytes, item);
        if item.get().starts_with('{') {
            return Ok(range);
        }
        let what = match items.len() {
            1 => format!("here should be an object, at byte {}", range.start),
            _ => format!("item {at} is no object, at byte {}", range.start),
        };
        Err(Refusal::Invalid { what })
    };
    items.iter().enumerate().map(range).collect()
}

fn refusal(bytes: &[u8], error: &serde_json::Error) -> Refusal {
    let is_end = error.classify() == Category::Eof;
    let offset = if is_end { bytes.len() } else { offset(bytes, error.line(), error.column()) };
    let said = error.to_string();
    // It says a line and a column.
    let why = said.split(" at line ").next().unwrap_or(&said).to_owned();
    match error.classify() {
        Category::Data => Refusal::Invalid { what: format!("{why}, at byte {offset}") },
        Category::Syntax | Category::Eof | Category::Io => Refusal::NotJson { why, offset },
    }
}

/// Lines count from 1, and so do the bytes of a line; 0 stands before the first.
fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let start = match line {
        0 | 1 => 0,
        _ => ends.map(|(at, _)| at + 1).nth(line - 2).unwrap_or(bytes.len()),
    };
    (start + column.saturating_sub(1)).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(found: Vec<Range<usize>>, body: &str) -> Vec<&str> {
        found.into_iter().map(|range| &body[range]).collect()
    }

    #[test]
    fn objects_are_found_where_they_stand() {
        for (body, found) in [
            (" {\"a\": 1}\n", &["{\"a\": 1}"][..]),
            ("[ {\"a\":1} ,{}]", &["{\"a\":1}", "{}"]),
            ("[]", &[]),
        ] {
            assert_eq!(texts(objects(body.as_bytes()).unwrap(), body), found);
        }
        let body = "{\"a\":1}\n\n{\"b\":\"\\n\"}\r\n";
        assert_eq!(texts(lines(body.as_bytes()).unwrap(), body), ["{\"a\":1}", "{\"b\":\"\\n\"}"]);
        assert!(lines(b"").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (body, place) in [
            ("{\"a\": 1,}", "at byte 8"),
            ("{\"a\":", "at byte 5"),
            ("", "at byte 0"),
            ("{}\n{\"a\" 1}", "at byte 8"),
            // Within a text, serde_json stands before what is at fault.
            ("{\"a\": \"\u{1}\"}", "at byte 6"),
        ] {
            let said = lines(body.as_bytes());
            let said = match said {
                Ok(found) => {
                    assert!(found.is_empty(), "{body}");
                    objects(body.as_bytes()).unwrap_err()
                }
                Err(refusal) => refusal,
            };
            assert!(said.to_string().ends_with(place), "{body:?}: {said}");
            assert_eq!(said.status(), 400);
        }
        for (body, said) in [
            ("7", "here should be an object, at byte 0"),
            ("[{}, [7]]", "item 1 is no object, at byte 5"),
        ] {
            assert_eq!(objects(body.as_bytes()).unwrap_err().to_string(), said);
        }
        assert!(matches!(objects(b"{\"a\": \"\xff\"}"), Err(Refusal::NotJson { .. })));
    }
}
