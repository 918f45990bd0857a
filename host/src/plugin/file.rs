//! Plugin files: read whole, and told apart before anything is compiled.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytesize::ByteSize;

use crate::record::Digest;

/// The bytes of what should be a plugin, and where they come from.
#[derive(Clone)]
pub struct PluginFile {
    origin: Origin,
    bytes: Arc<[u8]>,
    digest: Digest,
}

/// Where a plugin comes from: what to call it in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// One that comes with pinhost.
    Standard(&'static str),
    File(PathBuf),
    /// One that a sink has kept, under this digest.
    Kept(Digest),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(name) => f.write_str(name),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Kept(digest) => write!(f, "plugin {}", digest.short()),
        }
    }
}

impl fmt::Debug for PluginFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {} bytes)", self.origin, self.digest.short(), self.bytes.len())
    }
}

/// Why a file is no plugin, as far as its bytes tell.
#[derive(Debug, thiserror::Error)]
pub enum PluginFileError {
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} is a folder, not a plugin file", path.display())]
    Folder { path: PathBuf },
    #[error("{} is a pipe or a device, not a plugin file", path.display())]
    Special { path: PathBuf },
    #[error("{origin} is larger than {limit} (limits.plugin.file)")]
    TooLarge { origin: Origin, limit: ByteSize },
    #[error("{origin} is empty")]
    Empty { origin: Origin },
    #[error("{origin} is not WebAssembly: it looks like {looks_like}")]
    NotWasm { origin: Origin, looks_like: &'static str },
    #[error("{origin} is a core WebAssembly module, not a component")]
    CoreModule { origin: Origin },
}

impl PluginFileError {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Folder { .. } | Self::Special { .. } | Self::NotWasm { .. } => {
                Some("name the .wasm file that `pinhost plugin build` printed")
            }
            Self::TooLarge { .. } => {
                Some("raise the limit, or strip debug information from the file")
            }
            Self::Empty { .. } => Some("build it again; the copy may still be under way"),
            Self::CoreModule { .. } => Some(
                "`pinhost plugin build` makes a component of it, and so does `wasm-tools component new`",
            ),
            Self::Unreadable { .. } => None,
        }
    }
}

impl PluginFile {
    /// Reads a file of at most `limit`.
    pub fn read(path: &Path, limit: ByteSize) -> Result<Self, PluginFileError> {
        let unreadable = |source| PluginFileError::Unreadable { path: path.to_owned(), source };
        // Before it is opened: to open a pipe may take for ever.
        let found = std::fs::metadata(path).map_err(unreadable)?;
        if found.is_dir() {
            return Err(PluginFileError::Folder { path: path.to_owned() });
        }
        if !found.is_file() {
            return Err(PluginFileError::Special { path: path.to_owned() });
        }
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        // One byte more than allowed, whatever size the file claims or grows to.
        file.take(limit.as_u64().saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        let origin = Origin::File(path.to_owned());
        if bytes.len() as u64 > limit.as_u64() {
            return Err(PluginFileError::TooLarge { origin, limit });
        }
        Self::new(origin, bytes.into())
    }

    pub fn new(origin: Origin, bytes: Arc<[u8]>) -> Result<Self, PluginFileError> {
        match told_apart(&bytes) {
            Told::Component => Ok(Self { origin, digest: Digest::of(&bytes), bytes }),
            Told::CoreModule => Err(PluginFileError::CoreModule { origin }),
            Told::Empty => Err(PluginFileError::Empty { origin }),
            Told::Other(looks_like) => Err(PluginFileError::NotWasm { origin, looks_like }),
        }
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Component,
    CoreModule,
    Empty,
    Other(&'static str),
}

fn told_apart(bytes: &[u8]) -> Told {
    // After `\0asm` stand a version and a layer of two bytes each: a module has layer 0.
    match bytes {
        [] => Told::Empty,
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Told::CoreModule,
        [0, b'a', b's', b'm', ..] => Told::Component,
        [0x7f, b'E', b'L', b'F', ..] => Told::Other("a program for this machine"),
        [b'#', b'!', ..] => Told::Other("a script"),
        [0x1f, 0x8b, ..] => Told::Other("a gzip file"),
        [b'P', b'K', 3, 4, ..] => Told::Other("a zip file"),
        [b'(', ..] => Told::Other("WebAssembly text; it has to be compiled first"),
        bytes if std::str::from_utf8(&bytes[..bytes.len().min(64)]).is_ok() => Told::Other("text"),
        _ => Told::Other("other binary data"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_told_by_its_first_bytes() {
        assert_eq!(told_apart(b""), Told::Empty);
        assert_eq!(told_apart(b"\0asm\x01\0\0\0"), Told::CoreModule);
        assert_eq!(told_apart(b"\0asm\x0d\0\x01\0"), Told::Component);
        assert_eq!(told_apart(b"\x89PNG\r\n\x1a\n"), Told::Other("other binary data"));
        assert_eq!(told_apart(b"name: x\n"), Told::Other("text"));
        assert_eq!(told_apart(b"#!/bin/sh\n"), Told::Other("a script"));
    }
}
