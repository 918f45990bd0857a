//! How the allocator of glibc is used.

use std::thread::available_parallelism;

use libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, c_int};

/// Batches come and go by the megabyte, on several threads. Left alone, the allocator gives the pages of
/// each back at once, and the kernel clears new ones for the next: a tenth of the work with two threads.
pub(super) fn keep_pages() {
    // What one thread has allocated another one frees: an arena for each would keep pages for nobody. With a
    // single one two threads wait for each other.
    let arenas = (available_parallelism().map_or(1, usize::from) / 2).max(2);
    let options = [
        (M_MMAP_THRESHOLD, 32 << 20),
        (M_TRIM_THRESHOLD, 64 << 20),
        (M_ARENA_MAX, c_int::try_from(arenas).unwrap_or(c_int::MAX)),
    ];
    for (option, value) in options {
        #[expect(unsafe_code, reason = "nobody has wrapped it")]
        // SAFETY: it takes numbers only.
        unsafe {
            libc::mallopt(option, value);
        }
    }
}
