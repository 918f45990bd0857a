//! Addresses at which pipelines take requests: one listener for each, which outlives the sources that share it
//! one after the other.
//!
//! Connections are few, and each ends soon if nothing comes of it. If there are as many as there may be, the
//! one that has asked for nothing for the longest time makes room.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Answer;
use super::config::HttpSourceConfig;
use super::door::Door;
use super::refusal::Refusal;
use super::route::{Form, Target};
use super::tls::{Tls, TlsError};

/// For the head of a request, and for the next request of a connection.
const HEAD_TIME: Duration = Duration::from_secs(20);

/// What is held of a request's head.
const HEAD_BYTES_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 64;

/// Requests at a time on one connection of HTTP/2.
const STREAMS_MAX: u32 = 128;

/// What is waited when no connection can be accepted, so that descriptors come free meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// For answers that are on their way when nothing is taken any more.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Those that listen, by their addresses as they are written.
static FRONTS: LazyLock<Mutex<BTreeMap<String, Arc<Front>>>> = LazyLock::new(Mutex::default);

#[derive(Debug, thiserror::Error)]
pub(super) enum FrontError {
    #[error("cannot listen on {listen}: {cause}")]
    Listen { listen: String, cause: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("pipeline {other} takes {route} at {listen} already")]
    Clash { other: Arc<str>, route: String, listen: String },
    #[error("pipeline {other} listens on {listen} with another `tls:`")]
    OtherTls { other: Arc<str>, listen: String },
}

#[derive(Debug)]
struct Front {
    listen: String,
    doors: RwLock<Vec<Arc<Door>>>,
    tls: Mutex<Option<Arc<Tls>>>,
    connections: Connections,
    /// Nothing is accepted any more, and connections end once they have answered.
    end: CancellationToken,
    tasks: TaskTracker,
}

/// The door of a pipeline, until it is dropped or another one takes its place.
#[derive(Debug)]
pub(super) struct Registration {
    front: Arc<Front>,
    door: Arc<Door>,
}

/// Takes requests for a pipeline from now on. Its door before is closed; what went through it is answered.
pub(super) async fn register(
    config: &HttpSourceConfig,
    door: Door,
) -> Result<Registration, FrontError> {
    // Pipelines that begin together do not all try to listen.
    static ONE_BY_ONE: LazyLock<AsyncMutex<()>> = LazyLock::new(AsyncMutex::default);
    let _turn = ONE_BY_ONE.lock().await;
    let tls = config.tls.as_ref().map(Tls::read).transpose()?.map(Arc::new);
    let door = Arc::new(door);
    loop {
        let known = fronts().get(&config.listen).cloned();
        let front = match known {
            Some(front) => front,
            None => listen(config, tls.is_some()).await?,
        };
        front.enter(&door, tls.clone())?;
        front.connections.most.store(config.connections as usize, Ordering::Relaxed);
        let registration = Registration { front, door: Arc::clone(&door) };
        // The last of the other pipelines may have left a moment ago.
        if !registration.front.end.is_cancelled() {
            return Ok(registration);
        }
    }
}

async fn listen(config: &HttpSourceConfig, is_encrypted: bool) -> Result<Arc<Front>, FrontError> {
    let listen = &config.listen;
    let failed = |cause| FrontError::Listen { listen: listen.clone(), cause };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    tell(listener.local_addr().map_err(failed)?, is_encrypted);
    let front = Arc::new(Front::new(listen, config));
    fronts().insert(listen.clone(), Arc::clone(&front));
    front.tasks.spawn(accept(Arc::clone(&front), listener));
    Ok(front)
}

fn tell(address: SocketAddr, is_encrypted: bool) {
    let scheme = if is_encrypted { "https" } else { "http" };
    tracing::info!("requests are taken at {scheme}://{address}");
}

