//! A small NBD client for tests: [`RawNbd`] speaks the protocol message by message (and may
//! break it), [`NbdClient`] is a well-behaved host with many requests in flight.
//!
//! Addresses are those of the server: `host:port` or `unix:/path`.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::task::JoinHandle;

/// Either kind of socket.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISC: u16 = 2;
pub const FLUSH: u16 = 3;
pub const TRIM: u16 = 4;
pub const WRITE_ZEROES: u16 = 6;
pub const BLOCK_STATUS: u16 = 7;
pub const FLAG_FUA: u16 = 1;

/// A connection in the hands of a test.
pub struct RawNbd {
    pub stream: Box<dyn Io>,
}

impl RawNbd {
    /// Connects and reads nothing.
    pub async fn connect(address: &str) -> io::Result<Self> {
        let stream: Box<dyn Io> = match address.strip_prefix("unix:") {
            Some(path) => Box::new(UnixStream::connect(path).await?),
            None => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        };
        Ok(Self { stream })
    }

    /// Reads the greeting, answers with these client flags (3: fixed newstyle, no zeroes).
    pub async fn greet(&mut self, flags: u32) -> io::Result<()> {
        let mut hello = [0; 18];
        self.stream.read_exact(&mut hello).await?;
        assert_eq!(hello[..16], *b"NBDMAGICIHAVEOPT");
        self.stream.write_u32(flags).await
    }

    /// Sends an option and nothing more.
    pub async fn send_option(&mut self, code: u32, data: &[u8]) -> io::Result<()> {
        let mut out = b"IHAVEOPT".to_vec();
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
        out.extend_from_slice(data);
        self.stream.write_all(&out).await
    }

    /// Sends an option; its replies up to the final one, an ACK (type 1) or an error.
    pub async fn option(&mut self, code: u32, data: &[u8]) -> io::Result<Vec<(u32, Vec<u8>)>> {
        self.send_option(code, data).await?;
        let mut replies = Vec::new();
        loop {
            assert_eq!(self.stream.read_u64().await?, 0x3_e889_0455_65a9);
            assert_eq!(self.stream.read_u32().await?, code);
            let kind = self.stream.read_u32().await?;
            let mut data = vec![0; self.stream.read_u32().await? as usize];
            self.stream.read_exact(&mut data).await?;
            replies.push((kind, data));
            if kind == 1 || kind >> 31 == 1 {
                return Ok(replies);
            }
        }
    }

    /// GO for the export; its size and flags.
    pub async fn go(&mut self, export: &str) -> io::Result<(u64, u16)> {
        let mut data = counted(export);
        data.extend_from_slice(&[0, 0]);
        let replies = self.option(7, &data).await?;
        for (kind, data) in &replies {
            if *kind == 3 && data[..2] == [0, 0] {
                let size = u64::from_be_bytes(data[2..10].try_into().unwrap());
                return Ok((size, u16::from_be_bytes(data[10..12].try_into().unwrap())));
            }
        }
        let (kind, text) = &replies[replies.len() - 1];
        let text = format!("GO refused with {kind:#x}: {}", String::from_utf8_lossy(text));
        Err(io::Error::other(text))
    }

    /// Sends a request and, behind it, `data`.
    pub async fn request(
        &mut self,
        (flags, kind): (u16, u16),
        cookie: u64,
        (offset, length): (u64, u32),
        data: &[u8],
    ) -> io::Result<()> {
        self.stream.write_all(&request(flags, kind, cookie, offset, length)).await?;
        self.stream.write_all(data).await
    }

    /// Reads a simple reply without data: its error and cookie.
    pub async fn simple_reply(&mut self) -> io::Result<(u32, u64)> {
        assert_eq!(self.stream.read_u32().await?, 0x6744_6698);
        Ok((self.stream.read_u32().await?, self.stream.read_u64().await?))
    }

