//! `pinhost emulate`: the three kinds of the same post, posted as the emulators of pipelines do it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{from_slice, from_str};
use tokio::time::sleep_until;

use super::{CliError, Exit, output, threads};
use crate::source::generate::{GenerateProfile, Posts};

#[derive(Debug, Args)]
pub(super) struct EmulateArgs {
    /// Where to post, like http://localhost:8080, with what all paths begin with.
    url: String,
    /// Whom requests are made for.
    #[arg(long, value_name = "WHOM", default_value = "pin")]
    to: Whom,
    /// What the names of topics and streams begin with, like `0a1b2c3d.`.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// How many posts; each is three requests: pin, geo, user.
    #[arg(long, value_name = "N", default_value_t = 100)]
    count: u64,
    /// Posts a second; left out, one after the other.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Of what is made up.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Posts out of this file, a JSON object a line, from the first one again after the last.
    #[arg(long, value_name = "FILE")]
    pin: Option<PathBuf>,
    /// The same for where they were posted.
    #[arg(long, value_name = "FILE")]
    geo: Option<PathBuf>,
    /// The same for who posted them.
    #[arg(long, value_name = "FILE")]
    user: Option<PathBuf>,
    /// A file with the token that is sent along.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Whom an emulator believes to talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Whom {
    /// A handler of FastAPI: POST /pin/
    Pin,
    /// The REST proxy of Kafka: POST /topics/PREFIXpin
    Topics,
    /// Kinesis behind an API gateway: PUT /streams/PREFIXpin/record
    Streams,
}

/// A client that has no answer for so long goes on.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// What became of the requests.
#[derive(Debug, Default, Serialize)]
struct Summary {
    requests: u64,
    /// By status.
    statuses: BTreeMap<u16, u64>,
    unanswered: u64,
    /// Records that are no JSON objects: no emulator sends such.
    left_out: u64,
    #[serde(skip)]
    last_fault: Option<String>,
}

pub(super) fn run(args: &EmulateArgs) -> Result<Exit, CliError> {
    let kinds = [
        Kind::new("pin", GenerateProfile::Pin, args.seed, args.pin.as_deref())?,
        Kind::new("geo", GenerateProfile::Geo, args.seed, args.geo.as_deref())?,
        Kind::new("user", GenerateProfile::User, args.seed, args.user.as_deref())?,
    ];
    let token = args.token_file.as_deref().map(token).transpose()?;
    let summary = threads::runtime()?.block_on(emulate(args, kinds, token.as_deref()))?;
    tell(args, &summary)?;
    let is_all_well = summary.statuses.keys().all(|status| (200..300).contains(status));
    match summary.last_fault {
        Some(fault) if summary.statuses.is_empty() => {
            Err(CliError::environment(format!("nobody answers at {}: {fault}", args.url)))
        }
        Some(_) => Ok(Exit::Failed),
        None if is_all_well => Ok(Exit::Done),
        None => Ok(Exit::Failed),
    }
}

