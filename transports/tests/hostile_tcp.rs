//! Whatever connects to the TCP port, the port stays bounded and real links work.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it panics")]

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use trefoil_core::ErrorKind;
use trefoil_core::port::{Frame, Link, Listener, Transport};
use trefoil_transports::{TcpOptions, TcpTransport};

const SOON: Duration = Duration::from_secs(5);

/// A transport that gives strangers half a second.
fn strict() -> TcpTransport {
    let handshake_timeout = Duration::from_millis(500);
    TcpTransport::new(TcpOptions { handshake_timeout, ..TcpOptions::default() })
}

/// A listener and its address.
async fn listening(transport: &dyn Transport, address: &str) -> (Box<dyn Listener>, String) {
    let listener = transport.listen(address).await.unwrap();
    let address = listener.address();
    (listener, address)
}

/// A real link can be made and carries a frame.
async fn works(transport: &TcpTransport, listener: &mut dyn Listener) -> (Link, Link) {
    let address = listener.address();
    let made = async { tokio::join!(transport.connect(&address), listener.accept()) };
    let (dialed, accepted) = timeout(SOON, made).await.expect("no link in time");
    let (mut dialed, mut accepted) = (dialed.unwrap(), accepted.unwrap());
    let frame = Frame::of("it works".into());
    dialed.data.sender.send(vec![frame.clone()]).await.unwrap();
    assert_eq!(accepted.data.receiver.receive().await.unwrap(), Some(vec![frame]));
    (dialed, accepted)
}

/// Reads until the other side closes the connection; what it said.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut said)).await.expect("it is still open");
    // A reset is a close, too.
    drop(read);
    said
}

#[tokio::test]
async fn garbage_and_http_are_closed_at_once_and_counted() {
    let transport = TcpTransport::default();
    let (mut listener, address) = listening(&transport, "127.0.0.1:0").await;
    for garbage in
        [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0; 4096], &[0xFF; 32], b"TREFOIM\n"]
    {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        // Long before the deadline of ten seconds.
        closed(&mut stream).await;
    }
    assert_eq!(transport.counts().refused, 4);
    works(&transport, listener.as_mut()).await;
}

#[tokio::test]
async fn a_slow_or_half_preamble_is_closed_by_the_deadline() {
    let transport = strict();
    let (mut listener, address) = listening(&transport, "127.0.0.1:0").await;
    let mut half = TcpStream::connect(&address).await.unwrap();
    half.write_all(b"TREFOIL\n\x01\x00\x01\x00").await.unwrap();
    let mut slow = TcpStream::connect(&address).await.unwrap();
    let drip = async {
        for byte in *b"TREFOIL\n" {
            if slow.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::join!(drip, closed(&mut half));
    closed(&mut slow).await;
    assert_eq!(transport.counts().expired, 2);
    works(&transport, listener.as_mut()).await;
}

#[tokio::test]
async fn two_hundred_idle_connections_do_not_keep_a_real_link_out() {
    let transport = TcpTransport::default();
    let (mut listener, address) = listening(&transport, "127.0.0.1:0").await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    works(&transport, listener.as_mut()).await;
    let counts = transport.counts();
    assert!(counts.evicted >= 200 - 64, "{counts:?}");
}

/// A stranger that knows the protocol, up to its data connection.
async fn intruder(address: &str, listener: &mut dyn Listener) -> (TcpStream, TcpStream, Link) {
    let preamble = |lane: u8| {
        let mut bytes = b"TREFOIL\n\x01\x00".to_vec();
        bytes.extend([lane, 0]);
        bytes.extend([7; 16]);
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes) as u32;
        bytes.extend(crc.to_le_bytes());
        bytes
    };
    let mut control = TcpStream::connect(address).await.unwrap();
    control.write_all(&preamble(1)).await.unwrap();
    let mut data = TcpStream::connect(address).await.unwrap();
    data.write_all(&preamble(2)).await.unwrap();
    let link = timeout(SOON, listener.accept()).await.expect("no link").unwrap();
    let mut answer = [0; 8];
    data.read_exact(&mut answer).await.unwrap();
    (control, data, link)
}

fn header(length: u32, crc: u32) -> Vec<u8> {
    let mut bytes = b"TFF1".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(crc.to_le_bytes());
    let own = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes) as u32;
    bytes.extend(own.to_le_bytes());
    bytes
}

