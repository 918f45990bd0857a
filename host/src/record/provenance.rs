//! What a row says of itself, behind the columns of its rule: its lane, its place there, and what made it.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::builder::StringViewBuilder;
use uuid::Uuid;

use super::{Batch, Digest, Field, Kind, Position, RawBatch};

/// The names of these columns. No column of a rule begins like them.
pub const LANE: &str = "_pinhost_lane";
pub const POSITION: &str = "_pinhost_position";
pub const GENERATION: &str = "_pinhost_generation";
pub const VERSION: &str = "_pinhost_version";

/// Whether a column's name is one of these, or may be one later.
pub fn is_own(name: &str) -> bool {
    name.starts_with("_pinhost_")
}

/// The sources that a lane was read from, one after the other: a topic that is made anew has the same name,
/// the same lanes and the same places, and other records there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneSources(Vec<Uuid>);

impl LaneSources {
    /// Takes every position that the lane is known to have had, in the order in which it had them.
    pub fn new(positions: impl IntoIterator<Item = Position>) -> Self {
        let mut sources = Vec::new();
        for source in positions.into_iter().filter_map(|position| source_of(&position)) {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        Self(sources)
    }

    /// Whether the sources of these positions are among them.
    pub fn hold(&self, positions: &[Position]) -> bool {
        positions.iter().filter_map(source_of).all(|source| self.0.contains(&source))
    }

    /// Whether the source of `one` is known to have come before that of `other`.
    pub fn is_before(&self, one: &Position, other: &Position) -> bool {
        let at = |position| {
            let source = source_of(position)?;
            self.0.iter().position(|known| *known == source)
        };
        at(one).zip(at(other)).is_some_and(|(one, other)| one < other)
    }

    /// A lane as rows name it: `pins/pin/0`, and `pins/pin/0#2` for the second source of that name. A
    /// source that the lane was never read from is named by the beginning of its id.
    pub fn lane_name(&self, pipeline: &str, lane: &str, position: &Position) -> String {
        let name = format!("{pipeline}/{lane}");
        let Some(source) = source_of(position) else { return name };
        match self.0.iter().position(|known| *known == source) {
            Some(0) => name,
            Some(before) => format!("{name}#{}", before + 1),
            None => format!("{name}#{:08x}", source.as_fields().0),
        }
    }
}

/// What tells a source from another one of the same name.
pub fn source_of(position: &Position) -> Option<Uuid> {
    position.mark().map(|mark| mark.of)
}

/// Whether this is how rows name a lane, of whichever pipeline and source.
pub fn is_name_of(name: &str, lane: &str) -> bool {
    let of = |name: &str| name.strip_suffix(lane).is_some_and(|rest| rest.ends_with('/'));
    // Rows used to have the lane alone.
    name == lane || of(name) || name.rsplit_once('#').is_some_and(|(name, _)| of(name))
}

/// The lane itself in the name that rows give it.
pub fn lane_in(name: &str) -> &str {
    // No pipeline's name has a slash.
    let lane = name.split_once('/').map_or(name, |(_, lane)| lane);
    let is_source = |mark: &str| {
        let is_id = mark.len() == 8 && mark.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id || !mark.is_empty() && mark.bytes().all(|byte| byte.is_ascii_digit())
    };
    match lane.rsplit_once('#') {
        Some((lane, mark)) if is_source(mark) => lane,
        Some(_) | None => lane,
    }
}

/// A lane under the pipeline that rows name it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneName {
    pub pipeline: Arc<str>,
    pub lane: Arc<str>,
    pub sources: LaneSources,
}

impl LaneName {
    /// As rows name it whose records stand there.
    pub fn at(&self, position: &Position) -> String {
        self.sources.lane_name(&self.pipeline, &self.lane, position)
    }
}

