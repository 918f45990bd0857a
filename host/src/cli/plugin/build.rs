//! `pinhost plugin build`: a crate becomes one component file, which has been loaded once.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::{subject, test};
use crate::cli::{CliError, Exit, output};
use crate::guest_build::{self, FOREIGN, TARGET};
use crate::plugin::{Origin, Plugin, PluginFile};

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// The plugin's folder.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Where to write the component [default: NAME.wasm in the folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write it without running the golden cases that lie in its folder.
    #[arg(long)]
    untested: bool,
}

pub(super) fn run(args: &BuildArgs) -> Result<Exit, CliError> {
    let built = build(&args.folder)?;
    // A file that is written is one that can be loaded.
    let plugin = subject::load(&subject::sandbox()?, built.file.clone())?;
    let cases = args.folder.join("cases");
    if !args.untested && cases.is_dir() {
        refuse_failing(&plugin, &cases)?;
    }
    let path = args.output.clone().unwrap_or_else(|| {
        let is_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name = Some(plugin.name()).filter(|name| name.chars().all(is_safe));
        let file = format!("{}.wasm", name.unwrap_or(&built.crate_name));
        if is_here(&args.folder) { PathBuf::from(file) } else { args.folder.join(file) }
    });
    write(&path, built.file.bytes())
        .map_err(|error| CliError::io(format!("cannot write {}", path.display()), &error))?;
    output::result(path.display())?;
    output::talk(format!(
        "{} {}: {}, compiled in {}",
        plugin.name(),
        plugin.version(),
        output::bytes(built.file.bytes().len() as u64),
        compiled(&plugin),
    ));
    Ok(Exit::Done)
}

/// A pipeline may be watching for the file: what its author knows to be wrong is not put there.
fn refuse_failing(plugin: &Plugin, cases: &Path) -> Result<(), CliError> {
    let Some(failed) = test::failed(plugin, cases)? else { return Ok(()) };
    Err(CliError::failed(format!("{} does not pass its golden cases\n{failed}", plugin.name())).help(
        "mend it; where what comes out is right, `pinhost plugin test --update` writes it into the cases; \
         --untested builds it all the same",
    ))
}

fn compiled(plugin: &Plugin) -> String {
    let compiled = plugin.compiled();
    let from = if compiled.from_cache { " (from the cache)" } else { "" };
    format!("{}{from}", output::time(compiled.took))
}

/// What cargo and the encoder made.
pub(super) struct Built {
    pub(super) file: PluginFile,
    crate_name: String,
}

/// Builds the crate in `folder`. What cargo has to say, it says on stderr.
pub(super) fn build(folder: &Path) -> Result<Built, CliError> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.exists() {
        let error = CliError::input(format!("{} has no Cargo.toml", shown(folder)));
        return Err(match only_component(folder) {
            Some(file) => {
                error.help(format!("for a plugin in another language name its file: {file}"))
            }
            None => error.help("name a plugin's folder; `pinhost plugin new NAME` makes one"),
        });
    }
    if !guest_build::has_target(tool("RUSTC", "rustc", folder))
        .map_err(|error| no_rust("rustc", &error))?
    {
        return Err(CliError::environment(format!(
            "Rust's standard library for {TARGET} is not installed"
        ))
        .help(format!("rustup target add {TARGET}")));
    }
    let module = cargo(folder, &manifest)?;
    let read = std::fs::read(&module.path).map_err(|error| {
        CliError::environment(format!("cannot read {}", module.path.display())).because(&error)
    })?;
    let component = guest_build::encode(&read).map_err(|cause| {
        CliError::failed(format!("{} is no plugin: {cause}", module.crate_name))
            .help("a plugin may import nothing but what the SDK does: look for a crate that wants a browser or WASI")
    })?;
    let origin = Origin::File(manifest.with_file_name(format!("{}.wasm", module.crate_name)));
    Ok(Built {
        file: PluginFile::new(origin, Arc::from(component))?,
        crate_name: module.crate_name,
    })
}

fn is_here(folder: &Path) -> bool {
    folder == Path::new(".")
}

fn shown(folder: &Path) -> String {
    if is_here(folder) { "this folder".to_owned() } else { folder.display().to_string() }
}

/// The .wasm file of a folder that has only one.
fn only_component(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut files = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    let file = files.next()?;
    files.next().is_none().then(|| file.display().to_string())
}

struct Module {
    path: PathBuf,
    crate_name: String,
}

fn cargo(folder: &Path, manifest: &Path) -> Result<Module, CliError> {
    let mut cargo = tool("CARGO", "cargo", folder);
    cargo.args(["build", "--release", "--lib", "--target", TARGET]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    for name in FOREIGN {
        cargo.env_remove(name);
    }
    let done = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| no_rust("cargo", &error))?;
    if !done.status.success() {
        return Err(CliError::failed("cargo could not build it; it says why above"));
    }
    let messages = done.stdout.split(|byte| *byte == b'\n');
    let messages = messages.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let made = messages.filter_map(|message| module(&message, manifest)).next_back();
    made.ok_or_else(|| {
        CliError::input(format!("{} makes no WebAssembly module", manifest.display()))
            .help("a plugin's Cargo.toml says:\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]")
    })
}

/// The module that one of cargo's messages is about, if it is that of the crate itself.
fn module(message: &Value, manifest: &Path) -> Option<Module> {
    let of = PathBuf::from(message.get("manifest_path")?.as_str()?);
    if of.canonicalize().ok()? != manifest.canonicalize().ok()? {
        return None;
    }
    let files = message.get("filenames")?.as_array()?;
    let mut files = files.iter().filter_map(|file| Some(PathBuf::from(file.as_str()?)));
    let path = files.find(|file| file.extension().is_some_and(|extension| extension == "wasm"))?;
    let crate_name = message.pointer("/target/name")?.as_str()?.to_owned();
    Some(Module { path, crate_name })
}

/// A tool as it would be run in that folder, where another toolchain may be chosen.
fn tool(variable: &str, name: &str, folder: &Path) -> Command {
    let mut command = Command::new(env::var_os(variable).unwrap_or_else(|| OsString::from(name)));
    command.current_dir(folder);
    command
}

fn no_rust(tool: &str, error: &io::Error) -> CliError {
    CliError::environment(format!("cannot start {tool}, which builds plugins"))
        .because(error)
        .help("install Rust with rustup, and open a new terminal")
}

/// Puts the whole file there at once: a pipeline may be watching.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".pinhost-");
    // Otherwise a temporary file is its owner's alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
