//! The four cleaning steps of the bench, the way most sandboxes would run them: a call for every record
//! and step, with JSON in and out. It is here to keep the reason for batches of columns measurable.

wit_bindgen::generate!({ path: "wit", world: "naive" });

use serde_json::{Map, Value};

struct Naive;

export!(Naive);

const PLACEHOLDERS: [(&str, &[&str]); 6] = [
    ("title", &["No Title Data Available"]),
    ("description", &["No description available Story format", "No description available"]),
    ("poster_name", &["User Info Error"]),
    ("follower_count", &["User Info Error"]),
    ("tag_list", &["N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e"]),
    ("image_src", &["Image src error."]),
];

impl Guest for Naive {
    fn clean(step: u32, post: String) -> String {
        let mut record: Map<String, Value> = serde_json::from_str(&post).expect("a JSON object");
        match step {
            0 => placeholders(&mut record),
            1 => follower_count(&mut record),
            2 => strip_prefix(&mut record),
            _ => tags(&mut record),
        }
        serde_json::to_string(&record).expect("a map of values")
    }
}

fn placeholders(record: &mut Map<String, Value>) {
    for (field, sentinels) in PLACEHOLDERS {
        if let Some(value) = record.get_mut(field)
            && value.as_str().is_some_and(|text| text.is_empty() || sentinels.contains(&text))
        {
            *value = Value::Null;
        }
    }
}

fn follower_count(record: &mut Map<String, Value>) {
    if let Some(value) = record.get_mut("follower_count")
        && let Some(text) = value.as_str()
    {
        *value = count(text.trim()).map_or(Value::Null, Value::from);
    }
}

fn count(text: &str) -> Option<i64> {
    let (digits, scale) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1_000),
        b'm' | b'M' => (&text[..text.len() - 1], 1_000_000),
        b'b' | b'B' => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    digits.parse::<i64>().ok()?.checked_mul(scale)
}

fn strip_prefix(record: &mut Map<String, Value>) {
    if let Some(value) = record.get_mut("save_location")
        && let Some(rest) = value.as_str().and_then(|text| text.strip_prefix("Local save in "))
    {
        *value = Value::from(rest);
    }
}

fn tags(record: &mut Map<String, Value>) {
    if let Some(value) = record.get_mut("tag_list")
        && let Some(text) = value.as_str()
    {
        let mut tags: Vec<&str> = Vec::new();
        for tag in text.split(',') {
            let tag = tag.trim();
            let tag = tag.strip_prefix('#').unwrap_or(tag);
            if !tag.is_empty() && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        *value = Value::from(tags);
    }
}
