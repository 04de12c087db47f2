//! What the front end serves: the port between the NBD protocol and a volume.

use async_trait::async_trait;
use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use trefoil_core::Result;

/// The rest of a connection, to be begun on the thread that is to go on with it.
pub type Work = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// One block device as a host sees it.
///
/// The server checks every range against [`Export::size`] and every change against
/// [`Export::read_only`] before it calls, at any alignment; it calls from many connections and
/// many requests at once. The first poll of the calls of one connection happens in the order in
/// which the client sent them.
///
/// To be correct:
/// - `write` and `zero` with `fua`, and `flush` for everything answered before it, return only
///   when the data is on stable storage everywhere the volume's durability asks for;
/// - a change made over one connection is seen, and flushed, by every other (multi-conn);
/// - an error means that the change may or may not have happened, never that half of it is
///   hidden: the bytes read afterwards are old or new, block by block.
///
/// Errors reach the host by their kind: `Invalid` as `EINVAL`, `Refused` as `EPERM`, `Full` as
/// `ENOSPC`, `Unavailable` and `Closed` as `ESHUTDOWN`, `Fenced` as `EPERM` where the export is
/// now read-only and `ESHUTDOWN` otherwise, everything else as `EIO`.
#[async_trait]
pub trait Export: Send + Sync {
    /// Its length in bytes now. A host learns it when it connects.
    fn size(&self) -> u64;

    /// Whether writes are refused now (a secondary, a snapshot). Asked again for every change,
    /// because the role may change while hosts are connected.
    fn read_only(&self) -> bool;

    /// Exactly `len` bytes from `offset`; `len` is 1 to the request limit of the server.
    async fn read(&self, offset: u64, len: u64) -> Result<Bytes>;

    /// Writes `data` (never empty, at most the request limit) at `offset`; with `fua` it is
    /// durable on return. The bytes are the request's own: they pin no receive buffer.
    async fn write(&self, offset: u64, data: Bytes, fua: bool) -> Result<()>;

    /// Makes every change that was answered before durable.
    async fn flush(&self) -> Result<()>;

    /// Makes `len` bytes (1 to 4 GiB - 1) from `offset` read as zeroes, for WRITE_ZEROES and for
    /// TRIM. `punch` is a hint: space may be given back; without it, it should stay allocated.
    /// Must cost less than writing the zeroes: the server promises hosts a fast zero.
    async fn zero(&self, offset: u64, len: u64, fua: bool, punch: bool) -> Result<()>;

    /// What is allocated, as consecutive `(length, allocated)` runs from `offset`, at least one,
    /// together at most `len` bytes (1 byte to 256 MiB). What is not allocated reads as zeroes;
    /// an export that does not know answers `[(len, true)]`.
    async fn allocated(&self, offset: u64, len: u64) -> Result<Vec<(u64, bool)>>;

    /// Takes a connection to the thread that works off its requests, which saves two wake-ups of
    /// another core for each of them; gives it back where there is no such thread.
    fn run_beside(&self, connection: Work) -> std::result::Result<(), Work> {
        Err(connection)
    }
}

/// The exports of a server, asked anew by every connection: an export may come and go.
///
/// `host` is the name in the certificate that the client proved to have; `None` is a client that
/// was let in without one. What a host may not have is not there for it: it is not listed, and
/// asking for it is answered like asking for what does not exist.
pub trait Exports: Send + Sync {
    /// The export of that name; the empty name means the only (or the default) export.
    ///
    /// # Errors
    /// `Closed` is told to the host as a shutdown, `Fenced` and `Refused` as policy, everything
    /// else as an unknown export; the text reaches the host.
    fn find(&self, host: Option<&str>, name: &str) -> Result<Arc<dyn Export>>;

    /// The names a host may ask for, in the order to show them.
    fn list(&self, host: Option<&str>) -> Vec<String>;
}
