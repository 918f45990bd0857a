//! A source whose lanes the processes share out among themselves: each beats in the ledger, and reads what
//! falls to it.
//!
//! Only claims protect. Two processes that see different members claim the same lane in turns for a moment,
//! and one of them is fenced.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::{Bounds, Journal, Known, LaneChange, LaneReader, Most, Outset, Receipts, Source};
use crate::ledger::{Claims, Members, Pace, Roster, Shift};
use crate::record::{ConnectorError, Lane, Position, RawBatch, SourceId};

/// The lanes of `source` that are this process's, by the members of the ledger.
#[derive(Debug)]
pub struct SharedSource {
    source: Arc<dyn Source>,
    members: Arc<dyn Members>,
    claims: Arc<dyn Claims>,
    /// Lanes end where there is nothing new to read.
    until_end: bool,
    began: Instant,
    state: Mutex<State>,
    /// Lanes that were read to the end of this run.
    through: Arc<SyncMutex<BTreeSet<Lane>>>,
    /// A lane came to its end for good: others may wait for that.
    has_ended: Notify,
}

#[derive(Debug)]
struct State {
    roster: Roster,
    /// Those that the source has, and after which others each is read.
    known: BTreeMap<Lane, Vec<Lane>>,
    /// Whether the source may say more.
    has_more: bool,
    beat_at: Instant,
    /// What was not told yet.
    changes: VecDeque<LaneChange>,
}

impl SharedSource {
    pub fn new(
        source: Arc<dyn Source>,
        members: Arc<dyn Members>,
        claims: Arc<dyn Claims>,
        pace: Pace,
        until_end: bool,
    ) -> Self {
        let state = Mutex::new(State::new(Roster::new(members.own_id(), pace)));
        let (began, through, has_ended) = (Instant::now(), Arc::default(), Notify::new());
        Self { source, members, claims, until_end, began, state, through, has_ended }
    }

    /// The lanes that may be read now, as the ledger says: all processes have to see the same ones.
    async fn readable(&self, state: &State) -> Result<BTreeSet<Lane>, ConnectorError> {
        let lanes = self.claims.lanes().await?.into_iter();
        let ended = lanes.filter(|state| state.position == Position::End).map(|state| state.lane);
        let ended: BTreeSet<Lane> = ended.collect();
        let known = state.known.iter().filter(|(lane, after)| {
            !ended.contains(*lane) && after.iter().all(|before| ended.contains(before))
        });
        Ok(known.map(|(lane, _)| lane.clone()).collect())
    }

    /// Beats, and looks who else does. May be dropped while it waits: one beat more or less is no matter.
    async fn beat(&self, state: &mut State) -> Result<(), ConnectorError> {
        let is_done = self.until_end && state.roster.ours().is_subset(&lock(&self.through));
        let note = state.roster.note(is_done);
        self.members.beat(&note).await?;
        let seen = self.members.members().await?;
        let lanes = self.readable(state).await?;
        state.beat_at = Instant::now() + state.roster.pace().beat;
        let Shift { gained, lost } = state.roster.look(self.began.elapsed(), &seen, &lanes);
        // First what goes: nobody has more than a process can carry.
        state.changes.extend(lost.into_iter().map(LaneChange::Revoked));
        // Those before them are known to have ended.
        state.changes.extend(gained.into_iter().map(LaneChange::assigned));
        Ok(())
    }
}

impl State {
    fn new(roster: Roster) -> Self {
        Self {
            roster,
            known: BTreeMap::new(),
            has_more: true,
            beat_at: Instant::now(),
            changes: VecDeque::new(),
        }
    }

    /// What is new is shared out with the next beat: a source says all that it has at once.
    fn beat_soon(&mut self) {
        self.beat_at = self.beat_at.min(Instant::now() + SOON);
    }
}

#[async_trait]
impl Source for SharedSource {
    async fn identity(&self) -> Result<SourceId, ConnectorError> {
        self.source.identity().await
    }

    async fn resume(&self, known: &Known) -> Result<Outset, ConnectorError> {
        let mut state = self.state.lock().await;
        let outset = self.source.resume(known).await?;
        *state = State::new(Roster::new(self.members.own_id(), state.roster.pace()));
        lock(&self.through).clear();
        Ok(outset)
    }

    async fn next_change(&self) -> Result<Option<LaneChange>, ConnectorError> {
        let mut state = self.state.lock().await;
        loop {
            if let Some(change) = state.changes.pop_front() {
                return Ok(Some(change));
            }
            let (has_more, beat_at) = (state.has_more, state.beat_at);
            tokio::select! {
                biased;
                change = self.source.next_change(), if has_more => match change? {
                    Some(LaneChange::Assigned { lane, after }) => {
                        state.known.insert(lane, after);
                        state.beat_soon();
                    }
                    Some(LaneChange::Revoked(lane)) => {
                        state.known.remove(&lane);
                        state.beat_soon();
                    }
                    None => state.has_more = false,
                },
                () = self.has_ended.notified() => state.beat_soon(),
                () = tokio::time::sleep_until(beat_at) => self.beat(&mut state).await?,
            }
        }
    }

