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
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::conformance::transport::{BoxSleep, Subject, prove_all};
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
        if let Err(violation) = prove_all(&subject).await {
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
