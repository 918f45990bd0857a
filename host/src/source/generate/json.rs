//! Writes a record's members, in the ways in which they come over the wire.

use lexical_core::FormattedSize as _;

/// How one record is written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Form {
    /// Everything beyond ASCII as `\uXXXX`, as Python does it unless asked.
    pub is_ascii: bool,
    /// Without blanks between tokens.
    pub is_compact: bool,
    /// Members in alphabetical order, as Spark writes them.
    pub is_sorted: bool,
    /// `"7528"` instead of `7528`.
    pub has_numbers_as_text: bool,
    /// Every value but the key is null.
    pub is_null: bool,
}

pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    form: Form,
    is_first: bool,
}

impl<'o> Object<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>, form: Form) -> Self {
        out.push(b'{');
        Self { out, form, is_first: true }
    }

    pub(super) fn finish(self) {
        self.out.push(b'}');
    }

    pub(super) fn key(&mut self, name: &str, key: u64) {
        self.name(name);
        self.digits(lexical_core::write(key, &mut [0; u64::FORMATTED_SIZE_DECIMAL]));
    }

    pub(super) fn integer(&mut self, name: &str, value: u64) {
        self.number(name, lexical_core::write(value, &mut [0; u64::FORMATTED_SIZE_DECIMAL]));
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        if self.form.is_null {
            return self.null();
        }
        self.out.push(b'"');
        let is_ascii = self.form.is_ascii;
        // No early exit: the compiler makes vector code of it.
        if value.bytes().fold(true, |is_plain, byte| is_plain & is_plain_byte(byte, is_ascii)) {
            self.out.extend_from_slice(value.as_bytes());
        } else {
            self.escaped(value);
        }
        self.out.push(b'"');
    }

    /// A number, by its digits.
    pub(super) fn number(&mut self, name: &str, digits: &[u8]) {
        self.name(name);
        if self.form.is_null { self.null() } else { self.digits(digits) }
    }

    pub(super) fn absent(&mut self, name: &str) {
        self.name(name);
        self.null();
    }

    fn name(&mut self, name: &str) {
        if !self.is_first {
            self.out.extend_from_slice(if self.form.is_compact { b"," } else { b", " });
        }
        self.is_first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(if self.form.is_compact { b"\":" } else { b"\": " });
    }

    fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    fn digits(&mut self, digits: &[u8]) {
        let quote: &[u8] = if self.form.has_numbers_as_text { b"\"" } else { b"" };
        self.out.extend_from_slice(quote);
        self.out.extend_from_slice(digits);
        self.out.extend_from_slice(quote);
    }

    fn escaped(&mut self, mut value: &str) {
        let is_ascii = self.form.is_ascii;
        while let Some(plain) = value.bytes().position(|byte| !is_plain_byte(byte, is_ascii)) {
            let (before, rest) = value.split_at(plain);
            self.out.extend_from_slice(before.as_bytes());
            let mut rest = rest.chars();
            rest.next().into_iter().for_each(|char| self.char(char));
            value = rest.as_str();
        }
        self.out.extend_from_slice(value.as_bytes());
    }

    fn char(&mut self, char: char) {
        match char {
            '"' => self.out.extend_from_slice(b"\\\""),
            '\\' => self.out.extend_from_slice(b"\\\\"),
            '\n' => self.out.extend_from_slice(b"\\n"),
            _ => {
                let mut memory = [0; 2];
                char.encode_utf16(&mut memory).iter().for_each(|unit| self.escape(*unit));
            }
        }
    }

    fn escape(&mut self, unit: u16) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let digit = |shift: u32| HEX[usize::from(unit >> shift & 0xf)];
        self.out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
    }
}

/// Whether it stands in JSON as it is.
fn is_plain_byte(byte: u8, is_ascii: bool) -> bool {
    (byte >= b' ') & (byte != b'"') & (byte != b'\\') & !(is_ascii & (byte >= 0x80))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\"a\\b\"\n\t…\u{a0}𝗜";

    fn written(form: Form) -> String {
        let mut out = Vec::new();
        let mut object = Object::new(&mut out, form);
        object.key("index", 7);
        object.text("title", TEXT);
        object.integer("age", 20);
        object.finish();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_form_says_the_same() {
        let forms = [
            Form::default(),
            Form { is_ascii: true, ..Form::default() },
            Form { is_compact: true, ..Form::default() },
        ];
        for form in forms {
            let json = written(form);
            let object: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(object, serde_json::json!({"index": 7, "title": TEXT, "age": 20}));
            assert_eq!(json.is_ascii(), form.is_ascii, "{json}");
            assert_eq!(json.contains(", \""), !form.is_compact, "{json}");
        }
        let text = Form { has_numbers_as_text: true, ..Form::default() };
        assert!(written(text).contains(r#""index": "7""#));
        let null = written(Form { is_null: true, ..Form::default() });
        assert_eq!(null, r#"{"index": 7, "title": null, "age": null}"#);
    }
}
