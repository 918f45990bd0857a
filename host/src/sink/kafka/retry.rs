//! Dead letters that are tried again: their rows and their new state, in one transaction of an id of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use uuid::Uuid;

use super::KafkaSinkError;
use super::commit::find;
use super::config::KafkaSinkConfig;
use super::entry::{DiedEntry, Entry, EntryKey, LetterStateEntry};
use super::ledger::KafkaLedger;
use super::letters::{Found, LetterBook};
use super::messages::{Makers, Messages};
use super::producer::{LATE_MAX, TransactionFault, TransactionalProducer, is_late};
use super::topics::Targets;
use crate::connect::{CommitOutcome, RetriedLetter, Retry, Stored};
use crate::ledger::DeadLetterState;
use crate::ledger::letter::stored_text;
use crate::record::provenance::{LaneName, LaneSources};
use crate::record::{DeadLetter, UnitPart};

/// What all retries of a pipeline are called.
const ID: &str = "retry";

impl KafkaLedger {
    pub(super) async fn commit_letters(
        &self,
        retry: &Retry,
    ) -> Result<CommitOutcome, KafkaSinkError> {
        let _one = self.retrying.lock().await;
        let ids: Vec<_> = retry.letters.iter().map(|letter| letter.id.clone()).collect();
        let producer = self.retrier().await?;
        let book = self.book(&ids).await?;
        let Some(found) = current(&book, retry)? else {
            self.let_producer_go(producer);
            return Ok(CommitOutcome::Fenced);
        };
        let work = RetryWork {
            config: Arc::clone(&self.config),
            pipeline: Arc::clone(&self.context.pipeline),
            targets: self.topics.targets(std::time::Duration::ZERO).await?,
            retry: retry.clone(),
            found,
            attempt: Uuid::new_v4(),
        };
        let attempt = work.attempt;
        let working = Arc::clone(&producer);
        let ended = tokio::task::spawn_blocking(move || work.run(&working)).await;
        self.let_producer_go(producer);
        match ended.map_err(|_| KafkaSinkError::Ended)? {
            RetryEnd::Committed(stored) => Ok(CommitOutcome::Done(stored)),
            RetryEnd::Failed(error) => Err(error),
            RetryEnd::TakenBack(error) => Err(self.taken_back(ID.to_owned(), &error)),
            RetryEnd::Lost(stored, error) => {
                // What was begun has ended once another one is opened.
                let producer = self.retrier().await?;
                self.let_producer_go(producer);
                let book = self.book(&ids).await?;
                let first = ids.first().map(|id| book.get(id)).transpose()?.flatten();
                if first.is_some_and(|found| found.attempt == Some(attempt)) {
                    return Ok(CommitOutcome::Done(stored));
                }
                if current(&book, retry)?.is_none() {
                    return Ok(CommitOutcome::Fenced);
                }
                let (lane, reason) = (ID.to_owned(), error.to_string());
                Err(KafkaSinkError::TakenBack { lane, reason })
            }
        }
    }

    /// A producer for retries; what another one had begun is taken back, and what it committed is read.
    async fn retrier(&self) -> Result<Arc<TransactionalProducer>, KafkaSinkError> {
        let access = self.access().await?;
        let producer = self.producer(ID).await?;
        let mark = Entry::gone(&self.context.pipeline, &EntryKey::Mark(Uuid::new_v4()));
        let lane = crate::record::Lane::new(ID);
        let offset = self.transact(&producer, vec![mark], &lane).await?;
        access.reader.reach(offset, self.longest_wait()).await?;
        Ok(producer)
    }
}

/// The letters, if all of them are as they were when they were read.
fn current(book: &LetterBook, retry: &Retry) -> Result<Option<Vec<Found>>, KafkaSinkError> {
    let mut all = Vec::with_capacity(retry.letters.len());
    for retried in &retry.letters {
        let Some(found) = book.get(&retried.id)? else { return Ok(None) };
        let letter = &found.letter;
        if letter.state != DeadLetterState::Dead || letter.attempts != retried.attempts {
            return Ok(None);
        }
        all.push(found);
    }
    Ok(Some(all))
}

