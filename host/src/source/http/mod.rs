//! `http`: records that clients post, each answered once it is committed.
//!
//! A request is read whole and its records wait ([`Intake`]) until the lane is read; what became of them is
//! known when their unit is committed, and only then is the request answered. What was posted cannot be read
//! again: a request that is not stored in time is withdrawn if it was not read yet, and its client comes
//! again. The listener ([`front`]) outlives edits of the pipeline, and so does what waits.

mod answer;
mod body;
mod brought;
mod check;
mod config;
mod door;
mod front;
mod idempotency;
mod intake;
mod json;
mod kind;
mod plain;
mod refusal;
mod route;
mod stream;
mod tls;
mod token;
mod topic;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use async_trait::async_trait;

use crate::record::{ConnectorError, ErrorClass, Lane, Position, RawBatch, Receipts, SourceId};

pub use self::config::{HttpReply, HttpSourceConfig, HttpTlsConfig};
use self::door::Door;
use self::front::{FrontError, Registration};
use self::idempotency::Remembered;
use self::intake::Intake;
pub use self::kind::Http;
use self::token::TokenError;
use super::{Journal, Known, LaneChange, LaneReader, Most, Outset, Source, SourceOptions};

#[derive(Debug, thiserror::Error)]
enum HttpSourceError {
    #[error(transparent)]
    Front(#[from] FrontError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("requests have no end: this pipeline cannot run until it has read all of them")]
    Endless,
    #[error("lane {lane} stands at {from}, which is no record's number")]
    NoNumber { lane: Lane, from: Position },
}

impl HttpSourceError {
    /// What the runtime does about it: design.md, section 5.
    fn class(&self) -> ErrorClass {
        match self {
            // An address may come free, and files may be written.
            Self::Front(_) | Self::Token(_) => ErrorClass::Systemic,
            Self::Endless | Self::NoNumber { .. } => ErrorClass::Fatal,
        }
    }
}

impl From<HttpSourceError> for ConnectorError {
    fn from(error: HttpSourceError) -> Self {
        Self::new(error.class(), error)
    }
}

/// What pipelines of this process have taken in, as long as one of their sources is there.
static TAKEN_IN: LazyLock<Mutex<BTreeMap<Arc<str>, Weak<TakenIn>>>> = LazyLock::new(Mutex::default);

/// What outlives a source of a pipeline, so that the next one goes on with it.
#[derive(Debug)]
struct TakenIn {
    intake: Arc<Intake>,
    remembered: Arc<Remembered>,
}

impl TakenIn {
    fn of(options: &SourceOptions) -> Arc<Self> {
        let mut known = TAKEN_IN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(it) = known.get(&options.pipeline).and_then(Weak::upgrade) {
            return it;
        }
        let room = usize::try_from(options.prefetch_bytes).unwrap_or(usize::MAX);
        let intake = Arc::new(Intake::new(room));
        let it = Arc::new(Self { intake, remembered: Arc::default() });
        known.insert(Arc::clone(&options.pipeline), Arc::downgrade(&it));
        it
    }
}

#[derive(Debug)]
pub struct HttpSource {
    taken_in: Arc<TakenIn>,
    registration: Mutex<Option<Registration>>,
}

impl HttpSource {
    pub async fn open(
        config: &HttpSourceConfig,
        options: &SourceOptions,
    ) -> Result<Self, ConnectorError> {
        Ok(Self::opened(config, options).await?)
    }

    async fn opened(
        config: &HttpSourceConfig,
        options: &SourceOptions,
    ) -> Result<Self, HttpSourceError> {
        if options.until_end {
            return Err(HttpSourceError::Endless);
        }
        let taken_in = TakenIn::of(options);
        let outliving = (&taken_in.intake, &taken_in.remembered);
        let door = Door::new(&options.pipeline, config, outliving)?;
        let registration = Mutex::new(Some(front::register(config, door).await?));
        Ok(Self { taken_in, registration })
    }

    fn intake(&self) -> &Arc<Intake> {
        &self.taken_in.intake
    }
}

#[async_trait]
impl Source for HttpSource {
    async fn identity(&self) -> Result<SourceId, ConnectorError> {
        Ok(SourceId::new("http"))
    }

    async fn resume(&self, known: &Known) -> Result<Outset, ConnectorError> {
        Ok(self.intake().resume(known))
    }

    async fn next_change(&self) -> Result<Option<LaneChange>, ConnectorError> {
        Ok(self.intake().next_lane().map(LaneChange::assigned))
    }

    async fn start(&self, _lane: &Lane) -> Result<Position, ConnectorError> {
        Ok(Position::number(0))
    }

    async fn open(
        &self,
        lane: &Lane,
        from: Position,
        _journal: Arc<dyn Journal>,
    ) -> Result<Box<dyn LaneReader>, ConnectorError> {
        let Some(next) = from.as_number() else {
            return Err(HttpSourceError::NoNumber { lane: lane.clone(), from }.into());
        };
        let intake = Arc::clone(self.intake());
        let reader = intake.open(next);
        Ok(Box::new(HttpReader { intake, reader }))
    }

    fn committed(&self, _lane: &Lane, to: Position, receipts: Option<&Receipts>) {
        if let Some(to) = to.as_number() {
            self.intake().committed(to, receipts);
        }
    }

    async fn close(&self) {
        self.intake().close();
        let registration = self.registration.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(registration) = registration {
            registration.close().await;
        }
    }
}

#[derive(Debug)]
struct HttpReader {
    intake: Arc<Intake>,
    reader: u64,
}

#[async_trait]
impl LaneReader for HttpReader {
    async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ConnectorError> {
        Ok(Some(self.intake.read(self.reader, most).await))
    }
}
