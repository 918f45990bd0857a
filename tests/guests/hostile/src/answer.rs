//! Answers of `clean`: each starts from one that is right and spoils a single thing.

use crate::misbehaviour::Answer;
use crate::pinhost::plugin::types::{
    Change, Cleaned, Column, ColumnData, ColumnType, FloatLists, ListSlices, Patch, Rejection,
    Slices, TextLists, Texts, Values,
};
use crate::{CONTROL, Rows, long};

/// 0000-12-31T23:59:59.999999Z and 10000-01-01T00:00:00Z.
const YEAR_ZERO: i64 = -62_135_596_800_000_001;
const YEAR_10000: i64 = 253_402_300_800_000_000;

/// What a plugin with nothing to do answers. A new column is null throughout.
pub(crate) fn honest(writes: &Column, rows: u32) -> Cleaned {
    let change = if writes.name == "text" && writes.kind == ColumnType::Text {
        Change::Unchanged
    } else {
        replaced(empty(writes.kind, rows), Some(bits(rows, |_| false)))
    };
    Cleaned { changes: vec![change], dropped: vec![], rejected: vec![], tallies: vec![rows] }
}

pub(crate) fn answer(
    answer: Answer,
    n: Option<usize>,
    calls: usize,
    writes: &Column,
    rows: &Rows<'_>,
) -> Cleaned {
    use Answer as A;
    let n = |default| n.unwrap_or(default);
    let count = rows.count;
    let mut cleaned = honest(writes, count);
    let first = rows.guilty[0];

    match answer {
        A::ChangesTooFew => cleaned.changes.clear(),
        A::ChangesTooMany => cleaned.changes.push(Change::Unchanged),
        A::DroppedOutOfRange => cleaned.dropped = vec![count],
        A::DroppedDescending => cleaned.dropped = descending(&rows.guilty),
        A::DroppedRepeated => cleaned.dropped = vec![first, first],
        A::DroppedAndRejected => {
            cleaned.dropped = rows.guilty.clone();
            cleaned.rejected = reject(&rows.guilty);
        }
        A::RejectedOutOfRange => cleaned.rejected = reject(&[count]),
        A::RejectedDescending => cleaned.rejected = reject(&descending(&rows.guilty)),
        A::RejectedRepeated => cleaned.rejected = reject(&[first, first]),
        A::RejectedReasonEmpty => {
            cleaned.rejected = reject_with(&rows.guilty, |_| (String::new(), None));
        }
        A::RejectedMany => {
            let all: Vec<u32> = (0..).take(n(500_000)).collect();
            cleaned.rejected = reject_with(&all, |_| ("many".to_owned(), None));
        }
        A::FineDropped => cleaned.dropped = rows.guilty.clone(),
        A::FineRejected => {
            cleaned.rejected = reject_with(&rows.guilty, |row| {
                let text = rows.get(row).map(|text| String::from_utf8_lossy(text).into_owned());
                ("hostile: told to reject".to_owned(), text)
            });
        }
        A::FineRejectedLong => {
            cleaned.rejected = reject_with(&rows.guilty, |_| (long(n(100)), Some(long(n(100)))));
        }
        A::FineRejectedReasons => {
            cleaned.rejected =
                reject_with(&rows.guilty, |row| (format!("hostile: row {row}"), None));
        }
        A::FineRejectedControlCharacters => {
            cleaned.rejected =
                reject_with(&rows.guilty, |_| (CONTROL.to_owned(), Some(CONTROL.to_owned())));
        }
        A::TalliesOverKept | A::FineNanInDropped => cleaned.dropped = rows.guilty.clone(),
        _ => {}
    }
    if let Some(change) = change(answer, n, calls, rows) {
        cleaned.changes = vec![change];
    }

    let gone = cleaned.dropped.len() + cleaned.rejected.len();
    let kept = count.saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX));
    cleaned.tallies = match answer {
        A::TalliesTooFew => vec![],
        A::TalliesTooMany => vec![kept, kept],
        A::TalliesTooLarge | A::TalliesOverKept => vec![kept + 1],
        _ => vec![kept],
    };
    cleaned
}

