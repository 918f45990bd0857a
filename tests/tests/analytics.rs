//! One batch of posts, loaded by the pipelines, gives the answers that its owner published.

use std::fs;
use std::path::Path;

use pinhost_tests::answers::{compare, repository};
use pinhost_tests::command::command;
use pinhost_tests::{pinhost, services, table};
use tempfile::TempDir;

/// Runs the three pipelines into the sink that is told for each table.
fn load(folder: &Path, sink: impl Fn(&str) -> String) {
    let repository = repository();
    for (kind, table) in [("pin", "pin"), ("geo", "geo"), ("user", "users")] {
        let batch = repository.join(format!("tests/data/e2e/{kind}.ndjson"));
        let rule = repository.join(format!("pipelines/rules/{kind}.yaml"));
        let pipeline = format!(
            "name: {kind}\nsource: {{ objects: {{ url: {}, settle: 0s }} }}\nrule: {}\nsink: {}\n",
            batch.display(),
            rule.display(),
            sink(table),
        );
        fs::write(folder.join(format!("{kind}.yaml")), pipeline).expect("a file");
    }
    let files = ["pin.yaml", "geo.yaml", "user.yaml"];
    let run = command(pinhost!(), folder).args(["run", "--until-end"]).args(files).output();
    assert!(run.as_ref().is_ok_and(|run| run.status.success()), "{run:?}");
}

#[test]
fn the_published_answers_are_found_in_sqlite() {
    let folder = TempDir::new().expect("a folder");
    load(folder.path(), |table| {
        format!("{{ sqlite: {{ path: pins.db, table: {table}, key: [ind] }} }}")
    });
    compare(|query| table::sqlite(&folder.path().join("pins.db"), query));
}

#[test]
fn the_published_answers_are_found_in_postgres() {
    let folder = TempDir::new().expect("a folder");
    let url = services::postgres();
    load(folder.path(), |table| {
        format!("{{ postgres: {{ url: '{url}', table: {table}, key: [ind], create: true }} }}")
    });
    compare(|query| table::postgres(url, query));
}
