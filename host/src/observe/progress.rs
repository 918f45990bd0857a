//! A line that moves while a run goes on, for people at a terminal.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Stats;
use crate::source::objects::objects_before;

/// Shows nothing where nobody looks.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    counts: Counts,
}

#[derive(Debug, Clone, Copy)]
enum Counts {
    Records,
    Objects,
}

impl Progress {
    /// `records` is how many there will be, if that is known.
    pub fn new(records: Option<u64>) -> Self {
        Self::over(records, Counts::Records)
    }

    /// Of a replay, where it is known how many objects there are.
    pub fn of_objects(objects: u64) -> Self {
        Self::over(Some(objects), Counts::Objects)
    }

    fn over(whole: Option<u64>, counts: Counts) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(whole, target);
        let template = match whole {
            Some(_) => "{spinner} {wide_bar:.cyan} {msg} {percent}% {eta} left",
            None => "{spinner} {elapsed} {msg}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("a template of ours"));
        Self { bar, counts }
    }

    /// Follows the figures until it is dropped with what awaits it.
    pub async fn follow(&self, pipelines: &[Arc<Stats>]) {
        let mut every = tokio::time::interval(Duration::from_millis(100));
        loop {
            every.tick().await;
            let (mut records, mut dead, mut objects, mut time) = (0, 0, 0, Duration::ZERO);
            for stats in pipelines {
                let totals = stats.totals();
                records += totals.records;
                dead += totals.dead();
                objects += totals
                    .lanes
                    .values()
                    .filter_map(|lane| lane.position)
                    .map(objects_before)
                    .sum::<u64>();
                time = time.max(stats.elapsed());
            }
            self.bar.set_position(match self.counts {
                Counts::Records => records,
                Counts::Objects => objects,
            });
            let rate = match self.counts {
                Counts::Records => self.bar.per_sec(),
                Counts::Objects => records as f64 / time.as_secs_f64().max(0.001),
            };
            self.bar.set_message(format!(
                "{} records, {} a second, {} dead letters",
                HumanCount(records),
                HumanCount(rate as u64),
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
