//! What a client is told.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use serde::Serialize;

use super::refusal::Refusal;
use super::route::Form;

const JSON: &str = "application/json";

/// What the REST proxy calls its answers.
const KAFKA_JSON: &str = "application/vnd.kafka.v2+json";

/// When to come again, in seconds.
const AGAIN: &str = "1";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    pub kind: &'static str,
    pub body: Bytes,
    /// The same request may be answered otherwise later.
    pub is_passing: bool,
    pub headers: Vec<(&'static str, &'static str)>,
}

#[derive(Debug, Serialize)]
struct PlainFault {
    detail: String,
}

#[derive(Debug, Serialize)]
struct KafkaFault {
    error_code: u16,
    message: String,
}

#[derive(Debug, Serialize)]
struct KinesisFault {
    #[serde(rename = "__type")]
    kind: &'static str,
    message: String,
}

impl Answer {
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        let (body, headers) = (body.into(), Vec::new());
        Self { status, kind: JSON, body, is_passing: false, headers }
    }

    pub fn of(status: u16, body: &impl Serialize) -> Self {
        Self::json(status, serde_json::to_vec(body).expect("keys are text"))
    }

    pub fn for_kafka(status: u16, body: &impl Serialize) -> Self {
        Self { kind: KAFKA_JSON, ..Self::of(status, body) }
    }

    /// As those say it whom clients of this form believe to talk to.
    pub fn refused(form: Form, refusal: &Refusal) -> Self {
        let message = refusal.to_string();
        let answer = match form {
            Form::Plain => Self::of(refusal.status(), &PlainFault { detail: message }),
            Form::Topic => {
                let fault = KafkaFault { error_code: refusal.kafka_code(), message };
                Self::for_kafka(refusal.kafka_status(), &fault)
            }
            Form::Stream => {
                let kind = refusal.kinesis_type();
                Self::of(refusal.status(), &KinesisFault { kind, message })
            }
        };
        let mut headers = Vec::new();
        match refusal {
            Refusal::Method { allowed, .. } => headers.push((ALLOW.as_str(), *allowed)),
            Refusal::Unauthorized => headers.push((WWW_AUTHENTICATE.as_str(), "Bearer")),
            Refusal::Encoding => headers.push((ACCEPT_ENCODING.as_str(), "gzip")),
            // What is still to come of the body is not waited for.
            Refusal::TooLarge { .. } | Refusal::Slow | Refusal::Unreadable { .. } => {
                headers.push((CONNECTION.as_str(), "close"));
            }
            _ => {}
        }
        if refusal.is_passing() {
            headers.push((RETRY_AFTER.as_str(), AGAIN));
        }
        Self { is_passing: refusal.is_passing(), headers, ..answer }
    }

    /// HTTP/2 has no header for connections: there only the stream ends.
    pub fn into_response(self, is_http2: bool) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).expect("all statuses are written here");
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        for (name, value) in self.headers {
            if !(is_http2 && name == CONNECTION.as_str()) {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        response
    }
}
