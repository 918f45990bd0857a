//! Where objects are: a folder, a file or a bucket behind one URL. The source and the sink of objects open
//! them here, and learn here what a store's errors mean.

pub(crate) mod as_text;
pub(crate) mod base64;
mod config;
mod data;
pub(crate) mod index;
mod s3;

use std::fmt;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::{Error as PathError, Path};
use object_store::{Error as StoreError, ObjectStore};
use percent_encoding::percent_decode_str;

pub use self::config::{Compression, ObjectSet, S3Config};
pub(crate) use self::config::{check_s3, check_url};
pub(crate) use self::data::Data;
pub(crate) use self::index::{IndexEntry, IndexHead};
use self::s3::{Bucket, BucketError};
use crate::record::ErrorClass;

/// Where pinhost keeps what is no data. Sources never take it for input.
pub(crate) const OWN: &str = "_pinhost";

/// A URL that is open.
#[derive(Debug, Clone)]
pub(crate) struct ObjectRoot {
    pub store: Arc<dyn ObjectStore>,
    /// The same store, for what must not be tried again unasked: puts on a condition.
    pub once: Arc<dyn ObjectStore>,
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
    #[error("cannot use {url}: {}", Said(cause))]
    Bucket { url: String, cause: StoreError },
    #[error("{endpoint} is asked without encryption")]
    PlainHttp { endpoint: String },
}

impl ObjectRootError {
    /// What the runtime does about it: design.md, section 5.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Url { .. } | Self::PlainHttp { .. } => ErrorClass::Systemic,
            Self::Local { cause, .. } => class_of_io(cause),
            Self::Bucket { cause, .. } => class_of_store(cause),
        }
    }

    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Url { .. } => Some("write a path, or s3://BUCKET/PREFIX"),
            Self::PlainHttp { .. } => Some("write https://, or set `s3: { allow_http: true }`"),
            Self::Bucket { cause, .. } => help_of_store(cause),
            Self::Local { .. } => None,
        }
    }
}

impl ObjectRoot {
    pub async fn open(url: &str, s3: &S3Config) -> Result<Self, ObjectRootError> {
        match url.split_once("://") {
            None => Self::local(url),
            Some(("s3", place)) => Self::bucket(url, place, s3).await,
            Some(_) => Err(ObjectRootError::Url { url: url.to_owned() }),
        }
    }

    pub fn over(store: Arc<dyn ObjectStore>, root: Path, local: Option<PathBuf>) -> Self {
        Self { once: Arc::clone(&store), store, root, local }
    }

    pub fn local(path: &str) -> Result<Self, ObjectRootError> {
        let error = |cause| ObjectRootError::Local { path: path.to_owned(), cause };
        let local = resolve(FilePath::new(path)).map_err(error)?;
        let root = Path::from_absolute_path(&local)
            .map_err(|cause| error(io::Error::new(io::ErrorKind::InvalidFilename, cause)))?;
        // What is committed has to outlive the power supply, as it would in a bucket. A unit takes a
        // handful of syncs, and there is one for some ten thousand rows or a second's worth of them.
        let store = LocalFileSystem::new().with_fsync(true);
        Ok(Self::over(Arc::new(store), root, Some(local)))
    }

    async fn bucket(url: &str, place: &str, s3: &S3Config) -> Result<Self, ObjectRootError> {
        let error = |cause| ObjectRootError::Bucket { url: url.to_owned(), cause };
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let root = Path::parse(prefix).map_err(|cause| error(cause.into()))?;
        let Bucket { store, once } =
            Bucket::open(bucket, s3).await.map_err(|cause| match cause {
                BucketError::PlainHttp { endpoint } => ObjectRootError::PlainHttp { endpoint },
                BucketError::Store(cause) => error(cause),
            })?;
        Ok(Self { store: Arc::new(store), once: Arc::new(once), root, local: None })
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
        _ if code(&error.to_string()).is_some_and(|code| HALTING.contains(&code)) => {
            ErrorClass::Systemic
        }
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

/// What errors call the store of a folder.
const FOLDERS: &str = "LocalFileSystem";
const NO_BUCKET: &str = "NoSuchBucket";
const DENIED: [&str; 5] =
    ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"];
const ELSEWHERE: [&str; 2] = ["PermanentRedirect", "AuthorizationHeaderMalformed"];
/// What S3 says that only a person can mend. Clients do not tell all of it from what passes.
const HALTING: [&str; 8] = {
    let ([a, b, c, d, e], [f, g]) = (DENIED, ELSEWHERE);
    [NO_BUCKET, a, b, c, d, e, f, g]
};

/// What a person can do about what a store said.
pub(crate) fn help_of_store(error: &StoreError) -> Option<&'static str> {
    match (error, code(&error.to_string())) {
        (_, Some(NO_BUCKET)) => Some(
            "make the bucket, or name another one; `s3: { endpoint: … }` says which server is asked, if not AWS's",
        ),
        (_, Some(code)) if ELSEWHERE.contains(&code) => {
            Some("the bucket is in another region: name it, as in `s3: { region: eu-north-1 }`")
        }
        (StoreError::PermissionDenied { .. }, _) => Some(HELP_DENIED),
        (_, Some(code)) if DENIED.contains(&code) => Some(HELP_DENIED),
        (StoreError::Unauthenticated { .. }, _) => Some(
            "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in: `aws sso login`",
        ),
        (StoreError::InvalidPath { .. }, _) => {
            Some("rename it, or move it to another folder: it cannot be the key of an object")
        }
        (StoreError::Generic { store, .. }, None) => match io_error(error)?.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some("make room there, or name a folder on another disk")
            }
            _ if *store == FOLDERS => None,
            _ => Some("is `s3: { endpoint: … }` right, and does it answer?"),
        },
        _ => None,
    }
}

