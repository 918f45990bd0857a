//! What can be wrong with a limit by itself.

use crate::pipeline::config::{DeadLettersConfig, LimitsConfig, UnitConfig};
use crate::written::{Cursor, Duration, Finding, positive};

pub(in crate::pipeline) fn limits(
    limits: &LimitsConfig,
    unit: &UnitConfig,
    dead_letters: &DeadLettersConfig,
    at: Cursor<'_>,
    found: &mut Vec<Finding>,
) {
    let millis = |time: &Duration| time.0.as_millis() as u64;
    let own = at.key("limits");
    positive(
        own,
        &[
            ("memory", limits.memory.0),
            ("record", limits.record.0),
            ("depth", limits.depth as u64),
            ("start_time", millis(&limits.start_time)),
            ("halt_time", millis(&limits.halt_time)),
        ],
        found,
    );
    let slowdown = u64::from(limits.probation.slowdown);
    positive(own.key("probation"), &[("slowdown", slowdown)], found);
    let plugin = &limits.plugin;
    positive(
        own.key("plugin"),
        &[
            ("call", millis(&plugin.call)),
            ("configure", millis(&plugin.configure)),
            ("memory", plugin.memory.0),
            ("output", plugin.output.0),
            ("table_entries", plugin.table_entries as u64),
            ("file", plugin.file.0),
            ("row_fuel", plugin.row_fuel),
        ],
        found,
    );
    positive(
        at.key("unit"),
        &[("rows", u64::from(unit.rows)), ("bytes", unit.bytes.0), ("time", millis(&unit.time))],
        found,
    );
    if limits.memory < limits.record && limits.memory.0 > 0 {
        let place = if own.has("memory") { own.key("memory") } else { own.key("record") };
        let told = place.finding(format!(
            "a record may have {}, and all that is on its way {}",
            limits.record, limits.memory
        ));
        found.push(told.help("`limits.memory` has to hold several records"));
    }
    if !(0.0..=1.0).contains(&dead_letters.max_ratio) {
        let told = at.key("dead_letters").key("max_ratio").finding("a share is from 0 to 1");
        found.push(told.help("0.05 is five of a hundred"));
    }
}
