//! How a connection becomes one of a known site: the handshake of TLS, on either side.

use super::movable::Movable;
use super::socket::Connection;
use crate::tls::{Credentials, Identity, NO_HOST, PROTOCOL, Peers, Refusal, explain};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use trefoil_core::model::SiteName;
use trefoil_core::port::Security;
use trefoil_core::{Error, ErrorKind, Result};

/// How connections are made: as they are, or proven.
#[derive(Clone, Debug)]
pub(crate) enum Guard {
    /// Neither encrypted nor authenticated.
    Plain,
    /// By certificates, and only with these.
    Proven(Arc<Credentials>, Peers),
}

impl Guard {
    /// The dialling side.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] with the reason where a certificate is refused by either side.
    pub(crate) async fn dial(&self, stream: TcpStream) -> Result<(Connection, Security)> {
        let Self::Proven(credentials, peers) = self else {
            return Ok((Connection::Plain(Movable::new(stream)), Security::Plain));
        };
        let (config, _) = credentials.client_config(peers, PROTOCOL)?;
        let config = Arc::new(config);
        let host = ServerName::try_from(NO_HOST)
            .map_err(|error| Error::with_source(ErrorKind::Invalid, "name a host", error))?;
        let shaken = TlsConnector::from(config).connect(host, Movable::new(stream)).await;
        let stream = shaken.map_err(|error| refused(credentials, error))?;
        proven(TlsStream::Client(stream))
    }

    /// The listening side.
    ///
    /// # Errors
    /// As [`Guard::dial`].
    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<(Connection, Security)> {
        let Self::Proven(credentials, peers) = self else {
            return Ok((Connection::Plain(Movable::new(stream)), Security::Plain));
        };
        let config = Arc::new(credentials.server_config(peers, PROTOCOL)?);
        let shaken = TlsAcceptor::from(config).accept(Movable::new(stream)).await;
        let stream = shaken.map_err(|error| refused(credentials, error))?;
        proven(TlsStream::Server(stream))
    }

    /// The error of the first words after a handshake: with TLS 1.3 a dialler learns only there
    /// that the other side refused its certificate.
    pub(crate) fn explain(&self, error: Error) -> Error {
        use std::error::Error as _;
        let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
        let tls = cause.and_then(std::io::Error::get_ref);
        match tls.and_then(|tls| tls.downcast_ref::<rustls::Error>()) {
            Some(tls) => {
                let what = format!("prove sites to each other: {}", explain(tls));
                Error::with_source(ErrorKind::Refused, what, error)
            }
            None => error,
        }
    }
}

/// The site behind a certificate that was accepted.
fn proven(stream: TlsStream<Movable>) -> Result<(Connection, Security)> {
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let identity = shown.ok_or(Refusal::Missing).and_then(Identity::of);
    let identity = identity.map_err(|refusal| Error::refused(format!("prove site: {refusal}")))?;
    let site = SiteName::new(&identity.name)?;
    Ok((Connection::Secure(Box::new(stream)), Security::Proven(site)))
}

/// What went wrong in a handshake.
fn refused(credentials: &Credentials, error: std::io::Error) -> Error {
    let Some(tls) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) else {
        return Error::io("prove sites to each other", error);
    };
    match tls {
        rustls::Error::NoCertificatesPresented => credentials.count(&Refusal::Missing),
        rustls::Error::InvalidMessage(_)
        | rustls::Error::PeerIncompatible(_)
        | rustls::Error::NoApplicationProtocol => {
            credentials.count(&Refusal::Protocol);
        }
        _ => {}
    }
    Error::with_source(
        ErrorKind::Refused,
        format!("prove sites to each other: {}", explain(tls)),
        error,
    )
}
