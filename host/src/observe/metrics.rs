//! What `/metrics` tells. A page says what each series means and what to do: `host/pages/metrics.md`.

use std::time::{SystemTime, UNIX_EPOCH};

use super::exposition::{Exposition, Family, Form, Kind};
use super::process::ProcessFigures;
use super::server::Observed;
use super::{Histogram, LaneStatus, Totals};
use crate::run::LaneHealth;

/// A series of each pipeline, and what it is of its totals.
struct OfPipeline(Family, fn(&Totals) -> f64);

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Histogram, help }
}

const OF_PIPELINES: [OfPipeline; 12] = [
    OfPipeline(
        counter("pinhost_records_total", "Records read whose fate is committed."),
        |totals| totals.records as f64,
    ),
    OfPipeline(counter("pinhost_source_bytes_total", "Bytes of those records."), |totals| {
        totals.bytes as f64
    }),
    OfPipeline(counter("pinhost_rows_stored_total", "Rows that the sink stored."), |totals| {
        totals.rows as f64
    }),
    OfPipeline(
        counter("pinhost_rows_superseded_total", "Rows of which the sink had a newer version."),
        |totals| totals.superseded as f64,
    ),
    OfPipeline(counter("pinhost_units_total", "Units committed."), |totals| totals.units as f64),
    OfPipeline(
        counter(
            "pinhost_cleaning_seconds_total",
            "Time that cleaning threads spent on committed records.",
        ),
        |totals| totals.cleaning.as_secs_f64(),
    ),
    OfPipeline(counter("pinhost_claims_total", "Claims of lanes."), |totals| totals.claims as f64),
    OfPipeline(
        counter("pinhost_fences_total", "Lanes that another process claimed from this one."),
        |totals| totals.fences as f64,
    ),
    OfPipeline(
        counter("pinhost_lanes_given_away_total", "Lanes that the source gave to another process."),
        |totals| totals.given_away as f64,
    ),
    OfPipeline(
        gauge("pinhost_memory_bytes", "Memory held by records that are not committed."),
        |totals| totals.memory_bytes as f64,
    ),
    OfPipeline(gauge("pinhost_memory_limit_bytes", "What limits.memory allows."), |totals| {
        totals.memory_most as f64
    }),
    OfPipeline(
        gauge(
            "pinhost_records_unaccounted",
            "Committed records whose end is not known: 0, or pinhost is wrong.",
        ),
        |totals| totals.unaccounted() as f64,
    ),
];

/// A series of each lane, if it is known.
struct OfLane(Family, fn(&LaneStatus, f64) -> Option<f64>);

const OF_LANES: [OfLane; 5] = [
    OfLane(gauge("pinhost_lane_halted", "Whether the lane holds its position."), |lane, _| {
        Some(truth(matches!(lane.health, LaneHealth::Halted { .. })))
    }),
    OfLane(gauge("pinhost_lane_standby", "Whether another process has the lane."), |lane, _| {
        Some(truth(lane.health == LaneHealth::Standby))
    }),
    OfLane(
        gauge("pinhost_lane_lag_records", "Records of the lane that are not committed."),
        |lane, _| lane.behind.map(|records| records as f64),
    ),
    OfLane(
        gauge(
            "pinhost_lane_lag_seconds",
            "Age of the record committed last; 0 if nothing is behind it.",
        ),
        LaneStatus::lag_seconds,
    ),
    OfLane(
        gauge("pinhost_lane_last_commit_timestamp_seconds", "When the lane was committed last."),
        |lane, _| lane.committed_at,
    ),
];

/// A histogram of each pipeline.
struct OfTimes(Family, fn(&Totals) -> &Histogram);

const OF_TIMES: [OfTimes; 3] = [
    OfTimes(
        histogram("pinhost_commit_seconds", "From when a unit was offered to its commit."),
        |totals| &totals.commits,
    ),
    OfTimes(histogram("pinhost_batch_seconds", "Time that cleaning a batch took."), |totals| {
        &totals.batches
    }),
    OfTimes(
        histogram(
            "pinhost_end_to_end_seconds",
            "From the time of a unit's latest record to its commit.",
        ),
        |totals| &totals.ends,
    ),
];

