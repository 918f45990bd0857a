//! pinhost: a stream processor whose cleaning rules are sandboxed WebAssembly components.
//!
//! # The house, room by room
//!
//! | module | what happens there |
//! |---|---|
//! | [`cli`] | a file for each command |
//! | [`swap`] | another rule takes over while a pipeline runs, or the one before takes over again |
//! | [`observe`] | figures of what runs, for people and for Prometheus; it listens, and steers nothing |
//! | [`run`] | lanes, cleaning threads, units; what becomes of calls that fail |
//! | [`pipeline`] | what was written becomes what will run; it knows no connector by name |
//! | [`source`] | where records come from: a folder for each kind, and their list |
//! | [`sink`] | where rows go: a folder for each kind, and their list |
//! | [`connect`] | what a kind of source or sink is, and the facts that others may know of it |
//! | [`ledger`] | what a pipeline knows of itself: claims, lineage, dead letters, members |
//! | [`kinesis`] | a stream and its service, for whoever reads or writes one |
//! | [`objects`] | folders and buckets behind one kind of URL |
//! | [`kafka`] | clusters, as a source and a sink reach them |
//! | [`written`] | YAML with places, variables and secrets; findings with line, column and advice |
//! | [`sample`] | what a handful of records says about all the others: names, types, keys, plugins |
//! | [`plugin`] | the sandbox: engine, limits, the contract with plugins, and the checks on both sides |
//! | [`decode`] | bytes to columns, row by row |
//! | [`diff`] | what two rules make otherwise of the same records |
//! | [`record`] | records, lanes, columns, batches and units: plain values |
//!
//! A room looks only into those below it:
//! `cli → swap, observe → run → pipeline → source, sink → connect → ledger → objects, kafka, sample,
//! written, plugin, decode, diff → record`.
//! `record`, `diff`, `sample`, what a lane's state is in `ledger`, and the decisions in `run` and `swap`, are
//! pure functions of plain values.
//!
//! A connector is a folder in `source` or `sink`, with its `mod` and its line in the list there. The folder
//! holds its configuration, which is its manual (`config`), what others ask of it (`kind`), its template,
//! its page, its findings, and the source or the sink itself.
//!
//! # Invariants
//!
//! Tests name the number.
//!
//! 1. Every record read ends in exactly one place: a committed row, a counted drop, a dead letter, or
//!    before the position of a halted lane.
//! 2. A lane's position never passes a record that has not ended.
//! 3. Data and position are visible together or not at all.
//! 4. Order within a lane is kept.
//! 5. A batch is cleaned by one generation; a unit says which.
//! 6. A plugin cannot crash, hang, starve or read anything beyond the columns it asked for.
//! 7. A bad edit (YAML, plugin, schema) never stops a pipeline that is running.
//! 8. Memory is bounded whatever the input, the lag or the slowness of the sink.
//! 9. The same records and generation give the same rows and the same dead letters, however batches
//!    were cut and however slow the machine.
//! 10. Secrets never leave: not in logs, plans, errors, metrics.

pub mod cli;
pub mod connect;
pub mod decode;
pub mod diff;
pub mod guest_build;
pub mod kafka;
pub mod kinesis;
pub mod ledger;
pub mod objects;
pub mod observe;
pub mod pipeline;
pub mod plugin;
mod private_folder;
pub mod record;
#[cfg(test)]
mod rooms;
pub mod run;
pub mod sample;
pub mod sink;
pub mod source;
pub mod swap;
pub mod written;
