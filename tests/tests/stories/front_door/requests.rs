//! What is taken, what is refused, and in which words.

use serde_json::{Value, json};

use super::Door;

const KAFKA_JSON: (&str, &str) = ("Content-Type", "application/vnd.kafka.json.v2+json");
const KAFKA_BINARY: (&str, &str) = ("Content-Type", "application/vnd.kafka.binary.v2+json");
const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn a_2xx_means_that_it_is_stored() {
    let door = Door::open("reply: echo, reject: 422");
    let mut client = door.client();
    let body = "{\"ind\": 1, \"title\": \"a\"}";
    let answer = client.post("/pin/", body);
    assert_eq!((answer.status, &*answer.body), (200, body));
    assert_eq!(door.rows("SELECT ind, title, topic FROM t"), ["1 | \"a\" | \"pin\""]);
    // Without a slash, several at once, and line by line: all of one connection.
    assert_eq!(client.post("/pin", "[{\"ind\": 2}, {\"ind\": 3}]").status, 200);
    let lines = [("Content-Type", "application/x-ndjson")];
    let answer = client.send(("POST", "/geo/"), &lines, "{\"ind\": 4}\n{\"ind\": 5}\n");
    assert_eq!((answer.status, &*answer.body), (200, "{\"ind\": 4}\n{\"ind\": 5}\n"));
    assert_eq!(client.post("/pin/", "[]").status, 200);
    assert_eq!(door.rows("SELECT count(*), sum(ind) FROM t"), ["5 | 15"]);
    // What lacks a field is a dead letter, and the others are stored.
    let answer = client.post("/pin/", "{\"title\": \"b\"}");
    let fault = json!({ "loc": ["body", "ind"], "msg": "Field required", "type": "missing" });
    assert_eq!((answer.status, answer.json()), (422, json!({ "detail": [fault] })));
    let answer = client.post("/pin/", "[{\"ind\": 6}, {\"title\": \"c\"}]");
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", 1, "ind"]));
    assert_eq!(door.rows("SELECT count(*), max(ind) FROM t"), ["6 | 6"]);
    assert_eq!(door.rows("SELECT count(*) FROM pinhost_dead_letter"), ["2"]);
    door.running.drain();
}

#[test]
fn what_is_accepted_is_counted_and_told_again_to_who_comes_again() {
    let door = Door::open("");
    let mut client = door.client();
    let told = |answer: pinhost_tests::http_client::HttpAnswer| (answer.status, answer.json());
    assert_eq!(told(client.post("/pin/", "{\"ind\": 1}")), (200, json!({ "accepted": 1 })));
    let (status, body) = told(client.post("/pin/", "[{\"ind\": 2}, {\"ind\": \"x\"}]"));
    assert_eq!(
        (status, &body["accepted"], &body["rejected"][0]["record"]),
        (202, &json!(1), &json!(1))
    );
    let key = [JSON, ("Idempotency-Key", "one")];
    for _ in 0..3 {
        let answer = client.send(("POST", "/pin/"), &key, "{\"ind\": 3}");
        assert_eq!(told(answer), (200, json!({ "accepted": 1 })));
    }
    assert_eq!(client.send(("POST", "/pin/"), &key, "{\"ind\": 4}").status, 422);
    assert_eq!(door.rows("SELECT ind FROM t ORDER BY ind"), ["1", "2", "3"]);
    door.running.drain();
}

