//! Replies, encoded: a small head inline and a body that is shared, not copied.

use super::options::clip;
use super::proto::{ALLOCATION_ID, chunk, errno, magic, state};
use super::request::Refusal;
use bytes::{BufMut, Bytes, BytesMut};
use trefoil_core::{Error, ErrorKind};

/// The longest head: a structured chunk's and the offset of its data.
const HEAD_BYTES_MAX: usize = 28;
/// Of an error's text, what is sent.
const TEXT_BYTES_MAX: usize = 512;

/// One reply, ready to send.
#[derive(Debug)]
pub(super) struct Reply {
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    pub(super) body: Bytes,
    /// Bytes of the in-flight window to give back once it is sent.
    pub(super) charge: u64,
    /// The error that it tells, for the log.
    pub(super) refusal: Option<Box<Refusal>>,
}

impl Reply {
    pub(super) fn head(&self) -> &[u8] {
        &self.head[..self.head_bytes]
    }

    pub(super) fn len(&self) -> usize {
        self.head_bytes + self.body.len()
    }

    /// Success of anything but a read or a block status.
    pub(super) fn done(cookie: u64) -> Self {
        Self::simple(cookie, 0, Bytes::new())
    }

    /// Data of a read, all of it in one chunk where replies are structured.
    pub(super) fn data(structured: bool, cookie: u64, offset: u64, data: Bytes) -> Self {
        if !structured {
            return Self::simple(cookie, 0, data);
        }
        if data.is_empty() {
            return Self::chunk(chunk::NONE, cookie, None, data);
        }
        Self::chunk(chunk::OFFSET_DATA, cookie, Some(offset), data)
    }

    /// An error; with its text where replies are structured.
    pub(super) fn error(structured: bool, cookie: u64, refusal: Refusal) -> Self {
        let mut reply = if structured {
            let text = clip(&refusal.text, TEXT_BYTES_MAX).as_bytes();
            let mut body = BytesMut::with_capacity(6 + text.len());
            body.put_u32(refusal.errno);
            body.put_u16(u16::try_from(text.len()).unwrap_or(0));
            body.extend_from_slice(text);
            Self::chunk(chunk::ERROR, cookie, None, body.freeze())
        } else {
            Self::simple(cookie, refusal.errno, Bytes::new())
        };
        reply.refusal = Some(Box::new(refusal));
        reply
    }

    /// The allocation of consecutive runs; at least one.
    pub(super) fn status(cookie: u64, runs: &[(u32, bool)]) -> Self {
        let mut body = BytesMut::with_capacity(4 + 8 * runs.len());
        body.put_u32(ALLOCATION_ID);
        for (length, allocated) in runs {
            body.put_u32(*length);
            body.put_u32(if *allocated { 0 } else { state::HOLE | state::ZERO });
        }
        Self::chunk(chunk::BLOCK_STATUS, cookie, None, body.freeze())
    }

    fn simple(cookie: u64, errno: u32, body: Bytes) -> Self {
        let mut head = [0; HEAD_BYTES_MAX];
        let mut rest = &mut head[..];
        rest.put_u32(magic::SIMPLE_REPLY);
        rest.put_u32(errno);
        rest.put_u64(cookie);
        Self { head, head_bytes: 16, body, charge: 0, refusal: None }
    }

    /// The one and last chunk of a reply. The body is complete before it is sent, so nothing
    /// can go wrong behind the DONE flag.
    fn chunk(kind: u16, cookie: u64, offset: Option<u64>, body: Bytes) -> Self {
        let mut head = [0; HEAD_BYTES_MAX];
        let mut rest = &mut head[..];
        let head_bytes = if offset.is_some() { 28 } else { 20 };
        rest.put_u32(magic::STRUCTURED_REPLY);
        rest.put_u16(chunk::FLAG_DONE);
        rest.put_u16(kind);
        rest.put_u64(cookie);
        // At most a request's bytes (1 GiB) and an offset: it fits.
        let payload = body.len() + head_bytes - 20;
        rest.put_u32(u32::try_from(payload).unwrap_or(u32::MAX));
        if let Some(offset) = offset {
            rest.put_u64(offset);
        }
        Self { head, head_bytes, body, charge: 0, refusal: None }
    }
}

impl Refusal {
    /// How an export's error is told to the host. `read_only`: the command would change an
    /// export that takes no changes now.
    pub(super) fn from_error(error: &Error, read_only: bool) -> Self {
        let errno = match error.kind() {
            ErrorKind::Invalid => errno::EINVAL,
            ErrorKind::Refused => errno::EPERM,
            // Fenced while writing to what is now a secondary: still there to be read.
            ErrorKind::Fenced if read_only => errno::EPERM,
            // The protocol has the client leave on ESHUTDOWN, and so look for the other path.
            ErrorKind::Fenced | ErrorKind::Unavailable | ErrorKind::Closed => errno::ESHUTDOWN,
            ErrorKind::Full => errno::ENOSPC,
            _ => errno::EIO,
        };
        Self::new(errno, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_the_number_a_host_can_act_on() {
        let told = |kind, read_only| {
            Refusal::from_error(&Error::new(kind, "write volume: no"), read_only).errno
        };
        for read_only in [false, true] {
            assert_eq!(told(ErrorKind::Invalid, read_only), errno::EINVAL);
            assert_eq!(told(ErrorKind::Refused, read_only), errno::EPERM);
            assert_eq!(told(ErrorKind::Full, read_only), errno::ENOSPC);
            assert_eq!(told(ErrorKind::Closed, read_only), errno::ESHUTDOWN);
            assert_eq!(told(ErrorKind::Unavailable, read_only), errno::ESHUTDOWN);
            assert_eq!(told(ErrorKind::Timeout, read_only), errno::EIO);
            assert_eq!(told(ErrorKind::Corrupt, read_only), errno::EIO);
            assert_eq!(told(ErrorKind::Io, read_only), errno::EIO);
        }
        assert_eq!(told(ErrorKind::Fenced, true), errno::EPERM);
        assert_eq!(told(ErrorKind::Fenced, false), errno::ESHUTDOWN);
    }

    #[test]
    fn a_chunk_says_how_long_it_is() {
        let reply = Reply::data(true, 7, 4096, Bytes::from_static(b"abc"));
        assert_eq!(reply.head().len(), 28);
        assert_eq!(reply.head()[16..20], 11_u32.to_be_bytes());
        assert_eq!(reply.len(), 31);
        let empty = Reply::data(true, 7, 4096, Bytes::new());
        assert_eq!(empty.head()[16..20], 0_u32.to_be_bytes());
        let long = Refusal::new(errno::EIO, "é".repeat(1000));
        assert_eq!(Reply::error(true, 7, long).body.len(), 6 + 512);
    }
}
