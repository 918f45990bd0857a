//! What is said before the first row: descriptions, plans and findings.

use crate::misbehaviour::{Answer, BadPlan, Describing, Misbehaviour};
use crate::pinhost::plugin::types::{Column, ColumnType, Description, Finding, Plan};
use crate::{CONTROL, deed, long};

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "do": { "type": "string" },
    "where": { "type": "string" },
    "n": { "type": "integer", "minimum": 0 },
    "in": { "enum": ["configure", "clean"] }
  },
  "required": ["do"],
  "additionalProperties": false
}"#;

pub(crate) fn describe(how: Describing) -> Description {
    let (mut name, mut config_schema) = ("hostile".to_owned(), SCHEMA.to_owned());
    match how {
        Describing::Honest => {}
        Describing::Trap => deed::trap(),
        Describing::LoopForever => deed::loop_forever(),
        Describing::NameEmpty => name.clear(),
        Describing::NameLong => name = "x".repeat(1 << 20),
        Describing::NameControlCharacters => name = "host\nile".to_owned(),
        Describing::SchemaNotJson => config_schema = "type: object".to_owned(),
        Describing::SchemaArray => config_schema = "[]".to_owned(),
        Describing::SchemaFalse => config_schema = "false".to_owned(),
        Describing::SchemaInvalid => config_schema = r#"{"type": 7}"#.to_owned(),
        Describing::SchemaLong => config_schema.push_str(&" ".repeat(16 << 20)),
        Describing::SchemaDeep => config_schema = r#"{"not":"#.repeat(100_000),
    }
    if how == Describing::SchemaDeep {
        config_schema.push_str("{}");
        config_schema.push_str(&"}".repeat(100_000));
    }
    Description {
        name,
        version: "0.1.0".to_owned(),
        summary: "Does wrong what its configuration names.".to_owned(),
        config_schema,
    }
}

pub(crate) fn finding(pointer: &str, message: &str) -> Finding {
    Finding { pointer: pointer.to_owned(), message: message.to_owned(), help: None }
}

/// The plan that the misbehaviour needs, with nothing wrong in it: one column is written and there is
/// one tally.
pub(crate) fn plan(what: Misbehaviour, columns: &[Column]) -> Result<Plan, Vec<Finding>> {
    let has = |name, kind| columns.iter().any(|column| column.name == name && column.kind == kind);
    if !has("text", ColumnType::Text) {
        return Err(vec![finding("", "there is no text column `text`")]);
    }
    let mut reads = vec!["text".to_owned()];
    if has("n", ColumnType::Integer) {
        reads.push("n".to_owned());
    } else if let Misbehaviour::Answer(
        Answer::SlicesColumnKindWrong | Answer::ListSlicesColumnKindWrong,
    ) = what
    {
        return Err(vec![finding("/do", "there is no integer column `n`")]);
    }
    let (name, kind) = match what {
        Misbehaviour::Answer(answer) => writes(answer),
        Misbehaviour::Deed(_) | Misbehaviour::BadPlan(_) => ("text", ColumnType::Text),
    };
    Ok(Plan { reads, writes: vec![column(name, kind)], tallies: vec!["rows seen".to_owned()] })
}

