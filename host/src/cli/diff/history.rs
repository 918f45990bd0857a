//! History is read once and cleaned twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::ready;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::report::{Read, Sampled};
use super::sample::Sample;
use crate::cli::looked::Forgetful;
use crate::cli::{CliError, sinks};
use crate::connect::Stored;
use crate::diff::Diff;
use crate::observe::{Progress, Stats};
use crate::pipeline::Pipeline;
use crate::record::{Lane, Past, Position, RawBatch};
use crate::run::{BATCH, Beside, BesideError, Compared, Listener as _, News, UnitFigures, Which};
use crate::source::objects::{
    Meant, ObjectPosition, ObjectsSource, ObjectsSourceConfig, ObjectsSourceError, ReplayPlan,
};
use crate::source::{LaneChange, Source as _};

/// What records of the past there are, and which of them are looked at.
pub(super) struct History {
    source: ObjectsSource,
    plan: Arc<ReplayPlan>,
    url: Arc<str>,
    sample: Sampling,
    bytes_max: u64,
}

#[derive(Debug, Clone, Copy)]
enum Sampling {
    All,
    /// Those that are planned, of so many.
    Objects {
        of: u64,
    },
    Records(u32),
}

/// History, seen by two rules.
pub(super) struct ComparedHistory {
    pub diff: Diff,
    pub old_took: Duration,
    pub new_took: Duration,
    pub read: Read,
}

/// One batch of it.
struct ComparedBatch {
    compared: Compared,
    /// The first record's time and the last one's.
    times: Option<(i64, i64)>,
    to: Position,
}

type Batches = BoxStream<'static, Result<RawBatch, CliError>>;

impl History {
    pub async fn open(
        pipeline: &Pipeline,
        config: &ObjectsSourceConfig,
        meant: Meant,
        sample: Option<u32>,
    ) -> Result<Self, ObjectsSourceError> {
        let options = pipeline.source_options(true);
        let (mut source, mut plan) = ObjectsSource::replay(config, &options, meant, false).await?;
        let sample = match sample {
            None => Sampling::All,
            Some(most) if plan.objects() > u64::from(most) => {
                let of = plan.objects();
                (source, plan) = source.sampled(&plan, most as usize);
                Sampling::Objects { of }
            }
            Some(most) => Sampling::Records(most),
        };
        let url = config.url.as_str().into();
        Ok(Self { source, plan, url, sample, bytes_max: pipeline.limits.memory.0 / 2 })
    }

    /// Has all of it cleaned twice, on so many threads.
    pub async fn compare(
        self,
        beside: Arc<Beside>,
        threads: usize,
        examples_max: usize,
    ) -> Result<ComparedHistory, CliError> {
        let (stats, lane) = (Arc::new(Stats::default()), Lane::new("history"));
        let progress = Progress::of_objects(self.plan.objects());
        let followed = [Arc::clone(&stats)];
        let comparing = async {
            let (batches, sampled) = self.batches().await?;
            let mut sum = ComparedHistory {
                diff: beside.nothing(),
                old_took: Duration::ZERO,
                new_took: Duration::ZERO,
                read: self.read(sampled),
            };
            let mut times: Option<(i64, i64)> = None;
            let permits = Arc::new(Semaphore::new(threads));
            // One more than there are threads: it is read while they clean.
            let compared = batches.map_ok(|raw| self.compare_batch(raw, &beside, &permits));
            let mut compared = compared.try_buffered(threads + 1).boxed();
            while let Some(batch) = compared.try_next().await? {
                let ComparedBatch { compared, times: of_batch, to } = batch;
                let Compared { diff, old_took, new_took } = compared;
                let mut figures = UnitFigures { records: diff.records, ..UnitFigures::default() };
                figures.dead_letters.insert("rejected".to_owned(), diff.new.rejected);
                let (lane, stored) = (lane.clone(), Stored::default());
                let took = Duration::ZERO;
                let figures = Box::new(figures);
                stats.hear(News::Committed { lane, to, figures, stored, took });
                sum.diff.add(diff, examples_max);
                sum.old_took += old_took;
                sum.new_took += new_took;
                times = span(times.into_iter().chain(of_batch));
            }
            if let Some(times) = times {
                sum.read.set_times(times);
            }
            Ok(sum)
        };
        tokio::select! {
            compared = comparing => compared,
            () = progress.follow(&followed) => unreachable!("it follows until it is dropped"),
        }
    }

