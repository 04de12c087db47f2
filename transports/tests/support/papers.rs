//! Authorities and certificates for tests: good ones, and every kind of bad one.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Use, Issuer, KeyPair,
    SanType,
};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use trefoil_core::Result;
use trefoil_core::model::SiteName;
use trefoil_transports::tls::authority::{Authority, MachineNames, VALIDITY};
use trefoil_transports::tls::{Credentials, TlsFiles};

const DAY: Duration = Duration::from_secs(86_400);

pub fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

/// An authority that has issued certificates to sites a, b and c, and to host `db1`.
pub struct Papers {
    pub dir: TempDir,
    pub authority: Authority,
}

impl Papers {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let authority = Authority::init(dir.path(), VALIDITY).unwrap();
        for name in ["a", "b", "c"] {
            authority.issue_site(&site(name), &MachineNames::default(), VALIDITY).unwrap();
        }
        authority.issue_host("db1", VALIDITY).unwrap();
        Self { dir, authority }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// The files of a site.
    pub fn files(&self, name: &str) -> TlsFiles {
        TlsFiles {
            ca: self.path("ca.pem"),
            cert: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
            accepted: Some(self.path("accepted")),
        }
    }

    pub fn load(&self, name: &str) -> Result<Arc<Credentials>> {
        Credentials::load(&site(name), self.files(name))
    }

    pub fn credentials(&self, name: &str) -> Arc<Credentials> {
        self.load(name).unwrap()
    }

    /// Puts a certificate made by hand, signed by this authority, where `name`'s is looked for.
    pub fn forge(&self, name: &str, forged: &Forged) {
        let ca = std::fs::read_to_string(self.path("ca.pem")).unwrap();
        let key = std::fs::read_to_string(self.path("ca.key")).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&ca, KeyPair::from_pem(&key).unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = forged.params().signed_by(&key, &issuer).unwrap();
        put(&self.path(&format!("{name}.pem")), &certificate.pem(), 0o644);
        put(&self.path(&format!("{name}.key")), &key.serialize_pem(), 0o600);
        let identity = trefoil_transports::tls::Identity::of(certificate.der());
        if let Ok(identity) = identity {
            let list = std::fs::read_to_string(self.path("accepted")).unwrap();
            let line = format!("{} {name}\n", identity.fingerprint);
            std::fs::write(self.path("accepted"), list + &line).unwrap();
        }
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
