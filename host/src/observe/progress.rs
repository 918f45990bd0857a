//! A line that moves while a run goes on, for people at a terminal.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Stats;

/// Shows nothing where nobody looks.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// `records` is how many there will be, if that is known.
    pub fn new(records: Option<u64>) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(records, target);
        let template = match records {
            Some(_) => "{spinner} {wide_bar:.cyan} {msg} {percent}% {eta}",
            None => "{spinner} {elapsed} {msg}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("a template of ours"));
        Self { bar }
    }

    /// Follows the figures until it is dropped with what awaits it.
    pub async fn follow(&self, pipelines: &[Arc<Stats>]) {
        let mut every = tokio::time::interval(Duration::from_millis(100));
        loop {
            every.tick().await;
            let (mut records, mut dead) = (0, 0);
            for stats in pipelines {
                let totals = stats.totals();
                records += totals.records;
                dead += totals.dead();
            }
            self.bar.set_position(records);
            self.bar.set_message(format!(
                "{} records, {} a second, {} dead letters",
                HumanCount(records),
                HumanCount(self.bar.per_sec() as u64),
                HumanCount(dead)
            ));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
