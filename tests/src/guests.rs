//! Plugins to test with, each built when a test first asks for it and kept in `target/guests`.
//!
//! [`hostile`] does wrong what its configuration names ([`misbehaviour`]), [`hand`] has what no
//! compiler would write, [`files`] what is no plugin at all, and [`python_plugin`] is a good one in
//! another language. Test processes that run side by side build each of them once.

#[macro_use]
#[path = "../guests/hostile/src/misbehaviour.rs"]
pub mod misbehaviour;
pub mod files;
pub mod hand;
mod python;
mod verdict;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use pinhost::guest_build::{self, FOREIGN, TARGET};
use serde::Serialize;
use serde_json::{Value, json};

use crate::guests::misbehaviour::{Describing, Misbehaviour};
pub use crate::guests::python::python_plugin;
pub use crate::guests::verdict::Verdict;

/// The plugin that does wrong what its configuration names.
pub fn hostile() -> PathBuf {
    hostile_describing(Describing::Honest)
}

/// The same with something wrong in `describe`, which has no configuration to name it.
pub fn hostile_describing(what: Describing) -> PathBuf {
    let module = hostile_module();
    let path = folder().join(format!("hostile-{}.wasm", name(what)));
    let _lock = lock("hostile");
    if !is_newer(&path, [module]) {
        let mut module = read(module);
        let mark = b"hostile-describing:";
        let at = module.windows(mark.len()).position(|bytes| bytes == mark);
        let place = at.expect("the hostile plugin has a mark to change") + mark.len();
        let index = Describing::ALL.iter().position(|&other| other == what);
        module[place] = index.and_then(|index| u8::try_from(index).ok()).expect("they are few");
        write(&path, encode(&module));
    }
    path
}

/// The configuration of [`hostile`] for a misbehaviour; `where`, `n` and `in` can be added to it.
pub fn config(what: impl Into<Misbehaviour>) -> Value {
    json!({ "do": what.into() })
}

/// The name of a misbehaviour, in a configuration and for messages of tests.
pub fn name(what: impl Serialize) -> String {
    match serde_json::to_value(what) {
        Ok(Value::String(name)) => name,
        other => panic!("a name is a text, not {other:?}"),
    }
}

/// The core module of the hostile plugin, as cargo builds it: once a process.
fn hostile_module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        let _lock = lock("hostile");
        let target = folder().join("cargo");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for variable in FOREIGN {
            cargo.env_remove(variable);
        }
        cargo
            .args(["build", "--locked", "--release", "--target", TARGET])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(root().join("tests/guests/hostile"));
        run(&mut cargo);
        target.join(TARGET).join("release/hostile.wasm")
    })
}

fn encode(module: &[u8]) -> Vec<u8> {
    guest_build::encode(module).expect("the module says of which world it is")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of the workspace")
}

/// Where guests are kept, across test runs.
fn folder() -> PathBuf {
    let folder = root().join("target/guests");
    fs::create_dir_all(&folder).expect("target can be written");
    folder
}

/// Held by the one process that builds a guest; the others wait.
fn lock(name: &str) -> File {
    let lock = File::create(folder().join(format!("{name}.lock"))).expect("target can be written");
    lock.lock().expect("files in target can be locked");
    lock
}

/// Whether a file is there and newer than all of those.
fn is_newer(path: &Path, sources: impl IntoIterator<Item = impl AsRef<Path>>) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let Some(made) = modified(path) else { return false };
    sources
        .into_iter()
        .all(|source| modified(source.as_ref()).is_some_and(|changed| changed < made))
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Puts the file there in one step: other threads and processes read it, or put the same file there.
fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    static DRAFTS: AtomicU64 = AtomicU64::new(0);
    let draft = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_extension(format!("{}-{draft}.tmp", std::process::id()));
    fs::write(&draft, bytes).expect("target can be written");
    fs::rename(&draft, path).expect("target can be written");
}

fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::misbehaviour::{Answer, Deed};

    #[test]
    fn the_hostile_plugin_builds_with_anything_to_describe() {
        let mut seen = Vec::new();
        for &what in Describing::ALL {
            let component = read(&hostile_describing(what));
            assert!(component.starts_with(b"\0asm\x0d\0\x01\0"), "{what:?}");
            assert!(!seen.contains(&component), "{what:?} is like one before");
            seen.push(component);
        }
    }

    #[test]
    fn names_say_which_misbehaviour_is_meant() {
        assert_eq!(config(Deed::LoopForever), json!({ "do": "loop-forever" }));
        assert_eq!(name(Answer::TimestampYear10000), "timestamp-year10000");
        let mut names: Vec<_> = Misbehaviour::all().map(name).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "a name is used twice");
    }
}
