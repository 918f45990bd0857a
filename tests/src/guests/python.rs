//! The example plugin in Python, built as its README says.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{folder, is_newer, lock, read, root, run, write};

/// The component of `examples/python-plugin`. The first build of a fresh `target` needs a Python and
/// its package registry; later ones only if a source has changed.
pub fn python_plugin() -> PathBuf {
    let _lock = lock("python");
    let source = root().join("examples/python-plugin");
    let wit = root().join("wit");
    let home = folder().join("python");
    let requirements = source.join("requirements.txt");
    let component = home.join("slug.wasm");
    if is_newer(&component, [&requirements, &source.join("app.py"), &wit.join("plugin.wit")]) {
        return component;
    }

    let venv = home.join("venv");
    let installed = home.join("installed.txt");
    if !installed.exists() || read(&installed) != read(&requirements) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        let mut pip = Command::new(venv.join("bin/pip"));
        run(pip
            .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&requirements));
        write(&installed, read(&requirements));
    }

    let draft = home.join("draft.wasm");
    let mut componentize = Command::new(venv.join("bin/componentize-py"));
    componentize
        .env("VIRTUAL_ENV", &venv)
        .args(["--quiet", "-w", "plugin", "-d"])
        .arg(&wit)
        .args(["componentize", "app", "-p"])
        .arg(&source)
        .arg("-o")
        .arg(&draft);
    run(&mut componentize);
    fs::rename(&draft, &component).expect("target can be written");
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_python_plugin_builds() {
        assert!(read(&python_plugin()).starts_with(b"\0asm\x0d\0\x01\0"));
    }
}
