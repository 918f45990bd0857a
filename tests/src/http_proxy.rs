//! Something between a client and an HTTP server that loses requests, and answers.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Passes,
    /// The server never sees it; the client is told 503.
    Refused,
    /// The server does what it says; the client is told 500.
    Denied,
    /// The server does what it says; the client is told nothing.
    Cut,
    /// The server never sees it; the client is told this: a status, and JSON.
    Answered(u16, &'static str),
}

/// A number below 100 that tells what happens to a request: another one for each, and the same in every run.
/// Neighbours have nothing in common, so that nobody who tries again falls into step with it. (Generators that
/// are seeded with one number after the other begin alike.)
pub fn lot(request: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.hash(&mut hasher);
    hasher.finish() % 100
}

/// Stands in for a server until the process ends.
#[derive(Debug)]
pub struct HttpProxy {
    pub endpoint: String,
    requests: Arc<AtomicUsize>,
    harmed: Arc<AtomicUsize>,
}

impl HttpProxy {
    /// `fate` is asked with the number of the request and its head.
    ///
    /// # Panics
    /// If there is no port to listen on.
    pub fn start(server: &str, fate: fn(usize, &str) -> Fate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let server = server.trim_start_matches("http://").to_owned();
        let (harmed, number) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (asked, told) = (Arc::clone(&number), Arc::clone(&harmed));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, harmed, number) =
                    (server.clone(), Arc::clone(&told), Arc::clone(&asked));
                thread::spawn(move || {
                    let fate = |head: &str| {
                        let fate = fate(number.fetch_add(1, Ordering::Relaxed), head);
                        harmed.fetch_add(usize::from(fate != Fate::Passes), Ordering::Relaxed);
                        fate
                    };
                    // Who goes away in the middle is none of the tests' business.
                    let _ = exchange(&client, &server, fate);
                });
            }
        });
        Self { endpoint, requests: number, harmed }
    }

    /// How many requests there were.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many requests something happened to.
    pub fn harmed(&self) -> usize {
        self.harmed.load(Ordering::Relaxed)
    }
}

/// One request and its answer; then the connection ends.
fn exchange(client: &TcpStream, server: &str, fate: impl Fn(&str) -> Fate) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let fate = fate(&head);
    let mut answer = Vec::new();
    if !matches!(fate, Fate::Refused | Fate::Answered(..)) {
        let mut server = TcpStream::connect(server)?;
        let head = head.trim_end();
        write!(server, "{head}\r\nConnection: close\r\n\r\n")?;
        server.write_all(&body)?;
        server.read_to_end(&mut answer)?;
    }
    let said = |status: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let mut client = client;
    match fate {
        Fate::Passes => client.write_all(&answer),
        Fate::Refused => client.write_all(said("503 Slow Down").as_bytes()),
        Fate::Denied => client.write_all(said("500 Internal Server Error").as_bytes()),
        Fate::Cut => Ok(()),
        Fate::Answered(status, body) => {
            let length = body.len();
            write!(
                client,
                "HTTP/1.1 {status} Told\r\nContent-Type: application/x-amz-json-1.1\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
        }
    }
}
