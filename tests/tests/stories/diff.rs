//! What another rule would change, over history: `pinhost diff`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pinhost::plugin::standard;
use pinhost_tests::command::{Said, command, said};
use pinhost_tests::pinhost;
use serde_json::{Value, json};
use tempfile::TempDir;

const FIELDS: &str = "\
fields:
  ind: { type: integer, required: true, aliases: [index] }
  title: text
  follower_count: text
  tag_list: text
  save_location: text
";

const RULE: &str = "\
steps:
  - plugin: follower-count
    with: { column: follower_count }
  - plugin: strip-prefix
    with: { column: save_location, prefix: 'Local save in ' }
";

/// What is no count goes to the dead letters, and folders are shorter.
const CHANGED: &str = "\
steps:
  - plugin: follower-count
    with: { column: follower_count, otherwise: reject }
  - plugin: strip-prefix
    with: { column: save_location, prefix: 'Local save in /data/' }
";

/// Published posts, a hundred in a file.
struct Scene {
    folder: TempDir,
    posts: Vec<Value>,
}

impl Scene {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/pin.ndjson");
        let data = fs::read_to_string(data).expect("the posts");
        let lines: Vec<_> = data.lines().collect();
        let posts = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let scene = Self { folder, posts };
        for (number, lines) in lines.chunks(100).enumerate() {
            let path = scene.write(&format!("posts/{number}.json"), &lines.join("\n"));
            let written = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * number as u64);
            let file = File::open(path).expect("it was written");
            file.set_modified(written).expect("a file of ours");
        }
        scene.write("rule.yaml", &format!("{FIELDS}{RULE}"));
        scene.write("changed.yaml", &format!("{FIELDS}{CHANGED}"));
        scene.pipeline("posts.yaml", "objects: { url: posts }");
        scene
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a folder");
        fs::write(&path, text).expect("it can be written");
        path
    }

    fn pipeline(&self, file: &str, source: &str) {
        let sink = "sqlite: { path: posts.db, table: pin, key: [ind] }";
        let text =
            format!("name: posts\nsource: {{ {source} }}\nrule: rule.yaml\nsink: {{ {sink} }}\n");
        self.write(file, &text);
    }

    /// A plugin in a file of one's own.
    fn plugin(&self, name: &str) -> String {
        let file = format!("{name}.wasm");
        let plugin = standard::find(name).expect("it comes with pinhost");
        fs::write(self.path().join(&file), plugin.bytes()).expect("it can be written");
        file
    }

    fn diff(&self, arguments: &[&str]) -> Said {
        let arguments = [&["diff", "posts.yaml"], arguments].concat();
        said(command(pinhost!(), self.path()).env("NO_COLOR", "1").args(arguments))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.diff(&[&["--json"], arguments].concat()).done().json()
    }

    /// How many posts are like that.
    fn count(&self, is: impl Fn(&Value) -> bool) -> u64 {
        self.posts.iter().filter(|post| is(post)).count() as u64
    }
}

/// What is another one with each build of the plugins and with each run left out.
fn steady(told: &Said, json: &Value) -> String {
    let mut text = told.stdout.clone();
    for which in ["old", "new"] {
        let digest = json["rules"][which]["generation"].as_str().expect("a digest");
        text = text.replace(&digest[..12], &format!("digest-{which}-"));
    }
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("cost")).collect();
    lines.join("\n").trim_end().to_owned()
}

fn column<'a>(json: &'a Value, name: &str) -> &'a Value {
    let columns = json["columns"].as_array().expect("columns");
    columns.iter().find(|column| column["name"] == name).expect("a column of that name")
}

const TOLD: &str = r#"posts  471 records of 5 objects in posts, 1970-01-01T00:00:00Z to 1970-01-05T00:00:00Z
  old  digest-old-  posts.yaml
  new  digest-new-  changed.yaml

what is written otherwise
  step follower-count: with.otherwise  –                 →  "reject"
  step strip-prefix: with.prefix       "Local save in "  →  "Local save in /data/"

468 of 468 rows change; rows 471 → 468; dead letters 0 → 3

  column         rows  null → value  value → null  value → other
  save_location   468             –             –            468

save_location
  ind 12   "/data/art"     →  "art"     0.json:0
  ind 914  "/data/beauty"  →  "beauty"  0.json:39

