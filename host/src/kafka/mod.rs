//! Kafka clusters, as a source and a sink reach them: brokers, who we are, questions.

mod check;
mod client;
mod cluster;
mod config;
mod connection;
mod error;
#[expect(unsafe_code, reason = "the crate has no safe way to ask librdkafka for these")]
mod ffi;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use self::check::check_topic;
pub(crate) use self::client::{Asker, Talk, Trouble};
pub(crate) use self::cluster::Cluster;
pub use self::config::{Brokers, KafkaMechanism, KafkaSaslConfig, KafkaTlsConfig};
pub use self::connection::Connection;
pub use self::error::ClusterError;

/// Nothing that is done under these locks can panic half-way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
