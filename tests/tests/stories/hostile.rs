//! Invariant 6: a plugin cannot crash, hang, starve or read anything beyond the columns it asked for.
//!
//! Every misbehaviour of the corpus meets the sandbox. Each ends with the verdict that the corpus states
//! for it, the rows without guilt come through, and a healthy plugin beside it notices nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use pinhost::plugin::{
    CacheFolder, ConfigureError, LogLevel, LogSink, Plugin, PluginError, PluginFile, PluginLimits,
    Sandbox, Step, discarded,
};
use pinhost::record::{Batch, Field, Kind};
use pinhost::run::{Chain, ChainHalted, Chained, HaltReason};
use pinhost_tests::guests::files::{self, BadFile};
use pinhost_tests::guests::hand::{Hand, hand};
use pinhost_tests::guests::misbehaviour::{Answer, BadPlan, Deed, Describing, Misbehaviour};
use pinhost_tests::guests::{self, Verdict, config, hostile, hostile_describing, name};
use serde_json::{Value, json};

use arrow::array::{Array, AsArray, Int64Array, StringArray};
use bytesize::ByteSize;

/// The text of guilty rows: long, with characters of several bytes.
static POISON: LazyLock<String> = LazyLock::new(|| "Gift für die Wörter ".repeat(8));
const ROWS: usize = 40;
const GUILTY: [u32; 2] = [7, 31];
const NULLS: [u32; 3] = [2, 9, 30];

static SANDBOX: LazyLock<Sandbox> =
    LazyLock::new(|| Sandbox::new(&CacheFolder::Off).expect("a sandbox"));
/// As they are by default, with more time for plugins that only share a busy machine.
static LIMITS: LazyLock<Arc<PluginLimits>> = LazyLock::new(|| {
    Arc::new(PluginLimits { call: Duration::from_millis(500), ..PluginLimits::default() })
});
static HOSTILE: LazyLock<Plugin> = LazyLock::new(|| load(&hostile()).expect("it describes itself"));

fn load(path: &Path) -> Result<Plugin, PluginError> {
    load_in(&SANDBOX, path, &LIMITS)
}

/// As one is loaded that is to take over: compiled in a hurry, and well a little later. It may take several
/// times as long as it is told.
fn load_in_a_hurry(path: &Path) -> Result<Plugin, PluginError> {
    let limits = PluginLimits { call: Duration::from_millis(125), ..PluginLimits::default() };
    load_in(&SANDBOX.gentle(), path, &Arc::new(limits))
}

fn load_in(
    sandbox: &Sandbox,
    path: &Path,
    limits: &Arc<PluginLimits>,
) -> Result<Plugin, PluginError> {
    let file = PluginFile::read(path, limits.file).expect("a component");
    Plugin::load(sandbox, file, limits)
}

fn fields() -> Arc<[Field]> {
    [Field::new("text", Kind::Text), Field::new("n", Kind::Integer)].into()
}

fn batch() -> Batch {
    let texts = (0..ROWS as u32).map(|row| match row {
        row if GUILTY.contains(&row) => Some(POISON.clone()),
        row if NULLS.contains(&row) => None,
        row => Some(format!("{row}: ö")),
    });
    let texts: StringArray = texts.collect();
    let numbers: Int64Array = (0..ROWS as i64).map(Some).collect();
    Batch::new(ROWS, fields(), vec![Arc::new(texts), Arc::new(numbers)])
}

fn step(config: &Value, log: LogSink) -> Result<Step, ConfigureError> {
    step_of(&HOSTILE, config, log)
}

fn step_of(plugin: &Plugin, config: &Value, log: LogSink) -> Result<Step, ConfigureError> {
    Step::new(plugin, &config.to_string(), &fields(), log)
}

fn clean(step: &Step) -> Result<Chained, Box<ChainHalted>> {
    Chain::new([step]).clean(&batch())
}

/// Only guilty rows are lost, and whatever still stands beside the others is theirs.
fn innocent_rows_come_through(chained: &Chained, guilty: &[u32], what: &str) {
    let lost: BTreeSet<u32> = chained.rejected.iter().map(|rejected| rejected.row).collect();
    assert_eq!(lost, guilty.iter().copied().collect(), "{what}: rows that are rejected");
    let numbers = chained
        .batch
        .column("n")
        .expect("nobody writes it")
        .as_primitive::<arrow::datatypes::Int64Type>();
    let kept: Vec<i64> = (0..ROWS as i64).filter(|row| !lost.contains(&(*row as u32))).collect();
    assert_eq!(numbers.values(), &kept[..], "{what}: rows that are kept");
    let text = chained.batch.column("text").expect("it is there");
    if text.data_type() == &arrow::datatypes::DataType::Utf8 {
        let before = batch();
        let before = before.column("text").expect("it is there").as_string::<i32>();
        for (row, text) in kept.iter().zip(text.as_string::<i32>()) {
            let before = before.is_valid(*row as usize).then(|| before.value(*row as usize));
            assert_eq!(text, before, "{what}: row {row}");
        }
    }
}

