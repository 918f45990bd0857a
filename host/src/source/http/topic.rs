//! Requests as Kafka's REST proxy takes them, version 2: `POST /topics/{topic}`, and its replies.

use std::borrow::Cow;

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answer::Answer;
use super::brought::{Brought, Gathered, media_type};
use super::intake::SubmittedRecord;
use super::json;
use super::refusal::Refusal;
use super::route::Target;
use crate::objects::base64;
use crate::record::{Position, Receipt, Span};

/// Codes of our own, for records that no topic has: the proxy knows neither.
const REJECTED: u16 = 42291;
const DROPPED: u16 = 42292;

/// How keys and values are embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Embedded {
    Json,
    Binary,
}

impl Embedded {
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        match &*media_type(headers) {
            "application/vnd.kafka.json.v2+json" => Ok(Self::Json),
            "application/vnd.kafka.binary.v2+json" => Ok(Self::Binary),
            other => Err(Refusal::MediaType {
                what: format!(
                    "HTTP 415 Unsupported Media Type: `{other}`; send \
                     application/vnd.kafka.json.v2+json or application/vnd.kafka.binary.v2+json"
                ),
            }),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Produced<'a> {
    #[serde(borrow)]
    records: Option<Vec<ProducedRecord<'a>>>,
}

#[derive(Debug, Deserialize)]
struct ProducedRecord<'a> {
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    partition: Option<u32>,
}

pub(super) fn records(embedded: Embedded, body: &Bytes) -> Result<Brought, Refusal> {
    let Produced { records } = json::read(body)?;
    let records = records.unwrap_or_default();
    if records.is_empty() {
        return Err(Refusal::Empty { what: "Records may not be empty".to_owned() });
    }
    let asked = records.iter().map(|record| record.partition.map(i64::from));
    let asked: Vec<_> = asked.collect();
    let brought = match embedded {
        Embedded::Json => {
            let span = |piece: Option<&RawValue>| Some(Span::new(json::range(body, piece?)));
            let record = |record: &ProducedRecord<'_>| SubmittedRecord {
                key: span(record.key),
                value: span(record.value),
            };
            Brought::new(body.clone(), records.iter().map(record).collect())
        }
        Embedded::Binary => {
            let mut gathered = Gathered::default();
            for (at, record) in records.iter().enumerate() {
                let key = decoded(record.key, at, "key")?;
                gathered.add(key.as_deref(), decoded(record.value, at, "value")?.as_deref());
            }
            gathered.brought()
        }
    };
    Ok(Brought { partitions: asked, ..brought })
}

fn decoded(piece: Option<&RawValue>, at: usize, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(piece) = piece else { return Ok(None) };
    let text = serde_json::from_str::<Cow<'_, str>>(piece.get()).ok();
    match text.and_then(|text| base64::decode(&text)) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(Refusal::Invalid { what: format!("the {name} of record {at} is not base64") }),
    }
}

#[derive(Debug, Serialize)]
struct Reply {
    offsets: Vec<RecordReply>,
    key_schema_id: Option<i32>,
    value_schema_id: Option<i32>,
}

