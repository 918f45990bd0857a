//! The object store: a folder or a bucket, and what its answers are worth.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload,
};

use super::ObjectsSinkError;
use crate::ledger::log::{LogEntry, LogStore, TRIES, before_try, create_once};
use crate::objects::{ObjectRoot, S3Config, class_of_store};
use crate::record::{ConnectorError, Digest, ErrorClass};

/// Objects below a URL. Keys are relative to it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    root: ObjectRoot,
    url: Arc<str>,
    /// Whether the store refuses to put what is there already.
    proven: Arc<AtomicBool>,
}

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub key: String,
    pub bytes: u64,
}

/// What became of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    Done,
    /// There was nothing to copy.
    NothingThere,
    /// There is an object with this key already, which may be the same.
    Taken,
}

impl Store {
    pub async fn open(url: &str, s3: &S3Config) -> Result<Self, ObjectsSinkError> {
        let root = ObjectRoot::open(url, s3).await.map_err(ObjectsSinkError::Root)?;
        Ok(Self::over(root, url))
    }

    pub fn over(root: ObjectRoot, url: &str) -> Self {
        Self { root, url: url.into(), proven: Arc::default() }
    }

    /// The same store behind something that gets in between.
    #[cfg(test)]
    pub fn behind(self, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        let ObjectRoot { store, root, local, once: _ } = self.root;
        Self { root: ObjectRoot::over(wrap(store), root, local), ..self }
    }

    fn objects(&self) -> &dyn ObjectStore {
        &*self.root.store
    }

    fn path(&self, key: &str) -> Result<Path, Error> {
        self.root.path(key)
    }

    fn failed(&self, cause: Error) -> ObjectsSinkError {
        ObjectsSinkError::Store { url: self.url.to_string(), cause }
    }

