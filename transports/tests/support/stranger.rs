//! A stranger: shows what is in the files, good or not, and checks nothing.

use super::papers::Papers;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

pub const PROTOCOL: &[u8] = b"trefoil-site/1";
pub const TLS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A certificate and its key, as they lie in the files.
pub struct Shown(pub Vec<CertificateDer<'static>>, pub PrivateKeyDer<'static>);

impl Shown {
    pub fn read(papers: &Papers, name: &str) -> Self {
        let chain = CertificateDer::pem_file_iter(papers.path(&format!("{name}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(papers.path(&format!("{name}.key"))).unwrap();
        Self(chain.collect::<Result<_, _>>().unwrap(), key)
    }

    pub fn client(self) -> ClientConfig {
        blind(Some(self))
    }
}

/// A client that does not look at the other side's certificate.
pub fn blind(shown: Option<Shown>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(TLS)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Blind));
    let mut config = match shown {
        Some(Shown(chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config
}

#[derive(Debug)]
struct Blind;

impl rustls::client::danger::ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}
