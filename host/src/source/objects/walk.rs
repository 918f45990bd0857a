//! The files of a folder. Links are followed, but for those that lead back to where they stand: one of them
//! must not keep everything else from being read.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path as FilePath, PathBuf};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta};
use tokio::sync::mpsc;

/// So many are found before somebody asks for them.
const AHEAD_FILES: usize = 1024;

type Found = Result<ObjectMeta, StoreError>;

/// All files below a folder, in no order. What vanishes meanwhile is left out.
pub(super) fn files(folder: PathBuf) -> BoxStream<'static, Found> {
    let (found, files) = mpsc::channel(AHEAD_FILES);
    // It ends when it is through, or when nobody listens any more.
    tokio::task::spawn_blocking(move || walk(&folder, &found));
    stream::unfold(files, async |mut files| Some((files.recv().await?, files))).boxed()
}

/// A folder that is being walked, and those that it is in.
struct Open {
    entries: fs::ReadDir,
    identity: Identity,
}

/// What tells a folder from all others, whatever it is called.
#[derive(PartialEq, Eq)]
struct Identity(u64, u64);

impl Identity {
    fn of(meta: &Metadata) -> Self {
        Self(meta.dev(), meta.ino())
    }
}

fn walk(folder: &FilePath, found: &mpsc::Sender<Found>) {
    let mut open = Vec::new();
    if let Err(error) = enter(folder, &mut open)
        && found.blocking_send(Err(failed(folder, &error))).is_err()
    {
        return;
    }
    while let Some(last) = open.last_mut() {
        let Some(entry) = last.entries.next() else {
            open.pop();
            continue;
        };
        let seen = match entry {
            Ok(entry) => visit(&entry.path(), &mut open).map_err(|error| (entry.path(), error)),
            Err(error) => Err((folder.to_owned(), error)),
        };
        let told = match seen {
            Ok(None) => continue,
            Ok(Some(file)) => file,
            // A link that leads nowhere or to itself, or a file that has gone.
            Err((_, error)) if leads_nowhere(&error) => continue,
            Err((path, error)) => Err(failed(&path, &error)),
        };
        if found.blocking_send(told).is_err() {
            return;
        }
    }
}

fn leads_nowhere(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// A file, if it is one; a folder is walked next.
fn visit(path: &FilePath, open: &mut Vec<Open>) -> io::Result<Option<Found>> {
    let meta = fs::metadata(path)?;
    if meta.is_dir() {
        let identity = Identity::of(&meta);
        if open.iter().any(|above| above.identity == identity) {
            tracing::debug!(path = %path.display(), "the link leads back to a folder that it is in, and is not followed");
        } else {
            enter(path, open)?;
        }
        return Ok(None);
    }
    Ok((meta.is_file() && !is_unfinished(path)).then(|| object(path, &meta)))
}

fn enter(folder: &FilePath, open: &mut Vec<Open>) -> io::Result<()> {
    let identity = Identity::of(&fs::metadata(folder)?);
    open.push(Open { entries: fs::read_dir(folder)?, identity });
    Ok(())
}

/// Uploads that are not complete are called like this by those who write objects to folders.
fn is_unfinished(path: &FilePath) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit_once('#').is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn object(path: &FilePath, meta: &Metadata) -> Found {
    let location = Path::from_absolute_path(path)?;
    let modified = meta.modified().map_err(|error| failed(path, &error))?;
    Ok(ObjectMeta {
        location,
        last_modified: modified.into(),
        size: meta.len(),
        e_tag: None,
        version: None,
    })
}

fn failed(path: &FilePath, error: &io::Error) -> StoreError {
    let error = io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    StoreError::Generic { store: "LocalFileSystem", source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use futures_util::TryStreamExt as _;

    use super::*;

    async fn names(folder: &FilePath) -> Vec<String> {
        let found: Vec<_> = files(folder.to_owned()).try_collect().await.unwrap();
        let root = Path::from_absolute_path(folder).unwrap();
        let name = |meta: ObjectMeta| {
            meta.location
                .as_ref()
                .trim_start_matches(root.as_ref())
                .trim_start_matches('/')
                .to_owned()
        };
        let mut names: Vec<_> = found.into_iter().map(name).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_link_that_leads_back_keeps_nothing_else_from_being_read() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        for file in ["a/1.json", "a/b/2.json", "z.json", "half#12", "c#x"] {
            fs::write(at(file), "{}").unwrap();
        }
        fs::write(elsewhere.path().join("3.json"), "{}").unwrap();
        symlink(folder.path(), at("a/b/up")).unwrap();
        symlink(at("a"), at("a/self")).unwrap();
        symlink("nowhere", at("broken")).unwrap();
        symlink("round", at("round")).unwrap();
        symlink(elsewhere.path(), at("linked")).unwrap();
        let expected = ["a/1.json", "a/b/2.json", "c#x", "linked/3.json", "z.json"];
        assert_eq!(names(folder.path()).await, expected);
    }

    #[tokio::test]
    async fn a_folder_that_may_not_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let found: Result<Vec<_>, _> = files(gone).try_collect().await;
        assert!(found.is_err());
    }
}
