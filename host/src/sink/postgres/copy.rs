//! Rows on their way into a table, and what the server says to them.

use sqlx::postgres::PgConnection;

use super::encode::{HEADER, TRAILER};
use super::error::{PostgresFault, Refused, refused};
use super::session::answered;

/// Bytes of a message, about.
const CHUNK: usize = 256 << 10;

/// Why a group of rows is not written.
#[derive(Debug)]
pub(super) enum GroupError {
    /// The table does not take one of them.
    Refused(Refused),
    Fault(PostgresFault),
}

impl From<PostgresFault> for GroupError {
    fn from(fault: PostgresFault) -> Self {
        Self::Fault(fault)
    }
}

/// What a server says to rows.
pub(super) async fn tried<T>(
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, GroupError> {
    let judged = async {
        match asked.await {
            Ok(done) => Ok(Ok(done)),
            Err(error) => Ok(Err(refused(&error).ok_or(error)?)),
        }
    };
    answered::<_, sqlx::Error>(judged).await?.map_err(GroupError::Refused)
}

/// Sends rows, each of them as `push` writes it.
pub(super) async fn copy(
    connection: &mut PgConnection,
    statement: &str,
    rows: &[u32],
    push: impl Fn(&mut Vec<u8>, u32),
) -> Result<u64, GroupError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let sent = async {
        let mut copy = connection.copy_in_raw(statement).await?;
        let mut chunk = Vec::with_capacity(CHUNK + CHUNK / 4);
        chunk.extend_from_slice(HEADER);
        for row in rows {
            push(&mut chunk, *row);
            if chunk.len() >= CHUNK {
                copy.send(chunk.as_slice()).await?;
                chunk.clear();
            }
        }
        chunk.extend_from_slice(TRAILER);
        copy.send(chunk.as_slice()).await?;
        copy.finish().await
    };
    tried(sent).await
}
