//! What can be wrong with a source, a sink or a limit by itself.

use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;

use super::kafka::kafka;
use crate::pipeline::config::{
    DeadLettersConfig, Duration, LimitsConfig, NameFault, PostgresSinkConfig, RowFormat, S3Config,
    SQLITE_NAMES, SinkCompression, SinkConfig, SourceConfig, TableName, UnitConfig,
};
use crate::pipeline::finding::Finding;
use crate::pipeline::secrets;
use crate::pipeline::tree::Cursor;

pub(in crate::pipeline) fn sink(sink: &SinkConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    let at = at.key("sink").key(sink.kind());
    match sink {
        SinkConfig::Postgres(postgres) => {
            newest(postgres.newest.as_deref(), &postgres.key, at, found);
            if !postgres.has_scheme() {
                let url = postgres.url.reveal();
                if url.contains('@') && !url.contains("://") {
                    // Where the password stands in it nobody knows.
                    secrets::conceal(url);
                }
                let told = at.key("url").finding("here should be the URL of a database");
                found.push(told.help("like `postgres://me:${PASSWORD}@db.example.com:5432/pins`"));
            } else if let Some(name) = postgres.unknown_parameter() {
                let told = at.key("url").finding(format!("there is no parameter `{name}`"));
                let known = PostgresSinkConfig::PARAMETERS.join(", ");
                found.push(told.help(format!("there are {known}")));
            } else if let Err(fault) = PgConnectOptions::from_str(postgres.url.reveal()) {
                let cause = match fault {
                    sqlx::Error::Configuration(cause) => cause.to_string(),
                    other => other.to_string(),
                };
                found.push(at.key("url").finding(format!("this is no URL of a database: {cause}")));
            }
            table(TableName::read(&postgres.table).err(), at, found);
            positive(at, &[("pool", u64::from(postgres.pool))], found);
        }
        SinkConfig::Sqlite(sqlite) => {
            newest(sqlite.newest.as_deref(), &sqlite.key, at, found);
            table(SQLITE_NAMES.table(&sqlite.table).err(), at, found);
        }
        SinkConfig::Objects(objects) => {
            url(&objects.url, at.key("url"), found);
            s3(&objects.s3, at.key("s3"), found);
            let (format, takes, names) = match objects.format {
                RowFormat::Ndjson => {
                    use SinkCompression::{Gzip, None, Zstd};
                    ("ndjson", [None, Gzip, Zstd], "none, gzip or zstd")
                }
                RowFormat::Parquet => {
                    use SinkCompression::{None, Snappy, Zstd};
                    ("parquet", [None, Snappy, Zstd], "none, snappy or zstd")
                }
            };
            if objects.compression.is_some_and(|given| !takes.contains(&given)) {
                let at = at.key("compression");
                found.push(at.finding(format!("{format} is not compressed like this")).help(names));
            }
            positive(
                at,
                &[
                    ("row_group_rows", u64::from(objects.row_group_rows)),
                    ("object_size", objects.object_size.0),
                ],
                found,
            );
        }
        SinkConfig::Stdout(_) => {}
    }
}

fn table(fault: Option<NameFault>, at: Cursor<'_>, found: &mut Vec<Finding>) {
    found.extend(fault.map(|fault| at.key("table").finding(fault.to_string()).help(fault.help())));
}

fn newest(newest: Option<&str>, key: &[String], at: Cursor<'_>, found: &mut Vec<Finding>) {
    if newest.is_some() && key.is_empty() {
        let told = at.key("newest").finding("without a `key` no row takes another's place");
        found.push(told.help("name the columns that tell which row it is: `key: [id]`"));
    }
}