records that come to another end
  3  row → rejected by follower-count: follower_count is not a count
       0.json:48  ind 1187  User Info Error
       1.json:40  ind 3089  User Info Error

what the steps count
    3  →    0  follower-count: not a count
  471  →  468  strip-prefix: prefixes stripped"#;

#[test]
fn what_a_rule_would_change_is_told_by_column_and_by_end() {
    let scene = Scene::new();
    let told = scene.diff(&["--against", "changed.yaml", "--limit", "2"]).done();
    let json = scene.json(&["--against", "changed.yaml", "--limit", "2"]);
    // Paths in a file are those from the file on, and told whole.
    let here = scene.path().canonicalize().expect("the folder");
    let whole = format!("objects in {}/posts,", here.display());
    assert_eq!(steady(&told, &json).replace(&whole, "objects in posts,"), TOLD);
    assert!(told.stdout.contains("cost of a record"), "{}", told.stdout);
    assert!(!scene.path().join("posts.db").exists(), "no sink is opened");
}

#[test]
fn the_counts_are_those_of_the_records() {
    let scene = Scene::new();
    let json = scene.json(&["--against", "changed.yaml"]);
    let is_count = |post: &Value| {
        let count = post["follower_count"].as_str().expect("a text");
        count.starts_with(|first: char| first.is_ascii_digit())
    };
    let is_saved = |post: &Value| {
        let place = post["save_location"].as_str().expect("a text");
        place.starts_with("Local save in /data/")
    };
    let all = scene.posts.len() as u64;
    let rejected = scene.count(|post| !is_count(post));
    assert!(rejected > 0, "there is something to see");
    assert_eq!(json["records"], all);
    assert_eq!(json["old"], json!({"rows": all, "deletes": 0, "dropped": 0, "rejected": 0}));
    assert_eq!(json["new"]["rejected"], rejected);
    assert_eq!(json["compared"], all - rejected);
    assert_eq!(json["fates"].as_array().expect("ends").len(), 1);
    let fate = &json["fates"][0];
    assert_eq!(fate["old"], json!({"fate": "row"}));
    assert_eq!(
        (&fate["new"]["step"], &fate["records"]),
        (&json!("follower-count"), &json!(rejected))
    );

    let changed = scene.count(|post| is_count(post) && is_saved(post));
    let place = column(&json, "save_location");
    assert_eq!((&place["value_to_other"], &json["changed"]), (&json!(changed), &json!(changed)));
    assert_eq!((&place["null_to_value"], &place["value_to_null"]), (&json!(0), &json!(0)));
    let example = &place["examples"][0];
    assert_eq!(example["key"], json!({"ind": scene.posts[0]["index"]}));
    assert_eq!(example["record"], "0.json:0");
    let (old, new) = (example["old"].as_str().expect("a text"), example["new"].as_str());
    assert_eq!(old.strip_prefix("/data/"), new);
    assert_eq!(column(&json, "title")["value_to_other"], 0);
    assert_eq!(json["differs"], true);
}

#[test]
fn a_plugin_takes_the_place_of_another() {
    let scene = Scene::new();
    let tags = scene.plugin("tags");
    let json = scene.json(&["--plugin", &format!("follower-count={tags}")]);
    let counts = column(&json, "follower_count");
    assert_eq!(
        (&counts["old_type"], &counts["new_type"]),
        (&json!("integer"), &json!("text-list"))
    );
    let change = &json["rules"]["changes"][0];
    assert_eq!(change["what"], "step follower-count: plugin");
    assert!(change["new"].as_str().is_some_and(|new| new.starts_with("tags ")), "{change}");
    let gone = json["tallies"].as_array().expect("tallies");
    assert!(gone.iter().any(|tally| tally["new"].is_null()), "{gone:?}");

    // The same bytes are the same rule.
    let same = scene.plugin("follower-count");
    let told = scene.diff(&["--exit-code", "--plugin", &format!("follower-count={same}")]).done();
    assert!(told.stdout.contains("nothing differs: all 471 records"), "{}", told.stdout);
}

