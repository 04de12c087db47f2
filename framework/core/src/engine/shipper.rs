//! What a source sends next to one follower.

use super::copy::{COPY_CHUNK_BYTES_MAX, CopySource};
use super::judge::{Plan, PlanDebt, PlanKind};
use crate::model::{Extent, ExtentSet, SessionId, UpdateNumber, VolumeId};
use crate::{Error, Result};

/// The next piece of work of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Send records from `from` on, not beyond `up_to`, at most about `bytes_max` bytes.
    Records {
        /// The first.
        from: UpdateNumber,
        /// The last that may be sent.
        up_to: UpdateNumber,
        /// The limit in encoded bytes.
        bytes_max: u64,
    },
    /// Send the beginning of this range: at most
    /// [`COPY_CHUNK_BYTES_MAX`] of data, or as many zeroes as
    /// it begins with.
    Copy(Extent),
    /// The same, as hashes where it is not zeroes.
    Compare(Extent),
}

/// The cursor of one leg: what was sent, what may be, what comes next. One piece of work at a
/// time, so that no record overtakes a copied block whose read has begun.
#[derive(Clone, Debug)]
pub struct ShipperEngine {
    session: SessionId,
    plan: Plan,
    sent: UpdateNumber,
    /// What is still to be copied.
    to_copy: CopySource,
    busy: bool,
    /// Bytes sent in this session, and how many the follower takes.
    sent_bytes: u64,
    credit: u64,
    /// Bytes that copies may be sent before records, by their share.
    copies_due: u64,
}

/// Updates go first; of so many bytes of them one is for copies, so that a busy host delays a copy
/// and never stops it. An update that is late is lost with its source, a copy is only late.
const COPY_SHARE: u64 = 8;