#[tokio::test]
async fn damaged_and_oversized_frames_end_the_link_as_corrupt() {
    let transport = TcpTransport::default();
    let (mut listener, address) = listening(&transport, "127.0.0.1:0").await;
    let oversized = header(u32::MAX, 0);
    let body_damaged = [header(5, 0x1234_5678), b"hello".to_vec()].concat();
    let header_damaged = vec![0x55; 16];
    for bytes in [oversized, body_damaged, header_damaged] {
        let (_control, mut data, mut link) = intruder(&address, listener.as_mut()).await;
        data.write_all(&bytes).await.unwrap();
        let error = timeout(SOON, link.data.receiver.receive()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        // The link is at its end as a whole, and stays there.
        assert!(link.control.receiver.receive().await.is_err());
        assert!(link.data.receiver.receive().await.is_err());
        assert!(link.control.sender.send(vec![Frame::default()]).await.is_err());
        closed(&mut data).await;
    }
    assert_eq!(transport.counts().corrupt, 3);
    works(&transport, listener.as_mut()).await;
}

#[tokio::test]
async fn half_a_frame_is_never_delivered() {
    let transport = TcpTransport::default();
    let (mut listener, address) = listening(&transport, "127.0.0.1:0").await;
    let whole = [header(9, 0xE306_9283), b"123456789".to_vec()].concat();
    for length in 0..whole.len() {
        let (_control, mut data, mut link) = intruder(&address, listener.as_mut()).await;
        data.write_all(&whole[..length]).await.unwrap();
        data.shutdown().await.unwrap();
        let received = timeout(SOON, link.data.receiver.receive()).await.unwrap();
        assert!(received.is_err(), "{length} bytes of a frame gave {received:?}");
    }
    let (_control, mut data, mut link) = intruder(&address, listener.as_mut()).await;
    for byte in whole {
        data.write_all(&[byte]).await.unwrap();
        sleep(Duration::from_millis(2)).await;
    }
    let received = link.data.receiver.receive().await.unwrap().unwrap();
    assert_eq!(received, [Frame::of("123456789".into())]);
}

#[tokio::test]
async fn two_connections_for_one_lane_make_no_link() {
    let transport = strict();
    let (mut listener, address) = listening(&transport, "127.0.0.1:0").await;
    let mut bytes = b"TREFOIL\n\x01\x00\x01\x00".to_vec();
    bytes.extend([7; 16]);
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes) as u32;
    bytes.extend(crc.to_le_bytes());
    let mut first = TcpStream::connect(&address).await.unwrap();
    let mut second = TcpStream::connect(&address).await.unwrap();
    first.write_all(&bytes).await.unwrap();
    second.write_all(&bytes).await.unwrap();
    closed(&mut first).await;
    closed(&mut second).await;
    works(&transport, listener.as_mut()).await;
}

#[tokio::test]
async fn errors_name_the_address_and_the_remedy() {
    let transport = TcpTransport::default();
    let (listener, address) = listening(&transport, "127.0.0.1:0").await;
    let error = transport.listen(&address).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains(&address), "{error}");
    assert!(error.to_string().contains("choose another port"), "{error}");

    for wrong in ["localhost", "localhost:http", "host:70000", ""] {
        let error = transport.connect(wrong).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("host:port"), "{error}");
    }
    drop(listener);
    sleep(Duration::from_millis(50)).await;
    let error = transport.connect(&address).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}
