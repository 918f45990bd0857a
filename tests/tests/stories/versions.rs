//! What tells which of two rows is newer is changed on a table that has rows.

use std::fs;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::{pinhost, table};
use tempfile::TempDir;

/// Issue 25, A3: every later update was superseded, exit 0, and all of them were lost.
#[test]
fn another_newest_is_refused_until_versions_are_made_anew() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    fs::create_dir(folder.join("posts")).expect("a folder");
    let put = |name: &str, year: u32, title: &str| {
        let post = format!(
            "{{\"ind\": 1, \"seen\": \"{year}-01-01T00:00:00Z\", \"title\": \"{title}\"}}\n"
        );
        fs::write(folder.join("posts").join(name), post).expect("a file");
    };
    let write = |table: &str| {
        let text = format!(
            "name: pins
source: {{ objects: {{ url: posts, settle: 0s }} }}
rule: {{ fields: {{ ind: {{ type: integer, required: true }}, seen: timestamp, title: text }} }}
sink: {{ sqlite: {{ path: pins.db, {table} }} }}
limits: {{ start_time: 100ms, halt_time: 100ms }}
"
        );
        fs::write(folder.join("pins.yaml"), text).expect("a file");
    };
    let run = |args: &[&str]| -> Said { said(command(pinhost!(), folder).args(args)) };
    let go = || run(&["run", "--until-end", "pins.yaml"]);
    let titles = || table::rows(&folder.join("pins.db"), "SELECT title FROM pin");

    put("a.json", 2001, "one");
    write("table: pin, key: [ind]");
    go().done();
    write("table: pin, key: [ind], newest: seen");
    put("b.json", 2000, "older");
    let advice = "`pinhost versions rebase PIPELINE`";
    go().refused(3, &["by the time of records", "by seen (timestamp)", advice]);
    assert_eq!(titles(), ["\"one\""]);
    let told = run(&["versions", "rebase", "pins.yaml"]).done().stderr;
    assert!(told.contains("1 row") && told.contains("by seen (timestamp)"), "{told}");
    go().done();
    assert_eq!(titles(), ["\"one\""], "that row is newer");
    put("c.json", 2002, "newer");
    go().done();
    assert_eq!(titles(), ["\"newer\""]);

    write("table: another");
    run(&["versions", "rebase", "pins.yaml"]).refused(2, &["have no versions", "`key:`"]);
}
