//! The four steps the way most sandboxes run them: `naive/`, built and called here.

use std::path::Path;
use std::process::Command;

use pinhost::guest_build::{FOREIGN, TARGET, encode};
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{Config, Engine, Store};

pub struct Naive {
    store: Store<()>,
    clean: TypedFunc<(u32, String), (String,)>,
}

impl Naive {
    pub fn new() -> Self {
        // As our own: no support for async calls, and a deadline for each.
        let mut config = Config::new();
        config.concurrency_support(false).epoch_interruption(true);
        let engine = Engine::new(&config).expect("an engine");
        let component = Component::from_binary(&engine, &built()).expect("a component");
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance =
            Linker::new(&engine).instantiate(&mut store, &component).expect("it imports nothing");
        let clean = instance.get_typed_func(&mut store, "clean").expect("what its WIT exports");
        Self { store, clean }
    }

    pub fn clean(&mut self, step: u32, record: String) -> String {
        self.clean.call(&mut self.store, (step, record)).expect("a clean post").0
    }
}

fn built() -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/sandbox/naive");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&folder).args([
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--target",
        TARGET,
    ]);
    for name in FOREIGN {
        cargo.env_remove(name);
    }
    assert!(cargo.status().expect("cargo").success(), "cargo says why above");
    let module = folder.join("target").join(TARGET).join("release/naive.wasm");
    encode(&std::fs::read(module).expect("cargo built it")).expect("a component")
}
