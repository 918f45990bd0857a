//! What a pipeline knows of itself, in a topic beside its rows.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use serde::Serialize;
use tokio::sync::{Mutex as AsyncMutex, OnceCell};
use uuid::Uuid;

use super::KafkaSinkError;
use super::config::KafkaSinkConfig;
use super::entry::{
    Entry, EntryKey, FORMAT, GenerationEntry, HaltEntry, Identity, PiecedEntry, PluginEntry,
    VerdictEntry,
};
use super::image::PipelineImage;
use super::lane::Held;
use super::letters::{LetterBook, PIECE_BYTES};
use super::notes::Notes;
use super::producer::TransactionalProducer;
use super::reader::{LedgerReader, consumer, scan};
use super::topics::Topics;
use crate::connect::SinkContext;
use crate::kafka::{Asker, Cluster, ClusterError, Talk, Trouble, lock};
use crate::ledger::letter::stored_text;
use crate::ledger::{
    Archive, Claim, Claims, DeadLetterFilter, FirstRun, Judgement, LaneState, LedgerFault, Letters,
    LineageRange, Member, Members, StoredDeadLetter,
};
use crate::record::{ConnectorError, Digest, Generation, Lane, PluginBytes, Position, SourceId};

/// A producer that nothing was asked of for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// How long somebody who only looks waits for transactions of others; and whoever runs the pipeline, which is
/// about to end them; and whoever has waited for them before.
const LOOK: Duration = Duration::from_secs(5);
const OWN_LOOK: Duration = Duration::from_secs(1);
const BRIEF: Duration = Duration::from_millis(50);

/// Each lane has a producer, which has some threads and connections.
const LANES_MAX: usize = 200;

/// How often dead letters are looked through for old ones.
const FORGET_EVERY: Duration = Duration::from_secs(600);

pub(super) struct KafkaLedger {
    pub config: Arc<KafkaSinkConfig>,
    pub context: SinkContext,
    pub topics: Topics,
    pub member: Uuid,
    /// The topics of the ledger and of dead letters.
    pub topic: String,
    pub letters: String,
    settings: ClientConfig,
    cluster: Arc<Cluster>,
    access: AsyncMutex<Option<Arc<Access>>>,
    /// The mark that was waited for in vain.
    behind: Mutex<Option<i64>>,
    /// What this process holds of its lanes.
    held: Mutex<HashMap<Lane, Slot>>,
    /// One retry after the other.
    pub retrying: AsyncMutex<()>,
    is_served: OnceLock<()>,
    /// Whether rows of the pipeline are there that the ledger does not know.
    orphan: OnceCell<Option<String>>,
    forgot: Mutex<Option<Instant>>,
    this: Weak<Self>,
}

/// Without its settings, which hold secrets.
impl fmt::Debug for KafkaLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("KafkaLedger");
        shown.field("cluster", &self.cluster).field("topic", &self.topic).finish_non_exhaustive()
    }
}

pub(super) type Slot = Arc<AsyncMutex<Option<Held>>>;

/// The ledger as it is read and written.
#[derive(Debug)]
pub(super) struct Access {
    pub reader: LedgerReader,
    pub notes: Arc<Notes>,
}

impl KafkaLedger {
    /// Talks to nobody yet.
    pub fn open(
        config: &KafkaSinkConfig,
        context: SinkContext,
    ) -> Result<Arc<Self>, KafkaSinkError> {
        let connection = config.connection();
        let settings = connection.settings(&context.pipeline)?;
        let mut asking = settings.clone();
        // It asks where partitions begin and end, open transactions or not.
        asking.set("isolation.level", "read_uncommitted");
        let talk = talk(config, false);
        let asker: Asker = asking.create_with_context(talk).map_err(ClusterError::Settings)?;
        let asker = Arc::new(asker);
        listen(&asker)?;
        let cluster = Arc::new(Cluster::new(asker, config.brokers.to_string()));
        let topic = config.ledger_topic(&context.pipeline);
        let letters = config.letters_topic(&context.pipeline);
        let targets = config.topic.all().to_vec();
        let topics = Topics::new(Arc::clone(&cluster), targets, topic.clone(), letters.clone());
        Ok(Arc::new_cyclic(|this| Self {
            config: Arc::new(config.clone()),
            context,
            topics,
            member: Uuid::new_v4(),
            topic,
            letters,
            settings,
            cluster,
            access: AsyncMutex::default(),
            behind: Mutex::default(),
            held: Mutex::default(),
            retrying: AsyncMutex::default(),
            is_served: OnceLock::new(),
            orphan: OnceCell::new(),
            forgot: Mutex::default(),
            this: this.clone(),
        }))
    }

