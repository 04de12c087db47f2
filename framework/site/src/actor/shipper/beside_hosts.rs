//! A leg that nobody waits for shares its thread with the hosts of the group.

use super::ShipperActor;
use crate::wan::Traffic;

/// While hosts write, what is read from the journal or a volume for such a leg, and sent, is so
/// large at most, in bytes: that takes the thread a tenth of a millisecond or two, and the largest
/// batch takes it ten times as long.
const BESIDE_HOSTS_BYTES: u64 = 256 << 10;

/// A host that has not written for so long is not waited for, in microseconds.
const HOSTS_REST_US: u64 = 100_000;

impl ShipperActor {
    /// The largest batch now.
    pub(super) fn batch_max(&self, traffic: &Traffic) -> u64 {
        let wrote = self.crew.marks.host_wrote_us.get();
        let since = self.crew.shared.clock.now_us().saturating_sub(wrote);
        if wrote > 0 && since < HOSTS_REST_US && !self.is_acking() {
            traffic.batch_bytes.min(BESIDE_HOSTS_BYTES)
        } else {
            traffic.batch_bytes
        }
    }
}