    async fn start(&self, lane: &Lane) -> Result<Position, ConnectorError> {
        self.source.start(lane).await
    }

    async fn bounds(&self, lane: &Lane) -> Result<Bounds, ConnectorError> {
        self.source.bounds(lane).await
    }

    async fn open(
        &self,
        lane: &Lane,
        from: Position,
        journal: Arc<dyn Journal>,
    ) -> Result<Box<dyn LaneReader>, ConnectorError> {
        let reader = self.source.open(lane, from, journal).await?;
        let (lane, through) = (lane.clone(), Arc::clone(&self.through));
        Ok(Box::new(NotedReader { reader, lane, through }))
    }

    async fn at_time(
        &self,
        lane: &Lane,
        time: Timestamp,
    ) -> Result<Option<Position>, ConnectorError> {
        self.source.at_time(lane, time).await
    }

    fn committed(&self, lane: &Lane, to: Position, receipts: Option<&Receipts>) {
        self.source.committed(lane, to, receipts);
        if to == Position::End {
            self.has_ended.notify_one();
        }
    }

    async fn close(&self) {
        self.source.close().await;
    }
}

/// Notes when there is nothing more to read.
#[derive(Debug)]
struct NotedReader {
    reader: Box<dyn LaneReader>,
    lane: Lane,
    through: Arc<SyncMutex<BTreeSet<Lane>>>,
}

#[async_trait]
impl LaneReader for NotedReader {
    async fn read(&mut self, most: Most) -> Result<Option<RawBatch>, ConnectorError> {
        let read = self.reader.read(most).await;
        if matches!(read, Ok(None)) {
            lock(&self.through).insert(self.lane.clone());
        }
        read
    }
}