    pub(super) fn entry(&self, key: &EntryKey, value: &impl Serialize) -> Entry {
        Entry::new(&self.context.pipeline, key, value)
    }

    /// The ledger with all that was there when it was asked for first; none if there is no topic.
    async fn find_access(&self) -> Result<Option<Arc<Access>>, KafkaSinkError> {
        let mut access = self.access.lock().await;
        if let Some(open) = access.as_ref().filter(|open| !open.reader.has_failed()) {
            return Ok(Some(Arc::clone(open)));
        }
        *access = None;
        if !self.topics.has_ledger().await? {
            return Ok(None);
        }
        let reader = LedgerReader::start(&self.settings, talk(&self.config, true), &self.topic)?;
        let notes = Notes::new(&self.producer_settings(), talk(&self.config, true), &self.topic)?;
        let open = Arc::new(Access { reader, notes: Arc::new(notes) });
        *lock(&self.behind) = None;
        self.catch_up(&open).await?;
        Ok(Some(Arc::clone(access.insert(open))))
    }

    pub(super) async fn access(&self) -> Result<Arc<Access>, KafkaSinkError> {
        let missing = || ClusterError::NoTopic { topic: self.topic.clone() };
        Ok(self.find_access().await?.ok_or_else(missing)?)
    }

    /// Reads all that is committed now, unless somebody's transaction is in the way: whoever has to know, as a
    /// claim has to, waits for an entry of its own.
    async fn catch_up(&self, access: &Access) -> Result<(), KafkaSinkError> {
        let offset = match self.mark(access).await {
            Ok(offset) => offset,
            Err(KafkaSinkError::NoteDenied { .. }) if self.context.source.is_none() => {
                return access.reader.settle().await;
            }
            Err(error) => return Err(error),
        };
        let is_behind = lock(&self.behind).is_some_and(|mark| access.reader.next() <= mark);
        let time = match self.context.source {
            _ if is_behind => BRIEF,
            Some(_) => OWN_LOOK,
            None => LOOK,
        };
        let reached = access.reader.reach(offset, time).await;
        match reached {
            Err(error @ KafkaSinkError::OpenTransaction { .. }) => {
                if !is_behind {
                    *lock(&self.behind) = Some(offset);
                    tracing::debug!("{error}: what is told may be older");
                }
                Ok(())
            }
            reached => {
                *lock(&self.behind) = None;
                reached
            }
        }
    }

    /// Writes what is never there: it only has a place.
    async fn mark(&self, access: &Access) -> Result<i64, KafkaSinkError> {
        let mark = Entry::gone(&self.context.pipeline, &EntryKey::Mark(self.member));
        access.notes.put(vec![mark]).await
    }

    /// With all that is committed now.
    pub(super) async fn refreshed(&self) -> Result<Arc<Access>, KafkaSinkError> {
        let access = self.access().await?;
        let offset = self.mark(&access).await?;
        access.reader.reach(offset, self.longest_wait()).await?;
        Ok(access)
    }

    /// For somebody who looks: none if there is no ledger.
    pub(super) async fn looked(&self) -> Result<Option<Arc<Access>>, KafkaSinkError> {
        let Some(access) = self.find_access().await? else { return Ok(None) };
        self.catch_up(&access).await?;
        Ok(Some(access))
    }

    /// Nobody's transaction is open for longer, unless it has another time-out.
    pub(super) fn longest_wait(&self) -> Duration {
        const MORE: Duration = Duration::from_secs(15);
        self.config.transaction_timeout.0 + MORE
    }

    /// What producers have in common.
    fn producer_settings(&self) -> ClientConfig {
        let mut settings = self.settings.clone();
        // Of consumers only.
        settings.remove("allow.auto.create.topics");
        settings
    }

