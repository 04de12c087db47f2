//! Whatever connects to a port that wants certificates, over TCP and QUIC: the port stays bounded,
//! links that are up do not notice, and new ones are made.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it panics")]

#[path = "support/papers.rs"]
mod papers;
#[path = "support/stranger.rs"]
mod stranger;

use bytes::Bytes;
use papers::{Papers, site};
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use trefoil_core::port::{Frame, Link, Listener, Transport};
use trefoil_core::{Error, ErrorKind};
use trefoil_transports::tls::{Credentials, Peers};
use trefoil_transports::{QuicOptions, QuicTransport, TcpOptions, TcpTransport};

const ANY: &str = "127.0.0.1:0";
const SOON: Duration = Duration::from_secs(5);
const STRICT: Duration = Duration::from_millis(500);
/// The first bytes of a greeting in TLS, of which the rest does not come.
const HALF_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3];

/// What is counted here (files, memory) is the whole process's: one test at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Two sites over one carrier; B listens and gives strangers half a second.
struct World<T> {
    a: T,
    b: T,
    judge: Arc<Credentials>,
    listener: Box<dyn Listener>,
    address: String,
}

impl<T: Transport> World<T> {
    async fn new(make: impl Fn(Arc<Credentials>, Peers) -> T) -> Self {
        let papers = Papers::new();
        let judge = papers.credentials("b");
        let a = make(papers.credentials("a"), Peers::one(site("b")));
        let b = make(judge.clone(), Peers::one(site("a")));
        let listener = b.listen(ANY).await.unwrap();
        let address = listener.address();
        Self { a, b, judge, listener, address }
    }

    /// A link between the two that carries frames.
    async fn link(&mut self) -> (Link, Link) {
        let made = async { tokio::join!(self.a.connect(&self.address), self.listener.accept()) };
        let (ours, theirs) = timeout(SOON, made).await.expect("no link in time");
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        echo(&mut ours, &mut theirs).await.unwrap();
        (ours, theirs)
    }
}

async fn tcp() -> World<TcpTransport> {
    let options = TcpOptions { handshake_timeout: STRICT, ..TcpOptions::default() };
    World::new(|own, peers| TcpTransport::secured(options.clone(), own, peers)).await
}

async fn quic() -> World<QuicTransport> {
    let options = QuicOptions { handshake_timeout: STRICT, ..QuicOptions::default() };
    World::new(|own, peers| QuicTransport::new(options.clone(), own, peers).unwrap()).await
}

/// A frame there and back; how long that took.
async fn echo(ours: &mut Link, theirs: &mut Link) -> Result<Duration, Error> {
    let begun = Instant::now();
    let frame = Frame::of(Bytes::from(vec![7; 4096]));
    ours.data.sender.send(vec![frame.clone()]).await?;
    assert_eq!(theirs.data.receiver.receive().await?, Some(vec![frame.clone()]));
    theirs.control.sender.send(vec![frame.clone()]).await?;
    assert_eq!(ours.control.receiver.receive().await?, Some(vec![frame]));
    Ok(begun.elapsed())
}