    /// Makes the folder, if it is one.
    pub async fn make(&self) -> Result<(), ObjectsSinkError> {
        let Some(folder) = &self.root.local else { return Ok(()) };
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
    pub async fn prove(&self, key: &str) -> Result<(), ConnectorError> {
        if self.proven.load(Ordering::Relaxed) {
            return Ok(());
        }
        let body = Bytes::from_static(b"pinhost asks whether this store refuses a second put");
        create_once(self, key, body.clone()).await?;
        let refused = self.is_refused(key, body).await;
        let _ = self.delete(vec![key.to_owned()]).await;
        if !refused? {
            return Err(ObjectsSinkError::Overwrites { url: self.url.to_string() }.into());
        }
        self.proven.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the store refuses to put what is there.
    async fn is_refused(&self, key: &str, body: Bytes) -> Result<bool, ObjectsSinkError> {
        let mut tried = 0;
        loop {
            let cause = match self.create(key, body.clone()).await {
                Ok(()) => return Ok(false),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => return Ok(true),
                Err(cause) => cause,
            };
            tried += 1;
            if tried == TRIES || class_of_store(&cause) != ErrorClass::Transient {
                return Err(self.failed(cause));
            }
            before_try(tried).await;
        }
    }

    /// Puts an object if there is none of its name: whole, or not at all. An error may lie.
    pub async fn create(&self, key: &str, body: impl Into<PutPayload>) -> Result<(), Error> {
        let path = self.path(key)?;
        let put = self.root.once.put_opts(&path, body.into(), PutMode::Create.into());
        put.await.map(drop)
    }

    pub async fn put(
        &self,
        key: &str,
        body: impl Into<PutPayload>,
    ) -> Result<(), ObjectsSinkError> {
        let put = async { self.objects().put(&self.path(key)?, body.into()).await };
        put.await.map(drop).map_err(|cause| self.failed(cause))
    }

    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectsSinkError> {
        let read = async { self.objects().get(&self.path(key)?).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    pub async fn exists(&self, key: &str) -> Result<bool, ObjectsSinkError> {
        let head = async { self.objects().head(&self.path(key)?).await };
        match head.await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Copies an object to where there is none.
    pub async fn copy_new(&self, from: &str, to: &str) -> Result<Copied, ObjectsSinkError> {
        // In a folder the copy is a link: renaming one name of a file to another of its names leaves
        // both, so nothing is ever put over what is there. A bucket has no copy that is refused, and
        // there are no others to whom the key belongs.
        let is_folder = self.root.local.is_some();
        let mode = if is_folder { CopyMode::Create } else { CopyMode::Overwrite };
        if !is_folder && self.exists(to).await? {
            return Ok(Copied::Taken);
        }
        let options = CopyOptions::new().with_mode(mode);
        let copy =
            async { self.objects().copy_opts(&self.path(from)?, &self.path(to)?, options).await };
        match copy.await {
            Ok(()) => Ok(Copied::Done),
            Err(Error::AlreadyExists { .. }) if self.exists(to).await? => Ok(Copied::Taken),
            Err(Error::NotFound { .. }) => Ok(Copied::NothingThere),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Whether it is this object that has the key; none if there is no object.
    pub async fn is_object(
        &self,
        key: &str,
        bytes: u64,
        digest: Digest,
    ) -> Result<Option<bool>, ObjectsSinkError> {
        let read = async {
            let object = self.objects().get(&self.path(key)?).await?;
            if object.meta.size != bytes {
                return Ok(false);
            }
            let (mut pieces, mut hasher) = (object.into_stream(), Digest::hasher());
            while let Some(piece) = pieces.try_next().await? {
                hasher.update(&piece);
            }
            Ok(hasher.finish() == digest)
        };
        match read.await {
            Ok(is_it) => Ok(Some(is_it)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Deletes what is there of these.
    pub async fn delete(&self, keys: Vec<String>) -> Result<(), ObjectsSinkError> {
        let paths: Vec<_> = keys.iter().map(|key| self.path(key)).collect();
        let mut deleted = self.objects().delete_stream(futures_util::stream::iter(paths).boxed());
        while let Some(done) = deleted.next().await {
            match done {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(cause) => return Err(self.failed(cause)),
            }
        }
        Ok(())
    }

    /// The keys below a folder, in no order; none if it is not there.
    #[cfg(test)]
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, ObjectsSinkError> {
        let mut keys = Vec::new();
        self.each(folder, |object| keys.push(object.key)).await?;
        Ok(keys)
    }

    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, ObjectsSinkError> {
        let read = async { self.objects().get_range(&self.path(key)?, range).await };
        read.await.map_err(|cause| self.failed(cause))
    }

    /// Lends all objects below a folder, in no order.
    pub async fn each(
        &self,
        folder: &str,
        mut take: impl FnMut(Listed),
    ) -> Result<(), ObjectsSinkError> {
        let listed = async {
            let mut objects = self.objects().list(Some(&self.path(folder)?));
            while let Some(object) = objects.try_next().await? {
                take(Listed { key: self.key(&object.location), bytes: object.size });
            }
            Ok(())
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
            let mut objects = self.objects().list(Some(&self.path(folder)?));
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

    /// The names right below a folder, of folders and of objects; none if it is not there.
    pub async fn names(&self, folder: &str) -> Result<Vec<String>, ObjectsSinkError> {
        let listed = async { self.objects().list_with_delimiter(Some(&self.path(folder)?)).await };
        let listed = listed.await.map_err(|cause| self.failed(cause))?;
        let objects = listed.objects.into_iter().map(|object| object.location);
        let paths = listed.common_prefixes.into_iter().chain(objects);
        Ok(paths.filter_map(|path| Some(path.filename()?.to_owned())).collect())
    }

    fn key(&self, path: &Path) -> String {
        self.root.key(path).to_owned()
    }
}

#[async_trait]
impl LogStore for Store {
    async fn create(&self, key: &str, body: Bytes) -> Result<(), ConnectorError> {
        Ok(Self::create(self, key, body).await.map_err(|cause| self.failed(cause))?)
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>, ConnectorError> {
        Ok(self.get(key).await?)
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<(), ConnectorError> {
        Ok(Self::put(self, key, body).await?)
    }

    async fn exists(&self, key: &str) -> Result<bool, ConnectorError> {
        Ok(Self::exists(self, key).await?)
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, ConnectorError> {
        Ok(Self::names(self, folder).await?)
    }

    async fn entries(&self, folder: &str) -> Result<Vec<LogEntry>, ConnectorError> {
        let listed = async {
            let prefix = self.path(folder)?;
            let objects = self.objects().list(Some(&prefix));
            let entry = |object: ObjectMeta| LogEntry {
                key: self.key(&object.location),
                time: object.last_modified.into(),
            };
            objects.map_ok(entry).try_collect().await
        };
        Ok(listed.await.map_err(|cause| self.failed(cause))?)
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), ConnectorError> {
        Ok(Self::delete(self, keys).await?)
    }
}
