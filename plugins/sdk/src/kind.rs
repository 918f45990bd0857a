//! The kinds of column, as types: what a value of each looks like to an author, and how values become
//! a column.

use std::borrow::Cow;
use std::fmt::Debug;

use crate::contract::{self, ColumnType};
use crate::view::{self, FloatLists, TextLists, Texts};

/// One of [`Boolean`], [`Integer`], [`Float`], [`Text`], [`Timestamp`], [`TextList`], [`FloatList`].
pub trait Kind: Debug + Copy + 'static + sealed::Sealed {
    const TYPE: ColumnType;
    /// What one row holds.
    type Value<'a>: Copy + Debug;
    /// What the column holds, as it lies in memory.
    type Values<'a>: Copy + Debug;
    #[doc(hidden)]
    type Builder;

    #[doc(hidden)]
    fn values<'a>(values: &view::Values<'a>) -> Option<Self::Values<'a>>;
    #[doc(hidden)]
    fn get<'a>(values: Self::Values<'a>, row: usize) -> Self::Value<'a>;
    #[doc(hidden)]
    fn same(a: Self::Value<'_>, b: Self::Value<'_>) -> bool;
    #[doc(hidden)]
    fn builder(rows: usize) -> Self::Builder;
    #[doc(hidden)]
    fn put_null(builder: &mut Self::Builder);
    #[doc(hidden)]
    fn put(builder: &mut Self::Builder, value: Self::Value<'_>);
    #[doc(hidden)]
    fn finish(builder: Self::Builder) -> contract::Values;
}

/// What a function may return for a row of a column of this kind.
///
/// Beside the kind's own value: for text a `String`, a `Cow`, or an array of texts, which are written
/// one behind the other; for lists arrays and vectors.
pub trait Put<K: Kind> {
    #[doc(hidden)]
    fn put(self, to: &mut K::Builder);
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! kind {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;
        impl sealed::Sealed for $name {}
    };
}

kind!(/// `bool`.
    Boolean);
kind!(/// `i64`.
    Integer);
kind!(/// `f64`; one that is not finite is a row that the host rejects.
    Float);
kind!(/// `&str`.
    Text);
kind!(/// `i64`: microseconds since 1970-01-01T00:00:00Z, in the years 1 to 9999.
    Timestamp);
kind!(/// [`TextItems`].
    TextList);
kind!(/// `&[f64]`.
    FloatList);

macro_rules! scalar {
    ($kind:ident, $value:ty, $same:expr) => {
        impl Kind for $kind {
            const TYPE: ColumnType = ColumnType::$kind;
            type Value<'a> = $value;
            type Values<'a> = &'a [$value];
            type Builder = Vec<$value>;

            fn values<'a>(values: &view::Values<'a>) -> Option<&'a [$value]> {
                match values {
                    view::Values::$kind(values) => Some(values),
                    _ => None,
                }
            }
            #[inline]
            fn get<'a>(values: Self::Values<'a>, row: usize) -> Self::Value<'a> {
                values[row]
            }
            fn same(a: $value, b: $value) -> bool {
                $same(a, b)
            }
            fn builder(rows: usize) -> Vec<$value> {
                Vec::with_capacity(rows)
            }
            #[inline]
            fn put_null(builder: &mut Vec<$value>) {
                builder.push(<$value>::default());
            }
            #[inline]
            fn put(builder: &mut Vec<$value>, value: $value) {
                builder.push(value);
            }
            fn finish(builder: Vec<$value>) -> contract::Values {
                contract::Values::$kind(builder)
            }
        }
        impl Put<$kind> for $value {
            #[inline]
            fn put(self, to: &mut Vec<$value>) {
                to.push(self);
            }
        }
    };
}

scalar!(Integer, i64, |a, b| a == b);
scalar!(Timestamp, i64, |a, b| a == b);
// By bits: 0.0 and -0.0 are different things to have in a column.
scalar!(Float, f64, |a: f64, b: f64| a.to_bits() == b.to_bits());

#[doc(hidden)]
#[derive(Debug)]
pub struct BooleanBuilder {
    bits: Vec<u8>,
    rows: usize,
}

impl Kind for Boolean {
    const TYPE: ColumnType = ColumnType::Boolean;
    type Value<'a> = bool;
    type Values<'a> = &'a [u8];
    type Builder = BooleanBuilder;

