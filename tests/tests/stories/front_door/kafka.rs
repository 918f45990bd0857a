//! What is posted, in topics of Kafka: replies name the places where records really are.

use std::fs;

use pinhost_tests::http_client::HttpClient;
use pinhost_tests::kafka::Topic;
use pinhost_tests::pinhost;
use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::services::kafka;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::TIME;

const KAFKA_JSON: (&str, &str) = ("Content-Type", "application/vnd.kafka.json.v2+json");

#[test]
fn replies_name_the_places_where_records_are() {
    let topic = Runtime::new().expect("a runtime").block_on(Topic::new(3));
    let folder = TempDir::new().expect("a folder");
    let name = &topic.name;
    let sink = format!(
        "{{ kafka: {{ brokers: '{}', topic: {{ from: $topic, allow: [{name}] }} }} }}",
        kafka().brokers
    );
    let source = "{ http: { listen: '127.0.0.1:0', timeout: 30s } }";
    let yaml = format!("name: {name}-door\nsource: {source}\nsink: {sink}\n");
    fs::write(folder.path().join("p.yaml"), yaml).expect("a file");
    let running = Running::start(pinhost!(), folder.path(), &["p.yaml"]);
    let mut client = HttpClient::connect(&running.takes_requests_at());
    let path = format!("/topics/{name}");
    let mut posted = 0;
    for records in [1, 3, 1] {
        let values: Vec<_> = (posted..posted + records).map(|n| json!({ "n": n })).collect();
        let records: Vec<_> = values.iter().map(|value| json!({ "value": value })).collect();
        let body = json!({ "records": records }).to_string();
        let answer = client.send(("POST", &path), &[KAFKA_JSON], &body);
        assert_eq!(answer.status, 200, "{answer:#?}\n{}", running.log());
        let told = answer.json();
        let offsets = told["offsets"].as_array().expect("offsets");
        assert_eq!(offsets.len(), values.len());
        for (offset, value) in offsets.iter().zip(&values) {
            assert_eq!((&offset["error_code"], &offset["error"]), (&json!(null), &json!(null)));
            let number = |key: &str| offset[key].as_i64().expect("a number");
            let partition = i32::try_from(number("partition")).expect("few");
            let found = topic.value_at(partition, number("offset"));
            assert_eq!(String::from_utf8(found).expect("UTF-8"), value.to_string());
        }
        posted += values.len();
    }
    // A client makes no topics.
    let answer =
        client.send(("POST", "/topics/other"), &[KAFKA_JSON], "{\"records\": [{\"value\": {}}]}");
    let offset = &answer.json()["offsets"][0];
    assert_eq!(
        (answer.status, &offset["partition"], &offset["error_code"]),
        (200, &json!(null), &json!(42291))
    );
    wait_until(TIME, || topic.read_committed().len() == posted, || running.log());
    running.drain();
}
