//! From a connection to a link: who is there, which stream is which lane, whether it has a place.

use super::wire::QuicWire;
use crate::stream::{LaneKind, Wire};
use crate::tls::{Identity, Refusal, explain_alert};
use quinn::{Connection, ConnectionError, RecvStream, SendStream, TransportErrorCode};
use rustls::AlertDescription;
use rustls::pki_types::CertificateDer;
use trefoil_core::model::SiteName;
use trefoil_core::port::Security;
use trefoil_core::{Error, ErrorKind, Result};

/// The listener's word that the link has a place.
const PLACE: u8 = 0x42;

/// The two lanes of a link.
pub(super) type Wires = (Box<dyn Wire>, Box<dyn Wire>);

/// The dialling side: opens both lanes, and waits until the other side has a place for the link.
pub(super) async fn dial(connection: &Connection) -> Result<Wires> {
    let mut control = open(connection, LaneKind::Control).await?;
    let data = open(connection, LaneKind::Data).await?;
    let mut word = [0];
    control.1.read_exact(&mut word).await.map_err(|error| match error {
        quinn::ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error)) => {
            lost("greet", error)
        }
        other => Error::with_source(ErrorKind::Unavailable, "greet: no answer came", other),
    })?;
    if word != [PLACE] {
        return Err(Error::invalid("greet: the other side is not trefoil; correct the address"));
    }
    Ok((wire(connection, control), wire(connection, data)))
}

async fn open(connection: &Connection, lane: LaneKind) -> Result<(SendStream, RecvStream)> {
    let opened = connection.open_bi().await;
    let (mut send, receive) = opened.map_err(|error| lost("open lane", error))?;
    let told = send.write_all(&[lane as u8]).await;
    told.map_err(|error| Error::with_source(ErrorKind::Unavailable, "open lane", error))?;
    Ok((send, receive))
}

/// The listening side: takes both lanes, in whichever order they come.
pub(super) async fn take(connection: &Connection) -> Result<Lanes> {
    let (one, other) = (accept(connection).await?, accept(connection).await?);
    match (one, other) {
        ((LaneKind::Control, control), (LaneKind::Data, data))
        | ((LaneKind::Data, data), (LaneKind::Control, control)) => Ok(Lanes { control, data }),
        _ => Err(Error::invalid("take lanes: two streams claim the same lane")),
    }
}

/// Both lanes of a link that has no place yet.
pub(super) struct Lanes {
    control: (SendStream, RecvStream),
    data: (SendStream, RecvStream),
}

impl Lanes {
    /// Tells the other side that the link has a place.
    pub(super) async fn place(mut self, connection: &Connection) -> Result<Wires> {
        let told = self.control.0.write_all(&[PLACE]).await;
        told.map_err(|error| Error::with_source(ErrorKind::Unavailable, "answer", error))?;
        Ok((wire(connection, self.control), wire(connection, self.data)))
    }
}

async fn accept(connection: &Connection) -> Result<(LaneKind, (SendStream, RecvStream))> {
    let accepted = connection.accept_bi().await;
    let (send, mut receive) = accepted.map_err(|error| lost("take lane", error))?;
    let mut lane = [0];
    let read = receive.read_exact(&mut lane).await;
    read.map_err(|error| Error::with_source(ErrorKind::Unavailable, "take lane", error))?;
    let lane = match lane {
        [1] => LaneKind::Control,
        [2] => LaneKind::Data,
        [other] => return Err(Error::invalid(format!("take lane: there is no lane {other}"))),
    };
    Ok((lane, (send, receive)))
}

fn wire(connection: &Connection, (send, receive): (SendStream, RecvStream)) -> Box<dyn Wire> {
    Box::new(QuicWire::new(connection.clone(), send, receive))
}

/// The site at the other end; its certificate was accepted.
pub(super) fn proven(connection: &Connection) -> Result<Security> {
    let shown = connection.peer_identity();
    let shown = shown.and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok());
    let first = shown.as_ref().and_then(|chain| chain.first());
    let identity = first.ok_or(Refusal::Missing).and_then(Identity::of);
    let identity = identity.map_err(|refusal| Error::refused(format!("prove site: {refusal}")))?;
    Ok(Security::Proven(SiteName::new(&identity.name)?))
}

/// The alert of TLS inside a code of QUIC.
fn crypto(code: TransportErrorCode) -> Option<u8> {
    u64::from(code).checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok())
}

/// The refusals that TLS decides itself, so that the judge of certificates never sees them.
pub(super) fn refusal_of(error: &ConnectionError) -> Option<Refusal> {
    let ConnectionError::TransportError(own) = error else { return None };
    match AlertDescription::from(crypto(own.code)?) {
        AlertDescription::CertificateRequired => Some(Refusal::Missing),
        AlertDescription::NoApplicationProtocol | AlertDescription::ProtocolVersion => {
            Some(Refusal::Protocol)
        }
        _ => None,
    }
}

/// Why a connection was not made or did not last, for people.
pub(super) fn lost(doing: &str, error: ConnectionError) -> Error {
    let what = match &error {
        ConnectionError::TransportError(own) if crypto(own.code).is_some() => {
            Some(format!("{doing}: prove sites to each other: {}", own.reason))
        }
        ConnectionError::ConnectionClosed(theirs) => crypto(theirs.error_code).map(|alert| {
            let why = explain_alert(alert);
            format!("{doing}: prove sites to each other: the other side refused: {why}")
        }),
        _ => None,
    };
    match what {
        Some(what) => Error::with_source(ErrorKind::Refused, what, error),
        None => {
            let kind = match error {
                ConnectionError::TimedOut => ErrorKind::Timeout,
                _ => ErrorKind::Unavailable,
            };
            Error::with_source(kind, doing.to_owned(), error)
        }
    }
}
