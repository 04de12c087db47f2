//! Sites prove who they are: every certificate that is not right is refused, by a sentence of its
//! own and counted; certificates are changed while links are up.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/forged.rs"]
mod forged;
#[path = "support/papers.rs"]
mod papers;

use bytes::Bytes;
use forged::{Forged, authority, forge, put};
use papers::{Papers, site};
use rcgen::ExtendedKeyUsagePurpose as Use;
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::conformance::transport::{BoxSleep, Subject, prove};
use trefoil_core::port::{Frame, Link, Security, Transport};
use trefoil_core::{Error, ErrorKind, Result};
use trefoil_transports::tls::authority::VALIDITY;
use trefoil_transports::tls::{Credentials, Peers};
use trefoil_transports::{QuicOptions, QuicTransport, TcpOptions, TcpTransport};

const ANY: &str = "127.0.0.1:0";

/// What the tests are run over.
fn carriers() -> [(&'static str, Maker); 2] {
    [("tcp+tls", tcp), ("quic", quic)]
}

type Maker = fn(Arc<Credentials>, Peers) -> Arc<dyn Transport>;

fn tcp(credentials: Arc<Credentials>, peers: Peers) -> Arc<dyn Transport> {
    Arc::new(TcpTransport::secured(TcpOptions::default(), credentials, peers))
}

fn quic(credentials: Arc<Credentials>, peers: Peers) -> Arc<dyn Transport> {
    Arc::new(QuicTransport::new(QuicOptions::default(), credentials, peers).unwrap())
}

fn sleep(time: Duration) -> BoxSleep {
    Box::pin(tokio::time::sleep(time))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_inside_tls_conforms() {
    for (word, make) in carriers() {
        let papers = Papers::new();
        let dialer = make(papers.credentials("a"), Peers::one(site("b")));
        let acceptor = make(papers.credentials("b"), Peers::one(site("a")));
        let subject = Subject::new(&*dialer, &*acceptor, ANY, &sleep);
        if let Err(violation) = prove(&subject).await {
            panic!("{word}: {violation}");
        }
    }
}

/// Both ends of a link between what `dialer` and `acceptor` make.
async fn join(dialer: &dyn Transport, acceptor: &dyn Transport) -> (Result<Link>, Result<Link>) {
    let mut listener = acceptor.listen(ANY).await.unwrap();
    let address = listener.address();
    let accepted = tokio::spawn(async move {
        let late = |_| Err(Error::new(ErrorKind::Timeout, "nobody came"));
        let accept = tokio::time::timeout(Duration::from_secs(2), listener.accept());
        accept.await.unwrap_or_else(late)
    });
    let dialed = match dialer.connect(&address).await {
        // With TLS 1.3 a side learns of its refusal with the first thing it reads.
        Ok(mut link) => {
            match tokio::time::timeout(Duration::from_millis(300), link.control.receiver.receive())
                .await
            {
                Ok(Err(error)) => Err(error),
                _ => Ok(link),
            }
        }
        Err(error) => Err(error),
    };
    (dialed, accepted.await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_know_who_the_other_is() {
    for (_, make) in carriers() {
        let papers = Papers::new();
        let a = make(papers.credentials("a"), Peers::one(site("b")));
        let b = make(papers.credentials("b"), Peers::sites([site("a"), site("c")]));
        let (dialed, accepted) = join(&*a, &*b).await;
        assert_eq!(dialed.unwrap().security, Security::Proven(site("b")));
        assert_eq!(accepted.unwrap().security, Security::Proven(site("a")));
    }
}

/// One way to be refused: what is done to the papers of `a`, and what B says and counts.
struct Case {
    name: &'static str,
    spoil: fn(&Papers),
    count: &'static str,
}

const CASES: [Case; 8] = [
    Case {
        name: "signed by another authority",
        spoil: |papers| {
            let other = Papers::new();
            for file in ["a.pem", "a.key"] {
                let text = std::fs::read_to_string(other.path(file)).unwrap();
                put(&papers.path(file), &text, 0o600);
            }
        },
        count: "wrong_authority",
    },
    Case {
        name: "expired",
        spoil: |papers| {
            forge(papers, "a", &Forged { from: -9, until: -1, ..Forged::site("trefoil:site:a") });
        },
        count: "expired",
    },
    Case {
        name: "not valid yet",
        spoil: |papers| {
            forge(papers, "a", &Forged { from: 2, until: 9, ..Forged::site("trefoil:site:a") });
        },
        count: "not_yet_valid",
    },
    Case {
        name: "of a site that is not configured",
        spoil: |papers| forge(papers, "a", &Forged::site("trefoil:site:stranger")),
        count: "wrong_name",
    },
    Case {
        name: "of a host",
        spoil: |papers| forge(papers, "a", &Forged::site("trefoil:host:a")),
        count: "wrong_kind",
    },
    Case {
        name: "without a name of ours",
        spoil: |papers| forge(papers, "a", &Forged::site("https://a.example")),
        count: "nameless",
    },
    Case {
        name: "for servers only",
        spoil: |papers| {
            let uses = vec![Use::ServerAuth];
            forge(papers, "a", &Forged { uses, ..Forged::site("trefoil:site:a") });
        },
        count: "wrong_usage",
    },
    Case {
        name: "taken out of the accepted ones",
        spoil: |papers| assert_eq!(authority(papers).withdraw("a").unwrap(), 1),
        count: "removed",
    },
];

/// Credentials that show whatever lies in the files: loading checks them, so what is spoilt is put
/// in place behind its back by a loader without checks.
fn shows(papers: &Papers) -> rustls::ClientConfig {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_file_iter(papers.path("a.pem")).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(papers.path("a.key")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    for ca in CertificateDer::pem_file_iter(papers.path("ca.pem")).unwrap() {
        roots.add(ca.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"trefoil-site/1".to_vec()];
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_certificate_is_refused_and_counted_by_its_reason() {
    for Case { name, spoil, count } in CASES {
        let papers = Papers::new();
        let judge = papers.credentials("b");
        spoil(&papers);
        judge.reload().unwrap();
        let acceptor = tcp(judge.clone(), Peers::sites([site("a"), site("c")]));
        let mut listener = acceptor.listen(ANY).await.unwrap();
        let stream = tokio::net::TcpStream::connect(listener.address()).await.unwrap();
        // The name that b's certificate has for a host: none, so that only the chain is checked.
        let connector = tokio_rustls::TlsConnector::from(Arc::new(blind(shows(&papers))));
        let host = rustls::pki_types::ServerName::try_from("trefoil.invalid").unwrap();
        let told = async {
            use tokio::io::AsyncReadExt;
            let mut stream = connector.connect(host, stream).await?;
            stream.read_u8().await
        };
        let told = tokio::time::timeout(Duration::from_secs(5), told).await.unwrap();
        assert!(told.is_err(), "{name}: let in");
        let accepted = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
        assert!(accepted.is_err(), "{name}: a link was made");
        let counts = judge.counts();
        assert_eq!(counts.0[count], 1, "{name}: counted as {counts:?}");
        assert_eq!(counts.total(), 1, "{name}: counted as {counts:?}");
    }
}

/// Does not look at the other side's certificate: these tests are about one's own.
fn blind(mut config: rustls::ClientConfig) -> rustls::ClientConfig {
    config.dangerous().set_certificate_verifier(Arc::new(Blind));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialler_refuses_the_wrong_site_and_says_whose_certificate_came() {
    for (word, make) in carriers() {
        let papers = Papers::new();
        let a = make(papers.credentials("a"), Peers::one(site("b")));
        let c = make(papers.credentials("c"), Peers::sites([site("a"), site("b")]));
        let (dialed, _) = join(&*a, &*c).await;
        let error = dialed.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Refused, "{word}: {error}");
        assert!(error.to_string().contains("is that of site c, and only b"), "{word}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialler_that_is_refused_is_told_why() {
    for (word, make) in carriers() {
        let papers = Papers::new();
        let a = make(papers.credentials("a"), Peers::one(site("b")));
        let judge = papers.credentials("b");
        authority(&papers).withdraw("a").unwrap();
        judge.reload().unwrap();
        let b = make(judge.clone(), Peers::one(site("a")));
        let (dialed, _) = join(&*a, &*b).await;
        let error = dialed.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Refused, "{word}: {error}");
        assert!(error.to_string().contains("removed from its accepted ones"), "{word}: {error}");
        // The second connection of a link may be given up before it was judged.
        assert!(judge.counts().0["removed"] >= 1, "{word}: {:?}", judge.counts());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_and_secured_sides_do_not_understand_each_other_and_say_so() {
    let papers = Papers::new();
    let judge = papers.credentials("b");
    let plain = TcpTransport::default();
    let secured = tcp(judge.clone(), Peers::one(site("a")));
    let (dialed, _) = join(&plain, &*secured).await;
    assert!(dialed.is_err());
    assert!(judge.counts().0["protocol"] >= 1, "{:?}", judge.counts());
    let a = tcp(papers.credentials("a"), Peers::one(site("b")));
    let (dialed, _) = join(&*a, &plain).await;
    let error = dialed.err().unwrap().to_string();
    assert!(error.contains("TLS") || error.contains("prove sites"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_changed_while_a_link_is_up() {
    for (word, make) in carriers() {
        let papers = Papers::new();
        let (ours, theirs) = (papers.credentials("a"), papers.credentials("b"));
        let a = make(ours.clone(), Peers::one(site("b")));
        let b = make(theirs.clone(), Peers::one(site("a")));
        let mut listener = b.listen(ANY).await.unwrap();
        let address = listener.address();
        let (dialed, accepted) = tokio::join!(a.connect(&address), listener.accept());
        let (mut dialed, mut accepted) = (dialed.unwrap(), accepted.unwrap());
        let first = ours.own().fingerprint;
        authority(&papers).renew("a", VALIDITY).unwrap();
        assert_eq!(authority(&papers).withdraw_old("a").unwrap(), 1);
        theirs.reload().unwrap();
        // B knows only the new certificate now, and a still shows the old one.
        let (refused, _) = tokio::join!(a.connect(&address), async {
            tokio::time::timeout(Duration::from_millis(300), listener.accept()).await
        });
        if let Ok(mut link) = refused {
            assert!(link.control.receiver.receive().await.is_err(), "{word}");
        }
        ours.reload().unwrap();
        assert_ne!(ours.own().fingerprint, first);
        let (again, accepted_again) = tokio::join!(a.connect(&address), listener.accept());
        assert!(again.is_ok() && accepted_again.is_ok(), "{word}");
        // The first link has been up all the time.
        let frame = Frame::of(Bytes::from_static(b"still here"));
        dialed.data.sender.send(vec![frame.clone()]).await.unwrap();
        assert_eq!(accepted.data.receiver.receive().await.unwrap().unwrap(), vec![frame]);
    }
}

#[test]
fn what_is_wrong_with_ones_own_files_is_told_with_its_remedy() {
    let papers = Papers::new();
    let fails = |name: &str, part: &str| {
        let error = papers.load(name).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(!format!("{error:?}").contains("PRIVATE"), "{error:?}");
    };
    let key = std::fs::read_to_string(papers.path("a.key")).unwrap();
    put(&papers.path("a.key"), &key, 0o644);
    fails("a", "chmod 0600");
    put(&papers.path("a.key"), "nothing", 0o600);
    fails("a", "no private key");
    forge(&papers, "b", &Forged::site("trefoil:site:c"));
    fails("b", "it is that of site c, this is site b");
    forge(&papers, "c", &Forged { until: -1, from: -9, ..Forged::site("trefoil:site:c") });
    fails("c", "has expired");
    let other = Papers::new();
    let text = std::fs::read_to_string(other.path("ca.pem")).unwrap();
    put(&papers.path("ca.pem"), &text, 0o644);
    fails("b", "not signed by this deployment's authority");
}

#[test]
fn an_authority_keeps_keys_for_its_owner_and_overwrites_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let papers = Papers::new();
    for file in ["ca.key", "a.key", "db1.key"] {
        let mode = std::fs::metadata(papers.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let before = std::fs::read(papers.path("a.key")).unwrap();
    let machine = trefoil_transports::tls::authority::MachineNames::default();
    let again = authority(&papers).issue_site(&site("a"), &machine, VALIDITY);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(std::fs::read(papers.path("a.key")).unwrap(), before);
    let listed = authority(&papers).list().unwrap();
    assert_eq!(listed.len(), 4);
    assert!(listed.iter().all(|listed| listed.accepted));
}
