//! A network between a client and a server that fails on request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    Pass,
    /// Everything takes so much longer.
    Delay(Duration),
    /// Connections stay open, and nothing comes through.
    BlackHole,
    /// Connections are reset, and new ones as well.
    Reset,
}

/// What happens to a single connection, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is reset when so many bytes more went to the server.
    CutAfter(usize),
    /// It is reset before these bytes go to the server.
    CutBefore(&'static [u8]),
    /// These bytes go to the server, which answers; the answer is lost, and the connection is reset.
    LoseAnswerTo(&'static [u8]),
    /// The same, and the connection stays open without a word.
    SwallowAnswerTo(&'static [u8]),
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    conduct: watch::Sender<Conduct>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: String,
    /// Met by the next connection that it fits.
    fault: Mutex<Option<Fault>>,
    happened: AtomicU32,
}

impl Proxy {
    /// Stands before the server at `HOST:PORT`.
    ///
    /// # Panics
    /// If there is no port left.
    pub fn start(runtime: &Handle, server: &str) -> Self {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (conduct, conducted) = watch::channel(Conduct::Pass);
        let shared = Shared {
            server: server.to_owned(),
            fault: Mutex::default(),
            happened: AtomicU32::new(0),
        };
        let shared = Arc::new(shared);
        runtime.spawn(listen(listener, conducted, Arc::clone(&shared)));
        Self { address, conduct, shared }
    }

    pub fn conduct(&self, conduct: Conduct) {
        self.conduct.send_replace(conduct);
    }

    /// Happens once, to the first connection that it fits.
    pub fn plan(&self, fault: Fault) {
        *self.shared.fault() = Some(fault);
    }

    /// How many faults have happened.
    pub fn happened(&self) -> u32 {
        self.shared.happened.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn fault(&self) -> std::sync::MutexGuard<'_, Option<Fault>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The planned fault, if these bytes bring it about; the next ones meet none.
    fn met(&self, bytes: &[u8]) -> Option<Fault> {
        let mut planned = self.fault();
        let is_met = match planned.as_mut()? {
            Fault::CutAfter(left) => {
                let is_met = *left <= bytes.len();
                *left -= bytes.len().min(*left);
                is_met
            }
            Fault::CutBefore(pattern)
            | Fault::LoseAnswerTo(pattern)
            | Fault::SwallowAnswerTo(pattern) => {
                bytes.windows(pattern.len()).any(|window| window == *pattern)
            }
        };
        if !is_met {
            return None;
        }
        self.happened.fetch_add(1, Ordering::Relaxed);
        planned.take()
    }
}

async fn listen(
    listener: TcpListener,
    mut conducted: watch::Receiver<Conduct>,
    shared: Arc<Shared>,
) {
    loop {
        let client = tokio::select! {
            client = listener.accept() => client,
            changed = conducted.changed() => match changed {
                Ok(()) => continue,
                // The proxy is gone.
                Err(_) => return,
            },
        };
        let Ok((client, _)) = client else { continue };
        // A connection that fails is what this is for.
        tokio::spawn(connection(client, conducted.clone(), Arc::clone(&shared)));
    }
}

async fn connection(
    client: TcpStream,
    mut conducted: watch::Receiver<Conduct>,
    shared: Arc<Shared>,
) -> std::io::Result<()> {
    client.set_zero_linger()?;
    if *conducted.borrow() == Conduct::Reset {
        return Ok(());
    }
    let server = TcpStream::connect(&shared.server).await?;
    server.set_zero_linger()?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (mute, is_mute) = watch::channel(false);
    let there = Way { from: from_client, to: to_server, conducted: conducted.clone() };
    let back = Way { from: from_server, to: to_client, conducted: conducted.clone() };
    tokio::select! {
        ended = there.carry_to_server(&shared, &mute) => ended,
        ended = back.carry_to_client(&is_mute) => ended,
        _ = conducted.wait_for(|conduct| *conduct == Conduct::Reset) => Ok(()),
    }
}

/// One direction of a connection.
struct Way {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    conducted: watch::Receiver<Conduct>,
}

impl Way {
    /// The next bytes, when they may pass; none at the end.
    async fn next<'a>(&mut self, buffer: &'a mut [u8]) -> std::io::Result<Option<&'a [u8]>> {
        let read = self.from.read(buffer).await?;
        // A proxy that is gone changes nothing any more.
        let _ = self.conducted.wait_for(|conduct| *conduct != Conduct::BlackHole).await;
        let conduct = *self.conducted.borrow();
        if let Conduct::Delay(delay) = conduct {
            tokio::time::sleep(delay).await;
        }
        Ok((read > 0).then(|| &buffer[..read]))
    }

    async fn carry_to_server(
        mut self,
        shared: &Shared,
        mute: &watch::Sender<bool>,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        while let Some(bytes) = self.next(&mut buffer).await? {
            let fault = shared.met(bytes);
            if let Some(Fault::LoseAnswerTo(_) | Fault::SwallowAnswerTo(_)) = fault {
                mute.send_replace(true);
            }
            match fault {
                Some(Fault::CutAfter(_) | Fault::CutBefore(_)) => return Ok(()),
                Some(Fault::LoseAnswerTo(_)) => {
                    // Time enough for the server to do it.
                    self.to.write_all(bytes).await?;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    return Ok(());
                }
                Some(Fault::SwallowAnswerTo(_)) | None => self.to.write_all(bytes).await?,
            }
        }
        Ok(())
    }

    async fn carry_to_client(mut self, is_mute: &watch::Receiver<bool>) -> std::io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        while let Some(bytes) = self.next(&mut buffer).await? {
            if !*is_mute.borrow() {
                self.to.write_all(bytes).await?;
            }
        }
        Ok(())
    }
}