/// Field by field, as the REST proxy answers.
#[test]
fn topics_are_answered_as_the_rest_proxy_does() {
    let door = Door::open("base_path: /dev, reject: 422");
    let mut client = door.client();
    let mut post = |path: &str, kind, body: &str| client.send(("POST", path), &[kind], body);
    let offset = |partition: u64, offset: u64| json!({ "partition": partition, "offset": offset, "error_code": null, "error": null });
    let reply = |offsets: Vec<Value>| json!({ "offsets": offsets, "key_schema_id": null, "value_schema_id": null });
    let answer = post("/dev/topics/0a.pin", KAFKA_JSON, r#"{"records": [{"value": {"ind": 1}}]}"#);
    assert_eq!((answer.status, answer.json()), (200, reply(vec![offset(0, 0)])));
    assert_eq!(answer.headers["content-type"], "application/vnd.kafka.v2+json");
    let body = r#"{"records": [{"key": "k", "value": {"ind": 2}}, {"value": {"ind": 3}, "partition": 5}]}"#;
    let answer = post("/dev/topics/0a.pin/partitions/4", KAFKA_JSON, body);
    assert_eq!((answer.status, answer.json()), (200, reply(vec![offset(4, 1), offset(5, 2)])));
    // {"ind":4}
    let body = r#"{"records": [{"key": "aw==", "value": "eyJpbmQiOjR9"}]}"#;
    let answer = post("/dev/topics/0a.geo", KAFKA_BINARY, body);
    assert_eq!((answer.status, answer.json()), (200, reply(vec![offset(0, 3)])));
    let body = r#"{"records": [{"value": {"title": "b"}}, {"value": {"ind": 5}}]}"#;
    let answer = post("/dev/topics/0a.pin", KAFKA_JSON, body);
    let dead = json!({ "partition": null, "offset": null, "error_code": 42291,
        "error": "required field ind is missing" });
    assert_eq!((answer.status, answer.json()), (200, reply(vec![dead, offset(0, 5)])));
    for (path, kind, body, status, code) in [
        ("/dev/topics/0a.pin", JSON, "{}", 415, 415),
        ("/dev/topics/0a.pin", KAFKA_JSON, "{\"records\": []}", 422, 42201),
        ("/dev/topics/0a.pin", KAFKA_JSON, "{\"records\": 7}", 422, 42206),
        ("/dev/topics/0a.pin", KAFKA_JSON, "{\"records\": [", 400, 400),
        ("/dev/topics/0a.pin", KAFKA_BINARY, "{\"records\": [{\"value\": \"!\"}]}", 422, 42206),
        ("/dev/topics/0a.pin", KAFKA_JSON, "{\"records\": [{\"value\": {}}]}", 422, 42291),
        ("/topics/0a.pin", KAFKA_JSON, "{}", 404, 40401),
    ] {
        let answer = post(path, kind, body);
        let told = answer.json();
        assert_eq!((answer.status, &told["error_code"]), (status, &json!(code)), "{body}: {told}");
        assert!(told["message"].is_string() && told.as_object().unwrap().len() == 2, "{told}");
    }
    let rows = door.rows("SELECT ind, topic, key FROM t ORDER BY ind");
    let expected = [
        "1 | \"0a.pin\" | null",
        "2 | \"0a.pin\" | \"\\\"k\\\"\"",
        "3 | \"0a.pin\" | null",
        "4 | \"0a.geo\" | \"k\"",
        "5 | \"0a.pin\" | null",
    ];
    assert_eq!(rows, expected);
    door.running.drain();
}

#[test]
fn streams_are_answered_as_kinesis_does() {
    let door = Door::open("");
    let mut client = door.client();
    let mut put = |path: &str, body: &str| client.send(("PUT", path), &[JSON], body);
    let place = |number: u64| json!({ "SequenceNumber": number.to_string(), "ShardId": "shardId-000000000000" });
    let body = r#"{"StreamName": "x", "Data": {"ind": 1}, "PartitionKey": "k"}"#;
    let answer = put("/streams/posts/record", body);
    assert_eq!((answer.status, answer.json()), (200, place(0)));
    let body = r#"{"StreamName": "x", "Data": {"ind": 2}, "PartitionKey": 7}"#;
    assert_eq!(put("/streams/posts/record", body).json(), place(1));
    let body = r#"{"records": [{"data": {"ind": 3}, "partition-key": "k"}, {"data": "{}"}]}"#;
    let told = put("/streams/posts/records", body).json();
    assert_eq!((&told["FailedRecordCount"], &told["Records"][0]), (&json!(1), &place(2)));
    assert_eq!(told["Records"][1]["ErrorMessage"], "required field ind is missing");
    for (body, said) in [
        (r#"{"records": [{"value": {"ind": 1}}]}"#, "this is a body for /topics/"),
        (
            r#"{"stream-name": "x", "records": {"value": {"ind": 1}}}"#,
            "this is a body for /topics/",
        ),
        ("{\"Data\": ", "at byte 9"),
    ] {
        let answer = put("/streams/posts/record", body);
        let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 400 && message.contains(said), "{answer:#?}");
    }
    let rows = door.rows("SELECT ind, topic, key FROM t ORDER BY ind");
    let expected = ["1 | \"posts\" | \"k\"", "2 | \"posts\" | \"7\"", "3 | \"posts\" | \"k\""];
    assert_eq!(rows, expected);
    door.running.drain();
}

#[test]
fn what_is_refused_says_what_is_there() {
    let door = Door::open("routes: [/pin, '/topics/*.pin'], body: 100B");
    let mut client = door.client();
    let answer = client.post("/geo", "{}");
    let detail = "nothing is at /geo; there is POST /pin, POST /topics/*.pin";
    assert_eq!((answer.status, answer.json()), (404, json!({ "detail": detail })));
    let answer = client.send(("GET", "/pin/"), &[], "");
    assert_eq!((answer.status, &*answer.headers["allow"]), (405, "POST"));
    let answer = client.send(("POST", "/pin"), &[("Content-Type", "text/html")], "{}");
    assert_eq!(answer.status, 415);
    let answer = client.post("/pin", "{\"ind\": 1,}");
    let said = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(answer.status == 400 && said.ends_with("at byte 10"), "{answer:#?}");
    assert_eq!(client.post("/pin", "7").status, 400);
    // A page of somebody else's in a browser on this machine.
    let answer = client.send(("POST", "/pin"), &[("Origin", "https://example.com")], "{}");
    assert_eq!(answer.status, 403);
    assert_eq!(client.post("/pin", &" ".repeat(101)).status, 413);
    // That ends the connection, as what comes is not read.
    assert_eq!(door.client().post("/pin", "{\"ind\": 1}").status, 200);
    door.running.drain();
}
