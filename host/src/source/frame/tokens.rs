//! Follows the tokens of one JSON value: which bracket, comma or text may stand where.
//!
//! What words and texts say is the decoder's business. This is only as much of the grammar as it takes
//! to tell where a value ends, and that it cannot end any more.

use memchr::memchr3;

/// Nobody nests records this deeply. It bounds how far one line that is cut short can reach into the
/// lines after it, and so how often a line is looked at again.
const DEPTH_MAX: usize = 256;

#[derive(Debug, Clone)]
pub(super) struct Tokens {
    next: Next,
    inside: Inside,
    /// For each open bracket whether it is an object's, the outermost first.
    objects: [u64; DEPTH_MAX / 64],
    depth: usize,
    /// Whether only blanks came since the last newline.
    is_line_start: bool,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}

/// A token that began before and is not over yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    /// A number, `true`, or what somebody takes for such a word.
    Word,
    Text,
    /// After a backslash in a text.
    Escape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// The value goes on after the bytes that there are.
    More,
    /// The value ends before this byte.
    Ended(usize),
    /// This token, or newline in a text, can't stand here.
    Misplaced { at: usize, is_line_start: bool },
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self {
            next: Next::Value,
            inside: Inside::Nothing,
            objects: [0; DEPTH_MAX / 64],
            depth: 0,
            is_line_start: false,
        }
    }

    /// Looks at the bytes that come next, those from `at` on.
    pub(super) fn scan(&mut self, bytes: &[u8], mut at: usize) -> Scan {
        loop {
            match self.inside {
                Inside::Nothing => {}
                Inside::Word => match bytes[at..].iter().position(|byte| ends_word(*byte)) {
                    Some(length) => {
                        at += length;
                        self.inside = Inside::Nothing;
                        if self.depth == 0 {
                            return Scan::Ended(at);
                        }
                    }
                    None => return Scan::More,
                },
                Inside::Text => match memchr3(b'"', b'\\', b'\n', &bytes[at..]) {
                    Some(length) => {
                        at += length;
                        match bytes[at] {
                            b'"' => self.inside = Inside::Nothing,
                            b'\\' => self.inside = Inside::Escape,
                            _ => return self.misplaced(at),
                        }
                        at += 1;
                        if self.inside == Inside::Nothing && self.depth == 0 {
                            return Scan::Ended(at);
                        }
                    }
                    None => return Scan::More,
                },
                Inside::Escape => match bytes.get(at) {
                    Some(b'\n') => return self.misplaced(at),
                    Some(_) => {
                        at += 1;
                        self.inside = Inside::Text;
                    }
                    None => return Scan::More,
                },
            }
            if self.inside != Inside::Nothing {
                continue;
            }
            let Some(&byte) = bytes.get(at) else { return Scan::More };
            match byte {
                b'\n' => self.is_line_start = true,
                b' ' | b'\t' | b'\r' => {}
                _ => {
                    if self.token(byte).is_none() {
                        return self.misplaced(at);
                    }
                    self.is_line_start = false;
                    if self.depth == 0 && self.inside == Inside::Nothing {
                        return Scan::Ended(at + 1);
                    }
                }
            }
            at += 1;
        }
    }

    fn misplaced(&self, at: usize) -> Scan {
        Scan::Misplaced { at, is_line_start: self.is_line_start }
    }

    /// Takes the token that this byte begins, if it may stand here.
    fn token(&mut self, byte: u8) -> Option<()> {
        use Next::{Colon, CommaOrEnd, Key, KeyOrEnd, Value, ValueOrEnd};
        self.next = match (byte, self.next) {
            (b'{', Value | ValueOrEnd) => {
                self.open(true)?;
                KeyOrEnd
            }
            (b'[', Value | ValueOrEnd) => {
                self.open(false)?;
                ValueOrEnd
            }
            (b'}', KeyOrEnd) => self.close()?,
            (b'}', CommaOrEnd) if self.is_in_object() => self.close()?,
            (b']', ValueOrEnd) => self.close()?,
            (b']', CommaOrEnd) if !self.is_in_object() => self.close()?,
            (b',', CommaOrEnd) if self.is_in_object() => Key,
            (b',', CommaOrEnd) => Value,
            (b':', Colon) => Value,
            (b'"', Key | KeyOrEnd) => {
                self.inside = Inside::Text;
                Colon
            }
            (b'"', Value | ValueOrEnd) => {
                self.inside = Inside::Text;
                CommaOrEnd
            }
            (b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"', _) => return None,
            (_, Value | ValueOrEnd) => {
                self.inside = Inside::Word;
                CommaOrEnd
            }
            _ => return None,
        };
        Some(())
    }

    fn open(&mut self, object: bool) -> Option<()> {
        let word = self.objects.get_mut(self.depth / 64)?;
        let bit = 1 << (self.depth % 64);
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        Some(())
    }

    fn close(&mut self) -> Option<Next> {
        self.depth = self.depth.checked_sub(1)?;
        Some(Next::CommaOrEnd)
    }

    fn is_in_object(&self) -> bool {
        self.depth
            .checked_sub(1)
            .is_some_and(|last| self.objects[last / 64] >> (last % 64) & 1 == 1)
    }
}

fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(text: &str) -> Scan {
        Tokens::new().scan(text.as_bytes(), 0)
    }

    #[test]
    fn a_value_ends_with_its_last_token() {
        for value in [
            "{}",
            "[]",
            r#"{"a": 1, "b": [1, {"c": "}"}, []], "d": {"e": true}}"#,
            "{\n\t\"a\"\r\n:\n1}",
            r#"{"a": "\"}\\"}"#,
            r#"[1, "a", null, [{}]]"#,
            r#""text""#,
        ] {
            for rest in ["", " ", "{", ",", "x"] {
                let text = format!("{value}{rest}");
                assert_eq!(scanned(&text), Scan::Ended(value.len()), "{text}");
            }
            for cut in 0..value.len() {
                let mut tokens = Tokens::new();
                assert_eq!(tokens.scan(&value.as_bytes()[..cut], 0), Scan::More, "{value} {cut}");
                assert_eq!(tokens.scan(value.as_bytes(), cut), Scan::Ended(value.len()));
            }
        }
        assert_eq!(scanned("12,"), Scan::Ended(2));
        assert_eq!(scanned("12"), Scan::More, "more digits may come");
    }

    #[test]
    fn a_token_out_of_place_is_told() {
        for (text, at) in [
            (r#"{"a" 1}"#, 5),
            (r#"{"a": 1,}"#, 8),
            (r#"{"a": }"#, 6),
            (r#"{"a": 1 "b": 2}"#, 8),
            (r"{1: 2}", 1),
            (r#"{"a": [1, ]}"#, 10),
            (r#"{"a": [1}"#, 8),
            (r#"{"a": 1]"#, 7),
            ("{\"a\": \"x\ny\"}", 8),
            ("{\"a\": \"x\\\ny\"}", 9),
            ("{{", 1),
            ("}", 0),
        ] {
            assert_eq!(scanned(text), Scan::Misplaced { at, is_line_start: false }, "{text}");
        }
        let misplaced = Scan::Misplaced { at: 10, is_line_start: true };
        assert_eq!(scanned("{\"a\": 1,\n {\"b\": 2}"), misplaced);
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(scanned(&"[".repeat(DEPTH_MAX)), Scan::More);
        let misplaced = Scan::Misplaced { at: DEPTH_MAX, is_line_start: false };
        assert_eq!(scanned(&"[".repeat(DEPTH_MAX + 1)), misplaced);
    }
}
