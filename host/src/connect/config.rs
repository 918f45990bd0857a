//! What all configurations can do, whatever they are of.

use std::any::Any;
use std::fmt::Debug;
use std::path::{Path, absolute};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// A configuration whose type is not known: plain values that can be compared and shown. Each type
/// that can be is one.
pub trait AnyConfig: Any + Debug + Send + Sync {
    /// Whether it is of the same type and says the same.
    fn equals(&self, other: &dyn Any) -> bool;

    /// With its secrets.
    fn to_json(&self) -> Box<RawValue>;
}

impl<T: Any + Debug + Send + Sync + PartialEq + Serialize> AnyConfig for T {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref().is_some_and(|other| self == other)
    }

    fn to_json(&self) -> Box<RawValue> {
        to_raw_value(self).expect("a configuration is plain values, and its keys are text")
    }
}

/// The pipeline's file in which a configuration stands: what is left out may follow from it.
#[derive(Debug, Clone, Copy)]
pub struct ConfigFile<'a> {
    /// The pipeline's name, if it has one.
    pub pipeline: Option<&'a str>,
    pub path: &'a Path,
}

impl ConfigFile<'_> {
    /// Makes a path whole: paths in a file are those from the file on.
    pub fn complete(&self, path: &mut String) {
        if path.is_empty() || Path::new(&**path).is_absolute() {
            return;
        }
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // Where the current folder is gone, nothing relative can be told better.
        let Ok(folder) = folder.canonicalize().or_else(|_| absolute(folder)) else { return };
        let mut plain = &**path;
        while let Some(rest) = plain.strip_prefix("./") {
            plain = rest.trim_start_matches('/');
        }
        *path = folder.join(plain).to_string_lossy().into_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_from_the_file_on() {
        let file = ConfigFile { pipeline: None, path: Path::new("/not/there/a.yaml") };
        for (written, whole) in [
            ("pins.db", "/not/there/pins.db"),
            ("./posts/", "/not/there/posts/"),
            (".//./posts", "/not/there/posts"),
            ("../posts", "/not/there/../posts"),
            ("/var/pins.db", "/var/pins.db"),
            ("", ""),
        ] {
            let mut path = written.to_owned();
            file.complete(&mut path);
            assert_eq!(path, whole);
        }
        let here = ConfigFile { pipeline: None, path: Path::new("a.yaml") };
        let mut path = "pins.db".to_owned();
        here.complete(&mut path);
        assert_eq!(Path::new(&path), Path::new(".").canonicalize().unwrap().join("pins.db"));
    }
}