    /// Whether the server closes within `seconds`, whatever it sends before.
    pub async fn is_closed_within(&mut self, seconds: u64) -> bool {
        let mut rest = Vec::new();
        let end = self.stream.read_to_end(&mut rest);
        tokio::time::timeout(std::time::Duration::from_secs(seconds), end).await.is_ok()
    }
}

/// A string behind its length, as options carry it.
pub fn counted(text: &str) -> Vec<u8> {
    let mut data = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    data.extend_from_slice(text.as_bytes());
    data
}

/// The fixed part of a request.
pub fn request(flags: u16, kind: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut out = 0x2560_9513_u32.to_be_bytes().to_vec();
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&cookie.to_be_bytes());
    out.extend_from_slice(&offset.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NbdError {
    /// The server said so: the protocol's error number and its text.
    Refused { errno: u32, text: String },
    /// The connection ended before the reply.
    Gone,
}

impl NbdError {
    /// The protocol's error number, 0 when the connection ended.
    pub fn errno(&self) -> u32 {
        match self {
            Self::Refused { errno, .. } => *errno,
            Self::Gone => 0,
        }
    }
}

#[derive(Default)]
struct Answer {
    data: Vec<u8>,
    runs: Vec<(u32, u32)>,
    error: Option<NbdError>,
}

type Waiting = Arc<Mutex<Option<HashMap<u64, (Answer, oneshot::Sender<Answer>)>>>>;

/// A host: negotiates GO with structured replies and base:allocation; all calls take `&self`,
/// so requests pipeline by being awaited together.
pub struct NbdClient {
    sender: AsyncMutex<WriteHalf<Box<dyn Io>>>,
    waiting: Waiting,
    next: AtomicU64,
    receiver: JoinHandle<()>,
    /// The export's size in bytes.
    pub size: u64,
    /// Its transmission flags.
    pub flags: u16,
}

impl NbdClient {
    /// Connects to the export (empty name: the default one).
    pub async fn connect(address: &str, export: &str) -> io::Result<Self> {
        let mut raw = RawNbd::connect(address).await?;
        raw.greet(3).await?;
        let structured = raw.option(8, &[]).await?;
        assert_eq!(structured[0].0, 1, "structured replies refused");
        let mut query = counted(export);
        query.extend_from_slice(&1_u32.to_be_bytes());
        query.extend_from_slice(&counted("base:allocation"));
        raw.option(10, &query).await?;
        let (size, flags) = raw.go(export).await?;
        let (from, to) = tokio::io::split(raw.stream);
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let receiver = tokio::spawn(receive(from, Arc::clone(&waiting)));
        let (sender, next) = (AsyncMutex::new(to), AtomicU64::new(1));
        Ok(Self { sender, waiting, next, receiver, size, flags })
    }

    /// Reads `length` bytes.
    pub async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, NbdError> {
        let answer = self.call(0, READ, offset, length, &[]).await?;
        assert_eq!(answer.data.len(), length as usize, "a read of another length");
        Ok(answer.data)
    }

    /// Writes.
    pub async fn write(&self, offset: u64, data: &[u8], fua: bool) -> Result<(), NbdError> {
        let length = u32::try_from(data.len()).unwrap();
        self.call(u16::from(fua), WRITE, offset, length, data).await.map(drop)
    }

    /// Makes what was answered durable.
    pub async fn flush(&self) -> Result<(), NbdError> {
        self.call(0, FLUSH, 0, 0, &[]).await.map(drop)
    }

    /// Discards.
    pub async fn trim(&self, offset: u64, length: u32) -> Result<(), NbdError> {
        self.call(0, TRIM, offset, length, &[]).await.map(drop)
    }

    /// Zeroes; `flags` as NBD_CMD_FLAG bits (FUA 1, NO_HOLE 2, FAST_ZERO 16).
    pub async fn zero(&self, offset: u64, length: u32, flags: u16) -> Result<(), NbdError> {
        self.call(flags, WRITE_ZEROES, offset, length, &[]).await.map(drop)
    }

    /// The runs of base:allocation: (length, state bits: 1 hole, 2 zero).
    pub async fn block_status(
        &self,
        offset: u64,
        length: u32,
        one: bool,
    ) -> Result<Vec<(u32, u32)>, NbdError> {
        let flags = if one { 8 } else { 0 };
        self.call(flags, BLOCK_STATUS, offset, length, &[]).await.map(|answer| answer.runs)
    }

    /// Any request: used for those that a good host does not make.
    pub async fn errno_of(&self, flags: u16, kind: u16, offset: u64, length: u32) -> u32 {
        let data = if kind == WRITE { vec![0; length as usize] } else { Vec::new() };
        match self.call(flags, kind, offset, length, &data).await {
            Ok(_) => 0,
            Err(error) => error.errno(),
        }
    }

    /// Leaves in good order.
    pub async fn disconnect(self) -> io::Result<()> {
        self.sender.lock().await.write_all(&request(0, DISC, 0, 0, 0)).await?;
        self.receiver.await.map_err(io::Error::other)
    }

    /// Drops the connection without a word.
    pub fn vanish(self) {
        self.receiver.abort();
    }

    async fn call(
        &self,
        flags: u16,
        kind: u16,
        offset: u64,
        length: u32,
        data: &[u8],
    ) -> Result<Answer, NbdError> {
        let cookie = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        match &mut *self.waiting.lock() {
            Some(waiting) => waiting.insert(cookie, (Answer::default(), reply)),
            None => return Err(NbdError::Gone),
        };
        let mut out = request(flags, kind, cookie, offset, length);
        out.extend_from_slice(data);
        let sent = self.sender.lock().await.write_all(&out).await;
        sent.map_err(|_| NbdError::Gone)?;
        let answer = answer.await.map_err(|_| NbdError::Gone)?;
        answer.error.clone().map_or(Ok(answer), Err)
    }
}

/// Hands replies to who waits for them, until the connection ends; then nobody waits.
async fn receive(mut from: ReadHalf<Box<dyn Io>>, waiting: Waiting) {
    while let Ok((done, cookie, part)) = reply(&mut from).await {
        let mut waiting = waiting.lock();
        let waiting = waiting.as_mut().unwrap();
        let (answer, _) = waiting.get_mut(&cookie).expect("a reply to no request");
        answer.data.extend_from_slice(&part.data);
        answer.runs.extend_from_slice(&part.runs);
        answer.error = answer.error.take().or(part.error);
        if done {
            let (answer, reply) = waiting.remove(&cookie).unwrap();
            let _ = reply.send(answer);
        }
    }
    *waiting.lock() = None;
}

/// One simple reply or structured chunk: whether it is the last, of which request, what.
async fn reply(from: &mut ReadHalf<Box<dyn Io>>) -> io::Result<(bool, u64, Answer)> {
    let mut part = Answer::default();
    if from.read_u32().await? == 0x6744_6698 {
        let errno = from.read_u32().await?;
        if errno != 0 {
            part.error = Some(NbdError::Refused { errno, text: String::new() });
        }
        return Ok((true, from.read_u64().await?, part));
    }
    let (flags, kind) = (from.read_u16().await?, from.read_u16().await?);
    let cookie = from.read_u64().await?;
    let mut payload = vec![0; from.read_u32().await? as usize];
    from.read_exact(&mut payload).await?;
    let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
    match kind {
        0 => {}
        1 => part.data = payload[8..].to_vec(),
        5 => {
            assert_eq!(word(0), 1, "another metadata context");
            part.runs = (4..payload.len()).step_by(8).map(|at| (word(at), word(at + 4))).collect();
        }
        0x8001 => {
            let text = String::from_utf8_lossy(&payload[6..]).into_owned();
            part.error = Some(NbdError::Refused { errno: word(0), text });
        }
        _ => panic!("a chunk of unknown kind {kind:#x}"),
    }
    Ok((flags & 1 == 1, cookie, part))
}
