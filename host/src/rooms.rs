//! What the compiler does not check: which room looks into which, and who names a connector.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sink::SINKS;
use crate::source::SOURCES;

/// A room looks into those before it. The map in `lib.rs` says the same.
const ORDER: [&str; 20] = [
    "record",
    "private_folder",
    "guest_build",
    "decode",
    "diff",
    "plugin",
    "written",
    "sample",
    "objects",
    "kafka",
    "kinesis",
    "ledger",
    "connect",
    "source",
    "sink",
    "pipeline",
    "run",
    "observe",
    "swap",
    "cli",
];

/// What is still to be mended: traits of sources stand with the sources.
const UPWARDS: [&str; 1] = ["connect/source_kind.rs looks into source"];

/// Who uses a connector as a tool, whatever the pipeline's own source and sink are: `pipe` reads
/// stdin and writes stdout, `replay` and `diff` read archives.
const USERS: [&str; 11] = [
    "cli/dead_letters/mod.rs",
    "cli/diff/history.rs",
    "cli/diff/mod.rs",
    // It posts what `generate` makes up.
    "cli/emulate.rs",
    "cli/history.rs",
    // The one lane of all objects has places that need a hint.
    "cli/lineage.rs",
    "cli/pipe.rs",
    "cli/replay.rs",
    // A reader of the standard output that has seen enough is no error.
    "cli/run.rs",
    "observe/progress.rs",
    // It puts a rule between stdin and stdout, for `pipe` and for Python.
    "run/function.rs",
];

/// The code of this crate without its tests and comments, by paths.
fn code() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut code = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if matches!(name, "tests" | "conformance" | "simulation" | "rooms") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                code.push((name.to_owned(), lines.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    code
}

fn room(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

#[test]
fn rooms_look_only_into_those_below_them() {
    let place = |room: &str| ORDER.iter().position(|known| *known == room);
    let mut upwards = BTreeSet::new();
    let mut looked = 0;
    for (path, code) in code() {
        let Some(own) = place(room(&path)) else {
            assert!(matches!(&*path, "lib.rs" | "main.rs"), "{path} is of a room without a place");
            continue;
        };
        for (at, mark) in code.match_indices("crate::") {
            let word = &code[at + mark.len()..];
            let ends = word.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            let other = &word[..ends.unwrap_or(word.len())];
            assert!(!word.starts_with('{'), "{path}: name each room on a line of its own");
            looked += 1;
            if place(other).is_some_and(|other| other > own) {
                upwards.insert(format!("{path} looks into {other}"));
            }
        }
    }
    assert!(looked > 100);
    upwards.retain(|found: &String| !UPWARDS.contains(&&**found));
    assert_eq!(upwards, BTreeSet::new());
}

#[test]
fn a_connector_is_named_in_its_folder_and_in_the_list() {
    let sources = SOURCES.iter().map(|kind| format!("source::{}", kind.key()));
    let sinks = SINKS.iter().map(|kind| format!("sink::{}", kind.key()));
    let kinds: Vec<_> = sources.chain(sinks).collect();
    let mut users = BTreeSet::new();
    for (path, code) in code() {
        for kind in &kinds {
            let names = |end: &str| code.contains(&format!("{kind}{end}"));
            let is_own = path.starts_with(&format!("{}/", kind.replace("::", "/")));
            if !is_own && (names("::") || names(";")) {
                users.insert(path.clone());
            }
        }
        for asked in ["==", "!=", "{"] {
            for of in ["source", "sink"] {
                let asked = format!("{of}.kind() {asked}");
                assert!(!code.contains(&asked), "{path} asks for a kind: {asked}");
            }
        }
    }
    assert!(users.len() > 1, "they are found");
    users.retain(|user: &String| !USERS.contains(&&**user));
    assert_eq!(users, BTreeSet::new());
}