    fn values<'a>(values: &view::Values<'a>) -> Option<&'a [u8]> {
        match values {
            view::Values::Boolean(bits) => Some(bits),
            _ => None,
        }
    }
    #[inline]
    fn get<'a>(bits: Self::Values<'a>, row: usize) -> Self::Value<'a> {
        bits[row / 8] >> (row % 8) & 1 == 1
    }
    fn same(a: bool, b: bool) -> bool {
        a == b
    }
    fn builder(rows: usize) -> BooleanBuilder {
        BooleanBuilder { bits: vec![0; rows.div_ceil(8)], rows: 0 }
    }
    #[inline]
    fn put_null(builder: &mut BooleanBuilder) {
        Self::put(builder, false);
    }
    #[inline]
    fn put(builder: &mut BooleanBuilder, value: bool) {
        builder.bits[builder.rows / 8] |= u8::from(value) << (builder.rows % 8);
        builder.rows += 1;
    }
    fn finish(builder: BooleanBuilder) -> contract::Values {
        contract::Values::Boolean(builder.bits)
    }
}

impl Put<Boolean> for bool {
    #[inline]
    fn put(self, to: &mut BooleanBuilder) {
        Boolean::put(to, self);
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct TextBuilder {
    offsets: Vec<u32>,
    text: String,
}

impl TextBuilder {
    fn new(texts: usize) -> Self {
        let mut offsets = Vec::with_capacity(texts + 1);
        offsets.push(0);
        Self { offsets, text: String::new() }
    }

    #[inline]
    fn close(&mut self) {
        self.offsets.push(self.text.len() as u32);
    }

    fn finish(self) -> contract::Texts {
        contract::Texts { offsets: self.offsets, bytes: self.text.into_bytes() }
    }
}

impl Kind for Text {
    const TYPE: ColumnType = ColumnType::Text;
    type Value<'a> = &'a str;
    type Values<'a> = Texts<'a>;
    type Builder = TextBuilder;

    fn values<'a>(values: &view::Values<'a>) -> Option<Texts<'a>> {
        match values {
            view::Values::Text(texts) => Some(*texts),
            _ => None,
        }
    }
    #[inline]
    fn get<'a>(texts: Self::Values<'a>, row: usize) -> Self::Value<'a> {
        texts.get(row)
    }
    fn same(a: &str, b: &str) -> bool {
        a == b
    }
    fn builder(rows: usize) -> TextBuilder {
        TextBuilder::new(rows)
    }
    #[inline]
    fn put_null(builder: &mut TextBuilder) {
        builder.close();
    }
    #[inline]
    fn put(builder: &mut TextBuilder, value: &str) {
        builder.text.push_str(value);
        builder.close();
    }
    fn finish(builder: TextBuilder) -> contract::Values {
        contract::Values::Text(builder.finish())
    }
}

impl Put<Text> for &str {
    #[inline]
    fn put(self, to: &mut TextBuilder) {
        Text::put(to, self);
    }
}

impl Put<Text> for String {
    fn put(self, to: &mut TextBuilder) {
        Text::put(to, &self);
    }
}

impl Put<Text> for Cow<'_, str> {
    fn put(self, to: &mut TextBuilder) {
        Text::put(to, &self);
    }
}

impl<const N: usize> Put<Text> for [&str; N] {
    #[inline]
    fn put(self, to: &mut TextBuilder) {
        for part in self {
            to.text.push_str(part);
        }
        to.close();
    }
}

/// The items of one row of a text list.
#[derive(Debug, Clone, Copy)]
pub struct TextItems<'a> {
    items: Texts<'a>,
    start: usize,
    end: usize,
}

impl<'a> TextItems<'a> {
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        let items = self.items;
        (self.start..self.end).map(move |index| items.get(index))
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct TextListBuilder {
    offsets: Vec<u32>,
    items: TextBuilder,
}

impl TextListBuilder {
    fn close(&mut self) {
        self.offsets.push(self.items.offsets.len() as u32 - 1);
    }
}

impl Kind for TextList {
    const TYPE: ColumnType = ColumnType::TextList;
    type Value<'a> = TextItems<'a>;
    type Values<'a> = TextLists<'a>;
    type Builder = TextListBuilder;

