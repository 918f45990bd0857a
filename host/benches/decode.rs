//! Decoding real posts, beside serde_json reading the same records into a typed struct.
//!
//! The contenders take turns, so that whatever else the machine does meets all of them. What
//! serde_json reads is dropped row by row; what the decoder reads becomes a batch every 1,024 rows.

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Instant;

use pinhost::decode::{DeclaredField, DecodeLimits, Decoder, FieldPath, Origin};
use pinhost::record::{Kind, Record};
use serde::Deserialize;

const ROUNDS: usize = 101;
const ROWS: usize = 8 * BATCH_ROWS;
const BATCH_ROWS: usize = 1024;

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

/// The same fields; `downloaded` is in the records and declared nowhere.
#[derive(Deserialize)]
#[expect(dead_code, reason = "nobody looks at what the bench reads")]
struct Pin<S> {
    #[serde(alias = "index")]
    ind: Option<i64>,
    unique_id: Option<S>,
    title: Option<S>,
    description: Option<S>,
    poster_name: Option<S>,
    follower_count: Option<S>,
    tag_list: Option<S>,
    is_image_or_video: Option<S>,
    image_src: Option<S>,
    save_location: Option<S>,
    category: Option<S>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "nobody looks at what the bench reads")]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

fn main() {
    let posts = include_str!("../../tests/data/pin.ndjson");
    let posts: Vec<&[u8]> = posts.lines().map(str::as_bytes).cycle().take(ROWS).collect();
    let bytes: usize = posts.iter().map(|post| post.len()).sum();

    let mut decoder = Decoder::new(&declared(), DecodeLimits::default());
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        times[0].push(nanos_per_row(|| decode(&mut decoder, &posts)));
        times[1].push(nanos_per_row(|| {
            for post in &posts {
                black_box(serde_json::from_slice::<Pin<String>>(post)).expect("posts are pins");
            }
        }));
        times[2].push(nanos_per_row(|| {
            for post in &posts {
                black_box(serde_json::from_slice::<Pin<Borrowed>>(post)).expect("posts are pins");
            }
        }));
    }

    let [decode, owned, borrowed] = times.map(median);
    println!("median of {ROUNDS} rounds, {ROWS} posts of {} bytes", bytes / ROWS);
    println!("decode                {decode:6.0} ns/row");
    println!("serde_json, String    {owned:6.0} ns/row   ratio {:.2}", decode / owned);
    println!("serde_json, Cow       {borrowed:6.0} ns/row   ratio {:.2}", decode / borrowed);
}

fn decode(decoder: &mut Decoder, posts: &[&[u8]]) {
    for post in posts {
        let record = Record { value: Some(post), ..Record::default() };
        decoder.push(&record).expect("posts are pins");
        if decoder.rows() == BATCH_ROWS {
            black_box(decoder.finish());
        }
    }
}

fn declared() -> Vec<DeclaredField> {
    let mut ind = DeclaredField::new("ind", Kind::Integer);
    ind.required = true;
    ind.key = true;
    ind.from = Origin::Value(vec![FieldPath::key("ind"), FieldPath::key("index")]);
    let texts = TEXTS.map(|name| DeclaredField::new(name, Kind::Text));
    [ind].into_iter().chain(texts).collect()
}

fn nanos_per_row(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_nanos() as f64 / ROWS as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
