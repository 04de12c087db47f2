//! How frames get from site to site.

use crate::Result;
use crate::model::SiteName;
use async_trait::async_trait;
use bytes::Bytes;

/// The longest frame, in bytes over all its parts. Checked before anything is allocated for it.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// The most parts that a frame has (so that one frame is one vectored write).
pub const FRAME_PARTS_MAX: usize = 1024;

/// A message as bytes, in parts that are written one after the other without being copied
/// together. What is received may come in other parts than it was sent in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The parts, in order.
    pub parts: Vec<Bytes>,
}

impl Frame {
    /// A frame of one part.
    pub fn of(part: Bytes) -> Self {
        Self { parts: vec![part] }
    }

    /// Its length in bytes.
    pub fn length(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Its bytes in one buffer; copies only where there are several parts.
    pub fn into_bytes(mut self) -> Bytes {
        match self.parts.len() {
            0 => Bytes::new(),
            1 => self.parts.swap_remove(0),
            _ => {
                let mut all = Vec::with_capacity(self.length());
                for part in &self.parts {
                    all.extend_from_slice(part);
                }
                all.into()
            }
        }
    }
}

/// Sends frames in order.
///
/// # To be correct
/// - Frames arrive whole, unchanged and in the order sent, or the link ends: never a gap, a
///   duplicate or a torn frame. Damage on the way ends the link.
/// - `send` waits while the other side does not take frames (backpressure); what waits is bounded.
/// - A frame longer than [`FRAME_BYTES_MAX`] is [`ErrorKind::Invalid`](crate::ErrorKind::Invalid)
///   and nothing is sent.
/// - After an error every later call is an error.
/// - Dropping one half ends the link for the other side.
///
/// `trefoil_core::conformance::transport` proves these.
#[async_trait]
pub trait FrameSender: Send {
    /// Sends frames, in order, as one batch.
    async fn send(&mut self, frames: Vec<Frame>) -> Result<()>;

    /// Ends the lane after what was sent has been handed over.
    async fn close(&mut self) -> Result<()>;
}

/// Receives frames in order; see [`FrameSender`] for what makes it correct.
#[async_trait]
pub trait FrameReceiver: Send {
    /// The frames that came, at least one and in order; `None` when the other side closed.
    ///
    /// Dropping the future loses nothing: what came meanwhile is returned by the next call.
    async fn receive(&mut self) -> Result<Option<Vec<Frame>>>;

    /// The lane is used from here on: where waiting for the system belongs to a runtime or a
    /// thread, to the caller's. It is called before the lane is used there, and not while anybody
    /// uses it. It only saves wake-ups, so it may do nothing.
    fn move_here(&mut self) {}
}

/// One direction pair of a link.
pub struct Lane {
    /// Sends to the other side.
    pub sender: Box<dyn FrameSender>,
    /// Receives from the other side.
    pub receiver: Box<dyn FrameReceiver>,
}

/// A connection between two sites: two independent lanes, so that acknowledgements never wait
/// behind data.
pub struct Link {
    /// Small messages: greetings, promises, progress, heartbeats.
    pub control: Lane,
    /// Plans, records and copied blocks.
    pub data: Lane,
    /// Who is on the other side, for people: an address.
    pub peer: String,
    /// What the way is worth: whether others can read it, and who is proven to be at its end.
    pub security: Security,
}

/// How far a link can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Frames do not leave the process.
    Inside,
    /// Neither encrypted nor authenticated: whoever is on the way can read, change and pose.
    Plain,
    /// Encrypted, and the other side has proven to be this site.
    Proven(SiteName),
}

impl Security {
    /// Why a side that calls itself `claimed` is not believed, if it is not.
    pub fn refusal_of(&self, claimed: &SiteName) -> Option<String> {
        match self {
            Self::Proven(site) if site != claimed => Some(format!(
                "the certificate is that of site {site}, the greeting that of site {claimed}"
            )),
            Self::Proven(_) | Self::Plain | Self::Inside => None,
        }
    }
}

/// Waits for links from other sites.
#[async_trait]
pub trait Listener: Send {
    /// The next link. An error is about one connection attempt or passing; call again.
    async fn accept(&mut self) -> Result<Link>;

    /// The address that others connect to, with the port that was chosen if it was left open.
    fn address(&self) -> String;
}

/// A way to carry frames between sites.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Connects to `address`. Bounded in time by the transport's own limit.
    async fn connect(&self, address: &str) -> Result<Link>;

    /// Listens on `address`.
    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>>;

    /// The word by which configurations name it, and what it is: `tcp`.
    fn describe(&self) -> String;
}