/// The change, if that is what is odd about the answer.
fn change(
    answer: Answer,
    n: impl Fn(usize) -> usize,
    calls: usize,
    rows: &Rows<'_>,
) -> Option<Change> {
    use Answer as A;
    let count = rows.count;
    let all = count as usize;
    let bytes = all.div_ceil(8);
    let innocent = |row| !rows.is_guilty(row);

    Some(match answer {
        A::ReplacedKindWrong => replaced(Values::Integer(vec![1; all]), None),
        A::ReplacedTextForList => replaced(Values::Text(rows.text.clone()), None),

        A::UnreadUnchanged | A::OtherKindUnchanged => Change::Unchanged,
        A::UnreadNulls | A::OtherKindNulls => Change::Nulls(bits(count, innocent)),
        A::UnreadPatched => patch(rows, |_| {}),
        A::OtherKindPatched | A::PatchedKindWrong => patch(rows, |patch| {
            patch.data.values = Values::Integer(vec![1; patch.rows.len()]);
        }),

        A::NullsTooShort => Change::Nulls(vec![0; bytes - 1]),
        A::NullsTooLong => Change::Nulls(vec![0; bytes + 1]),
        A::NullsRevive => {
            Change::Nulls(bits(count, |row| rows.is_guilty(row) || rows.get(row).is_some()))
        }

        A::PatchedDescending => patch(rows, |patch| {
            patch.rows = descending(&patch.rows);
            patch.data.values = Values::Text(repeated("x", patch.rows.len()));
        }),
        A::PatchedRepeated => patch(rows, |patch| {
            patch.rows = vec![patch.rows[0]; 2];
            patch.data.values = Values::Text(repeated("x", 2));
        }),
        A::PatchedOutOfRange => patch(rows, |patch| {
            patch.rows = vec![count];
            patch.data.values = Values::Text(repeated("x", 1));
        }),
        A::PatchedRowMax => patch(rows, |patch| {
            patch.rows = vec![u32::MAX];
            patch.data.values = Values::Text(repeated("x", 1));
        }),
        A::PatchedTooMany => patch(rows, |patch| {
            patch.data.values = Values::Text(repeated("x", patch.rows.len() + 1));
        }),
        A::PatchedTooFew => patch(rows, |patch| {
            patch.data.values = Values::Text(repeated("x", patch.rows.len() - 1));
        }),
        A::PatchedValidTooShort => patch(rows, |patch| {
            patch.data.valid = Some(vec![0xff; patch.rows.len().div_ceil(8) - 1]);
        }),
        A::PatchedNotUtf8 => patch(rows, |patch| {
            let mut texts = repeated("x", patch.rows.len());
            texts.bytes[0] = 0xff;
            patch.data.values = Values::Text(texts);
        }),
        A::FinePatchEmpty => patch(rows, |patch| {
            patch.rows.clear();
            patch.data.values = Values::Text(repeated("x", 0));
        }),
        A::FinePatchNull => patch(rows, |patch| {
            patch.data.valid = Some(vec![0; patch.rows.len().div_ceil(8)]);
        }),

        A::SlicesStartAfterEnd => slices(rows, |slices| {
            for (start, end) in spans(rows, slices) {
                *end = end.saturating_sub(1);
                *start = *end + 1;
            }
        }),
        A::SlicesPastEnd => slices(rows, |slices| {
            spans(rows, slices).for_each(|(_, end)| *end += 1);
        }),
        A::SlicesFar => slices(rows, |slices| {
            spans(rows, slices).for_each(|(start, end)| (*start, *end) = (u32::MAX, u32::MAX));
        }),
        A::SlicesMidCharacter => slices(rows, |slices| {
            for (row, start) in slices.starts.iter_mut().enumerate() {
                *start = inside_character(rows, row as u32);
            }
        }),
        A::SlicesTooFew => slices(rows, |slices| {
            slices.starts.pop();
            slices.ends.pop();
        }),
        A::SlicesTooMany => slices(rows, |slices| {
            slices.starts.push(0);
            slices.ends.push(0);
        }),
        A::SlicesEndsShort => slices(rows, |slices| {
            slices.ends.pop();
        }),
        A::SlicesColumnOutOfRange => slices(rows, |slices| slices.column = 7),
        A::SlicesColumnKindWrong => slices(rows, |slices| {
            slices.column = 1;
            slices.starts.fill(0);
            slices.ends.fill(0);
        }),
        A::SlicesIntoInteger => slices(rows, |_| {}),
        A::SlicesValidTooShort => slices(rows, |slices| slices.valid = Some(vec![0; bytes - 1])),
        A::SlicesRevive => slices(rows, |slices| {
            slices.valid = Some(bits(count, |row| rows.is_guilty(row) || rows.get(row).is_some()));
        }),
        A::FineSlicesEmpty => slices(rows, |slices| {
            spans(rows, slices).for_each(|(start, end)| (*start, *end) = (0, 0));
        }),

        A::ListSlicesStartAfterEnd => list_slices(rows, 1, |lists| {
            for &row in &rows.guilty {
                let row = row as usize;
                lists.ends[row] = lists.ends[row].saturating_sub(1);
                lists.starts[row] = lists.ends[row] + 1;
            }
        }),
        A::ListSlicesPastEnd => list_slices(rows, 1, |lists| {
            rows.guilty.iter().for_each(|&row| lists.ends[row as usize] += 1);
        }),
        A::ListSlicesMidCharacter => list_slices(rows, 1, |lists| {
            for (row, start) in lists.starts.iter_mut().enumerate() {
                *start = inside_character(rows, row as u32);
            }
        }),
        A::ListSlicesEndsShort => list_slices(rows, 1, |lists| {
            lists.ends.pop();
        }),
        A::ListSlicesColumnOutOfRange => list_slices(rows, 1, |lists| lists.column = 7),
        A::ListSlicesColumnKindWrong => list_slices(rows, 1, |lists| {
            lists.column = 1;
            lists.starts.fill(0);
            lists.ends.fill(0);
        }),
        A::ListSlicesIntoText => list_slices(rows, 1, |_| {}),
        A::ListSlicesOffsetsNone => list_slices(rows, 1, |lists| lists.offsets.clear()),
        A::ListSlicesOffsetsTooFew => list_slices(rows, 1, |lists| {
            lists.offsets.pop();
            lists.starts.pop();
            lists.ends.pop();
        }),
        A::ListSlicesOffsetsDescending => list_slices(rows, 1, |lists| descend(&mut lists.offsets)),
        A::ListSlicesOffsetsNotFromZero => list_slices(rows, 1, |lists| lists.offsets[0] = 1),
        A::ListSlicesOffsetsBeforeEnd => list_slices(rows, 1, |lists| {
            lists.starts.push(0);
            lists.ends.push(0);
        }),
        A::ListSlicesOffsetsPastEnd => list_slices(rows, 1, |lists| lists.offsets[all] += 1),
        A::ListSlicesValidTooShort => {
            list_slices(rows, 1, |lists| lists.valid = Some(vec![0; bytes - 1]))
        }
        A::ListSlicesAmplified => list_slices(rows, n(1_000_000), |_| {}),
        A::FinePiecesOverlap => list_slices(rows, 2, |_| {}),

        A::ReplacedTooFew => texts(all - 1, |_| {}),
        A::ReplacedTooMany => texts(all + 1, |_| {}),
        A::ReplacedOffsetsNone => texts(all, |texts| texts.offsets.clear()),
        A::ReplacedOffsetsDescending => texts(all, |texts| descend(&mut texts.offsets)),
        A::ReplacedOffsetsNotFromZero => texts(all, |texts| texts.offsets[0] = 1),
        A::ReplacedOffsetsBeforeEnd => texts(all, |texts| texts.bytes.push(b'x')),
        A::ReplacedOffsetsPastEnd => texts(all, |texts| texts.offsets[all] += 1),
        A::ReplacedNotUtf8 => texts(all, |texts| texts.bytes[0] = 0xff),
        A::ReplacedNotUtf8UnderNull => {
            let mut texts = repeated("é", all);
            texts.bytes[0] = 0xff;
            replaced(Values::Text(texts), Some(vec![0; bytes]))
        }
        A::ReplacedMidCharacter => texts(all, |texts| {
            if all == 1 {
                texts.offsets[1] = 1;
                texts.bytes.truncate(1);
            } else {
                texts.offsets[1] = 1;
            }
        }),
        A::ReplacedValidTooShort => {
            replaced(Values::Text(repeated("é", all)), Some(vec![0; bytes - 1]))
        }
        A::ReplacedValidTooLong => {
            replaced(Values::Text(repeated("é", all)), Some(vec![0; bytes + 1]))
        }
        A::ReplacedLarge => {
            let length = n(32) << 20;
            let end = |row: usize| (row as u64 * length as u64 / all as u64) as u32;
            let texts = Texts { offsets: (0..=all).map(end).collect(), bytes: vec![b'x'; length] };
            replaced(Values::Text(texts), None)
        }

        A::BooleanTooShort => replaced(Values::Boolean(vec![0; bytes - 1]), None),
        A::IntegerTooFew => replaced(Values::Integer(vec![1; all - 1]), None),
        A::IntegerTooMany => replaced(Values::Integer(vec![1; all + 1]), None),
        A::CutsDiffer => {
            let values = vec![i64::from(count); all];
            replaced(Values::Integer(values), Some(bits(count, |row| rows.is_guilty(row))))
        }
        A::FloatTooFew => replaced(Values::Float(vec![0.5; all - 1]), None),
        A::FloatNan | A::FineNanInDropped => floats(rows, f64::NAN, None),
        A::FloatInfinite => floats(rows, f64::NEG_INFINITY, None),
        A::FineNanUnderNull => floats(rows, f64::NAN, Some(bits(count, innocent))),
        A::TimestampTooFew => replaced(Values::Timestamp(vec![0; all - 1]), None),
        A::TimestampYearZero => timestamps(rows, YEAR_ZERO, None),
        A::TimestampYear10000 => timestamps(rows, YEAR_10000, None),
        A::TimestampLeast => timestamps(rows, i64::MIN, None),
        A::FineTimestampUnderNull => timestamps(rows, i64::MAX, Some(bits(count, innocent))),

        A::TextListOffsetsDescending => text_lists(all, |lists| descend(&mut lists.offsets)),
        A::TextListOffsetsPastEnd => text_lists(all, |lists| lists.offsets[all] += 1),
        A::TextListItemOffsetsDescending => {
            text_lists(all, |lists| descend(&mut lists.items.offsets))
        }
        A::TextListItemOffsetsPastEnd => text_lists(all, |lists| lists.items.offsets[all] += 1),
        A::TextListItemNotUtf8 => text_lists(all, |lists| lists.items.bytes[0] = 0xff),
        A::TextListItemMidCharacter => text_lists(all, |lists| {
            // The first list gets one item more, by cutting its own in two.
            lists.items.offsets.insert(1, 1);
            lists.offsets[1..].iter_mut().for_each(|offset| *offset += 1);
        }),
        A::FloatListOffsetsPastEnd => {
            float_lists(vec![0.5; all], (0..count).chain([count + 1]).collect())
        }
        A::FloatListInfinite => float_lists(rows.values(f64::INFINITY, 0.5), (0..=count).collect()),

        A::CallsDiffer if calls.is_multiple_of(2) => {
            Change::Nulls(bits(count, |row| !rows.is_guilty(row) && rows.get(row).is_some()))
        }
        A::CallsDiffer => Change::Unchanged,
        A::FineStrayBits => {
            let mut bits = bits(count, |row| !rows.is_guilty(row) && rows.get(row).is_some());
            if !count.is_multiple_of(8) {
                bits[bytes - 1] |= 0xff << (count % 8);
            }
            Change::Nulls(bits)
        }

        A::ChangesTooFew
        | A::ChangesTooMany
        | A::DroppedOutOfRange
        | A::DroppedDescending
        | A::DroppedRepeated
        | A::DroppedAndRejected
        | A::RejectedOutOfRange
        | A::RejectedDescending
        | A::RejectedRepeated
        | A::RejectedReasonEmpty
        | A::RejectedMany
        | A::TalliesTooFew
        | A::TalliesTooMany
        | A::TalliesTooLarge
        | A::TalliesOverKept
        | A::FineDropped
        | A::FineRejected
        | A::FineRejectedLong
        | A::FineRejectedReasons
        | A::FineRejectedControlCharacters => return None,
    })
}

