//! A request: decoded, then checked into a command that cannot be out of bounds.

use super::export::Export;
use super::proto::{REQUEST_BYTES, cmd, cmd_flag, errno, magic};
use bytes::Buf;

/// A request as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) flags: u16,
    pub(super) kind: u16,
    /// The client's own mark of the request, given back in the reply.
    pub(super) cookie: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
}

impl Request {
    /// Decodes the fixed part. `None`: the magic number is wrong, this is no request.
    pub(super) fn decode(bytes: &[u8; REQUEST_BYTES]) -> Option<Self> {
        let mut bytes = &bytes[..];
        (bytes.get_u32() == magic::REQUEST).then(|| Self {
            flags: bytes.get_u16(),
            kind: bytes.get_u16(),
            cookie: bytes.get_u64(),
            offset: bytes.get_u64(),
            length: bytes.get_u32(),
        })
    }

    /// Bytes of data that follow it, whether or not it is valid.
    pub(super) fn payload_bytes(&self) -> u32 {
        if self.kind == cmd::WRITE { self.length } else { 0 }
    }
}

/// What a request asks for, in bounds and permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Read {
        offset: u64,
        length: u32,
    },
    Write {
        offset: u64,
        fua: bool,
    },
    Zero {
        offset: u64,
        length: u32,
        fua: bool,
        punch: bool,
    },
    Flush,
    Status {
        offset: u64,
        length: u32,
        one: bool,
    },
    Disconnect,
    /// A request for zero bytes: the answer is success.
    Nothing,
}

impl Command {
    /// Whether it changes the export.
    pub(super) fn changes(self) -> bool {
        matches!(self, Self::Write { .. } | Self::Zero { .. })
    }
}

/// An error to answer with: the protocol's number, and a text for who reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) errno: u32,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(errno: u32, text: impl Into<String>) -> Self {
        Self { errno, text: text.into() }
    }
}

/// What a connection allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) structured: bool,
    pub(super) allocation: bool,
    pub(super) stopping: bool,
    pub(super) request_bytes_max: u32,
}

impl Rules {
    /// Checks a request against what was negotiated and against the export as it is now.
    pub(super) fn check(&self, request: &Request, export: &dyn Export) -> Result<Command, Refusal> {
        if request.kind == cmd::DISC {
            return Ok(Command::Disconnect);
        }
        if self.stopping {
            return Err(Refusal::new(errno::ESHUTDOWN, "the server is stopping"));
        }
        let known = self.known_flags(request.kind)?;
        if request.flags & !known != 0 {
            let text = format!("flags {:#x} do not belong to this command", request.flags & !known);
            return Err(Refusal::new(errno::EINVAL, text));
        }
        if request.kind == cmd::FLUSH {
            return Ok(Command::Flush);
        }
        self.permitted(request, export)?;
        self.in_bounds(request, export.size())?;
        if request.length == 0 {
            return Ok(Command::Nothing);
        }
        let Request { flags, offset, length, .. } = *request;
        let fua = flags & cmd_flag::FUA != 0;
        Ok(match request.kind {
            cmd::READ => Command::Read { offset, length },
            cmd::WRITE => Command::Write { offset, fua },
            cmd::TRIM => Command::Zero { offset, length, fua, punch: true },
            cmd::WRITE_ZEROES => {
                Command::Zero { offset, length, fua, punch: flags & cmd_flag::NO_HOLE == 0 }
            }
            _ => Command::Status { offset, length, one: flags & cmd_flag::REQ_ONE != 0 },
        })
    }

    /// The flags that a request of this kind may have; FUA is allowed, if pointless, on all.
    fn known_flags(&self, kind: u16) -> Result<u16, Refusal> {
        Ok(cmd_flag::FUA
            | match kind {
                cmd::READ if self.structured => cmd_flag::DF,
                cmd::READ | cmd::WRITE | cmd::FLUSH | cmd::TRIM => 0,
                cmd::WRITE_ZEROES => cmd_flag::NO_HOLE | cmd_flag::FAST_ZERO,
                cmd::BLOCK_STATUS => cmd_flag::REQ_ONE,
                _ => {
                    let text = format!("command {kind} is unknown to this server");
                    return Err(Refusal::new(errno::EINVAL, text));
                }
            })
    }

    fn permitted(&self, request: &Request, export: &dyn Export) -> Result<(), Refusal> {
        let change = matches!(request.kind, cmd::WRITE | cmd::TRIM | cmd::WRITE_ZEROES);
        if change && export.read_only() {
            return Err(Refusal::new(errno::EPERM, "the export is read-only"));
        }
        if request.kind == cmd::BLOCK_STATUS && !(self.allocation && request.length > 0) {
            let text = "block status needs a length and base:allocation, negotiated before";
            return Err(Refusal::new(errno::EINVAL, text));
        }
        let data = matches!(request.kind, cmd::READ | cmd::WRITE);
        if data && request.length > self.request_bytes_max {
            let max = self.request_bytes_max;
            let text = format!("{} bytes in one request: at most {max}", request.length);
            return Err(Refusal::new(errno::EINVAL, text));
        }
        Ok(())
    }

    fn in_bounds(&self, request: &Request, size: u64) -> Result<(), Refusal> {
        let end = request.offset.checked_add(u64::from(request.length));
        if end.is_some_and(|end| end <= size) {
            return Ok(());
        }
        let errno = match request.kind {
            cmd::WRITE | cmd::WRITE_ZEROES => errno::ENOSPC,
            _ => errno::EINVAL,
        };
        let Request { offset, length, .. } = request;
        let text = format!("{length} bytes at {offset} reach beyond the end at {size}");
        Err(Refusal::new(errno, text))
    }
}
