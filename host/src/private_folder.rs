//! Folders that belong to one user and are closed to all others.

use std::io;
use std::path::{Path, PathBuf};

/// Makes the folder, for its owner only.
#[cfg(unix)]
pub(crate) fn own(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};

    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = folder.metadata()?;
    if found.uid() != user(folder)? {
        return Err(io::Error::other("the folder belongs to somebody else"));
    }
    if found.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other("others can write or read it (chmod 700 it)"));
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn own(_: &Path) -> io::Result<()> {
    Err(io::Error::other("only kept where a folder can be closed to others"))
}

/// Where sockets of this user are while they are there.
#[cfg(unix)]
pub(crate) fn runtime() -> io::Result<PathBuf> {
    let folder = match std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder).join("pinhost"),
        None => {
            let shared = std::env::temp_dir();
            shared.join(format!("pinhost-{}", user(&shared)?))
        }
    };
    own(&folder)?;
    Ok(folder)
}

#[cfg(not(unix))]
pub(crate) fn runtime() -> io::Result<PathBuf> {
    Err(io::Error::other("there are no local sockets here"))
}

/// A file that we have just made is ours: its owner tells who we are.
#[cfg(unix)]
fn user(folder: &Path) -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(tempfile::tempfile_in(folder)?.metadata()?.uid())
}
