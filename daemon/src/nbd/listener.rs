//! A bound socket, and the Unix socket's file that belongs to it.

use super::address::NbdAddress;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};
use trefoil_core::{Error, ErrorKind, Result};

/// Owner and group may connect (and so read and write the volumes), nobody else.
const SOCKET_MODE: u32 = 0o660;

/// A socket that listens.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Held for its drop, which removes the socket's file.
        _file: SocketFile,
    },
}

impl Listener {
    /// Binds the address; takes over a Unix socket that nobody listens on any more.
    pub(super) async fn bind(address: &NbdAddress) -> Result<Self> {
        match address {
            NbdAddress::Tcp(host) => match TcpListener::bind(host.as_str()).await {
                Ok(listener) => Ok(Self::Tcp(listener)),
                Err(error) => Err(refusal(address, error)),
            },
            NbdAddress::Unix(path) => {
                remove_stale(address, path)?;
                let listener = UnixListener::bind(path).map_err(|e| refusal(address, e))?;
                let file = SocketFile::claim(path)
                    .map_err(|e| Error::io(format!("set the mode of {address}"), e))?;
                Ok(Self::Unix { listener, _file: file })
            }
        }
    }

    /// The address as bound: with the port that the system chose for port 0.
    pub(super) fn address(&self, asked: &NbdAddress) -> NbdAddress {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(local) => NbdAddress::Tcp(local.to_string()),
                Err(_) => asked.clone(),
            },
            Self::Unix { .. } => asked.clone(),
        }
    }
}

/// An error that names the address and what to do.
fn refusal(address: &NbdAddress, error: io::Error) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "in use; stop the other server or choose another address",
        io::ErrorKind::AddrNotAvailable => "not an address of this machine; choose one that is",
        io::ErrorKind::PermissionDenied => {
            "not permitted; choose a port above 1023, or a path \
             in a directory that this user may write"
        }
        io::ErrorKind::NotFound => "not found; create the directory, or correct the path or host",
        _ => "cannot be bound; choose another address",
    };
    Error::with_source(ErrorKind::Invalid, format!("listen for NBD on {address}: {remedy}"), error)
}

/// Removes a socket's file when nobody listens on it; anything else at the path is an error.
fn remove_stale(address: &NbdAddress, path: &Path) -> Result<()> {
    let doing = format!("listen for NBD on {address}");
    let about = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refusal(address, error)),
        Ok(about) => about,
    };
    if !about.file_type().is_socket() {
        let what = "the path exists and is no socket; move it away or choose another path";
        return Err(Error::invalid(format!("{doing}: {what}")));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => {
            let what = "in use; stop the server that listens there or choose another path";
            Err(Error::invalid(format!("{doing}: {what}")))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(%address, "removing a socket that nobody listens on");
            fs::remove_file(path).map_err(|e| Error::io(format!("{doing}: remove the file"), e))
        }
        Err(error) => {
            let what = "a socket is there that cannot be tested; remove it if it is not in use";
            Err(Error::with_source(ErrorKind::Invalid, format!("{doing}: {what}"), error))
        }
    }
}

/// The file of our Unix socket: removed at the end, if it is still ours.
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn claim(path: &Path) -> io::Result<Self> {
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
        let about = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: about.dev(), inode: about.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |about: fs::Metadata| about.dev() == self.device && about.ino() == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(ours)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "socket file not removed");
        }
    }
}
