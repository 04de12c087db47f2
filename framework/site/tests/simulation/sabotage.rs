//! Ways to break a rule on purpose, to show that the simulation catches it. All of them are
//! outside the product: in what its disks, its clock and its boot id tell it.

use bytes::Bytes;
use trefoil_core::model::{Charter, Generation, Position, SiteState, VolumeId};
use trefoil_core::record::{Record, RecordKind};

/// What a forgetful site still knows: its promise and its charter.
pub type Kept = (Generation, Option<Charter>);

/// A rule to be broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// None.
    #[default]
    Nothing,
    /// The mirror says that it has an update before its journal does.
    AnswerBeforeMirror,
    /// Every journal says that it is durable before it is: what is restored may not be.
    RestoreBeforeDurable,
    /// The mirror says that it is durable before it is: the third site reads past the horizon.
    ReadPastHorizon,
    /// A machine that lost power keeps its boot id, and with it its place in the in-sync set.
    HidePowerLoss,
    /// Saved promises are gone after a restart.
    ForgetPromises,
    /// The home site's clock goes at a tenth of its speed, so its lease lasts ten times as long.
    SlowClock,
    /// The third site's journal holds other bytes.
    OtherBytes,
    /// A checkpoint is saved without its volumes being synced.
    CheckpointBeforeSync,
    /// A tail is said to be set aside, and is not.
    SetNothingAside,
}

impl Sabotage {
    /// Whether this site's journal answers an append before it made it.
    pub fn answers_before_append(self, site: usize) -> bool {
        self == Self::AnswerBeforeMirror && site == 1
    }

    /// Whether this site's disk answers syncs without doing them.
    pub fn lies(self, site: usize) -> bool {
        self == Self::RestoreBeforeDurable || (self == Self::ReadPastHorizon && site == 1)
    }

    /// Whether this site's journal holds other bytes than it was given.
    pub fn stores_other_bytes(self, site: usize) -> bool {
        self == Self::OtherBytes && site == 2
    }

    /// What this site saves in the place of `state`: without the promises and charters after
    /// generation 1. `kept` is what it saved of them last.
    pub fn forgets(self, site: usize, state: Vec<u8>, kept: &mut Option<Kept>) -> Vec<u8> {
        if self != Self::ForgetPromises || site != 2 {
            return state;
        }
        let mut decoded = SiteState::decode(&state).unwrap();
        match kept {
            Some((promised, charter)) if decoded.promised.count > 1 => {
                decoded.promised = *promised;
                decoded.charter.clone_from(charter);
                decoded.encode().unwrap()
            }
            _ => {
                *kept = Some((decoded.promised, decoded.charter));
                state
            }
        }
    }

    /// The rate of a site's clock, in parts per million off.
    pub fn drift_ppm(self, site: usize) -> Option<i64> {
        (self == Self::SlowClock && site == 0).then_some(-900_000)
    }
}

/// Replaces the last host write of a batch by one of other bytes with the same number.
pub fn falsify(records: &mut [Record]) {
    let Some((last, before)) = records.split_last_mut() else { return };
    let Some(extent) = last.extent().filter(|_| last.kind() == RecordKind::Write) else { return };
    let Some(parent) = before.last().map(Record::position) else { return };
    let parent = Position { generation: last.generation(), ..parent };
    let other = Bytes::from(vec![0x5a; extent.length as usize]);
    if let Ok(record) = Record::write(&parent, last.time(), VolumeId(0), extent.offset, other) {
        *last = record;
    }
}