const HELP_DENIED: &str =
    "these credentials may not: look at the bucket's policy, or choose others, by AWS_PROFILE say";

/// A store's error in a few words. Clients tell the whole exchange, with the text that was signed in it.
pub(crate) struct Said<'a>(pub &'a StoreError);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        if let Some(code) = code(&text) {
            return match element(&text, "Message").filter(|message| !message.is_empty()) {
                Some(message) => write!(f, "{code}: {}", message.trim_end_matches('.')),
                None => f.write_str(code),
            };
        }
        if let StoreError::InvalidPath { source: PathError::NonUnicode { path, .. } } = self.0 {
            // The client tells what is not ASCII as it stands in URLs.
            let path = percent_decode_str(path.trim_start_matches('/')).decode_utf8_lossy();
            return write!(f, "the name of /{path} is not UTF-8");
        }
        let mut last: &dyn std::error::Error = self.0;
        while let Some(next) = last.source() {
            last = next;
        }
        match self.0 {
            StoreError::Unauthenticated { .. } => write!(f, "no credentials for it: {last}"),
            // There may be nothing behind its colon.
            _ => f.write_str(last.to_string().trim_end_matches([':', ' '])),
        }
    }
}

/// What S3 calls the error: `NoSuchBucket`.
fn code(text: &str) -> Option<&str> {
    element(text, "Code")
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use futures_util::TryStreamExt as _;

    use super::*;

    #[test]
    fn a_full_disk_has_no_endpoint() {
        let error = |store, kind| {
            let source = Box::new(io::Error::from(kind));
            StoreError::Generic { store, source }
        };
        let help = |store, kind| help_of_store(&error(store, kind));
        assert!(help(FOLDERS, io::ErrorKind::StorageFull).unwrap().starts_with("make room"));
        assert_eq!(help(FOLDERS, io::ErrorKind::Interrupted), None);
        let unreachable = help("S3", io::ErrorKind::ConnectionRefused);
        assert!(unreachable.unwrap().contains("endpoint"));
    }

    /// The name by which folders are known is the client's own.
    #[tokio::test]
    async fn errors_of_folders_are_told_apart_from_those_of_buckets() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let root = ObjectRoot::local(folder.path().to_str().unwrap()).unwrap();
        let path = root.path("file/below").unwrap();
        let error = object_store::ObjectStoreExt::put(&root.store, &path, "x".into()).await;
        let Err(StoreError::Generic { store, .. }) = error else { panic!("{error:?}") };
        assert_eq!(store, FOLDERS);
    }

    #[tokio::test]
    async fn a_file_whose_name_is_no_key_is_named_with_advice() {
        for (name, told) in [
            (&b"100 %/caf\xe9.json"[..], "the name of {}/100 %/caf\u{fffd}.json is not UTF-8"),
            (b"a\nb.json", "whilst parsing path segment \"a\nb.json\""),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(OsStr::from_bytes(name));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}").unwrap();
            let root = ObjectRoot::local(folder.path().to_str().unwrap()).unwrap();
            let listed: Result<Vec<_>, _> = root.store.list(Some(&root.root)).try_collect().await;
            let error = listed.unwrap_err();
            let place = folder.path().canonicalize().unwrap().display().to_string();
            let (said, told) = (Said(&error).to_string(), told.replace("{}", &place));
            assert!(said.contains(&told), "{said}");
            assert!(help_of_store(&error).unwrap().starts_with("rename it"));
            assert_eq!(class_of_store(&error), ErrorClass::Systemic);
        }
    }
}
