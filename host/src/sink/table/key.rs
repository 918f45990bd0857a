//! When two keys are one: as the table says, which may leave out what a rule tells apart.

use super::cell::Cell;

/// What a column of a key takes for the same. The default tells all values apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeyForm {
    pub(crate) case: KeyCase,
    /// U+0000 is left out of texts.
    pub(crate) without_nul: bool,
    /// Blanks at the end do not count.
    pub(crate) without_blanks: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum KeyCase {
    #[default]
    Counts,
    /// Of these 26 letters it does not count.
    NotOfAscii,
    NotAtAll,
}

impl KeyForm {
    /// Lends the value by which the table compares this one.
    pub(crate) fn lend<T>(self, cell: Cell<'_>, lend: impl FnOnce(Cell<'_>) -> T) -> T {
        let Cell::Text(text) = cell else { return lend(cell) };
        if self == Self::default() {
            return lend(cell);
        }
        let mut text = match self.case {
            KeyCase::Counts => text.to_owned(),
            KeyCase::NotOfAscii => text.to_ascii_lowercase(),
            KeyCase::NotAtAll => text.to_lowercase(),
        };
        if self.without_nul {
            text.retain(|letter| letter != '\0');
        }
        let text = if self.without_blanks { text.trim_end_matches(' ') } else { &*text };
        lend(Cell::Text(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_compared_as_its_column_compares_it() {
        let same = |form: KeyForm, text: &str| {
            form.lend(Cell::Text(text), |cell| match cell {
                Cell::Text(text) => text.to_owned(),
                _ => unreachable!("it was a text"),
            })
        };
        let form = KeyForm::default();
        assert_eq!(same(form, "Ä\0b "), "Ä\0b ");
        assert_eq!(same(KeyForm { without_nul: true, ..form }, "a\0\0"), "a");
        assert_eq!(same(KeyForm { without_blanks: true, ..form }, " a  "), " a");
        assert_eq!(same(KeyForm { case: KeyCase::NotAtAll, ..form }, "ÄB"), "äb");
        assert_eq!(same(KeyForm { case: KeyCase::NotOfAscii, ..form }, "ÄB"), "Äb");
        let all = KeyForm { case: KeyCase::NotAtAll, without_nul: true, without_blanks: true };
        assert_eq!(same(all, "A\0 \0"), "a");
        assert!(all.lend(Cell::Integer(7), |cell| matches!(cell, Cell::Integer(7))));
    }
}
