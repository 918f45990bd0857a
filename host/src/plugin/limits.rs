//! What a plugin may use, and the account of what it does use.

use std::time::Duration;

use bytesize::ByteSize;
use wasmtime::ResourceLimiter;

/// `limits.plugin` of a pipeline: for each instance of each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLimits {
    /// How long `clean` may take for a batch.
    pub call: Duration,
    /// How long `describe` and `configure` may take.
    pub configure: Duration,
    /// Linear memory.
    pub memory: ByteSize,
    /// What one call may return.
    pub output: ByteSize,
    /// Entries of all tables together.
    pub table_entries: usize,
    /// The component file.
    pub file: ByteSize,
    /// Instructions for a row that is judged alone, about. Unlike time they are the same on a loaded
    /// machine and on an idle one.
    pub row_fuel: u64,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            call: Duration::from_millis(250),
            configure: Duration::from_secs(2),
            memory: ByteSize::mib(64),
            output: ByteSize::mib(64),
            table_entries: 10_000,
            file: ByteSize::mib(64),
            row_fuel: 500_000_000,
        }
    }
}

/// Which limit stopped an instance from growing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    Memory,
    TableEntries,
}

/// Keeps one instance, with all modules in its component, within its limits.
#[derive(Debug)]
pub(crate) struct Account {
    memory: Budget,
    table_entries: Budget,
    exhausted: Option<Exhausted>,
}

/// What all memories, or all tables, of an instance may have together.
#[derive(Debug)]
struct Budget {
    used: usize,
    max: usize,
    limit: Exhausted,
}

impl Budget {
    /// Whether one of them may grow; if not, the limit that forbids it, unless the module itself does.
    fn grow(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<(), Option<Exhausted>> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Err(None);
        }
        let all = self.used + (desired - current);
        if all > self.max {
            return Err(Some(self.limit));
        }
        self.used = all;
        Ok(())
    }
}

impl Account {
    pub(crate) fn new(limits: &PluginLimits) -> Self {
        let memory_max = usize::try_from(limits.memory.as_u64()).unwrap_or(usize::MAX);
        Self {
            memory: Budget { used: 0, max: memory_max, limit: Exhausted::Memory },
            table_entries: Budget {
                used: 0,
                max: limits.table_entries,
                limit: Exhausted::TableEntries,
            },
            exhausted: None,
        }
    }

    /// Bytes of linear memory, which never shrinks: also the most it ever had.
    pub(crate) fn memory(&self) -> usize {
        self.memory.used
    }

    /// The limit that was met since this was asked last.
    pub(crate) fn take_exhausted(&mut self) -> Option<Exhausted> {
        self.exhausted.take()
    }

    fn note(&mut self, growth: Result<(), Option<Exhausted>>) -> bool {
        if let Err(Some(limit)) = growth {
            self.exhausted = Some(limit);
        }
        growth.is_ok()
    }
}

impl ResourceLimiter for Account {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = self.memory.grow(current, desired, maximum);
        Ok(self.note(growth))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = self.table_entries.grow(current, desired, maximum);
        Ok(self.note(growth))
    }

    // A component is a few modules; each memory reserves address space.
    fn instances(&self) -> usize {
        100
    }

    fn memories(&self) -> usize {
        16
    }

    fn tables(&self) -> usize {
        100
    }
}
