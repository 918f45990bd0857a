//! Strings: their text, or only their end.

use super::super::reject::{Reject, Result};
use super::Cursor;
use crate::record::special;

impl<'r> Cursor<'r> {
    /// Appends the text of a string, the cursor being at its opening quote.
    #[inline]
    pub(in crate::decode) fn string_into(&mut self, out: &mut String, field: &str) -> Result<()> {
        self.at += 1;
        loop {
            let from = self.at;
            self.at = special::find(self.bytes, from);
            out.push_str(self.since(from));
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    let escape = self.at;
                    let character = self.escape()?;
                    out.push(character.ok_or_else(|| Reject::lone_surrogate(field, escape))?);
                }
                _ => return Err(self.bad_string()),
            }
        }
    }

    /// The text of a string: a piece of the record, or put together in `scratch` if it has escapes.
    pub(in crate::decode) fn string<'s>(
        &mut self,
        scratch: &'s mut String,
        field: &str,
    ) -> Result<&'s str>
    where
        'r: 's,
    {
        let from = self.at + 1;
        let end = special::find(self.bytes, from);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(&self.text[from..end]);
        }
        scratch.clear();
        self.string_into(scratch, field)?;
        Ok(scratch)
    }

    /// Skips a string, the cursor being at its opening quote; tells whether it has escapes.
    #[inline]
    pub(in crate::decode) fn skip_string(&mut self) -> Result<bool> {
        self.at += 1;
        let mut has_escapes = false;
        loop {
            self.at = special::find(self.bytes, self.at);
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(has_escapes);
                }
                b'\\' => {
                    self.escape()?;
                    has_escapes = true;
                }
                _ => return Err(self.bad_string()),
            }
        }
    }

    #[cold]
    fn bad_string(&self) -> Box<Reject> {
        if self.is_at_end() {
            return self.expected("the end of a string");
        }
        let byte = self.peek();
        let detail = format!("control character {byte:#04x} in a string");
        Reject::malformed(detail, self.at, self.bytes.len())
    }

    /// The character of an escape, the cursor being at its backslash; `None` for half a surrogate
    /// pair, which the grammar allows although no text can hold it.
    fn escape(&mut self) -> Result<Option<char>> {
        self.at += 1;
        let character = match self.peek() {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.expected("one of \"\\/bfnrtu after a backslash")),
        };
        self.at += 1;
        Ok(Some(character))
    }

    fn unicode_escape(&mut self) -> Result<Option<char>> {
        let first = self.four_hex_digits()?;
        if !(0xd800..0xdc00).contains(&first) || !self.bytes[self.at..].starts_with(b"\\u") {
            return Ok(char::from_u32(first));
        }
        let partner = self.at;
        self.at += 1;
        let second = self.four_hex_digits()?;
        if !(0xdc00..0xe000).contains(&second) {
            self.at = partner;
            return Ok(None);
        }
        Ok(char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)))
    }

    /// Those of an escape, the cursor being at its `u`.
    fn four_hex_digits(&mut self) -> Result<u32> {
        let mut value = 0;
        for _ in 0..4 {
            self.at += 1;
            let digit = char::from(self.peek()).to_digit(16);
            value = value << 4 | digit.ok_or_else(|| self.expected("four hex digits"))?;
        }
        self.at += 1;
        Ok(value)
    }
}