/// A plugin that behaves, whatever happened before.
fn healthy() -> Chained {
    let step = step(&config(Deed::Nothing), discarded()).expect("it behaves");
    clean(&step).expect("it behaves")
}

#[test]
fn every_deed_and_answer_ends_with_its_verdict() {
    every_one_ends_with_its_verdict(|| HOSTILE.clone());
}

#[test]
fn every_deed_and_answer_ends_with_its_verdict_in_a_hurry() {
    every_one_ends_with_its_verdict(|| {
        let plugin = load_in_a_hurry(&hostile()).expect("it describes itself");
        assert!(plugin.patience() > 1, "it was not compiled in a hurry");
        plugin
    });
}

fn every_one_ends_with_its_verdict(load: impl Fn() -> Plugin) {
    for what in Misbehaviour::all() {
        let (verdict, guilty) = match what {
            Misbehaviour::Deed(deed) => (deed.verdict(), &GUILTY[..]),
            Misbehaviour::BadPlan(plan) => (plan.verdict(), &[][..]),
            // All rows are guilty, but only nulls can come to life.
            Misbehaviour::Answer(answer @ (Answer::NullsRevive | Answer::SlicesRevive)) => {
                (answer.verdict(), &NULLS[..])
            }
            Misbehaviour::Answer(answer) => (answer.verdict(), &GUILTY[..]),
        };
        let mut config = config(what);
        if guilty == GUILTY {
            config["where"] = json!(*POISON);
        }
        match what {
            // So many that they are left out, and not so many that they take too long.
            Misbehaviour::Deed(Deed::LogFlood) => config["n"] = json!(20_000),
            // MiB, and rows that are none: what a busy machine copies in time.
            Misbehaviour::Answer(Answer::ReplacedLarge) => config["n"] = json!(4),
            Misbehaviour::Answer(Answer::RejectedMany) => config["n"] = json!(50_000),
            _ => {}
        }
        let what = name(what);
        let step = match (verdict, step_of(&load(), &config, discarded())) {
            (Verdict::Refused, Err(ConfigureError::Failed { .. })) => continue,
            (Verdict::Findings, Err(ConfigureError::Findings { findings, .. })) => {
                assert!(!findings.is_empty() && findings.len() <= 100, "{what}");
                for finding in findings {
                    let texts = [Some(&finding.message), finding.help.as_ref()];
                    for text in texts.into_iter().flatten() {
                        assert!(text.len() < 1200 && !text.contains('\u{1b}'), "{what}: {text}");
                    }
                }
                continue;
            }
            (_, Ok(step)) => step,
            (verdict, Err(error)) => panic!("{what} should be {verdict:?}: {error:?}"),
        };
        let chained = clean(&step).unwrap_or_else(|halted| panic!("{what}: {halted}"));
        match verdict {
            Verdict::Trap | Verdict::Rejected => {
                innocent_rows_come_through(&chained, guilty, &what);
                for rejected in &chained.rejected {
                    assert!(!rejected.reason.is_empty() && rejected.reason.len() <= 200, "{what}");
                    assert!(!rejected.reason.contains('\u{1b}'), "{what}: {}", rejected.reason);
                }
            }
            Verdict::TrapTogether => innocent_rows_come_through(&chained, &[], &what),
            Verdict::Fine | Verdict::Unnoticed => {
                let told = chained.rejected.len() + chained.dropped.len();
                assert_eq!(chained.batch.rows() + told, ROWS, "{what}");
                assert!(
                    chained.rejected.iter().all(|rejected| GUILTY.contains(&rejected.row)
                        && rejected.reason.starts_with("hostile")
                        || what == "fine-rejected-long"
                        || what == "fine-rejected-control-characters"),
                    "{what}: {:?}",
                    chained.rejected
                );
            }
            Verdict::Refused | Verdict::Findings => panic!("{what} was configured"),
        }
        let healthy = healthy();
        innocent_rows_come_through(&healthy, &[], &format!("a healthy plugin after {what}"));
    }
}

#[test]
fn deeds_in_configure_are_refused_or_told() {
    for &deed in Deed::ALL {
        let mut config = config(deed);
        config["in"] = json!("configure");
        match (deed.verdict(), step(&config, discarded())) {
            (
                Verdict::Trap,
                Err(ConfigureError::Failed { .. } | ConfigureError::Findings { .. }),
            ) => {}
            (Verdict::Fine | Verdict::TrapTogether, _) => {}
            (verdict, other) => panic!("{} should be {verdict:?}: {other:?}", name(deed)),
        }
    }
}