    /// A transactional producer, as which nobody else goes on from here.
    pub(super) async fn producer(
        &self,
        what: &str,
    ) -> Result<Arc<TransactionalProducer>, KafkaSinkError> {
        const QUEUE_KIB: usize = 32 << 10;
        let sizes = self.topics.sizes().await?;
        let mut settings = self.producer_settings();
        settings
            .set("compression.type", self.config.compression.name())
            .set("message.max.bytes", sizes.message.clamp(1_000, 1_000_000_000).to_string())
            .set("batch.size", sizes.batch.to_string())
            .set("queue.buffering.max.messages", "100000")
            .set(
                "queue.buffering.max.kbytes",
                QUEUE_KIB.max((2 * sizes.message) >> 10).to_string(),
            );
        let own = [("linger.ms", "2"), ("partitioner", "murmur2_random")];
        for (name, value) in own {
            if !self.config.properties.contains_key(name) {
                settings.set(name, value);
            }
        }
        let id = format!("{}/{}/{what}", self.topic, self.context.pipeline);
        let (talk, ledger) = (talk(&self.config, true), self.topic.clone());
        let timeout = self.config.transaction_timeout.0;
        let opened = tokio::task::spawn_blocking(move || {
            TransactionalProducer::open(&settings, talk, &id, &ledger, timeout)
        });
        Ok(Arc::new(opened.await.map_err(|_| KafkaSinkError::Ended)??))
    }

    pub(super) fn taken_back(&self, lane: String, error: &KafkaError) -> KafkaSinkError {
        use rdkafka::error::RDKafkaErrorCode::{TopicAuthorizationFailed, UnknownTopicOrPartition};
        match error.rdkafka_error_code() {
            Some(TopicAuthorizationFailed) => {
                KafkaSinkError::WriteDenied { topic: self.config.topic.to_string() }
            }
            Some(UnknownTopicOrPartition) => {
                ClusterError::NoTopic { topic: self.config.topic.to_string() }.into()
            }
            _ => KafkaSinkError::TakenBack { lane, reason: error.to_string() },
        }
    }

    pub(super) fn slot(&self, lane: &Lane) -> Slot {
        let mut held = lock(&self.held);
        Arc::clone(held.entry(lane.clone()).or_default())
    }

    pub(super) fn let_go(&self, held: Option<Held>) {
        if let Some(producer) = held.and_then(|held| held.producer) {
            self.let_producer_go(producer);
        }
    }

    /// Closing one takes its time.
    pub(super) fn let_producer_go(&self, producer: Arc<TransactionalProducer>) {
        tokio::task::spawn_blocking(move || drop(producer));
    }

    fn identity(&self, source: &SourceId) -> Identity {
        let mut targets = self.config.topic.all().to_vec();
        targets.sort_unstable();
        let target = targets.join(", ");
        Identity { format: FORMAT, source: source.to_string(), target }
    }

    pub(super) fn identity_entry(&self, source: &SourceId) -> Entry {
        let identity = self.identity(source);
        self.entry(&EntryKey::Identity(identity.digest()), &identity)
    }

    /// What is known has to be the same. Says whether nothing is.
    pub(super) fn compare(
        &self,
        access: &Access,
        source: &SourceId,
    ) -> Result<bool, KafkaSinkError> {
        let pipeline = &*self.context.pipeline;
        let known = access.reader.look(|image| image.pipeline(pipeline)?.identity().cloned());
        let (Some(known), here) = (known, self.identity(source)) else { return Ok(true) };
        let pipeline = pipeline.to_owned();
        if known.source != here.source {
            let (known, here) = (known.source, here.source);
            return Err(LedgerFault::OtherSource { pipeline, known, here }.into());
        }
        if known.target != here.target {
            let (known, here) = (known.target, here.target);
            return Err(LedgerFault::OtherTarget { pipeline, known, here }.into());
        }
        Ok(false)
    }

    /// Rows would come back as records.
    pub(super) async fn refuse_circle(
        &self,
        source: &SourceId,
        lane: &Lane,
    ) -> Result<(), KafkaSinkError> {
        let Some(cluster) = source.as_str().strip_prefix("kafka:") else { return Ok(()) };
        let Some((topic, _)) = lane.name().rsplit_once('-') else { return Ok(()) };
        if !self.config.topic.all().iter().any(|target| target == topic) {
            return Ok(());
        }
        if self.cluster.id().await? != cluster {
            return Ok(());
        }
        Err(KafkaSinkError::Circle { topic: topic.to_owned() })
    }

