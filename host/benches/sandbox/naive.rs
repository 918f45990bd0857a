//! The four steps the way most sandboxes run them: `guests/naive`, called for every record.

use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{Config, Engine, Store};

pub struct Naive {
    store: Store<()>,
    clean: TypedFunc<(u32, String), (String,)>,
}

impl Naive {
    pub fn new(component: &[u8]) -> Self {
        // As our own: no support for async calls, and a deadline for each.
        let mut config = Config::new();
        config.concurrency_support(false).epoch_interruption(true);
        let engine = Engine::new(&config).expect("an engine");
        let component = Component::from_binary(&engine, component).expect("a component");
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