impl ShipperEngine {
    /// The leg of `session` by `plan`; `volumes` are the sizes of the group's volumes.
    pub fn new(session: SessionId, plan: Plan, volumes: &[u64], credit: u64) -> Self {
        let to_copy = match &plan.debt {
            PlanDebt::Nothing => ExtentSet::new(),
            PlanDebt::Extents(extents) => extents.clone(),
            PlanDebt::Everything => everything(volumes),
        };
        let to_copy = match plan.kind {
            PlanKind::Compare => CopySource::comparing(to_copy),
            _ => CopySource::new(to_copy),
        };
        let (sent, busy, copies_due) = (plan.base.number, false, 0);
        Self { session, plan, sent, to_copy, busy, sent_bytes: 0, credit, copies_due }
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether the session ends with its plan: the follower is refused, or has to undo its tail and
    /// ask again.
    pub fn ends_with_plan(&self) -> bool {
        matches!(self.plan.kind, PlanKind::Refuse { .. } | PlanKind::Rewind)
    }

    /// The newest number sent.
    pub fn sent(&self) -> UpdateNumber {
        self.sent
    }

    /// Whether blocks are still to be copied.
    pub fn copying(&self) -> bool {
        !self.to_copy.is_done()
    }

    /// Bytes still to be copied.
    pub fn copy_bytes_left(&self) -> u64 {
        self.to_copy.bytes_left()
    }

    /// The follower takes `credit` bytes in this session. Never goes back.
    pub fn credit(&mut self, credit: u64) {
        self.credit = self.credit.max(credit);
    }

    /// What to do now, records being allowed up to `limit` and copies only with `copies` (their
    /// rate may be used up); then call one of the `…_sent`.
    pub fn next(&mut self, limit: UpdateNumber, copies: bool) -> Option<Work> {
        let room = self.credit.saturating_sub(self.sent_bytes);
        if self.busy || self.ends_with_plan() || room == 0 {
            return None;
        }
        let records = limit > self.sent;
        let copy = self.to_copy.next_run().filter(|_| copies);
        let work = match copy {
            Some(extent) if !records || self.copies_due >= COPY_CHUNK_BYTES_MAX => {
                if self.to_copy.compares() { Work::Compare(extent) } else { Work::Copy(extent) }
            }
            _ if records => Work::Records { from: self.sent.next(), up_to: limit, bytes_max: room },
            _ => return None,
        };
        self.busy = true;
        Some(work)
    }

    /// Records up to `last`, of `bytes`, were handed to the link.
    pub fn records_sent(&mut self, last: UpdateNumber, bytes: u64) {
        self.busy = false;
        if self.copying() {
            let due = self.copies_due + bytes / COPY_SHARE;
            self.copies_due = due.min(2 * COPY_CHUNK_BYTES_MAX);
        }
        self.sent = self.sent.max(last);
        self.sent_bytes += bytes;
    }

    /// The copy of `extent`, of `bytes` on the wire, was handed to the link.
    pub fn copy_sent(&mut self, extent: Extent, bytes: u64) {
        self.busy = false;
        self.copies_due = self.copies_due.saturating_sub(bytes);
        self.to_copy.take(extent);
        self.sent_bytes += bytes;
    }

    /// The hashes of `extent` were handed to the link; `bytes` is what they count as.
    pub fn compare_sent(&mut self, extent: Extent, bytes: u64) {
        self.busy = false;
        self.copies_due = self.copies_due.saturating_sub(bytes);
        self.to_copy.ask(extent);
        self.sent_bytes += bytes;
    }

    /// The follower says that these ranges differ: they are copied next.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if it was not told their hashes in this
    /// session: then the session is over.
    pub fn differs(&mut self, extents: &[Extent]) -> Result<()> {
        for extent in extents {
            if !self.to_copy.differs(*extent) {
                return Err(Error::corrupt(format!(
                    "take what differs: no hashes of {} bytes at {} of volume {} were told",
                    extent.length, extent.offset, extent.volume
                )));
            }
        }
        Ok(())
    }
}

/// All of every volume.
pub fn everything(volumes: &[u64]) -> ExtentSet {
    let extents = volumes.iter().enumerate().map(|(index, size)| Extent {
        volume: VolumeId(u32::try_from(index).unwrap_or(u32::MAX)),
        offset: 0,
        length: *size,
    });
    extents.collect()
}

/// The highest number that a leg may read (rules R3 and R4): past the horizon only while the
/// primary really waits for the site.
pub fn limit(acking: bool, newest: UpdateNumber, horizon: UpdateNumber) -> UpdateNumber {
    if acking { newest } else { horizon }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Position;

    fn plan(debt: PlanDebt) -> Plan {
        Plan {
            kind: PlanKind::Copy,
            fork: UpdateNumber::ZERO,
            drop_to: UpdateNumber::ZERO,
            debt,
            base: Position::START,
            target: UpdateNumber::new(10),
            updates: 10,
            bytes: None,
            why: String::new(),
        }
    }

    #[test]
    fn one_piece_of_work_at_a_time_and_within_credit() {
        let mut leg = ShipperEngine::new(SessionId(1), plan(PlanDebt::Nothing), &[], 100);
        let n = UpdateNumber::new;
        let work = leg.next(n(5), true);
        assert_eq!(work, Some(Work::Records { from: n(1), up_to: n(5), bytes_max: 100 }));
        assert_eq!(leg.next(n(5), true), None, "busy");
        leg.records_sent(n(3), 100);
        assert_eq!(leg.next(n(5), true), None, "no credit left");
        leg.credit(150);
        assert_eq!(
            leg.next(n(5), true),
            Some(Work::Records { from: n(4), up_to: n(5), bytes_max: 50 })
        );
    }

    #[test]
    fn records_go_first_and_copies_have_their_share() {
        let plan = plan(PlanDebt::Everything);
        let mut leg = ShipperEngine::new(SessionId(1), plan, &[1 << 30], 1 << 40);
        let (mut records, mut copies) = (0, 0);
        for round in 1..=1000 {
            match leg.next(UpdateNumber::new(round), true) {
                Some(Work::Records { .. }) => {
                    records += 1;
                    leg.records_sent(UpdateNumber::new(round), COPY_CHUNK_BYTES_MAX);
                }
                Some(Work::Copy(run)) => {
                    assert!(records > 0, "an update goes first");
                    copies += 1;
                    let chunk = Extent { length: COPY_CHUNK_BYTES_MAX, ..run };
                    leg.copy_sent(chunk, chunk.length);
                }
                Some(Work::Compare(_)) | None => panic!("there is work, and nothing to compare"),
            }
        }
        assert_eq!((records, copies), (889, 111), "one in nine, however many updates wait");
    }

    #[test]
    fn without_updates_copies_go_as_fast_as_they_may() {
        let mut leg =
            ShipperEngine::new(SessionId(1), plan(PlanDebt::Everything), &[3 << 20], 1 << 30);
        let n = UpdateNumber::new;
        assert_eq!(leg.next(n(0), false), None, "their rate is used up");
        for chunk in 0..3 {
            let Some(Work::Copy(run)) = leg.next(n(0), true) else { panic!("no records wait") };
            assert_eq!(run.offset, chunk * COPY_CHUNK_BYTES_MAX);
            leg.copy_sent(Extent { length: COPY_CHUNK_BYTES_MAX, ..run }, COPY_CHUNK_BYTES_MAX);
        }
        assert!(!leg.copying());
    }

    #[test]
    fn where_data_is_held_hashes_go_first_and_what_differs_is_copied_next() {
        let plan = Plan { kind: PlanKind::Compare, ..plan(PlanDebt::Everything) };
        let mut leg = ShipperEngine::new(SessionId(1), plan, &[2 << 20], 1 << 30);
        let n = UpdateNumber::new(0);
        let Some(Work::Compare(run)) = leg.next(n, true) else { panic!("hashes go first") };
        let first = Extent { length: COPY_CHUNK_BYTES_MAX, ..run };
        leg.compare_sent(first, first.length);
        let differs = Extent { offset: 64 << 10, length: 64 << 10, ..run };
        leg.differs(&[differs]).unwrap();
        assert_eq!(leg.next(n, true), Some(Work::Copy(differs)), "before more is compared");
        leg.copy_sent(differs, differs.length);
        leg.differs(&[differs]).unwrap_err();
        let Some(Work::Compare(rest)) = leg.next(n, true) else { panic!("the rest is compared") };
        assert_eq!((rest.offset, rest.length), (COPY_CHUNK_BYTES_MAX, COPY_CHUNK_BYTES_MAX));
        leg.compare_sent(rest, rest.length);
        assert!(!leg.copying() && leg.next(n, true).is_none());
        leg.differs(&[Extent { offset: 2 << 20, length: 1, ..run }]).unwrap_err();
        leg.differs(&[Extent { offset: COPY_CHUNK_BYTES_MAX, length: 7, ..run }]).unwrap();
        assert!(leg.copying(), "whatever was told may turn out to differ");
    }

    #[test]
    fn only_a_leg_that_is_waited_for_reads_past_the_horizon() {
        let n = UpdateNumber::new;
        assert_eq!(limit(true, n(9), n(4)), n(9));
        assert_eq!(limit(false, n(9), n(4)), n(4));
    }
}
