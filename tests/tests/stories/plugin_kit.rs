//! The plugin kit as an author meets it: from `pinhost plugin new` to a measured component.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinhost_tests::command::{Said, command, said};
use pinhost_tests::{guests, pinhost};
use tempfile::TempDir;

fn plugin(folder: &Path, args: &[&str]) -> Said {
    said(command(pinhost!(), folder).arg("plugin").args(args))
}

/// A folder outside the repository, whose settings for cargo would otherwise be found.
fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

#[track_caller]
fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a folder");
    fs::write(&path, text).expect("it can be written");
    path
}

#[test]
fn a_new_plugin_is_built_tested_inspected_and_measured() {
    let folder = folder();
    let new = plugin(folder.path(), &["new", "shout"]).done();
    assert_eq!(new.stdout, "shout\n");
    assert!(new.stderr.contains("pinhost plugin test"), "{}", new.stderr);
    let shout = folder.path().join("shout");
    // The versions that the repository is built with: nothing has to be fetched.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    fs::copy(lock, shout.join("Cargo.lock")).expect("a lock file");

    let test = plugin(&shout, &["test"]).done();
    for said in
        ["ok    texts are written in capitals", "3 cases passed", "cost: ", "instructions a row"]
    {
        assert!(test.stdout.contains(said), "no {said:?} in\n{}", test.stdout);
    }
    assert!(!shout.join("shout.wasm").exists(), "a pipeline might be watching for the file");

    let build = plugin(folder.path(), &["build", "shout"]).done();
    assert_eq!(build.stdout, "shout/shout.wasm\n");
    assert!(build.stderr.contains("shout 0.1.0: "), "{}", build.stderr);

    plugin(folder.path(), &["build", "shout", "--output", "none/shout.wasm"])
        .refused(2, &["cannot write none/shout.wasm"]);

    let args = ["inspect", "shout.wasm", "--config", "{column: title}", "--columns", "title=text"];
    let inspect = plugin(&shout, &args).done().stdout;
    for said in [
        "shout 0.1.0",
        "Writes a text column in capitals.",
        "pinhost:plugin@1.0.0",
        "required",
        "default 1000",
        "title (text)",
        "texts changed",
    ] {
        assert!(inspect.contains(said), "no {said:?} in\n{inspect}");
    }
    let json = plugin(&shout, &["inspect", "shout.wasm", "--json"]).done().json();
    let imports = json["imports"].as_array().expect("a list");
    assert!(imports.iter().all(|import| import.as_str().unwrap().starts_with("pinhost:plugin/")));

    let json = plugin(&shout, &["bench", "shout.wasm", "--seconds", "0.1", "--json"]).done().json();
    assert_eq!(json["rows"], "the rows of the case `texts are written in capitals`");
    assert!(json["rows_per_second"].as_f64().expect("a number") > 0.0, "{json:#}");

    plugin(folder.path(), &["new", "shout"]).refused(2, &["shout is there already", "--path"]);

    // A rule that looks at other rows, and one that panics.
    let source = fs::read_to_string(shout.join("src/lib.rs")).expect("the source");
    let faulty = source.replace(
        "|text, row| {",
        "|text, row| {
            assert!(text != \"maple\", \"no maple\");
            if row.index() > 1 {
                return Ok(Edit::Keep);
            }",
    );
    assert_ne!(source, faulty);
    write(&shout, "src/lib.rs", faulty);
    let more = "
- name: all rows are alike
  config: { column: title }
  rows: [{ title: oak }, { title: elm }, { title: ash }]
  expect: { rows: [{ title: OAK }, { title: ELM }, { title: ASH }] }
";
    write(&shout, "cases/more.yaml", more);
    let failed = plugin(&shout, &["test"]);
    assert_eq!(failed.code, Some(1), "{failed:#?}");
    for said in [
        "row 2, title\n        expected  \"ASH\"\n        got       \"ash\"",
        "row 2, alone\n        expected  as in the whole batch: kept: {\"title\":\"ash\"}",
        "pinhost cuts batches as it likes",
        "rejected: plugin panicked (detail: ",
        "no maple",
        "1 case passed, 3 failed",
    ] {
        assert!(failed.stdout.contains(said), "no {said:?} in\n{}", failed.stdout);
    }

    // Cargo's own words about a mistake in the author's code pass through.
    write(&shout, "src/lib.rs", "fn broken( {}");
    plugin(&shout, &["build"]).refused(1, &["unclosed delimiter", "cargo could not build it"]);
}

#[test]
fn a_name_that_no_crate_can_have_is_refused_with_one_that_can() {
    let folder = folder();
    for (name, help) in [
        ("StripEmoji", "pinhost plugin new strip-emoji"),
        ("3d", "pinhost plugin new plugin-3d"),
        ("mod", "for example my-mod"),
        ("tags", "a plugin that comes with pinhost is called so"),
    ] {
        plugin(folder.path(), &["new", name]).refused(2, &["cannot be a plugin's name", help]);
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is left behind");
}

#[test]
fn what_is_no_plugin_is_told_for_what_it_is() {
    let folder = folder();
    write(folder.path(), "notes.wasm", "only text");
    write(folder.path(), "core.wasm", b"\0asm\x01\0\0\0");
    write(folder.path(), "cut.wasm", b"\0asm\x0d\0\x01\0\x07\xff");
    write(folder.path(), "empty.wasm", "");
    for (named, said) in [
        ("notes.wasm", &["error: notes.wasm is not WebAssembly: it looks like text", "help: "][..]),
        ("core.wasm", &["is a core WebAssembly module, not a component", "pinhost plugin build"]),
        ("cut.wasm", &["is damaged or cut short"]),
        ("empty.wasm", &["is empty"]),
        ("missing.wasm", &["there is no plugin `missing.wasm`"]),
        ("tag", &["there is no plugin `tag`", "did you mean `tags`?"]),
        (".", &["this folder has no Cargo.toml", "pinhost plugin new NAME"]),
    ] {
        plugin(folder.path(), &["inspect", named]).refused(2, said);
    }
}

#[test]
fn without_the_target_there_is_one_command_to_type() {
    let folder = folder();
    write(folder.path(), "Cargo.toml", "");
    let output = Command::new(pinhost!())
        .args(["plugin", "build"])
        .arg(folder.path())
        // A compiler that has nothing.
        .env("RUSTC", "false")
        .output()
        .expect("pinhost can be started");
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.ends_with("help: rustup target add wasm32-unknown-unknown\n"), "{said}");
}

#[test]
fn a_configuration_that_is_refused_is_told_with_place_and_remedy() {
    let folder = folder();
    let args = ["inspect", "tags", "--config", "{column: tag_lst}", "--columns", "tag_list=text"];
    plugin(folder.path(), &args).refused(
        2,
        &[
            "error: plugin tags does not take this configuration",
            "/column: there is no column `tag_lst`",
            "help: did you mean `tag_list`?",
        ],
    );
    let args = ["inspect", "tags", "--columns", "tag_list=txt"];
    plugin(folder.path(), &args).refused(2, &["there is no kind `txt`; did you mean `text`?"]);
}

const CASES: &str = "\
- name: thousands are spelled out    # why not
  config: { column: n }
  rows: [{ n: 46k }, { n: many }]
  expect:
    rows: [{ n: 46 }, { n: null }]
    tallies: { counts spelled out: 2 }

- name: what is no count can be rejected
  config: { column: n, otherwise: reject }
  rows: [{ n: many }]
";

#[test]
fn a_case_that_fails_shows_the_fields_and_update_mends_it() {
    let folder = folder();
    let cases = write(folder.path(), "cases/counts.yaml", CASES);
    let args = ["test", "follower-count", "--cases", "cases"];
    let failed = plugin(folder.path(), &args);
    assert_eq!(failed.code, Some(1));
    let expected = "\
FAIL  thousands are spelled out  cases/counts.yaml:1
      row 0, n
        expected  46
        got       46000
      tally `counts spelled out`
        expected  2
        got       1
FAIL  what is no count can be rejected  cases/counts.yaml:8
      expect
        expected  something
        got       nothing is written there
        `pinhost plugin test --update` writes down what comes out

0 cases passed, 2 failed
cost: ";
    assert!(failed.stdout.starts_with(expected), "{}", failed.stdout);
    let json = plugin(folder.path(), &[&args[..], &["--json"]].concat()).json();
    assert_eq!(json["failed"], 2);
    assert_eq!(json["cases"][0]["differences"][0]["got"], "46000");

    plugin(folder.path(), &[&args[..], &["--update"]].concat()).done();
    let updated = "\
- name: thousands are spelled out    # why not
  config: { column: n }
  rows: [{ n: 46k }, { n: many }]
  expect:
    rows:
      - { n: 46000 }
      - { n: null }
    tallies: { counts spelled out: 1, not a count: 1 }

- name: what is no count can be rejected
  config: { column: n, otherwise: reject }
  rows: [{ n: many }]
  expect:
    rows: []
    rejected:
      - { row: 0, reason: n is not a count, detail: many }
";
    assert_eq!(fs::read_to_string(cases).expect("the cases"), updated);
    assert!(plugin(folder.path(), &args).done().stdout.contains("2 cases passed"));
}

#[test]
fn without_cases_there_is_nothing_to_pass() {
    let folder = folder();
    let said = ["there are no golden cases for tags", "--cases"];
    plugin(folder.path(), &["test", "tags"]).refused(2, &said);
    write(folder.path(), "cases/empty.yaml", "[]\n");
    let args = ["test", "tags", "--cases", "cases"];
    plugin(folder.path(), &args).refused(2, &["there are no golden cases in cases", "- name: "]);
}

/// Pairs of a case file and what is said about it. `PINHOST_UPDATE=1` writes the latter.
#[test]
fn a_broken_case_file_is_told_with_place_and_remedy() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories/plugin_kit");
    let mut checked = 0;
    for entry in fs::read_dir(&folder).expect("the golden files") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_name().expect("a name").to_str().expect("in ASCII");
        let said = plugin(&folder, &["test", "tags", "--cases", name]);
        let golden = path.with_extension("stderr");
        if std::env::var_os("PINHOST_UPDATE").is_some() {
            fs::write(&golden, &said.stderr).expect("it can be written");
        }
        let expected = fs::read_to_string(&golden).expect("the golden file");
        assert_eq!(said.stderr, expected, "{name}");
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{name}");
        checked += 1;
    }
    assert!(checked > 0);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of the workspace")
}

