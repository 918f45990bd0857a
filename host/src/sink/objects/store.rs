//! The object store: a folder or a bucket, and what its answers are worth.

use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload,
};

use super::ObjectsSinkError;

/// Objects below a URL. Keys are relative to it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    objects: Arc<dyn ObjectStore>,
    root: Path,
    url: Arc<str>,
    /// The folder, if it is one.
    folder: Option<PathBuf>,
    /// Whether the store refuses to put what is there already.
    proven: Arc<AtomicBool>,
}

impl Store {
    pub fn open(url: &str) -> Result<Self, ObjectsSinkError> {
        match url.split_once("://") {
            None => Self::folder(url),
            Some(("s3", _)) => Self::bucket(url),
            Some(_) => Err(ObjectsSinkError::Url { url: url.to_owned() }),
        }
    }

    fn folder(path: &str) -> Result<Self, ObjectsSinkError> {
        let error = |cause| ObjectsSinkError::Folder { path: path.to_owned(), cause };
        let folder = resolve(FilePath::new(path)).map_err(error)?;
        let root = Path::from_absolute_path(&folder)
            .map_err(|cause| error(io::Error::new(io::ErrorKind::InvalidFilename, cause)))?;
        // What is committed has to outlive the power supply, as it would in a bucket. A unit takes a
        // handful of syncs, and there is one for some ten thousand rows or a second's worth of them.
        let objects = Arc::new(LocalFileSystem::new().with_fsync(true));
        Ok(Self { folder: Some(folder), ..Self::over(objects, root, path) })
    }

    fn bucket(url: &str) -> Result<Self, ObjectsSinkError> {
        let error = |cause| ObjectsSinkError::Store { url: url.to_owned(), cause };
        let (bucket, prefix) =
            url["s3://".len()..].split_once('/').unwrap_or((&url["s3://".len()..], ""));
        let objects =
            AmazonS3Builder::from_env().with_bucket_name(bucket).build().map_err(error)?;
        let root = Path::parse(prefix).map_err(|cause| error(cause.into()))?;
        Ok(Self::over(Arc::new(objects), root, url))
    }

    pub fn over(objects: Arc<dyn ObjectStore>, root: Path, url: &str) -> Self {
        Self { objects, root, url: url.into(), folder: None, proven: Arc::default() }
    }

    /// The same store behind something that gets in between.
    #[cfg(test)]
    pub fn behind(self, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        Self { objects: wrap(self.objects), ..self }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    fn path(&self, key: &str) -> Result<Path, Error> {
        Ok(Path::parse(format!("{}/{key}", self.root))?)
    }

    fn failed(&self, cause: Error) -> ObjectsSinkError {
        ObjectsSinkError::Store { url: self.url.to_string(), cause }
    }

    /// Makes the folder, if it is one.
    pub async fn make(&self) -> Result<(), ObjectsSinkError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let error = |cause| ObjectsSinkError::Folder { path: self.url.to_string(), cause };
        match tokio::fs::metadata(folder).await {
            Ok(meta) if !meta.is_dir() => {
                Err(ObjectsSinkError::NotAFolder { path: self.url.to_string() })
            }
            Ok(_) => Ok(()),
            Err(_) => tokio::fs::create_dir_all(folder).await.map_err(error),
        }
    }

