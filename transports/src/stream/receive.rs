//! Receives frames from one stream: one read, then every whole frame that is in it.

use super::frame::{HEADER_BYTES, Header, crc_of};
use super::lanes::{Counters, LaneKind, Lanes};
use super::room::Room;
use async_trait::async_trait;
use bytes::BytesMut;
use std::future::poll_fn;
use std::io::ErrorKind as Io;
use std::sync::Arc;
use trefoil_core::port::{Frame, FrameReceiver};
use trefoil_core::{Error, ErrorKind, Result};

pub(crate) struct Receiver {
    lanes: Arc<Lanes>,
    lane: LaneKind,
    /// What was read and not returned. It is kept here so that a dropped `receive` loses nothing.
    buffer: BytesMut,
    room: Room,
    /// The frame whose header was read and whose body has not come yet: length and CRC.
    body: Option<(usize, u32)>,
    finished: bool,
}

impl Receiver {
    pub(crate) fn new(lanes: Arc<Lanes>, lane: LaneKind) -> Self {
        let (buffer, room) = (BytesMut::new(), Room::default());
        Self { lanes, lane, buffer, room, body: None, finished: false }
    }

    /// Every whole frame in the buffer. A damaged one ends the link; those before it are good
    /// and are returned first.
    fn parse(&mut self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        while !self.finished {
            match self.parse_one() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    Counters::add(&self.lanes.counters.corrupt);
                    tracing::warn!(%error, "a link ends: what came is damaged");
                    self.lanes.end(error.kind(), "what came is damaged");
                    if frames.is_empty() {
                        return Err(error);
                    }
                    break;
                }
            }
        }
        Ok(frames)
    }

    fn parse_one(&mut self) -> Result<Option<Frame>> {
        if self.body.is_none() {
            let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() else {
                return Ok(None);
            };
            match Header::decode(header)? {
                Header::End => {
                    self.finished = true;
                    return Ok(None);
                }
                Header::Frame { length, crc } => self.body = Some((length, crc)),
            }
            drop(self.buffer.split_to(HEADER_BYTES));
        }
        let Some((length, crc)) = self.body.filter(|(length, _)| self.buffer.len() >= *length)
        else {
            return Ok(None);
        };
        self.body = None;
        let body = self.buffer.split_to(length).freeze();
        if crc_of(&body) != crc {
            let what = format!("read frame: its {length} bytes are damaged");
            return Err(Error::corrupt(what));
        }
        Ok(Some(Frame::of(body)))
    }

    async fn read(&mut self) -> Result<()> {
        let missing = self.body.map_or(0, |(length, _)| length.saturating_sub(self.buffer.len()));
        self.room.make(&mut self.buffer, missing);
        let wire = self.lanes.wire(self.lane);
        match poll_fn(|context| wire.poll_read(context, &mut self.buffer)).await {
            Ok(0) => {
                // Without the mark of an orderly end, the other side or the way to it is gone.
                self.lanes.check("receive frames")?;
                self.lanes.end(ErrorKind::Unavailable, "the other side went away");
                self.lanes.check("receive frames")
            }
            Ok(read) => {
                self.room.note(read);
                Ok(())
            }
            Err(error) if error.kind() == Io::Interrupted => Ok(()),
            Err(error) => {
                self.lanes.check("receive frames")?;
                let error = Error::io("receive frames", error);
                self.lanes.end(error.kind(), "receiving failed before");
                Err(error)
            }
        }
    }
}

#[async_trait]
impl FrameReceiver for Receiver {
    async fn receive(&mut self) -> Result<Option<Vec<Frame>>> {
        loop {
            if self.finished {
                return Ok(None);
            }
            self.lanes.check("receive frames")?;
            let frames = self.parse()?;
            if !frames.is_empty() {
                return Ok(Some(frames));
            }
            if !self.finished {
                self.read().await?;
            }
        }
    }

    fn move_here(&mut self) {
        self.lanes.wire(self.lane).move_here();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.finished {
            self.lanes.end(ErrorKind::Closed, "this side dropped a receiver");
        }
    }
}
