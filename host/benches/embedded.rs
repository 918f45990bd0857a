//! A rule over columns in memory, in a sandbox of its own process and in one of somebody else's, which
//! traps without signals.
//!
//! ```text
//! cargo bench -p pinhost --bench embedded -- POSTS ROUNDS
//! ```
//!
//! Both run on one thread and take turns. The lines printed are nanoseconds a row, ours and embedded.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use pinhost::pipeline::Document;
use pinhost::plugin::{CacheFolder, Sandbox};
use pinhost::run::{BATCH, FunctionWorker, RuleFunction, piped};

const RULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines/rules/pin.yaml");

fn main() {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [posts, rounds] = &arguments[..] else {
        println!("POSTS ROUNDS: a file of JSON lines");
        return;
    };
    let posts = fs::read_to_string(posts).expect("posts");
    let rule = fs::read_to_string(RULE).expect("a rule");
    let (fields, _) = rule.split_once("\nsteps:").expect("a rule with steps");
    let our_sandbox = Sandbox::new(&CacheFolder::Usual).expect("a sandbox");
    let ours = function(&our_sandbox, &rule);
    let embedded = Sandbox::embedded(&CacheFolder::Usual).expect("a sandbox");
    let embedded = function(&embedded, &rule);
    let batches = columns(&posts, &function(&our_sandbox, fields));
    let (mut our_worker, mut embedded_worker) = (ours.worker(), embedded.worker());
    for _ in 0..rounds.parse().expect("a number") {
        let our_time = time(&ours, &mut our_worker, &batches);
        let embedded_time = time(&embedded, &mut embedded_worker, &batches);
        println!("{our_time:.0} {embedded_time:.0}");
    }
}

fn function(sandbox: &Sandbox, text: &str) -> RuleFunction {
    let document = Document::parse(Path::new(RULE), text.to_owned(), sandbox).expect("a rule");
    RuleFunction::of(&piped(document)).expect("it has a rule")
}

/// The fields of the posts as columns: the rows of the rule without its steps.
fn columns(posts: &str, fields: &RuleFunction) -> Vec<RecordBatch> {
    let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, false)]));
    let input = fields.json(&schema, None).expect("texts");
    let mut worker = fields.worker();
    let lines: Vec<_> = posts.lines().collect();
    let batches = lines.chunks(BATCH.records).map(|lines| {
        let lines = StringArray::from_iter_values(lines);
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(lines)]);
        worker.clean(&input.read(&batch.expect("one column"), 0), 0).expect("posts").rows
    });
    batches.collect()
}

/// Nanoseconds a row.
fn time(function: &RuleFunction, worker: &mut FunctionWorker, batches: &[RecordBatch]) -> f64 {
    let input = function.columns(&batches[0].schema()).expect("columns of the rule");
    let began = Instant::now();
    let mut rows = 0;
    for batch in batches {
        rows += worker.clean(&input.read(batch, 0), 0).expect("posts").rows.num_rows();
    }
    began.elapsed().as_nanos() as f64 / rows as f64
}
