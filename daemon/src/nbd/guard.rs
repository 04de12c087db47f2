//! Who may connect, and how it is proven: TLS with certificates of hosts.
//!
//! A server with a guard offers STARTTLS. Where TLS is required (`doc/proto.md` calls that
//! FORCEDTLS), every other option is refused until it is done. The handshake takes over the bare
//! socket: options are read exactly, never ahead, so nothing that came in plain text is carried
//! over, and what was agreed before is forgotten.

use std::fmt;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;
use trefoil_core::{Error, ErrorKind, Result};

/// The server's own certificate, and how it judges those of hosts.
pub trait HostTls: Send + Sync {
    /// What the next handshake is done with; it may change from one to the next.
    ///
    /// # Errors
    /// When there is no usable certificate.
    fn config(&self) -> Result<Arc<ServerConfig>>;

    /// The host that a chain of certificates, already found valid, belongs to.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when it is not that of a host.
    fn host(&self, chain: &[CertificateDer<'_>]) -> Result<String>;

    /// Why a handshake failed, in words for the log; counts it.
    fn refusal(&self, error: &std::io::Error) -> String;
}

/// What a server asks of those who connect. The default asks for nothing, in plain text.
#[derive(Clone, Default)]
pub struct NbdGuard {
    hosts: Option<Arc<dyn HostTls>>,
    required: bool,
}

impl fmt::Debug for NbdGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (offered, required) = (self.hosts.is_some(), self.required);
        write!(f, "NbdGuard {{ offered: {offered}, required: {required} }}")
    }
}

impl NbdGuard {
    /// TLS for those who ask for it.
    pub fn offered(hosts: Arc<dyn HostTls>) -> Self {
        Self { hosts: Some(hosts), required: false }
    }

    /// TLS for everybody, and nothing before it.
    pub fn required(hosts: Arc<dyn HostTls>) -> Self {
        Self { hosts: Some(hosts), required: true }
    }

    /// What a client that has just connected may do.
    pub(super) fn stage(&self) -> Stage {
        match (&self.hosts, self.required) {
            (None, _) => Stage::Plain { tls: false },
            (Some(_), false) => Stage::Plain { tls: true },
            (Some(_), true) => Stage::TlsFirst,
        }
    }

    /// Does the handshake on a socket whose client was told to begin: the secured stream, and the
    /// host at its end.
    pub(super) async fn accept<S>(&self, stream: S) -> Result<(TlsStream<S>, String)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let hosts = self.hosts.as_ref();
        let hosts = hosts.ok_or_else(|| Error::invalid("begin TLS: this server has none"))?;
        let secured = TlsAcceptor::from(hosts.config()?).accept(stream).await;
        let secured =
            secured.map_err(|error| Error::new(ErrorKind::Refused, hosts.refusal(&error)))?;
        let chain = secured.get_ref().1.peer_certificates().unwrap_or_default();
        let host = hosts.host(chain)?;
        Ok((secured, host))
    }
}

/// How far a client has come with proving who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It need not; `tls`: it may.
    Plain { tls: bool },
    /// It has to, before anything else.
    TlsFirst,
    /// It is this host.
    Host(String),
}

impl Stage {
    /// The host that the client has proven to be.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Self::Host(host) => Some(host),
            Self::Plain { .. } | Self::TlsFirst => None,
        }
    }
}
