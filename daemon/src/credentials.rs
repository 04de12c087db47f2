//! What was read from the files of `[tls]`, each set of files once, so that it can be read again;
//! and how hosts are judged by it.

use crate::nbd::HostTls;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use trefoil_core::model::SiteName;
use trefoil_core::{Error, Result};
use trefoil_site::registry::TlsPaths;
use trefoil_transports::tls::{Credentials, Identity, Peers, Refusal, TlsFiles, explain};

/// Hosts and sites alike: nothing older.
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Whose they are, and where they were read.
type Key = (SiteName, TlsPaths);

/// The certificates in use; clones share them.
#[derive(Clone, Default)]
pub struct CredentialStore {
    read: Arc<Mutex<BTreeMap<Key, Arc<Credentials>>>>,
}

impl CredentialStore {
    /// What a site shows, and judges others by; read at the first call.
    ///
    /// # Errors
    /// When the files do not do; the message names the file and the remedy.
    pub fn of(&self, site: &SiteName, paths: &TlsPaths) -> Result<Arc<Credentials>> {
        let key = (site.clone(), paths.clone());
        let mut all = self.read.lock();
        if let Some(known) = all.get(&key) {
            return Ok(Arc::clone(known));
        }
        let TlsPaths { ca, cert, key: own, accepted } = paths.clone();
        let read = Credentials::load(site, TlsFiles { ca, cert, key: own, accepted })?;
        all.insert(key, Arc::clone(&read));
        Ok(read)
    }

    /// Reads every file again. Connections that are up stay; new ones are judged by what was read.
    ///
    /// # Errors
    /// The first that does not do; what was read before stays in use for it.
    pub fn reload_all(&self) -> Result<()> {
        self.all().iter().try_for_each(|credentials| credentials.reload())
    }

    /// All of them, once each.
    pub fn all(&self) -> Vec<Arc<Credentials>> {
        self.read.lock().values().cloned().collect()
    }
}

/// A site's certificate as hosts see it, and how theirs are judged.
pub struct Hosts(pub Arc<Credentials>);

impl HostTls for Hosts {
    fn config(&self) -> Result<Arc<ServerConfig>> {
        self.0.server_config_for(&Peers::Hosts, VERSIONS).map(Arc::new)
    }

    fn host(&self, chain: &[CertificateDer<'_>]) -> Result<String> {
        let shown = chain.first().ok_or(Refusal::Missing).and_then(Identity::of);
        let identity = shown.map_err(|why| Error::refused(format!("prove host: {why}")))?;
        Ok(identity.name)
    }

    fn refusal(&self, error: &io::Error) -> String {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Some(tls) = tls else { return format!("prove host: it left: {error}") };
        match tls {
            rustls::Error::NoCertificatesPresented => self.0.count(&Refusal::Missing),
            rustls::Error::InvalidMessage(_)
            | rustls::Error::PeerIncompatible(_)
            | rustls::Error::InappropriateMessage { .. }
            | rustls::Error::InappropriateHandshakeMessage { .. } => {
                self.0.count(&Refusal::Protocol);
            }
            // A refused certificate was counted where it was judged.
            _ => {}
        }
        format!("prove host: {}", explain(tls))
    }
}
