//! What one pipeline takes at an address, and how it answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, HeaderName, Request};
use bytes::Bytes;

use super::answer::Answer;
use super::body;
use super::brought::Brought;
use super::config::{HttpReply, HttpSourceConfig};
use super::idempotency::Remembered;
use super::intake::{Intake, Outcome, Submission};
use super::plain::{self, Shape};
use super::refusal::Refusal;
use super::route::{Form, Route, Target};
use super::stream;
use super::token::{TokenError, Tokens};
use super::topic::{self, Embedded};

/// Records of one request go into one batch.
const RECORDS_MAX: usize = 10_000;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

#[derive(Debug)]
pub(super) struct Door {
    pub pipeline: Arc<str>,
    intake: Arc<Intake>,
    remembered: Arc<Remembered>,
    tokens: Option<Tokens>,
    routes: Vec<Route>,
    /// Without a slash at its end.
    base_path: String,
    reply: HttpReply,
    reject: u16,
    timeout: Duration,
    body_bytes_max: usize,
}

/// How the body of a request is to be read.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain(Shape),
    Topic(Embedded),
    Stream,
}

impl Door {
    pub fn new(
        pipeline: &Arc<str>,
        config: &HttpSourceConfig,
        (intake, remembered): (&Arc<Intake>, &Arc<Remembered>),
    ) -> Result<Self, TokenError> {
        let body_bytes_max = usize::try_from(config.body.0).unwrap_or(usize::MAX);
        let base_path = config.base_path.trim_matches('/');
        Ok(Self {
            pipeline: Arc::clone(pipeline),
            intake: Arc::clone(intake),
            remembered: Arc::clone(remembered),
            tokens: config.token_file.as_ref().map(Tokens::read).transpose()?,
            routes: config.routes.iter().filter_map(|route| Route::parse(route)).collect(),
            base_path: match base_path {
                "" => String::new(),
                base => format!("/{base}"),
            },
            reply: config.reply,
            reject: config.reject,
            timeout: config.timeout.0,
            body_bytes_max: body_bytes_max.min(intake.room_bytes() / 2),
        })
    }

    /// What a path means here, and how exactly it is named.
    pub fn target(&self, path: &str) -> Option<(usize, Target)> {
        let target = Target::parse(path.strip_prefix(&*self.base_path)?)?;
        let matched = self.routes.iter().filter_map(|route| route.matches(&target));
        Some((matched.max()?.saturating_add(self.base_path.len()), target))
    }

    /// A route that another pipeline takes, too.
    pub fn clash(&self, other: &Self) -> Option<String> {
        let is_beside = self.base_path == other.base_path;
        let shared = self.routes.iter().find(|route| other.routes.contains(route));
        shared.filter(|_| is_beside).map(Route::shown)
    }

    pub fn shown(&self) -> impl Iterator<Item = String> {
        self.routes.iter().map(|route| {
            let shown = route.shown();
            let (method, path) = shown.split_once(' ').unwrap_or(("", &shown));
            format!("{method} {}{path}", self.base_path)
        })
    }

    /// Answers a request once what it brings is committed.
    pub async fn answer(self: &Arc<Self>, target: Target, request: Request<Body>) -> Answer {
        let form = target.form;
        match self.answered(target, request).await {
            Ok(answer) => answer,
            Err(refusal) => Answer::refused(form, &refusal),
        }
    }

