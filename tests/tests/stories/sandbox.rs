//! The sandbox with plugins that behave: what is kept between runs, and that how batches are cut makes
//! no difference.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef};
use arrow::compute::{cast, concat};
use pinhost::decode::{DeclaredField, DecodeLimits, Decoder};
use pinhost::plugin::{CacheFolder, Plugin, PluginLimits, Sandbox, Step, discarded, standard};
use pinhost::record::{Batch, Kind, Record};
use pinhost::run::Chain;

const STEPS: [(&str, &str); 4] = [
    ("placeholders", "{}"),
    ("follower-count", r#"{"column": "follower_count"}"#),
    ("tags", r#"{"column": "tag_list"}"#),
    ("strip-prefix", r#"{"column": "save_location", "prefix": "Local save in "}"#),
];

fn posts() -> Batch {
    let texts = ["title", "description", "follower_count", "tag_list", "save_location"];
    let fields: Vec<_> = texts.iter().map(|name| DeclaredField::new(*name, Kind::Text)).collect();
    let mut decoder = Decoder::new(&fields, DecodeLimits::default());
    for post in include_str!("../../data/pin.ndjson").lines() {
        let record = Record { value: Some(post.as_bytes()), ..Record::default() };
        decoder.push(&record).expect("a real post");
    }
    decoder.finish()
}

fn steps(sandbox: &Sandbox, batch: &Batch) -> Vec<Step> {
    let limits = Arc::new(PluginLimits::default());
    let mut input = Arc::clone(batch.fields());
    let mut steps = Vec::new();
    for (name, config) in STEPS {
        let file = standard::find(name).expect("a standard plugin");
        let plugin = Plugin::load(sandbox, file, &limits).expect("it loads");
        let step = Step::new(&plugin, config, &input, discarded()).expect("its configuration");
        input = Arc::clone(step.output());
        steps.push(step);
    }
    steps
}

/// The columns, whether they consist of pieces or not.
fn plain(batches: &[Batch]) -> Vec<ArrayRef> {
    let fields = batches[0].fields();
    let column = |place: usize| {
        let kind = fields[place].kind;
        let parts: Vec<_> = batches
            .iter()
            .map(|batch| cast(&batch.columns()[place], &kind.data_type()).expect("its own kind"))
            .collect();
        concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>()).expect("one type")
    };
    (0..fields.len()).map(column).collect()
}

/// Invariant 9.
#[test]
fn rows_are_cleaned_alike_however_batches_are_cut() {
    let sandbox = Sandbox::new(&CacheFolder::Off).expect("a sandbox");
    let posts = posts();
    let steps = steps(&sandbox, &posts);
    let whole = Chain::new(&steps).clean(&posts).expect("clean posts");
    for rows in [1, 7, 64, 1000] {
        let mut chain = Chain::new(&steps);
        let mut batches = Vec::new();
        let mut tallies = vec![0; whole.tallies.iter().map(|tally| tally.counts.len()).sum()];
        for from in (0..posts.rows()).step_by(rows) {
            let part = posts.slice(from, rows.min(posts.rows() - from));
            let cleaned = chain.clean(&part).expect("clean posts");
            let counts = cleaned.tallies.iter().flat_map(|tally| &tally.counts);
            for (sum, count) in tallies.iter_mut().zip(counts) {
                *sum += count;
            }
            batches.push(cleaned.batch);
        }
        assert_eq!(plain(&batches), plain(std::slice::from_ref(&whole.batch)), "{rows} at a time");
        let expected: Vec<_> =
            whole.tallies.iter().flat_map(|tally| tally.counts.clone()).collect();
        assert_eq!(tallies, expected, "{rows} at a time");
    }
}

#[test]
fn what_was_compiled_in_a_hurry_gives_the_same_answers_and_is_compiled_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::new(&CacheFolder::At(folder.path().join("kept"))).expect("a sandbox");
    let posts = posts();
    let clean = |steps: &mut Chain| plain(&[steps.clean(&posts).expect("clean posts").batch]);
    let expected = clean(&mut Chain::new(&steps(&sandbox, &posts)));
    let steps = steps(&sandbox.gentle(), &posts);
    let mut chain = Chain::new(&steps);
    let in_a_hurry = || steps.iter().filter(|step| step.plugin().patience() > 1).count();
    assert_eq!(in_a_hurry(), STEPS.len());
    assert_eq!(clean(&mut chain), expected);
    let began = Instant::now();
    while in_a_hurry() > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "they stay as they are");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(clean(&mut chain), expected);
}

fn load(sandbox: &Sandbox) -> Plugin {
    let file = standard::find("tags").expect("a standard plugin");
    Plugin::load(sandbox, file, &Arc::default()).expect("it loads")
}

/// Compiled components; what wasmtime notes about them has an extension.
fn kept_below(folder: &Path) -> usize {
    let paths =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("of it").path());
    paths
        .map(|path| match path.is_dir() {
            true => kept_below(&path),
            false => usize::from(path.extension().is_none()),
        })
        .sum()
}

#[test]
fn a_compiled_plugin_is_kept_for_the_next_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("kept");
    let sandbox = || Sandbox::new(&CacheFolder::At(kept.clone())).expect("a sandbox");
    let first = load(&sandbox());
    assert_eq!(kept_below(&kept), 1);
    let again = load(&sandbox());
    assert_eq!(first.file().digest(), again.file().digest());
    assert_eq!(kept_below(&kept), 1, "the same file served both");
}

#[test]
fn a_folder_that_cannot_be_written_is_done_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a file");
    std::fs::write(&file, "in the way").expect("the folder can be written");
    let sandbox =
        Sandbox::new(&CacheFolder::At(file.join("kept"))).expect("a sandbox all the same");
    assert_eq!(load(&sandbox).name(), "tags");
}

#[test]
fn standard_plugins_import_nothing_but_the_contract() {
    let sandbox = Sandbox::new(&CacheFolder::Off).expect("a sandbox");
    for name in standard::names() {
        let file = standard::find(name).expect("it has a name");
        let plugin = Plugin::load(&sandbox, file, &Arc::default()).expect("it loads");
        assert_eq!(plugin.name(), name);
        assert!(
            plugin.imports().iter().all(|import| import.starts_with("pinhost:plugin/")),
            "{name}: {:?}",
            plugin.imports()
        );
    }
}