fn token(path: &Path) -> Result<String, CliError> {
    let failed = |error| CliError::io(format!("cannot read {}", path.display()), &error);
    let text = fs::read_to_string(path).map_err(failed)?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

async fn emulate(
    args: &EmulateArgs,
    mut kinds: [Kind; 3],
    token: Option<&str>,
) -> Result<Summary, CliError> {
    let client = Client::builder()
        .timeout(ANSWER_TIME)
        .build()
        .map_err(|error| CliError::environment("requests cannot be made").because(&error))?;
    let mut summary = Summary::default();
    let began = Instant::now();
    for post in 0..args.count {
        if let Some(rate) = args.rate {
            let due = Duration::from_secs_f64(post as f64 / f64::from(rate));
            sleep_until((began + due).into()).await;
        }
        for kind in &mut kinds {
            let Some(record) = kind.record(post) else {
                summary.left_out += 1;
                continue;
            };
            let mut request = request(args, &client, kind.name, &record);
            if let Some(token) = token {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            summary.requests += 1;
            match sent(request).await {
                Ok(status) => *summary.statuses.entry(status.as_u16()).or_default() += 1,
                Err(error) => {
                    summary.unanswered += 1;
                    summary.last_fault = Some(told(&error));
                }
            }
        }
    }
    Ok(summary)
}

/// With the cause that tells why.
fn told(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

async fn sent(request: RequestBuilder) -> Result<StatusCode, reqwest::Error> {
    let answer = request.send().await?;
    let status = answer.status();
    // A connection is used again once its answer was read.
    answer.bytes().await?;
    Ok(status)
}

fn request(args: &EmulateArgs, client: &Client, kind: &str, record: &RawValue) -> RequestBuilder {
    let (base, name) = (args.url.trim_end_matches('/'), format!("{}{kind}", args.prefix));
    let (method, path, media_type, body) = match args.to {
        Whom::Pin => {
            (Method::POST, format!("/{kind}/"), "application/json", record.get().to_owned())
        }
        Whom::Topics => (
            Method::POST,
            format!("/topics/{name}"),
            "application/vnd.kafka.json.v2+json",
            format!("{{\"records\": [{{\"value\": {record}}}]}}"),
        ),
        Whom::Streams => (
            Method::PUT,
            format!("/streams/{name}/record"),
            "application/json",
            format!(
                "{{\"StreamName\": \"{name}\", \"Data\": {record}, \"PartitionKey\": \"{kind}\"}}"
            ),
        ),
    };
    client.request(method, format!("{base}{path}")).header(CONTENT_TYPE, media_type).body(body)
}

fn tell(args: &EmulateArgs, summary: &Summary) -> Result<(), CliError> {
    if args.json {
        return output::json(summary);
    }
    let Summary { requests, statuses, unanswered, left_out, last_fault } = summary;
    let mut rows = vec![["requests".to_owned(), output::number(*requests)]];
    rows.extend(
        statuses.iter().map(|(status, count)| [format!("  {status}"), output::number(*count)]),
    );
    if *unanswered > 0 {
        rows.push(["  no answer".to_owned(), output::number(*unanswered)]);
    }
    let mut table = output::table(rows);
    output::align_right(&mut table, 1);
    output::result(output::lines(&table, ""))?;
    if *left_out > 0 {
        output::talk(format!("{} no JSON objects, and were left out", are(*left_out)));
    }
    if let Some(fault) = last_fault {
        output::talk(format!("the last request without an answer: {fault}"));
    }
    Ok(())
}

fn are(records: u64) -> String {
    if records == 1 { "1 record is".to_owned() } else { format!("{records} records are") }
}

/// One of the three kinds.
struct Kind {
    name: &'static str,
    records: Records,
}

enum Records {
    MadeUp(Box<Posts>),
    Given(Vec<Box<RawValue>>),
}

impl Kind {
    fn new(
        name: &'static str,
        profile: GenerateProfile,
        seed: u64,
        file: Option<&Path>,
    ) -> Result<Self, CliError> {
        let records = match file {
            None => Records::MadeUp(Box::new(Posts::new(profile, seed, None))),
            Some(path) => Records::Given(given(path)?),
        };
        Ok(Self { name, records })
    }

    /// None if it is no JSON object.
    fn record(&mut self, number: u64) -> Option<Box<RawValue>> {
        match &mut self.records {
            Records::MadeUp(posts) => {
                let mut record = Vec::new();
                posts.write(number, &mut record);
                let record: Option<Box<RawValue>> = from_slice(&record).ok();
                record.filter(|record| is_object(record))
            }
            Records::Given(records) => {
                Some(records[(number % records.len() as u64) as usize].clone())
            }
        }
    }
}

fn is_object(record: &RawValue) -> bool {
    record.get().starts_with('{')
}

fn given(path: &Path) -> Result<Vec<Box<RawValue>>, CliError> {
    let failed = |error: io::Error| CliError::io(format!("cannot read {}", path.display()), &error);
    let text = fs::read_to_string(path).map_err(failed)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let records = lines.map(|(number, line)| {
        let record: Option<Box<RawValue>> = from_str(line).ok();
        record.filter(|record| is_object(record)).ok_or_else(|| {
            let at = format!("{}:{}", path.display(), number + 1);
            CliError::input(format!("{at} is no JSON object"))
        })
    });
    let records = records.collect::<Result<Vec<_>, _>>()?;
    if records.is_empty() {
        return Err(CliError::input(format!("there are no records in {}", path.display())));
    }
    Ok(records)
}
