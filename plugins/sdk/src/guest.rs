//! The plugin's side of the contract, for [`export!`](crate::export).

use std::cell::OnceCell;
use std::panic;
use std::sync::Once;

use crate::contract::{Batch, Cleaned, Column, Description, Finding, Plan};
use crate::native::{Native, config_schema};
use crate::view::ColumnData;
use crate::{Plugin, log};

pub type Instance<P> = OnceCell<Native<P>>;

pub fn describe<P: Plugin>(name: &str, version: &str, summary: &str) -> Description {
    report_panics();
    Description {
        name: name.to_owned(),
        version: version.to_owned(),
        summary: summary.to_owned(),
        config_schema: config_schema::<P>(),
    }
}

pub fn configure<P: Plugin>(
    instance: &Instance<P>,
    config: &str,
    columns: Vec<Column>,
) -> Result<Plan, Vec<Finding>> {
    report_panics();
    let native = Native::configure(config, columns)?;
    let plan = native.plan().clone();
    instance
        .set(native)
        .map_err(|_| vec![Finding::new("", "this instance is configured already")])?;
    Ok(plan)
}

#[expect(unsafe_code, reason = "the host checked what it hands over; the contract says so")]
pub fn clean<P: Plugin>(instance: &Instance<P>, batch: &Batch) -> Result<Cleaned, String> {
    let native = instance.get().ok_or("clean was called before configure")?;
    // SAFETY: the batch came through the contract.
    let view = |data| unsafe { ColumnData::new_unchecked(data) };
    let columns: Vec<ColumnData<'_>> = batch.columns.iter().map(view).collect();
    native.clean(batch.rows as usize, &columns)
}

/// Panics end in a trap; the message would be lost.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| panic::set_hook(Box::new(|panic| log::error!("{panic}"))));
}
