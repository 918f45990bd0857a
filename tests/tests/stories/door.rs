//! From records that nobody has seen to rows: what somebody types who has pinhost for the first time.

use std::fs;
use std::path::Path;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::kafka::Topic;
use pinhost_tests::pinhost;
use pinhost_tests::services::kafka;
use pinhost_tests::table::sqlite;
use serde_json::{Value, json};
use tempfile::TempDir;

fn run(folder: &Path, args: &[&str]) -> Said {
    said(command(pinhost!(), folder).args(args))
}

/// Orders of a shop: nested, with prices, yes and no, three forms of time, and lists of items.
fn orders() -> String {
    let order = |at: usize| {
        let at_time = match at % 3 {
            0 => format!("2024-01-{:02}T10:20:30Z", at % 28 + 1),
            1 => format!("2024-01-{:02} 10:20:30", at % 28 + 1),
            _ => format!("{:02}.01.2024 10:20", at % 28 + 1),
        };
        let mut order = json!({
            "order_id": format!("A-{}", 1000 + at),
            "ordered_at": at_time,
            "customer": { "name": format!("Ann {at}"), "address": { "city": "Köln", "zip": "04109" } },
            "price": format!("€1.{:03},50", at),
            "total": 10.5 + at as f64,
            "gift": if at.is_multiple_of(2) { "yes" } else { "no" },
            "views": if at.is_multiple_of(10) { "n/a".to_owned() } else { format!("{at}k") },
            "items": [{ "sku": "a", "n": 1 }, { "sku": "b", "n": at }],
            "coupon": if at.is_multiple_of(4) { Value::Null } else { "SPRING".into() },
        });
        if at == 7 {
            order["ordered_at"] = "yesterday".into();
        }
        order.to_string() + "\n"
    };
    (0..200).map(order).collect()
}

/// Five commands: look at the records, check, test, preview, run.
#[test]
fn a_sample_of_orders_becomes_rows_in_five_commands() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("orders.ndjson"), orders()).expect("the sample");

    let new = run(folder, &["new", "orders.yaml", "--from", "orders.ndjson"]).done();
    assert_eq!(new.stdout, "orders.yaml\nrules/orders.yaml\n");
    for told in ["rows are told apart by order_id", "ordered_at is not a timestamp", "yesterday"] {
        assert!(new.stderr.contains(told), "no {told:?} in\n{}", new.stderr);
    }
    let rule = fs::read_to_string(folder.join("rules/orders.yaml")).expect("the rule");
    for written in [
        "type: text, required: true, key: true",
        "path: customer.address.city",
        "from: $rest",
        "numbers with marks, like €1.000,50",
        "no standard plugin makes booleans of words",
        "plugin: follower-count",
        "columns: { views: [n/a] }",
        "otherwise: reject",
    ] {
        assert!(rule.contains(written), "no {written:?} in\n{rule}");
    }

    let checked = run(folder, &["check", "orders.yaml"]).done();
    assert_eq!(checked.stderr, "", "nothing is left to be said");
    assert!(checked.stdout.contains("exactly once, because"), "{}", checked.stdout);
    let tested = run(folder, &["test", "orders.yaml"]).done();
    assert!(tested.stdout.contains("passed"), "{}", tested.stdout);

    let preview = run(folder, &["preview", "orders.yaml", "-n", "3"]).done();
    for told in [
        "2024-01-01T10:20:30Z",
        "2024-01-02T10:20:30Z*",
        "and 196 more",
        "1  ordered_at-time: ordered_at is not a timestamp",
        "views-count: counts spelled out",
    ] {
        assert!(preview.stdout.contains(told), "no {told:?} in\n{}", preview.stdout);
    }
    assert!(!folder.join("orders.db").exists(), "nothing is written");

    run(folder, &["run", "orders.yaml", "--until-end"]).done();
    let letters = |args: &[&str]| run(folder, &[&["dead-letters", "orders.yaml"], args].concat());
    let summary = letters(&["summary"]).done().stdout;
    assert!(summary.contains("1  ordered_at-time: ordered_at is not a timestamp"), "{summary}");
    let id = letters(&["list", "--reason", "NOT A TIME", "--newest", "--json"]).done().json();
    let id = id["id"].as_str().expect("an id");
    assert_eq!(letters(&["show", id, "--json"]).done().json()["detail"], "yesterday");
    for others in [["--step", "read"], ["--reason", "CSV"], ["--until", "2020-01-01T00:00:00Z"]] {
        let listed = letters(&[&["list"], &others[..]].concat()).done();
        assert_eq!(listed.stdout, "", "{others:?}");
    }
    let database = folder.join("orders.db");
    let count = sqlite(&database, "select count(*), count(views), min(ordered_at) from orders");
    assert_eq!(count, [[json!(199), json!(179), json!("2024-01-01T10:20:00Z")]]);
    let one = "select customer_address_city, customer_address_zip, views, rest from orders \
               where order_id = 'A-1001'";
    let one = sqlite(&database, one).remove(0);
    assert_eq!(one[..3], [json!("Köln"), json!("04109"), json!(1000)]);
    let rest: Value = serde_json::from_str(one[3].as_str().expect("text")).expect("JSON");
    assert_eq!(rest["items"][1], json!({ "sku": "b", "n": 1 }));
}

