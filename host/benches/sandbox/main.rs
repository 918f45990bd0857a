//! What the sandbox costs: a chain of four plugins over real posts, with all limits on, beside the same
//! plugin crates linked natively, and beside the way most sandboxes pass data.
//!
//! `cargo bench -p pinhost --bench sandbox`

#[path = "../common/mod.rs"]
mod common;
mod naive;
mod native;

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use pinhost::decode::Decoder;
use pinhost::guest_build::{FOREIGN, TARGET, encode};
use pinhost::plugin::{
    CacheFolder, Origin, Plugin, PluginFile, PluginLimits, Sandbox, Step, discarded, standard,
};
use pinhost::record::{Batch, Field, ndjson};
use pinhost::run::Chain;

use common::{BATCH_ROWS, Variant, decode, decoder, median, posts, take_turns};
use naive::Naive;
use native::NativeChain;

const ROUNDS: usize = 60;
/// A call for every record is so much slower that fewer will do.
const NAIVE_POSTS: usize = 1024;

/// The steps of the yardstick's job: plugin and configuration.
const STEPS: [(&str, &str); 4] = [
    ("placeholders", "{}"),
    ("follower-count", r#"{"column": "follower_count"}"#),
    ("tags", r#"{"column": "tag_list"}"#),
    ("strip-prefix", r#"{"column": "save_location", "prefix": "Local save in "}"#),
];

fn main() {
    let posts = posts();
    let rows = posts.iter().map(Vec::len).sum();
    println!("{rows} posts in batches of {BATCH_ROWS}, {ROUNDS} rounds, medians\n");
    let decoded: Vec<Batch> = posts.iter().map(|posts| decode(&mut decoder(), posts)).collect();
    let cache = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::new(&CacheFolder::At(cache.path().join("cache"))).expect("a sandbox");
    let steps = steps(&sandbox, decoded[0].fields());
    let native = NativeChain::new(&steps, STEPS.map(|(_, config)| config));
    agree(&mut Chain::new(&steps), &native, &decoded);

    let [mut chain, mut chain_after_decode] = [Chain::new(&steps), Chain::new(&steps)];
    let [mut alone, mut before_native, mut before_chain] = [decoder(), decoder(), decoder()];
    let [mut native_file, mut chain_file] =
        [Files::new(cache.path(), "native", &posts), Files::new(cache.path(), "sandboxed", &posts)];
    let mut chain_between_files = Chain::new(&steps);
    let mut naive = Naive::new(&built("naive"));
    let [
        decoding,
        native_chain,
        sandboxed_chain,
        native_whole,
        sandboxed_whole,
        native_files,
        sandboxed_files,
        per_record,
    ] = take_turns(
        ROUNDS,
        [
            Variant::new("decode", rows, || {
                for posts in &posts {
                    black_box(decode(&mut alone, posts));
                }
            }),
            Variant::new("four plugins, native", rows, || {
                for batch in &decoded {
                    black_box(native.clean(batch));
                }
            }),
            Variant::new("four plugins, sandboxed", rows, || {
                for batch in &decoded {
                    black_box(chain.clean(batch).expect("clean posts"));
                }
            }),
            Variant::new("decode + four plugins, native", rows, || {
                for posts in &posts {
                    black_box(native.clean(&decode(&mut before_native, posts)));
                }
            }),
            Variant::new("decode + four plugins, sandboxed", rows, || {
                for posts in &posts {
                    let batch = decode(&mut before_chain, posts);
                    black_box(chain_after_decode.clean(&batch).expect("clean posts"));
                }
            }),
            Variant::new("file to file, NDJSON, native", rows, || {
                native_file.clean(|batch| native.clean(batch));
            }),
            Variant::new("file to file, NDJSON, sandboxed", rows, || {
                chain_file
                    .clean(|batch| chain_between_files.clean(batch).expect("clean posts").batch);
            }),
            Variant::new("four plugins, sandboxed, JSON per record", NAIVE_POSTS, || {
                for post in posts.iter().flatten().take(NAIVE_POSTS) {
                    let record = (*post).to_owned();
                    black_box((0..4).fold(record, |record, step| naive.clean(step, record)));
                }
            }),
        ],
    );
    println!();
    let ratio = |what, ratio: f64, bar| println!("{what:<60} {ratio:>8.3}   {bar}");
    ratio(
        "decode + four plugins, sandboxed / native",
        sandboxed_whole / native_whole,
        "(bar: ≤ 1.25)",
    );
    ratio("file to file, sandboxed / native", sandboxed_files / native_files, "(bar: ≤ 1.1)");
    ratio("four plugins, sandboxed / native", sandboxed_chain / native_chain, "");
    ratio("four plugins, sandboxed / decode", sandboxed_chain / decoding, "");
    ratio(
        "four plugins, sandboxed: columns / JSON per record",
        sandboxed_chain / per_record,
        "(bar: ≤ 0.08)",
    );
    println!();
    let cost = |what: &str, cost: f64, bar| println!("{what:<60} {cost:>8.0} ns {bar}");
    let added = sandboxed_chain - native_chain;
    cost("what the sandbox adds to four plugins, a row", added, "(bar: ≤ 150)");
    for (step, (name, _)) in steps.iter().zip(STEPS) {
        let mut cleaner = step.cleaner();
        let batch = before(&steps, step, &decoded[0]);
        let nanos = repeated(200, || cleaner.clean(&batch).expect("clean posts"));
        cost(&format!("{name} alone, a row"), nanos / BATCH_ROWS as f64, "");
    }
    let limits = Arc::new(PluginLimits::default());
    let idle =
        PluginFile::new(Origin::Standard("idle"), built("idle").into()).expect("a component");
    let idle = Plugin::load(&sandbox, idle, &limits).expect("it loads");
    let idle = Step::new(&idle, "{}", decoded[0].fields(), discarded()).expect("a plan");
    let row = decoded[0].slice(0, 1);
    let mut cleaner = idle.cleaner();
    let call = repeated(2_000, || {
        for _ in 0..10 {
            black_box(cleaner.clean(&row).expect("nothing to do"));
        }
    });
    cost("a call that hands over nothing", call / 10.0, "(bar: < 1000)");
    let strip = &steps[3];
    let row = before(&steps, strip, &decoded[0]).slice(0, 1);
    let mut cleaner = strip.cleaner();
    let call = repeated(20_000, || cleaner.clean(&row).expect("a clean post"));
    cost("a call with one row of one column", call, "");
    let start = repeated(200, || strip.cleaner().clean(&row).expect("a clean post"));
    cost("a new instance, configured, and its first call", start, "(bar: < 1000000)");
    let load = |sandbox: &Sandbox| {
        let file = standard::find("tags").expect("a standard plugin");
        Plugin::load(sandbox, file, &limits).expect("it loads")
    };
    cost("loading a plugin from the cache", repeated(50, || load(&sandbox)), "(bar: < 5000000)");
    let uncached = Sandbox::new(&CacheFolder::Off).expect("a sandbox");
    cost("compiling it", repeated(5, || load(&uncached)), "");
}

/// From a file of posts to a file of rows, on one thread.
struct Files {
    posts: PathBuf,
    rows: PathBuf,
    decoder: Decoder,
}

impl Files {
    fn new(folder: &Path, name: &str, posts: &[Vec<&str>]) -> Self {
        let [from, to] = ["posts", "rows"].map(|what| folder.join(format!("{name}-{what}.ndjson")));
        let lines: Vec<_> = posts.iter().flatten().copied().collect();
        fs::write(&from, lines.join("\n")).expect("a file");
        Self { posts: from, rows: to, decoder: decoder() }
    }

    fn clean(&mut self, mut clean: impl FnMut(&Batch) -> Batch) {
        let posts = fs::read_to_string(&self.posts).expect("a file");
        // Some file systems write a file out at once that is made empty and filled again.
        let _ = fs::remove_file(&self.rows);
        let mut rows = File::create(&self.rows).expect("a file");
        let lines: Vec<_> = posts.lines().collect();
        for posts in lines.chunks(BATCH_ROWS) {
            let batch = clean(&decode(&mut self.decoder, posts));
            rows.write_all(&ndjson::encode(&batch)).expect("it can be written");
        }
    }
}

fn steps(sandbox: &Sandbox, input: &Arc<[Field]>) -> Vec<Step> {
    let limits = Arc::new(PluginLimits::default());
    let mut input = Arc::clone(input);
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

/// A component of `guests`.
fn built(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/sandbox/guests").join(name);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--locked", "--target", TARGET]);
    for name in FOREIGN {
        cargo.env_remove(name);
    }
    assert!(cargo.current_dir(&folder).status().expect("cargo").success(), "cargo says why above");
    let module = folder.join("target").join(TARGET).join("release").join(name);
    let module = fs::read(module.with_extension("wasm")).expect("cargo built it");
    encode(&module).expect("a component")
}

/// The batch as it comes to a step.
fn before(steps: &[Step], step: &Step, batch: &Batch) -> Batch {
    let place = steps.iter().position(|other| other.plugin().name() == step.plugin().name());
    let ahead = &steps[..place.expect("one of the steps")];
    Chain::new(ahead).clean(batch).expect("clean posts").batch
}

/// Both sides of the ratios do the same work.
fn agree(sandboxed: &mut Chain, native: &NativeChain, batches: &[Batch]) {
    for batch in batches {
        let sandboxed = sandboxed.clean(batch).expect("clean posts");
        assert!(sandboxed.rejected.is_empty() && sandboxed.dropped.is_empty());
        assert_eq!(native.clean(batch).columns(), sandboxed.batch.columns());
    }
}

/// Median of the nanoseconds that something takes.
fn repeated<T>(times: usize, mut run: impl FnMut() -> T) -> f64 {
    let once = |_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_nanos() as f64
    };
    median((0..times).map(once).collect())
}
