//! Builds the standard plugins for the sandbox and embeds them, with the sources of the plugin kit, in
//! the binary: one `cargo build` makes all there is.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, process};

#[path = "src/guest_build.rs"]
mod guest_build;

use guest_build::{FOREIGN, TARGET};

fn main() {
    let host = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let root = host.parent().expect("the workspace").to_owned();
    for input in ["plugins", "wit", "Cargo.toml", "Cargo.lock", ".cargo/config.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/guest_build.rs");
    commit(&root);
    sandbox_version(&root.join("Cargo.lock"));

    get_target();
    let names = standard_plugins(&root.join("plugins"));
    // All profiles share it: the plugins are the same for each of them.
    let target = out.ancestors().nth(4).expect("a folder of a target folder").join("plugins");
    build(&root, &target, &names);
    let modules = target.join(TARGET).join("plugin");

    let mut source = String::from("&[\n");
    for name in &names {
        let module = modules.join(name.replace('-', "_")).with_extension("wasm");
        let component = out.join(name).with_extension("wasm");
        fs::write(&component, encode(&module)).expect("OUT_DIR can be written");
        writeln!(source, "({name:?}, include_bytes!({component:?})),").expect("a String takes all");
    }
    fs::write(out.join("standard_plugins.rs"), source + "]").expect("OUT_DIR can be written");

    let manuals =
        names.iter().map(|name| (name.clone(), root.join("plugins").join(name).join("README.md")));
    fs::write(out.join("plugin_pages.rs"), texts(manuals)).expect("OUT_DIR can be written");
    fs::write(out.join("pages.rs"), texts(pages(&host.join("pages"))))
        .expect("OUT_DIR can be written");

    let mut files = Vec::new();
    files.push(root.join("plugins/sdk/Cargo.toml"));
    files_below(&root.join("plugins/sdk/src"), &mut files);
    files_below(&root.join("wit"), &mut files);
    let kit = files.into_iter().map(|file| {
        let name = file.strip_prefix(&root).expect("below the root").display().to_string();
        (name, file)
    });
    fs::write(out.join("plugin_kit.rs"), texts(kit)).expect("OUT_DIR can be written");
}

/// Names and the texts of files, as an array of Rust.
fn texts(files: impl Iterator<Item = (String, PathBuf)>) -> String {
    let mut source = String::from("&[\n");
    for (name, file) in files {
        writeln!(source, "({name:?}, include_str!({file:?})),").expect("a String takes all");
    }
    source + "]"
}

/// The pages of the manual by their names.
fn pages(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(folder).expect("the folder of pages");
    let mut pages: Vec<_> = entries
        .map(|entry| entry.expect("an entry of it").path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .map(|path| {
            (path.file_stem().expect("a name").to_str().expect("in ASCII").to_owned(), path)
        })
        .collect();
    pages.sort();
    pages.into_iter()
}

/// The crates beside the SDK.
fn standard_plugins(plugins: &Path) -> Vec<String> {
    let entries = fs::read_dir(plugins)
        .expect("the folder of plugins")
        .map(|entry| entry.expect("an entry of it").path());
    let mut names: Vec<_> = entries
        .filter(|path| path.join("Cargo.toml").exists() && !path.ends_with("sdk"))
        .map(|path| path.file_name().expect("a name").to_str().expect("in ASCII").to_owned())
        .collect();
    names.sort();
    names
}

fn build(root: &Path, target: &Path, names: &[String]) {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--profile", "plugin", "--target", TARGET, "--target-dir"])
        .arg(target)
        .args(names.iter().flat_map(|name| ["--package", name]));
    for name in FOREIGN {
        cargo.env_remove(name);
    }
    let done = cargo.stdin(Stdio::null()).status().expect("cargo, which runs us, can be started");
    if !done.success() {
        fail("the standard plugins could not be built; cargo says why above");
    }
}

fn encode(module: &Path) -> Vec<u8> {
    let module = fs::read(module).expect("cargo has built it");
    guest_build::encode(&module).expect("a module whose bindings are made from the same WIT")
}

/// Has the standard library for the plugins' target installed where rustup does not do so by itself.
fn get_target() {
    let rustc = env::var_os("RUSTC").expect("cargo sets it");
    if guest_build::has_target(Command::new(rustc)).expect("rustc can be started") {
        return;
    }
    println!(
        "cargo::warning=getting the target {TARGET} for the plugins: rustup target add {TARGET}"
    );
    let got = Command::new("rustup").args(["target", "add", TARGET]).stdin(Stdio::null()).status();
    if !got.is_ok_and(|status| status.success()) {
        fail(&format!(
            "the plugins need the target {TARGET}, and rustup could not add it; type: rustup target add {TARGET}"
        ));
    }
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    process::exit(1)
}

/// `PINHOST_COMMIT`, for `--version`. Empty outside a checkout, and in development builds, which would
/// have to be made again after every commit.
fn commit(root: &Path) {
    let git = |args: &[&str]| {
        let output = Command::new("git").current_dir(root).args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let mut commit = String::new();
    if env::var("PROFILE").as_deref() == Ok("release") {
        commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
        // The log of HEAD changes with every commit and every checkout.
        let paths = ["HEAD", "logs/HEAD"].map(|file| git(&["rev-parse", "--git-path", file]));
        for path in paths.into_iter().flatten().map(|path| root.join(path)) {
            if path.exists() {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
    }
    println!("cargo::rustc-env=PINHOST_COMMIT={commit}");
}

/// `PINHOST_WASMTIME`, for `--version`: wasmtime does not say which one it is.
fn sandbox_version(lock: &Path) {
    let lock = fs::read_to_string(lock).expect("a workspace that is built has a lock file");
    let version = lock
        .split_once("name = \"wasmtime\"\nversion = \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(version, _)| version);
    println!("cargo::rustc-env=PINHOST_WASMTIME={version}");
}

/// Files that belong to the plugin kit, in an order that does not change.
fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.push(path);
        }
    }
}
