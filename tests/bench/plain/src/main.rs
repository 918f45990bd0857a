//! `plain IN OUT`: the yardstick's job as one would write it for once: serde_json into typed structs that
//! borrow from the line, two threads, no sandbox, no checks.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::mpsc::sync_channel;
use std::{env, thread};

use serde::{Deserialize, Serialize};

const THREADS: usize = 2;
const BLOCK_BYTES: usize = 1 << 20;

/// Borrows where nothing is escaped.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Debug, Deserialize)]
struct Post<'a> {
    index: i64,
    #[serde(borrow)]
    unique_id: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    poster_name: Option<Text<'a>>,
    #[serde(borrow)]
    follower_count: Option<Text<'a>>,
    #[serde(borrow)]
    tag_list: Option<Text<'a>>,
    #[serde(borrow)]
    is_image_or_video: Option<Text<'a>>,
    #[serde(borrow)]
    image_src: Option<Text<'a>>,
    #[serde(borrow)]
    save_location: Option<Text<'a>>,
    #[serde(borrow)]
    category: Option<Text<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    ind: i64,
    unique_id: Option<&'a str>,
    title: Option<&'a str>,
    description: Option<&'a str>,
    follower_count: Option<i64>,
    poster_name: Option<&'a str>,
    tag_list: Option<Vec<&'a str>>,
    is_image_or_video: Option<&'a str>,
    image_src: Option<&'a str>,
    save_location: Option<&'a str>,
    category: Option<&'a str>,
}

impl<'a> From<&'a Post<'_>> for Row<'a> {
    fn from(post: &'a Post<'_>) -> Self {
        Self {
            ind: post.index,
            unique_id: text(&post.unique_id),
            title: unless(&post.title, &["No Title Data Available"]),
            description: unless(
                &post.description,
                &["No description available Story format", "No description available"],
            ),
            follower_count: text(&post.follower_count).and_then(count),
            poster_name: unless(&post.poster_name, &["User Info Error"]),
            tag_list: unless(&post.tag_list, &["N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e"])
                .map(|tags| tags.split(',').map(str::trim).collect()),
            is_image_or_video: text(&post.is_image_or_video),
            image_src: unless(&post.image_src, &["Image src error."]),
            save_location: text(&post.save_location)
                .map(|place| place.strip_prefix("Local save in ").unwrap_or(place)),
            category: text(&post.category),
        }
    }
}

fn text<'a>(text: &'a Option<Text<'_>>) -> Option<&'a str> {
    text.as_ref().map(|text| &*text.0)
}

fn unless<'a>(value: &'a Option<Text<'_>>, placeholders: &[&str]) -> Option<&'a str> {
    text(value).filter(|text| !text.is_empty() && !placeholders.contains(text))
}

/// `46k` is 46,000.
fn count(text: &str) -> Option<i64> {
    let text = text.trim();
    let (number, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1_000),
        b'm' | b'M' => (&text[..text.len() - 1], 1_000_000),
        b'b' | b'B' => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    let (whole, fraction) = number.trim_end().split_once('.').unwrap_or((number.trim_end(), ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let mut value = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    let mut unit = unit;
    for digit in fraction.bytes() {
        unit /= 10;
        value += i64::from(digit - b'0') * unit;
    }
    Some(value)
}

/// Cleans whole lines.
fn clean(lines: &[u8]) -> Vec<u8> {
    let mut rows = Vec::with_capacity(lines.len());
    let mut start = 0;
    while start < lines.len() {
        let end = memchr::memchr(b'\n', &lines[start..]).map_or(lines.len(), |at| start + at);
        let before = rows.len();
        let done = serde_json::from_slice::<Post<'_>>(&lines[start..end])
            .and_then(|post| serde_json::to_writer(&mut rows, &Row::from(&post)));
        match done {
            Ok(()) => rows.push(b'\n'),
            Err(_) => rows.truncate(before),
        }
        start = end + 1;
    }
    rows
}

/// The next whole lines; `rest` keeps what was read of the line after them.
fn next(input: &mut File, rest: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let mut block = std::mem::take(rest);
    loop {
        let before = block.len();
        block.resize(before + BLOCK_BYTES, 0);
        let read = input.read(&mut block[before..])?;
        block.truncate(before + read);
        if read == 0 {
            return Ok((!block.is_empty()).then_some(block));
        }
        if let Some(end) = memchr::memrchr(b'\n', &block) {
            *rest = block.split_off(end + 1);
            return Ok(Some(block));
        }
    }
}

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("plain IN OUT"));
    };
    let (mut input, mut output) = (File::open(from)?, File::create(to)?);
    let (mut jobs, mut results) = (Vec::new(), Vec::new());
    for _ in 0..THREADS {
        let (job, work) = sync_channel::<Vec<u8>>(4);
        let (done, result) = sync_channel(4);
        thread::spawn(move || work.iter().all(|lines| done.send(clean(&lines)).is_ok()));
        jobs.push(job);
        results.push(result);
    }
    let reader = thread::spawn(move || -> io::Result<()> {
        let mut rest = Vec::new();
        for at in 0.. {
            let Some(lines) = next(&mut input, &mut rest)? else { break };
            jobs[at % THREADS].send(lines).map_err(io::Error::other)?;
        }
        Ok(())
    });
    for at in 0.. {
        let Ok(rows) = results[at % THREADS].recv() else { break };
        output.write_all(&rows)?;
    }
    reader.join().expect("the reader does not panic")
}
