//! Requests as an API gateway takes them before Kinesis: `PUT /streams/{name}/record` and `…/records`, and the
//! replies of Kinesis.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answer::Answer;
use super::brought::{Brought, Gathered};
use super::json;
use super::refusal::Refusal;
use crate::objects::base64;
use crate::record::{Place, Position, Receipt};

#[derive(Debug, Deserialize)]
struct PutRecord<'a> {
    #[serde(borrow, rename = "Data")]
    data: Option<&'a RawValue>,
    #[serde(borrow, rename = "PartitionKey")]
    key: Option<&'a RawValue>,
    /// What is posted to a topic.
    #[serde(borrow)]
    records: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct PutRecords<'a> {
    #[serde(borrow)]
    records: Option<Vec<PutRecordsEntry<'a>>>,
}

#[derive(Debug, Deserialize)]
struct PutRecordsEntry<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow, rename = "partition-key")]
    key: Option<&'a RawValue>,
}

const ONE: &str = "{\"StreamName\": …, \"Data\": {…}, \"PartitionKey\": …}";
const SEVERAL: &str = "{\"records\": [{\"data\": {…}, \"partition-key\": …}]}";

/// The one record of a body. The stream is the one that the path names.
pub(super) fn record(body: &Bytes) -> Result<Brought, Refusal> {
    let PutRecord { data, key, records } = json::read(body)?;
    let Some(data) = data else {
        return Err(invalid(match records {
            Some(_) => format!(
                "this is a body for /topics/…, with `records`; a stream takes {ONE}, or at \
                 /records {SEVERAL}"
            ),
            None => format!("`Data` is missing: a stream takes {ONE}"),
        }));
    };
    let mut gathered = Gathered::default();
    let key = key_of(key, "PartitionKey")?;
    if data.get().starts_with('"') {
        // As Kinesis itself is given bytes.
        let text: Cow<'_, str> = json::read(data.get().as_bytes())?;
        let Some(bytes) = base64::decode(&text) else {
            return Err(invalid("`Data` is text, but not base64; send the object itself"));
        };
        gathered.add(key.as_deref(), Some(&bytes));
    } else {
        gathered.add(key.as_deref(), Some(data.get().as_bytes()));
    }
    Ok(gathered.brought())
}

pub(super) fn records(body: &Bytes) -> Result<Brought, Refusal> {
    let PutRecords { records } = json::read(body)?;
    let records = records.unwrap_or_default();
    if records.is_empty() {
        return Err(Refusal::Empty { what: format!("`records` is empty: this takes {SEVERAL}") });
    }
    let mut gathered = Gathered::default();
    for (at, PutRecordsEntry { data, key }) in records.into_iter().enumerate() {
        let Some(data) = data else {
            return Err(invalid(format!("record {at} has no `data`: this takes {SEVERAL}")));
        };
        let key = key_of(key, "partition-key")?;
        if data.get().starts_with('"') {
            // The gateway's template packs the text itself.
            let text: Cow<'_, str> = json::read(data.get().as_bytes())?;
            gathered.add(key.as_deref(), Some(text.as_bytes()));
        } else {
            gathered.add(key.as_deref(), Some(data.get().as_bytes()));
        }
    }
    Ok(gathered.brought())
}

/// Text, or a number as text.
fn key_of(key: Option<&RawValue>, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(key) = key else { return Ok(None) };
    match key.get().as_bytes()[0] {
        b'"' => {
            let text: Cow<'_, str> = json::read(key.get().as_bytes())?;
            Ok(Some(text.as_bytes().to_vec()))
        }
        b'0'..=b'9' | b'-' => Ok(Some(key.get().as_bytes().to_vec())),
        _ => Err(invalid(format!("`{name}` is neither text nor a number"))),
    }
}

