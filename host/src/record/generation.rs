//! What names everything that decides a row.

use std::sync::Arc;

use super::Digest;

/// The resolved rule with everything else that decides what becomes of a record; a swap makes the next
/// one. It is stored with the sink before the first unit that it cleaned.
#[derive(Debug, Clone)]
pub struct Generation {
    pub digest: Digest,
    /// What the digest is of: canonical JSON.
    pub resolved: Arc<str>,
    pub plugins: Vec<PluginBytes>,
}

#[derive(Debug, Clone)]
pub struct PluginBytes {
    pub name: String,
    pub digest: Digest,
    pub bytes: Arc<[u8]>,
}