/// Rows with what they say of themselves behind their columns. Each is made of one of `records`, the one
/// that `origins` names.
///
/// # Panics
/// If there is not one origin for each row.
#[must_use]
pub fn with_provenance(
    rows: &Batch,
    records: &RawBatch,
    origins: &[u32],
    lane: &LaneName,
    generation: Digest,
) -> Batch {
    assert_eq!(rows.rows(), origins.len(), "each row is made of one record");
    let mut lanes = StringViewBuilder::with_capacity(origins.len());
    let mut places = StringViewBuilder::with_capacity(origins.len());
    // Most often all of them are of one source.
    let mut run: Option<(Option<Uuid>, String, usize)> = None;
    let mut place = String::new();
    for origin in origins {
        let position = records.position(*origin as usize);
        match &mut run {
            Some((source, _, rows)) if *source == source_of(&position) => *rows += 1,
            _ => {
                let next = (source_of(&position), lane.at(&position), 1);
                if let Some((_, name, rows)) = run.replace(next) {
                    append_repeated(&mut lanes, &name, rows);
                }
            }
        }
        place.clear();
        write!(place, "{}", position.place()).expect("text");
        places.append_value(&place);
    }
    if let Some((_, name, rows)) = run {
        append_repeated(&mut lanes, &name, rows);
    }
    let mut generations = StringViewBuilder::with_capacity(origins.len());
    append_repeated(&mut generations, &generation.to_string(), origins.len());
    let own: [(&str, ArrayRef); 3] = [
        (LANE, Arc::new(lanes.finish())),
        (POSITION, Arc::new(places.finish())),
        (GENERATION, Arc::new(generations.finish())),
    ];
    let mut fields = rows.fields().to_vec();
    let mut columns = rows.columns().to_vec();
    for (name, column) in own {
        fields.push(Field::new(name, Kind::Text));
        columns.push(column);
    }
    Batch::new(rows.rows(), fields.into(), columns)
}

/// One text for so many rows: its bytes are there once.
fn append_repeated(texts: &mut StringViewBuilder, text: &str, rows: usize) {
    texts.try_append_value_n(text, rows).expect("names are short");
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray as _;
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::record::{ArchivedPlace, Lane, Mark, Past, Place, RawRecord, json};

    fn kafka(topic: u128, offset: u64) -> Position {
        let mark = Mark { of: Uuid::from_u128(topic), epoch: 3 };
        Position::At(Place::new(&[offset], Some(mark)))
    }

    fn sources() -> LaneSources {
        LaneSources::new([kafka(7 << 96, 0), kafka(7 << 96, 9), kafka(8 << 96, 0)])
    }

    #[test]
    fn a_lane_is_named_by_pipeline_and_source() {
        let name = |at| sources().lane_name("pins", "pin/0", &at);
        assert_eq!(name(kafka(7 << 96, 3)), "pins/pin/0");
        assert_eq!(name(kafka(8 << 96, 3)), "pins/pin/0#2");
        assert_eq!(name(kafka(0x1a2b_3c4d << 96, 3)), "pins/pin/0#1a2b3c4d");
        assert_eq!(name(Position::number(3)), "pins/pin/0");
        for name in ["pin/0", "pins/pin/0", "pins/pin/0#2"] {
            assert!(is_name_of(name, "pin/0"), "{name}");
        }
        for name in ["pins/pin/1", "pins/upin/0", "pin/0#2"] {
            assert!(!is_name_of(name, "pin/0"), "{name}");
        }
    }

    #[test]
    fn each_row_says_which_record_it_was_made_of_and_by_what() {
        let place = |topic: u128, offset| ArchivedPlace {
            at: kafka(topic << 96, offset),
            next: kafka(topic << 96, offset + 1),
        };
        let places = vec![place(7, 41), place(7, 43), place(8, 0)];
        let at = Position::number;
        let records = RawBatch {
            past: Some(Past::Archived { lane: Some(Lane::new("pin/0")), places }),
            ..RawBatch::new(
                Bytes::new(),
                (0..3).map(|row| RawRecord::value(at(row), 0..0)).collect(),
                (at(0), at(3)),
            )
        };
        let rows = serde_json::from_value::<Vec<json::JsonRow>>(json!([{"a": 1}, {"a": 2}]));
        let rows = json::batch(&rows.unwrap(), &[Field::new("a", Kind::Integer)].into()).unwrap();
        let lane = LaneName { pipeline: "pins".into(), lane: "pin/0".into(), sources: sources() };
        let generation = Digest::of(b"one");
        let told = with_provenance(&rows, &records, &[1, 2], &lane, generation);
        let names: Vec<_> = told.fields().iter().map(|field| &*field.name).collect();
        assert_eq!(names, ["a", LANE, POSITION, GENERATION]);
        let texts = |name| {
            let column = told.column(name).unwrap().as_string_view();
            column.iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts(LANE), ["pins/pin/0", "pins/pin/0#2"]);
        assert_eq!(texts(POSITION), ["43", "0"]);
        assert_eq!(texts(GENERATION), [generation.to_string(), generation.to_string()]);
    }
}