#[derive(Debug, Serialize)]
struct RecordReply {
    partition: Option<i64>,
    offset: Option<i64>,
    error_code: Option<u16>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Fault {
    error_code: u16,
    message: String,
}

/// `first` is the number of the first record: what stands for an offset where the sink has none.
pub(super) fn answer(
    reject: u16,
    target: &Target,
    asked: &[Option<i64>],
    first: u64,
    receipts: Option<&[Receipt]>,
) -> Answer {
    let offsets = asked.iter().zip(first..).enumerate().map(|(at, (asked, number))| {
        let receipt = receipts.map(|receipts| &receipts[at]);
        record_reply(receipt, asked.or(target.partition).unwrap_or(0), number)
    });
    let offsets: Vec<_> = offsets.collect();
    if reject == 422
        && let Some(fault) = nothing_but_rejects(&offsets)
    {
        return Answer::for_kafka(422, &fault);
    }
    Answer::for_kafka(200, &Reply { offsets, key_schema_id: None, value_schema_id: None })
}

fn record_reply(receipt: Option<&Receipt>, partition: i64, number: u64) -> RecordReply {
    let failed = |code, why: &str| RecordReply {
        partition: None,
        offset: None,
        error_code: Some(code),
        error: Some(why.to_owned()),
    };
    let stored = |(partition, offset): (i64, u64)| RecordReply {
        partition: Some(partition),
        offset: i64::try_from(offset).ok(),
        error_code: None,
        error: None,
    };
    match receipt {
        Some(Receipt::Dead { reason, .. }) => failed(REJECTED, reason),
        Some(Receipt::Dropped) => failed(DROPPED, "dropped by the rule"),
        Some(Receipt::Stored { at: Some(at) }) => {
            stored(partition_and_offset(at).unwrap_or((partition, number)))
        }
        Some(Receipt::Stored { at: None } | Receipt::Superseded) | None => {
            stored((partition, number))
        }
    }
}

/// Of a sink that has them.
fn partition_and_offset(at: &Position) -> Option<(i64, u64)> {
    match at {
        Position::At(place) => match *place.words() {
            [partition, offset] => Some((i64::try_from(partition).ok()?, offset)),
            _ => None,
        },
        Position::Start(_) | Position::End => None,
    }
}

fn nothing_but_rejects(offsets: &[RecordReply]) -> Option<Fault> {
    let are_rejected = offsets.iter().all(|it| it.error_code == Some(REJECTED));
    let first = offsets.first().filter(|_| are_rejected)?;
    Some(Fault { error_code: REJECTED, message: first.error.clone().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn brought(embedded: Embedded, body: &'static str) -> Vec<(Option<String>, Option<String>)> {
        let brought = records(embedded, &Bytes::from_static(body.as_bytes())).unwrap();
        let text = |span: Option<Span>| {
            Some(String::from_utf8(brought.bytes[span?.range()].to_vec()).unwrap())
        };
        brought.records.iter().map(|record| (text(record.key), text(record.value))).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn keys_and_values_are_taken_as_they_are_embedded() {
        let body = r#"{"records":[{"value":{"a": 1}},{"key":"k","value":null},{"key":{"b":2},"value":"x"}]}"#;
        assert_eq!(
            brought(Embedded::Json, body),
            [(None, some("{\"a\": 1}")), (some("\"k\""), None), (some("{\"b\":2}"), some("\"x\"")),]
        );
        let body = r#"{"records":[{"key":"aw==","value":"e30="},{"value":null}]}"#;
        assert_eq!(brought(Embedded::Binary, body), [(some("k"), some("{}")), (None, None)]);
    }

    #[test]
    fn what_the_proxy_refuses_is_refused_with_its_codes() {
        let refused = |embedded, body: &'static str| {
            let refusal = records(embedded, &Bytes::from_static(body.as_bytes())).unwrap_err();
            (refusal.kafka_status(), refusal.kafka_code())
        };
        assert_eq!(refused(Embedded::Json, r#"{"records":[]}"#), (422, 42201));
        assert_eq!(refused(Embedded::Json, "{}"), (422, 42201));
        assert_eq!(refused(Embedded::Json, r#"{"records":{"value":1}}"#), (422, 42206));
        assert_eq!(refused(Embedded::Json, r#"{"records":[{"value":}]}"#), (400, 400));
        assert_eq!(refused(Embedded::Binary, r#"{"records":[{"value":"?"}]}"#), (422, 42206));
        assert_eq!(refused(Embedded::Binary, r#"{"records":[{"value":{}}]}"#), (422, 42206));
    }

    fn told(reject: u16, receipts: &[Receipt]) -> (u16, Value) {
        let target = Target::parse("/topics/a").unwrap();
        let answer = answer(reject, &target, &vec![None; receipts.len()], 7, Some(receipts));
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    #[test]
    fn each_record_has_its_place_or_its_fault() {
        let at = Some(Position::at(&[4, 1017]));
        let dead = Receipt::Dead { step: None, reason: "odd".to_owned(), detail: None };
        let of =
            [Receipt::Stored { at }, Receipt::Stored { at: None }, dead.clone(), Receipt::Dropped];
        let offset = |partition: Value, offset: Value, code: Value, error: Value| json!({ "partition": partition, "offset": offset, "error_code": code, "error": error });
        let null = Value::Null;
        let offsets = json!([
            offset(json!(4), json!(1017), null.clone(), null.clone()),
            offset(json!(0), json!(8), null.clone(), null.clone()),
            offset(null.clone(), null.clone(), json!(42291), json!("odd")),
            offset(null.clone(), null.clone(), json!(42292), json!("dropped by the rule")),
        ]);
        let reply = json!({ "offsets": offsets, "key_schema_id": null, "value_schema_id": null });
        assert_eq!(told(422, &of), (200, reply));
        let fault = json!({ "error_code": 42291, "message": "odd" });
        assert_eq!(told(422, std::slice::from_ref(&dead)), (422, fault));
        assert_eq!(told(202, &[dead]).0, 200);
    }
}
