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
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge, with_local_recorder};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{Stats, Totals};
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

async fn metrics(State(pipelines): Pipelines) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render(&pipelines))
}

/// The figures as they are; a recorder for each request, as nothing is kept but the figures themselves.
fn render(pipelines: &[Observed]) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    with_local_recorder(&recorder, || {
        describe();
        gauge!("pinhost_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        for Observed { pipeline, stats } in pipelines {
            record(pipeline, &stats.totals());
        }
    });
    recorder.handle().render()
}

fn describe() {
    describe_gauge!("pinhost_build_info", "Which pinhost this is.");
    describe_counter!("pinhost_records_total", "Records read whose fate is committed.");
    describe_counter!("pinhost_source_bytes_total", Unit::Bytes, "Bytes of those records.");
    describe_counter!("pinhost_rows_stored_total", "Rows that the sink stored.");
    describe_counter!(
        "pinhost_rows_superseded_total",
        "Rows of which the sink had a newer version already."
    );
    describe_counter!("pinhost_rows_dropped_total", "Rows that a step took out on purpose.");
    describe_counter!("pinhost_dead_letters_total", "Records that could not be cleaned or stored.");
    describe_counter!("pinhost_step_tally_total", "What steps count while they clean.");
    describe_counter!("pinhost_units_total", "Units committed.");
    describe_counter!(
        "pinhost_cleaning_microseconds_total",
        Unit::Microseconds,
        "Time that cleaning threads spent on those records."
    );
    describe_counter!(
        "pinhost_swaps_total",
        "Generations that took over, were refused or were rolled back."
    );
    describe_gauge!("pinhost_generation_info", "Which generation cleans.");
    describe_gauge!("pinhost_lane_halted", "Whether the lane holds its position.");
    describe_gauge!("pinhost_lane_standby", "Whether another process has the lane.");
}

fn record(pipeline: &Arc<str>, totals: &Totals) {
    let labelled = |name: &'static str, count: u64| {
        counter!(name, "pipeline" => Arc::clone(pipeline)).absolute(count);
    };
    labelled("pinhost_records_total", totals.records);
    labelled("pinhost_source_bytes_total", totals.bytes);
    labelled("pinhost_rows_stored_total", totals.rows);
    labelled("pinhost_rows_superseded_total", totals.superseded);
    labelled("pinhost_units_total", totals.units);
    labelled("pinhost_cleaning_microseconds_total", totals.cleaning.as_micros() as u64);
    for (step, rows) in &totals.dropped {
        let labels = [("pipeline", pipeline.to_string()), ("step", step.clone())];
        counter!("pinhost_rows_dropped_total", &labels).absolute(*rows);
    }
    for (reason, records) in &totals.dead_letters {
        let labels = [("pipeline", pipeline.to_string()), ("reason", reason.clone())];
        counter!("pinhost_dead_letters_total", &labels).absolute(*records);
    }
    for ((step, tally), rows) in &totals.tallies {
        let labels =
            [("pipeline", pipeline.to_string()), ("step", step.clone()), ("tally", tally.clone())];
        counter!("pinhost_step_tally_total", &labels).absolute(*rows);
    }
    for (result, swaps) in &totals.swaps {
        let labels = [("pipeline", pipeline.to_string()), ("result", result.name().to_owned())];
        counter!("pinhost_swaps_total", &labels).absolute(*swaps);
    }
    if let Some(generation) = totals.generation {
        let labels = [("pipeline", pipeline.to_string()), ("generation", generation.to_string())];
        gauge!("pinhost_generation_info", &labels).set(1.0);
    }
    for (lane, status) in &totals.lanes {
        let labels = [("pipeline", pipeline.to_string()), ("lane", lane.to_string())];
        let is = |is: bool| f64::from(u8::from(is));
        let is_halted = matches!(status.health, LaneHealth::Halted { .. });
        gauge!("pinhost_lane_halted", &labels).set(is(is_halted));
        gauge!("pinhost_lane_standby", &labels).set(is(status.health == LaneHealth::Standby));
    }
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

#[cfg(test)]
mod tests {
    use crate::connect::Stored;
    use crate::record::{Lane, Position};
    use crate::run::{Listener as _, News, UnitFigures};

    use super::*;

    #[test]
    fn figures_are_shown_as_prometheus_reads_them() {
        let stats = Arc::new(Stats::default());
        let mut figures = UnitFigures { records: 10, ..UnitFigures::default() };
        figures.dead_letters.insert("field \"n\" is\nodd".to_owned(), 2);
        figures.tallies.insert(("tags".to_owned(), "repeats dropped".to_owned()), 3);
        let stored = Stored { rows: 8, ..Stored::default() };
        let (lane, to) = (Lane::new("a/0"), Position::number(10));
        stats.hear(News::Committed { lane, to, figures, stored });
        let shown = render(&[Observed { pipeline: "pins".into(), stats }]);
        for line in [
            "pinhost_records_total{pipeline=\"pins\"} 10",
            "pinhost_rows_stored_total{pipeline=\"pins\"} 8",
            r#"pinhost_dead_letters_total{pipeline="pins",reason="field \"n\" is\nodd"} 2"#,
            r#"pinhost_step_tally_total{pipeline="pins",step="tags",tally="repeats dropped"} 3"#,
            r#"pinhost_lane_halted{pipeline="pins",lane="a/0"} 0"#,
            "# TYPE pinhost_units_total counter",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "no {line} in\n{shown}");
        }
    }
}