    /// Rows of a pipeline that the ledger does not know mean that somebody has deleted the ledger: reading
    /// their records again would repeat them. Gives an error that says so, if there are some.
    pub(super) async fn orphans(&self) -> Result<Option<KafkaSinkError>, KafkaSinkError> {
        let look = async || {
            let targets = self.topics.targets(LOOK).await?;
            let partitions =
                targets.names().map(|(name, facts)| (name.to_owned(), facts.partitions));
            let partitions: Vec<_> = partitions.collect();
            let settings = self.settings.clone();
            let talk = talk(&self.config, true);
            let pipeline = self.context.pipeline.to_string();
            let looked = tokio::task::spawn_blocking(move || {
                super::orphans::find(&settings, talk, &partitions, &pipeline)
            });
            looked.await.map_err(|_| KafkaSinkError::Ended)?
        };
        let target = self.orphan.get_or_try_init(look).await?;
        Ok(target.as_ref().map(|target| KafkaSinkError::LostLedger {
            topic: self.topic.clone(),
            pipeline: self.context.pipeline.to_string(),
            target: target.clone(),
        }))
    }

    pub(super) fn warn_of_many(&self) {
        let lanes = lock(&self.held).len();
        if lanes == LANES_MAX + 1 {
            tracing::warn!(
                "this process has more than {LANES_MAX} lanes, each with a producer of its own: more processes \
                 would share them"
            );
        }
    }

    /// Does what others ask for, closes producers that are idle, and forgets old letters, for as long as the
    /// sink is open.
    pub(super) fn serve_requests(&self) {
        const TURN: Duration = Duration::from_secs(1);
        if self.is_served.set(()).is_err() {
            return;
        }
        let this = self.this.clone();
        tokio::spawn(async move {
            loop {
                let Some(ledger) = this.upgrade() else { return };
                let news = ledger.find_access().await.ok().flatten().map(|it| it.reader.news());
                drop(ledger);
                match news {
                    Some(mut news) => drop(tokio::time::timeout(TURN, news.changed()).await),
                    None => tokio::time::sleep(TURN).await,
                }
                let Some(ledger) = this.upgrade() else { return };
                ledger.serve().await;
                ledger.close_idle();
                if let Err(error) = ledger.forget().await {
                    tracing::debug!("old dead letters are not forgotten yet: {error}");
                }
            }
        });
    }

    pub(super) fn slots(&self) -> Vec<(Lane, Slot)> {
        lock(&self.held).iter().map(|(lane, slot)| (lane.clone(), Arc::clone(slot))).collect()
    }

    fn close_idle(&self) {
        for (_, slot) in self.slots() {
            let Ok(mut held) = slot.try_lock() else { continue };
            if let Some(held) = held.as_mut().filter(|held| held.used.elapsed() >= IDLE)
                && let Some(producer) = held.producer.take()
            {
                self.let_producer_go(producer);
            }
        }
    }

    pub(super) fn close_all(&self) {
        for (_, slot) in self.slots() {
            let Ok(mut held) = slot.try_lock() else { continue };
            self.let_go(held.take());
        }
    }

    /// Letters as they are now.
    pub(super) async fn book(&self, wanted: &[String]) -> Result<LetterBook, KafkaSinkError> {
        let empty = LetterBook::new(&self.context.pipeline, wanted);
        let Some(access) = self.looked().await? else { return Ok(empty) };
        self.scanned(&access, empty, LetterBook::take).await
    }

    /// Hands every entry that there is to `take`.
    async fn scanned<T: Send + 'static>(
        &self,
        access: &Access,
        mut into: T,
        take: impl Fn(&mut T, super::reader::Scanned<'_>) -> Result<(), KafkaSinkError> + Send + 'static,
    ) -> Result<T, KafkaSinkError> {
        let Some(last) = access.reader.next().checked_sub(1).filter(|last| *last >= 0) else {
            return Ok(into);
        };
        let (settings, topic) = (self.settings.clone(), self.topic.clone());
        let talk = talk(&self.config, true);
        let scanned = tokio::task::spawn_blocking(move || {
            let consumer = consumer(&settings, talk, &topic)?;
            scan(&consumer, &topic, last, |scanned| take(&mut into, scanned))?;
            Ok(into)
        });
        scanned.await.map_err(|_| KafkaSinkError::Ended)?
    }