#[derive(Debug)]
struct RetryWork {
    config: Arc<KafkaSinkConfig>,
    pipeline: Arc<str>,
    targets: Arc<Targets>,
    retry: Retry,
    /// One for each letter.
    found: Vec<Found>,
    attempt: Uuid,
}

enum RetryEnd {
    Committed(Stored),
    Failed(KafkaSinkError),
    TakenBack(KafkaError),
    /// What is stored if it is committed.
    Lost(Stored, KafkaError),
}

impl RetryWork {
    fn run(&self, producer: &TransactionalProducer) -> RetryEnd {
        let lane = |letter: &RetriedLetter| LaneName {
            pipeline: Arc::clone(&self.pipeline),
            lane: letter.lane.name().into(),
            sources: LaneSources::new([letter.part.raw.position(0)]),
        };
        let lanes = self.retry.letters.iter().map(lane).collect();
        let makers = Makers { generation: self.retry.generation, lanes };
        let parts: Vec<UnitPart> =
            self.retry.letters.iter().map(|letter| letter.part.clone()).collect();
        let messages = Messages::new(&self.config, &self.targets, &parts, &makers);
        let mut messages = match messages {
            Ok(messages) => messages,
            Err(error) => return RetryEnd::Failed(error),
        };
        let mut late = 0;
        loop {
            let (entries, stored) = self.states(&messages);
            let suspects = match producer.commit(messages.all(), &entries) {
                Ok(_) => return RetryEnd::Committed(stored),
                Err(TransactionFault::TakenBack(error)) if is_late(&error) && late < LATE_MAX => {
                    late += 1;
                    continue;
                }
                Err(TransactionFault::TakenBack(error)) => return RetryEnd::TakenBack(error),
                Err(TransactionFault::Lost(error)) => return RetryEnd::Lost(stored, error),
                Err(TransactionFault::Refused(suspects)) => suspects,
            };
            match find(producer, &messages, &suspects, u64::MAX) {
                Ok(found) if found.is_empty() => {
                    let code = suspects.first().map_or(RDKafkaErrorCode::Fail, |(_, code)| *code);
                    return RetryEnd::Failed(KafkaSinkError::Together { code });
                }
                Ok(found) => messages.refuse(&found),
                Err(TransactionFault::TakenBack(error) | TransactionFault::Lost(error)) => {
                    return RetryEnd::TakenBack(error);
                }
                Err(TransactionFault::Refused(_)) => unreachable!("these are what is found"),
            }
        }
    }

    /// What becomes of the letters, and how many rows they give.
    fn states(&self, messages: &Messages<'_>) -> (Vec<Entry>, Stored) {
        let mut entries = Vec::new();
        let mut refused = BTreeMap::new();
        let mut rows = 0;
        for (at, (letter, found)) in self.retry.letters.iter().zip(&self.found).enumerate() {
            let late = messages.refused.iter().find(|(part, _)| *part == at).map(|(_, it)| it);
            match late {
                Some(late) => *refused.entry(late.reason.clone()).or_default() += 1,
                None => rows += letter.part.origins.len() as u64 + letter.part.deletes(),
            }
            let died = late.or(letter.part.dead_letters.first());
            let state = LetterStateEntry {
                of: found.written,
                attempt: self.attempt,
                attempts: letter.attempts + 1,
                generation: self.retry.generation,
                time: Timestamp::now(),
                died: died.map(died_entry),
            };
            let key = EntryKey::LetterState(letter.id.clone());
            entries.push(Entry::new(&self.pipeline, &key, &state));
        }
        (entries, Stored { rows, refused, ..Stored::default() })
    }
}

fn died_entry(letter: &DeadLetter) -> DiedEntry {
    DiedEntry {
        step: letter.step.as_deref().map(str::to_owned),
        reason: stored_text(&letter.reason).into_owned(),
        detail: letter.detail.as_deref().map(|detail| stored_text(detail).into_owned()),
    }
}