/// Which column an answer is about. Only `text` is read.
fn writes(answer: Answer) -> (&'static str, ColumnType) {
    use Answer as A;
    match answer {
        A::UnreadUnchanged | A::UnreadNulls | A::UnreadPatched => ("new", ColumnType::Text),
        A::OtherKindUnchanged | A::OtherKindNulls | A::OtherKindPatched | A::SlicesIntoInteger => {
            ("text", ColumnType::Integer)
        }
        A::BooleanTooShort => ("boolean", ColumnType::Boolean),
        A::IntegerTooFew | A::IntegerTooMany | A::CutsDiffer => ("integer", ColumnType::Integer),
        A::FloatTooFew
        | A::FloatNan
        | A::FloatInfinite
        | A::FineNanUnderNull
        | A::FineNanInDropped => ("float", ColumnType::Float),
        A::TimestampTooFew
        | A::TimestampYearZero
        | A::TimestampYear10000
        | A::TimestampLeast
        | A::FineTimestampUnderNull => ("timestamp", ColumnType::Timestamp),
        A::ReplacedTextForList
        | A::ListSlicesStartAfterEnd
        | A::ListSlicesPastEnd
        | A::ListSlicesMidCharacter
        | A::ListSlicesEndsShort
        | A::ListSlicesColumnOutOfRange
        | A::ListSlicesColumnKindWrong
        | A::ListSlicesOffsetsNone
        | A::ListSlicesOffsetsTooFew
        | A::ListSlicesOffsetsDescending
        | A::ListSlicesOffsetsNotFromZero
        | A::ListSlicesOffsetsBeforeEnd
        | A::ListSlicesOffsetsPastEnd
        | A::ListSlicesValidTooShort
        | A::ListSlicesAmplified
        | A::TextListOffsetsDescending
        | A::TextListOffsetsPastEnd
        | A::TextListItemOffsetsDescending
        | A::TextListItemOffsetsPastEnd
        | A::TextListItemNotUtf8
        | A::TextListItemMidCharacter
        | A::FinePiecesOverlap => ("texts", ColumnType::TextList),
        A::FloatListOffsetsPastEnd | A::FloatListInfinite => ("floats", ColumnType::FloatList),
        _ => ("text", ColumnType::Text),
    }
}

pub(crate) fn spoil(bad: BadPlan, n: Option<usize>, mut plan: Plan) -> Result<Plan, Vec<Finding>> {
    let n = |default| n.unwrap_or(default);
    let long_name = || "x".repeat(1024);
    match bad {
        BadPlan::FindingsNone => return Err(Vec::new()),
        BadPlan::FindingsOne => {
            let help = Some("Tell it to do `nothing`.".to_owned());
            return Err(vec![Finding { help, ..finding("/do", "hostile: told to refuse") }]);
        }
        BadPlan::FindingsPointerNowhere => {
            return Err(vec![finding("/no/such/0", "hostile: nowhere")]);
        }
        BadPlan::FindingsPointerMalformed => return Err(vec![finding("do", "hostile: malformed")]),
        BadPlan::FindingsLong => {
            let help = Some(long(n(1024)));
            return Err(vec![Finding { help, ..finding("/do", &long(n(1024))) }]);
        }
        BadPlan::FindingsMany => return Err(vec![finding("/do", "hostile: again"); n(100_000)]),
        BadPlan::FindingsControlCharacters => {
            let help = Some(CONTROL.to_owned());
            return Err(vec![Finding { help, ..finding(CONTROL, CONTROL) }]);
        }
        BadPlan::ReadsUnknown => plan.reads.push("no_such_column".to_owned()),
        BadPlan::ReadsTwice => plan.reads.push("text".to_owned()),
        BadPlan::ReadsNameless => plan.reads.push(String::new()),
        BadPlan::WritesTwice => plan.writes.push(column("text", ColumnType::Text)),
        BadPlan::WritesNameless => plan.writes.push(column("", ColumnType::Text)),
        BadPlan::WritesControlCharacters => plan.writes.push(column("te\nxt", ColumnType::Text)),
        BadPlan::WritesLongName => plan.writes.push(column(&long_name(), ColumnType::Text)),
        BadPlan::WritesMany => plan
            .writes
            .extend((0..n(100_000)).map(|i| column(&format!("column {i}"), ColumnType::Text))),
        BadPlan::TalliesMany => plan.tallies.extend((1..65).map(|i| format!("tally {i}"))),
        BadPlan::TalliesTwice => plan.tallies.push(plan.tallies[0].clone()),
        BadPlan::TalliesNameless => plan.tallies.push(String::new()),
        BadPlan::TalliesControlCharacters => plan.tallies.push(CONTROL.to_owned()),
        BadPlan::TalliesLongName => plan.tallies.push(long_name()),
    }
    Ok(plan)
}

fn column(name: &str, kind: ColumnType) -> Column {
    Column { name: name.to_owned(), kind }
}
