mod kafka_connect;

use std::fmt;
use std::fs;
use std::path::Path as FilePath;
use std::sync::Mutex;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload,
    PutResult,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::objects::{Compression, S3Config};
use crate::record::lift::PipelineArgs;
use crate::record::{ErrorClass, RawBatch};
use crate::source::Most;
use crate::source::inflate::tests::{gzip, zstd};
use crate::written;

const MOST: Most = Most { records: 1000, bytes: 1 << 20 };
const SETTLE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<Vec<Bytes>>);

impl Notes {
    pub fn entries(&self) -> Vec<Bytes> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Journal for Notes {
    async fn entries(&self) -> Result<Vec<Bytes>, ConnectorError> {
        Ok(self.entries())
    }

    async fn append(&self, number: u64, entry: Bytes) -> Result<(), ConnectorError> {
        let mut entries = self.0.lock().unwrap();
        assert_eq!(entries.len() as u64, number);
        entries.push(entry);
        Ok(())
    }
}

pub(super) fn folder() -> (TempDir, ObjectRoot) {
    let folder = tempfile::tempdir().unwrap();
    let root = ObjectRoot::local(folder.path().to_str().unwrap()).unwrap();
    (folder, root)
}

pub(super) fn bucket() -> ObjectRoot {
    ObjectRoot::over(Arc::new(InMemory::new()), "posts".into(), None)
}

/// A store that lists its objects backwards, and from no place in between.
#[derive(Debug, Default)]
pub(super) struct Unordered(InMemory);

impl fmt::Display for Unordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unordered")
    }
}