/// Reads until the other side closes the connection.
async fn closed(stream: &mut TcpStream) {
    let mut said = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut said)).await.expect("it is still open");
    // A reset is a close, too.
    drop(read);
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What this process keeps in memory, in KiB.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_http_and_plain_preambles_are_closed_at_once_and_counted() {
    let _turn = TURN.lock().await;
    let mut world = tcp().await;
    let rubbish =
        [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0; 4096], &[0xFF; 32], b"TREFOIL\n\x01\x00"];
    for garbage in rubbish {
        let mut stream = TcpStream::connect(&world.address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let begun = Instant::now();
        closed(&mut stream).await;
        assert!(begun.elapsed() < STRICT / 2, "closed by the deadline only: {garbage:02x?}");
    }
    assert_eq!(world.b.counts().refused, 4);
    assert_eq!(world.judge.counts().0["protocol"], 4, "{:?}", world.judge.counts());
    world.link().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_greeting_is_closed_by_the_deadline() {
    let _turn = TURN.lock().await;
    let mut world = tcp().await;
    let mut half = TcpStream::connect(&world.address).await.unwrap();
    half.write_all(HALF_HELLO).await.unwrap();
    let mut slow = TcpStream::connect(&world.address).await.unwrap();
    let drip = async {
        for byte in HALF_HELLO {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::join!(drip, closed(&mut half));
    closed(&mut slow).await;
    assert_eq!(world.b.counts().expired, 2);
    world.link().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_half_open_connections_take_no_more_than_their_bound() {
    let _turn = TURN.lock().await;
    let mut world = tcp().await;
    let (mut ours, mut theirs) = world.link().await;
    let (files, memory) = (open_files(), memory_kib());
    let (mut most, mut slowest) = (0, Duration::ZERO);
    for _ in 0..10 {
        let mut idle = Vec::new();
        for number in 0..200 {
            let mut stream = TcpStream::connect(&world.address).await.unwrap();
            if number % 2 == 0 {
                stream.write_all(HALF_HELLO).await.unwrap();
            }
            idle.push(stream);
        }
        slowest = slowest.max(echo(&mut ours, &mut theirs).await.unwrap());
        sleep(Duration::from_millis(20)).await;
        most = most.max(open_files().saturating_sub(files + idle.len()));
        // The flood stays while a link is made.
        drop(world.link().await);
    }
    let grown = memory_kib().saturating_sub(memory);
    let counts = world.b.counts();
    println!("2000 half-open: {most} files more, {grown} KiB more, slowest echo {slowest:?}");
    assert!(most <= 64 + 16, "{most} files more than the flood's own");
    assert!(grown < 32 << 10, "{grown} KiB more");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    // Whoever hangs up by himself counts as refused.
    assert!(counts.evicted + counts.expired + counts.refused >= 1900, "{counts:?}");
    assert!(counts.evicted >= 1000, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_datagrams_of_rubbish_take_nothing() {
    let _turn = TURN.lock().await;
    let mut world = quic().await;
    let (mut ours, mut theirs) = world.link().await;
    let socket = UdpSocket::bind(ANY).unwrap();
    let (files, memory) = (open_files(), memory_kib());
    let mut slowest = Duration::ZERO;
    for number in 0..10_000_usize {
        // Among them long headers of an unknown version, of version 1, and short ones.
        let mut packet = vec![(number % 251) as u8; [1, 20, 60, 1200, 1452][number % 5]];
        packet[0] = [0xC0, 0x40, 0xFF, 0x00][number % 4];
        if number % 3 == 0 && packet.len() > 5 {
            packet[1..5].copy_from_slice(&1_u32.to_be_bytes());
        }
        socket.send_to(&packet, &world.address).unwrap();
        if number % 500 == 0 {
            let echoed = timeout(SOON, echo(&mut ours, &mut theirs)).await;
            slowest = slowest.max(echoed.expect("the link stands still").unwrap());
        }
    }
    let grown = memory_kib().saturating_sub(memory);
    println!("10000 datagrams: {grown} KiB more, slowest echo {slowest:?}");
    assert!(open_files() <= files, "{} files, {files} before", open_files());
    assert!(grown < 32 << 10, "{grown} KiB more");
    world.link().await;
}

/// Somebody with the papers of A who does not do what a site does.
async fn insider(papers: &Papers, address: &str) -> quinn::Connection {
    let shown = stranger::Shown::read(papers, "a").client();
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(shown).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(config));
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    let connecting = endpoint.connect_with(config, address.parse().unwrap(), "trefoil.invalid");
    connecting.unwrap().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_lanes_ends_by_the_deadline_and_no_third_lane_is_opened() {
    let _turn = TURN.lock().await;
    let papers = Papers::new();
    let options = QuicOptions { handshake_timeout: STRICT, ..QuicOptions::default() };
    let b = QuicTransport::new(options, papers.credentials("b"), Peers::one(site("a"))).unwrap();
    let listener = b.listen(ANY).await.unwrap();
    let silent = insider(&papers, &listener.address()).await;
    let greedy = insider(&papers, &listener.address()).await;
    let (_one, _two) = (greedy.open_bi().await.unwrap(), greedy.open_bi().await.unwrap());
    let third = timeout(Duration::from_millis(100), greedy.open_bi()).await;
    assert!(third.is_err(), "a third lane was opened");
    let one_way = timeout(Duration::from_millis(50), greedy.open_uni()).await;
    assert!(one_way.is_err(), "a stream in one direction was opened");
    for connection in [silent, greedy] {
        timeout(SOON, connection.closed()).await.expect("it is still open");
    }
    assert_eq!(b.counts().expired, 2, "{:?}", b.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_and_oversized_frames_end_a_quic_link_as_corrupt() {
    let _turn = TURN.lock().await;
    let papers = Papers::new();
    let own = papers.credentials("b");
    let b = QuicTransport::new(QuicOptions::default(), own, Peers::one(site("a"))).unwrap();
    let mut listener = b.listen(ANY).await.unwrap();
    let oversized = header(u32::MAX, 0);
    let body_damaged = [header(5, 0x1234_5678), b"hello".to_vec()].concat();
    let header_damaged = vec![0x55; 16];
    for bytes in [oversized, body_damaged, header_damaged] {
        let connection = insider(&papers, &listener.address()).await;
        let (mut control, _to) = connection.open_bi().await.unwrap();
        let (mut data, _from) = connection.open_bi().await.unwrap();
        control.write_all(&[1]).await.unwrap();
        data.write_all(&[2]).await.unwrap();
        let mut link = timeout(SOON, listener.accept()).await.expect("no link").unwrap();
        data.write_all(&bytes).await.unwrap();
        let error = timeout(SOON, link.data.receiver.receive()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(link.control.receiver.receive().await.is_err());
        assert!(link.control.sender.send(vec![Frame::default()]).await.is_err());
        timeout(SOON, connection.closed()).await.expect("it is still open");
    }
    assert_eq!(b.counts().corrupt, 3);
}

fn header(length: u32, crc: u32) -> Vec<u8> {
    let mut bytes = b"TFF1".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(crc.to_le_bytes());
    let own = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes) as u32;
    bytes.extend(own.to_le_bytes());
    bytes
}
