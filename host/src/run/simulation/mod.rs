//! The real supervisor, lanes and swapper, several processes of them, on simulated time: a seed
//! decides the order of everything, and what goes wrong. After each run an oracle says whether it
//! may have come out so.
//!
//! `cargo test -p pinhost --lib simulation` runs seeds for half a minute; `PINHOST_SEEDS=1000000`
//! runs so many, from `PINHOST_SEED` on. A failure names its seed, and `PINHOST_SEED=N
//! PINHOST_SEEDS=1` tells that run step by step.

mod ledger;
mod oracle;
mod script;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::script::{FAULTS, Fault, STATES, Script};
use self::world::World;
use crate::connect::{Sink, Writer};
use crate::sink::stdout::StdoutSink;

/// How long seeds are run if nobody says how many.
const TIME: Duration = Duration::from_secs(30);

/// What seeds have shown.
#[derive(Debug, Default)]
struct Coverage {
    struck: BTreeMap<(Fault, &'static str), u64>,
    faults: Vec<usize>,
    rolled_back: u64,
    exits: u64,
    steps: u64,
}

impl Coverage {
    fn add(&mut self, world: &World) {
        for struck in &world.struck {
            *self.struck.entry(*struck).or_default() += 1;
        }
        self.faults.push(world.script.faults.len());
        self.rolled_back += world.oracle.rolled_back;
        self.exits += world.oracle.exits;
        self.steps += world.step;
    }

    fn missing(&self) -> Vec<(Fault, &'static str)> {
        let all = FAULTS.iter().flat_map(|fault| STATES.iter().map(move |state| (*fault, *state)));
        all.filter(|pair| !self.struck.contains_key(pair)).collect()
    }

    fn tell(&mut self) {
        self.faults.sort_unstable();
        let median = self.faults.get(self.faults.len() / 2).copied().unwrap_or_default();
        println!(
            "{} seeds, {median} faults at the median, {} steps, {} rollbacks, {} ends",
            self.faults.len(),
            self.steps,
            self.rolled_back,
            self.exits
        );
        for fault in FAULTS {
            let counts = STATES.map(|state| {
                let count = self.struck.get(&(fault, state)).copied().unwrap_or_default();
                format!("{state} {count}")
            });
            println!("  {fault:?}: {}", counts.join(", "));
        }
    }
}

/// Runs a seed; what was wrong with it. The sink writes nothing: units go to the simulated ledger.
fn run(seed: u64, sink: &(Arc<dyn Sink>, Arc<dyn Writer>), is_told: bool) -> (World, Vec<String>) {
    let mut world = World::new(Script::new(seed), sink.clone(), is_told);
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let mut wrong = std::mem::take(&mut world.oracle.wrong);
    if ran.is_err() {
        wrong.push("it panicked".to_owned());
    } else {
        let ledger = world.ledger.clone();
        world.oracle.ends(&ledger);
        wrong.append(&mut world.oracle.wrong);
    }
    (world, wrong)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_goes_wrong_every_record_ends_once_and_every_run_as_it_should() {
    let sink = StdoutSink::of_tests();
    let first = number("PINHOST_SEED").unwrap_or(0);
    let seeds = number("PINHOST_SEEDS");
    let began = Instant::now();
    let mut coverage = Coverage::default();
    let mut seed = first;
    let goes_on = number("PINHOST_GO_ON").is_some();
    let mut failed = 0;
    loop {
        let is_enough = match seeds {
            Some(seeds) => seed - first >= seeds,
            None => began.elapsed() >= TIME,
        };
        if is_enough {
            break;
        }
        let (world, wrong) = run(seed, &sink, seeds == Some(1));
        coverage.add(&world);
        if let Some(told) = &world.told {
            println!("{:#?}\n{}", world.script, told.join("\n"));
        }
        if !wrong.is_empty() && goes_on {
            println!("seed {seed}: {}", wrong.join("; "));
            failed += 1;
        }
        assert!(
            wrong.is_empty() || goes_on,
            "seed {seed} (after {} seeds): {}\n`PINHOST_SEED={seed} PINHOST_SEEDS=1` tells that run step by step",
            seed - first + 1,
            wrong.join("; ")
        );
        seed += 1;
    }
    let took = began.elapsed();
    coverage.tell();
    assert_eq!(failed, 0, "so many seeds failed");
    println!("{:?} a seed", took / u32::try_from(seed - first).unwrap_or(u32::MAX).max(1));
    if seed - first >= 50_000 {
        assert_eq!(coverage.missing(), [], "these were never tried");
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let sink = StdoutSink::of_tests();
    for seed in 0..20 {
        let (one, _) = run(seed, &sink, true);
        let (other, _) = run(seed, &sink, true);
        let (one, other) = (one.told.unwrap_or_default(), other.told.unwrap_or_default());
        let differs = one.iter().zip(&other).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one.len(), other.len(), "seed {seed}");
    }
}