/// Nothing that is done under it can panic.
fn lock<T>(mutex: &SyncMutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const SOON: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use uuid::Uuid;

    use super::*;
    use crate::ledger::{Claim, FirstRun, LaneState, Member};
    use crate::record::ErrorClass;

    /// Heartbeats of all processes, by one clock.
    #[derive(Debug, Default)]
    struct Beats(SyncMutex<BTreeMap<Uuid, (Instant, String)>>);

    #[derive(Debug)]
    struct OneOf {
        id: Uuid,
        all: Arc<Beats>,
    }

    #[async_trait]
    impl Members for OneOf {
        fn own_id(&self) -> Uuid {
            self.id
        }

        async fn beat(&self, note: &str) -> Result<(), ConnectorError> {
            self.all.0.lock().unwrap().insert(self.id, (Instant::now(), note.to_owned()));
            Ok(())
        }

        async fn members(&self) -> Result<Vec<Member>, ConnectorError> {
            let all = self.all.0.lock().unwrap();
            let member = |(id, (at, note)): (&Uuid, &(Instant, String))| Member {
                id: *id,
                age: at.elapsed(),
                note: note.clone(),
            };
            Ok(all.iter().map(member).collect())
        }

        async fn leave(&self) -> Result<(), ConnectorError> {
            self.all.0.lock().unwrap().remove(&self.id);
            Ok(())
        }
    }

    /// Where lanes stand, for those who only look.
    #[derive(Debug, Default)]
    struct Positions(SyncMutex<BTreeMap<Lane, Position>>);

    #[async_trait]
    impl Claims for Positions {
        async fn first_run(&self, _: Option<FirstRun>) -> Result<Option<FirstRun>, ConnectorError> {
            unreachable!("nobody asks")
        }

        async fn claim(&self, _: &Lane, _: Position) -> Result<Claim, ConnectorError> {
            unreachable!("nobody claims")
        }

        async fn move_lane(
            &self,
            _: &Lane,
            _: Position,
            _: Position,
        ) -> Result<bool, ConnectorError> {
            unreachable!("nobody moves")
        }

        async fn accept_rejects(&self, _: &Lane, _: u64) -> Result<bool, ConnectorError> {
            unreachable!("nobody accepts")
        }

        async fn lanes(&self) -> Result<Vec<LaneState>, ConnectorError> {
            let state = |(lane, position): (&Lane, &Position)| LaneState {
                lane: lane.clone(),
                source: SourceId::new("folders"),
                position: *position,
                owner: Uuid::nil(),
                member: None,
                claimed: SystemTime::UNIX_EPOCH,
                moved: SystemTime::UNIX_EPOCH,
                accepted_rejects: 0,
                halted: None,
            };
            Ok(self.0.lock().unwrap().iter().map(state).collect())
        }

        async fn pipelines(&self) -> Result<Vec<String>, ConnectorError> {
            unreachable!("nobody asks")
        }
    }

    /// Folders of objects, each a lane.
    #[derive(Debug)]
    struct Folders(SyncMutex<VecDeque<LaneChange>>);

    #[async_trait]
    impl Source for Folders {
        async fn identity(&self) -> Result<SourceId, ConnectorError> {
            Ok(SourceId::new("folders"))
        }

        async fn resume(&self, _known: &Known) -> Result<Outset, ConnectorError> {
            Ok(Outset::default())
        }

        async fn next_change(&self) -> Result<Option<LaneChange>, ConnectorError> {
            let next = self.0.lock().unwrap().pop_front();
            match next {
                Some(change) => Ok(Some(change)),
                None => std::future::pending().await,
            }
        }

        async fn start(&self, _lane: &Lane) -> Result<Position, ConnectorError> {
            Ok(Position::number(0))
        }

        async fn open(
            &self,
            _lane: &Lane,
            _from: Position,
            _journal: Arc<dyn Journal>,
        ) -> Result<Box<dyn LaneReader>, ConnectorError> {
            Err(ConnectorError::new(ErrorClass::Fatal, "nobody reads"))
        }
    }

    const PACE: Pace = Pace {
        beat: Duration::from_millis(20),
        dead: Duration::from_millis(500),
        rest: Duration::from_millis(100),
    };

    fn lane(number: usize) -> Lane {
        Lane::new(format!("folder-{number}"))
    }

    fn process(id: u128, all: &Arc<Beats>, folders: usize) -> SharedSource {
        let member = OneOf { id: Uuid::from_u128(id), all: Arc::clone(all) };
        let assigned = (0..folders).map(|number| LaneChange::assigned(lane(number)));
        let source = Folders(SyncMutex::new(assigned.collect()));
        let claims = Arc::<Positions>::default();
        SharedSource::new(Arc::new(source), Arc::new(member), claims, PACE, false)
    }

    /// Goes on until the processes have the folders among them: each is somebody's, nobody has more than its
    /// share.
    async fn share(processes: &[&SharedSource], ours: &mut [BTreeSet<Lane>], folders: usize) {
        const TIME: Duration = Duration::from_secs(60);
        let until = Instant::now() + TIME;
        while !is_shared(ours, folders) {
            let changes = processes.iter().map(|process| Box::pin(process.next_change()));
            let next = futures_util::future::select_all(changes);
            let next = tokio::time::timeout_at(until, next).await;
            let (change, at, _) = next.unwrap_or_else(|_| panic!("not shared: {ours:?}"));
            match change.unwrap().unwrap() {
                LaneChange::Assigned { lane, .. } => assert!(ours[at].insert(lane)),
                LaneChange::Revoked(lane) => assert!(ours[at].remove(&lane)),
            }
        }
    }

    fn is_shared(ours: &[BTreeSet<Lane>], folders: usize) -> bool {
        let all: BTreeSet<_> = ours.iter().flatten().cloned().collect();
        let most = folders.div_ceil(ours.len());
        all.len() == folders
            && ours.iter().map(BTreeSet::len).sum::<usize>() == folders
            && ours.iter().all(|ours| ours.len() <= most)
    }

    #[tokio::test]
    async fn processes_share_the_folders_and_take_over_from_the_dead() {
        let all = Arc::default();
        let [one, two, three] = [1, 2, 3].map(|id| process(id, &all, 12));
        let mut ours = vec![BTreeSet::new(); 3];
        share(&[&one], &mut ours[..1], 12).await;
        share(&[&one, &two], &mut ours[..2], 12).await;
        share(&[&one, &two, &three], &mut ours, 12).await;

        // The third one dies without a word, as if by kill -9.
        ours[2].clear();
        share(&[&one, &two], &mut ours[..2], 12).await;
        // The second one leaves: nobody waits for it.
        two.members.leave().await.unwrap();
        share(&[&one], &mut ours[..1], 12).await;
    }

    #[tokio::test]
    async fn one_that_was_stopped_gives_its_lanes_back() {
        let all = Arc::default();
        let [one, two] = [1, 2].map(|id| process(id, &all, 6));
        let mut ours = vec![BTreeSet::new(); 2];
        share(&[&one, &two], &mut ours, 6).await;
        // As if by SIGSTOP: the other takes all.
        share(&[&one], &mut ours[..1], 6).await;
        share(&[&one, &two], &mut ours, 6).await;
    }

    /// Only what may be read is shared out, and all processes ask the ledger what that is.
    #[tokio::test]
    async fn a_lane_is_ours_once_those_before_it_have_ended() {
        let (all, parent, child) = (Arc::default(), lane(0), lane(1));
        let (mut only, positions) = (process(1, &all, 0), Arc::<Positions>::default());
        only.source = Arc::new(Folders(SyncMutex::new(
            [
                LaneChange::assigned(parent.clone()),
                LaneChange::Assigned { lane: child.clone(), after: vec![parent.clone()] },
            ]
            .into(),
        )));
        only.claims = Arc::clone(&positions) as _;
        assert_eq!(only.next_change().await.unwrap(), Some(LaneChange::assigned(parent.clone())));
        let no_other = tokio::time::timeout(PACE.beat * 5, only.next_change()).await;
        assert!(no_other.is_err(), "{no_other:?}");
        positions.0.lock().unwrap().insert(parent.clone(), Position::End);
        only.committed(&parent, Position::End, None);
        assert_eq!(only.next_change().await.unwrap(), Some(LaneChange::Revoked(parent)));
        assert_eq!(only.next_change().await.unwrap(), Some(LaneChange::assigned(child)));
    }
}
