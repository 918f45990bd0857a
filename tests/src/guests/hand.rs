//! Plugins written by hand, as core modules in text: what a compiler's bindings would never say.
//!
//! Each reads and writes `text` and leaves it unchanged, but for one thing.

use std::path::PathBuf;

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{Verdict, encode, folder, name, read, root, write};

misbehaviours! {
    /// What is wrong with a plugin written by hand.
    Hand {
        /// Nothing.
        Honest,

        /// Traps while it is instantiated.
        StartTrap,
        /// Never ends to be instantiated.
        StartLoopForever,
        /// Asks for 4 GiB of memory from the beginning.
        StartMemory,
        /// Asks for a table of 10,000,000 entries from the beginning.
        StartTable,
        /// Has ten tables of 5,000 entries: each small, together many.
        StartTables,

        /// Grows a table until it is refused, then traps.
        GrowTable,
        /// Grows its memory until it is refused, without touching it, then traps.
        GrowMemory,

        /// 2,000 changes, all of which are the same MiB of memory: 2 GB once they are copied.
        AliasedChanges,
        /// 10,000 rejections, all of which have the same 64 KiB as reason and as detail.
        AliasedRejections,
        /// A list that begins past the end of memory.
        ListOutOfBounds,
        /// A list so long that its size in bytes overflows 32 bits.
        ListOverflow,
        /// A list at an odd address.
        ListMisaligned,
        /// A change of the kind 99.
        VariantUnknown,
        /// An option that is neither there nor absent.
        OptionUnknown,
        /// A result at an odd address.
        ResultMisaligned,
        /// A result past the end of memory.
        ResultOutOfBounds,
        /// A reason that is not UTF-8.
        TextNotUtf8,

        /// Traps when memory is asked for, for the arguments of a call.
        ReallocTrap,
        /// Never returns when memory is asked for.
        ReallocLoopForever,
        /// Gives memory past the end of its own.
        ReallocOutOfBounds,
        /// Gives memory at an odd address.
        ReallocMisaligned,
        /// Logs while memory is asked for, when no call may leave it.
        ReallocLogs,
        /// Traps after its answer was taken.
        PostReturnTrap,
        /// Never returns after its answer was taken.
        PostReturnLoopForever,

        /// Logs at the level 99.
        LogLevelUnknown,
        /// Logs a message past the end of memory.
        LogOutOfBounds,
        /// Logs bytes that are not UTF-8.
        LogNotUtf8,

        /// Exports the contract's version 1.1.0, which doesn't exist yet.
        ContractMinor,
        /// Exports the contract's version 2.0.0, which doesn't exist yet.
        ContractMajor,
        /// Imports `wasi:http/outgoing-handler`, so the network.
        ImportsHttp,
        /// Imports `acme:vault/secrets`, which nobody knows.
        ImportsUnknown,
        /// Waits an hour for WASI's clock, then cleans normally: the wait is over at once.
        Sleeps,
        /// Calls a function by a typed reference, of which a compiler in a hurry knows nothing.
        TypedReference,
    }
}

impl Hand {
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Honest | Self::Sleeps | Self::TypedReference => Verdict::Fine,
            Self::StartTrap
            | Self::StartLoopForever
            | Self::StartMemory
            | Self::StartTable
            | Self::StartTables
            | Self::ReallocTrap
            | Self::ReallocLoopForever
            | Self::ReallocOutOfBounds
            | Self::ReallocMisaligned
            | Self::ReallocLogs
            | Self::ContractMinor
            | Self::ContractMajor
            | Self::ImportsHttp
            | Self::ImportsUnknown => Verdict::Refused,
            Self::GrowTable
            | Self::GrowMemory
            | Self::AliasedChanges
            | Self::AliasedRejections
            | Self::ListOutOfBounds
            | Self::ListOverflow
            | Self::ListMisaligned
            | Self::VariantUnknown
            | Self::OptionUnknown
            | Self::ResultMisaligned
            | Self::ResultOutOfBounds
            | Self::TextNotUtf8
            | Self::PostReturnTrap
            | Self::PostReturnLoopForever
            | Self::LogLevelUnknown
            | Self::LogOutOfBounds
            | Self::LogNotUtf8 => Verdict::Trap,
        }
    }
}

