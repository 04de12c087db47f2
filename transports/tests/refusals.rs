//! Every way to be refused, over everything that proves sites: by a listener and by a dialler,
//! each counted under its own reason and told by its own sentence.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/forged.rs"]
mod forged;
#[path = "support/papers.rs"]
mod papers;
#[path = "support/stranger.rs"]
mod stranger;
#[path = "support/strangers.rs"]
mod strangers;

use forged::{Forged, authority, forge, put};
use papers::{Papers, site};
use rcgen::ExtendedKeyUsagePurpose as Use;
use std::sync::Arc;
use std::time::Duration;
use stranger::{Shown, blind};
use strangers::{Carrier, careless};
use trefoil_core::ErrorKind;
use trefoil_core::port::{Listener, Transport};
use trefoil_transports::tls::{Credentials, Peers};
use trefoil_transports::{QuicOptions, QuicTransport, TcpOptions, TcpTransport};

const ANY: &str = "127.0.0.1:0";

fn transport(carrier: Carrier, own: &Arc<Credentials>, peers: Peers) -> Arc<dyn Transport> {
    match carrier {
        Carrier::Tcp => Arc::new(TcpTransport::secured(TcpOptions::default(), own.clone(), peers)),
        Carrier::Quic => {
            Arc::new(QuicTransport::new(QuicOptions::default(), own.clone(), peers).unwrap())
        }
    }
}

/// One way to be refused: what is done to the papers of `a`, and what B counts and says.
struct Case {
    name: &'static str,
    spoil: fn(&Papers),
    count: &'static str,
    says: &'static str,
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
        says: "is not signed by this deployment's authority",
    },
    Case {
        name: "expired",
        spoil: |papers| {
            forge(papers, "a", &Forged { from: -9, until: -1, ..Forged::site("trefoil:site:a") });
        },
        count: "expired",
        says: "has expired",
    },
    Case {
        name: "not valid yet",
        spoil: |papers| {
            forge(papers, "a", &Forged { from: 2, until: 9, ..Forged::site("trefoil:site:a") });
        },
        count: "not_yet_valid",
        says: "is not valid yet",
    },
    Case {
        name: "of a site that is not configured",
        spoil: |papers| forge(papers, "a", &Forged::site("trefoil:site:stranger")),
        count: "wrong_name",
        says: "is that of site stranger",
    },
    Case {
        name: "of a host",
        spoil: |papers| forge(papers, "a", &Forged::site("trefoil:host:a")),
        count: "wrong_kind",
        says: "is that of host a",
    },
    Case {
        name: "without a name of ours",
        spoil: |papers| forge(papers, "a", &Forged::site("https://a.example")),
        count: "nameless",
        says: "names no site and no host",
    },
    Case {
        name: "for signing programs only",
        spoil: |papers| {
            let uses = vec![Use::CodeSigning];
            forge(papers, "a", &Forged { uses, ..Forged::site("trefoil:site:a") });
        },
        count: "wrong_usage",
        says: "may not be used for this",
    },
    Case {
        name: "taken out of the accepted ones",
        spoil: |papers| assert_eq!(authority(papers).withdraw("a").unwrap(), 1),
        count: "removed",
        says: "is not among the accepted ones",
    },
];

/// Papers of which those of `a` are spoilt, and B, who judges by them.
fn spoilt(case: &Case) -> (Papers, Arc<Credentials>) {
    let papers = Papers::new();
    let judge = papers.credentials("b");
    (case.spoil)(&papers);
    judge.reload().unwrap();
    (papers, judge)
}

/// Counted once and under nothing else. A dialler may try a second connection before the first
/// is judged.
fn counted(judge: &Credentials, count: &str, most: u64, what: &str) {
    let counts = judge.counts();
    let times = counts.0[count];
    assert!((1..=most).contains(&times), "{what}: counted as {counts:?}");
    assert_eq!(counts.total(), times, "{what}: counted as {counts:?}");
}

async fn nobody_comes(listener: &mut dyn Listener, what: &str) {
    let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(accepted.is_err(), "{what}: a link was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_refuses_every_wrong_certificate_and_counts_it_by_its_reason() {
    for carrier in Carrier::ALL {
        for case in &CASES {
            let what = format!("{carrier:?}, {}", case.name);
            let (papers, judge) = spoilt(case);
            let acceptor = transport(carrier, &judge, Peers::sites([site("a"), site("c")]));
            let mut listener = acceptor.listen(ANY).await.unwrap();
            let shown = Shown::read(&papers, "a");
            carrier.knock(shown.client(), &listener.address(), &what).await;
            nobody_comes(listener.as_mut(), &what).await;
            counted(&judge, case.count, 1, &what);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialler_refuses_every_wrong_certificate_and_says_why() {
    for carrier in Carrier::ALL {
        for case in &CASES {
            let what = format!("{carrier:?}, {}", case.name);
            let (papers, judge) = spoilt(case);
            let (address, server) = carrier.serve(careless(Shown::read(&papers, "a"))).await;
            let dialer = transport(carrier, &judge, Peers::one(site("a")));
            let error = dialer.connect(&address).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Refused, "{what}: {error}");
            assert!(error.to_string().contains(case.says), "{what}: {error}");
            assert!(error.to_string().contains(&address), "{what}: {error}");
            counted(&judge, case.count, 2, &what);
            server.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_nothing_or_speaks_something_else_is_refused_and_counted() {
    for carrier in Carrier::ALL {
        let papers = Papers::new();
        let mut other = Shown::read(&papers, "a").client();
        other.alpn_protocols = vec![b"h3".to_vec()];
        for (count, config) in [("missing", blind(None)), ("protocol", other)] {
            let what = format!("{carrier:?}, {count}");
            let judge = papers.credentials("b");
            let acceptor = transport(carrier, &judge, Peers::one(site("a")));
            let mut listener = acceptor.listen(ANY).await.unwrap();
            carrier.knock(config, &listener.address(), &what).await;
            nobody_comes(listener.as_mut(), &what).await;
            counted(&judge, count, 1, &what);
        }
    }
}

#[test]
fn a_reload_takes_nothing_by_halves_and_forgets_no_removal() {
    let papers = Papers::new();
    let own = papers.credentials("a");
    let before = own.own();
    // A renewal under way: the new key is there, the certificate is still the old one.
    let key = std::fs::read_to_string(papers.path("a.key")).unwrap();
    let others = std::fs::read_to_string(papers.path("c.key")).unwrap();
    put(&papers.path("a.key"), &others, 0o600);
    let error = own.reload().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("do not fit"), "{error}");
    assert_eq!(own.own(), before);
    put(&papers.path("a.key"), &key, 0o600);
    own.reload().unwrap();
    // The list of accepted ones got lost: who was removed stays removed.
    authority(&papers).withdraw("c").unwrap();
    own.reload().unwrap();
    std::fs::remove_file(papers.path("accepted")).unwrap();
    let error = own.reload().unwrap_err();
    assert!(error.to_string().contains("it is gone"), "{error}");
}
