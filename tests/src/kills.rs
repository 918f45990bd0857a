//! Killing `pinhost` at random moments, as often as it is told.

use std::env;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use fastrand::Rng;

use crate::command::{ended, said};
use crate::http_proxy::HttpProxy;

/// How many kills are wanted: `PINHOST_KILLS`, or so few.
pub fn wanted(few: u32) -> u32 {
    env::var("PINHOST_KILLS").map_or(few, |kills| kills.parse().expect("PINHOST_KILLS is a number"))
}

/// As many SIGKILLs as are wanted: round after round if somebody says how many, else at most so few in one.
#[derive(Debug)]
pub struct Kills {
    wanted: u32,
    is_done: bool,
    pub done: u32,
    pub random: Rng,
}

impl Kills {
    /// `PINHOST_SEED` repeats the moments of another time.
    pub fn new(few: u32) -> Self {
        let seed = env::var("PINHOST_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("PINHOST_SEED={seed} repeats this");
        Self { wanted: wanted(few), is_done: false, done: 0, random: Rng::with_seed(seed) }
    }

    pub fn are_enough(&self) -> bool {
        self.done >= self.wanted || self.is_done
    }

    /// Runs a command until one run of it ends by itself, which has to end well. Until there are enough
    /// kills, runs are killed, each at a random moment within `span`.
    #[track_caller]
    pub fn until_done(&mut self, span: Duration, command: impl FnMut() -> Command) {
        self.kill(command, |_, random| sleep(span.mul_f64(random.f64())));
    }

    /// The same, each at a random one of so many requests to a server, be it before the server has it or after:
    /// however busy the machine is.
    #[track_caller]
    pub fn until_done_at(
        &mut self,
        requests: usize,
        proxy: &HttpProxy,
        latency: Duration,
        command: impl FnMut() -> Command,
    ) {
        self.kill(command, |child, random| {
            let last = proxy.requests() + random.usize(..requests);
            while proxy.requests() <= last && child.try_wait().expect("its state").is_none() {
                sleep(Duration::from_millis(1));
            }
            sleep(latency.mul_f64(random.f64() * 1.5));
        });
    }

    #[track_caller]
    fn kill(
        &mut self,
        mut command: impl FnMut() -> Command,
        mut wait: impl FnMut(&mut Child, &mut Rng),
    ) {
        // Nobody has asked for more than one round.
        self.is_done = env::var_os("PINHOST_KILLS").is_none();
        while self.done < self.wanted {
            let mut child = command().spawn().expect("pinhost can be started");
            wait(&mut child, &mut self.random);
            if child.try_wait().expect("its state").is_some() {
                ended(child).done();
                return;
            }
            child.kill().expect("SIGKILL");
            child.wait().expect("it is dead");
            self.done += 1;
        }
        said(&mut command()).done();
    }
}
