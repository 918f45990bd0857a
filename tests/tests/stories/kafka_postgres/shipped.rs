//! The pipelines as they are shipped.

use std::fs;
use std::process::Command;

use pinhost_tests::answers::{compare, repository};
use pinhost_tests::command::{command, said};
use pinhost_tests::kafka::Topic;
use pinhost_tests::services::kafka;
use pinhost_tests::{pinhost, table};

use super::story::{Mode, Story};

const FILES: [&str; 3] =
    ["kafka-to-postgres.yaml", "kafka-to-postgres-geo.yaml", "kafka-to-postgres-user.yaml"];

/// With a table of their own for each.
fn with_files(command: &mut Command) -> &mut Command {
    command.args(FILES.map(|file| repository().join("pipelines").join(file)))
}

/// Neither Kafka nor Postgres is asked.
#[test]
fn they_pass_check_on_a_machine_without_servers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut check = command(pinhost!(), folder.path());
    check.arg("check").env("DATABASE_URL", "postgres://me@127.0.0.1:1/pins");
    said(with_files(&mut check).env("KAFKA_BROKERS", "127.0.0.1:1")).done();
}

#[test]
fn the_published_answers_are_found_in_postgres() {
    let story = Story::new(Mode::Upsert, 1);
    let mut run = command(pinhost!(), story.folder.path());
    run.args(["run", "--until-end"]);
    with_files(&mut run).env("KAFKA_BROKERS", kafka().brokers).env("DATABASE_URL", &story.url);
    for (kind, variable) in
        [("pin", "KAFKA_TOPIC"), ("geo", "KAFKA_TOPIC_GEO"), ("user", "KAFKA_TOPIC_USER")]
    {
        let topic = story.runtime.block_on(Topic::new(3));
        let batch = repository().join(format!("tests/data/e2e/{kind}.ndjson"));
        let batch = fs::read_to_string(batch).expect("UTF-8");
        for partition in 0..3 {
            let lines = batch.lines().skip(partition).step_by(3);
            let partition = i32::try_from(partition).expect("few");
            story.runtime.block_on(topic.send(partition, lines));
        }
        run.env(variable, &topic.name);
    }
    said(&mut run).done();
    compare(|query| table::postgres(&story.url, query));
    // Again: there is nothing new, and nothing is done twice.
    let read = story.read();
    said(&mut run).done();
    assert_eq!(story.read(), read);
}
