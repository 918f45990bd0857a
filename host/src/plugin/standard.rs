//! What the binary carries: the standard plugins, and the kit for writing others.

use super::{Origin, PluginFile};

static PLUGINS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/standard_plugins.rs"));

/// The sources of the SDK and the contract, by their paths in the repository.
pub static KIT: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/plugin_kit.rs"));

/// Their manuals, by their names.
pub static PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/plugin_pages.rs"));

/// The names of the plugins that come with pinhost.
pub fn names() -> impl Iterator<Item = &'static str> {
    PLUGINS.iter().map(|(name, _)| *name)
}

pub fn find(name: &str) -> Option<PluginFile> {
    let (name, bytes) = PLUGINS.iter().find(|(standard, _)| *standard == name)?;
    let file = PluginFile::new(Origin::Standard(name), (*bytes).into());
    Some(file.expect("the build script made a component of it"))
}