/// The component, in a file.
pub fn hand(what: Hand) -> PathBuf {
    let path = folder().join(format!("hand-{}.wasm", name(what)));
    write(&path, component(what));
    path
}

/// The component's bytes.
pub fn component(what: Hand) -> Vec<u8> {
    let (mut module, wit) = (Module::default(), wit());
    match what {
        Hand::ContractMinor => {
            module.version = "1.1.0";
            return module.component(&[wit.replace("@1.0.0", "@1.1.0")]);
        }
        Hand::ContractMajor => {
            module.version = "2.0.0";
            return module.component(&[wit.replace("@1.0.0", "@2.0.0")]);
        }
        Hand::ImportsHttp => {
            let other = "package wasi:http@0.2.0; interface outgoing-handler { handle: func(); }";
            module.imports = r#"(import "wasi:http/outgoing-handler@0.2.0" "handle" (func))"#;
            let world = "import log; import wasi:http/outgoing-handler@0.2.0;";
            return module.component(&[other.to_owned(), wit.replace("import log;", world)]);
        }
        Hand::ImportsUnknown => {
            let other = "package acme:vault@1.0.0; interface secrets { open: func(); }";
            module.imports = r#"(import "acme:vault/secrets@1.0.0" "open" (func))"#;
            let world = "import log; import acme:vault/secrets@1.0.0;";
            return module.component(&[other.to_owned(), wit.replace("import log;", world)]);
        }
        Hand::Sleeps => {
            module.imports = r#"
                (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration"
                  (func $wait (param i64) (result i32)))
                (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;
            module.clean = "(call $block (call $wait (i64.const 3600000000000)))".to_owned();
            let io = "package wasi:io@0.2.0;
                interface poll { resource pollable { block: func(); } }";
            let clocks = "package wasi:clocks@0.2.0;
                interface monotonic-clock {
                    use wasi:io/poll@0.2.0.{pollable};
                    subscribe-duration: func(when: u64) -> pollable;
                }";
            let world = "import log; import wasi:clocks/monotonic-clock@0.2.0;";
            let wit = wit.replace("import log;", world);
            return module.component(&[io.to_owned(), clocks.to_owned(), wit]);
        }
        _ => module.spoil(what),
    }
    module.component(&[wit])
}

/// The contract as it is.
fn wit() -> String {
    String::from_utf8(read(&root().join("wit/plugin.wit"))).expect("the contract is text")
}

const TRAP: &str = "unreachable";
const LOOP_FOREVER: &str = "(loop $forever (br $forever))";

/// Where things stand in the module's memory; the heap follows the second page.
mod place {
    pub(super) const TEXTS: u32 = 0;
    pub(super) const DESCRIPTION: u32 = 64;
    pub(super) const PLAN: u32 = 128;
    pub(super) const READS: u32 = 192;
    pub(super) const WRITES: u32 = 208;
    pub(super) const CLEANED: u32 = 256;
    /// The only change: the case, then up to 48 bytes.
    pub(super) const CHANGE: u32 = 320;
    /// The only rejection: 24 bytes.
    pub(super) const REJECTION: u32 = 384;
    pub(super) const HEAP: u32 = 2 << 16;
}

/// A core module that implements the contract, in pieces.
struct Module {
    version: &'static str,
    imports: &'static str,
    memory: &'static str,
    /// More definitions.
    fields: &'static str,
    /// What `cabi_realloc` does before it returns `realloc_result`.
    realloc: &'static str,
    realloc_result: &'static str,
    /// What `clean` does before it returns `clean_result`.
    clean: String,
    clean_result: u32,
    /// `cleaned`: the pointers and lengths of its four lists.
    cleaned: [u32; 8],
    change: [u32; 13],
    rejection: [u32; 6],
}

impl Default for Module {
    fn default() -> Self {
        Self {
            version: "1.0.0",
            imports: "",
            memory: "(memory (export \"memory\") 2)",
            fields: "",
            realloc: "",
            realloc_result: "(local.get $at)",
            clean: String::new(),
            clean_result: place::CLEANED,
            cleaned: [place::CHANGE, 1, 0, 0, 0, 0, 0, 0],
            change: [0; 13],
            rejection: [0; 6],
        }
    }
}

impl Module {
    fn spoil(&mut self, what: Hand) {
        match what {
            Hand::StartTrap => self.fields = "(func $start unreachable) (start $start)",
            Hand::StartLoopForever => {
                self.fields = "(func $start (loop $forever (br $forever))) (start $start)";
            }
            Hand::StartMemory => self.memory = "(memory (export \"memory\") 65536)",
            Hand::StartTable => self.fields = "(table 10000000 funcref)",
            Hand::StartTables => {
                self.fields = "(table 5000 funcref) (table 5000 funcref) (table 5000 funcref)
                    (table 5000 funcref) (table 5000 funcref) (table 5000 funcref)
                    (table 5000 funcref) (table 5000 funcref) (table 5000 funcref)
                    (table 5000 funcref)";
            }
            Hand::GrowTable => {
                self.fields = "(table $table 0 funcref)";
                self.clean = "(loop $more (br_if $more (i32.ne (i32.const -1)
                    (table.grow $table (ref.null func) (i32.const 1000))))) unreachable"
                    .to_owned();
            }
            Hand::GrowMemory => {
                self.clean = "(loop $more (br_if $more (i32.ne (i32.const -1)
                    (memory.grow (i32.const 16))))) unreachable"
                    .to_owned();
            }
            Hand::AliasedChanges => {
                // `replaced(boolean(bits))`, where the bits are the first MiB of memory.
                self.memory = "(memory (export \"memory\") 32)";
                self.change[0] = 5;
                self.change[3] = 1 << 20;
                self.clean = repeat(place::CHANGE, 52, 2_000);
                self.cleaned[..2].copy_from_slice(&[1 << 20, 2_000]);
            }
            Hand::AliasedRejections => {
                self.memory = "(memory (export \"memory\") 32)";
                // The second page is all zeros, and so is UTF-8.
                self.rejection = [0, 1 << 16, 1 << 16, 1, 1 << 16, 1 << 16];
                self.clean = repeat(place::REJECTION, 24, 10_000);
                self.cleaned[4..6].copy_from_slice(&[1 << 20, 10_000]);
            }
            Hand::ListOutOfBounds => self.cleaned[2..4].copy_from_slice(&[0xffff_0000, 10]),
            Hand::ListOverflow => self.cleaned[2..4].copy_from_slice(&[0, 0x4000_0001]),
            Hand::ListMisaligned => self.cleaned[2..4].copy_from_slice(&[1, 1]),
            Hand::VariantUnknown => self.change[0] = 99,
            Hand::OptionUnknown => {
                // `replaced(boolean(...))` of one byte, and then the option of bits.
                self.change[0] = 5;
                self.change[3] = 1;
                self.change[8] = 7;
            }
            Hand::ResultMisaligned => self.clean_result += 1,
            Hand::ResultOutOfBounds => self.clean_result = 0xffff_fff0,
            Hand::TextNotUtf8 => {
                // No detail. The reason is the byte after the one that says so, which no one reads.
                self.rejection = [0, place::REJECTION + 13, 1, 0xffff_ff00, 0, 0];
                self.cleaned[4..6].copy_from_slice(&[place::REJECTION, 1]);
            }
            Hand::ReallocTrap => self.realloc = TRAP,
            Hand::ReallocLoopForever => self.realloc = LOOP_FOREVER,
            Hand::ReallocOutOfBounds => self.realloc_result = "(i32.const -16)",
            Hand::ReallocMisaligned => {
                self.realloc_result = "(i32.add (local.get $at) (i32.const 1))";
            }
            Hand::ReallocLogs => {
                self.realloc = "(call $log (i32.const 1) (i32.const 0) (i32.const 4))";
            }
            Hand::PostReturnTrap => {
                self.fields = r#"(func (export "cabi_post_pinhost:plugin/cleaner@1.0.0#clean")
                    (param i32) unreachable)"#;
            }
            Hand::PostReturnLoopForever => {
                self.fields = r#"(func (export "cabi_post_pinhost:plugin/cleaner@1.0.0#clean")
                    (param i32) (loop $forever (br $forever)))"#;
            }
            Hand::LogLevelUnknown => self.clean = log(99, place::TEXTS, 4),
            Hand::LogOutOfBounds => self.clean = log(1, 0xffff_0000, 4),
            Hand::LogNotUtf8 => {
                // There is no rejection: its last word is free.
                self.rejection[5] = 0xffff_ffff;
                self.clean = log(1, place::REJECTION + 20, 4);
            }
            Hand::TypedReference => {
                self.fields = "(type $nothing (func)) (func $nothing) (elem declare func $nothing)";
                self.clean = "(call_ref $nothing (ref.func $nothing))".to_owned();
            }
            Hand::Honest
            | Hand::ContractMinor
            | Hand::ContractMajor
            | Hand::ImportsHttp
            | Hand::ImportsUnknown
            | Hand::Sleeps => {}
        }
    }

    /// The module as a component; the contract is in the last of the packages.
    fn component(&self, packages: &[String]) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let ids = packages.iter().map(|package| {
            resolve.push_str("plugin.wit", package).expect("the packages are written correctly")
        });
        let last = ids.last().expect("there is the contract at least");
        let world = resolve.select_world(&[last], Some("plugin")).expect("it has that world");
        let mut module = wat::parse_str(self.text()).expect("the text is written correctly");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("a module can hold more sections");
        encode(&module)
    }

    fn text(&self) -> String {
        use place::{CHANGE, CLEANED, DESCRIPTION, HEAP, PLAN, READS, REJECTION, TEXTS, WRITES};
        let Self { version, imports, memory, fields, realloc, realloc_result, .. } = self;
        let Self { clean, clean_result, .. } = self;
        let cleaner = format!("pinhost:plugin/cleaner@{version}");

        // Each text is at a multiple of 8 from the beginning: `hand`, `text`, `1.0.0`, `{}`.
        let description = words(&[0, 4, 16, 5, 0, 4, 24, 2]);
        let plan = words(&[0, READS, 1, WRITES, 1, 0, 0]);
        let reads = words(&[8, 4]);
        let writes = words(&[8, 4, 3]);
        let cleaned = words(&[&[0], &self.cleaned[..]].concat());
        let change = words(&self.change);
        let rejection = words(&self.rejection);
        format!(
            r#"(module
              (import "pinhost:plugin/log@{version}" "write"
                (func $log (param i32 i32 i32)))
              {imports}
              {memory}
              (global $heap (mut i32) (i32.const {HEAP}))
              (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
                (local $at i32)
                {realloc}
                (local.set $at (global.get $heap))
                (global.set $heap (i32.and (i32.const -8) (i32.add (i32.const 7)
                  (i32.add (local.get $at) (local.get $size)))))
                (loop $more
                  (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
                    (then
                      (if (i32.eq (i32.const -1) (memory.grow (i32.const 1)))
                        (then unreachable))
                      (br $more))))
                {realloc_result})
              (func (export "{cleaner}#describe") (result i32) (i32.const {DESCRIPTION}))
              (func (export "{cleaner}#configure") (param i32 i32 i32 i32) (result i32)
                (i32.const {PLAN}))
              (func (export "{cleaner}#clean") (param i32 i32 i32) (result i32)
                (local $i i32)
                {clean}
                (global.set $heap (i32.const {HEAP}))
                (i32.const {clean_result}))
              {fields}
              (data (i32.const {TEXTS}) "hand\00\00\00\00text\00\00\00\001.0.0\00\00\00{{}}")
              (data (i32.const {DESCRIPTION}) "{description}")
              (data (i32.const {PLAN}) "{plan}")
              (data (i32.const {READS}) "{reads}")
              (data (i32.const {WRITES}) "{writes}")
              (data (i32.const {CLEANED}) "{cleaned}")
              (data (i32.const {CHANGE}) "{change}")
              (data (i32.const {REJECTION}) "{rejection}"))"#
        )
    }
}

/// Little-endian words, as the text format writes bytes.
fn words(words: &[u32]) -> String {
    words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect()
}

/// Copies what is at `from` so many times to the second MiB.
fn repeat(from: u32, size: u32, times: u32) -> String {
    format!(
        "(loop $more
          (memory.copy
            (i32.add (i32.const {}) (i32.mul (local.get $i) (i32.const {size})))
            (i32.const {from}) (i32.const {size}))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $i) (i32.const {times}))))",
        1 << 20,
    )
}

fn log(level: u32, at: u32, length: u32) -> String {
    format!("(call $log (i32.const {level}) (i32.const {at}) (i32.const {length}))")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plugin_written_by_hand_is_a_valid_component() {
        for &what in Hand::ALL {
            assert!(component(what).starts_with(b"\0asm\x0d\0\x01\0"), "{what:?}");
        }
    }
}
