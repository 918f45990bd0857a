//! A client of a bucket that does nothing with what it gets: what a replay of many small objects is measured
//! against. `tests/bench/replay.py` starts the server, and both.
//!
//! ```text
//! cargo bench -p pinhost --bench objects -- put URL OBJECTS
//! cargo bench -p pinhost --bench objects -- get URL IN_FLIGHT…
//! ```
//!
//! Who is asked, and as whom, is told by the environment, as with all tools of AWS.

use std::env;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

/// Real posts, each an object of its own.
const POSTS: &str = include_str!("../../tests/data/pin.ndjson");

/// As many as a topic might have.
const PARTITIONS: usize = 4;
const PUT_IN_FLIGHT: usize = 64;

/// One after the other takes its time: some tell how long all would take.
const SEQUENTIAL_MAX: usize = 5_000;

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["put", url, objects] => put(&open(url), objects.parse().expect("a number")).await,
        ["get", url, ref widths @ ..] => {
            let widths = widths.iter().map(|width| width.parse().expect("a number above 0"));
            get(&open(url), widths).await;
        }
        // As one of all benches it has no server to ask.
        _ => println!("put URL OBJECTS, or get URL IN_FLIGHT…: see tests/bench/replay.py"),
    }
}

struct Place {
    store: Arc<dyn ObjectStore>,
    root: Path,
}

fn open(url: &str) -> Place {
    let place = url.strip_prefix("s3://").expect("s3://BUCKET/PREFIX");
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_allow_http(true);
    if let Ok(endpoint) = env::var("AWS_ENDPOINT_URL_S3") {
        builder = builder.with_endpoint(endpoint);
    }
    let store = builder.build().expect("a bucket");
    Place { store: Arc::new(store), root: Path::parse(prefix).expect("a prefix") }
}

/// Puts posts as Kafka Connect does with `flush.size=1`.
async fn put(place: &Place, objects: usize) {
    let put = |(number, post): (usize, &'static str)| {
        let (partition, offset) = (number % PARTITIONS, number / PARTITIONS);
        let key = format!("partition={partition}/pin+{partition}+{offset:010}.json");
        let path = Path::parse(format!("{}/{key}", place.root)).expect("a key");
        let store = Arc::clone(&place.store);
        tokio::spawn(async move { store.put(&path, post.into()).await.expect("it is put") })
    };
    let posts = (0..objects).zip(POSTS.lines().cycle());
    let put = futures_util::stream::iter(posts).map(put).buffer_unordered(PUT_IN_FLIGHT);
    put.try_for_each(async |_| Ok(())).await.expect("no panic");
}

/// Prints a line for each width: how many were in flight, and how many came a second.
async fn get(place: &Place, widths: impl Iterator<Item = NonZeroUsize>) {
    let listed = place.store.list(Some(&place.root)).map_ok(|meta| meta.location);
    let mut keys: Vec<_> = listed.try_collect().await.expect("they are listed");
    keys.sort_unstable();
    for width in widths {
        let count = if width.get() == 1 { SEQUENTIAL_MAX.min(keys.len()) } else { keys.len() };
        let began = Instant::now();
        let get = |key: Path| {
            let store = Arc::clone(&place.store);
            tokio::spawn(async move {
                let got = store.get(&key).await.expect("it is there");
                got.bytes().await.expect("all of it").len()
            })
        };
        let got = futures_util::stream::iter(keys[..count].to_vec()).map(get);
        let got = got.buffer_unordered(width.get());
        let bytes = got.try_fold(0, async |sum, bytes| Ok(sum + bytes)).await.expect("no panic");
        let rate = count as f64 / began.elapsed().as_secs_f64();
        println!("{width} {rate:.0} {}", bytes / count.max(1));
    }
}