const DROPPED: Family =
    counter("pinhost_rows_dropped_total", "Rows that a step took out on purpose.");
const DEAD: Family =
    counter("pinhost_dead_letters_total", "Records that could not be cleaned or stored.");
const REJECTED: Family = counter("pinhost_rows_rejected_total", "Dead letters that a step made.");
const TALLIES: Family = counter("pinhost_step_tally_total", "What steps count while they clean.");
const SWAPS: Family =
    counter("pinhost_swaps_total", "Generations that took over, were refused or were rolled back.");
const FAILURES: Family =
    counter("pinhost_failures_total", "What failed and is tried again, by step and kind of error.");
const GENERATION: Family = gauge("pinhost_generation_info", "Which generation cleans.");
const BUILD: Family = gauge("pinhost_build_info", "Which pinhost this is.");

/// All figures as they are now.
pub(super) fn text(pipelines: &[Observed], form: Form) -> String {
    let totals = pipelines.iter().map(|of| (&*of.pipeline, of.stats.totals()));
    let totals: Vec<(&str, Totals)> = totals.collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
    let mut text = Exposition::new(form);
    text.family(&BUILD);
    text.sample(BUILD.name, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    for OfPipeline(family, value) in &OF_PIPELINES {
        text.family(family);
        for (pipeline, totals) in &totals {
            text.sample(family.name, &[("pipeline", pipeline)], value(totals));
        }
    }
    for OfTimes(family, times) in &OF_TIMES {
        text.family(family);
        for (pipeline, totals) in &totals {
            text.histogram(family.name, &[("pipeline", pipeline)], times(totals));
        }
    }
    for OfLane(family, value) in &OF_LANES {
        text.family(family);
        for (pipeline, totals) in &totals {
            for (lane, status) in &totals.lanes {
                if let Some(value) = value(status, now) {
                    let lane = lane.to_string();
                    let labels = [("pipeline", *pipeline), ("lane", &*lane)];
                    text.sample(family.name, &labels, value);
                }
            }
        }
    }
    counted(&mut text, &totals);
    process(&mut text);
    text.end()
}

/// What is counted by something that the pipeline decides.
fn counted(text: &mut Exposition, totals: &[(&str, Totals)]) {
    type Counts = Vec<(Vec<(&'static str, String)>, u64)>;
    let mut tell = |family: &Family, counts: fn(&Totals) -> Counts| {
        text.family(family);
        for (pipeline, totals) in totals {
            for (labels, count) in counts(totals) {
                let labels = labels.iter().map(|(name, value)| (*name, &**value));
                let labels: Vec<_> = [("pipeline", *pipeline)].into_iter().chain(labels).collect();
                text.sample(family.name, &labels, count as f64);
            }
        }
    };
    tell(&DROPPED, |totals| {
        totals.dropped.iter().map(|(step, rows)| (vec![("step", step.clone())], *rows)).collect()
    });
    tell(&DEAD, |totals| {
        let dead = totals.dead_letters.iter();
        dead.map(|(reason, records)| (vec![("reason", reason.clone())], *records)).collect()
    });
    tell(&REJECTED, |totals| {
        totals.rejected.iter().map(|(step, rows)| (vec![("step", step.clone())], *rows)).collect()
    });
    tell(&TALLIES, |totals| {
        let tallies = totals.tallies.iter();
        tallies
            .map(|((step, tally), rows)| {
                (vec![("step", step.clone()), ("tally", tally.clone())], *rows)
            })
            .collect()
    });
    tell(&SWAPS, |totals| {
        let swaps = totals.swaps.iter();
        swaps.map(|(result, swaps)| (vec![("result", result.name().to_owned())], *swaps)).collect()
    });
    tell(&FAILURES, |totals| {
        let failures = totals.failures.iter();
        failures
            .map(|((step, class), count)| {
                let class = class.name().to_owned();
                (vec![("step", step.name().to_owned()), ("class", class)], *count)
            })
            .collect()
    });
    tell(&GENERATION, |totals| {
        let generation = totals.generation.iter();
        generation.map(|digest| (vec![("generation", digest.to_string())], 1)).collect()
    });
}

fn process(text: &mut Exposition) {
    let Some(figures) = ProcessFigures::now() else { return };
    let mut tell = |family: &Family, value: f64| {
        text.family(family);
        text.sample(family.name, &[], value);
    };
    tell(&counter("process_cpu_seconds_total", "Processor time used."), figures.cpu_seconds);
    tell(&gauge("process_resident_memory_bytes", "Resident memory."), figures.resident_bytes);
    tell(&gauge("process_threads", "Threads."), figures.threads);
    tell(&gauge("process_open_fds", "Open file descriptors."), figures.open_files);
    if let Some(most) = figures.files_max {
        tell(&gauge("process_max_fds", "Most open file descriptors."), most);
    }
    tell(
        &gauge("process_start_time_seconds", "When the process started, since 1970."),
        figures.started_seconds,
    );
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::connect::Stored;
    use crate::observe::Stats;
    use crate::record::{ErrorClass, Lane, Position};
    use crate::run::{LaneStep, Listener as _, News, UnitFigures};

    #[test]
    fn figures_are_shown_as_prometheus_reads_them() {
        let stats = Arc::new(Stats::default());
        let mut figures = UnitFigures { records: 10, rows: 8, ..UnitFigures::default() };
        figures.dead_letters.insert("field \"n\" is\nodd".to_owned(), 2);
        figures.rejected.insert("tags".to_owned(), 1);
        figures.tallies.insert(("tags".to_owned(), "repeats dropped".to_owned()), 3);
        figures.latest_micros = Some(1_700_000_000_000_000);
        let stored = Stored { rows: 8, ..Stored::default() };
        let (lane, to) = (Lane::new("a/0"), Position::number(10));
        let took = Duration::from_millis(20);
        let figures = Box::new(figures);
        stats.hear(News::Committed { lane: lane.clone(), to, figures, stored, took });
        stats.hear(News::Behind { lane: lane.clone(), records: 7 });
        let (step, class) = (LaneStep::Read, ErrorClass::Transient);
        stats.hear(News::Failed { lane, step, class });
        let shown = text(&[Observed { pipeline: "pins".into(), stats }], Form::Prometheus);
        for line in [
            "pinhost_records_total{pipeline=\"pins\"} 10",
            "pinhost_rows_stored_total{pipeline=\"pins\"} 8",
            r#"pinhost_dead_letters_total{pipeline="pins",reason="field \"n\" is\nodd"} 2"#,
            r#"pinhost_rows_rejected_total{pipeline="pins",step="tags"} 1"#,
            r#"pinhost_step_tally_total{pipeline="pins",step="tags",tally="repeats dropped"} 3"#,
            r#"pinhost_lane_halted{pipeline="pins",lane="a/0"} 0"#,
            r#"pinhost_lane_lag_records{pipeline="pins",lane="a/0"} 7"#,
            r#"pinhost_failures_total{pipeline="pins",step="read",class="transient"} 1"#,
            r#"pinhost_commit_seconds_bucket{pipeline="pins",le="0.025"} 1"#,
            r#"pinhost_records_unaccounted{pipeline="pins"} 0"#,
            "# TYPE pinhost_units_total counter",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "no {line} in\n{shown}");
        }
        let lag = shown.lines().find_map(|line| {
            line.strip_prefix(r#"pinhost_lane_lag_seconds{pipeline="pins",lane="a/0"} "#)
        });
        assert!(lag.unwrap().parse::<f64>().unwrap() > 1e6, "the record is of 2023");
        let names = shown.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut names: Vec<_> = names.collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a family is told once");
    }

    #[test]
    fn records_that_ended_nowhere_are_seen() {
        let stats = Stats::default();
        let figures = UnitFigures { records: 10, rows: 9, ..UnitFigures::default() };
        let (lane, to) = (Lane::new("a/0"), Position::number(10));
        let (stored, took) = (Stored { rows: 7, ..Stored::default() }, Duration::ZERO);
        let figures = Box::new(figures);
        stats.hear(News::Committed { lane, to, figures, stored, took });
        assert_eq!(stats.totals().unaccounted(), 3, "one in the rule, two in the sink");
    }
}
