//! Tells when what a pipeline is made of has changed, and has been written to its end.
//!
//! Folders are watched and not files: editors write a new file and rename it, and others follow links that
//! are turned around. A file counts as written when it looks the same twice in a row; one that is gone may
//! be about to come back. What the change means is not looked at here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::pipeline::config::WatchConfig;

/// Between two looks at something that is changing.
const SETTLE: Duration = Duration::from_millis(30);

/// A file that is gone for so long does not come back by itself.
const GONE: Duration = Duration::from_millis(500);

/// How often is looked where nobody tells, and where somebody should.
const POLL: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_secs(3);

/// Files of one folder that are looked at, beside those that are known: a folder of all kinds of things
/// is no place for plugins.
const BESIDE_MAX: usize = 1_000;

/// What a file looks like from outside; none if it is not there.
type Look = Option<(u64, SystemTime, u64)>;

type Looks = BTreeMap<PathBuf, Look>;

/// Watches the files of one pipeline.
#[derive(Debug)]
pub(super) struct Watch {
    mode: WatchConfig,
    files: Vec<PathBuf>,
    /// As they were when they were last told.
    known: Looks,
    woken: Arc<Notify>,
    /// What the system tells, and the folders that it tells about.
    watcher: Option<(RecommendedWatcher, Vec<PathBuf>)>,
}

impl Watch {
    pub(super) fn new(mode: WatchConfig, files: Vec<PathBuf>) -> Self {
        let known = look(&files);
        let mut watch = Self { mode, files, known, woken: Arc::default(), watcher: None };
        watch.listen();
        watch
    }

    /// The pipeline is made of these files from now on.
    pub(super) fn follow(&mut self, files: Vec<PathBuf>) {
        if files == self.files {
            return;
        }
        let looks = look(&files);
        // What was known stays so: a change that came in between is one.
        self.known.retain(|file, _| looks.contains_key(file));
        for (file, look) in looks {
            self.known.entry(file).or_insert(look);
        }
        self.files = files;
        self.listen();
    }

    fn listen(&mut self) {
        if self.mode != WatchConfig::Auto {
            return;
        }
        let mut folders: Vec<PathBuf> = self.files.iter().map(|file| folder(file)).collect();
        folders.sort();
        folders.dedup();
        if self.watcher.as_ref().is_some_and(|(_, known)| *known == folders) {
            return;
        }
        let woken = Arc::clone(&self.woken);
        let names: Vec<_> =
            self.files.iter().filter_map(|file| file.file_name().map(OsStr::to_owned)).collect();
        let told = move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| matters(&event, &names)) {
                woken.notify_one();
            }
        };
        let made = notify::recommended_watcher(told).and_then(|mut watcher| {
            for folder in &folders {
                watcher.watch(folder, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        match made {
            Ok(watcher) => self.watcher = Some((watcher, folders)),
            Err(error) => {
                tracing::warn!("changes of files are looked for now and then: {error}");
                self.watcher = None;
            }
        }
    }

    /// The files that have changed, once they are written to their end. May be dropped while it waits.
    pub(super) async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            let every = match (self.mode, &self.watcher) {
                (WatchConfig::Off, _) => return std::future::pending().await,
                (WatchConfig::Auto, Some(_)) => LOOK,
                (WatchConfig::Auto, None) | (WatchConfig::Poll, _) => POLL,
            };
            tokio::select! {
                () = self.woken.notified() => {}
                () = sleep(every) => {}
            }
            let looks = self.settled().await;
            let changed: Vec<_> = differing(&self.known, &looks);
            if !changed.is_empty() {
                self.known = looks;
                return changed;
            }
        }
    }

    /// Everything as it looks when nobody writes to it.
    async fn settled(&self) -> Looks {
        let began = Instant::now();
        let mut looks = self.look().await;
        if differing(&self.known, &looks).is_empty() {
            return looks;
        }
        loop {
            sleep(SETTLE).await;
            let again = self.look().await;
            let may_return = began.elapsed() < GONE
                && self.files.iter().any(|file| again.get(file).is_none_or(Option::is_none));
            if again == looks && !may_return {
                return again;
            }
            looks = again;
        }
    }

    /// On a thread where it may wait: a network file system may take its time.
    async fn look(&self) -> Looks {
        let files = self.files.clone();
        tokio::task::spawn_blocking(move || look(&files)).await.unwrap_or_default()
    }
}

/// Whether something may have happened to a file of ours. Rows that are written beside them are none.
fn matters(event: &Event, names: &[std::ffi::OsString]) -> bool {
    let is_write = match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        is_made_of(path) || names.iter().any(|known| known == name) || is_dotted(name)
    };
    is_write && (event.paths.is_empty() || event.paths.iter().any(is_ours))
}

/// Kubernetes turns a link called `..data` around.
fn is_dotted(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"..")
}

