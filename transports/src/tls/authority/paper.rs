//! What stands in the certificates that are made.

use super::{MachineNames, failed};
use crate::tls::identity::{Identity, Kind};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose as Use, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use trefoil_core::{Error, Result};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Clocks of machines differ: a certificate is valid from a little before it is made.
const BEFORE: Duration = Duration::from_secs(600);

/// A certificate that is to be made.
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) name: String,
    machine: MachineNames,
    from: SystemTime,
    validity: Duration,
}

impl Draft {
    pub(super) fn new(kind: Kind, name: &str, machine: MachineNames, validity: Duration) -> Self {
        let from = SystemTime::now() - BEFORE;
        Self { kind, name: name.to_owned(), machine, from, validity: validity + BEFORE }
    }

    /// The same owner and names as in a certificate that there is.
    pub(super) fn again(old: &CertificateDer<'_>, validity: Duration) -> Result<Self> {
        let owner = Identity::of(old).map_err(|refusal| Error::invalid(refusal.to_string()))?;
        Ok(Self::new(owner.kind, &owner.name, machine_names(old), validity))
    }

    pub(super) fn params(&self) -> Result<CertificateParams> {
        let mut params = named(&self.name, self.from, self.from + self.validity)?;
        let wrong = failed("name the owner of a certificate");
        let text = |text: &str| text.try_into().map_err(&wrong);
        params.subject_alt_names =
            vec![SanType::URI(text(&format!("trefoil:{}:{}", self.kind, self.name))?)];
        for dns in &self.machine.dns {
            params.subject_alt_names.push(SanType::DnsName(text(dns)?));
        }
        params.subject_alt_names.extend(self.machine.ip.iter().map(|ip| SanType::IpAddress(*ip)));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if self.kind == Kind::Host {
            // Never used by TLS 1.3, but qemu refuses a certificate of its own that lacks it.
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = match self.kind {
            Kind::Site => vec![Use::ServerAuth, Use::ClientAuth],
            Kind::Host => vec![Use::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}

/// What the authority's own certificate says.
pub(super) fn authority(validity: Duration) -> Result<CertificateParams> {
    let from = SystemTime::now() - BEFORE;
    let mut params = named("trefoil authority", from, from + validity)?;
    // It signs certificates, and no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// Signs what was drawn up.
pub(super) fn signed(
    params: &CertificateParams,
    key: &KeyPair,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<Certificate> {
    params.signed_by(key, issuer).map_err(failed("sign certificate"))
}

fn named(name: &str, from: SystemTime, until: SystemTime) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).map_err(failed("draw up a certificate"))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::from(from);
    params.not_after = OffsetDateTime::from(until);
    Ok(params)
}

fn machine_names(certificate: &CertificateDer<'_>) -> MachineNames {
    let mut found = MachineNames::default();
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return found };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return found };
    for name in &names.value.general_names {
        match name {
            GeneralName::DNSName(dns) => found.dns.push((*dns).to_owned()),
            GeneralName::IPAddress(bytes) => found.ip.extend(address(bytes)),
            _ => {}
        }
    }
    found
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}
