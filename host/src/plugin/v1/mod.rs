//! Contract version 1: bindings, and calls with checks on both sides. A later version of the contract
//! gets a module beside this one.

mod lift;
mod lower;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store, Trap, WasmBacktrace};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::engine::{Code, Metering, ticks};
use super::failure::{Failure, Fault};
use super::limits::{Account, Exhausted, PluginLimits};
use super::log::{GuestLog, LogLevel, LogSink, printable, readable};
use super::plan::{Plan, PlanGiven};
use super::{Cleaned, Finding, wasi};
use crate::record::{Batch, DETAIL_BYTES_MAX, Field, Kind};

/// Streams and pollables of WASI that an instance may hold.
const RESOURCES_MAX: usize = 1_000;

/// More findings than this help nobody.
const FINDINGS_MAX: usize = 100;

/// The version that plugins name when they export `pinhost:plugin/cleaner@…`.
pub const VERSION: &str = "1.0.0";

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

// Public for benches that link plugins without a sandbox.
pub use bindings::pinhost::plugin as contract;
pub use lift::apply;

/// An engine with all that a plugin may import.
#[derive(Clone)]
pub(crate) struct Runtime {
    engine: Engine,
    linker: Linker<State>,
    metering: Metering,
    code: Code,
}

/// A component that has been compiled and linked.
#[derive(Clone)]
pub(crate) struct Linked {
    pre: bindings::PluginPre<State>,
    metering: Metering,
    code: Code,
}

impl Linked {
    pub(crate) fn code(&self) -> Code {
        self.code
    }
}

impl Runtime {
    pub(crate) fn new(engine: Engine, metering: Metering, code: Code) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(&engine);
        contract::log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        wasi::add_to_linker(&mut linker)?;
        Ok(Self { engine, linker, metering, code })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        Component::from_binary(&self.engine, bytes)
    }

    pub(crate) fn link(&self, component: &Component) -> wasmtime::Result<Linked> {
        let pre = bindings::PluginPre::new(self.linker.instantiate_pre(component)?)?;
        Ok(Linked { pre, metering: self.metering, code: self.code })
    }
}

/// What the host keeps for one instance.
struct State {
    account: Account,
    log: Arc<Mutex<GuestLog>>,
    wasi: WasiCtx,
    resources: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl contract::log::Host for State {
    fn write(&mut self, level: contract::log::Level, message: String) {
        let level = match level {
            contract::log::Level::Debug => LogLevel::Debug,
            contract::log::Level::Info => LogLevel::Info,
            contract::log::Level::Warn => LogLevel::Warn,
            contract::log::Level::Error => LogLevel::Error,
        };
        self.log.lock().expect("no panic while it is held").write(level, &message);
    }
}

/// What a plugin says of itself.
pub(crate) use contract::types::Description;

/// A plugin that runs: one thread's, until its first failure.
pub(crate) struct Instance {
    store: Store<State>,
    plugin: bindings::Plugin,
    metering: Metering,
    code: Code,
    limits: Arc<PluginLimits>,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("metering", &self.metering).finish_non_exhaustive()
    }
}

impl Instance {
    pub(crate) fn new(
        linked: &Linked,
        limits: &Arc<PluginLimits>,
        log: LogSink,
    ) -> Result<Self, Failure> {
        let log = Arc::new(Mutex::new(GuestLog::new(log)));
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(RESOURCES_MAX);
        let state =
            State { account: Account::new(limits), wasi: wasi::context(&log), log, resources };
        let mut store = Store::new(linked.pre.engine(), state);
        store.limiter(|state| &mut state.account);
        // What a call returns is counted as it is copied out of the guest, shared bytes each time.
        store.set_hostcall_fuel(usize::try_from(limits.output.as_u64()).unwrap_or(usize::MAX));
        let limit = CallLimit::configure(limits);
        grant(&mut store, linked.metering, linked.code, limit);
        let made = linked.pre.instantiate(&mut store);
        let plugin = made.map_err(|error| failed(&mut store, &error, limit))?;
        let Linked { metering, code, .. } = *linked;
        Ok(Self { store, plugin, metering, code, limits: Arc::clone(limits) })
    }

    pub(crate) fn describe(&mut self) -> Result<Description, Failure> {
        self.call(CallLimit::configure(&self.limits), |plugin, store| {
            plugin.pinhost_plugin_cleaner().call_describe(store)
        })
    }

    pub(crate) fn configure(
        &mut self,
        config: &str,
        input: &[Field],
    ) -> Result<Result<PlanGiven, Vec<Finding>>, Failure> {
        let columns: Vec<_> = input
            .iter()
            .map(|field| contract::types::ColumnParam { name: &field.name, kind: wire(field.kind) })
            .collect();
        let answer = self.call(CallLimit::configure(&self.limits), |plugin, store| {
            plugin.pinhost_plugin_cleaner().call_configure(store, config, &columns)
        })?;
        Ok(answer
            .map(|plan| PlanGiven {
                reads: plan.reads,
                writes: plan.writes.into_iter().map(|to| (to.name, unwire(to.kind))).collect(),
                tallies: plan.tallies,
            })
            .map_err(|findings| {
                findings
                    .into_iter()
                    .take(FINDINGS_MAX)
                    .map(|finding| Finding {
                        pointer: printable(&finding.pointer, DETAIL_BYTES_MAX),
                        message: printable(&finding.message, DETAIL_BYTES_MAX),
                        help: finding.help.map(|help| printable(&help, DETAIL_BYTES_MAX)),
                    })
                    .collect()
            }))
    }

