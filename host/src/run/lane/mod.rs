//! One lane, from its first claim to its end: read → clean → take the results back in order → cut units →
//! commit.
//!
//! What is decided stands in [`machine`] and what it is made of, and does no I/O; [`shell`] does what is
//! decided. Nothing that is not committed outlives a claim: whoever claims the lane next reads it again.

mod kept;
mod machine;
mod shell;
#[cfg(test)]
mod tests;
mod unit;
mod work;

#[cfg(test)]
pub(crate) use machine::{
    CommitAnswer, LaneAction, LaneEvent, LaneMachine, Opening, ReadBatch, Ticket, is_to_be_sent,
};
pub(crate) use machine::{LaneEnd, LaneReport, LaneSettings};
pub(super) use shell::{Shared, run};