#[async_trait]
impl ObjectStore for Unordered {
    async fn put_opts(
        &self,
        to: &Path,
        body: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult, StoreError> {
        self.0.put_opts(to, body, options).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>, StoreError> {
        self.0.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult, StoreError> {
        self.0.get_opts(from, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path, StoreError>>,
    ) -> BoxStream<'static, Result<Path, StoreError>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta, StoreError>> {
        let listed = self.0.list(prefix).collect::<Vec<_>>();
        let backwards = async { stream::iter(listed.await.into_iter().rev()) };
        backwards.flatten_stream().boxed()
    }

    fn list_with_offset(
        &self,
        _prefix: Option<&Path>,
        _offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta, StoreError>> {
        let source = "StartAfter is not supported".into();
        stream::iter([Err(StoreError::Generic { store: "S3", source })]).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult, StoreError> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> Result<(), StoreError> {
        self.0.copy_opts(from, to, options).await
    }
}

/// An object that has settled.
pub(super) async fn put(root: &ObjectRoot, key: &str, bytes: impl Into<Bytes>) {
    let bytes: Bytes = bytes.into();
    let Some(folder) = &root.local else {
        root.store.put(&root.path(key).unwrap(), bytes.into()).await.unwrap();
        return;
    };
    let path = folder.join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    age(&path);
}

fn age(path: &FilePath) {
    let long_ago = SystemTime::now() - SETTLE * 2;
    fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
}

pub(super) fn shelf(root: ObjectRoot) -> Shelf {
    Shelf {
        root,
        url: "posts".to_owned(),
        archive: None,
        matching: None,
        settle: SETTLE,
        changed: Changed::Report,
        compression: Compression::Auto,
        args: PipelineArgs { file: "pins.yaml".into(), replay: None },
        replay: None,
    }
}

fn config(root: &ObjectRoot) -> ObjectsSourceConfig {
    let url =
        root.local.as_ref().map_or("s3://bucket/posts/".into(), |path| path.to_string_lossy());
    ObjectsSourceConfig {
        url: url.into_owned(),
        s3: S3Config::default(),
        archive: None,
        matching: None,
        compression: Compression::Auto,
        unwrap: None,
        changed: Changed::Report,
        settle: written::Duration(SETTLE),
        poll: written::Duration::millis(1),
    }
}

fn options() -> SourceOptions {
    SourceOptions {
        pipeline: "pins".into(),
        args: PipelineArgs { file: "pins.yaml".into(), replay: None },
        until_end: true,
        record_bytes_max: 1 << 20,
        prefetch_bytes: 1 << 20,
    }
}

/// What is read, and what it is read from.
struct Scene {
    root: ObjectRoot,
    config: ObjectsSourceConfig,
    options: SourceOptions,
    journal: Arc<Notes>,
    _folder: Option<TempDir>,
}

/// Records with their places.
type Records = Vec<(String, String)>;

impl Scene {
    fn folder() -> Self {
        let (folder, root) = folder();
        Self { _folder: Some(folder), ..Self::over(root) }
    }

    fn over(root: ObjectRoot) -> Self {
        let config = config(&root);
        Self { root, config, options: options(), journal: Arc::default(), _folder: None }
    }

    async fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        put(&self.root, key, bytes).await;
    }

    async fn open(&self, from: &str) -> Result<Box<dyn LaneReader>, ConnectorError> {
        let source = ObjectsSource::over(self.root.clone(), &self.config, &self.options).await?;
        let journal = Arc::clone(&self.journal) as Arc<dyn Journal>;
        source.open(&Lane::new(LANE), from.parse().unwrap(), journal).await
    }

    /// Reads to the end, or to what is wrong.
    async fn read(&self, from: &str, most: Most) -> (Records, Option<ConnectorError>) {
        let mut reader = match self.open(from).await {
            Ok(reader) => reader,
            Err(error) => return (Vec::new(), Some(error)),
        };
        let (mut records, mut at) = (Vec::new(), from.to_owned());
        loop {
            match reader.read(most).await {
                Ok(Some(batch)) => {
                    assert_eq!(batch.from.to_string(), at, "batches are neighbours");
                    at = batch.to.to_string();
                    assert!((1..=most.records).contains(&batch.records.len()));
                    records.extend(values(&batch));
                }
                Ok(None) => return (records, None),
                Err(error) => return (records, Some(error)),
            }
        }
    }

    async fn all(&self, from: &str) -> Records {
        let (records, error) = self.read(from, MOST).await;
        assert!(error.is_none(), "{error:?}");
        records
    }

    async fn error(&self, from: &str) -> (Records, ConnectorError) {
        let (records, error) = self.read(from, MOST).await;
        (records, error.expect("something is wrong"))
    }
}

fn values(batch: &RawBatch) -> Records {
    let value = |at| String::from_utf8_lossy(&batch.value(at).unwrap()).into_owned();
    let place = |at: usize| batch.records[at].position.to_string();
    (0..batch.records.len()).map(|at| (place(at), value(at))).collect()
}

fn records(expected: &[(&str, &str)]) -> Records {
    expected.iter().map(|(place, value)| ((*place).to_owned(), (*value).to_owned())).collect()
}

fn lines(range: std::ops::Range<u32>) -> String {
    range.map(|at| format!("{{\"a\": {at}}}\n")).collect()
}

#[tokio::test]
async fn every_form_and_compression_is_read() {
    let one_two = ["{\"a\": 1}", "{\"a\": 2}"];
    for form in [
        "{\"a\": 1}\n{\"a\": 2}\n",
        "{\"a\": 1}\r\n\r\n{\"a\": 2}",
        "[{\"a\": 1},{\"a\": 2}]",
        "[\n  {\"a\": 1},\n  {\"a\": 2}\n]\n",
        "{\"a\": 1}{\"a\": 2}",
        "\u{feff}{\"a\": 1} {\"a\": 2}\n",
    ] {
        let bytes = form.as_bytes();
        for bytes in [bytes.to_vec(), gzip(bytes).await, zstd(bytes).await] {
            let scene = Scene::folder();
            scene.put("posts", bytes).await;
            let found = scene.all("0.0.0").await;
            assert_eq!(found, records(&[("0.0.0", one_two[0]), ("0.0.1", one_two[1])]), "{form}");
        }
    }
    let scene = Scene::folder();
    scene.put("posts", "{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n").await;
    let found = scene.all("0.0.0").await;
    assert_eq!(found[1], ("0.0.1".to_owned(), "{\n  \"a\": 2\n}".to_owned()));
}

/// Objects of several forms, one of them large, one with nothing in it.
async fn mixed(scene: &Scene) {
    scene.put("a.json", "[{\"a\": 1},{\"a\": 2},{\"a\": 3}]").await;
    scene.put("b/large", lines(0..25_000)).await;
    scene.put("c.gz", gzip(lines(0..3).as_bytes()).await).await;
    scene.put("d", "\n\n").await;
    scene.put("e", "{\"a\"").await;
    scene.put("f", "{\"a\": 5}").await;
}

#[tokio::test]
async fn a_lane_goes_on_wherever_it_was_left() {
    for root in [folder(), (tempfile::tempdir().unwrap(), bucket())] {
        let scene = Scene { _folder: Some(root.0), ..Scene::over(root.1) };
        mixed(&scene).await;
        let all = scene.all("0.0.0").await;
        assert_eq!(all.len(), 3 + 25_000 + 3 + 1 + 1);
        for at in (0..10).chain(25_000..all.len()) {
            assert_eq!(scene.all(&all[at].0).await, all[at..], "from {}", all[at].0);
        }
        for (left, next) in [("0.1.0", 3), ("0.0.3", 3), ("0.3.0", 25_006), ("0.6.0", all.len())] {
            assert_eq!(scene.all(left).await, all[next..], "from {left}");
        }
        assert_eq!(scene.journal.entries().len(), 1);
    }
}

#[tokio::test]
async fn what_was_read_to_its_end_is_not_asked_for_again() {
    let scene = Scene::folder();
    mixed(&scene).await;
    let mut reader = scene.open("0.0.0").await.unwrap();
    let batch = reader.read(Most { records: 3, ..MOST }).await.unwrap().unwrap();
    let mut at = batch.to.to_string();
    assert_eq!(at, "0.1.0", "the first object has three records");
    while let Some(batch) = reader.read(MOST).await.unwrap() {
        at = batch.to.to_string();
    }
    assert_eq!(at, "0.6.0");
    for key in ["a.json", "b/large", "c.gz", "d", "e", "f"] {
        fs::remove_file(scene.root.local.as_ref().unwrap().join(key)).unwrap();
    }
    assert_eq!(scene.all(&at).await, []);
}

#[tokio::test]
async fn what_comes_later_is_planned_later() {
    let scene = Scene::folder();
    scene.put("b", "{\"b\": 1}").await;
    scene.put("d", "{\"d\": 1}").await;
    let first = records(&[("0.0.0", "{\"b\": 1}"), ("0.1.0", "{\"d\": 1}")]);
    assert_eq!(scene.all("0.0.0").await, first);
    assert_eq!(scene.all("0.2.0").await, [], "nothing is new, and nothing planned");
    scene.put("c", "{\"c\": 1}").await;
    scene.put("a", "{\"a\": 1}").await;
    let later = records(&[("1.0.0", "{\"a\": 1}"), ("1.1.0", "{\"c\": 1}")]);
    assert_eq!(scene.all("0.2.0").await, later);
    assert_eq!(scene.all("0.0.0").await, [first, later].concat());
    assert_eq!(scene.journal.entries().len(), 2);
}

#[tokio::test]
async fn a_lane_without_an_end_waits_for_what_comes() {
    let mut scene = Scene::folder();
    scene.options.until_end = false;
    let mut reader = scene.open("0.0.0").await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(20), reader.read(MOST)).await;
    assert!(waiting.is_err(), "there is nothing");
    scene.put("a", "{\"a\": 1}").await;
    let batch = reader.read(MOST).await.unwrap().unwrap();
    assert_eq!(values(&batch), records(&[("0.0.0", "{\"a\": 1}")]));
}

#[tokio::test]
async fn the_end_waits_for_files_that_have_not_settled() {
    let mut scene = Scene::folder();
    scene.config.settle = written::Duration::millis(100);
    fs::write(scene.root.local.as_ref().unwrap().join("a"), "{\"a\": 1}").unwrap();
    assert_eq!(scene.all("0.0.0").await.len(), 1);
}

#[tokio::test]
async fn a_read_may_be_dropped_at_any_time() {
    let scene = Scene::folder();
    mixed(&scene).await;
    let mut reader = scene.open("0.0.0").await.unwrap();
    let mut found = Vec::new();
    loop {
        let read = tokio::time::timeout(Duration::ZERO, reader.read(MOST)).await;
        match read.map(Result::unwrap) {
            Ok(Some(batch)) => found.extend(values(&batch)),
            Ok(None) => break,
            Err(_) => tokio::task::yield_now().await,
        }
    }
    assert_eq!(found, scene.all("0.0.0").await);
}

#[tokio::test]
async fn an_object_that_changed_after_it_was_read_is_left_out_or_read_again() {
    for (changed, again) in [(Changed::Report, &[][..]), (Changed::Reread, &["1.0.0", "1.0.1"])] {
        let mut scene = Scene::folder();
        scene.config.changed = changed;
        scene.put("a", lines(0..1)).await;
        assert_eq!(scene.all("0.0.0").await.len(), 1);
        scene.put("a", lines(0..2)).await;
        let places: Vec<_> = scene.all("0.1.0").await.into_iter().map(|record| record.0).collect();
        assert_eq!(places, again);
    }
}

#[tokio::test]
async fn an_object_that_changes_or_vanishes_before_it_is_read_halts_the_lane() {
    for (root, is_gone) in [
        (Scene::folder(), true),
        (Scene::folder(), false),
        (Scene::over(bucket()), true),
        (Scene::over(bucket()), false),
    ] {
        let scene = root;
        for key in ["a", "b", "c"] {
            scene.put(key, lines(0..2)).await;
        }
        let all = scene.all("0.0.0").await;
        if is_gone {
            scene.root.store.delete(&scene.root.path("b").unwrap()).await.unwrap();
        } else {
            scene.put("b", lines(0..3)).await;
        }
        for from in ["0.0.0", "0.1.1"] {
            let (before, error) = scene.error(from).await;
            assert_eq!(before, all[..before.len()], "what came before is handed out");
            assert_eq!(before.len(), if from == "0.0.0" { 2 } else { 0 });
            assert_eq!(error.class, ErrorClass::Systemic);
            let said = if is_gone { "is gone" } else { "is another one" };
            assert!(error.to_string().contains(said), "{error}");
            let help = "pinhost lanes move pins.yaml objects --to 0.2.0 --accept-gap";
            assert!(error.help.as_ref().unwrap().ends_with(help), "{:?}", error.help);
        }
        assert_eq!(scene.all("0.2.0").await, all[4..]);
    }
}

#[tokio::test]
async fn a_file_that_is_written_to_while_it_is_read_halts_the_lane() {
    use std::io::Write as _;

    let scene = Scene::folder();
    scene.put("a", lines(0..100_000)).await;
    let mut reader = scene.open("0.0.0").await.unwrap();
    reader.read(Most { records: 10, ..MOST }).await.unwrap().unwrap();
    let path = scene.root.local.as_ref().unwrap().join("a");
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(lines(0..1).as_bytes()).unwrap();
    let error = loop {
        match reader.read(MOST).await {
            Ok(batch) => assert!(batch.is_some(), "the end is not reached"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("is another one"), "{error}");
    assert_eq!(reader.read(MOST).await.unwrap_err().to_string(), error.to_string());
}

#[tokio::test]
async fn a_damaged_object_halts_the_lane_behind_what_is_sound() {
    let scene = Scene::folder();
    scene.put("a", lines(0..2)).await;
    let whole = gzip(lines(0..1000).as_bytes()).await;
    scene.put("b.gz", whole[..whole.len() - 9].to_vec()).await;
    scene.put("c", lines(0..1)).await;
    let (before, error) = scene.error("0.0.0").await;
    assert_eq!(before.len(), 2);
    assert_eq!(error.class, ErrorClass::Systemic);
    assert!(error.to_string().ends_with("b.gz is damaged"), "{error}");
    assert!(error.help.unwrap().ends_with("--to 0.2.0 --accept-gap"));
    assert_eq!(scene.all("0.2.0").await.len(), 1);
}

#[tokio::test]
async fn a_record_ends_with_its_object() {
    let scene = Scene::folder();
    scene.put("a", "[{\"a\": 1},{\"a\"").await;
    scene.put("b", ": 2}]").await;
    scene.put("c", "{\"c\": 1}").await;
    let found = scene.all("0.0.0").await;
    let expected = [
        ("0.0.0", "{\"a\": 1}"),
        ("0.0.1", "{\"a\""),
        // The array does not end.
        ("0.0.2", ""),
        ("0.1.0", ": 2}]"),
        ("0.2.0", "{\"c\": 1}"),
    ];
    assert_eq!(found, records(&expected));
}

#[tokio::test]
async fn a_batch_holds_the_records_of_many_small_objects() {
    let scene = Scene::folder();
    for number in 0..1500 {
        scene.put(&format!("{number:04}.json"), format!("{{\"a\": {number}}}")).await;
    }
    let mut reader = scene.open("0.0.0").await.unwrap();
    let first = reader.read(MOST).await.unwrap().unwrap();
    assert_eq!((first.records.len(), first.to.to_string().as_str()), (1000, "0.1000.0"));
    let second = reader.read(MOST).await.unwrap().unwrap();
    assert_eq!((second.records.len(), second.to.to_string().as_str()), (500, "0.1500.0"));
    assert_eq!(values(&second)[7], ("0.1007.0".to_owned(), "{\"a\": 1007}".to_owned()));
    assert!(reader.read(MOST).await.unwrap().is_none());
}

#[tokio::test]
async fn a_url_may_name_one_object() {
    let (_folder, folder) = folder();
    for root in [folder, bucket()] {
        put(&root, "a.json", "{\"a\": 1}").await;
        put(&root, "b.json", "{\"b\": 1}").await;
        let local = root.local.as_ref().map(|local| local.join("a.json"));
        let one = ObjectRoot { root: root.path("a.json").unwrap(), local, ..root };
        let scene = Scene::over(one);
        assert_eq!(scene.all("0.0.0").await, records(&[("0.0.0", "{\"a\": 1}")]));
        assert_eq!(scene.all("0.1.0").await, []);
    }
}

#[tokio::test]
async fn a_missing_folder_is_an_error_and_an_empty_one_is_not() {
    let (folder, root) = folder();
    assert_eq!(Scene::over(root.clone()).all("0.0.0").await, []);
    let missing = folder.path().join("missing");
    let config = ObjectsSourceConfig { url: missing.to_str().unwrap().into(), ..config(&root) };
    let error = ObjectsSource::open(&config, &options()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Systemic);
    assert_eq!(error.to_string(), format!("there is no `{}`", missing.display()));

    let own = folder.path().join("_pinhost/pins");
    fs::create_dir_all(&own).unwrap();
    let config = ObjectsSourceConfig { url: own.to_str().unwrap().into(), ..config };
    let error = ObjectsSource::open(&config, &options()).await.unwrap_err();
    assert!(matches!(error, ObjectsSourceError::Own { .. }), "{error}");
}

#[tokio::test]
async fn a_source_is_known_by_where_its_objects_are() {
    let (folder, root) = folder();
    let roundabout = folder.path().join("x/..").join(".");
    fs::create_dir(folder.path().join("x")).unwrap();
    let config = ObjectsSourceConfig { url: roundabout.to_str().unwrap().into(), ..config(&root) };
    let source = ObjectsSource::open(&config, &options()).await.unwrap();
    let real = folder.path().canonicalize().unwrap();
    assert_eq!(source.identity().await.unwrap().as_str(), real.to_str().unwrap());
    let lane = source.next_change().await.unwrap();
    assert_eq!(lane, Some(LaneChange::assigned(Lane::new("objects"))));
    assert_eq!(source.next_change().await.unwrap(), None);
}

#[tokio::test]
async fn a_place_that_no_plan_has_is_refused() {
    let scene = Scene::folder();
    scene.put("a", lines(0..1)).await;
    assert_eq!(scene.all("0.0.0").await.len(), 1);
    for from in ["0.2.0", "0.1.1", "1.0.1", "1.1.0", "2.0.0", "7"] {
        let error = scene.error(from).await.1;
        assert_eq!(error.class, ErrorClass::Fatal, "{from}");
    }
    for from in ["0.1.0", "1.0.0"] {
        assert_eq!(scene.all(from).await, []);
    }
    let newer = Bytes::from_static(b"{\"format\": 3, \"objects\": {}}");
    scene.journal.append(1, newer).await.unwrap();
    let error = scene.error("0.0.0").await.1;
    assert!(error.to_string().contains("newer pinhost"), "{error}");
}

#[test]
fn what_a_store_says_in_the_middle_of_an_object_is_judged_as_its_own() {
    let read = |cause: StoreError| {
        ObjectsSourceError::Read { object: "a".to_owned(), cause: cause.into() }.class()
    };
    let source = || "it was reset".into();
    assert_eq!(read(StoreError::Generic { store: "s3", source: source() }), ErrorClass::Transient);
    let denied = StoreError::PermissionDenied { path: "a".to_owned(), source: source() };
    assert_eq!(read(denied), ErrorClass::Systemic);
}

/// An object's bytes.
fn object() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        8 => (0..1000u32).prop_map(|a| format!("{{\"a\": {a}}}")),
        1 => (0..1000u32).prop_map(|a| format!("{{\n  \"a\": {a}\n}}")),
        1 => Just("{\"cut\": ".to_owned()),
        1 => (1000..4000usize).prop_map(|length| format!("{{\"a\": \"{}\"}}", "x".repeat(length))),
    ];
    let values = prop::collection::vec(value, 0..20);
    (values, prop_oneof!["\n", "\n\n", ""], any::<bool>()).prop_map(
        |(values, between, is_array)| {
            if is_array { format!("[{}]", values.join(",")) } else { values.join(&between) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Invariant 9.
    #[test]
    fn however_batches_are_cut_the_records_are_the_same(
        objects in prop::collection::vec(object(), 0..12),
        sizes in prop::collection::vec((1..40usize, 1..5000usize), 1..4),
        left in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut scene = Scene::over(bucket());
            scene.options.record_bytes_max = 3000;
            for (number, object) in objects.iter().enumerate() {
                scene.put(&format!("{number:02}"), object.clone()).await;
            }
            let all = scene.all("0.0.0").await;
            for (records, bytes) in sizes {
                let (found, error) = scene.read("0.0.0", Most { records, bytes }).await;
                prop_assert!(error.is_none());
                prop_assert_eq!(&found, &all);
            }
            if !all.is_empty() {
                let left = left.index(all.len());
                prop_assert_eq!(scene.all(&all[left].0).await, &all[left..]);
            }
            Ok(())
        })?;
    }
}
