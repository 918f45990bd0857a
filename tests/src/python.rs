//! Python as its users have it: virtual environments with the packages they use, and the module.
//!
//! The environments and pip's cache are kept in `target/python`: the first run of a fresh checkout needs the
//! package registry, later runs do not.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cache;
use crate::guests::files::BadFile;
use crate::guests::hand::{Hand, hand};
use crate::guests::misbehaviour::{Answer, Deed, Describing, Misbehaviour};
use crate::guests::{Verdict, config, hostile, hostile_describing};

/// A virtual environment, by what is installed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Frames, and Spark.
    Data,
    Airflow,
}

impl Environment {
    fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Airflow => "airflow",
        }
    }

    /// Its interpreter. The first call installs everything.
    fn python(self) -> PathBuf {
        let _lock = lock(self.name());
        let requirements = tests().join(format!("requirements-{}.txt", self.name()));
        let home = folder().join(self.name());
        let (venv, installed) = (home.join("venv"), home.join("installed.txt"));
        let wanted = fs::read(&requirements).expect("the requirements stand beside the tests");
        if fs::read(&installed).ok().as_ref() != Some(&wanted) {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
            let mut pip = Command::new(venv.join("bin/pip"));
            pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(&requirements);
            run(pip.env("PIP_CACHE_DIR", folder().join("pip")));
            fs::write(&installed, wanted).expect("target can be written");
        }
        venv.join("bin/python")
    }

    /// This Python with the module on its path, and the hostile plugin where `conftest.py` looks for it.
    pub fn command(self) -> Command {
        let python = self.python();
        let bin = python.parent().expect("a file is in a folder").to_owned();
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([bin.clone()].into_iter().chain(env::split_paths(&path)));
        let mut command = Command::new(python);
        command
            .current_dir(root())
            .env("PYTHONPATH", module())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PATH", path.expect("no folder of PATH has a colon in its name"))
            .env("PYSPARK_PYTHON", bin.join("python"))
            .env("PINHOST_CACHE_DIR", cache())
            .env("PINHOST_HOSTILE", hostile());
        command
    }

    /// Runs these files of `host/python/tests`, with more environment variables.
    ///
    /// # Panics
    /// If one of their tests fails.
    pub fn tests<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        self,
        files: &[&str],
        env: impl IntoIterator<Item = (K, V)>,
    ) {
        let corpus = corpus();
        let mut pytest = self.command();
        pytest
            .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5"])
            .args(files.iter().map(|file| tests().join(file)))
            .env("PINHOST_CORPUS", corpus.path().join("corpus.json"))
            .envs(env);
        println!("{}", run(&mut pytest));
    }
}

/// A folder for `PYTHONPATH` with the package and its module.
fn module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| {
        let _lock = lock("module");
        let built = built();
        let home = folder().join("module");
        let package = home.join("pinhost");
        fs::create_dir_all(&package).expect("target can be written");
        let sources = root().join("host/python/pinhost");
        for source in fs::read_dir(&sources).expect("the package").flatten() {
            if source.path().is_file() {
                put(&source.path(), &package.join(source.file_name()));
            }
        }
        put(&built, &package.join("_pinhost.abi3.so"));
        home
    })
}

/// The library that cargo makes of `host/python`, or the one that `PINHOST_MODULE` names instead. Selected
/// like this it has the dependencies of a `cargo test --workspace`, which are there already.
fn built() -> PathBuf {
    if let Some(another) = env::var_os("PINHOST_MODULE") {
        return another.into();
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["test", "--locked", "--quiet", "--workspace", "--no-run"]);
    cargo.args(["--test", "built", "--features", "pinhost-python/extension-module"]);
    let output = run(cargo.arg("--message-format=json"));
    let library = output.lines().find_map(|line| {
        let told: Value = serde_json::from_str(line).ok()?;
        let is_it = told["target"]["name"] == "_pinhost" && told["reason"] == "compiler-artifact";
        let files = told["filenames"].as_array().filter(|_| is_it)?;
        let mut files = files.iter().filter_map(Value::as_str);
        files.find(|file| file.ends_with(env::consts::DLL_SUFFIX)).map(PathBuf::from)
    });
    library.expect("cargo names the library that it has built")
}

/// Copies in one step, since an interpreter may have the old file open.
fn put(from: &Path, to: &Path) {
    let draft = to.with_extension(format!("{}.tmp", std::process::id()));
    fs::copy(from, &draft).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    fs::rename(&draft, to).expect("target can be written");
}

/// Every misbehaviour and its verdict, for `test_hostile.py`.
fn corpus() -> TempDir {
    let poison = "Gift für die Wörter ".repeat(8);
    let misbehaviours = Misbehaviour::all().map(|what| {
        let (verdict, guilty) = match what {
            Misbehaviour::Deed(deed) => (deed.verdict(), &[7, 31][..]),
            Misbehaviour::BadPlan(plan) => (plan.verdict(), &[][..]),
            // All rows are guilty, but only nulls can be revived.
            Misbehaviour::Answer(answer @ (Answer::NullsRevive | Answer::SlicesRevive)) => {
                (answer.verdict(), &[2, 9, 30][..])
            }
            Misbehaviour::Answer(answer) => (answer.verdict(), &[7, 31][..]),
        };
        let mut config = config(what);
        if guilty == [7, 31] {
            config["where"] = json!(poison);
        }
        match what {
            Misbehaviour::Deed(Deed::LogFlood) => config["n"] = json!(20_000),
            Misbehaviour::Answer(Answer::ReplacedLarge) => config["n"] = json!(4),
            Misbehaviour::Answer(Answer::RejectedMany) => config["n"] = json!(50_000),
            _ => {}
        }
        json!({ "config": config, "verdict": format!("{verdict:?}"), "guilty": guilty })
    });
    let configuring = Deed::ALL.iter().map(|deed| {
        let mut config = config(*deed);
        config["in"] = json!("configure");
        config
    });
    let folder = tempfile::tempdir().expect("a folder");
    let describing = Describing::ALL.iter().map(|what| hostile_describing(*what));
    let by_hand = Hand::ALL.iter().filter(|what| what.verdict() != Verdict::Fine);
    let bad = BadFile::ALL.iter().map(|what| what.put(folder.path()));
    let files: Vec<PathBuf> =
        describing.chain(by_hand.map(|what| hand(*what))).chain(bad).collect();
    let corpus = json!({
        "misbehaviours": misbehaviours.collect::<Vec<Value>>(),
        "configuring": configuring.collect::<Vec<Value>>(),
        "files": files,
    });
    fs::write(folder.path().join("corpus.json"), corpus.to_string()).expect("a file");
    folder
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of the workspace")
}

fn tests() -> PathBuf {
    root().join("host/python/tests")
}

fn folder() -> PathBuf {
    let folder = root().join("target/python");
    fs::create_dir_all(&folder).expect("target can be written");
    folder
}

/// Held by the one process that makes something; the others wait.
fn lock(name: &str) -> File {
    let lock = File::create(folder().join(format!("{name}.lock"))).expect("target can be written");
    lock.lock().expect("files in target can be locked");
    lock
}

fn run(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