fn fronts() -> MutexGuard<'static, BTreeMap<String, Arc<Front>>> {
    FRONTS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registration {
    /// Whoever still waits for an answer gets it, unless the address is another pipeline's as well.
    pub async fn close(self) {
        let front = Arc::clone(&self.front);
        drop(self);
        if front.end.is_cancelled() {
            let _ = timeout(LAST_ANSWERS, front.tasks.wait()).await;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut fronts = fronts();
        let mut doors = self.front.doors();
        doors.retain(|door| !Arc::ptr_eq(door, &self.door));
        if doors.is_empty() {
            if fronts.get(&self.front.listen).is_some_and(|front| Arc::ptr_eq(front, &self.front)) {
                fronts.remove(&self.front.listen);
            }
            self.front.end.cancel();
            self.front.tasks.close();
        }
    }
}

impl Front {
    fn new(listen: &str, config: &HttpSourceConfig) -> Self {
        Self {
            listen: listen.to_owned(),
            doors: RwLock::default(),
            tls: Mutex::default(),
            connections: Connections {
                most: AtomicUsize::new(config.connections as usize),
                ..Connections::default()
            },
            end: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    fn doors(&self) -> std::sync::RwLockWriteGuard<'_, Vec<Arc<Door>>> {
        self.doors.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, door: &Arc<Door>, tls: Option<Arc<Tls>>) -> Result<(), FrontError> {
        let mut doors = self.doors();
        let listen = || self.listen.clone();
        let mut others = doors.iter().filter(|other| other.pipeline != door.pipeline);
        let mut known = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        let is_alike = known.as_ref().map(|tls| tls.files()) == tls.as_ref().map(|tls| tls.files());
        if let (Some(other), false) = (others.clone().next(), is_alike) {
            let other = Arc::clone(&other.pipeline);
            return Err(FrontError::OtherTls { other, listen: listen() });
        }
        if let Some((other, route)) = others.find_map(|other| Some((other, door.clash(other)?))) {
            let other = Arc::clone(&other.pipeline);
            return Err(FrontError::Clash { other, route, listen: listen() });
        }
        *known = tls;
        doors.retain(|other| other.pipeline != door.pipeline);
        doors.push(Arc::clone(door));
        Ok(())
    }

    /// The door that names a path most exactly, and what it means there.
    fn find(&self, path: &str) -> Option<(Arc<Door>, Target)> {
        let doors = self.doors.read().unwrap_or_else(PoisonError::into_inner);
        let found = doors.iter().filter_map(|door| {
            let (exactness, target) = door.target(path)?;
            Some((exactness, door, target))
        });
        let (_, door, target) = found.max_by_key(|(exactness, ..)| *exactness)?;
        Some((Arc::clone(door), target))
    }

    fn not_found(&self, path: &str) -> Refusal {
        let doors = self.doors.read().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<_> = doors.iter().flat_map(|door| door.shown()).collect();
        let path: String = path.chars().take(200).collect();
        Refusal::NotFound { what: format!("nothing is at {path}; there is {}", known.join(", ")) }
    }
}

#[derive(Debug, Default)]
struct Connections {
    most: AtomicUsize,
    numbers: AtomicUsize,
    open: Mutex<BTreeMap<usize, Arc<Activity>>>,
    closed: Notify,
}

/// What a connection does.
#[derive(Debug)]
struct Activity {
    asks: AtomicUsize,
    has_asked: AtomicBool,
    since: Mutex<Instant>,
    evicted: CancellationToken,
}

/// A connection among those that are open.
struct Open<'a> {
    of: &'a Connections,
    number: usize,
    activity: Arc<Activity>,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<Activity>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there may be another one.
    async fn room(&self) {
        loop {
            let closed = self.closed.notified();
            {
                let open = self.open();
                if open.len() < self.most.load(Ordering::Relaxed) {
                    return;
                }
                // A new one may be worth more than one that asks for nothing.
                let idle = open.values().filter(|it| it.asks.load(Ordering::Relaxed) == 0);
                if let Some(oldest) = idle.min_by_key(|it| it.since()) {
                    oldest.evicted.cancel();
                }
            }
            closed.await;
        }
    }

    fn enter(&self) -> Open<'_> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let activity = Arc::new(Activity {
            asks: AtomicUsize::new(0),
            has_asked: AtomicBool::new(false),
            since: Mutex::new(Instant::now()),
            evicted: CancellationToken::new(),
        });
        self.open().insert(number, Arc::clone(&activity));
        Open { of: self, number, activity }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.of.open().remove(&self.number);
        self.of.closed.notify_one();
    }
}

impl Activity {
    fn since(&self) -> Instant {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asks(self: &Arc<Self>) -> Asking {
        self.asks.fetch_add(1, Ordering::Relaxed);
        self.has_asked.store(true, Ordering::Relaxed);
        Asking(Arc::clone(self))
    }

    /// Resolves if it has asked for nothing yet when it should have.
    async fn silence(&self) {
        sleep(HEAD_TIME).await;
        if self.has_asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

/// A request of a connection that is being answered.
struct Asking(Arc<Activity>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.asks.fetch_sub(1, Ordering::Relaxed);
        *self.0.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

async fn accept(front: Arc<Front>, listener: TcpListener) {
    let end = front.end.clone();
    let accepting = async {
        loop {
            front.connections.room().await;
            match listener.accept().await {
                Ok((stream, _)) => {
                    let front = Arc::clone(&front);
                    front.tasks.clone().spawn(async move { connected(&front, stream).await });
                }
                Err(error) => {
                    tracing::debug!("a connection is not accepted: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    end.run_until_cancelled(accepting).await;
}

async fn connected(front: &Arc<Front>, stream: TcpStream) {
    let open = front.connections.enter();
    let _ = stream.set_nodelay(true);
    let tls = front.tls.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let served = async {
        match tls {
            None => serve(front, stream, &open.activity).await,
            Some(tls) => match timeout(HEAD_TIME, tls.acceptor().accept(stream)).await {
                Ok(Ok(stream)) => serve(front, stream, &open.activity).await,
                Ok(Err(error)) => tracing::debug!("a connection is not encrypted: {error}"),
                Err(_) => {}
            },
        }
    };
    tokio::select! {
        () = served => {}
        () = open.activity.evicted.cancelled() => {}
        () = open.activity.silence() => {}
    }
}

type Shared = State<(Arc<Front>, Arc<Activity>)>;

async fn serve(
    front: &Arc<Front>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    activity: &Arc<Activity>,
) {
    let state = (Arc::clone(front), Arc::clone(activity));
    let router: Router = Router::new().fallback(answer).with_state(state);
    let mut server = Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_TIME)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32);
    let service = TowerToHyperService::new(router);
    let serving = server.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = front.end.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    // Whoever is too slow, or breaks off, is no trouble of ours.
    if let Err(error) = ended {
        tracing::debug!("a connection has broken off: {error}");
    }
}

async fn answer(State((front, activity)): Shared, request: Request<Body>) -> Response<Body> {
    let _asking = activity.asks();
    let is_http2 = request.version() == Version::HTTP_2;
    let path = request.uri().path();
    let answer = match front.find(path) {
        Some((door, target)) => door.answer(target, request).await,
        None => Answer::refused(form_of(path), &front.not_found(path)),
    };
    answer.into_response(is_http2)
}

/// As whom a client asks that asks for nothing that is there.
fn form_of(path: &str) -> Form {
    let has = |part: &str| path.split('/').any(|it| it == part);
    if has("topics") {
        Form::Topic
    } else if has("streams") {
        Form::Stream
    } else {
        Form::Plain
    }
}