    async fn answered(
        self: &Arc<Self>,
        target: Target,
        request: Request<Body>,
    ) -> Result<Answer, Refusal> {
        let until = Instant::now() + self.timeout;
        if self.tokens.as_ref().is_some_and(|tokens| !tokens.admit(request.headers())) {
            return Err(Refusal::Unauthorized);
        }
        // Whoever sits at this machine need not mean what a page in their browser sends.
        if self.tokens.is_none() && request.headers().contains_key(ORIGIN) {
            return Err(Refusal::Foreign);
        }
        if request.method().as_str() != target.method() {
            let path = request.uri().path().to_owned();
            return Err(Refusal::Method { path, allowed: target.method() });
        }
        let kind = kind(target.form, request.headers())?;
        let (head, sent) = request.into_parts();
        let mut room = self.intake.room();
        let body = body::read(sent, &head.headers, self.body_bytes_max, &mut room, until).await?;
        let (brought, body) = brought(kind, target.is_batch, body)?;
        let Brought { bytes, records, partitions } = brought;
        if records.len() > RECORDS_MAX {
            let what = format!("a request has {RECORDS_MAX} records at most");
            return Err(Refusal::TooLarge { what });
        }
        let waiting = Waiting { kind, target, body, partitions, records: records.len() };
        if records.is_empty() {
            return Ok(self.committed(&waiting, 0, None));
        }
        // What was gathered out of the body takes room of its own.
        if !room.hold(bytes.len() + size_of_val(&records[..])) {
            return Err(Refusal::Busy);
        }
        let submission = Submission {
            topic: waiting.target.name.as_str().into(),
            partition: waiting.target.partition,
            bytes,
            records,
            room,
        };
        match head.headers.get(&IDEMPOTENCY_KEY) {
            Some(key) => {
                let path = head.uri.path();
                self.submitted_once((path, key.as_bytes()), submission, waiting, until).await
            }
            None => self.submitted(submission, &waiting, until).await,
        }
    }

    async fn submitted(
        &self,
        submission: Submission,
        waiting: &Waiting,
        until: Instant,
    ) -> Result<Answer, Refusal> {
        let ticket = self.intake.submit(submission).ok_or(Refusal::Closed)?;
        match ticket.outcome(until).await {
            Outcome::Committed { first, receipts } => {
                Ok(self.committed(waiting, first, receipts.as_deref()))
            }
            Outcome::Withdrawn => Err(Refusal::Withdrawn),
            Outcome::Unknown => Err(Refusal::Unknown),
        }
    }

    /// Goes on also if the client is gone: it may come again and ask.
    async fn submitted_once(
        self: &Arc<Self>,
        (path, key): (&str, &[u8]),
        submission: Submission,
        waiting: Waiting,
        until: Instant,
    ) -> Result<Answer, Refusal> {
        let first = match self.remembered.seen(path, key, &waiting.body)? {
            Ok(answer) => return Ok(answer),
            Err(first) => first,
        };
        let door = Arc::clone(self);
        let answering = tokio::spawn(async move {
            let answer = door.submitted(submission, &waiting, until).await?;
            first.answered(&answer);
            Ok(answer)
        });
        answering.await.unwrap_or(Err(Refusal::Unknown))
    }

    fn committed(
        &self,
        waiting: &Waiting,
        first: u64,
        receipts: Option<&[crate::record::Receipt]>,
    ) -> Answer {
        let Waiting { kind, target, body, partitions, records } = waiting;
        match kind {
            Kind::Plain(shape) => {
                plain::answer((self.reply, self.reject), (*shape, body), *records, receipts)
            }
            Kind::Topic(_) => topic::answer(self.reject, target, partitions, first, receipts),
            Kind::Stream => stream::answer(self.reject, target.is_batch, *records, first, receipts),
        }
    }
}

/// What is needed for an answer.
#[derive(Debug)]
struct Waiting {
    kind: Kind,
    target: Target,
    body: Bytes,
    partitions: Vec<Option<i64>>,
    records: usize,
}

fn kind(form: Form, headers: &HeaderMap) -> Result<Kind, Refusal> {
    Ok(match form {
        Form::Plain => Kind::Plain(Shape::of(headers)?),
        Form::Topic => Kind::Topic(Embedded::of(headers)?),
        // A gateway sends on what it is sent.
        Form::Stream => Kind::Stream,
    })
}

fn brought(kind: Kind, is_batch: bool, body: Bytes) -> Result<(Brought, Bytes), Refusal> {
    let brought = match kind {
        Kind::Plain(shape) => plain::records(shape, &body)?,
        Kind::Topic(embedded) => topic::records(embedded, &body)?,
        Kind::Stream if is_batch => stream::records(&body)?,
        Kind::Stream => stream::record(&body)?,
    };
    Ok((brought, body))
}
