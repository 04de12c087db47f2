//! Why a certificate is refused: one sentence for people, one counter for each reason.

use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why the other side's certificate is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not signed by the authority of this deployment.
    WrongAuthority,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is that of another site than may be there.
    WrongName {
        /// Whose it is.
        found: String,
        /// Who may be there.
        expected: String,
    },
    /// It is that of a host where a site is expected, or the other way round.
    WrongKind {
        /// What it is.
        found: &'static str,
        /// Whose it is.
        name: String,
    },
    /// It was taken out of the list of accepted ones.
    Removed {
        /// Whose it is.
        name: String,
        /// Its SHA-256.
        fingerprint: String,
    },
    /// It may not be used for this.
    WrongUsage,
    /// It names no site and no host of trefoil, or several.
    Nameless,
    /// None was shown.
    Missing,
    /// It cannot be read.
    Malformed,
    /// The other side speaks no TLS, or none that is accepted here.
    Protocol,
}

impl Refusal {
    /// The reasons by their words, as counted.
    pub const WORDS: [&'static str; 11] = [
        "wrong_authority",
        "expired",
        "not_yet_valid",
        "wrong_name",
        "wrong_kind",
        "removed",
        "wrong_usage",
        "nameless",
        "missing",
        "malformed",
        "protocol",
    ];

    fn index(&self) -> usize {
        match self {
            Self::WrongAuthority => 0,
            Self::Expired => 1,
            Self::NotYetValid => 2,
            Self::WrongName { .. } => 3,
            Self::WrongKind { .. } => 4,
            Self::Removed { .. } => 5,
            Self::WrongUsage => 6,
            Self::Nameless => 7,
            Self::Missing => 8,
            Self::Malformed => 9,
            Self::Protocol => 10,
        }
    }

    /// The word by which it is counted: one of [`Refusal::WORDS`].
    pub fn word(&self) -> &'static str {
        Self::WORDS[self.index()]
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongAuthority => f.write_str(
                "the certificate is not signed by this deployment's authority; issue it by \
                 `trefoil certs issue` there",
            ),
            Self::Expired => f.write_str(
                "the certificate has expired; renew it by `trefoil certs renew`, or correct the \
                 clocks",
            ),
            Self::NotYetValid => {
                f.write_str("the certificate is not valid yet; correct the clocks of both machines")
            }
            Self::WrongName { found, expected } => write!(
                f,
                "the certificate is that of site {found}, and only {expected} may be there; \
                 correct the address, or configure the site"
            ),
            Self::WrongKind { found, name } => {
                let wanted = if *found == "host" { "site" } else { "host" };
                write!(f, "the certificate is that of {found} {name}, and a {wanted}'s is expected")
            }
            Self::Removed { name, fingerprint } => write!(
                f,
                "the certificate of {name} ({fingerprint}) is not among the accepted ones: it was \
                 removed"
            ),
            Self::WrongUsage => f.write_str(
                "the certificate may not be used for this side of a connection (its extended key \
                 usage)",
            ),
            Self::Nameless => f.write_str(
                "the certificate names no site and no host: it needs exactly one URI \
                 trefoil:site:NAME or trefoil:host:NAME among its alternative names",
            ),
            Self::Missing => f.write_str("no certificate was shown, and one is needed here"),
            Self::Malformed => f.write_str("the certificate cannot be read"),
            Self::Protocol => {
                f.write_str("the other side speaks no TLS 1.3; run both with [tls], or neither")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for TlsError {
    fn from(refusal: Refusal) -> Self {
        // Where TLS has an alert of its own, the other side learns the reason by it.
        let error = match &refusal {
            Refusal::WrongAuthority => CertificateError::UnknownIssuer,
            Refusal::Expired => CertificateError::Expired,
            Refusal::NotYetValid => CertificateError::NotValidYet,
            Refusal::Removed { .. } => CertificateError::Revoked,
            Refusal::Malformed => CertificateError::BadEncoding,
            _ => CertificateError::Other(rustls::OtherError(Arc::new(refusal))),
        };
        Self::InvalidCertificate(error)
    }
}

impl Refusal {
    /// The reason behind a verdict of the chain.
    pub(crate) fn of_chain(error: &TlsError) -> Self {
        match error {
            TlsError::InvalidCertificate(error) => match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Self::Expired
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotYetValid
                }
                CertificateError::InvalidPurpose
                | CertificateError::InvalidPurposeContext { .. } => Self::WrongUsage,
                CertificateError::BadEncoding => Self::Malformed,
                _ => Self::WrongAuthority,
            },
            _ => Self::Malformed,
        }
    }
}

/// What a failed handshake means, for people.
pub fn explain(error: &TlsError) -> String {
    match error {
        TlsError::NoCertificatesPresented => Refusal::Missing.to_string(),
        TlsError::InvalidCertificate(CertificateError::Other(other)) => other.0.to_string(),
        TlsError::InvalidCertificate(CertificateError::Revoked) => {
            "the certificate is not among the accepted ones: it was removed".to_owned()
        }
        TlsError::InvalidCertificate(_) => Refusal::of_chain(error).to_string(),
        TlsError::AlertReceived(alert) => format!("the other side refused: {}", alert_of(*alert)),
        TlsError::InvalidMessage(_)
        | TlsError::PeerIncompatible(_)
        | TlsError::NoApplicationProtocol
        | TlsError::InappropriateHandshakeMessage { .. }
        | TlsError::InappropriateMessage { .. } => Refusal::Protocol.to_string(),
        other => other.to_string(),
    }
}

/// What an alert of the other side means, by its number.
pub(crate) fn explain_alert(alert: u8) -> String {
    alert_of(AlertDescription::from(alert))
}

fn alert_of(alert: AlertDescription) -> String {
    let what = match alert {
        AlertDescription::CertificateExpired => {
            "to it, this site's certificate has expired or is not valid yet"
        }
        AlertDescription::CertificateRevoked => {
            "this site's certificate was removed from its accepted ones"
        }
        AlertDescription::UnknownCA => "to it, another authority signed this site's certificate",
        AlertDescription::CertificateRequired => "it wants a certificate",
        AlertDescription::CertificateUnknown | AlertDescription::BadCertificate => {
            "this site's certificate does not suit it; its log says why"
        }
        AlertDescription::ProtocolVersion => "it speaks another version of TLS",
        other => return format!("TLS alert {other:?}"),
    };
    what.to_owned()
}

/// How often certificates were refused, by [`Refusal::WORDS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsCounts(pub BTreeMap<&'static str, u64>);

impl TlsCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; Refusal::WORDS.len()]);

impl Counters {
    pub(crate) fn add(&self, refusal: &Refusal) {
        if let Some(counter) = self.0.get(refusal.index()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn counts(&self) -> TlsCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TlsCounts(Refusal::WORDS.into_iter().zip(self.0.iter().map(read)).collect())
    }
}
