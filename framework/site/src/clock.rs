//! The site's clocks.

use std::time::{SystemTime, UNIX_EPOCH};

/// The clocks of a site. A simulation brings its own.
pub trait Clock: Send + Sync {
    /// A clock that never goes back and counts suspended time, in microseconds. Leases are
    /// measured with it.
    fn now_us(&self) -> u64;

    /// Microseconds since 1970. Shown to people and stamped on records; decides nothing.
    fn wall_us(&self) -> u64;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_us(&self) -> u64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
    }

    fn wall_us(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

/// The kernel's id of this boot; empty where it has none, which counts as another boot every time.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