    async fn forget(&self) -> Result<(), KafkaSinkError> {
        let Some(keep) = self.context.keep_dead_letters else { return Ok(()) };
        let is_due = lock(&self.forgot).is_none_or(|when| when.elapsed() >= FORGET_EVERY);
        if !is_due {
            return Ok(());
        }
        *lock(&self.forgot) = Some(Instant::now());
        let before =
            SystemTime::now().checked_sub(keep).and_then(|at| Timestamp::try_from(at).ok());
        let Some(before) = before else { return Ok(()) };
        let gone = self.book(&[]).await?.forgotten(before)?;
        if !gone.is_empty() {
            self.access().await?.notes.put(gone).await?;
        }
        Ok(())
    }

    /// Bytes below their digest, in pieces.
    fn pieces(&self, digest: Digest, bytes: &[u8]) -> (PiecedEntry, Vec<Entry>) {
        let pieces = bytes.chunks(PIECE_BYTES).zip(0..).map(|(piece, number)| {
            let key = EntryKey::Piece(digest, number);
            Entry::bytes(&self.context.pipeline, &key, piece.to_owned())
        });
        let pieces: Vec<_> = pieces.collect();
        (PiecedEntry { digest, pieces: pieces.len() as u32 }, pieces)
    }

    async fn keep_generation(&self, generation: &Generation) -> Result<(), KafkaSinkError> {
        let access = self.access().await?;
        let pipeline = &*self.context.pipeline;
        let digest = generation.digest;
        let is_kept = access.reader.look(|image| {
            image.pipeline(pipeline).is_some_and(|known| known.generation(digest).is_some())
        });
        if is_kept {
            return Ok(());
        }
        let resolved = generation.resolved.as_bytes();
        let (resolved, mut entries) = self.pieces(Digest::of(resolved), resolved);
        let mut plugins = Vec::new();
        for PluginBytes { name, digest, bytes } in &generation.plugins {
            let (bytes, pieces) = self.pieces(*digest, bytes);
            entries.extend(pieces);
            plugins.push(PluginEntry { name: name.clone(), bytes });
        }
        // Behind what it is made of.
        let entry = GenerationEntry { resolved, plugins };
        entries.push(self.entry(&EntryKey::Generation(digest), &entry));
        access.notes.put(entries).await?;
        Ok(())
    }

    async fn find_generation(&self, digest: Digest) -> Result<Option<Generation>, KafkaSinkError> {
        let Some(access) = self.looked().await? else { return Ok(None) };
        let pipeline = self.context.pipeline.to_string();
        let known =
            access.reader.look(|image| image.pipeline(&pipeline)?.generation(digest).cloned());
        let Some(known) = known else { return Ok(None) };
        let found: HashMap<(Digest, u32), Vec<u8>> = HashMap::new();
        let found = self.scanned(&access, found, move |found, scanned| {
            let key = str::from_utf8(scanned.key).ok().and_then(EntryKey::read);
            if let (Some((of, EntryKey::Piece(digest, number))), Some(value)) = (key, scanned.value)
                && of == pipeline
            {
                found.insert((digest, number), value.to_owned());
            }
            Ok(())
        });
        let found = found.await?;
        let whole = |of: &PiecedEntry| {
            let mut bytes = Vec::new();
            for number in 0..of.pieces {
                bytes.extend_from_slice(found.get(&(of.digest, number))?);
            }
            Some(bytes)
        };
        let Some(resolved) = whole(&known.resolved) else { return Ok(None) };
        let mut plugins = Vec::new();
        for PluginEntry { name, bytes } in &known.plugins {
            let Some(whole) = whole(bytes) else { return Ok(None) };
            let (name, digest) = (name.clone(), bytes.digest);
            plugins.push(PluginBytes { name, digest, bytes: whole.into() });
        }
        let resolved = String::from_utf8_lossy(&resolved).as_ref().into();
        Ok(Some(Generation { digest, resolved, plugins }))
    }