/// Whether it is a file of the kinds that pipelines are made of: what is written may name it next.
fn is_made_of(path: &Path) -> bool {
    let end = path.extension().and_then(OsStr::to_str);
    end.is_some_and(|end| ["wasm", "yaml", "yml"].contains(&end))
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The files, and what lies beside them.
fn look(files: &[PathBuf]) -> Looks {
    let mut looks: Looks = files.iter().map(|file| (file.clone(), look_at(file))).collect();
    let mut folders: Vec<_> = files.iter().map(|file| folder(file)).collect();
    folders.sort();
    folders.dedup();
    for place in folders {
        let Ok(entries) = fs::read_dir(&place) else { continue };
        for entry in entries.flatten().take(BESIDE_MAX) {
            let path = entry.path();
            let is_it =
                |file: &PathBuf| file.file_name() == path.file_name() && folder(file) == place;
            if is_made_of(&path) && !files.iter().any(is_it) {
                let look = look_at(&path);
                looks.insert(path, look);
            }
        }
    }
    looks
}

fn look_at(path: &Path) -> Look {
    let found = fs::metadata(path).ok()?;
    Some((found.len(), found.modified().unwrap_or(SystemTime::UNIX_EPOCH), identity(&found)))
}

#[cfg(unix)]
fn identity(found: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> u64 {
    0
}

fn differing(known: &Looks, looks: &Looks) -> Vec<PathBuf> {
    let paths = known.keys().chain(looks.keys().filter(|path| !known.contains_key(*path)));
    let none = None;
    paths
        .filter(|path| known.get(*path).unwrap_or(&none) != looks.get(*path).unwrap_or(&none))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn watch(mode: WatchConfig, folder: &Path) -> Watch {
        fs::write(folder.join("a.yaml"), "one").unwrap();
        Watch::new(mode, vec![folder.join("a.yaml")])
    }

    async fn changed(watch: &mut Watch) -> Vec<PathBuf> {
        tokio::time::timeout(SOON, watch.changed()).await.unwrap()
    }

    async fn is_quiet(watch: &mut Watch) -> bool {
        tokio::time::timeout(Duration::from_secs(1), watch.changed()).await.is_err()
    }

    #[tokio::test]
    async fn a_file_that_is_written_or_renamed_over_has_changed() {
        for mode in [WatchConfig::Auto, WatchConfig::Poll] {
            let folder = tempfile::tempdir().unwrap();
            let mut watch = watch(mode, folder.path());
            let file = folder.path().join("a.yaml");
            fs::write(&file, "another").unwrap();
            assert_eq!(changed(&mut watch).await, [file.as_path()]);
            fs::write(folder.path().join("a.yaml~"), "a third").unwrap();
            fs::rename(folder.path().join("a.yaml~"), &file).unwrap();
            assert_eq!(changed(&mut watch).await, [file.as_path()]);
            assert!(is_quiet(&mut watch).await);
        }
    }

    #[tokio::test]
    async fn a_file_is_told_when_it_is_written_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watch(WatchConfig::Auto, folder.path());
        let file = folder.path().join("a.yaml");
        let writing = std::thread::spawn({
            let file = file.clone();
            move || {
                use std::io::Write as _;
                let mut file = fs::File::create(file).unwrap();
                for _ in 0..50 {
                    file.write_all(b"piece by piece ").unwrap();
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        });
        assert_eq!(changed(&mut watch).await, [file.as_path()]);
        assert!(writing.is_finished());
    }

    #[tokio::test]
    async fn a_file_that_comes_back_at_once_was_never_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watch(WatchConfig::Auto, folder.path());
        let file = folder.path().join("a.yaml");
        fs::remove_file(&file).unwrap();
        let later = std::thread::spawn({
            let file = file.clone();
            move || {
                std::thread::sleep(Duration::from_millis(100));
                fs::write(file, "it is back").unwrap();
            }
        });
        assert_eq!(changed(&mut watch).await, [file.as_path()]);
        assert!(file.exists());
        later.join().unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(changed(&mut watch).await, [file.as_path()]);
        assert!(!file.exists());
    }

    #[tokio::test]
    async fn what_a_file_may_name_next_counts_and_rows_beside_it_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watch(WatchConfig::Auto, folder.path());
        fs::write(folder.path().join("rows.db"), "rows").unwrap();
        assert!(is_quiet(&mut watch).await);
        let plugin = folder.path().join("new.wasm");
        fs::write(&plugin, "\0asm").unwrap();
        assert_eq!(changed(&mut watch).await, [plugin]);
    }

    #[tokio::test]
    async fn a_file_of_the_same_name_elsewhere_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watch(WatchConfig::Auto, folder.path());
        let other = folder.path().join("rules");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("b.yaml"), "one").unwrap();
        watch.follow(vec![folder.path().join("a.yaml"), other.join("b.yaml")]);
        let namesake = other.join("a.yaml");
        fs::write(&namesake, "one").unwrap();
        assert_eq!(changed(&mut watch).await, [namesake]);
    }

    #[tokio::test]
    async fn nothing_is_told_if_nobody_wants_to_know() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watch(WatchConfig::Off, folder.path());
        fs::write(folder.path().join("a.yaml"), "another").unwrap();
        assert!(is_quiet(&mut watch).await);
    }
}