#[test]
fn a_preview_shows_what_was_asked_for_and_writes_nothing() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("orders.ndjson"), orders()).expect("the sample");
    run(folder, &["new", "orders.yaml", "--from", "orders.ndjson", "--to", "stdout"]).done();
    let preview = |args: &[&str]| run(folder, &[&["preview", "orders.yaml"], args].concat());
    let lines = |said: &Said| -> Vec<Value> {
        let lines = said.stdout.lines();
        lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let one = preview(&["--json", "--where", "order_id=A-1005"]).done();
    let one = lines(&one);
    assert_eq!(one.len(), 1);
    assert_eq!((&one[0]["record"], &one[0]["row"]["views"]), (&json!(6), &json!(5000)));
    assert_eq!(one[0]["was"]["views"], "5k");
    let dead = preview(&["--json", "--only", "rejected"]).done();
    let dead = lines(&dead);
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0]["reason"], "ordered_at is not a timestamp");
    let not_null = preview(&["--where", "coupon!=null", "-n", "1", "--records", "100"]).done();
    assert!(not_null.stdout.contains("and 73 more"), "{}", not_null.stdout);
    preview(&["--where", "cupon=1"])
        .refused(2, &["rows have no column `cupon`", "did you mean `coupon`?"]);
    preview(&["--where", "coupon"]).refused(2, &["names no column and value"]);
    // A rule has no records of its own.
    run(folder, &["preview", "rules/orders.yaml"]).refused(2, &["--from"]);
    let rule = ["preview", "rules/orders.yaml", "--from", "orders.ndjson", "-n", "1"];
    assert!(run(folder, &rule).done().stdout.contains("A-1000"));
    let names = fs::read_dir(folder).expect("the folder").count();
    assert_eq!(names, 3, "the sample, the pipeline and its rules: nothing else");
}

#[test]
fn what_is_no_sample_is_told_with_the_way_out() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let utf16: Vec<u8> = orders().encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.join("utf16.ndjson"), utf16).expect("a file");
    fs::write(folder.join("orders.csv"), "order_id,price\n1,2\n3,4\n").expect("a file");
    fs::write(folder.join("page.json"), r#"{"data": [{"id": 1}, {"id": 2}]}"#).expect("a file");
    fs::write(folder.join("empty.ndjson"), "").expect("a file");
    for (sample, told) in [
        ("utf16.ndjson", ["looks like UTF-16", "iconv"]),
        ("orders.csv", ["looks like CSV", "mlr"]),
        ("page.json", ["looks like a {data: […]} wrapper", "jq -c '.data[]' page.json"]),
        ("empty.ndjson", ["has no records", "nothing in it"]),
        ("kafak", ["neither a kind of source nor a sample", "did you mean `kafka`?"]),
        ("kafka://localhost:9092", ["names no broker and topic", "kafka://localhost:9092/orders"]),
    ] {
        run(folder, &["new", "a.yaml", "--from", sample]).refused(2, &told);
    }
    run(folder, &["new", "a.yaml", "--from", "kafka"]).refused(2, &["where do rows go?", "sqlite"]);
    assert!(!folder.join("a.yaml").exists());
    // What is fed to a rule says it of each record.
    fs::write(folder.join("rule.yaml"), "fields: { order_id: { type: text, required: true } }\n")
        .expect("a rule");
    for (sample, told) in [
        ("orders.csv", "3  record is not valid JSON: it looks like CSV"),
        ("page.json", "required field order_id is missing"),
    ] {
        let preview = run(folder, &["preview", "rule.yaml", "--from", sample]).done();
        assert!(preview.stdout.contains(told), "{}", preview.stdout);
    }
}

/// In a group of its own: whoever runs the pipeline keeps all partitions.
#[test]
fn a_topic_is_a_sample_and_looking_at_it_takes_nothing_away() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let topic = runtime.block_on(async {
        let topic = Topic::new(3).await;
        let orders = orders();
        let orders: Vec<_> = orders.lines().collect();
        for (partition, orders) in (0..).zip(orders.chunks(70)) {
            topic.send(partition, orders).await;
        }
        topic
    });
    let sample = format!("kafka://{}/{}", kafka().brokers, topic.name);
    run(folder, &["new", "orders.yaml", "--from", &sample]).done();
    run(folder, &["check", "orders.yaml"]).done();
    run(folder, &["test", "orders.yaml"]).done();
    let preview = run(folder, &["preview", "orders.yaml"]).done();
    assert!(preview.stdout.contains("records looked at  200"), "{}", preview.stdout);
    assert_eq!(topic.committed("pinhost.orders", 0), None, "no position is told");
    run(folder, &["run", "orders.yaml", "--until-end"]).done();
    let count = sqlite(&folder.join("orders.db"), "select count(*) from orders");
    assert_eq!(count, [[json!(199)]]);
}

#[test]
fn pages_and_helps_are_printed() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let all = run(folder, &["explain"]).done().stdout;
    for name in ["kafka", "sqlite", "placeholders", "preview"] {
        assert!(all.lines().any(|line| line.starts_with(name)), "no {name} in\n{all}");
        assert!(run(folder, &["explain", name]).done().stdout.starts_with('#'), "{name}");
    }
    run(folder, &["explain", "kafak"]).refused(2, &["did you mean `kafka`?"]);
    let help = run(folder, &["help", "run"]).done().stdout;
    assert!(help.contains("--until-end"), "{help}");
    run(folder, &["chekc"]).refused(2, &["'check'"]);
}
