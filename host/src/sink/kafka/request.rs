//! What people ask of a lane that somebody else runs: the owner does it, in a transaction of its own. If nobody
//! answers, whoever asks takes the lane and does it.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::KafkaSinkError;
use super::entry::{AnswerEntry, Entry, EntryKey, LaneEntry, RangeEntry, RequestEntry, Wanted};
use super::image::PipelineImage;
use super::lane::{Held, LaneView};
use super::ledger::{Access, KafkaLedger};
use crate::ledger::model;
use crate::record::{Lane, Position};

/// How long an owner has to answer.
const ANSWER: Duration = Duration::from_secs(5);
const TURN: Duration = Duration::from_millis(20);

impl KafkaLedger {
    pub(super) async fn request_move(
        &self,
        lane: &Lane,
        from: Position,
        to: Position,
    ) -> Result<bool, KafkaSinkError> {
        self.request(lane, Wanted::Move { from, to }).await
    }

    pub(super) async fn request_rejects(
        &self,
        lane: &Lane,
        records: u64,
    ) -> Result<bool, KafkaSinkError> {
        self.request(lane, Wanted::AcceptRejects { records }).await
    }

    /// False if there is no such lane, or it stands elsewhere.
    async fn request(&self, lane: &Lane, wants: Wanted) -> Result<bool, KafkaSinkError> {
        let Some(access) = self.looked().await? else { return Ok(false) };
        let pipeline = &*self.context.pipeline;
        let Some(view) = access.view(pipeline, lane) else { return Ok(false) };
        if let Wanted::Move { from, .. } = &wants
            && *from != view.entry.position
        {
            return Ok(false);
        }
        let id = Uuid::new_v4();
        let request = RequestEntry { lane: lane.name().to_owned(), wants };
        access.notes.put(vec![self.entry(&EntryKey::Request(id), &request)]).await?;
        let asked = Instant::now();
        let answer = loop {
            let answer = access.reader.look(|image| image.pipeline(pipeline)?.answer(id));
            match answer {
                Some(answer) => break answer,
                None if asked.elapsed() >= ANSWER => {
                    break self.do_alone(&access, lane, (id, &request)).await?;
                }
                None => tokio::time::sleep(TURN).await,
            }
        };
        let gone = [EntryKey::Request(id), EntryKey::Answer(id)];
        let gone = gone.map(|key| Entry::gone(pipeline, &key));
        access.notes.put(gone.into()).await?;
        Ok(answer.done)
    }

    /// Takes the lane from whoever has it and does not answer.
    async fn do_alone(
        &self,
        access: &Access,
        lane: &Lane,
        (id, request): (Uuid, &RequestEntry),
    ) -> Result<AnswerEntry, KafkaSinkError> {
        const TRIES: u32 = 5;
        let pipeline = &*self.context.pipeline;
        let mut tried = 0;
        loop {
            let done = async {
                let producer = self.open_producer(access, lane, Uuid::new_v4()).await?;
                // It was done in the last moment.
                if let Some(answer) =
                    access.reader.look(|image| image.pipeline(pipeline)?.answer(id))
                {
                    self.let_producer_go(producer);
                    return Ok(answer);
                }
                let missing = || KafkaSinkError::Contended { lane: lane.to_string() };
                let view = access.view(pipeline, lane).ok_or_else(missing)?;
                let (entries, _, answer) = self.effects(lane, &view, id, &request.wants);
                let offset = self.transact(&producer, entries, lane).await?;
                self.let_producer_go(producer);
                access.reader.reach(offset, self.longest_wait()).await?;
                Ok::<_, KafkaSinkError>(answer)
            };
            match done.await {
                Err(KafkaSinkError::Contended { .. }) if tried < TRIES => tried += 1,
                done => return done,
            }
        }
    }

    /// What a request writes, where the lane stands then, and what is answered.
    fn effects(
        &self,
        lane: &Lane,
        view: &LaneView,
        id: Uuid,
        wants: &Wanted,
    ) -> (Vec<Entry>, Option<LaneEntry>, AnswerEntry) {
        let name = || lane.name().to_owned();
        let mut entries = Vec::new();
        let mut entry = view.entry.clone();
        let mut model = model::LaneModel {
            accepted_rejects: entry.accepted_rejects,
            ..model::LaneModel::opened(entry.position, entry.token, None)
        };
        let mut is_moved = false;
        let done = match wants {
            Wanted::AcceptRejects { records } => {
                model.accept_rejects(*records);
                true
            }
            Wanted::Move { from, to } => {
                let nobody = Uuid::new_v4();
                let done = model.move_to((*from, *to), nobody);
                if let Some(gap) = model::gap(lane, *from, *to).filter(|_| done) {
                    let range =
                        RangeEntry { from: gap.from, to: gap.to, generation: None, sums: gap.sums };
                    entries.push(self.entry(&EntryKey::Lineage(name(), entry.ranges), &range));
                    entry.ranges += 1;
                }
                is_moved = done;
                done
            }
        };
        let answer = AnswerEntry { done };
        entries.push(self.entry(&EntryKey::Answer(id), &answer));
        if !done {
            return (entries, None, answer);
        }
        if is_moved {
            // Whoever had the lane has to look where it stands now.
            entries.push(self.claim_entry(lane, model.owner, None));
            // Whatever the topics hold is given up with it.
            (entry.topics, entry.last) = Default::default();
        }
        (entry.position, entry.token) = (model.position, model.owner);
        entry.accepted_rejects = model.accepted_rejects;
        entries.push(self.entry(&EntryKey::Lane(name()), &entry));
        (entries, Some(entry), answer)
    }

    /// Does what is asked of lanes that are ours.
    pub(super) async fn serve(&self) {
        let Ok(access) = self.access().await else { return };
        let pipeline = &*self.context.pipeline;
        let asked =
            access.reader.look(|image| image.pipeline(pipeline).map(PipelineImage::requests));
        for (id, request) in asked.unwrap_or_default() {
            if let Err(error) = self.serve_one(&access, id, &request).await {
                tracing::debug!("what was asked of lane {} is not done yet: {error}", request.lane);
            }
        }
    }

    async fn serve_one(
        &self,
        access: &Access,
        id: Uuid,
        request: &RequestEntry,
    ) -> Result<(), KafkaSinkError> {
        let lane = Lane::new(request.lane.as_str());
        let pipeline = &*self.context.pipeline;
        let slots = self.slots();
        let Some((_, slot)) = slots.iter().find(|(held, _)| *held == lane) else { return Ok(()) };
        let mut slot = slot.lock().await;
        let is_answered =
            access.reader.look(|image| image.pipeline(pipeline)?.answer(id)).is_some();
        let is_ours = |held: &Held| access.owner(pipeline, &lane) == Some(held.token);
        let Some(held) = slot.as_mut().filter(|held| is_ours(held) && !is_answered) else {
            return Ok(());
        };
        if held.producer.is_none() {
            self.reopen(access, &lane, held).await?;
        }
        let Some(producer) = held.producer.take() else { return Ok(()) };
        let (entries, entry, _) = self.effects(&lane, &held.lane, id, &request.wants);
        let offset = self.transact(&producer, entries, &lane).await?;
        held.producer = Some(producer);
        if let Some(entry) = entry {
            held.lane.entry = entry;
        }
        access.reader.reach(offset, self.longest_wait()).await?;
        if let Some(known) = access.view(pipeline, &lane) {
            held.lane = known;
        }
        if access.owner(pipeline, &lane) != Some(held.token) {
            let held = slot.take();
            self.let_go(held);
        }
        Ok(())
    }
}
