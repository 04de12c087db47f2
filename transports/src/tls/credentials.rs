//! What a site shows of itself, and by what it judges others; replaced while links are up.

use super::files::{self, TlsFiles};
use super::identity::{Identity, Kind};
use super::peers::Peers;
use super::provider;
use super::refusal::{Counters, Refusal, TlsCounts};
use super::verifier::{Verdict, Verifier, check_own};
use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use trefoil_core::model::SiteName;
use trefoil_core::{Error, ErrorKind, Result};

/// Between sites: nothing older.
const SITES_SPEAK: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A site's certificate and key, the authority, and the list of accepted certificates.
pub struct Credentials {
    site: SiteName,
    files: TlsFiles,
    held: ArcSwap<Held>,
    counters: Arc<Counters>,
}

/// What was read from the files at one time.
struct Held {
    roots: Arc<RootCertStore>,
    shown: Arc<CertifiedKey>,
    accepted: Option<Arc<BTreeSet<String>>>,
    own: Identity,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is in here: only names are shown.
        f.debug_struct("Credentials")
            .field("site", &self.site)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the files of `site`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], naming the file and the remedy: it cannot be read, others can read
    /// the key, the certificate is not `site`'s, is not of the authority, or is not valid now, or
    /// the key is another's.
    pub fn load(site: &SiteName, files: TlsFiles) -> Result<Arc<Self>> {
        let held = Held::read(site, &files)?;
        Ok(Arc::new(Self {
            site: site.clone(),
            files,
            held: ArcSwap::from_pointee(held),
            counters: Arc::default(),
        }))
    }

    /// Reads the files again. Links that are up stay up; whoever connects from now on sees, and is
    /// judged by, what is in the files now.
    ///
    /// # Errors
    /// As [`Credentials::load`], and when the list of accepted certificates was there and is not
    /// any more: a file that got lost must not let in who was removed. Then what was read before
    /// stays in use.
    pub fn reload(&self) -> Result<()> {
        let held = Held::read(&self.site, &self.files)?;
        if held.accepted.is_none() && self.held.load().accepted.is_some() {
            let list = self.files.accepted.as_deref().unwrap_or(Path::new("accepted"));
            return Err(Error::invalid(format!(
                "read list of accepted certificates {}: it is gone, and with it who was removed; \
                 put it back, or restart to accept every certificate of the authority",
                list.display()
            )));
        }
        self.held.store(Arc::new(held));
        Ok(())
    }

    /// The site whose they are.
    pub fn site(&self) -> &SiteName {
        &self.site
    }

    /// Where they were read.
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// The own certificate's owner and validity.
    pub fn own(&self) -> Identity {
        self.held.load().own.clone()
    }

    /// Until when the own certificate is valid.
    pub fn expires(&self) -> SystemTime {
        self.held.load().own.valid_until
    }

    /// How often others were refused, by reason.
    pub fn counts(&self) -> TlsCounts {
        self.counters.counts()
    }

    /// Counts a refusal that was decided outside the verifier.
    pub fn count(&self, refusal: &Refusal) {
        self.counters.add(refusal);
    }

    /// What a listener for sites is configured with, as of now.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the authority cannot be used to judge others.
    pub fn server_config(&self, peers: &Peers, protocol: &[u8]) -> Result<ServerConfig> {
        let mut config = self.server_config_for(peers, SITES_SPEAK)?;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    /// The same for a listener that speaks these versions of TLS, without a name for what is
    /// spoken inside it: for hosts.
    ///
    /// # Errors
    /// As [`Credentials::server_config`].
    pub fn server_config_for(
        &self,
        peers: &Peers,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<ServerConfig> {
        let held = self.held.load();
        let verifier = Arc::new(self.verifier(&held, peers)?);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(held.shown.clone())));
        // Every connection proves itself anew: a removed certificate must not live on in a ticket.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// What a dialling side is configured with, as of now; and what will be known if it refuses
    /// the other side.
    pub(crate) fn client_config(
        &self,
        peers: &Peers,
        protocol: &[u8],
    ) -> Result<(ClientConfig, Verdict)> {
        let held = self.held.load();
        let verifier = Arc::new(self.verifier(&held, peers)?);
        let verdict = verifier.verdict();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(SITES_SPEAK)
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(held.shown.clone())));
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok((config, verdict))
    }

    fn verifier(&self, held: &Held, peers: &Peers) -> Result<Verifier> {
        let (roots, accepted) = (held.roots.clone(), held.accepted.clone());
        Verifier::new(peers.clone(), roots, accepted, self.counters.clone())
    }
}

impl Held {
    fn read(site: &SiteName, files: &TlsFiles) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in files::certificates(&files.ca, "certificate of the authority")? {
            roots.add(certificate).map_err(|source| {
                let doing = format!("use certificate of the authority {}", files.ca.display());
                Error::with_source(ErrorKind::Invalid, doing, source)
            })?;
        }
        let chain = files::certificates(&files.cert, "certificate")?;
        let wrong = |why: String| {
            Error::invalid(format!("use certificate {}: {why}", files.cert.display()))
        };
        let own = check_own(&roots, &chain, UnixTime::now());
        let own = own.map_err(|refusal| wrong(refusal.to_string()))?;
        if own.kind != Kind::Site || own.name != site.as_str() {
            return Err(wrong(format!(
                "it is that of {} {}, this is site {site}; configure its own certificate",
                own.kind, own.name
            )));
        }
        // A renewal replaces two files: between the two they do not fit, and are not taken.
        let key = files::key(&files.key)?;
        let shown = certified(chain, &key).map_err(|source| {
            let (cert, key) = (files.cert.display(), files.key.display());
            let doing = format!("use certificate {cert} with key {key}: they do not fit");
            Error::with_source(ErrorKind::Invalid, doing, source)
        })?;
        let accepted = files::accepted(files.accepted.as_deref())?.map(Arc::new);
        Ok(Self { roots: Arc::new(roots), shown: Arc::new(shown), accepted, own })
    }
}

/// The certificate with its key, which must fit. The key is lent: what was read is wiped by whoever
/// read it, and ring keeps what it made of it.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> std::result::Result<CertifiedKey, rustls::Error> {
    let certified = CertifiedKey::new(chain, any_supported_type(key)?);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(error) => Err(error),
    }
}

fn unusable(error: rustls::Error) -> Error {
    Error::with_source(ErrorKind::Invalid, "set TLS up: its versions cannot be used here", error)
}
