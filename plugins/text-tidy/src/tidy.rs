//! The ways of tidying. Each says what a text becomes, if it becomes another one.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Whether none of them finds anything, as all is ASCII that can be seen, and no `&`.
pub(crate) fn is_plain(text: &str) -> bool {
    // No byte ends the loop, so that it looks at many of them at once.
    text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'%' | b'\''..=b'~'))
}

pub(crate) fn decode_entities(text: &str) -> Option<String> {
    let mut decoded = String::new();
    let mut done = 0;
    for (start, _) in text.match_indices('&') {
        if let Some((entity, characters)) = entity(&text[start..]) {
            decoded.push_str(&text[done..start]);
            decoded.push_str(&characters);
            done = start + entity.len();
        }
    }
    if done == 0 {
        return None;
    }
    decoded.push_str(&text[done..]);
    Some(decoded)
}

/// The entity at the start of a text, with what it stands for.
///
/// HTML also takes some for complete without their `;`. Text that was never HTML is full of those:
/// `?a=1&copy=2`.
fn entity(text: &str) -> Option<(&str, Cow<'_, str>)> {
    let body = text.strip_prefix('&')?;
    let end = body.find(|char: char| char != '#' && !char.is_ascii_alphanumeric())?;
    let entity = text.get(..end + 2).filter(|entity| entity.ends_with(';'))?;
    if !entity.starts_with("&#") {
        let characters = htmlize::ENTITIES.get(entity.as_bytes())?;
        return Some((entity, String::from_utf8_lossy(characters)));
    }
    let character = htmlize::unescape(entity);
    (character.chars().count() == 1).then_some((entity, character))
}

/// Those that are blanks or line breaks stay, as they hold words apart.
pub(crate) fn remove_controls(text: &str) -> Option<String> {
    replace(text, |char| char.is_control() && !char.is_whitespace(), "")
}

pub(crate) fn plain_blanks(text: &str) -> Option<String> {
    let is_line_break = |char| matches!(char, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    replace(text, |char| char != ' ' && char.is_whitespace() && !is_line_break(char), " ")
}

pub(crate) fn compose(text: &str) -> Option<String> {
    (!is_nfc(text)).then(|| text.nfc().collect())
}

fn replace(text: &str, which: impl Fn(char) -> bool, with: &str) -> Option<String> {
    text.contains(&which).then(|| text.replace(&which, with))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_decoded_once() {
        for (text, expected) in [
            ("Fish &amp; Chips", "Fish & Chips"),
            ("&lt;p&gt;&quot;a&quot;&apos;s", "<p>\"a\"'s"),
            ("Wow&#33; Wow&#x21; Wow&#X21;", "Wow! Wow! Wow!"),
            ("&eacute;t&eacute;&hellip;&nbsp;", "été…\u{a0}"),
            ("&amp;amp;", "&amp;"),
            ("&NotEqualTilde;", "≂\u{338}"),
            // Numbers that HTML takes for the characters of Windows, or for none.
            ("it&#146;s &#128;5", "it’s €5"),
            ("&#0;&#xD800;&#x110000;", "\u{fffd}\u{fffd}\u{fffd}"),
            ("&&amp;&", "&&&"),
            ("&a&lt;b", "&a<b"),
        ] {
            assert_eq!(decode_entities(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_complete_entity_stays() {
        for text in [
            "",
            "&",
            "AT&T",
            "R&D;",
            "a & b;",
            "?a=1&copy=2",
            "&copy",
            "&ampere;",
            "&notit;",
            "&AMPS;",
            "&;",
            "&#;",
            "&#x;",
            "&#xyz;",
            "&#65a;",
            "&#65",
            "&#-65;",
            "& amp;",
            "&am p;",
            "&ämp;",
            "&#3é;",
        ] {
            assert_eq!(decode_entities(text), None, "{text}");
        }
    }

    #[test]
    fn the_time_for_a_text_grows_with_its_length_alone() {
        for text in ["&", "&a", "&#", "&#1", "a&b;"] {
            assert_eq!(decode_entities(&text.repeat(500_000)), None);
        }
    }

    #[test]
    fn control_characters_go_and_words_stay_apart() {
        assert_eq!(remove_controls("a\0b\u{7}\u{1b}[1m\u{7f}\u{9f}").as_deref(), Some("ab[1m"));
        for text in ["a\tb\nc\r\nd\u{b}e\u{c}f\u{85}", "👩\u{200d}🔧\u{feff}\u{200b}\u{ad}\u{202e}"]
        {
            assert_eq!(remove_controls(text), None, "{text:?}");
        }
    }

    #[test]
    fn blanks_become_plain_and_lines_stay() {
        assert_eq!(
            plain_blanks("a\u{a0}b\tc\u{1680}d\u{2003}\u{2009}e\u{202f}f\u{205f}g\u{3000}")
                .as_deref(),
            Some("a b c d  e f g ")
        );
        assert_eq!(
            plain_blanks("a b\nc\r\nd\u{b}\u{c}\u{85}\u{2028}\u{2029}\u{200b}\u{feff}"),
            None
        );
    }

    #[test]
    fn characters_are_composed() {
        assert_eq!(compose("e\u{301}").as_deref(), Some("é"));
        assert_eq!(compose("\u{212b}").as_deref(), Some("Å"));
        // What only looks alike is another character: that would be NFKC.
        assert_eq!(compose("é 𝗜 ﬁ ① ｘ"), None);
    }
}