#[test]
fn every_standard_plugin_passes_its_cases() {
    let listed = plugin(root(), &["list"]).done().stdout;
    let names: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 4, "{listed}");
    for name in names {
        let cases = format!("plugins/{name}/cases");
        plugin(root(), &["test", name, "--cases", &cases]).done();
    }
}

#[test]
fn a_plugin_in_python_passes_its_cases() {
    let slug = guests::python_plugin();
    let cases = "examples/python-plugin/cases";
    plugin(root(), &["test", slug.to_str().expect("UTF-8"), "--cases", cases]).done();
}

#[test]
fn the_plugins_that_come_with_pinhost_are_listed() {
    let folder = folder();
    let said = plugin(folder.path(), &["list", "--json"]).done().json();
    let names: Vec<_> =
        said.as_array().expect("a list").iter().map(|plugin| &plugin["name"]).collect();
    let expected = [
        "follower-count",
        "geo-merge",
        "placeholders",
        "strip-prefix",
        "tags",
        "text-tidy",
        "timestamps",
        "user-merge",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = folder();
    let mut list = command(pinhost!(), folder.path())
        .args(["plugin", "list"])
        .spawn()
        .expect("pinhost can be started");
    drop(list.stdout.take());
    let output = list.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn the_version_says_what_decides_a_row() {
    let output =
        Command::new(pinhost!()).arg("--version").output().expect("pinhost can be started");
    let version = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(version.starts_with("pinhost 0."), "{version}");
    assert!(version.contains("contract  pinhost:plugin@1.0.0\nwasmtime  48."), "{version}");
}
