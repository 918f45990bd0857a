//! An object store that fails, lies or stalls on request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};
use tokio::sync::Notify;

/// What happens to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not done.
    Fails(Said),
    /// It is done.
    Lies(Said),
    /// It and all later ones are not done: the process is dead.
    Dies,
    /// It is done, and no later one is.
    DiesAfter,
    /// It waits until somebody says go.
    Stalls,
    /// Every other operation is not done.
    FailsOften,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Broken,
    /// What clients say of a 412, and of a 409 too.
    Exists,
}

#[derive(Debug)]
pub(super) struct Faulty {
    inner: Arc<dyn ObjectStore>,
    /// The operation that it happens to. Those that change something are counted.
    at: usize,
    fault: Fault,
    done: Arc<AtomicUsize>,
    pub stalled: Arc<Notify>,
    pub go: Arc<Notify>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn ObjectStore>, at: usize, fault: Fault) -> Self {
        Self { inner, at, fault, done: Arc::default(), stalled: Arc::default(), go: Arc::default() }
    }

    async fn act<T>(&self, act: impl Future<Output = Result<T>>) -> Result<T> {
        act_at(&self.done, self.at, self.fault, &self.stalled, &self.go, act).await
    }

    fn look(&self) -> Result<()> {
        match self.fault {
            Fault::Dies if self.done.load(Ordering::SeqCst) > self.at => Err(broken()),
            Fault::DiesAfter if self.done.load(Ordering::SeqCst) > self.at => Err(broken()),
            _ => Ok(()),
        }
    }
}

async fn act_at<T>(
    done: &AtomicUsize,
    at: usize,
    fault: Fault,
    stalled: &Notify,
    go: &Notify,
    act: impl Future<Output = Result<T>>,
) -> Result<T> {
    let number = done.fetch_add(1, Ordering::SeqCst);
    if fault == Fault::FailsOften {
        return if number % 2 == at { act.await } else { Err(broken()) };
    }
    if number != at {
        let dead = matches!(fault, Fault::Dies | Fault::DiesAfter) && number > at;
        return if dead { Err(broken()) } else { act.await };
    }
    match fault {
        Fault::Fails(said) => Err(said.error()),
        Fault::Dies => Err(broken()),
        Fault::Lies(said) => {
            act.await?;
            Err(said.error())
        }
        Fault::DiesAfter => {
            act.await?;
            Err(broken())
        }
        Fault::Stalls => {
            stalled.notify_one();
            go.notified().await;
            act.await
        }
        Fault::FailsOften => unreachable!("it is no fault of one operation"),
    }
}

fn broken() -> Error {
    Said::Broken.error()
}

impl Said {
    fn error(self) -> Error {
        match self {
            Self::Broken => Error::Generic { store: "faulty", source: "connection reset".into() },
            Self::Exists => {
                Error::AlreadyExists { path: String::new(), source: "so they say".into() }
            }
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        to: &Path,
        body: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.act(self.inner.put_opts(to, body, options)).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.act(self.inner.put_multipart_opts(to, options)).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.look()?;
        self.inner.get_opts(from, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, done) = (Arc::clone(&self.inner), Arc::clone(&self.done));
        let (stalled, go) = (Arc::clone(&self.stalled), Arc::clone(&self.go));
        let (at, fault) = (self.at, self.fault);
        let delete = move |path: Result<Path>| {
            let (inner, done) = (Arc::clone(&inner), Arc::clone(&done));
            let (stalled, go) = (Arc::clone(&stalled), Arc::clone(&go));
            async move {
                let path = path?;
                act_at(&done, at, fault, &stalled, &go, inner.delete(&path)).await?;
                Ok(path)
            }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.look() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.look()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.act(self.inner.copy_opts(from, to, options)).await
    }
}

/// A store that does not know of conditions.
#[derive(Debug)]
pub(super) struct Careless(pub Arc<dyn ObjectStore>);

impl fmt::Display for Careless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Careless({})", self.0)
    }
}

#[async_trait]
impl ObjectStore for Careless {
    async fn put_opts(&self, to: &Path, body: PutPayload, _: PutOptions) -> Result<PutResult> {
        self.0.put(to, body).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(from, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}
