//! One batch of posts, loaded by pipelines, gives the answers that its owner published.

use std::fs;
use std::path::Path;

use pinhost_tests::answers::{compare, repository};
use pinhost_tests::command::command;
use pinhost_tests::{pinhost, services, table};
use tempfile::TempDir;

/// The pipelines of `examples`, into Postgres.
fn write_pipelines(folder: &Path, url: &str) {
    let repository = repository();
    for (kind, table) in [("pin", "pin"), ("geo", "geo"), ("user", "users")] {
        let batch = repository.join(format!("tests/data/e2e/{kind}.ndjson"));
        let rule = repository.join(format!("pipelines/rules/{kind}.yaml"));
        let pipeline = format!(
            "name: {kind}\nsource: {{ objects: {{ url: {}, settle: 0s }} }}\nrule: {}\n\
             sink: {{ postgres: {{ url: '{url}', table: {table}, key: [ind], create: true }} }}\n",
            batch.display(),
            rule.display(),
        );
        fs::write(folder.join(format!("{kind}.yaml")), pipeline).expect("a file");
    }
}

/// The database of the example stands beside its pipelines: it is run from a copy.
fn copy_example(to: &Path) {
    for folder in ["examples/analytics", "pipelines/rules", "tests/data/e2e"] {
        let (from, to) = (repository().join(folder), to.join(folder));
        fs::create_dir_all(&to).expect("a folder");
        for file in fs::read_dir(from).expect("the folder") {
            let file = file.expect("an entry");
            if file.path().extension().is_some_and(|end| end == "yaml" || end == "ndjson") {
                fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
            }
        }
    }
}

/// Runs the three pipelines that are written in one folder in another one.
fn run(pipelines: &Path, folder: &Path) {
    let files = ["pin.yaml", "geo.yaml", "user.yaml"].map(|name| pipelines.join(name));
    let run = command(pinhost!(), folder).args(["run", "--until-end"]).args(files).output();
    assert!(run.as_ref().is_ok_and(|run| run.status.success()), "{run:?}");
}

#[test]
fn the_published_answers_are_found_in_sqlite() {
    let folder = TempDir::new().expect("a folder");
    copy_example(folder.path());
    let pipelines = folder.path().join("examples/analytics");
    run(&pipelines, folder.path());
    compare(|query| table::sqlite(&pipelines.join("pins.db"), query));
}

#[test]
fn the_published_answers_are_found_in_postgres() {
    let folder = TempDir::new().expect("a folder");
    let url = services::postgres();
    write_pipelines(folder.path(), url);
    run(folder.path(), folder.path());
    compare(|query| table::postgres(url, query));
}
