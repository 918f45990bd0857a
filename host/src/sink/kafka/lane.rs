//! Claims and commits: who owns a lane, and what its producer writes.
//!
//! A claim opens the lane's transactional producer, which fences whoever had it and takes back what that one had
//! begun, and writes an entry. Where the lane stands is what the ledger says once that entry is seen. A producer
//! that is idle is closed; the next unit opens it again, which is a claim once more, under the same token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::KafkaSinkError;
use super::commit::{Committed, UnitEnd, UnitWork};
use super::entry::{ClaimEntry, Entry, EntryKey, LaneEntry};
use super::ledger::{Access, KafkaLedger};
use super::producer::{TransactionFault, TransactionalProducer};
use crate::connect::{CommitOutcome, Stored};
use crate::kafka::ClusterError;
use crate::ledger::model::{self, LaneModel};
use crate::ledger::{Claim, LedgerFault, LineageRange};
use crate::record::provenance::LaneSources;
use crate::record::{Lane, Position, Unit};

/// How often somebody may open a producer of the lane at the same time.
const TRIES: u32 = 20;

/// How old may be what is known of the topics that a unit is written to.
const TARGETS_AGE: Duration = Duration::from_millis(500);

/// A lane that this process has claimed.
#[derive(Debug)]
pub(super) struct Held {
    pub token: Uuid,
    /// None after it was idle, and while it is not known what became of a transaction.
    pub producer: Option<Arc<TransactionalProducer>>,
    pub lane: LaneView,
    pub used: Instant,
}

/// Where a lane stands, as the ledger has it.
#[derive(Debug, Clone)]
pub(super) struct LaneView {
    pub entry: LaneEntry,
    pub last_range: Option<LineageRange>,
    /// A position of each source that it was read from, one after the other.
    pub known: Vec<Position>,
}

impl Held {
    pub fn model(&self) -> LaneModel {
        LaneModel {
            accepted_rejects: self.lane.entry.accepted_rejects,
            ..LaneModel::opened(self.lane.entry.position, self.token, None)
        }
    }

    /// How a unit ended that cannot be the next one.
    fn ended(&self, unit: &Unit) -> Option<CommitOutcome> {
        let LaneEntry { position, token, last, .. } = &self.lane.entry;
        let is_last = *position == unit.to && *token == self.token;
        let last = last
            .as_ref()
            .filter(|last| is_last && (last.from, last.generation) == (unit.from, unit.generation));
        match last {
            Some(last) => Some(CommitOutcome::Done(last.stored())),
            None => (*position != unit.from).then_some(CommitOutcome::Fenced),
        }
    }
}

impl Access {
    /// Who may move the lane, as far as it is read.
    pub fn owner(&self, pipeline: &str, lane: &Lane) -> Option<Uuid> {
        self.reader.look(|image| image.pipeline(pipeline)?.lane(lane.name())?.owner())
    }

    pub fn view(&self, pipeline: &str, lane: &Lane) -> Option<LaneView> {
        self.reader.look(|image| {
            let known = image.pipeline(pipeline)?.lane(lane.name())?;
            Some(LaneView {
                entry: known.lane.as_ref()?.value.clone(),
                last_range: known.last_range(lane),
                known: known.known(),
            })
        })
    }
}

