//! Why a record did not become a row, in words that are counted (`reason`) and words that are read
//! (`detail`).

use std::fmt::Write as _;

use crate::record::DETAIL_BYTES_MAX;

/// A record that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// A short phrase, the same for all records with this fault.
    pub reason: String,
    /// What was special about this record; at most 1 KiB.
    pub detail: Option<String>,
    /// The byte of the value at which the fault shows.
    pub offset: Option<usize>,
}

/// Boxed, so that the result of every small step of the decoder is a single word.
pub(super) type Result<T> = std::result::Result<T, Box<Reject>>;

impl Reject {
    #[cold]
    pub(super) fn new(
        reason: impl Into<String>,
        detail: impl Into<Option<String>>,
        offset: impl Into<Option<usize>>,
    ) -> Box<Self> {
        let mut detail = detail.into();
        if let Some(detail) = &mut detail {
            bound(detail);
        }
        Box::new(Self { reason: reason.into(), detail, offset: offset.into() })
    }

    /// The record breaks the grammar of JSON.
    #[cold]
    pub(super) fn malformed(mut detail: String, at: usize, record_bytes: usize) -> Box<Self> {
        let _ = write!(detail, " at byte {at}");
        if at == record_bytes {
            detail.push_str(", where the record ends");
        }
        Self::new("record is not valid JSON", detail, at)
    }

    #[cold]
    pub(super) fn lone_surrogate(field: &str, at: usize) -> Box<Self> {
        Self::new(
            format!("field {field} has half a surrogate pair"),
            format!("an escape without its partner at byte {at}"),
            at,
        )
    }

    #[cold]
    pub(super) fn too_deep(depth_max: usize, at: usize) -> Box<Self> {
        Self::new(
            "record is nested too deeply",
            format!("more than {depth_max} levels at byte {at}"),
            at,
        )
    }
}

/// The part of `value` that a detail can show.
pub(super) fn shown(value: &str) -> String {
    // A little more than fits, so that the cut is visible.
    value[..value.floor_char_boundary(DETAIL_BYTES_MAX + 4)].to_owned()
}

fn bound(detail: &mut String) {
    const CUT: char = '…';
    if detail.len() > DETAIL_BYTES_MAX {
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX - CUT.len_utf8()));
        detail.push(CUT);
    }
}

/// The value as text, if there is one that can be read at all.
pub(super) fn readable(
    value: Option<&[u8]>,
    bytes_max: usize,
) -> std::result::Result<&str, Reject> {
    let Some(bytes) = value else {
        return Err(*Reject::new("record has no value", None, None));
    };
    if bytes.len() > bytes_max {
        let detail = format!("{} bytes; the limit is {bytes_max}", bytes.len());
        return Err(*Reject::new("record is too large", detail, None));
    }
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => Err(*invalid_utf8("record", bytes)),
    }
}

/// `what` is not UTF-8; the basic check of simdutf8 is the fastest, but doesn't say where.
#[cold]
pub(super) fn invalid_utf8(what: &str, bytes: &[u8]) -> Box<Reject> {
    let at = bytes.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
    let byte = bytes.get(at).copied().unwrap_or_default();
    Reject::new(format!("{what} is not valid UTF-8"), format!("byte {byte:#04x} at byte {at}"), at)
}