    /// Cleans a batch within `time`.
    pub(crate) fn clean(
        &mut self,
        plan: &Plan,
        batch: &Batch,
        time: Duration,
    ) -> Result<Cleaned, Failure> {
        let lowered: Vec<_> = plan
            .reads
            .iter()
            .map(|read| lower::Lowered::new(batch.fields()[*read].kind, &batch.columns()[*read]))
            .collect();
        let columns: Vec<_> = lowered.iter().map(lower::Lowered::param).collect();
        let rows = u32::try_from(batch.rows()).expect("a batch has fewer than 2^32 rows");
        let asked = contract::types::Batch { rows, columns: &columns };
        let answer = self.call(CallLimit::clean(&self.limits, time), |plugin, store| {
            plugin.pinhost_plugin_cleaner().call_clean(store, asked)
        })?;
        let answer = answer.map_err(Fault::Error)?;
        Ok(apply(plan, batch, answer, self.limits.output)?)
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Bytes of linear memory, at their most.
    pub(crate) fn memory(&self) -> usize {
        self.store.data().account.memory()
    }

    /// Instructions that the last call took, where they are counted.
    pub(crate) fn fuel_used(&self) -> Option<u64> {
        Some(self.limits.row_fuel - self.store.get_fuel().ok()?)
    }

    fn call<T>(
        &mut self,
        limit: CallLimit,
        run: impl FnOnce(&bindings::Plugin, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        grant(&mut self.store, self.metering, self.code, limit);
        let state = self.store.data_mut();
        state.account.take_exhausted();
        state.log.lock().expect("no panic while it is held").begin_call();
        match run(&self.plugin, &mut self.store) {
            Ok(answer) => {
                self.store.data_mut().log.lock().expect("as above").end_call(false);
                Ok(answer)
            }
            Err(error) => Err(failed(&mut self.store, &error, limit)),
        }
    }
}

/// How long a call may take, and what the limit is called.
#[derive(Clone, Copy)]
struct CallLimit {
    name: &'static str,
    time: Duration,
    /// Instructions, where they are counted.
    fuel: u64,
}

impl CallLimit {
    /// Not counted in instructions: it is no row's doing.
    fn configure(limits: &PluginLimits) -> Self {
        Self { name: "limits.plugin.configure", time: limits.configure, fuel: u64::MAX }
    }

    fn clean(limits: &PluginLimits, time: Duration) -> Self {
        Self { name: "limits.plugin.call", time, fuel: limits.row_fuel }
    }
}

/// Gives the next call its time, and its instructions.
fn grant(store: &mut Store<State>, metering: Metering, code: Code, limit: CallLimit) {
    store.set_epoch_deadline(ticks(limit.time * code.patience()));
    if metering == Metering::Fuel {
        store.set_fuel(limit.fuel).expect("the engine counts fuel");
    }
}

fn failed(store: &mut Store<State>, error: &wasmtime::Error, limit: CallLimit) -> Failure {
    let state = store.data_mut();
    let last_words = state.log.lock().expect("no panic while it is held").end_call(true);
    let exhausted = state.account.take_exhausted();
    let fault = match (error.downcast_ref::<Trap>(), exhausted) {
        (Some(Trap::Interrupt), _) => Fault::Time(limit.name),
        (Some(Trap::OutOfFuel), _) => Fault::Fuel,
        (_, Some(Exhausted::Memory)) => Fault::Memory,
        (_, Some(Exhausted::TableEntries)) => Fault::TableEntries,
        (Some(Trap::UnreachableCodeReached), None) => Fault::Unreachable,
        (Some(trap), None) => Fault::Trap(trap.to_string().replace("wasm trap: ", "")),
        (None, None) if has_copied_too_much(error) => Fault::Output,
        (None, None) => Fault::Trap(readable(&error.root_cause().to_string(), DETAIL_BYTES_MAX)),
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(|backtrace| {
        // The names in it are the plugin's.
        readable(&backtrace.to_string(), DETAIL_BYTES_MAX)
    });
    Failure { fault, last_words, backtrace }
}

/// wasmtime keeps the type of this error to itself, but not its name.
fn has_copied_too_much(error: &wasmtime::Error) -> bool {
    format!("{:?}", error.root_cause()) == "HostcallFuelExhausted"
}

fn wire(kind: Kind) -> contract::types::ColumnType {
    use contract::types::ColumnType as Wire;
    match kind {
        Kind::Boolean => Wire::Boolean,
        Kind::Integer => Wire::Integer,
        Kind::Float => Wire::Float,
        Kind::Text => Wire::Text,
        Kind::Timestamp => Wire::Timestamp,
        Kind::TextList => Wire::TextList,
        Kind::FloatList => Wire::FloatList,
    }
}

fn unwire(kind: contract::types::ColumnType) -> Kind {
    use contract::types::ColumnType as Wire;
    match kind {
        Wire::Boolean => Kind::Boolean,
        Wire::Integer => Kind::Integer,
        Wire::Float => Kind::Float,
        Wire::Text => Kind::Text,
        Wire::Timestamp => Kind::Timestamp,
        Wire::TextList => Kind::TextList,
        Wire::FloatList => Kind::FloatList,
    }
}
