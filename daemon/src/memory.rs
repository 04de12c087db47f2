//! The process's memory: its allocator, and how long that keeps what is free.

use std::ffi::c_long;

/// A write takes a dozen allocations that end on other threads or much later; the C library's
/// allocator gives their memory back to the system and asks for it again, with every write.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3, to which its bindings give no name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// What is free goes back to the system after so many milliseconds.
const KEPT_MS: c_long = 300_000;

/// Keeps free memory for longer than the second that is the default: a burst that comes within five
/// minutes of the last one meets memory that is there. What was given back comes again in pages of
/// 4 KiB, each of which the system clears: with ten seconds that was a fifth of what hosts could
/// write after a pause of ten seconds. How much is kept is bounded by the limits of the groups.
/// `MIMALLOC_PURGE_DELAY` says otherwise.
pub fn keep_what_is_free() {
    #![expect(unsafe_code, reason = "the allocator has no other way to be told")]
    // SAFETY: it stores a number, under a valid index, in a table of options that is there from the
    // start; no other thread runs yet.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEPT_MS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_knows_the_option() {
        #![expect(unsafe_code, reason = "the allocator has no other way to be asked")]
        keep_what_is_free();
        // SAFETY: as above; it only reads.
        let kept = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(kept, KEPT_MS);
    }
}