    /// Puts one key twice. Where the second put is not refused, two owners of a lane could both commit.
    pub async fn prove(&self, key: &str) -> Result<(), ObjectsSinkError> {
        if self.proven.load(Ordering::Relaxed) {
            return Ok(());
        }
        let body = Bytes::from_static(b"pinhost asks whether this store refuses a second put");
        self.create_once(key, body.clone()).await?;
        let second = self.create(key, body).await;
        let _ = self.delete(vec![key.to_owned()]).await;
        match second {
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                self.proven.store(true, Ordering::Relaxed);
                Ok(())
            }
            Ok(()) => Err(ObjectsSinkError::Overwrites { url: self.url.to_string() }),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Puts an object if there is none of its name: whole, or not at all. An error may lie.
    pub async fn create(&self, key: &str, body: impl Into<PutPayload>) -> Result<(), Error> {
        let path = self.path(key)?;
        let put = self.objects.put_opts(&path, body.into(), PutMode::Create.into());
        put.await.map(drop)
    }

    /// Puts an object whose name says what is in it: it does no harm if it is there already.
    pub async fn create_once(
        &self,
        key: &str,
        body: impl Into<PutPayload>,
    ) -> Result<(), ObjectsSinkError> {
        match self.create(key, body).await {
            Ok(()) => Ok(()),
            // A client reports a conflict of two writers as the same, and then both may have failed.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. })
                if self.exists(key).await? =>
            {
                Ok(())
            }
            Err(cause) => Err(self.failed(cause)),
        }
    }

    pub async fn put(
        &self,
        key: &str,
        body: impl Into<PutPayload>,
    ) -> Result<(), ObjectsSinkError> {
        let put = async { self.objects.put(&self.path(key)?, body.into()).await };
        put.await.map(drop).map_err(|cause| self.failed(cause))
    }

    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectsSinkError> {
        let read = async { self.objects.get(&self.path(key)?).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    pub async fn exists(&self, key: &str) -> Result<bool, ObjectsSinkError> {
        let head = async { self.objects.head(&self.path(key)?).await };
        match head.await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Whether there was something to copy.
    pub async fn copy(&self, from: &str, to: &str) -> Result<bool, ObjectsSinkError> {
        // In a folder the copy is a link: renaming one name of a file to another of its names leaves
        // both, so nothing is ever put over what is there.
        let mode = if self.folder.is_some() { CopyMode::Create } else { CopyMode::Overwrite };
        let options = CopyOptions::new().with_mode(mode);
        let copy =
            async { self.objects.copy_opts(&self.path(from)?, &self.path(to)?, options).await };
        match copy.await {
            Ok(()) => Ok(true),
            Err(Error::AlreadyExists { .. }) if self.exists(to).await? => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Deletes what is there of these.
    pub async fn delete(&self, keys: Vec<String>) -> Result<(), ObjectsSinkError> {
        let paths: Vec<_> = keys.iter().map(|key| self.path(key)).collect();
        let mut deleted = self.objects.delete_stream(futures_util::stream::iter(paths).boxed());
        while let Some(done) = deleted.next().await {
            match done {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(cause) => return Err(self.failed(cause)),
            }
        }
        Ok(())
    }

    /// The keys below a folder, in no order; none if it is not there.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, ObjectsSinkError> {
        let listed = async {
            let prefix = self.path(folder)?;
            let objects = self.objects.list(Some(&prefix));
            objects.map_ok(|object| self.key(&object.location)).try_collect().await
        };
        listed.await.map_err(|cause| self.failed(cause))
    }

    /// Any key below a folder that is looked for.
    pub async fn find(
        &self,
        folder: &str,
        is_it: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, ObjectsSinkError> {
        let found = async {
            let mut objects = self.objects.list(Some(&self.path(folder)?));
            while let Some(object) = objects.try_next().await? {
                let key = self.key(&object.location);
                if is_it(&key) {
                    return Ok(Some(key));
                }
            }
            Ok(None)
        };
        found.await.map_err(|cause| self.failed(cause))
    }

    /// Deletes what was written before a time.
    pub async fn delete_older(
        &self,
        folder: &str,
        than: SystemTime,
    ) -> Result<(), ObjectsSinkError> {
        let listed = async {
            let mut old = Vec::new();
            let mut objects = self.objects.list(Some(&self.path(folder)?));
            while let Some(object) = objects.try_next().await? {
                if SystemTime::from(object.last_modified) < than {
                    old.push(self.key(&object.location));
                }
            }
            Ok(old)
        };
        let old = listed.await.map_err(|cause| self.failed(cause))?;
        self.delete(old).await
    }

    /// The names right below a folder, of folders and of objects; none if it is not there.
    pub async fn names(&self, folder: &str) -> Result<Vec<String>, ObjectsSinkError> {
        let listed = async { self.objects.list_with_delimiter(Some(&self.path(folder)?)).await };
        let listed = listed.await.map_err(|cause| self.failed(cause))?;
        let objects = listed.objects.into_iter().map(|object| object.location);
        let paths = listed.common_prefixes.into_iter().chain(objects);
        Ok(paths.filter_map(|path| Some(path.filename()?.to_owned())).collect())
    }

    fn key(&self, path: &Path) -> String {
        let path = path.as_ref();
        path.strip_prefix(self.root.as_ref()).unwrap_or(path).trim_start_matches('/').to_owned()
    }
}

/// An absolute path that needs no folder to be there yet.
fn resolve(path: &FilePath) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for there in path.ancestors() {
        match there.canonicalize() {
            Ok(real) => {
                let rest = path.strip_prefix(there).expect("an ancestor");
                // Joined to a file, even an empty rest would end with a slash.
                return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(path)
}

/// What the operating system said, if it did.
pub(super) fn io_error(error: &Error) -> Option<&io::Error> {
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        next = error.source();
    }
    None
}
