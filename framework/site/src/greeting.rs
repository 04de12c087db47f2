//! The first message on a link, and what came with it.

use async_trait::async_trait;
use trefoil_core::port::{Frame, FrameReceiver, Lane, Link};
use trefoil_core::wire::{ControlMessage, decode_control};
use trefoil_core::{Error, Result};

/// Hands out what had already been received, then what comes.
struct Remaining {
    first: Option<Vec<Frame>>,
    then: Box<dyn FrameReceiver>,
}

#[async_trait]
impl FrameReceiver for Remaining {
    async fn receive(&mut self) -> Result<Option<Vec<Frame>>> {
        match self.first.take() {
            Some(frames) => Ok(Some(frames)),
            None => self.then.receive().await,
        }
    }

    fn move_here(&mut self) {
        self.then.move_here();
    }
}

/// The first message on a link's control lane. Frames come in batches: what came together with it
/// stays on the link.
pub(crate) async fn first_message(link: Link) -> Result<(ControlMessage, Link)> {
    let Link { control: Lane { sender, mut receiver }, data, peer, security } = link;
    let mut frames = receiver.receive().await?.unwrap_or_default();
    if frames.is_empty() {
        return Err(Error::unavailable("greet: the other side closed the link"));
    }
    let message = decode_control(&frames.remove(0).into_bytes())?;
    if !frames.is_empty() {
        receiver = Box::new(Remaining { first: Some(frames), then: receiver });
    }
    Ok((message, Link { control: Lane { sender, receiver }, data, peer, security }))
}