pub(in crate::pipeline) fn source(source: &SourceConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    let at = at.key("source").key(source.kind());
    match source {
        SourceConfig::Generate(generate) => {
            let given = |value: Option<u64>| value.unwrap_or(1);
            positive(at, &[("rate", given(generate.rate)), ("keys", given(generate.keys))], found);
        }
        SourceConfig::Kafka(source) => kafka(source, at, found),
        SourceConfig::Objects(objects) => {
            url(&objects.url, at.key("url"), found);
            s3(&objects.s3, at.key("s3"), found);
            if let Some(pattern) = &objects.matching
                && let Err(fault) = glob::Pattern::new(pattern)
            {
                let told = at.key("match").finding(format!("this is no pattern: {}", fault.msg));
                found.push(told.help("patterns are written like **/*.json"));
            }
            positive(at, &[("poll", objects.poll.0.as_millis() as u64)], found);
        }
        SourceConfig::Stdin(_) => {}
    }
}

fn url(url: &str, at: Cursor<'_>, found: &mut Vec<Finding>) {
    const HELP: &str = "a folder, like ./posts/, or s3://bucket/prefix";
    let finding = match url.split_once("://") {
        _ if url.is_empty() => at.finding("here should be a folder"),
        Some(("s3", rest)) if rest.split('/').next().is_some_and(|bucket| !bucket.is_empty()) => {
            return;
        }
        Some(("s3", _)) => at.finding("this has no bucket"),
        Some((scheme, _)) => at.finding(format!("`{scheme}://` is not understood here")),
        None => return,
    };
    found.push(finding.help(HELP));
}

fn s3(s3: &S3Config, at: Cursor<'_>, found: &mut Vec<Finding>) {
    let Some(endpoint) = &s3.endpoint else { return };
    let at = at.key("endpoint");
    if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
        found.push(
            at.finding("this is no endpoint").help("a URL, like https://storage.example.com"),
        );
    } else if !s3.allows(endpoint) {
        let told = at.finding("without encryption anybody on the way could read along");
        found.push(told.help("write https://, or set `allow_http: true` if that is all right"));
    }
}

pub(in crate::pipeline) fn limits(
    limits: &LimitsConfig,
    unit: &UnitConfig,
    dead_letters: &DeadLettersConfig,
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) {
    let millis = |time: &Duration| time.0.as_millis() as u64;
    let own = at.key("limits");
    positive(
        own,
        &[
            ("memory", limits.memory.0),
            ("record", limits.record.0),
            ("depth", limits.depth as u64),
            ("start_time", millis(&limits.start_time)),
            ("halt_time", millis(&limits.halt_time)),
        ],
        found,
    );
    let slowdown = u64::from(limits.probation.slowdown);
    positive(own.key("probation"), &[("slowdown", slowdown)], found);
    let plugin = &limits.plugin;
    positive(
        own.key("plugin"),
        &[
            ("call", millis(&plugin.call)),
            ("configure", millis(&plugin.configure)),
            ("memory", plugin.memory.0),
            ("output", plugin.output.0),
            ("table_entries", plugin.table_entries as u64),
            ("file", plugin.file.0),
            ("row_fuel", plugin.row_fuel),
        ],
        found,
    );
    positive(
        at.key("unit"),
        &[("rows", u64::from(unit.rows)), ("bytes", unit.bytes.0), ("time", millis(&unit.time))],
        found,
    );
    if limits.memory < limits.record && limits.memory.0 > 0 {
        let place = if own.has("memory") { own.key("memory") } else { own.key("record") };
        let told = place.finding(format!(
            "a record may have {}, and all that is on its way {}",
            limits.record, limits.memory
        ));
        found.push(told.help("`limits.memory` has to hold several records"));
    }
    if !(0.0..=1.0).contains(&dead_letters.max_ratio) {
        let told = at.key("dead_letters").key("max_ratio").finding("a share is from 0 to 1");
        found.push(told.help("0.05 is five of a hundred"));
    }
}

fn positive(at: Cursor<'_>, figures: &[(&str, u64)], found: &mut Vec<Finding>) {
    for (name, figure) in figures {
        if *figure == 0 {
            found.push(at.key(name).finding(format!("`{name}` has to be more than nothing")));
        }
    }
}
