//! Columns as they lie in memory, borrowed: the contract's types with slices for lists. The sandbox
//! borrows them from the batch it was handed, a native caller from wherever its columns are.

use crate::contract::{self, ColumnType};

/// A value for every row. What value stands in a null's place means nothing.
#[derive(Debug, Clone, Copy)]
pub struct ColumnData<'a> {
    pub values: Values<'a>,
    /// A bit for each row, from the lowest, set where it is not null; absent if none is null.
    pub valid: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    Boolean(&'a [u8]),
    Integer(&'a [i64]),
    Float(&'a [f64]),
    Text(Texts<'a>),
    Timestamp(&'a [i64]),
    TextList(TextLists<'a>),
    FloatList(FloatLists<'a>),
}

/// Texts, one behind the other. That each is UTF-8 and lies within the bytes is checked when it is
/// made and relied on ever after.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    offsets: &'a [u32],
    text: &'a str,
}

/// List `i` is the items `offsets[i] .. offsets[i + 1]`.
#[derive(Debug, Clone, Copy)]
pub struct TextLists<'a> {
    pub offsets: &'a [u32],
    pub items: Texts<'a>,
}

/// List `i` is the items `offsets[i] .. offsets[i + 1]`.
#[derive(Debug, Clone, Copy)]
pub struct FloatLists<'a> {
    pub offsets: &'a [u32],
    pub items: &'a [f64],
}

impl<'a> Texts<'a> {
    /// Text `i` is `bytes[offsets[i] .. offsets[i + 1]]`. `None` if the offsets don't start at 0,
    /// descend, end elsewhere than the bytes, or if a text is not UTF-8.
    pub fn new(offsets: &'a [u32], bytes: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let sound = offsets.first() == Some(&0)
            && offsets.last().is_some_and(|&end| end as usize == text.len())
            && offsets.is_sorted()
            && offsets.iter().all(|&at| text.is_char_boundary(at as usize));
        sound.then_some(Self { offsets, text })
    }

    /// [`Texts::new`] without looking.
    ///
    /// # Safety
    /// What `new` looks at has to hold.
    #[expect(
        unsafe_code,
        reason = "the contract promises sound texts; to look again costs as much as a plugin does"
    )]
    pub unsafe fn new_unchecked(offsets: &'a [u32], bytes: &'a [u8]) -> Self {
        // SAFETY: the caller's.
        let text = unsafe { str::from_utf8_unchecked(bytes) };
        Self { offsets, text }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn offsets(&self) -> &'a [u32] {
        self.offsets
    }

    /// All the texts together.
    #[inline]
    pub fn text(&self) -> &'a str {
        self.text
    }

    #[inline]
    pub fn get(&self, index: usize) -> &'a str {
        self.between(self.offsets[index], self.offsets[index + 1])
    }

    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        let texts = *self;
        self.offsets.array_windows().map(move |&[start, end]| texts.between(start, end))
    }

    /// `start` and `end` are neighbours in `offsets`.
    #[inline]
    #[expect(
        unsafe_code,
        reason = "checks of bounds and characters for each value are what cleaning costs"
    )]
    fn between(self, start: u32, end: u32) -> &'a str {
        // SAFETY: offsets never descend, end with the text, and lie between characters.
        unsafe { self.text.get_unchecked(start as usize..end as usize) }
    }

    /// A part of all the texts together.
    ///
    /// # Safety
    /// It starts no later than it ends, lies within, and does both between characters.
    #[inline]
    #[expect(
        unsafe_code,
        reason = "checks of bounds and characters for each piece are what splitting costs"
    )]
    pub(crate) unsafe fn part(self, start: usize, end: usize) -> &'a str {
        debug_assert!(self.text.get(start..end).is_some());
        // SAFETY: the caller's.
        unsafe { self.text.get_unchecked(start..end) }
    }
}

impl<'a> Values<'a> {
    pub fn kind(&self) -> ColumnType {
        match self {
            Self::Boolean(_) => ColumnType::Boolean,
            Self::Integer(_) => ColumnType::Integer,
            Self::Float(_) => ColumnType::Float,
            Self::Text(_) => ColumnType::Text,
            Self::Timestamp(_) => ColumnType::Timestamp,
            Self::TextList(_) => ColumnType::TextList,
            Self::FloatList(_) => ColumnType::FloatList,
        }
    }

    /// Whether there are values for so many rows.
    pub(crate) fn fit(&self, rows: usize) -> bool {
        match *self {
            Self::Boolean(bits) => bits.len() >= rows.div_ceil(8),
            Self::Integer(values) | Self::Timestamp(values) => values.len() == rows,
            Self::Float(values) => values.len() == rows,
            Self::Text(texts) => texts.len() == rows,
            Self::TextList(lists) => lists.offsets.len() == rows + 1,
            Self::FloatList(lists) => lists.offsets.len() == rows + 1,
        }
    }
}

impl<'a> ColumnData<'a> {
    /// Borrows a column; `None` if its texts are not sound.
    pub fn new(data: &'a contract::ColumnData) -> Option<Self> {
        Self::with(data, Texts::new)
    }

    /// Borrows a column that came through the contract.
    ///
    /// # Safety
    /// Its texts have to be as the contract says.
    #[expect(unsafe_code, reason = "as for the texts")]
    pub unsafe fn new_unchecked(data: &'a contract::ColumnData) -> Self {
        // SAFETY: the caller's.
        Self::with(data, |offsets, bytes| Some(unsafe { Texts::new_unchecked(offsets, bytes) }))
            .expect("texts are the only thing that can be refused")
    }

    fn with(
        data: &'a contract::ColumnData,
        texts: impl Fn(&'a [u32], &'a [u8]) -> Option<Texts<'a>>,
    ) -> Option<Self> {
        use contract::Values as Owned;
        let values = match &data.values {
            Owned::Boolean(bits) => Values::Boolean(bits),
            Owned::Integer(values) => Values::Integer(values),
            Owned::Float(values) => Values::Float(values),
            Owned::Text(own) => Values::Text(texts(&own.offsets, &own.bytes)?),
            Owned::Timestamp(values) => Values::Timestamp(values),
            Owned::TextList(lists) => Values::TextList(TextLists {
                offsets: &lists.offsets,
                items: texts(&lists.items.offsets, &lists.items.bytes)?,
            }),
            Owned::FloatList(lists) => {
                Values::FloatList(FloatLists { offsets: &lists.offsets, items: &lists.items })
            }
        };
        Some(Self { values, valid: data.valid.as_deref() })
    }
}

/// Whether a row is not null.
#[inline]
pub fn is_valid(valid: Option<&[u8]>, row: usize) -> bool {
    valid.is_none_or(|bits| bits[row / 8] >> (row % 8) & 1 == 1)
}