impl KafkaLedger {
    pub(super) async fn claim_lane(
        &self,
        lane: &Lane,
        start: Position,
    ) -> Result<Claim, KafkaSinkError> {
        let Some(source) = &self.context.source else { return Err(LedgerFault::NoSource.into()) };
        let slot = self.slot(lane);
        let mut held = slot.lock().await;
        self.let_go(held.take());
        self.refuse_circle(source, lane).await?;
        // Compared before anything is initialised: a copied file must not fence whoever runs the original.
        let missing = || ClusterError::NoTopic { topic: self.topic.clone() };
        let access = self.looked().await?.ok_or_else(missing)?;
        let mut is_first = self.compare(&access, source)?;
        if is_first && let Some(lost) = self.orphans().await? {
            // They may be those of another first claimer, who has written before them what it reads and writes.
            let access = self.refreshed().await?;
            is_first = self.compare(&access, source)?;
            if is_first {
                return Err(lost);
            }
        }
        self.serve_requests();
        self.warn_of_many();
        for tried in 0.. {
            match self.try_claim(&access, lane, start, is_first).await {
                Err(KafkaSinkError::Contended { .. }) if tried < TRIES => {
                    let wait = fastrand::u64(10..100 << tried.min(3));
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                claimed => {
                    let claimed = held.insert(claimed?);
                    return Ok(claimed.model().claimed(lane));
                }
            }
        }
        unreachable!("it ends with the last try")
    }

    async fn try_claim(
        &self,
        access: &Access,
        lane: &Lane,
        start: Position,
        is_first: bool,
    ) -> Result<Held, KafkaSinkError> {
        let Some(source) = &self.context.source else { return Err(LedgerFault::NoSource.into()) };
        let token = Uuid::new_v4();
        if is_first {
            access.notes.put(vec![self.identity_entry(source)]).await?;
        }
        let producer = self.open_producer(access, lane, token).await?;
        // Of two first claimers, the first one counts.
        self.compare(access, source)?;
        let pipeline = &*self.context.pipeline;
        let mut known = access.view(pipeline, lane);
        if known.is_none() {
            self.store_start(access, &producer, lane, (token, start)).await?;
            known = access.view(pipeline, lane);
        }
        let place = || EntryKey::Lane(lane.name().to_owned());
        let known = known.ok_or_else(|| LedgerFault::state(place(), "position", ""))?;
        self.refuse_made_anew(lane, &known.entry, Duration::from_secs(5)).await?;
        Ok(Held { token, producer: Some(producer), lane: known, used: Instant::now() })
    }

    /// Stores where the lane starts, durably, before a record of it is read.
    async fn store_start(
        &self,
        access: &Access,
        producer: &Arc<TransactionalProducer>,
        lane: &Lane,
        (token, position): (Uuid, Position),
    ) -> Result<(), KafkaSinkError> {
        let topics = self.topics.targets(TARGETS_AGE).await?.ids();
        let entry =
            LaneEntry { position, token, accepted_rejects: 0, topics, ranges: 0, last: None };
        let entry = self.entry(&EntryKey::Lane(lane.name().to_owned()), &entry);
        let offset = self.transact(producer, vec![entry], lane).await?;
        access.reader.reach(offset, self.longest_wait()).await
    }

    /// Opens the lane's producer, which takes back what another had begun, and reads the ledger up to there.
    pub(super) async fn open_producer(
        &self,
        access: &Access,
        lane: &Lane,
        token: Uuid,
    ) -> Result<Arc<TransactionalProducer>, KafkaSinkError> {
        let producer = self.producer(&format!("lane/{lane}")).await?;
        let entry = self.claim_entry(lane, token, Some(self.member));
        let offset = self.transact(&producer, vec![entry], lane).await?;
        access.reader.reach(offset, self.longest_wait()).await?;
        // Whoever has claimed it since fences this one.
        Ok(producer)
    }

    pub(super) fn claim_entry(&self, lane: &Lane, token: Uuid, member: Option<Uuid>) -> Entry {
        let claim = ClaimEntry { token, member };
        self.entry(&EntryKey::Claim(lane.name().to_owned()), &claim)
    }

    /// Writes entries in a transaction of their own, and says where the last one stands.
    pub(super) async fn transact(
        &self,
        producer: &Arc<TransactionalProducer>,
        entries: Vec<Entry>,
        lane: &Lane,
    ) -> Result<i64, KafkaSinkError> {
        let producer = Arc::clone(producer);
        let ended =
            tokio::task::spawn_blocking(move || producer.commit(None.into_iter(), &entries));
        let lane = lane.to_string();
        match ended.await.map_err(|_| KafkaSinkError::Ended)? {
            Ok(delivered) => Ok(delivered.last().map_or(-1, |at| at.offset)),
            // Whoever else opened one goes first.
            Err(TransactionFault::Lost(_)) => Err(KafkaSinkError::Contended { lane }),
            Err(TransactionFault::TakenBack(error)) => Err(self.taken_back(lane, &error)),
            Err(TransactionFault::Refused(refused)) => {
                let reason = refused.first().map_or_else(String::new, |(_, code)| code.to_string());
                Err(KafkaSinkError::TakenBack { lane, reason })
            }
        }
    }

    /// A unit whose producer was lost, and which is not committed, is tried again while the claim holds.
    pub(super) async fn commit_unit(
        &self,
        claim: &Claim,
        unit: &Unit,
    ) -> Result<CommitOutcome, KafkaSinkError> {
        model::check_unit(claim, unit)?;
        let mut tried = 0;
        loop {
            let ended = self.try_commit(claim, unit).await;
            let is_lost = matches!(
                ended,
                Err(KafkaSinkError::Lost { .. } | KafkaSinkError::Contended { .. })
            );
            tried += 1;
            if !is_lost || tried >= TRIES {
                return ended;
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(10..100))).await;
        }
    }

