//! Decoding real posts, beside serde_json reading the same records into a typed struct.
//!
//! What serde_json reads is dropped row by row; what the decoder reads becomes a batch of columns. Both
//! start from bytes, as records do: checking that they are UTF-8 is part of the work.

mod common;

use std::borrow::Cow;
use std::hint::black_box;

use serde::Deserialize;

use common::{BATCH_ROWS, BATCHES, Variant, decode, decoder, posts, take_turns};

const ROUNDS: usize = 101;

/// The declared fields; `downloaded` is in the records and declared nowhere.
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
    let posts = posts();
    let bytes: usize = posts.iter().flatten().map(|post| post.len()).sum();
    let rows = BATCHES * BATCH_ROWS;
    println!("{rows} posts of {} bytes, {ROUNDS} rounds, medians\n", bytes / rows);

    let mut decoder = decoder();
    let [columns, owned, borrowed] = take_turns(
        ROUNDS,
        [
            Variant::new("decode to columns", rows, || {
                for posts in &posts {
                    black_box(decode(&mut decoder, posts));
                }
            }),
            Variant::new("serde_json to a struct of Strings", rows, || {
                for post in posts.iter().flatten() {
                    black_box(serde_json::from_slice::<Pin<String>>(post.as_bytes()))
                        .expect("posts are pins");
                }
            }),
            Variant::new("serde_json to a struct that borrows", rows, || {
                for post in posts.iter().flatten() {
                    black_box(serde_json::from_slice::<Pin<Borrowed>>(post.as_bytes()))
                        .expect("posts are pins");
                }
            }),
        ],
    );
    println!();
    println!("{:<44} {:>8.2}   (bar: ≤ 0.50)", "columns / Strings", columns / owned);
    println!("{:<44} {:>8.2}", "columns / borrowed", columns / borrowed);
}