    async fn append_entry(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, KafkaSinkError> {
        let slot = self.slot(&claim.lane);
        let mut slot = slot.lock().await;
        let access = self.access().await?;
        if !self.holds(&access, slot.as_ref(), claim) {
            return Ok(false);
        }
        let held = slot.as_mut().expect("it is held");
        if held.producer.is_none() {
            self.reopen(&access, &claim.lane, held).await?;
        }
        let pipeline = &*self.context.pipeline;
        let entries = access.reader.look(|image| {
            let lane = image.pipeline(pipeline)?.lane(claim.lane.name())?;
            Some(lane.journal().count() as u64)
        });
        if entries.unwrap_or_default() != number {
            return Ok(false);
        }
        let Some(producer) = held.producer.take() else { return Ok(false) };
        let key = EntryKey::Journal(claim.lane.name().to_owned(), number);
        let entry = Entry::bytes(pipeline, &key, entry.to_vec());
        let offset = self.transact(&producer, vec![entry], &claim.lane).await?;
        held.producer = Some(producer);
        access.reader.reach(offset, self.longest_wait()).await?;
        Ok(true)
    }
}

/// What a client of the sink says to us.
fn talk(config: &KafkaSinkConfig, tells: bool) -> Talk {
    Talk { trouble: Arc::<Trouble>::default(), tokens: config.connection().tokens(), tells }
}

/// Somebody has to hear what the client says.
fn listen(asker: &Arc<Asker>) -> Result<(), KafkaSinkError> {
    const TURN: Duration = Duration::from_millis(50);
    let asker = Arc::downgrade(asker);
    let listen = move || {
        while let Some(asker) = asker.upgrade() {
            asker.poll(TURN);
        }
    };
    let thread = thread::Builder::new().name("pinhost-kafka".to_owned());
    thread.spawn(listen).map(|_| ()).map_err(KafkaSinkError::Thread)
}

#[async_trait]
impl Claims for KafkaLedger {
    async fn first_run(
        &self,
        decided: Option<FirstRun>,
    ) -> Result<Option<FirstRun>, ConnectorError> {
        let pipeline = &*self.context.pipeline;
        let known = |access: &Access| {
            access.reader.look(|image| image.pipeline(pipeline)?.first_run().cloned())
        };
        let Some(access) = self.looked().await? else { return Ok(None) };
        let (None, Some(decided)) = (known(&access), decided) else { return Ok(known(&access)) };
        let key = EntryKey::FirstRun(Uuid::new_v4());
        let entry = Entry::bytes(pipeline, &key, decided.to_json().into_bytes());
        let offset = access.notes.put(vec![entry]).await?;
        access.reader.reach(offset, self.longest_wait()).await?;
        Ok(known(&access))
    }

    async fn claim(&self, lane: &Lane, start: Position) -> Result<Claim, ConnectorError> {
        Ok(self.claim_lane(lane, start).await?)
    }

    async fn move_lane(
        &self,
        lane: &Lane,
        from: Position,
        to: Position,
    ) -> Result<bool, ConnectorError> {
        Ok(self.request_move(lane, from, to).await?)
    }

    async fn accept_rejects(&self, lane: &Lane, records: u64) -> Result<bool, ConnectorError> {
        Ok(self.request_rejects(lane, records).await?)
    }

    async fn meet(&self) -> Result<(), ConnectorError> {
        if let (Some(source), Some(access)) = (&self.context.source, self.looked().await?) {
            self.compare(&access, source)?;
        }
        Ok(())
    }

    async fn note_halt(&self, claim: &Claim, reason: &str) -> Result<(), ConnectorError> {
        let key = EntryKey::Halt(claim.lane.name().to_owned());
        let pipeline = &*self.context.pipeline;
        let access = self.access().await?;
        let Some(position) = access.view(pipeline, &claim.lane).map(|it| it.entry.position) else {
            return Ok(());
        };
        let reason = stored_text(reason).into_owned();
        let halt = HaltEntry { token: claim.token, position, reason };
        access.notes.put(vec![self.entry(&key, &halt)]).await?;
        Ok(())
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError> {
        let Some(access) = self.looked().await? else { return Ok(Vec::new()) };
        let pipeline = &*self.context.pipeline;
        let states =
            access.reader.look(|image| image.pipeline(pipeline).map(PipelineImage::states));
        Ok(states.unwrap_or_default())
    }

    async fn pipelines(&self) -> Result<Vec<String>, ConnectorError> {
        let Some(access) = self.looked().await? else { return Ok(Vec::new()) };
        let target = self.identity(&SourceId::new("")).target;
        Ok(access.reader.look(|image| image.of_target(&target)))
    }
}

#[async_trait]
impl Archive for KafkaLedger {
    async fn keep(&self, generation: &Generation) -> Result<(), ConnectorError> {
        Ok(self.keep_generation(generation).await?)
    }

