//! Records as they are: an object, an array of objects, or a line for each.

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::brought::{Brought, media_type};
use super::config::HttpReply;
use super::intake::SubmittedRecord;
use super::json;
use super::refusal::Refusal;
use crate::record::{Receipt, Span};

const LINES: &str = "application/x-ndjson";

/// What a body is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Json,
    Lines,
}

impl Shape {
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let named = media_type(headers);
        match &*named {
            "" | "application/json" | "text/json" | "text/plain" => Ok(Self::Json),
            LINES | "application/jsonl" | "application/ndjson" => Ok(Self::Lines),
            other if other.ends_with("+json") && !other.contains("vnd.kafka") => Ok(Self::Json),
            other => Err(Refusal::MediaType {
                what: format!(
                    "`{other}` is not taken here; send application/json, or {LINES} with an \
                     object a line"
                ),
            }),
        }
    }
}

/// The records of a body, which stay where they are.
pub(super) fn records(shape: Shape, body: &Bytes) -> Result<Brought, Refusal> {
    let ranges = match shape {
        Shape::Json => json::objects(body)?,
        Shape::Lines => json::lines(body)?,
    };
    let record = |range| SubmittedRecord { key: None, value: Some(Span::new(range)) };
    Ok(Brought::new(body.clone(), ranges.into_iter().map(record).collect()))
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    accepted: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<Rejected<'a>>,
}

#[derive(Debug, Serialize)]
struct Rejected<'a> {
    record: usize,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

/// What the client is told once all of it is committed.
pub(super) fn answer(
    (reply, reject): (HttpReply, u16),
    (shape, body): (Shape, &Bytes),
    records: usize,
    receipts: Option<&[Receipt]>,
) -> Answer {
    let receipts = receipts.unwrap_or_default().iter().enumerate();
    let rejected: Vec<_> = receipts
        .filter_map(|(record, receipt)| match receipt {
            Receipt::Dead { reason, detail, .. } => {
                Some(Rejected { record, reason, detail: detail.as_deref() })
            }
            Receipt::Stored { .. } | Receipt::Superseded | Receipt::Dropped => None,
        })
        .collect();
    let status = if rejected.is_empty() { 200 } else { reject };
    match reply {
        HttpReply::Accepted => {
            Answer::of(status, &Told { accepted: records - rejected.len(), rejected })
        }
        HttpReply::Echo if status == 422 => {
            let is_list = shape == Shape::Lines || body.trim_ascii_start().starts_with(b"[");
            let faults: Vec<_> = rejected.iter().map(|it| fault(it, is_list)).collect();
            Answer::of(status, &json!({ "detail": faults }))
        }
        HttpReply::Echo => {
            let answer = Answer::json(status, body.clone());
            match shape {
                Shape::Json => answer,
                Shape::Lines => Answer { kind: LINES, ..answer },
            }
        }
    }
}

/// As FastAPI tells what is wrong with a body.
fn fault(rejected: &Rejected<'_>, is_list: bool) -> Value {
    let Rejected { record, reason, detail } = rejected;
    let mut place = vec![json!("body")];
    place.extend(is_list.then(|| json!(record)));
    let (message, kind) = match missing(reason) {
        Some(field) => {
            place.push(json!(field));
            ("Field required".to_owned(), "missing")
        }
        None => {
            place.extend(field(reason).map(|field| json!(field)));
            let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
            (format!("{reason}{detail}"), "value_error")
        }
    };
    json!({ "loc": place, "msg": message, "type": kind })
}

/// The field that is missing, if that is why. It is how [`decode`](crate::decode) says it.
fn missing(reason: &str) -> Option<&str> {
    reason.strip_prefix("required field ")?.strip_suffix(" is missing")
}

fn field(reason: &str) -> Option<&str> {
    reason.strip_prefix("field ")?.split(' ').next()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::CONTENT_TYPE;

    use super::*;
    use crate::decode::{DeclaredField, DecodeLimits, Decoder};
    use crate::record::{Kind, Record};

    fn dead(reason: &str) -> Receipt {
        Receipt::Dead { step: None, reason: reason.to_owned(), detail: Some("why".to_owned()) }
    }

    fn told(reply: HttpReply, reject: u16, body: &'static str, of: &[Receipt]) -> (u16, Value) {
        let body = Bytes::from_static(body.as_bytes());
        let answer = answer((reply, reject), (Shape::Json, &body), of.len(), Some(of));
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    #[test]
    fn what_is_stored_is_counted_or_given_back() {
        let stored = [Receipt::Stored { at: None }, Receipt::Dropped, Receipt::Superseded];
        let body = "[{\"a\":1},{},{}]";
        assert_eq!(told(HttpReply::Accepted, 422, body, &stored), (200, json!({ "accepted": 3 })));
        assert_eq!(told(HttpReply::Echo, 422, body, &stored), (200, json!([{ "a": 1 }, {}, {}])));
    }

    #[test]
    fn a_record_that_died_is_told_as_it_was_asked_for() {
        let of = [Receipt::Stored { at: None }, dead("field n is odd")];
        let body = "[{\"n\":1},{\"n\":2}]";
        let rejected = json!([{ "record": 1, "reason": "field n is odd", "detail": "why" }]);
        let counted = json!({ "accepted": 1, "rejected": rejected });
        assert_eq!(told(HttpReply::Accepted, 202, body, &of), (202, counted.clone()));
        assert_eq!(told(HttpReply::Accepted, 422, body, &of), (422, counted));
        assert_eq!(told(HttpReply::Echo, 202, body, &of), (202, json!([{ "n": 1 }, { "n": 2 }])));
        let fault =
            json!({ "loc": ["body", 1, "n"], "msg": "field n is odd: why", "type": "value_error" });
        assert_eq!(told(HttpReply::Echo, 422, body, &of), (422, json!({ "detail": [fault] })));
    }

    #[test]
    fn a_missing_field_is_told_as_fastapi_does() {
        let field = DeclaredField { required: true, ..DeclaredField::new("ind", Kind::Integer) };
        let limits = DecodeLimits { record_bytes_max: 99, depth_max: 9 };
        let mut decoder = Decoder::new(&[field], limits);
        let rejected = decoder.push(&Record { value: Some(b"{\"n\":1}"), ..Record::default() });
        let reason = rejected.unwrap_err().reason;
        let fault = json!({ "loc": ["body", "ind"], "msg": "Field required", "type": "missing" });
        let told = told(HttpReply::Echo, 422, "{\"n\":1}", &[dead(&reason)]);
        assert_eq!(told, (422, json!({ "detail": [fault] })));
    }

    #[test]
    fn other_media_types_are_refused() {
        let shape = |named: &'static str| {
            Shape::of(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(named))]))
        };
        assert_eq!(Shape::of(&HeaderMap::new()), Ok(Shape::Json));
        for json in ["application/json", "Application/JSON; charset=utf-8", "application/x+json"] {
            assert_eq!(shape(json), Ok(Shape::Json), "{json}");
        }
        assert_eq!(shape("application/x-ndjson"), Ok(Shape::Lines));
        for other in
            ["text/html", "application/x-www-form-urlencoded", "application/vnd.kafka.json.v2+json"]
        {
            assert!(matches!(shape(other), Err(Refusal::MediaType { .. })), "{other}");
        }
    }
}
