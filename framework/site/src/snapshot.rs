//! A consistent image of all volumes of a group at one position.

use crate::actor::{Hold, HoldImage, ReadRecords, Release};
use crate::handle::{Group, hand};
use crate::shared::Gate;
use bytes::Bytes;
use tokio::sync::oneshot;
use trefoil_core::engine::overlay::Overlay;
use trefoil_core::engine::volume::check_range;
use trefoil_core::model::{Extent, Position, UpdateNumber, VolumeId};
use trefoil_core::{Error, Result};

/// Records are read for a snapshot in pieces of so many bytes.
const READ_BYTES: usize = 4 << 20;

/// A consistent image of all volumes of a group at one position. The restorer is held until it is
/// dropped.
#[derive(Debug)]
pub struct Snapshot {
    group: Group,
    position: Position,
    /// What was received up to the position and is not restored.
    overlay: Overlay,
}

impl Snapshot {
    pub(crate) async fn take(group: Group, update: Option<UpdateNumber>) -> Result<Self> {
        let owing = matches!(*group.shared.gate.borrow(), Gate::Owing(_));
        if owing {
            return Self::staged(group, update).await;
        }
        let (reply, held) = oneshot::channel();
        hand(&group.restorer, Hold(reply))?;
        let mut snapshot = Self { group, position: Position::START, overlay: Overlay::new() };
        let stopped = |_| Error::closed("take image: the site is stopping");
        let restored = held.await.map_err(stopped)?;
        let wanted = match update {
            Some(update) => update,
            // A host looks for what it was answered, restored or not.
            None => snapshot.group.commit().await?.map_or(restored, |commit| commit.max(restored)),
        };
        if wanted < restored {
            return Err(Error::invalid(format!(
                "take image as of update {wanted}: site {} has restored {restored} already",
                snapshot.group.site()
            )));
        }
        snapshot.roll(restored, wanted).await?;
        Ok(snapshot)
    }

    /// The image that a site in debt keeps until all of it is there.
    async fn staged(group: Group, update: Option<UpdateNumber>) -> Result<Self> {
        let (reply, held) = oneshot::channel();
        hand(&group.restorer, HoldImage(reply))?;
        let stopped = |_| Error::closed("take image: the site is stopping");
        let site = group.site().clone();
        let Some(position) = held.await.map_err(stopped)? else {
            return Err(Error::refused(format!(
                "take image at site {site}: it is still being filled, its volumes are not \
                 consistent"
            )));
        };
        let image = Self { group, position, overlay: Overlay::new() };
        match update {
            Some(update) if update != position.number => Err(Error::invalid(format!(
                "take image as of update {update}: site {site} keeps that of {} until what it \
                 lacks is there",
                position.number
            ))),
            _ => Ok(image),
        }
    }

    /// Lays the updates after `restored` up to `wanted` over the stores' content.
    async fn roll(&mut self, restored: UpdateNumber, wanted: UpdateNumber) -> Result<()> {
        let mut next = if wanted > restored { restored.next() } else { wanted };
        while next <= wanted && next > UpdateNumber::ZERO {
            let (reply, answer) = oneshot::channel();
            let read = ReadRecords { from: next, up_to: wanted, bytes_max: READ_BYTES, reply };
            hand(&self.group.journal, read)?;
            let stopped = |_| Error::closed("take image: the site is stopping");
            let records = match answer.await.map_err(stopped)? {
                Ok(records) => records,
                // The record at the restored position itself may be trimmed; only its name is lost.
                Err(_) if next == restored => break,
                Err(error) => return Err(error),
            };
            if records.is_empty() {
                return Err(Error::invalid(format!(
                    "take image as of update {wanted}: site {} has not received it yet",
                    self.group.site()
                )));
            }
            for record in records {
                if record.number() > restored {
                    self.overlay.insert(&record);
                }
                self.position = record.position();
                next = record.number().next();
            }
        }
        if self.position.number != wanted {
            self.position = Position { number: wanted, ..Position::START };
        }
        Ok(())
    }

    /// The position of the image.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The group.
    pub fn group(&self) -> &Group {
        &self.group
    }

    fn extent(&self, volume: VolumeId, offset: u64, length: u64) -> Result<Extent> {
        let size = self.group.size_of(volume);
        check_range(offset, length, size)?;
        Ok(Extent { volume, offset, length })
    }

    /// Reads `length` bytes of a volume at `offset`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid) beyond the end; whatever the store
    /// says.
    pub async fn read(&self, volume: VolumeId, offset: u64, length: usize) -> Result<Bytes> {
        let extent = self.extent(volume, offset, length as u64)?;
        let known = self.overlay.read(extent);
        self.group.shared.fill(extent, known).await
    }

    /// The first range at or after `offset` that may hold other bytes than zeroes.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn allocated_from(&self, volume: VolumeId, offset: u64) -> Result<Option<Extent>> {
        let size = self.group.size_of(volume);
        let rest = self.extent(volume, offset, size.saturating_sub(offset))?;
        let stored = self.group.shared.store(&rest)?.allocated_from(offset).await?;
        let laid = self.overlay.covered(rest).find(|(_, _, zero)| !zero);
        let laid =
            laid.map(|(start, end, _)| Extent { volume, offset: start, length: end - start });
        Ok(match (stored, laid) {
            (Some(a), Some(b)) => Some(if b.offset < a.offset { b } else { a }),
            (a, b) => a.or(b),
        }
        .map(|extent| Extent { volume, ..extent }))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let _ = hand(&self.group.restorer, Release);
    }
}
