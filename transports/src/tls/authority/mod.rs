//! A private authority in a directory: makes, renews and withdraws certificates.
//!
//! `ca.pem` and `ca.key` are the authority; `<name>.pem` and `<name>.key` each certificate;
//! `accepted` lists the fingerprints that are good. To every site go `ca.pem`, `accepted` and its
//! own two files; `ca.key` stays where certificates are made.

mod paper;
mod shelf;

use super::files;
use super::identity::{Identity, Kind};
use paper::{Draft, signed};
use rcgen::{CertificateParams, Issuer, KeyPair};
use shelf::Shelf;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use trefoil_core::model::SiteName;
use trefoil_core::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

/// How long an authority is good for, unless said otherwise: ten years.
pub const AUTHORITY_VALIDITY: Duration = Duration::from_secs(3650 * 86_400);
/// How long a certificate is good for, unless said otherwise: one year.
pub const VALIDITY: Duration = Duration::from_secs(365 * 86_400);

/// The name of the authority's own files.
const AUTHORITY: &str = "ca";

/// By which names of its machine a listener is found, beside its own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineNames {
    /// Names of hosts.
    pub dns: Vec<String>,
    /// Addresses.
    pub ip: Vec<IpAddr>,
}

/// A certificate in the authority's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whose it is and how long it is valid.
    pub identity: Identity,
    /// Whether its fingerprint is in the list of accepted ones.
    pub accepted: bool,
}

/// A private authority in a directory.
pub struct Authority {
    shelf: Shelf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority in `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if there is one already; what the file system says.
    pub fn init(dir: &Path, validity: Duration) -> Result<Self> {
        let shelf = Shelf::make(dir)?;
        let key = Zeroizing::new(KeyPair::generate().map_err(failed("make the authority's key"))?);
        let params = paper::authority(validity)?;
        let certificate = params.self_signed(&*key).map_err(failed("make the authority"))?;
        shelf.put_new(AUTHORITY, &certificate.pem(), &text(&key))?;
        shelf.begin_accepted()?;
        Self::open(dir)
    }

    /// Opens the authority in `dir`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if there is none, or others can read its key.
    pub fn open(dir: &Path) -> Result<Self> {
        let shelf = Shelf::open(dir);
        let missing = || {
            let dir = dir.display();
            format!("open the authority in {dir}: make one by `trefoil certs init --dir {dir}`")
        };
        if !shelf.certificate(AUTHORITY).exists() {
            return Err(Error::invalid(missing()));
        }
        let key = files::key(&shelf.key(AUTHORITY))?;
        let key = KeyPair::try_from(&*key).map_err(failed("use the authority's key"))?;
        let own = files::certificates(&shelf.certificate(AUTHORITY), "the authority's")?;
        let Some(own) = own.first() else { return Err(Error::invalid(missing())) };
        let issuer = Issuer::from_ca_cert_der(own, key).map_err(failed("use the authority"))?;
        Ok(Self { shelf, issuer })
    }

    /// Makes key and certificate of a site.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if that name has a certificate already, or is that of the authority.
    pub fn issue_site(
        &self,
        name: &SiteName,
        machine: &MachineNames,
        validity: Duration,
    ) -> Result<Identity> {
        let draft = Draft::new(Kind::Site, name.as_str(), machine.clone(), validity);
        self.issue(&draft)
    }

    /// Makes key and certificate of an NBD host. Its name has the form of a site's.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if that name has a certificate already, or is not well formed.
    pub fn issue_host(&self, name: &str, validity: Duration) -> Result<Identity> {
        let name = SiteName::new(name)?;
        let draft = Draft::new(Kind::Host, name.as_str(), MachineNames::default(), validity);
        self.issue(&draft)
    }

    /// Makes a new key and certificate for whoever has one, with the same names. The old
    /// certificate stays accepted until it is withdrawn, so that sites can be changed one by one.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if that name has no certificate here.
    pub fn renew(&self, name: &str, validity: Duration) -> Result<Identity> {
        let draft = Draft::again(&self.read(name)?, validity)?;
        let (certificate, key) = self.make(&draft)?;
        self.shelf.replace(name, &certificate.pem(), &text(&key))?;
        self.accept(&certificate)
    }

    /// Takes every certificate of that name out of the list of accepted ones: whoever has the new
    /// list refuses them. Returns how many there were.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if none of that name is in the list.
    pub fn withdraw(&self, name: &str) -> Result<usize> {
        self.shelf.strike(|_, whose| whose == name)
    }

    /// Takes the certificates of that name that were replaced by [`Authority::renew`] out of the
    /// list. Returns how many there were.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if that name has no certificate here.
    pub fn withdraw_old(&self, name: &str) -> Result<usize> {
        let now = Identity::of(&self.read(name)?).map_err(|r| Error::invalid(r.to_string()))?;
        self.shelf.strike(|fingerprint, whose| whose == name && fingerprint != now.fingerprint)
    }

    /// The certificates in the directory, by name.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let accepted = files::accepted(Some(&self.shelf.accepted()))?;
        let mut listed = Vec::new();
        for name in self.shelf.names()? {
            let Ok(identity) = Identity::of(&self.read(&name)?) else { continue };
            let in_list =
                |list: &std::collections::BTreeSet<String>| list.contains(&identity.fingerprint);
            let accepted = accepted.as_ref().is_none_or(in_list);
            listed.push(Listed { identity, accepted });
        }
        Ok(listed)
    }

    fn issue(&self, draft: &Draft) -> Result<Identity> {
        let (certificate, key) = self.make(draft)?;
        self.shelf.put_new(&draft.name, &certificate.pem(), &text(&key))?;
        self.accept(&certificate)
    }

    fn make(&self, draft: &Draft) -> Result<(rcgen::Certificate, Zeroizing<KeyPair>)> {
        if draft.name == AUTHORITY {
            return Err(Error::invalid("issue certificate: `ca` is the authority's own name"));
        }
        let key = Zeroizing::new(KeyPair::generate().map_err(failed("make a key"))?);
        let params: CertificateParams = draft.params()?;
        Ok((signed(&params, &key, &self.issuer)?, key))
    }

    fn accept(&self, certificate: &rcgen::Certificate) -> Result<Identity> {
        let identity = Identity::of(certificate.der());
        let identity = identity.map_err(|refusal| Error::invalid(refusal.to_string()))?;
        self.shelf.accept(&identity.fingerprint, &identity.name)?;
        Ok(identity)
    }

    fn read(&self, name: &str) -> Result<rustls::pki_types::CertificateDer<'static>> {
        let path = self.shelf.certificate(name);
        if name == AUTHORITY || !path.exists() {
            return Err(Error::invalid(format!(
                "find certificate of {name}: {} is not there; issue it first",
                path.display()
            )));
        }
        let mut found = files::certificates(&path, "certificate")?;
        Ok(found.swap_remove(0))
    }
}

/// The key as its file has it, wiped when it is written.
fn text(key: &KeyPair) -> Zeroizing<String> {
    Zeroizing::new(key.serialize_pem())
}

fn failed(doing: &'static str) -> impl Fn(rcgen::Error) -> Error {
    move |source| Error::with_source(ErrorKind::Invalid, doing, source)
}
