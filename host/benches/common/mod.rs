//! What the benches share: real posts, and variants that take turns, so that whatever else the machine
//! does meets all of them.

use std::hint::black_box;
use std::time::Instant;

use pinhost::decode::{DeclaredField, DecodeLimits, Decoder, FieldPath, Origin};
use pinhost::record::{Batch, Kind, Record};

pub const BATCH_ROWS: usize = 1024;
pub const BATCHES: usize = 8;

const TEXTS: [&str; 10] = [
    "unique_id",
    "title",
    "description",
    "poster_name",
    "follower_count",
    "tag_list",
    "is_image_or_video",
    "image_src",
    "save_location",
    "category",
];

/// Real posts, repeated to fill the batches.
pub fn posts() -> Vec<Vec<&'static str>> {
    let posts: Vec<_> = include_str!("../../../tests/data/pin.ndjson")
        .lines()
        .cycle()
        .take(BATCHES * BATCH_ROWS)
        .collect();
    posts.chunks(BATCH_ROWS).map(<[_]>::to_vec).collect()
}

/// Of the fields of a post one, `downloaded`, is declared nowhere.
pub fn decoder() -> Decoder {
    let mut ind = DeclaredField::new("ind", Kind::Integer);
    ind.required = true;
    ind.key = true;
    ind.from = Origin::Value(vec![FieldPath::key("ind"), FieldPath::key("index")]);
    let texts = TEXTS.map(|name| DeclaredField::new(name, Kind::Text));
    let fields: Vec<_> = [ind].into_iter().chain(texts).collect();
    Decoder::new(&fields, DecodeLimits::default())
}

pub fn decode(decoder: &mut Decoder, posts: &[&str]) -> Batch {
    for post in posts {
        let record = Record { value: Some(post.as_bytes()), ..Record::default() };
        decoder.push(&record).expect("posts are pins");
    }
    decoder.finish()
}

/// One way to do the work.
pub struct Variant<'a> {
    name: &'static str,
    rows: usize,
    run: Box<dyn FnMut() + 'a>,
}

impl<'a> Variant<'a> {
    pub fn new<T>(name: &'static str, rows: usize, mut run: impl FnMut() -> T + 'a) -> Self {
        let run = Box::new(move || {
            black_box(run());
        });
        Self { name, rows, run }
    }
}

/// Runs the variants in turn, prints and returns the median of each: nanoseconds a row.
pub fn take_turns<const N: usize>(rounds: usize, mut variants: [Variant<'_>; N]) -> [f64; N] {
    let mut times = [const { Vec::new() }; N];
    // The first round warms up.
    for round in 0..=rounds {
        for (variant, times) in variants.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (variant.run)();
            if round > 0 {
                times.push(start.elapsed().as_nanos() as f64 / variant.rows as f64);
            }
        }
    }
    let medians = times.map(median);
    for (variant, nanos) in variants.iter().zip(medians) {
        println!("{:<44} {nanos:>8.0} ns a row", variant.name);
    }
    medians
}

pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
