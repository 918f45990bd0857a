//! Where objects are: a folder, a file or a bucket behind one URL. The source and the sink of objects open
//! them here, and learn here what a store's errors mean.

use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore};

use crate::record::ErrorClass;

/// Where pinhost keeps what is no data. Sources never take it for input.
pub(crate) const OWN: &str = "_pinhost";

/// A URL that is open.
#[derive(Debug, Clone)]
pub(crate) struct ObjectRoot {
    pub store: Arc<dyn ObjectStore>,
    /// What keys begin with.
    pub root: Path,
    /// The folder or file, if it is no bucket. It need not be there yet.
    pub local: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum ObjectRootError {
    #[error("`{url}` is neither a folder nor an s3:// URL")]
    Url { url: String },
    #[error("cannot use `{path}`")]
    Local {
        path: String,
        #[source]
        cause: io::Error,
    },
    #[error("cannot use {url}")]
    Bucket {
        url: String,
        #[source]
        cause: StoreError,
    },
}

impl ObjectRootError {
    /// What the runtime does about it: design.md, section 5.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Url { .. } => ErrorClass::Systemic,
            Self::Local { cause, .. } => class_of_io(cause),
            Self::Bucket { cause, .. } => class_of_store(cause),
        }
    }

    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Url { .. } => Some("write a path, or s3://BUCKET/PREFIX"),
            Self::Local { .. } | Self::Bucket { .. } => None,
        }
    }
}

impl ObjectRoot {
    pub fn open(url: &str) -> Result<Self, ObjectRootError> {
        match url.split_once("://") {
            None => Self::local(url),
            Some(("s3", place)) => Self::bucket(url, place),
            Some(_) => Err(ObjectRootError::Url { url: url.to_owned() }),
        }
    }

    fn local(path: &str) -> Result<Self, ObjectRootError> {
        let error = |cause| ObjectRootError::Local { path: path.to_owned(), cause };
        let local = resolve(FilePath::new(path)).map_err(error)?;
        let root = Path::from_absolute_path(&local)
            .map_err(|cause| error(io::Error::new(io::ErrorKind::InvalidFilename, cause)))?;
        // What is committed has to outlive the power supply, as it would in a bucket. A unit takes a
        // handful of syncs, and there is one for some ten thousand rows or a second's worth of them.
        let store = Arc::new(LocalFileSystem::new().with_fsync(true));
        Ok(Self { store, root, local: Some(local) })
    }

    fn bucket(url: &str, place: &str) -> Result<Self, ObjectRootError> {
        let error = |cause| ObjectRootError::Bucket { url: url.to_owned(), cause };
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build().map_err(error)?;
        let root = Path::parse(prefix).map_err(|cause| error(cause.into()))?;
        Ok(Self { store: Arc::new(store), root, local: None })
    }

    /// Where the object with this key is; without one, the URL itself.
    pub fn path(&self, key: &str) -> Result<Path, StoreError> {
        Ok(Path::parse(format!("{}/{key}", self.root))?)
    }

    /// What stands behind the URL.
    pub fn key<'a>(&self, path: &'a Path) -> &'a str {
        let path = path.as_ref();
        path.strip_prefix(self.root.as_ref()).unwrap_or(path).trim_start_matches('/')
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

pub(crate) fn class_of_store(error: &StoreError) -> ErrorClass {
    match error {
        StoreError::NotFound { .. }
        | StoreError::PermissionDenied { .. }
        | StoreError::Unauthenticated { .. }
        | StoreError::InvalidPath { .. }
        | StoreError::NotSupported { .. }
        | StoreError::NotImplemented { .. }
        | StoreError::UnknownConfigurationKey { .. } => ErrorClass::Systemic,
        // Whatever else there is or will be: trying again does no harm.
        _ => io_error(error).map_or(ErrorClass::Transient, class_of_io),
    }
}

pub(crate) fn class_of_io(error: &io::Error) -> ErrorClass {
    use io::ErrorKind::*;
    match error.kind() {
        PermissionDenied | ReadOnlyFilesystem | StorageFull | QuotaExceeded | NotADirectory
        | IsADirectory | InvalidFilename | FileTooLarge | NotFound | Unsupported => {
            ErrorClass::Systemic
        }
        _ => ErrorClass::Transient,
    }
}

/// What the operating system said, if it did.
fn io_error(error: &StoreError) -> Option<&io::Error> {
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        next = error.source();
    }
    None
}
