//! Which plugin a command is about, and what it is to be given.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;

use super::build;
use crate::cli::{CliError, output};
use crate::plugin::{CacheFolder, Plugin, PluginFile, PluginLimits, Sandbox, standard};
use crate::record::{Field, Kind};
use crate::written::nearest::nearest;

/// What PLUGIN names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The folder of a crate, which is built first.
    Folder(PathBuf),
    File(PathBuf),
    Standard(&'static str),
}

impl Subject {
    pub(super) fn find(named: &str) -> Result<Self, CliError> {
        let path = Path::new(named);
        // As in a rule: a bare name is a plugin that comes with pinhost, anything else a path.
        if let Some(name) = standard::names().find(|name| *name == named) {
            if path.exists() {
                output::talk(format!(
                    "{name} is the plugin that comes with pinhost; for the one in this folder type ./{name}"
                ));
            }
            return Ok(Self::Standard(name));
        }
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        if path.exists() {
            return Ok(Self::File(path.to_owned()));
        }
        let error = CliError::input(format!("there is no plugin `{named}`"));
        let looks_like_a_path = named.contains(['/', '\\', '.']);
        Err(match nearest(named, standard::names()) {
            Some(name) if !looks_like_a_path => error.help(format!("did you mean `{name}`?")),
            _ => error.help(format!(
                "name a plugin's folder, a .wasm file, or one that comes with pinhost: {}",
                standard::names().collect::<Vec<_>>().join(", ")
            )),
        })
    }

    /// Reads it, or builds it. Building leaves no .wasm file: a pipeline might be watching for one.
    pub(super) fn file(&self) -> Result<PluginFile, CliError> {
        match self {
            Self::Standard(name) => Ok(standard::find(name).expect("its name was found before")),
            Self::File(path) => Ok(PluginFile::read(path, PluginLimits::default().file)?),
            Self::Folder(folder) => Ok(build::build(folder)?.file),
        }
    }

    pub(super) fn load(&self, sandbox: &Sandbox) -> Result<Plugin, CliError> {
        load(sandbox, self.file()?)
    }

    /// The folder where its golden cases are.
    pub(super) fn cases(&self) -> Option<PathBuf> {
        match self {
            Self::Folder(folder) if folder == Path::new(".") => Some(PathBuf::from("cases")),
            Self::Folder(folder) => Some(folder.join("cases")),
            Self::File(file) => Some(file.parent()?.join("cases")),
            Self::Standard(_) => None,
        }
    }
}

pub(super) fn sandbox() -> Result<Sandbox, CliError> {
    Ok(Sandbox::new(&CacheFolder::Usual)?)
}

pub(super) fn load(sandbox: &Sandbox, file: PluginFile) -> Result<Plugin, CliError> {
    Ok(Plugin::load(sandbox, file, &Arc::new(PluginLimits::default()))?)
}

/// A step's configuration as an argument: JSON, or YAML in a line as in a rule's `with`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConfigArg(pub(super) Value);

impl ConfigArg {
    pub(super) fn or_empty(config: Option<&Self>) -> Value {
        config.map_or_else(|| Value::Object(serde_json::Map::new()), |config| config.0.clone())
    }
}

impl FromStr for ConfigArg {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
        match serde_saphyr::from_str_with_options(written, options) {
            Ok(value @ Value::Object(_)) => Ok(Self(value)),
            Ok(_) => Err("a configuration is an object, like '{column: title}'".to_owned()),
            Err(error) => Err(format!("{error}; it is written like '{{column: title}}'")),
        }
    }
}

/// Columns as an argument: `title=text,n=integer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnsArg(pub(super) Arc<[Field]>);

impl FromStr for ColumnsArg {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let columns = written.split(',').filter(|column| !column.trim().is_empty()).map(|column| {
            let (name, kind) = column.trim().rsplit_once('=').ok_or_else(|| {
                format!("`{}` has no kind; columns are written like title=text", column.trim())
            })?;
            let kind = kind.trim();
            let found = Kind::ALL.into_iter().find(|known| known.name() == kind);
            let kind = found.ok_or_else(|| no_kind(kind))?;
            Ok(Field::new(name.trim(), kind))
        });
        Ok(Self(columns.collect::<Result<_, String>>()?))
    }
}

fn no_kind(written: &str) -> String {
    let names = Kind::ALL.map(Kind::name);
    match nearest(written, names) {
        Some(name) => format!("there is no kind `{written}`; did you mean `{name}`?"),
        None => format!("there is no kind `{written}`; the kinds are {}", names.join(", ")),
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) | Self::File(path) => write!(f, "{}", path.display()),
            Self::Standard(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_is_written_as_in_a_rule_or_as_json() {
        for written in ["{column: title}", r#"{"column": "title"}"#] {
            assert_eq!(written.parse(), Ok(ConfigArg(json!({"column": "title"}))));
        }
        assert!("title".parse::<ConfigArg>().is_err());
        assert!("{".parse::<ConfigArg>().is_err());
    }

    #[test]
    fn columns_are_names_with_kinds() {
        let ColumnsArg(columns) = "title=text, a=b=text-list".parse().unwrap();
        assert_eq!(*columns, [Field::new("title", Kind::Text), Field::new("a=b", Kind::TextList)]);
        let error = "title=txt".parse::<ColumnsArg>().unwrap_err();
        assert_eq!(error, "there is no kind `txt`; did you mean `text`?");
        assert!("title".parse::<ColumnsArg>().unwrap_err().contains("has no kind"));
    }
}