    async fn generation(&self, digest: Digest) -> Result<Option<Generation>, ConnectorError> {
        Ok(self.find_generation(digest).await?)
    }

    async fn judge(&self, judgement: &Judgement) -> Result<(), ConnectorError> {
        let Judgement { generation, verdict, reason, time } = judgement;
        let reason = reason.as_deref().map(|reason| stored_text(reason).into_owned());
        let time = Timestamp::try_from(*time).unwrap_or_else(|_| Timestamp::now());
        let key = EntryKey::Verdict(*generation, *verdict);
        let entry = self.entry(&key, &VerdictEntry { reason, time });
        self.access().await?.notes.put(vec![entry]).await?;
        Ok(())
    }

    async fn judgements(&self) -> Result<Vec<Judgement>, ConnectorError> {
        let Some(access) = self.looked().await? else { return Ok(Vec::new()) };
        let pipeline = &*self.context.pipeline;
        let known =
            access.reader.look(|image| image.pipeline(pipeline).map(PipelineImage::judgements));
        Ok(known.unwrap_or_default())
    }

    async fn lineage(&self) -> Result<Vec<LineageRange>, ConnectorError> {
        let Some(access) = self.looked().await? else { return Ok(Vec::new()) };
        let pipeline = &*self.context.pipeline;
        let known =
            access.reader.look(|image| image.pipeline(pipeline).map(PipelineImage::lineage));
        Ok(known.unwrap_or_default())
    }

    async fn journal(&self, lane: &Lane) -> Result<Vec<Bytes>, ConnectorError> {
        let Some(access) = self.looked().await? else { return Ok(Vec::new()) };
        let pipeline = &*self.context.pipeline;
        let entries = access.reader.look(|image| {
            Some(image.pipeline(pipeline)?.lane(lane.name())?.journal().cloned().collect())
        });
        Ok(entries.unwrap_or_default())
    }

    async fn append(
        &self,
        claim: &Claim,
        number: u64,
        entry: Bytes,
    ) -> Result<bool, ConnectorError> {
        Ok(self.append_entry(claim, number, entry).await?)
    }
}

#[async_trait]
impl Letters for KafkaLedger {
    async fn list(
        &self,
        which: &DeadLetterFilter,
    ) -> Result<Vec<StoredDeadLetter>, ConnectorError> {
        Ok(self.book(&which.ids).await?.list(which)?)
    }

    async fn count(&self, which: &DeadLetterFilter) -> Result<u64, ConnectorError> {
        let which = DeadLetterFilter { limit: None, after: None, ..which.clone() };
        Ok(self.book(&which.ids).await?.list(&which)?.len() as u64)
    }

    fn at_a_time(&self) -> Option<u64> {
        None
    }
}

#[async_trait]
impl Members for KafkaLedger {
    fn own_id(&self) -> Uuid {
        self.member
    }

    async fn beat(&self, note: &str) -> Result<(), ConnectorError> {
        let key = EntryKey::Member(self.member);
        let entry = Entry::bytes(&self.context.pipeline, &key, note.as_bytes().to_vec());
        self.access().await?.notes.put(vec![entry]).await?;
        Ok(())
    }

    async fn members(&self) -> Result<Vec<Member>, ConnectorError> {
        let Some(access) = self.looked().await? else { return Ok(Vec::new()) };
        Ok(access.reader.look(|image| image.members(&self.context.pipeline)))
    }

    async fn leave(&self) -> Result<(), ConnectorError> {
        let gone = Entry::gone(&self.context.pipeline, &EntryKey::Member(self.member));
        self.access().await?.notes.put(vec![gone]).await?;
        Ok(())
    }
}
