//! What a certificate says of its owner.

use super::refusal::Refusal;
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What the owner of a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A site: it may connect to sites, and be connected to.
    Site,
    /// A host that uses volumes over NBD.
    Host,
}

impl Kind {
    /// The word in certificates: `site` or `host`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Host => "host",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The owner of a certificate, and how long it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What the owner is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// From when on the certificate is valid.
    pub valid_from: SystemTime,
    /// Until when it is valid.
    pub valid_until: SystemTime,
    /// The SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
}

impl Identity {
    /// Reads it out of a certificate.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] if it is none, [`Refusal::Nameless`] if it names no site and no host
    /// of trefoil, or several.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, Refusal> {
        let malformed = || Refusal::Malformed;
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| malformed())?;
        let names = parsed.subject_alternative_name().map_err(|_| malformed())?;
        let uris = names.iter().flat_map(|names| &names.value.general_names);
        let mut owners = uris.filter_map(|name| match name {
            GeneralName::URI(uri) => owner(uri),
            _ => None,
        });
        let (Some((kind, name)), None) = (owners.next(), owners.next()) else {
            return Err(Refusal::Nameless);
        };
        let validity = parsed.validity();
        Ok(Self {
            kind,
            name: name.to_owned(),
            valid_from: moment(validity.not_before.timestamp()),
            valid_until: moment(validity.not_after.timestamp()),
            fingerprint: fingerprint(certificate),
        })
    }
}

/// The owner that a URI names: `trefoil:site:b`.
fn owner(uri: &str) -> Option<(Kind, &str)> {
    let (word, name) = uri.strip_prefix("trefoil:")?.split_once(':')?;
    let kind = [Kind::Site, Kind::Host].into_iter().find(|kind| kind.word() == word)?;
    (!name.is_empty()).then_some((kind, name))
}

fn moment(seconds: i64) -> SystemTime {
    match u64::try_from(seconds) {
        Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
        Err(_) => UNIX_EPOCH,
    }
}

/// The SHA-256 of a certificate, in hexadecimal digits.
pub(crate) fn fingerprint(certificate: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_uris_name_an_owner() {
        assert_eq!(owner("trefoil:site:b"), Some((Kind::Site, "b")));
        assert_eq!(owner("trefoil:host:db1"), Some((Kind::Host, "db1")));
        for other in ["trefoil:site:", "trefoil:king:b", "https://site/b", "site:b", "trefoil:"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
