//! Columns on their way into a plugin: Arrow's buffers as they are wherever they can be, so that the
//! copy into the guest's memory is the only one.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};

use super::contract::types as t;
use crate::record::Kind;

/// A column in the contract's shape. Holds what the parameters of a call borrow.
#[derive(Debug)]
pub(crate) struct Lowered {
    values: Values,
    valid: Option<Buffer>,
}

#[derive(Debug)]
enum Values {
    Boolean(Buffer),
    Integer(ScalarBuffer<i64>),
    Float(ScalarBuffer<f64>),
    Text(Texts),
    Timestamp(ScalarBuffer<i64>),
    TextList { offsets: Offsets, items: Texts },
    FloatList { offsets: Offsets, items: ScalarBuffer<f64> },
}

#[derive(Debug)]
struct Texts {
    offsets: Offsets,
    bytes: Buffer,
}

/// Offsets from 0 upwards.
type Offsets = ScalarBuffer<u32>;

impl Lowered {
    /// # Panics
    /// If the array is not one of `kind`.
    pub(crate) fn new(kind: Kind, array: &ArrayRef) -> Self {
        let values = match kind {
            Kind::Boolean => Values::Boolean(array.as_boolean().values().sliced()),
            Kind::Integer => Values::Integer(array.as_primitive::<Int64Type>().values().clone()),
            Kind::Float => Values::Float(array.as_primitive::<Float64Type>().values().clone()),
            Kind::Timestamp => {
                Values::Timestamp(array.as_primitive::<TimestampMicrosecondType>().values().clone())
            }
            Kind::Text => Values::Text(texts(array)),
            Kind::TextList => {
                let lists = array.as_list::<i32>();
                let (offsets, first, past) = from_zero(lists.offsets());
                let items = texts(&lists.values().slice(first, past - first));
                Values::TextList { offsets, items }
            }
            Kind::FloatList => {
                let lists = array.as_list::<i32>();
                let (offsets, first, past) = from_zero(lists.offsets());
                let items = lists.values().as_primitive::<Float64Type>().values();
                Values::FloatList { offsets, items: items.slice(first, past - first) }
            }
        };
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        Self { values, valid: nulls.map(|nulls| nulls.inner().sliced()) }
    }

    pub(crate) fn param(&self) -> t::ColumnDataParam<'_> {
        let values = match &self.values {
            Values::Boolean(bits) => t::ValuesParam::Boolean(bits),
            Values::Integer(values) => t::ValuesParam::Integer(values),
            Values::Float(values) => t::ValuesParam::Float(values),
            Values::Timestamp(values) => t::ValuesParam::Timestamp(values),
            Values::Text(texts) => t::ValuesParam::Text(texts.param()),
            Values::TextList { offsets, items } => {
                t::ValuesParam::TextList(t::TextListsParam { offsets, items: items.param() })
            }
            Values::FloatList { offsets, items } => {
                t::ValuesParam::FloatList(t::FloatListsParam { offsets, items })
            }
        };
        t::ColumnDataParam { values, valid: self.valid.as_deref() }
    }
}

impl Texts {
    fn param(&self) -> t::TextsParam<'_> {
        t::TextsParam { offsets: &self.offsets, bytes: &self.bytes }
    }
}

fn texts(array: &ArrayRef) -> Texts {
    if let Some(plain) = array.as_string_opt::<i32>() {
        let (offsets, first, past) = from_zero(plain.offsets());
        return Texts { offsets, bytes: plain.values().slice_with_length(first, past - first) };
    }
    // Pieces of other columns' texts: gathered, for once. In a null's place goes nothing.
    let views = array.as_string_view();
    let mut offsets = Vec::with_capacity(views.len() + 1);
    let mut bytes = Vec::with_capacity(views.total_buffer_bytes_used());
    offsets.push(0);
    for row in 0..views.len() {
        if views.is_valid(row) {
            bytes.extend_from_slice(views.value(row).as_bytes());
        }
        offsets.push(u32::try_from(bytes.len()).expect("a batch is smaller than 4 GiB"));
    }
    Texts { offsets: offsets.into(), bytes: Buffer::from_vec(bytes) }
}

/// The offsets less the first of them, which is most often 0; and what they ran from and to.
fn from_zero(offsets: &OffsetBuffer<i32>) -> (Offsets, usize, usize) {
    let (first, past) = (offsets[0], offsets[offsets.len() - 1]);
    let from_zero = if first == 0 {
        // Offsets are never negative, so that the same bits are the same numbers.
        ScalarBuffer::new(offsets.inner().inner().clone(), 0, offsets.len())
    } else {
        offsets.iter().map(|offset| (offset - first) as u32).collect()
    };
    (from_zero, first as usize, past as usize)
}
