//! What is done during a call.

use std::hint::black_box;

use crate::misbehaviour::Deed;
use crate::pinhost::plugin::log::{Level, write};
use crate::{CONTROL, Rows, State, long};

/// Does it; in `configure` there are no rows.
pub(crate) fn perform(
    deed: Deed,
    state: &mut State,
    rows: Option<&Rows<'_>>,
) -> Result<(), String> {
    let n = |default| state.config.n.unwrap_or(default);
    match deed {
        Deed::Nothing => {}
        Deed::Trap => trap(),
        Deed::Panic => panic!("hostile: told to panic"),
        Deed::StackOverflow => {
            black_box(recurse(1));
        }
        Deed::OutOfBounds => {
            let end = black_box(u32::MAX - 7) as *const u32;
            // SAFETY: the sandbox catches it; the plugin is of no use to anyone afterwards.
            black_box(unsafe { end.read_volatile() });
        }
        Deed::DivideByZero => {
            let zero = black_box(0_u32);
            // SAFETY: it isn't, on purpose; the instruction it becomes traps.
            unsafe { std::hint::assert_unchecked(zero != 0) };
            black_box(black_box(7) / zero);
        }
        Deed::LoopForever => loop_forever(),
        Deed::Slow => {
            for i in 0..n(10_000) * rows.map_or(1, |rows| rows.guilty.len()) {
                black_box(i);
            }
        }
        Deed::AllocateForever => loop {
            state.leaked.push(touched(1 << 20));
        },
        Deed::Allocate => drop(touched(n(16) << 20)),
        Deed::Leak => {
            let more = touched(n(1024) << 10);
            state.leaked.push(more);
        }
        Deed::LogFlood => {
            for i in 0..n(1_000_000) {
                write(Level::Info, &format!("hostile: line {i}"));
            }
        }
        Deed::LogLong => write(Level::Warn, &long(n(1024))),
        Deed::LogControlCharacters => write(Level::Warn, CONTROL),
        Deed::LogThenTrap => {
            for i in 0..2_000 {
                write(Level::Debug, &format!("hostile: line {i}"));
            }
            write(Level::Error, "hostile: last words");
            trap();
        }
        Deed::Fail => return Err("hostile: told to fail".to_owned()),
        Deed::FailEmpty => return Err(String::new()),
        Deed::FailLong => return Err(long(n(1024))),
        Deed::FailControlCharacters => return Err(CONTROL.to_owned()),
        Deed::TrapAfterCalls => trap_if(state.calls > n(3)),
        Deed::TrapAfterRows => trap_if(state.rows > n(3)),
        Deed::TrapTogether => trap_if(rows.is_some_and(|rows| rows.count as usize > n(1))),
        Deed::TrapAlone => trap_if(rows.is_some_and(|rows| rows.count as usize <= n(1))),
    }
    Ok(())
}

pub(crate) fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

pub(crate) fn loop_forever() -> ! {
    loop {
        black_box(0);
    }
}

fn trap_if(condition: bool) {
    if condition {
        trap();
    }
}

#[expect(unconditional_recursion, reason = "that is what overflows the stack")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth + 1))) + depth
}

/// Memory that was written to: what is only reserved may cost nothing.
fn touched(bytes: usize) -> Vec<u8> {
    black_box(vec![0xa5; bytes])
}
