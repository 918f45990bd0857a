//! The thread that serves librdkafka: it polls always, so that the group never takes us for dead, however
//! long the sink takes.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::KafkaSourceError;
use super::context::Client;
use super::lanes::Lanes;
use crate::kafka::{Asker, lock};

/// How long it takes at most until the thread sees that it is to do something else.
const TURN: Duration = Duration::from_millis(50);

/// How often the group is told how far lanes have come.
const HINT: Duration = Duration::from_secs(1);

/// Leaving a group takes longer if its brokers do not answer; then it is left by silence.
const LEAVE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Service {
    shared: Arc<Shared>,
    ended: Mutex<Receiver<()>>,
}

struct Shared {
    group: String,
    /// For questions.
    asker: Arc<Asker>,
    lanes: Arc<Lanes>,
    /// The client that joins the group, until the thread has taken it over.
    joining: Mutex<Option<Arc<Client>>>,
    is_over: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("group", &self.group).finish_non_exhaustive()
    }
}

impl Service {
    pub(super) fn start(
        group: String,
        asker: Arc<Asker>,
        lanes: Arc<Lanes>,
    ) -> Result<Self, KafkaSourceError> {
        let (joining, is_over) = (Mutex::new(None), AtomicBool::new(false));
        let shared = Arc::new(Shared { group, asker, lanes, joining, is_over });
        let (ends, ended) = mpsc::channel();
        let thread = thread::Builder::new().name("pinhost-kafka".to_owned());
        let service = Arc::clone(&shared);
        let run = move || {
            service.run();
            // Dropped at the end, which is what is waited for.
            drop(ends);
        };
        thread.spawn(run).map_err(KafkaSourceError::Thread)?;
        Ok(Self { shared, ended: Mutex::new(ended) })
    }

    /// Serves this client from now on, too.
    pub(super) fn serve(&self, member: Arc<Client>) {
        *lock(&self.shared.joining) = Some(member);
    }
}

impl Drop for Service {
    /// Leaves the group, so that its other members get our partitions at once.
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Err(RecvTimeoutError::Timeout) = lock(&self.ended).recv_timeout(LEAVE) {
            tracing::warn!("consumer group {} was not left in time", self.shared.group);
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut member: Option<Arc<Client>> = None;
        let mut told = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) {
            if member.is_none() {
                member = lock(&self.joining).take();
            }
            let Some(client) = &member else {
                self.asker.poll(TURN);
                continue;
            };
            match client.poll(TURN) {
                None => {}
                Some(Ok(_)) => self.lanes.fail(KafkaSourceError::NoLane),
                Some(Err(error)) => self.failed(client, &error),
            }
            self.asker.poll(Duration::ZERO);
            if told.elapsed() >= HINT {
                self.lanes.tell(client);
                told = Instant::now();
            }
        }
        if let Some(client) = &member {
            self.lanes.tell(client);
        }
        self.lanes.leave();
        // The last that has it leaves the group.
        drop(member);
    }

    /// Others are told by the context, and pass.
    fn failed(&self, client: &Client, error: &KafkaError) {
        use RDKafkaErrorCode::{
            FencedInstanceId, GroupAuthorizationFailed, InconsistentGroupProtocol,
        };
        let group = self.group.clone();
        match error {
            KafkaError::MessageConsumption(GroupAuthorizationFailed) => {
                self.lanes.fail(KafkaSourceError::GroupDenied { group });
            }
            KafkaError::MessageConsumption(InconsistentGroupProtocol) => {
                self.lanes.fail(KafkaSourceError::Stranger { group });
            }
            KafkaError::MessageConsumption(FencedInstanceId)
            | KafkaError::MessageConsumptionFatal(_) => {
                let reason = client.client().fatal_error().map(|(_, reason)| reason);
                let reason = reason.unwrap_or_else(|| error.to_string());
                self.lanes.fail(KafkaSourceError::Group { group, reason });
            }
            _ => {}
        }
    }
}
