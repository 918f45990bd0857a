//! What this process uses, as the system counts it.

use std::fs;

/// Ticks of a second in `/proc`: the same on all Linux systems that there are.
const TICKS: f64 = 100.0;
const PAGE_BYTES: f64 = 4096.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ProcessFigures {
    pub cpu_seconds: f64,
    pub resident_bytes: f64,
    pub threads: f64,
    pub open_files: f64,
    /// None if there is no limit.
    pub files_max: Option<f64>,
    pub started_seconds: f64,
}

impl ProcessFigures {
    /// None where the system does not tell.
    pub(super) fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let booted = fs::read_to_string("/proc/stat").ok()?;
        let booted = booted.lines().find_map(|line| line.strip_prefix("btime "))?;
        // The name of the program stands in parentheses, and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |at: usize| fields.get(at)?.parse::<f64>().ok();
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let files_max = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        Some(Self {
            cpu_seconds: (field(11)? + field(12)?) / TICKS,
            resident_bytes: field(21)? * PAGE_BYTES,
            threads: field(17)?,
            // One is the folder that is looked into.
            open_files: fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64,
            files_max: files_max.split_whitespace().next()?.parse().ok(),
            started_seconds: booted.trim().parse::<f64>().ok()? + field(19)? / TICKS,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_something_and_is_younger_than_a_day() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let figures = ProcessFigures::now().unwrap();
        assert!(
            figures.resident_bytes > 1e6 && figures.threads >= 1.0 && figures.open_files >= 3.0
        );
        assert!((0.0..86_400.0).contains(&(now - figures.started_seconds)), "{figures:?}");
        assert!(figures.files_max.is_none_or(|most| most >= figures.open_files));
    }
}