    fn values<'a>(values: &view::Values<'a>) -> Option<TextLists<'a>> {
        match values {
            view::Values::TextList(lists) => Some(*lists),
            _ => None,
        }
    }
    fn get<'a>(lists: Self::Values<'a>, row: usize) -> Self::Value<'a> {
        TextItems {
            items: lists.items,
            start: lists.offsets[row] as usize,
            end: lists.offsets[row + 1] as usize,
        }
    }
    fn same(a: TextItems<'_>, b: TextItems<'_>) -> bool {
        a.iter().eq(b.iter())
    }
    fn builder(rows: usize) -> TextListBuilder {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        TextListBuilder { offsets, items: TextBuilder::new(rows) }
    }
    fn put_null(builder: &mut TextListBuilder) {
        builder.close();
    }
    fn put(builder: &mut TextListBuilder, value: TextItems<'_>) {
        for item in value.iter() {
            Text::put(&mut builder.items, item);
        }
        builder.close();
    }
    fn finish(builder: TextListBuilder) -> contract::Values {
        contract::Values::TextList(contract::TextLists {
            offsets: builder.offsets,
            items: builder.items.finish(),
        })
    }
}

impl Put<TextList> for TextItems<'_> {
    fn put(self, to: &mut TextListBuilder) {
        TextList::put(to, self);
    }
}

impl<T: AsRef<str>> Put<TextList> for &[T] {
    fn put(self, to: &mut TextListBuilder) {
        for item in self {
            Text::put(&mut to.items, item.as_ref());
        }
        to.close();
    }
}

impl<T: AsRef<str>> Put<TextList> for Vec<T> {
    fn put(self, to: &mut TextListBuilder) {
        self.as_slice().put(to);
    }
}

impl<T: AsRef<str>, const N: usize> Put<TextList> for [T; N] {
    fn put(self, to: &mut TextListBuilder) {
        self.as_slice().put(to);
    }
}

#[doc(hidden)]
#[derive(Debug)]
pub struct FloatListBuilder {
    offsets: Vec<u32>,
    items: Vec<f64>,
}

impl Kind for FloatList {
    const TYPE: ColumnType = ColumnType::FloatList;
    type Value<'a> = &'a [f64];
    type Values<'a> = FloatLists<'a>;
    type Builder = FloatListBuilder;

    fn values<'a>(values: &view::Values<'a>) -> Option<FloatLists<'a>> {
        match values {
            view::Values::FloatList(lists) => Some(*lists),
            _ => None,
        }
    }
    fn get<'a>(lists: Self::Values<'a>, row: usize) -> Self::Value<'a> {
        &lists.items[lists.offsets[row] as usize..lists.offsets[row + 1] as usize]
    }
    fn same(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| Float::same(a, b))
    }
    fn builder(rows: usize) -> FloatListBuilder {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        FloatListBuilder { offsets, items: Vec::with_capacity(2 * rows) }
    }
    fn put_null(builder: &mut FloatListBuilder) {
        builder.offsets.push(builder.items.len() as u32);
    }
    #[inline]
    fn put(builder: &mut FloatListBuilder, value: &[f64]) {
        builder.items.extend_from_slice(value);
        builder.offsets.push(builder.items.len() as u32);
    }
    fn finish(builder: FloatListBuilder) -> contract::Values {
        contract::Values::FloatList(contract::FloatLists {
            offsets: builder.offsets,
            items: builder.items,
        })
    }
}

impl Put<FloatList> for &[f64] {
    fn put(self, to: &mut FloatListBuilder) {
        FloatList::put(to, self);
    }
}

impl Put<FloatList> for Vec<f64> {
    fn put(self, to: &mut FloatListBuilder) {
        FloatList::put(to, &self);
    }
}

impl<const N: usize> Put<FloatList> for [f64; N] {
    #[inline]
    fn put(self, to: &mut FloatListBuilder) {
        FloatList::put(to, &self);
    }
}

/// A column that is read.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a, K: Kind> {
    values: K::Values<'a>,
    valid: Option<&'a [u8]>,
}

impl<'a, K: Kind> Column<'a, K> {
    pub(crate) fn new(values: K::Values<'a>, valid: Option<&'a [u8]>) -> Self {
        Self { values, valid }
    }

    /// What a row holds, or `None` for null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<K::Value<'a>> {
        view::is_valid(self.valid, row).then(|| K::get(self.values, row))
    }

    /// The column as it lies in memory.
    #[inline]
    pub fn values(&self) -> K::Values<'a> {
        self.values
    }

    /// A bit for each row, set where it is not null; absent if none is null.
    #[inline]
    pub fn valid(&self) -> Option<&'a [u8]> {
        self.valid
    }
}
