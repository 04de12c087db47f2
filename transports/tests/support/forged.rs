//! Certificates that no authority of ours would make.

use super::papers::Papers;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Use, Issuer, KeyPair,
    SanType,
};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};
use trefoil_transports::tls::Authority;

const DAY: Duration = Duration::from_secs(86_400);

/// Puts a certificate made by hand, signed by this authority, where `name`'s is looked for.
/// The authority behind those papers.
pub fn authority(papers: &Papers) -> Authority {
    Authority::open(&papers.path("")).unwrap()
}

/// Puts a certificate made by hand, signed by the authority, where `name`'s is looked for.
pub fn forge(papers: &Papers, name: &str, forged: &Forged) {
    let ca = std::fs::read_to_string(papers.path("ca.pem")).unwrap();
    let key = std::fs::read_to_string(papers.path("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&ca, KeyPair::from_pem(&key).unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = forged.params().signed_by(&key, &issuer).unwrap();
    put(&papers.path(&format!("{name}.pem")), &certificate.pem(), 0o644);
    put(&papers.path(&format!("{name}.key")), &key.serialize_pem(), 0o600);
    let identity = trefoil_transports::tls::Identity::of(certificate.der());
    if let Ok(identity) = identity {
        let list = std::fs::read_to_string(papers.path("accepted")).unwrap();
        let line = format!("{} {name}\n", identity.fingerprint);
        std::fs::write(papers.path("accepted"), list + &line).unwrap();
    }
}

pub fn put(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A certificate that no authority of ours would make.
pub struct Forged {
    pub uris: Vec<&'static str>,
    /// Days from now.
    pub from: i64,
    pub until: i64,
    pub uses: Vec<Use>,
}

impl Forged {
    pub fn site(uri: &'static str) -> Self {
        Self { uris: vec![uri], from: -1, until: 30, uses: vec![Use::ServerAuth, Use::ClientAuth] }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "forged");
        let uri = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
        params.subject_alt_names = self.uris.iter().map(uri).collect();
        params.extended_key_usages = self.uses.clone();
        params.not_before = moment(self.from).into();
        params.not_after = moment(self.until).into();
        params
    }
}

fn moment(days: i64) -> SystemTime {
    let distance = DAY * u32::try_from(days.unsigned_abs()).unwrap();
    if days < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
}
