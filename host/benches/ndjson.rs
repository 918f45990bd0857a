//! Writing cleaned posts as NDJSON, beside serde_json writing the same rows from structs.
//!
//! The structs are there already and borrow their text: making them is not part of the work.

mod common;

use std::hint::black_box;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::Int64Type;
use serde::Serialize;

use common::{BATCH_ROWS, BATCHES, Variant, decode, decoder, posts, take_turns};
use pinhost::record::{Batch, ndjson};

const ROUNDS: usize = 101;

#[derive(Serialize)]
struct Pin<'a> {
    ind: Option<i64>,
    unique_id: Option<&'a str>,
    title: Option<&'a str>,
    description: Option<&'a str>,
    poster_name: Option<&'a str>,
    follower_count: Option<&'a str>,
    tag_list: Option<&'a str>,
    is_image_or_video: Option<&'a str>,
    image_src: Option<&'a str>,
    save_location: Option<&'a str>,
    category: Option<&'a str>,
}

fn pins(batch: &Batch) -> Vec<Pin<'_>> {
    let column = |name: &'static str| batch.column(name).expect("a column of posts");
    let text = |name: &'static str, row| {
        let texts = column(name).as_string::<i32>();
        texts.is_valid(row).then(|| texts.value(row))
    };
    let ind = column("ind").as_primitive::<Int64Type>();
    let pin = |row| Pin {
        ind: ind.is_valid(row).then(|| ind.value(row)),
        unique_id: text("unique_id", row),
        title: text("title", row),
        description: text("description", row),
        poster_name: text("poster_name", row),
        follower_count: text("follower_count", row),
        tag_list: text("tag_list", row),
        is_image_or_video: text("is_image_or_video", row),
        image_src: text("image_src", row),
        save_location: text("save_location", row),
        category: text("category", row),
    };
    (0..batch.rows()).map(pin).collect()
}

fn by_serde(pins: &[Pin<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 20);
    for pin in pins {
        serde_json::to_writer(&mut out, pin).expect("into memory");
        out.push(b'\n');
    }
    out
}

fn main() {
    let mut decoder = decoder();
    let batches: Vec<_> = posts().iter().map(|posts| decode(&mut decoder, posts)).collect();
    let structs: Vec<_> = batches.iter().map(pins).collect();
    for (batch, pins) in batches.iter().zip(&structs) {
        assert!(ndjson::encode(batch) == by_serde(pins), "both write the same bytes");
    }
    let bytes: usize = batches.iter().map(|batch| ndjson::encode(batch).len()).sum();
    let rows = BATCHES * BATCH_ROWS;
    println!("{rows} rows of {} bytes, {ROUNDS} rounds, medians\n", bytes / rows);

    let [columns, serde] = take_turns(
        ROUNDS,
        [
            Variant::new("columns to NDJSON", rows, || {
                for batch in &batches {
                    black_box(ndjson::encode(batch));
                }
            }),
            Variant::new("serde_json from structs that borrow", rows, || {
                for pins in &structs {
                    black_box(by_serde(pins));
                }
            }),
        ],
    );
    println!();
    println!("{:<44} {:>8.2}", "columns / serde_json", columns / serde);
}