#[test]
fn whoever_describes_himself_wrongly_is_not_loaded() {
    for &what in Describing::ALL {
        match (what, load(&hostile_describing(what))) {
            (Describing::Honest, Ok(plugin)) => assert_eq!(plugin.name(), "hostile"),
            // JSON Schema is for editors and people: what the host takes is an object.
            (Describing::SchemaInvalid, Ok(_)) => {}
            (Describing::Trap | Describing::LoopForever, Err(PluginError::Describe { .. }))
            | (_, Err(PluginError::Description { .. })) => {}
            (what, other) => panic!("{what:?}: {other:?}"),
        }
    }
}

#[test]
fn plugins_that_no_compiler_would_write_are_refused_or_trap() {
    all_by_hand_are_refused_or_trap(load);
}

#[test]
fn plugins_that_no_compiler_would_write_are_refused_or_trap_in_a_hurry() {
    all_by_hand_are_refused_or_trap(load_in_a_hurry);
    let patience = |what| load_in_a_hurry(&hand(what)).expect("it describes itself").patience();
    assert!(patience(Hand::Honest) > 1);
    #[cfg(target_arch = "x86_64")]
    assert_eq!(patience(Hand::TypedReference), 1, "it was compiled well at once");
}

fn all_by_hand_are_refused_or_trap(load: impl Fn(&Path) -> Result<Plugin, PluginError>) {
    for &what in Hand::ALL {
        let made = load(&hand(what)).map_err(|error| error.to_string()).and_then(|plugin| {
            Step::new(&plugin, "{}", &fields(), discarded()).map_err(|error| error.to_string())
        });
        match (what.verdict(), made) {
            (Verdict::Refused, Err(_)) => {}
            (Verdict::Fine, Ok(step)) => {
                innocent_rows_come_through(&clean(&step).expect("it behaves"), &[], "honest");
            }
            // Every row traps, so that all are rejected.
            (Verdict::Trap, Ok(step)) => {
                let chained = Chain::new([&step]).clean(&batch().slice(0, 2)).expect("two rows");
                let lost: Vec<_> = chained.rejected.iter().map(|rejected| rejected.row).collect();
                assert_eq!(lost, [0, 1], "{what:?}");
                assert_eq!(chained.batch.rows(), 0, "{what:?}");
            }
            (verdict, other) => panic!("{what:?} should be {verdict:?}: {other:?}"),
        }
    }
}

#[test]
fn a_later_contract_and_foreign_imports_are_named() {
    let said = |what| load(&hand(what)).expect_err("it is refused").to_string();
    assert!(
        said(Hand::ContractMinor)
            .contains("version 1.1.0 of the contract; this pinhost speaks 1.0.0")
    );
    assert!(said(Hand::ContractMajor).contains("version 2.0.0 of the contract"));
    assert!(said(Hand::ImportsHttp).contains("wasi:http/outgoing-handler"));
    assert!(said(Hand::ImportsUnknown).contains("acme:vault/secrets"));
}

#[test]
fn files_that_are_no_plugin_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    for &what in BadFile::ALL {
        let path = what.put(folder.path());
        let refused =
            PluginFile::read(&path, LIMITS.file).map_err(|error| error.to_string()).and_then(
                |file| Plugin::load(&SANDBOX, file, &LIMITS).map_err(|error| error.to_string()),
            );
        let said = refused.expect_err(&name(what));
        let expected = match what {
            BadFile::Missing | BadFile::LinkLoop => "cannot be read",
            BadFile::Directory => "is a folder",
            BadFile::Pipe => "is a pipe or a device",
            BadFile::Empty => "is empty",
            BadFile::Magic | BadFile::Corrupt => "damaged or cut short",
            // It may end between two sections; then it is whole, but without exports.
            BadFile::Truncated => "truncated.wasm is",
            BadFile::Png => "is not WebAssembly: it looks like other binary data",
            BadFile::Script => "it looks like a script",
            BadFile::Text => "it looks like text",
            BadFile::Wat => "WebAssembly text",
            BadFile::CoreModule => "a core WebAssembly module, not a component",
            BadFile::OtherWorld | BadFile::EmptyComponent => "is a component, but no plugin",
            BadFile::OtherContract => "cannot be linked",
        };
        assert!(said.contains(expected), "{what:?}: {said}");
    }
    let large = files::large(folder.path(), ByteSize::mib(65).as_u64());
    let said = PluginFile::read(&large, LIMITS.file).expect_err("too large").to_string();
    assert!(said.contains("larger than 64.0 MiB (limits.plugin.file)"), "{said}");
}