fn bits(rows: u32, is_set: impl Fn(u32) -> bool) -> Vec<u8> {
    let mut bits = vec![0; (rows as usize).div_ceil(8)];
    for row in (0..rows).filter(|&row| is_set(row)) {
        bits[row as usize / 8] |= 1 << (row % 8);
    }
    bits
}

fn replaced(values: Values, valid: Option<Vec<u8>>) -> Change {
    Change::Replaced(ColumnData { values, valid })
}

/// Values for as many nulls.
fn empty(kind: ColumnType, rows: u32) -> Values {
    let all = rows as usize;
    let offsets = vec![0; all + 1];
    match kind {
        ColumnType::Boolean => Values::Boolean(vec![0; all.div_ceil(8)]),
        ColumnType::Integer => Values::Integer(vec![0; all]),
        ColumnType::Float => Values::Float(vec![0.0; all]),
        ColumnType::Text => Values::Text(repeated("", all)),
        ColumnType::Timestamp => Values::Timestamp(vec![0; all]),
        ColumnType::TextList => Values::TextList(TextLists { offsets, items: repeated("", 0) }),
        ColumnType::FloatList => Values::FloatList(FloatLists { offsets, items: vec![] }),
    }
}

/// The same text so many times.
fn repeated(text: &str, times: usize) -> Texts {
    let offsets = (0..=times).map(|i| (i * text.len()) as u32).collect();
    Texts { offsets, bytes: text.repeat(times).into_bytes() }
}

