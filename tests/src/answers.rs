//! Questions to the rows that the pipelines make of one batch of posts, and the answers that its owner
//! published.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What is asked, in the words of `answers.json`, and the query that answers it.
const QUESTIONS: [(&str, &str); 9] = [
    ("most popular category in each country", "category_by_country"),
    ("most popular category in each year", "category_by_year"),
    ("poster with most followers in each country", "poster_by_country"),
    ("country with the user with most followers", "country_of_top_poster"),
    ("most popular category in each age group", "category_by_age_group"),
    ("median follower_count in each age group", "median_followers_by_age_group"),
    ("users joined in each year (2015-2020)", "users_by_joining_year"),
    ("median follower_count by joining year", "median_followers_by_joining_year"),
    (
        "median follower_count by age group and joining year",
        "median_followers_by_joining_year_and_age_group",
    ),
];

/// # Panics
/// If it is not where it was when this was built.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("a folder")
}

/// Asks all questions, and compares the answers.
///
/// # Panics
/// If one is another.
pub fn compare(ask: impl Fn(&str) -> Vec<Vec<Value>>) {
    let repository = repository();
    let answers = fs::read(repository.join("tests/data/e2e/answers.json")).expect("a file");
    let answers: Value = serde_json::from_slice(&answers).expect("JSON");
    let answers = answers["answers"].as_array().expect("a list");
    assert_eq!(answers.len(), QUESTIONS.len());
    for (question, file) in QUESTIONS {
        let published = answers.iter().find(|answer| answer["query"] == question);
        let published = published.expect("each question was answered")["rows"].as_array();
        let published = published.expect("rows").iter().map(|row| row.as_array().expect("a row"));
        let published: BTreeSet<_> = published.map(|row| shown(row)).collect();
        let query = repository.join(format!("examples/analytics/{file}.sql"));
        let query = fs::read_to_string(query).expect("a file");
        let answered: BTreeSet<_> = ask(&query).iter().map(|row| shown(row)).collect();
        assert_eq!(answered, published, "{question}");
    }
}

/// A mean of two counts was published without its half.
fn shown(row: &[Value]) -> Vec<String> {
    let cell = |cell: &Value| match cell {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().expect("a number").trunc().to_string(),
        other => panic!("{other} is no answer"),
    };
    row.iter().map(cell).collect()
}
