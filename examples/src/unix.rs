//! Frames over Unix sockets: a whole transport, to copy from.
//!
//! A link is two connections, a lane each, which the dialer names by the same token. A frame is its
//! length and its bytes; a length of all ones is the orderly end of a lane. Whatever else ends a
//! connection is an error, and a half that is dropped takes both connections down.

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use std::collections::BTreeMap;
use std::io::ErrorKind as Io;
use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use trefoil_core::port::{
    FRAME_BYTES_MAX, Frame, FrameReceiver, FrameSender, Lane, Link, Listener, Security, Transport,
};
use trefoil_core::{Error, ErrorKind, Result};

const END: u32 = u32::MAX;
const HANDSHAKES_MAX: usize = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Process, count and lane: 4, 8 and 1 bytes.
const PREAMBLE_BYTES: usize = 13;

fn io(error: std::io::Error) -> Error {
    Error::io("use unix socket", error)
}

/// Connects to and listens on sockets in a directory: an address is the name of one.
#[derive(Clone, Debug)]
pub struct UnixTransport {
    /// The directory.
    pub dir: PathBuf,
}

#[async_trait]
impl Transport for UnixTransport {
    async fn connect(&self, address: &str) -> Result<Link> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let open = async {
            let mut lanes = Vec::new();
            for lane in [0, 1] {
                let mut stream = UnixStream::connect(self.dir.join(address)).await.map_err(io)?;
                let mut preamble = std::process::id().to_le_bytes().to_vec();
                preamble.extend(count.to_le_bytes());
                preamble.push(lane);
                stream.write_all(&preamble).await.map_err(io)?;
                lanes.push(Arc::new(stream));
            }
            Ok(link(lanes, address))
        };
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, open).await {
            Ok(done) => done.map_err(|error: Error| error.context(format!("connect {address}"))),
            Err(_) => Err(Error::new(ErrorKind::Timeout, format!("connect {address}: no answer"))),
        }
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        // The socket of a process that is gone; one that answers belongs to somebody.
        let path = self.dir.join(address);
        if UnixStream::connect(&path).await.is_ok() {
            return Err(Error::invalid(format!("listen on {address}: another process does")));
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != Io::NotFound => return Err(io(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(io)?;
        let (ready, links) = mpsc::channel(HANDSHAKES_MAX);
        let door = tokio::spawn(keep_door(listener, ready, address.to_owned()));
        Ok(Box::new(Door { address: address.to_owned(), path, links, door }))
    }

    fn describe(&self) -> String {
        "unix".to_owned()
    }
}

struct Door {
    address: String,
    path: PathBuf,
    links: mpsc::Receiver<Link>,
    door: JoinHandle<()>,
}

#[async_trait]
impl Listener for Door {
    async fn accept(&mut self) -> Result<Link> {
        let link = self.links.recv().await;
        link.ok_or_else(|| Error::closed("accept link: the runtime is shutting down"))
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.door.abort();
        // It may be gone already, and nothing can be done if it stays: the next `listen` takes it.
        let _removed = std::fs::remove_file(&self.path).is_ok();
    }
}

/// Takes connections in, as many at a time as there is room for, and pairs them by their token.
async fn keep_door(listener: UnixListener, ready: mpsc::Sender<Link>, address: String) {
    let mut handshakes = JoinSet::new();
    let mut waiting: BTreeMap<[u8; 12], (u8, UnixStream)> = BTreeMap::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if handshakes.len() < HANDSHAKES_MAX => match accepted {
                Ok((stream, _)) => {
                    handshakes.spawn(tokio::time::timeout(HANDSHAKE_TIMEOUT, preamble(stream)));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(Ok(Ok(Ok((token, lane, stream))))) = handshakes.join_next() => {
                match waiting.remove(&token) {
                    Some((other, first)) if other != lane => {
                        let lanes = if lane == 1 { [first, stream] } else { [stream, first] };
                        let lanes = lanes.into_iter().map(Arc::new).collect();
                        if ready.send(link(lanes, &address)).await.is_err() {
                            return;
                        }
                    }
                    _ => {
                        // Whoever does not bring its second lane gives way to those who do.
                        if waiting.len() >= HANDSHAKES_MAX {
                            waiting.clear();
                        }
                        waiting.insert(token, (lane, stream));
                    }
                }
            }
        }
    }
}

async fn preamble(mut stream: UnixStream) -> std::io::Result<([u8; 12], u8, UnixStream)> {
    let mut bytes = [0; PREAMBLE_BYTES];
    stream.read_exact(&mut bytes).await?;
    let [token @ .., lane] = bytes;
    if lane > 1 { Err(Io::InvalidData.into()) } else { Ok((token, lane, stream)) }
}

type Lanes = Arc<Vec<Arc<UnixStream>>>;

fn link(lanes: Vec<Arc<UnixStream>>, peer: &str) -> Link {
    let all: Lanes = Arc::new(lanes);
    let lane = |at: usize| Lane {
        sender: Box::new(Sender { all: all.clone(), at, rest: BytesMut::new(), closed: false }),
        receiver: Box::new(Receiver { all: all.clone(), at, came: BytesMut::new(), ended: false }),
    };
    Link { control: lane(0), data: lane(1), peer: peer.to_owned(), security: Security::Inside }
}

/// Ends the link: both sides' halves fail from now on.
fn end(all: &Lanes) {
    for stream in all.iter() {
        // It fails where the other side was first.
        let _ended = SockRef::from(&**stream).shutdown(Shutdown::Both).is_ok();
    }
}

struct Sender {
    all: Lanes,
    at: usize,
    /// What a dropped `send` left over: the next call goes on with it.
    rest: BytesMut,
    closed: bool,
}

impl Sender {
    async fn flush(&mut self) -> Result<()> {
        while !self.rest.is_empty() {
            self.all[self.at].writable().await.map_err(io)?;
            match self.all[self.at].try_write(&self.rest) {
                Ok(count) => self.rest.advance(count),
                Err(error) if matches!(error.kind(), Io::WouldBlock | Io::Interrupted) => {}
                Err(error) => {
                    end(&self.all);
                    return Err(io(error));
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl FrameSender for Sender {
    async fn send(&mut self, frames: Vec<Frame>) -> Result<()> {
        if frames.iter().any(|frame| frame.length() > FRAME_BYTES_MAX) {
            return Err(Error::invalid(format!("send frame: over {FRAME_BYTES_MAX} bytes")));
        }
        if self.closed {
            return Err(Error::closed("send frames: this side has closed the lane"));
        }
        self.flush().await?;
        for frame in frames {
            let length = u32::try_from(frame.length()).unwrap_or(END);
            self.rest.extend_from_slice(&length.to_le_bytes());
            frame.parts.iter().for_each(|part| self.rest.extend_from_slice(part));
        }
        self.flush().await
    }

    async fn close(&mut self) -> Result<()> {
        if !self.closed {
            self.closed = true;
            self.rest.extend_from_slice(&END.to_le_bytes());
        }
        self.flush().await
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.closed || !self.rest.is_empty() {
            end(&self.all);
        }
    }
}

struct Receiver {
    all: Lanes,
    at: usize,
    came: BytesMut,
    ended: bool,
}

impl Receiver {
    fn parse(&mut self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        while let Some(length) = self.came.first_chunk().map(|word| u32::from_le_bytes(*word)) {
            if length == END {
                self.ended = true;
                break;
            }
            let length = length as usize;
            if length > FRAME_BYTES_MAX {
                end(&self.all);
                return Err(Error::corrupt(format!("receive frame: it claims {length} bytes")));
            }
            if self.came.len() < 4 + length {
                self.came.reserve(4 + length - self.came.len());
                break;
            }
            self.came.advance(4);
            let body: Bytes = self.came.split_to(length).freeze();
            frames.push(Frame::of(body));
        }
        Ok(frames)
    }
}

#[async_trait]
impl FrameReceiver for Receiver {
    async fn receive(&mut self) -> Result<Option<Vec<Frame>>> {
        loop {
            let frames = if self.ended { Vec::new() } else { self.parse()? };
            if !frames.is_empty() {
                return Ok(Some(frames));
            }
            if self.ended {
                return Ok(None);
            }
            self.came.reserve(64 << 10);
            self.all[self.at].readable().await.map_err(io)?;
            match self.all[self.at].try_read_buf(&mut self.came) {
                Ok(0) => return Err(Error::unavailable("receive frames: the other side is gone")),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), Io::WouldBlock | Io::Interrupted) => {}
                Err(error) => return Err(io(error)),
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.ended {
            end(&self.all);
        }
    }
}