fn texts(count: usize, spoil: impl FnOnce(&mut Texts)) -> Change {
    let mut texts = repeated("é", count);
    spoil(&mut texts);
    replaced(Values::Text(texts), None)
}

fn floats(rows: &Rows<'_>, guilty: f64, valid: Option<Vec<u8>>) -> Change {
    replaced(Values::Float(rows.values(guilty, 0.5)), valid)
}

fn timestamps(rows: &Rows<'_>, guilty: i64, valid: Option<Vec<u8>>) -> Change {
    replaced(Values::Timestamp(rows.values(guilty, 0)), valid)
}

/// One item a list.
fn text_lists(rows: usize, spoil: impl FnOnce(&mut TextLists)) -> Change {
    let mut lists = TextLists { offsets: (0..=rows as u32).collect(), items: repeated("é", rows) };
    spoil(&mut lists);
    replaced(Values::TextList(lists), None)
}

fn float_lists(items: Vec<f64>, offsets: Vec<u32>) -> Change {
    replaced(Values::FloatList(FloatLists { offsets, items }), None)
}

/// A patch that makes guilty rows `patched`.
fn patch(rows: &Rows<'_>, spoil: impl FnOnce(&mut Patch)) -> Change {
    let values = Values::Text(repeated("patched", rows.guilty.len()));
    let data = ColumnData { values, valid: None };
    let mut patch = Patch { rows: rows.guilty.clone(), data };
    spoil(&mut patch);
    Change::Patched(patch)
}