fn invalid(what: impl Into<String>) -> Refusal {
    Refusal::Invalid { what: what.into() }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    sequence_number: String,
    shard_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failed<'a> {
    error_code: &'static str,
    error_message: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum RecordReply<'a> {
    Stored(Stored),
    Failed(Failed<'a>),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reply<'a> {
    failed_record_count: usize,
    records: Vec<RecordReply<'a>>,
}

/// `first` is the number of the first record: what stands for a sequence number where the sink has none.
pub(super) fn answer(
    reject: u16,
    is_batch: bool,
    records: usize,
    first: u64,
    receipts: Option<&[Receipt]>,
) -> Answer {
    let reply = |at: usize| {
        let receipt = receipts.map(|receipts| &receipts[at]);
        record_reply(receipt, first + at as u64)
    };
    if is_batch {
        let records: Vec<_> = (0..records).map(reply).collect();
        let failed = records.iter().filter(|it| matches!(it, RecordReply::Failed(_))).count();
        return Answer::of(200, &Reply { failed_record_count: failed, records });
    }
    let reply = reply(0);
    let status = if matches!(reply, RecordReply::Failed(_)) { reject } else { 200 };
    Answer::of(status, &reply)
}

/// What a step has dropped was taken, too.
fn record_reply(receipt: Option<&Receipt>, number: u64) -> RecordReply<'_> {
    let own = || Stored { sequence_number: number.to_string(), shard_id: shard(0) };
    match receipt {
        Some(Receipt::Dead { reason, .. }) => {
            RecordReply::Failed(Failed { error_code: "Rejected", error_message: reason })
        }
        Some(Receipt::Stored { at: Some(at) }) => {
            RecordReply::Stored(place(at).unwrap_or_else(own))
        }
        _ => RecordReply::Stored(own()),
    }
}

fn shard(number: u64) -> String {
    format!("shardId-{number:012}")
}

/// Of a stream, or of a topic.
fn place(at: &Position) -> Option<Stored> {
    let Position::At(place) = at else { return None };
    match *place.words() {
        [high, middle, low, number] => Some(Stored {
            sequence_number: Place::new(&[high, middle, low], None).to_string(),
            shard_id: shard(number),
        }),
        [partition, offset] => {
            Some(Stored { sequence_number: offset.to_string(), shard_id: shard(partition) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    type Pairs = Vec<(Option<String>, String)>;

    fn read(
        read: fn(&Bytes) -> Result<Brought, Refusal>,
        body: &'static str,
    ) -> Result<Pairs, String> {
        let brought = read(&Bytes::from_static(body.as_bytes())).map_err(|it| it.to_string())?;
        let text = |span: crate::record::Span| {
            String::from_utf8(brought.bytes[span.range()].to_vec()).unwrap()
        };
        let pairs = brought.records.iter();
        Ok(pairs.map(|record| (record.key.map(text), text(record.value.unwrap()))).collect())
    }

    fn pair(key: Option<&str>, value: &str) -> (Option<String>, String) {
        (key.map(str::to_owned), value.to_owned())
    }

    #[test]
    fn what_is_stored_is_the_json_of_the_data() {
        for (body, stored) in [
            (
                r#"{"StreamName":"s","Data":{"a": 1},"PartitionKey":"k"}"#,
                pair(Some("k"), "{\"a\": 1}"),
            ),
            (r#"{"Data":{"a":1},"PartitionKey":7}"#, pair(Some("7"), "{\"a\":1}")),
            (r#"{"Data":"e30="}"#, pair(None, "{}")),
        ] {
            assert_eq!(read(record, body), Ok(vec![stored]), "{body}");
        }
        let body = r#"{"records":[{"data":{"a":1},"partition-key":"k"},{"data":"{\"b\":2}"}]}"#;
        let several = vec![pair(Some("k"), "{\"a\":1}"), pair(None, "{\"b\":2}")];
        assert_eq!(read(records, body), Ok(several));
    }

    #[test]
    fn what_belongs_elsewhere_is_told_where() {
        for (body, said) in [
            (r#"{"records":[{"value":{"a":1}}]}"#, "this is a body for /topics/…"),
            (r#"{"stream-name":"s","records":{"value":{"a":1}}}"#, "this is a body for /topics/…"),
            (r#"{"StreamName":"s","PartitionKey":"k"}"#, "`Data` is missing"),
            (r#"{"Data":"{}"}"#, "`Data` is text, but not base64"),
            (r#"{"Data":{},"PartitionKey":[]}"#, "`PartitionKey` is neither"),
        ] {
            let refused = read(record, body).unwrap_err();
            assert!(refused.starts_with(said), "{body}: {refused}");
        }
        assert!(read(records, r#"{"records":[{"partition-key":"k"}]}"#).is_err());
        assert!(read(records, "{}").is_err());
    }

    #[test]
    fn replies_are_those_of_kinesis() {
        let of = |answer: Answer| -> (u16, Value) {
            (answer.status, serde_json::from_slice(&answer.body).unwrap())
        };
        let words = [145_759_866_281_889_361, 7_378_697_629_483_820_646, 2, 3];
        let stored = [Receipt::Stored { at: Some(Position::at(&words)) }];
        let number = "49599512300480802135691206441445039015424362466668183554";
        let place = json!({ "SequenceNumber": number, "ShardId": "shardId-000000000003" });
        assert_eq!(of(answer(202, false, 1, 0, Some(&stored))), (200, place));
        let own = json!({ "SequenceNumber": "8", "ShardId": "shardId-000000000000" });
        assert_eq!(of(answer(202, false, 1, 8, None)), (200, own.clone()));
        let dead = Receipt::Dead { step: None, reason: "odd".to_owned(), detail: None };
        let failed = json!({ "ErrorCode": "Rejected", "ErrorMessage": "odd" });
        let one = answer(422, false, 1, 0, Some(std::slice::from_ref(&dead)));
        assert_eq!(of(one), (422, failed.clone()));
        let both = json!({ "FailedRecordCount": 1, "Records": [failed, own] });
        let of_both = answer(422, true, 2, 7, Some(&[dead, Receipt::Dropped]));
        assert_eq!(of(of_both), (200, both));
    }
}
