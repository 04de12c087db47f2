//! The Unix socket of the control API: taken over when nobody listens on it, removed at the end.

use std::fs;
use std::io::ErrorKind as Io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;
use trefoil_core::{Error, Result};

/// Owner and group may control the daemon, nobody else.
const SOCKET_MODE: u32 = 0o660;
const DIRECTORY_MODE: u32 = 0o700;

/// The bound socket's file; dropping it removes the file, if it is still ours.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl ControlSocket {
    /// Binds `path`; makes its directory if it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid) when another daemon listens there
    /// or something else is at the path, otherwise what the system says; the message names the
    /// path.
    pub fn bind(path: &Path) -> Result<(UnixListener, Self)> {
        let shown = path.display();
        if let Some(dir) = path.parent() {
            // Made for its owner only; one that is there keeps what it has.
            let made = fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(dir);
            made.map_err(|source| {
                let doing = format!(
                    "make directory {} for the control socket; create it, or set `control` of \
                     this site to a path that can be written",
                    dir.display()
                );
                Error::io(doing, source)
            })?;
        }
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(|source| {
            let doing = format!(
                "listen on control socket {shown}; set `control` of this site to a path in a \
                 directory that can be written"
            );
            Error::io(doing, source)
        })?;
        let claim = || -> std::io::Result<Self> {
            fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
            let about = fs::symlink_metadata(path)?;
            Ok(Self { path: path.to_owned(), device: about.dev(), inode: about.ino() })
        };
        let file = claim().map_err(|source| {
            Error::io(format!("set the mode of control socket {shown}"), source)
        })?;
        Ok((listener, file))
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let ours = |about: fs::Metadata| about.dev() == self.device && about.ino() == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(ours)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "control socket not removed");
        }
    }
}

/// Removes a socket that nobody listens on; anything else at the path is an error.
fn remove_stale(path: &Path) -> Result<()> {
    let shown = path.display();
    let about = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == Io::NotFound => return Ok(()),
        Err(source) => return Err(Error::io(format!("look at control socket {shown}"), source)),
        Ok(about) => about,
    };
    if !about.file_type().is_socket() {
        return Err(Error::invalid(format!(
            "listen on control socket {shown}: the path exists and is no socket; move it away, or \
             set `control` of this site to another path"
        )));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == Io::ConnectionRefused => {
            tracing::info!(path = %shown, "removing a control socket that nobody listens on");
            fs::remove_file(path)
                .map_err(|source| Error::io(format!("remove control socket {shown}"), source))
        }
        Err(source) => Err(Error::io(format!("try control socket {shown}"), source)),
        Ok(_) => Err(Error::invalid(format!(
            "listen on control socket {shown}: a daemon listens there already; stop it first, or \
             set `control` of this site to another path"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_nobody_listens_on_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/a.sock");
        let (listener, file) = ControlSocket::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
        let made = fs::metadata(dir.path().join("run")).unwrap().permissions().mode();
        assert_eq!(made & 0o777, DIRECTORY_MODE);
        let error = ControlSocket::bind(&path).unwrap_err();
        assert!(error.to_string().contains("listens there already"), "{error}");
        // A killed daemon leaves the file behind.
        drop(listener);
        std::mem::forget(file);
        let (_listener, file) = ControlSocket::bind(&path).unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        fs::write(&path, "precious").unwrap();
        let error = ControlSocket::bind(&path).unwrap_err();
        assert!(error.to_string().contains("is no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
