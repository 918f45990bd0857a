//! Tokens that clients have to send, from a file that is read again when it changes.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use blake3::Hash;

/// How often is looked whether the file is another one.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Tokens {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// Fingerprints: two of them are compared in the same time, whatever they have in common.
    tokens: Vec<Hash>,
    modified: Option<SystemTime>,
    looked: Instant,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error("the tokens in {path} cannot be read: {cause}")]
    Read { path: String, cause: io::Error },
    #[error("there is no token in {path}")]
    None { path: String },
}

impl Tokens {
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, TokenError> {
        let path = path.into();
        let known = Known::read(&path)?;
        Ok(Self { path, known: Mutex::new(known) })
    }

    /// Whether a request has one of them.
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= LOOK {
            known.look(&self.path);
        }
        let sent = headers.get(AUTHORIZATION).and_then(|sent| sent.to_str().ok());
        let Some((scheme, token)) = sent.and_then(|sent| sent.split_once(' ')) else {
            return false;
        };
        let sent = blake3::hash(token.trim().as_bytes());
        // All are compared, wherever it is found.
        let is_one = known.tokens.iter().fold(false, |found, token| found | (*token == sent));
        scheme.eq_ignore_ascii_case("bearer") && is_one
    }
}

impl Known {
    fn read(path: &PathBuf) -> Result<Self, TokenError> {
        let shown = || path.display().to_string();
        let failed = |cause| TokenError::Read { path: shown(), cause };
        let text = fs::read_to_string(path).map_err(failed)?;
        let modified = fs::metadata(path).and_then(|data| data.modified()).ok();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let tokens: Vec<_> = lines.map(|token| blake3::hash(token.as_bytes())).collect();
        if tokens.is_empty() {
            return Err(TokenError::None { path: shown() });
        }
        Ok(Self { tokens, modified, looked: Instant::now() })
    }

    /// What cannot be read changes nothing.
    fn look(&mut self, path: &PathBuf) {
        self.looked = Instant::now();
        let modified = fs::metadata(path).and_then(|data| data.modified()).ok();
        if modified == self.modified {
            return;
        }
        self.modified = modified;
        match Self::read(path) {
            Ok(known) => *self = known,
            Err(error) => tracing::error!("the tokens from before go on: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn sent(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(text))])
    }

    #[test]
    fn a_request_needs_one_of_the_tokens() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Tokens::read(file.path()), Err(TokenError::None { .. })));
        fs::write(file.path(), "one\n\n  other \n").unwrap();
        let tokens = Tokens::read(file.path()).unwrap();
        for admitted in ["Bearer one", "bearer other"] {
            assert!(tokens.admit(&sent(admitted)), "{admitted}");
        }
        for refused in ["Bearer on", "Bearer one other", "Basic one", "one", "Bearer ", ""] {
            assert!(!tokens.admit(&sent(refused)), "{refused}");
        }
        assert!(!tokens.admit(&HeaderMap::new()));
    }
}
