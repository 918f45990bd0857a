//! Which rule made a row: `pinhost lineage --where`.

use std::fs;
use std::path::Path;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::pinhost;
use tempfile::TempDir;

fn run(folder: &Path, arguments: &[&str]) -> Said {
    said(command(pinhost!(), folder).args(arguments))
}

/// Reads one object, then another one by another generation of the rule.
fn two_generations(folder: &Path, sink: &str) {
    for (object, rule) in
        [("a", "{ ind: integer, title: text }"), ("b", "{ ind: integer, title: text, more: text }")]
    {
        fs::create_dir_all(folder.join("posts")).expect("a folder");
        let ind = if object == "a" { 1 } else { 2 };
        let record = format!(r#"{{"ind": {ind}, "title": "{object}"}}"#);
        fs::write(folder.join(format!("posts/{object}.json")), record).expect("a file");
        let pipeline = format!(
            "name: pins\nsource: {{ objects: {{ url: posts, settle: 0s }} }}\n\
             rule: {{ fields: {rule} }}\nsink: {{ objects: {{ url: out, {sink} }} }}\n"
        );
        fs::write(folder.join("pins.yaml"), pipeline).expect("a file");
        run(folder, &["run", "--until-end", "pins.yaml"]).done();
    }
}

#[test]
fn a_row_in_a_file_is_traced_to_its_record_and_its_rule() {
    for sink in ["format: parquet", "format: parquet, partition_by: [title]", "provenance: true"] {
        let folder = TempDir::new().expect("a folder");
        two_generations(folder.path(), sink);
        let ranges = run(folder.path(), &["lineage", "pins.yaml", "--json"]).done().json();
        let generation = |at: usize| ranges[at]["generation"].as_str().expect("one").to_owned();
        for (ind, title, place, made) in
            [(1, "a", "0.0.0", generation(0)), (2, "b", "1.0.0", generation(1))]
        {
            for asked in [format!("ind={ind}"), format!("title={title}")] {
                let told =
                    run(folder.path(), &["lineage", "pins.yaml", "--json", "--where", &asked]);
                let told = told.done().json();
                assert_eq!(told["rows"].as_array().map(Vec::len), Some(1), "{sink}: {told}");
                let row = &told["rows"][0];
                assert_eq!(row["lane"], "pins/objects", "{sink}");
                assert_eq!(row["record"], place, "{sink}");
                assert_eq!(row["generation"], *made, "{sink}");
                assert!(told["generations"][&made].is_object(), "the rule is told: {told}");
            }
        }
        run(folder.path(), &["lineage", "pins.yaml", "--where", "ind=3"]).refused(1, &["no row"]);
    }
}

#[test]
fn a_row_that_says_nothing_is_said_to_say_nothing() {
    let folder = TempDir::new().expect("a folder");
    two_generations(folder.path(), "format: parquet, provenance: false");
    run(folder.path(), &["lineage", "pins.yaml", "--where", "ind=1"])
        .refused(2, &["do not tell where they come from", "provenance"]);
}

#[test]
fn a_row_of_a_replay_of_plain_files_names_the_replays_rule() {
    let folder = TempDir::new().expect("a folder");
    let write = |path: &str, text: String| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    let pipeline = |rule: &str| {
        format!(
            "name: live\nsource: {{ objects: {{ url: posts, settle: 0s }} }}\n\
             rule: {{ fields: {rule} }}\nsink: {{ sqlite: {{ path: live.db, table: pin, key: [ind] }} }}\n"
        )
    };
    write("posts/a.json", r#"{"ind": 1, "title": "live"}"#.to_owned());
    write("old/a.json", r#"{"ind": 1, "title": "old"}"#.to_owned());
    write("live.yaml", pipeline("{ ind: integer, title: text }"));
    let run = |arguments: &[&str]| run(folder.path(), arguments).done();
    run(&["run", "--until-end", "live.yaml"]);
    write("live.yaml", pipeline("{ ind: integer, title: text, more: text }"));
    let replayed =
        run(&["replay", "live.yaml", "--from", "old", "--overwrite", "--run-id", "again"]);
    assert!(replayed.stderr.contains("rows stored"), "{}", replayed.stderr);

    let generation = |arguments: &[&str]| {
        let ranges = run(&[&["lineage", "live.yaml", "--json"], arguments].concat()).json();
        ranges[0]["generation"].as_str().expect("one").to_owned()
    };
    let (live, again) = (generation(&[]), generation(&["--run-id", "again"]));
    assert_ne!(live, again, "they are two generations");
    let traced = run(&["lineage", "live.yaml", "--json", "--where", "ind=1"]);
    assert_eq!(traced.json()["rows"][0]["generation"], *again);
    let traced = run(&["lineage", "live.yaml", "--where", "ind=1"]);
    assert!(traced.stdout.contains(&again[..12]), "{}", traced.stdout);
    assert_eq!(traced.stderr, "", "nothing is unclear");
}
