//! What is QUIC's alone: runtimes that come and go, floods of first packets, large packets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/papers.rs"]
mod papers;

use bytes::Bytes;
use papers::{Papers, site};
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::port::{Frame, Link, Transport};
use trefoil_transports::tls::Peers;
use trefoil_transports::{QuicOptions, QuicTransport};

const ANY: &str = "127.0.0.1:0";

fn transport(papers: &Papers, own: &str, peer: &str, options: QuicOptions) -> QuicTransport {
    let peers = Peers::one(site(peer));
    QuicTransport::new(options, papers.credentials(own), peers).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// One frame there and back on both lanes.
async fn echo(one: &mut Link, other: &mut Link, length: usize) {
    let frame = Frame::of(Bytes::from(vec![7; length]));
    for data in [false, true] {
        let (from, to) = match data {
            true => (&mut one.data, &mut other.data),
            false => (&mut one.control, &mut other.control),
        };
        let (sent, got) =
            tokio::join!(from.sender.send(vec![frame.clone()]), to.receiver.receive());
        sent.unwrap();
        assert_eq!(got.unwrap().unwrap(), vec![frame.clone()]);
        let (sent, got) =
            tokio::join!(to.sender.send(vec![frame.clone()]), from.receiver.receive());
        sent.unwrap();
        assert_eq!(got.unwrap().unwrap(), vec![frame.clone()]);
    }
}

#[test]
fn a_link_made_on_one_runtime_outlives_another_that_made_one_by_the_same_transport() {
    let papers = Papers::new();
    let dialer = Arc::new(transport(&papers, "a", "b", QuicOptions::default()));
    let acceptor = transport(&papers, "b", "a", QuicOptions::default());
    let (listening, dialling, passing) = (runtime(), runtime(), runtime());
    let mut listener = listening.block_on(acceptor.listen(ANY)).unwrap();
    let address = listener.address();
    // The listener's runtime must turn for links to be made.
    let (links, mut made) = tokio::sync::mpsc::channel(4);
    let turning = std::thread::spawn(move || {
        listening.block_on(async {
            for _ in 0..2 {
                links.send(listener.accept().await.unwrap()).await.unwrap();
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
        });
    });
    let first = passing.block_on(dialer.connect(&address)).unwrap();
    let _theirs = made.blocking_recv().unwrap();
    dialling.block_on(async {
        let mut ours = dialer.connect(&address).await.unwrap();
        let mut theirs = made.recv().await.unwrap();
        drop(first);
        passing.shutdown_background();
        echo(&mut ours, &mut theirs, 100_000).await;
    });
    turning.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_packets_pass_where_both_ends_are_set_to_them() {
    let papers = Papers::new();
    for mtu in [1200, 1452, 8952] {
        let options = QuicOptions { mtu: Some(mtu), ..QuicOptions::default() };
        let dialer = transport(&papers, "a", "b", options.clone());
        let acceptor = transport(&papers, "b", "a", options);
        let mut listener = acceptor.listen(ANY).await.unwrap();
        let address = listener.address();
        let (ours, theirs) = tokio::join!(dialer.connect(&address), listener.accept());
        echo(&mut ours.unwrap(), &mut theirs.unwrap(), 3 << 20).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_rubbish_and_of_first_packets_keeps_nobody_out() {
    let papers = Papers::new();
    let options = QuicOptions {
        handshakes_max: 8,
        handshake_timeout: Duration::from_millis(500),
        ..QuicOptions::default()
    };
    let dialer = transport(&papers, "a", "b", QuicOptions::default());
    let acceptor = transport(&papers, "b", "a", options);
    let mut listener = acceptor.listen(ANY).await.unwrap();
    let address = listener.address();
    let to = address.clone();
    let flood = std::thread::spawn(move || {
        // First packets that nobody will finish, recorded from real dials to nowhere; rubbish.
        let firsts = first_packets(200);
        let socket = UdpSocket::bind(ANY).unwrap();
        for first in &firsts {
            let from = UdpSocket::bind(ANY).unwrap();
            from.send_to(first, &to).unwrap();
            for length in [1, 20, 1200] {
                socket.send_to(&vec![0x5a; length], &to).unwrap();
            }
        }
    });
    flood.join().unwrap();
    let (ours, theirs) = tokio::join!(dialer.connect(&address), listener.accept());
    echo(&mut ours.unwrap(), &mut theirs.unwrap(), 10_000).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let counts = acceptor.counts();
    assert!(counts.evicted + counts.expired > 0, "nobody was turned away: {counts:?}");
}

/// The first packet of dials whose other end never answers.
fn first_packets(count: usize) -> Vec<Vec<u8>> {
    let papers = Papers::new();
    let silent = UdpSocket::bind(ANY).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let options =
        QuicOptions { connect_timeout: Duration::from_millis(20), ..QuicOptions::default() };
    let dialer = transport(&papers, "a", "b", options);
    let runtime = runtime();
    (0..count)
        .map(|_| {
            assert!(runtime.block_on(dialer.connect(&address)).is_err());
            let mut packet = vec![0; 2048];
            let (length, _) = silent.recv_from(&mut packet).unwrap();
            packet.truncate(length);
            packet
        })
        .collect()
}
