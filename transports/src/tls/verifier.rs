//! The judge of the other side's certificate: the chain by webpki, then the name, then the list.

use super::identity::{Identity, fingerprint};
use super::peers::Peers;
use super::provider;
use super::refusal::{Counters, Refusal};
use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use trefoil_core::{Error, ErrorKind, Result};

/// Judges certificates of the other side.
pub(crate) struct Verifier {
    peers: Peers,
    roots: Arc<RootCertStore>,
    chain: Arc<dyn ClientCertVerifier>,
    accepted: Option<Arc<BTreeSet<String>>>,
    counters: Arc<Counters>,
    verdict: Verdict,
}

/// Why the other side was refused, once it was: the layers above a handshake keep less of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict(Arc<Mutex<Option<Refusal>>>);

impl Verdict {
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.0.lock().clone()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("peers", &self.peers).finish_non_exhaustive()
    }
}

impl Verifier {
    pub(crate) fn new(
        peers: Peers,
        roots: Arc<RootCertStore>,
        accepted: Option<Arc<BTreeSet<String>>>,
        counters: Arc<Counters>,
    ) -> Result<Self> {
        let chain = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider()).build();
        let chain = chain.map_err(|source| {
            Error::with_source(ErrorKind::Invalid, "use the authority's certificate", source)
        })?;
        let verdict = Verdict::default();
        Ok(Self { peers, roots, chain, accepted, counters, verdict })
    }

    /// What will be known of a refusal.
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// What comes after the chain: whose it is, and whether it is still accepted.
    fn check_owner(&self, certificate: &CertificateDer<'_>) -> Result<(), Refusal> {
        let identity = Identity::of(certificate)?;
        self.peers.check(&identity)?;
        let listed =
            |accepted: &Arc<BTreeSet<String>>| accepted.contains(&fingerprint(certificate));
        if self.accepted.as_ref().is_none_or(listed) {
            return Ok(());
        }
        Err(Refusal::Removed { name: identity.name, fingerprint: identity.fingerprint })
    }

    fn judged(&self, verdict: Result<(), Refusal>) -> Result<(), rustls::Error> {
        verdict.map_err(|refusal| {
            self.counters.add(&refusal);
            tracing::warn!(reason = refusal.word(), "a certificate is refused: {refusal}");
            *self.verdict.0.lock() = Some(refusal.clone());
            refusal.into()
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms.all;
        let chain = ParsedCertificate::try_from(end_entity).and_then(|parsed| {
            let roots = &self.roots;
            rustls::client::verify_server_cert_signed_by_trust_anchor(
                &parsed,
                roots,
                intermediates,
                now,
                algorithms,
            )
        });
        let chain = chain.map_err(|error| Refusal::of_chain(&error));
        self.judged(chain.and_then(|()| self.check_owner(end_entity)))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain = self.chain.verify_client_cert(end_entity, intermediates, now);
        let chain = chain.map(drop).map_err(|error| Refusal::of_chain(&error));
        self.judged(chain.and_then(|()| self.check_owner(end_entity)))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Checks one's own certificate as the other side will.
pub(crate) fn check_own(
    roots: &RootCertStore,
    chain: &[CertificateDer<'static>],
    now: UnixTime,
) -> Result<Identity, Refusal> {
    let Some((own, between)) = chain.split_first() else { return Err(Refusal::Missing) };
    let algorithms = provider().signature_verification_algorithms.all;
    let parsed = ParsedCertificate::try_from(own).map_err(|error| Refusal::of_chain(&error))?;
    rustls::client::verify_server_cert_signed_by_trust_anchor(
        &parsed, roots, between, now, algorithms,
    )
    .map_err(|error| Refusal::of_chain(&error))?;
    Identity::of(own)
}