#[test]
fn a_panic_is_told_with_its_message_and_backtrace() {
    let lines: Arc<Mutex<Vec<(LogLevel, String)>>> = Arc::default();
    let log: LogSink = {
        let lines = Arc::clone(&lines);
        Arc::new(move |level, line| lines.lock().unwrap().push((level, line.to_owned())))
    };
    let mut config = config(Deed::Panic);
    config["where"] = json!(*POISON);
    let chained = clean(&step(&config, log).expect("a plan")).expect("two rows of forty");
    let rejected = &chained.rejected[0];
    assert_eq!((rejected.row, rejected.reason.as_str()), (GUILTY[0], "plugin panicked"));
    let detail = rejected.detail.as_deref().expect("a detail");
    assert!(detail.starts_with("panicked: hostile: told to panic"), "{detail}");
    assert!(detail.contains("hostile"), "a backtrace with the plugin's functions: {detail}");
    let lines = lines.lock().unwrap();
    assert!(
        lines
            .iter()
            .any(|(level, line)| *level == LogLevel::Error && line.contains("told to panic"))
    );
}

#[test]
fn reasons_name_the_limit_that_was_met() {
    for (deed, reason) in [
        (Deed::LoopForever, "more instructions for one row than limits.plugin.row_fuel"),
        (Deed::AllocateForever, "more memory than limits.plugin.memory"),
        (Deed::StackOverflow, "call stack exhausted"),
        (Deed::DivideByZero, "integer divide by zero"),
        (Deed::OutOfBounds, "out of bounds memory access"),
        (Deed::Fail, "plugin returned an error"),
    ] {
        let mut config = config(deed);
        config["where"] = json!(*POISON);
        let chained = clean(&step(&config, discarded()).expect("a plan")).expect("few rows");
        let said = &chained.rejected[0].reason;
        assert!(said.contains(reason), "{deed:?}: {said}");
    }
}

#[test]
fn too_many_guilty_rows_halt_instead_of_filling_the_dead_letters() {
    let step = step(&config(Deed::Trap), discarded()).expect("a plan");
    let texts: StringArray = (0..1024).map(|row| Some(format!("{row}"))).collect();
    let numbers: Int64Array = (0..1024).map(Some).collect();
    let batch = Batch::new(1024, fields(), vec![Arc::new(texts), Arc::new(numbers)]);
    let halted = Chain::new([&step]).clean(&batch).expect_err("every row is guilty");
    assert!(matches!(halted.why, HaltReason::TooManyRows(_)), "{halted}");
    let said = halted.to_string();
    assert!(
        said.contains("plugin hostile fails on a batch, and more than 100 of its rows do alone")
    );
}

#[cfg(target_os = "linux")]
#[test]
fn the_hosts_memory_comes_back() {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        let pages: u64 = statm.split(' ').nth(1).expect("a number").parse().expect("a number");
        pages * 4096
    };
    let once = |deed| {
        let step = step(&config(deed), discarded()).expect("a plan");
        drop(step.cleaner().clean(&batch()));
    };
    once(Deed::AllocateForever);
    let before = resident();
    for _ in 0..50 {
        once(Deed::AllocateForever);
        once(Deed::LogFlood);
    }
    // Fifty instances of 64 MiB; other tests of this process have theirs meanwhile.
    let grown = resident().saturating_sub(before);
    assert!(grown < 1024 * 1024 * 1024, "{} more", ByteSize::b(grown));
}

#[test]
fn a_plugin_that_is_not_rust_does_its_work() {
    let limits = Arc::new(PluginLimits::default());
    let file = PluginFile::read(&guests::python_plugin(), limits.file).expect("a component");
    for sandbox in [&*SANDBOX, &SANDBOX.gentle()] {
        let plugin = Plugin::load(sandbox, file.clone(), &limits).expect("it describes itself");
        a_plugin_of_python_does_its_work(&plugin);
    }
}

fn a_plugin_of_python_does_its_work(plugin: &Plugin) {
    assert!(plugin.imports().iter().any(|import| import.starts_with("wasi:")), "it needs WASI");
    let config = json!({"column": "text"}).to_string();
    let step = Step::new(plugin, &config, &fields(), discarded()).expect("a plan");
    let chained = clean(&step).expect("it cleans");
    assert!(chained.batch.rows() > 0);
    let refused = Step::new(plugin, r#"{"column": "txet"}"#, &fields(), discarded());
    let Err(ConfigureError::Findings { findings, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(findings[0].pointer, "/column");
}

#[test]
fn plans_are_refused_in_words() {
    for (plan, said) in [
        (BadPlan::FindingsNone, "no plan, and no finding that says why"),
        (BadPlan::ReadsUnknown, "reads column \"no_such_column\", which is not there"),
        (BadPlan::WritesMany, "writes more than 1000 columns"),
    ] {
        let error = step(&config(plan), discarded()).expect_err("it is refused").to_string();
        assert!(error.contains(said), "{error}");
    }
}
