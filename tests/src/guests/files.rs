//! Files that somebody could name as a plugin and that are none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::hand::{self, Hand};
use super::{encode, name, run};

misbehaviours! {
    /// A file that is no plugin: all of them are refused when they are loaded.
    BadFile {
        /// Nothing is there.
        Missing,
        /// A folder.
        Directory,
        /// A pipe into which nobody writes: to open it could take for ever.
        Pipe,
        /// A link to itself.
        LinkLoop,
        /// No byte.
        Empty,
        /// The first four bytes of a component.
        Magic,
        /// The first half of a component, as an upload that stopped leaves it.
        Truncated,
        /// A component with one bit in the middle turned over.
        Corrupt,
        /// The beginning of a picture.
        Png,
        /// A shell script.
        Script,
        /// A plain text.
        Text,
        /// A component in the text format.
        Wat,
        /// A core module, as the compiler leaves it before it is made a component.
        CoreModule,
        /// A component that exports something else.
        OtherWorld,
        /// A component that exports an interface of the right name with nothing in it.
        OtherContract,
        /// A component with no imports and no exports.
        EmptyComponent,
    }
}

impl BadFile {
    /// Puts it into the folder, and says where.
    pub fn put(self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("{}.wasm", name(self)));
        match self {
            Self::Missing => {}
            Self::Directory => fs::create_dir(&path).expect("the test's folder can be written"),
            Self::Pipe => run(Command::new("mkfifo").arg(&path)),
            Self::LinkLoop => std::os::unix::fs::symlink(&path, &path).expect("links can be made"),
            _ => fs::write(&path, self.bytes()).expect("the test's folder can be written"),
        }
        path
    }

    /// What is in it; nothing if it is no regular file.
    pub fn bytes(self) -> Vec<u8> {
        let plugin = || hand::component(Hand::Honest);
        match self {
            Self::Missing | Self::Directory | Self::Pipe | Self::LinkLoop | Self::Empty => vec![],
            Self::Magic => plugin()[..4].to_vec(),
            Self::Truncated => {
                let plugin = plugin();
                plugin[..plugin.len() / 2].to_vec()
            }
            Self::Corrupt => {
                let mut plugin = plugin();
                let middle = plugin.len() / 2;
                plugin[middle] ^= 0x80;
                plugin
            }
            Self::Png => {
                b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0".to_vec()
            }
            Self::Script => b"#!/bin/sh\nexec cat\n".to_vec(),
            Self::Text => "Plugins live elsewhere – see the README.\n".as_bytes().to_vec(),
            Self::Wat => b"(component (core module (func (export \"clean\"))))\n".to_vec(),
            Self::CoreModule => parse(r#"(module (memory (export "memory") 1))"#),
            Self::OtherWorld => {
                let wit = "package acme:calculator@1.0.0;
                    world calculator { export add: func(a: u32, b: u32) -> u32; }";
                let module = r#"(module (func (export "add") (param i32 i32) (result i32)
                    (i32.add (local.get 0) (local.get 1))))"#;
                other_world(wit, module)
            }
            Self::OtherContract => {
                let wit = "package pinhost:plugin@1.0.0;
                    interface cleaner { clean: func(row: string); }
                    world plugin { export cleaner; }";
                let module = r#"(module (memory (export "memory") 1)
                    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                    (func (export "pinhost:plugin/cleaner@1.0.0#clean") (param i32 i32)))"#;
                other_world(wit, module)
            }
            Self::EmptyComponent => parse("(component)"),
        }
    }
}

/// A file of that many bytes that begins as a component does; it takes no room on the disk.
pub fn large(folder: &Path, bytes: u64) -> PathBuf {
    let path = folder.join("large.wasm");
    fs::write(&path, hand::component(Hand::Honest)).expect("the test's folder can be written");
    let file = File::options().write(true).open(&path).expect("it was written just now");
    file.set_len(bytes).expect("files may have holes");
    path
}

fn parse(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is written correctly")
}

fn other_world(wit: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("other.wit", wit).expect("the package is written correctly");
    let world = resolve.select_world(&[package], None).expect("it has one world");
    let mut module = parse(module);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("a module can hold more sections");
    encode(&module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_file_can_be_put() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for &file in BadFile::ALL {
            let path = file.put(folder.path());
            assert_eq!(path.symlink_metadata().is_ok(), file != BadFile::Missing, "{file:?}");
        }
        assert_eq!(large(folder.path(), 1 << 40).metadata().expect("it is there").len(), 1 << 40);
    }
}
