//! Connections that another thread goes on with: they leave one runtime and join the other.

use std::io::Result;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A connection that can change its runtime.
pub(super) trait Portable: AsyncRead + AsyncWrite + Unpin + Send + Sized + 'static {
    /// It, while it belongs to none.
    type Loose: Send + 'static;

    /// Leaves its runtime.
    fn loosen(self) -> Result<Self::Loose>;

    /// Joins the runtime of the caller.
    fn fasten(loose: Self::Loose) -> Result<Self>;
}

impl Portable for TcpStream {
    type Loose = std::net::TcpStream;

    fn loosen(self) -> Result<Self::Loose> {
        self.into_std()
    }

    fn fasten(loose: Self::Loose) -> Result<Self> {
        Self::from_std(loose)
    }
}

impl Portable for UnixStream {
    type Loose = std::os::unix::net::UnixStream;

    fn loosen(self) -> Result<Self::Loose> {
        self.into_std()
    }

    fn fasten(loose: Self::Loose) -> Result<Self> {
        Self::from_std(loose)
    }
}