#[test]
fn the_exit_code_says_whether_something_differs() {
    let scene = Scene::new();
    assert_eq!(scene.diff(&["--against", "changed.yaml"]).code, Some(0));
    assert_eq!(scene.diff(&["--against", "changed.yaml", "--exit-code"]).code, Some(4));
    assert_eq!(scene.diff(&["--against", "changed.yaml", "--exit-code", "--json"]).code, Some(4));
    assert_eq!(scene.diff(&["--against", "rule.yaml", "--exit-code"]).code, Some(0));
    assert_eq!(scene.diff(&["--against", "posts.yaml", "--exit-code"]).code, Some(0));
    scene
        .diff(&["--plugin", "count=follower-count.wasm"])
        .refused(2, &["no step is called `count`"]);
    scene.diff(&["--against", "missing.yaml"]).refused(2, &["missing.yaml cannot be read"]);
    scene.diff(&["--against", "changed.yaml", "--from", "nowhere"]).refused(3, &["nowhere"]);
    scene.pipeline("posts.yaml", "generate: { profile: pin, count: 10 }");
    scene.diff(&["--against", "changed.yaml"]).refused(2, &["--from URL"]);
    scene.write(
        "posts.yaml",
        "name: raw\nsource: { objects: { url: posts } }\nsink: { stdout: {} }\n",
    );
    scene.diff(&["--against", "posts.yaml"]).refused(2, &["raw has no rule"]);
}

#[test]
fn a_sample_is_spread_over_history() {
    let scene = Scene::new();
    let objects = scene.json(&["--against", "changed.yaml", "--sample", "2"]);
    assert_eq!(objects["read"]["sample"], json!({"unit": "objects", "taken": 2, "of": 5}));
    assert_eq!(objects["records"], 200);
    assert_eq!(column(&objects, "save_location")["examples"][0]["record"], "1.json:0");

    let records = scene.json(&["--against", "changed.yaml", "--sample", "50"]);
    assert_eq!(
        records["read"]["sample"],
        json!({"unit": "records", "taken": 30, "of": 471, "every": 16})
    );
    assert_eq!(records["records"], 30);
    let examples = column(&records, "save_location")["examples"].as_array().expect("examples");
    assert_eq!(examples[0]["record"], "0.json:0");
    let last = scene.json(&["--against", "changed.yaml", "--match", "4.json", "--sample", "50"]);
    assert_eq!(last["records"], 36, "every other one of 71");
}

#[test]
fn records_of_an_archive_keep_their_places_and_times() {
    let scene = Scene::new();
    let source = "generate: { profile: pin, count: 3000, keys: 500, seed: 3 }";
    scene.write(
        "archive.yaml",
        &format!(
            "name: archive\nsource: {{ {source} }}\nsink: {{ objects: {{ url: archive }} }}\nunit: {{ rows: 700 }}\n"
        ),
    );
    said(command(pinhost!(), scene.path()).args(["run", "archive.yaml"])).done();
    let rule = format!("{FIELDS}{RULE}").replace("required: true", "coerce: true");
    scene.write("rule.yaml", &rule);
    let rule = rule.replace("'Local save in '", "'Local save in /data/'");
    scene.write("changed.yaml", &rule);

    let json = scene.json(&["--from", "archive", "--against", "changed.yaml"]);
    assert_eq!(json["records"], 3_000);
    let example = &column(&json, "save_location")["examples"][0];
    let record = example["record"].as_str().expect("a place");
    assert!(!record.contains(".json") && record.contains(':'), "{record}");
    assert_eq!(json["fates"], json!([]));
    let rejected = &json["old"]["rejected"];
    assert!(rejected.as_u64() > Some(0) && *rejected == json["new"]["rejected"], "{rejected}");

    let before =
        ["--from", "archive", "--against", "changed.yaml", "--until", "1970-01-01T00:00:00Z"];
    let none = scene.json(&before);
    assert_eq!((&none["records"], &none["differs"]), (&json!(0), &json!(false)));
    let told = scene.diff(&before).done();
    assert!(told.stdout.contains("nothing was compared: there are no records"), "{}", told.stdout);

    // One thread or several, the answer is the same.
    let threads = |count| {
        let mut json = scene.json(&["--from", "archive", "--against", "changed.yaml", "-j", count]);
        json["rules"]["old"]["nanoseconds_per_record"] = Value::Null;
        json["rules"]["new"]["nanoseconds_per_record"] = Value::Null;
        json
    };
    assert_eq!(threads("1"), threads("4"));
}