    /// The records that are looked at, and which they are.
    async fn batches(&self) -> Result<(Batches, Option<Sampled>), CliError> {
        let batches = self.read_all().await?;
        match self.sample {
            Sampling::All => Ok((batches, None)),
            Sampling::Objects { of } => {
                let sampled = Sampled::Objects { taken: self.plan.objects(), of };
                Ok((batches, Some(sampled)))
            }
            Sampling::Records(most) => {
                let mut sample = Sample::new(u64::from(most), self.bytes_max);
                let picked = batches.try_for_each(|raw| {
                    sample.push(&raw);
                    ready(Ok(()))
                });
                picked.await?;
                let (every, of) = (sample.every(), sample.seen());
                let taken = sample.records();
                let sampled = Sampled::Records { taken, of, every };
                let batches = stream::iter(sample.into_batches().map(Ok)).boxed();
                Ok((batches, Some(sampled)))
            }
        }
    }

    async fn read_all(&self) -> Result<Batches, CliError> {
        let told = sinks::told;
        let Some(LaneChange::Assigned { lane, .. }) =
            self.source.next_change().await.map_err(told)?
        else {
            unreachable!("objects are one lane");
        };
        let start = self.source.start(&lane).await.map_err(told)?;
        let reader = self.source.open(&lane, start, Arc::new(Forgetful)).await.map_err(told)?;
        let batches = stream::try_unfold(reader, move |mut reader| async move {
            let read = reader.read(BATCH).await.map_err(told)?;
            Ok(read.map(|raw| (raw, reader)))
        });
        Ok(batches.boxed())
    }

    /// Cleans and compares one batch, on a thread of its own.
    fn compare_batch(
        &self,
        raw: RawBatch,
        beside: &Arc<Beside>,
        permits: &Arc<Semaphore>,
    ) -> impl Future<Output = Result<ComparedBatch, CliError>> + use<> {
        let (beside, permits) = (Arc::clone(beside), Arc::clone(permits));
        let (plan, url) = (Arc::clone(&self.plan), Arc::clone(&self.url));
        async move {
            let permit = permits.acquire_owned().await.expect("nobody closes it");
            let compare = move || {
                let _permit = permit;
                let place = |record: u32| place(&raw, record as usize, &plan, &url);
                let compared = beside.compare(&raw, &place).map_err(|error| told(&error))?;
                let times = raw.records.iter().filter_map(|record| record.timestamp_micros);
                Ok(ComparedBatch { compared, times: span(times.map(|at| (at, at))), to: raw.to })
            };
            let done = spawn_blocking(compare).await;
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
        }
    }

    fn read(&self, sample: Option<Sampled>) -> Read {
        let mut read = Read {
            objects: self.plan.objects(),
            bytes: self.plan.bytes(),
            first: None,
            last: None,
            sample,
        };
        if let Some(written) = self.plan.written_micros() {
            read.set_times(written);
        }
        read
    }
}

fn span(spans: impl Iterator<Item = (i64, i64)>) -> Option<(i64, i64)> {
    spans.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)))
}

/// Where a record stands: in the lane that it was archived from, or in its object.
fn place(raw: &RawBatch, record: usize, plan: &ReplayPlan, url: &str) -> String {
    if let Some(Past::Archived { lane: Some(lane), places }) = &raw.past {
        return format!("{lane}:{}", places[record].at.place());
    }
    let position = raw.records[record].position;
    let Ok(at) = ObjectPosition::try_from(position) else { return position.place().to_string() };
    let key = plan.key(position).filter(|key| !key.is_empty()).unwrap_or(url);
    format!("{key}:{}", at.row)
}

fn told(error: &BesideError) -> CliError {
    let told = CliError::failed("").because(error);
    match error.which {
        Which::New => {
            told.help("a lane that reads them would halt: mend the plugin or its configuration")
        }
        Which::Old => told.help(
            "leave these records out: `--match`, `--since` and `--until` say which are meant",
        ),
    }
}
