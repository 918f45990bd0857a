//! `/metrics`, `/livez` and `/readyz`.
//!
//! Whoever can reach the address can hold connections open, and each costs a descriptor of those that
//! lanes need. So there are few of them, each is for one request and ends soon, and a new one takes the
//! place of the oldest: an answer takes milliseconds, so the oldest is one that asks for nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::exposition::Form;
use super::{Stats, metrics};
use crate::run::{LaneHealth, Phase};

/// Scrapers and probes need a handful.
const CONNECTIONS_MAX: usize = 64;

/// What a request may take, from the connection to the last byte of its answer.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// What is held of a request, and of its answer before it goes out.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// What is waited when no connection can be accepted, so that descriptors come free meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A pipeline as the endpoint shows it.
#[derive(Debug, Clone)]
pub struct Observed {
    pub pipeline: Arc<str>,
    pub stats: Arc<Stats>,
}

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ObserveError {
    pub address: String,
    pub source: io::Error,
}

impl Server {
    pub async fn start(address: &str, pipelines: Vec<Observed>) -> Result<Self, ObserveError> {
        let failed = |source| ObserveError { address: address.to_owned(), source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let app = Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .with_state(Arc::<[_]>::from(pipelines));
        let serving = tokio::spawn(serve(listener, app));
        Ok(Self { address: bound, _serving: AbortOnDropHandle::new(serving) })
    }
}

async fn serve(listener: TcpListener, app: Router) {
    let mut connections = VecDeque::with_capacity(CONNECTIONS_MAX);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("a connection to the metrics is not accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        connections.retain(|connection: &AbortOnDropHandle<()>| !connection.is_finished());
        if connections.len() == CONNECTIONS_MAX {
            connections.pop_front();
        }
        connections.push_back(AbortOnDropHandle::new(tokio::spawn(answer(stream, app.clone()))));
    }
}

/// Answers the one request of a connection. Whoever is too slow, or breaks off, is no trouble of ours.
async fn answer(stream: TcpStream, app: Router) {
    let mut server = http1::Builder::new();
    server.keep_alive(false).max_buf_size(REQUEST_BYTES_MAX);
    let answering = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    if let Ok(Err(error)) = timeout(CONNECTION_TIME, answering).await {
        tracing::debug!("a request for the metrics is not answered: {error}");
    }
}

type Pipelines = State<Arc<[Observed]>>;

async fn metrics(State(pipelines): Pipelines, headers: HeaderMap) -> impl IntoResponse {
    let form = Form::accepted_by(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    ([(CONTENT_TYPE, form.content_type())], metrics::text(&pipelines, form))
}

/// A lane that does not move, as `/readyz` shows it.
#[derive(Debug, Serialize)]
struct NotReady {
    pipeline: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<String>,
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Ready is a process whose pipelines have their sources and sinks, and move all their lanes or leave them to
/// another process.
async fn ready(State(pipelines): Pipelines) -> impl IntoResponse {
    let mut waiting = Vec::new();
    for Observed { pipeline, stats } in pipelines.iter() {
        let totals = stats.totals();
        let health = match totals.phase {
            Phase::Starting => Some("starting"),
            Phase::Failed => Some("failed"),
            Phase::Running => None,
        };
        waiting.extend(health.map(|health| {
            let pipeline = pipeline.to_string();
            NotReady { pipeline, lane: None, health, reason: None }
        }));
        for (lane, status) in totals.lanes {
            let (health, reason) = match status.health {
                LaneHealth::Running | LaneHealth::Standby | LaneHealth::Ended => continue,
                LaneHealth::Starting => ("starting", None),
                LaneHealth::Halted { reason, .. } => ("halted", Some(reason)),
            };
            let (pipeline, lane) = (pipeline.to_string(), Some(lane.to_string()));
            waiting.push(NotReady { pipeline, lane, health, reason });
        }
    }
    let status = if waiting.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(waiting))
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}/metrics", self.address)
    }
}
