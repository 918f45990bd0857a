//! Dead letters, and those that were tried again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::LogError;
use super::keys::LogKeys;
use super::letters::{LetterBook, RetriedRecord, RetryEvent, RetryRecord};
use super::records::{Appended, Log, Record};
use super::store::{Attempt, LogStore, Publisher, Stager};
use crate::ledger::DeadLetterState;
use crate::ledger::{Retry, Stored};
use crate::record::DeadLetter;

/// Objects that are read at a time.
const IN_FLIGHT: usize = 16;

#[derive(Debug)]
pub(crate) struct Retries {
    store: Arc<dyn LogStore>,
    publisher: Arc<dyn Publisher>,
    keys: LogKeys,
    log: Log<RetryEvent>,
}

/// The log's records, and the number of the next.
#[derive(Debug, Default)]
struct Read {
    next: u64,
    records: Vec<Record<RetryEvent>>,
}

impl Retries {
    pub fn new(store: Arc<dyn LogStore>, publisher: Arc<dyn Publisher>, keys: LogKeys) -> Self {
        let log = Log::new(Arc::clone(&store), keys.clone());
        Self { store, publisher, keys, log }
    }

    async fn read(&self) -> Result<Read, LogError> {
        let next = self.log.end(0).await?;
        let records = self.log.read_all(0, next).await?;
        if let Some(Record { event: RetryEvent::Retried(last), .. }) = records.last() {
            self.publisher.publish(&last.objects).await?;
        }
        Ok(Read { next, records })
    }

    /// Brings the rows of the last retry to where they belong.
    pub async fn settle(&self) -> Result<(), LogError> {
        let next = self.log.end(0).await?;
        let Some(last) = next.checked_sub(1) else { return Ok(()) };
        match self.log.read(last).await? {
            Some(Record { event: RetryEvent::Retried(last), .. }) => {
                Ok(self.publisher.publish(&last.objects).await?)
            }
            None => Ok(()),
        }
    }

    /// Letters in the objects of these keys, as they are now, and the number of the next retry.
    pub async fn book(&self, mut objects: Vec<String>) -> Result<(LetterBook, u64), LogError> {
        // By number within each lane.
        objects.sort_unstable();
        let read = |key: String| async move {
            let bytes = self.store.read(&key).await?;
            // Deleted since it was listed: too old.
            Ok::<_, LogError>((key, bytes.unwrap_or_default()))
        };
        let objects: Vec<_> =
            futures_util::stream::iter(objects).map(read).buffered(IN_FLIGHT).try_collect().await?;
        let Read { next, records } = self.read().await?;
        let records = records.into_iter().map(|record| {
            let RetryEvent::Retried(retry) = record.event;
            (record.time, retry)
        });
        let book = LetterBook::new(&objects, records)
            .map_err(|(key, cause)| LogError::UnreadableLetters { key, cause })?;
        Ok((book, next))
    }

    /// Commits a retry of letters as the book has them as record `number`; `None` if another one
    /// has it.
    pub async fn commit(
        &self,
        stager: &dyn Stager,
        retry: &Retry,
        book: &LetterBook,
        number: u64,
    ) -> Result<Option<Stored>, LogError> {
        let attempt = Attempt { keys: &self.keys, claimed_by: number, id: Uuid::new_v4() };
        let staged = stager.stage(&attempt, None).await?;
        let objects = staged.objects(&self.keys, number);
        let refused: HashMap<usize, &DeadLetter> =
            staged.refused().iter().map(|(part, letter)| (*part, letter)).collect();
        let letters = retry.letters.iter().enumerate().map(|(at, letter)| {
            let died = refused.get(&at).copied().or(letter.part.dead_letters.first());
            RetriedRecord {
                id: letter.id.clone(),
                attempts: letter.attempts + 1,
                of: book.line(&letter.id),
                died: died.map(Into::into),
            }
        });
        let record = RetryRecord {
            generation: retry.generation,
            objects: objects.clone(),
            letters: letters.collect(),
        };
        let record = Record::new(attempt.id, attempt.id, RetryEvent::Retried(record));
        match self.log.append(number, &record).await? {
            Appended::Ours => {
                self.publisher.publish(&objects).await?;
                let rows: u64 =
                    retry.letters.iter().map(|letter| letter.part.origins.len() as u64).sum();
                let mut refused = BTreeMap::new();
                for (_, letter) in staged.refused() {
                    *refused.entry(letter.reason.clone()).or_default() += 1;
                }
                let rows = rows - staged.refused().len() as u64;
                Ok(Some(Stored { rows, refused, ..Stored::default() }))
            }
            Appended::Theirs(_) => {
                staged.discard().await;
                Ok(None)
            }
        }
    }
}

/// Whether all letters are as they were when they were read.
pub(crate) fn is_current(book: &LetterBook, retry: &Retry) -> bool {
    retry.letters.iter().all(|retried| {
        book.get(&retried.id).is_some_and(|letter| {
            letter.state == DeadLetterState::Dead && letter.attempts == retried.attempts
        })
    })
}