    async fn try_commit(
        &self,
        claim: &Claim,
        unit: &Unit,
    ) -> Result<CommitOutcome, KafkaSinkError> {
        let slot = self.slot(&claim.lane);
        let mut slot = slot.lock().await;
        let access = self.access().await?;
        if !self.holds(&access, slot.as_ref(), claim) {
            self.let_go(slot.take());
            return Ok(CommitOutcome::Fenced);
        }
        let held = slot.as_mut().expect("it is held");
        if let Some(ended) = held.ended(unit) {
            return Ok(ended);
        }
        if unit.records() == 0 && unit.from == unit.to {
            return Ok(CommitOutcome::Done(Stored::default()));
        }
        if held.producer.is_none() {
            self.reopen(&access, &claim.lane, held).await?;
            if let Some(ended) = held.ended(unit) {
                return Ok(ended);
            }
        }
        self.refuse_made_anew(&claim.lane, &held.lane.entry, TARGETS_AGE).await?;
        let work = self.unit_work(held, unit).await?;
        // Whoever gives up here does not know how it ends.
        let producer = held.producer.take().expect("it was opened");
        let working = Arc::clone(&producer);
        let ended = tokio::task::spawn_blocking(move || work.run(&working)).await;
        match ended.map_err(|_| KafkaSinkError::Ended)? {
            UnitEnd::Committed(committed) => {
                let Committed { entry, range, stored } = *committed;
                if !LaneSources::new(held.lane.known.iter().copied()).hold(&[unit.to]) {
                    held.lane.known.push(unit.to);
                }
                (held.lane.entry, held.lane.last_range) = (entry, Some(range));
                (held.producer, held.used) = (Some(producer), Instant::now());
                Ok(CommitOutcome::Done(stored))
            }
            UnitEnd::Refused(reasons) => {
                held.producer = Some(producer);
                Ok(CommitOutcome::Refused(reasons))
            }
            UnitEnd::Failed(error) => {
                held.producer = Some(producer);
                Err(error)
            }
            UnitEnd::TakenBack(error) => {
                held.producer = Some(producer);
                Err(self.taken_back(claim.lane.to_string(), &error))
            }
            UnitEnd::Lost(error) => {
                self.let_producer_go(producer);
                tracing::debug!("a transaction of lane {} is settled: {error}", claim.lane);
                let access = self.refreshed().await?;
                if !self.holds(&access, slot.as_ref(), claim) {
                    self.let_go(slot.take());
                    return Ok(CommitOutcome::Fenced);
                }
                let held = slot.as_mut().expect("it is held");
                self.reopen(&access, &claim.lane, held).await?;
                let reason = error.to_string();
                let lane = claim.lane.to_string();
                held.ended(unit).ok_or(KafkaSinkError::Lost { lane, reason })
            }
        }
    }

    /// Whether a claim is still that of the lane, as far as the ledger is read.
    pub(super) fn holds(&self, access: &Access, held: Option<&Held>, claim: &Claim) -> bool {
        held.is_some_and(|held| held.token == claim.token)
            && access.owner(&self.context.pipeline, &claim.lane) == Some(claim.token)
    }

    /// Opens the producer of a lane that is ours, and looks where the lane stands now.
    pub(super) async fn reopen(
        &self,
        access: &Access,
        lane: &Lane,
        held: &mut Held,
    ) -> Result<(), KafkaSinkError> {
        let producer = self.open_producer(access, lane, held.token).await?;
        if let Some(known) = access.view(&self.context.pipeline, lane) {
            held.lane = known;
        }
        (held.producer, held.used) = (Some(producer), Instant::now());
        Ok(())
    }

    /// What a unit of this lane is written with.
    async fn unit_work(&self, held: &Held, unit: &Unit) -> Result<UnitWork, KafkaSinkError> {
        let targets = self.topics.targets(TARGETS_AGE).await?;
        let sizes = self.topics.sizes().await?;
        Ok(UnitWork {
            config: Arc::clone(&self.config),
            pipeline: Arc::clone(&self.context.pipeline),
            replay_into: self.context.replay_into.clone(),
            letters: self.letters.clone(),
            letter_bytes: sizes.letter,
            targets,
            unit: unit.clone(),
            model: held.model(),
            entry: held.lane.entry.clone(),
            last_range: held.lane.last_range.clone(),
            sources: LaneSources::new(held.lane.known.iter().copied().chain([unit.from, unit.to])),
        })
    }

    /// What was committed is gone with the topic.
    async fn refuse_made_anew(
        &self,
        lane: &Lane,
        entry: &LaneEntry,
        age: Duration,
    ) -> Result<(), KafkaSinkError> {
        let targets = self.topics.targets(age).await?;
        match targets.made_anew(&entry.topics) {
            Some((topic, was, is)) => {
                Err(KafkaSinkError::Recreated { lane: lane.clone(), topic, was, is })
            }
            None => Ok(()),
        }
    }
}