/// Slices that are the whole values.
fn slices(rows: &Rows<'_>, spoil: impl FnOnce(&mut Slices)) -> Change {
    let ends = (0..rows.count).map(|row| rows.bytes(row).len() as u32).collect();
    let mut slices = Slices { column: 0, starts: vec![0; rows.count as usize], ends, valid: None };
    spoil(&mut slices);
    Change::Slices(slices)
}

/// The start and the end of the guilty rows' slices.
fn spans<'a>(
    rows: &'a Rows<'_>,
    slices: &'a mut Slices,
) -> impl Iterator<Item = (&'a mut u32, &'a mut u32)> {
    let spans = slices.starts.iter_mut().zip(&mut slices.ends).enumerate();
    spans.filter(|(row, _)| rows.is_guilty(*row as u32)).map(|(_, span)| span)
}

/// Lists of pieces that are the whole value: so many for a guilty row, one for any other.
fn list_slices(rows: &Rows<'_>, pieces: usize, spoil: impl FnOnce(&mut ListSlices)) -> Change {
    let mut lists =
        ListSlices { column: 0, offsets: vec![0], starts: vec![], ends: vec![], valid: None };
    for row in 0..rows.count {
        let pieces = if rows.is_guilty(row) { pieces } else { 1 };
        let length = rows.bytes(row).len() as u32;
        lists.ends.resize(lists.ends.len() + pieces, length);
        lists.offsets.push(lists.ends.len() as u32);
    }
    lists.starts.resize(lists.ends.len(), 0);
    spoil(&mut lists);
    Change::ListSlices(lists)
}

/// The first place inside of a character in a guilty row, or 0.
fn inside_character(rows: &Rows<'_>, row: u32) -> u32 {
    let inside = rows.bytes(row).iter().position(|&byte| byte & 0xc0 == 0x80);
    inside.filter(|_| rows.is_guilty(row)).unwrap_or(0) as u32
}

/// Makes the first value end where the last does, and the second before. With fewer than three
/// values none is left between them, so the last one begins past the end.
fn descend(offsets: &mut [u32]) {
    let last = offsets.len() - 1;
    match last {
        0..3 => offsets[last - 1] = offsets[last] + 1,
        _ => offsets[1] = offsets[last],
    }
}

/// The rows from the last to the first; if there is but one, the one after it before it.
fn descending(rows: &[u32]) -> Vec<u32> {
    match rows {
        [row] => vec![row + 1, *row],
        _ => rows.iter().rev().copied().collect(),
    }
}

fn reject(rows: &[u32]) -> Vec<Rejection> {
    reject_with(rows, |_| ("hostile: told to reject".to_owned(), None))
}

fn reject_with(rows: &[u32], why: impl Fn(u32) -> (String, Option<String>)) -> Vec<Rejection> {
    rows.iter()
        .map(|&row| {
            let (reason, detail) = why(row);
            Rejection { row, reason, detail }
        })
        .collect()
}
