//! One piece of work of a leg, off the actor: reads what is to be sent, and hands it to the link.

use super::super::ReadRecords;
use crate::crew::CrewRef;
use crate::wan::BATCH_BYTES_MIN;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use trefoil_core::engine::copy::COPY_CHUNK_BYTES_MAX;
use trefoil_core::model::{Extent, SessionId, UpdateNumber};
use trefoil_core::port::{Content, Frame};
use trefoil_core::record::{HEADER_BYTES, Record};
use trefoil_core::wire::{
    CompareBlock, CopyBlock, DataMessage, RECORD_BATCH_BYTES_MAX, encode_data,
};
use trefoil_core::{Error, Result};

/// What one piece of work sent.
pub(super) enum Sent {
    Records(Shipped),
    Copy {
        extent: Extent,
        data: u64,
        wire: u64,
    },
    /// What it counts as, of the credit, is what the follower has to read.
    Hashes {
        extent: Extent,
        wire: u64,
    },
    Nothing,
}

/// Records that were handed to the link.
pub(super) struct Shipped {
    pub last: UpdateNumber,
    pub count: u64,
    pub bytes: u64,
}

/// How many bytes of records go into one frame, where `credit` and `batch` bytes may.
pub(super) fn frame_bytes_max(credit: u64, batch: u64) -> usize {
    let room = usize::try_from(credit.min(batch)).unwrap_or(usize::MAX);
    room.min(RECORD_BATCH_BYTES_MAX)
}

/// Records in a frame of their own, and what that ships; `None` where there are no records.
pub(super) fn framed(session: SessionId, records: Vec<Record>) -> Result<Option<(Frame, Shipped)>> {
    let Some(last) = records.last().map(Record::number) else { return Ok(None) };
    let bytes = records.iter().map(|record| record.encoded_bytes() as u64).sum();
    let shipped = Shipped { last, count: records.len() as u64, bytes };
    Ok(Some((encode_data(DataMessage::Records { session, records })?, shipped)))
}

/// One piece of work of a leg, off the actor.
pub(super) struct Job {
    pub crew: CrewRef,
    pub lane: mpsc::Sender<Vec<Frame>>,
    pub session: SessionId,
    /// The most bytes in a batch.
    pub bytes_max: u64,
}

impl Job {
    async fn send(&self, message: DataMessage) -> Result<()> {
        self.send_frame(encode_data(message)?).await
    }

    async fn send_frame(&self, frame: Frame) -> Result<()> {
        let gone = |_| Error::unavailable("send to follower: the link is gone");
        self.lane.send(vec![frame]).await.map_err(gone)
    }

    pub async fn send_records(
        &self,
        from: UpdateNumber,
        up_to: UpdateNumber,
        bytes_max: u64,
    ) -> Result<Sent> {
        let bytes_max = frame_bytes_max(bytes_max, self.bytes_max);
        let (reply, answer) = oneshot::channel();
        self.crew.to(&self.crew.journal, ReadRecords { from, up_to, bytes_max, reply });
        let gone = |_| Error::closed("read journal: it stopped");
        let records = answer.await.map_err(gone)??;
        if records.first().is_some_and(|first| first.number() != from) {
            return Err(Error::corrupt(format!("read journal: {from} is not where it begins")));
        }
        let Some((frame, shipped)) = framed(self.session, records)? else {
            return Ok(Sent::Nothing);
        };
        self.send_frame(frame).await?;
        Ok(Sent::Records(shipped))
    }

    /// Sends the beginning of `run`: as many zeroes as it begins with, or one chunk of data.
    pub async fn send_copy(&self, run: Extent) -> Result<Sent> {
        self.send_beginning(run, false).await
    }

    /// The same, but hashes of the chunk.
    pub async fn send_hashes(&self, run: Extent) -> Result<Sent> {
        self.send_beginning(run, true).await
    }

    async fn send_beginning(&self, run: Extent, hashes: bool) -> Result<Sent> {
        let beyond = run.length;
        let low = self.crew.marks.submitted.get().number;
        let size = self.crew.shared.volumes().size_of(run.volume.0);
        // What is not here is owed by a tail that had it, or goes by a record that comes yet.
        let run = Extent { length: run.length.min(size.saturating_sub(run.offset)), ..run };
        let zeroes = match run.length {
            0 => beyond,
            _ => self.zeroes_at(run).await?,
        };
        let (extent, content) = if zeroes > 0 {
            (Extent { length: zeroes, ..run }, Content::Zero(zeroes))
        } else {
            let chunk = if hashes { COPY_CHUNK_BYTES_MAX } else { self.copy_chunk() };
            let extent = Extent { length: run.length.min(chunk), ..run };
            let data = self.crew.shared.read_newest(extent).await?;
            if hashes {
                return self.hashes_of(extent, data, low).await;
            }
            (extent, content_of(data))
        };
        let high = self.crew.marks.submitted.get();
        let data = match &content {
            Content::Data(data) => data.len() as u64,
            Content::Zero(_) => 0,
        };
        let (volume, offset, session) = (extent.volume, extent.offset, self.session);
        let block = CopyBlock { session, volume, offset, content, low, high };
        self.send(DataMessage::Copy(block)).await?;
        let wire = HEADER_BYTES as u64 + extent.length.min(COPY_CHUNK_BYTES_MAX);
        Ok(Sent::Copy { extent, data, wire })
    }

    /// Sends the hashes of `data`, whose read began at `low` and has ended.
    async fn hashes_of(&self, extent: Extent, data: Bytes, low: UpdateNumber) -> Result<Sent> {
        let (high, session) = (self.crew.marks.submitted.get(), self.session);
        let hashes = self.crew.shared.aside(move || CompareBlock::hashes_of(&data)).await?;
        let block = CompareBlock { session, extent, hashes, low, high };
        self.send(DataMessage::Compare(block)).await?;
        Ok(Sent::Hashes { extent, wire: HEADER_BYTES as u64 + extent.length })
    }

    /// How much is copied at once: whole pieces of [`BATCH_BYTES_MIN`].
    fn copy_chunk(&self) -> u64 {
        let pieces = (self.bytes_max / BATCH_BYTES_MIN).max(1);
        COPY_CHUNK_BYTES_MAX.min(pieces * BATCH_BYTES_MIN)
    }

    /// How many zeroes `run` begins with, by the store and the overlay.
    async fn zeroes_at(&self, run: Extent) -> Result<u64> {
        let covered = {
            let overlay = self.crew.shared.overlay.read();
            overlay.covered(run).next().map_or(run.end(), |(start, _, _)| start)
        };
        let store = self.crew.shared.store(&run)?;
        let allocated = store.allocated_from(run.offset).await?;
        let data = allocated.map_or(run.end(), |extent| extent.offset);
        Ok(data.min(covered).min(run.end()).saturating_sub(run.offset))
    }
}

/// Zeroes are not sent as data.
fn content_of(data: Bytes) -> Content {
    if data.iter().all(|byte| *byte == 0) {
        Content::Zero(data.len() as u64)
    } else {
        Content::Data(data)
    }
}
