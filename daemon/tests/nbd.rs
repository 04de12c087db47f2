//! The NBD front end against a client of our own: what a host may rely on.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/nbd_client.rs"]
mod nbd_client;
#[path = "support/nbd_memory.rs"]
mod nbd_memory;

use futures_util::future::join_all;
use nbd_client::{
    BLOCK_STATUS, FLAG_FUA, FLUSH, NbdClient, NbdError, READ, RawNbd, TRIM, WRITE, WRITE_ZEROES,
    counted,
};
use nbd_memory::{Catalog, MemoryExport, Serving};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use trefoil_core::ErrorKind;
use trefoil_daemon::nbd::{NbdLimits, NbdServer};

const MIB: usize = 1 << 20;

async fn volume() -> (Arc<MemoryExport>, Serving) {
    let export = MemoryExport::new(64 * MIB);
    let serving = Serving::start(Catalog::one("vol", &export)).await;
    (export, serving)
}

/// Waits until it holds, at most five seconds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("not within five seconds: {what}");
}

#[tokio::test]
async fn what_is_written_is_read_whatever_its_size_and_alignment() {
    let (export, serving) = volume().await;
    let client = NbdClient::connect(&serving.address, "vol").await.unwrap();
    assert_eq!(client.size, 64 * MIB as u64);
    for (n, length) in
        [1, 511, 512, 4096, 65_537, 300_000, 3 * MIB + 1, 32 * MIB].iter().enumerate()
    {
        let data: Vec<u8> = (0..*length).map(|at| (at * 7 + n + at / 256) as u8).collect();
        let offset = n as u64 * 1001;
        client.write(offset, &data, n % 2 == 0).await.unwrap();
        assert!(client.read(offset, *length as u32).await.unwrap() == data, "{length} bytes");
    }
    client.flush().await.unwrap();
    assert_eq!(export.fua.load(SeqCst), 4);
    assert_eq!(export.flushes.load(SeqCst), 1);
    client.disconnect().await.unwrap();
    assert_eq!(serving.counters.requests.load(SeqCst), 17);
    assert_eq!(serving.counters.errors.load(SeqCst), 0);
    assert_eq!(
        serving.counters.bytes_read.load(SeqCst),
        serving.counters.bytes_written.load(SeqCst)
    );
    serving.stop().await;
}

#[tokio::test]
async fn a_thousand_pipelined_writes_all_land_through_a_window_of_four() {
    let export = MemoryExport::new(8 * MIB);
    let limits = NbdLimits {
        inflight_requests_max: 4,
        request_bytes_max: 64 << 10,
        inflight_bytes_max: 64 << 10,
        ..NbdLimits::default()
    };
    let catalog = Catalog::one("vol", &export);
    let serving = Serving::start_with("127.0.0.1:0", catalog, limits).await;
    let client = NbdClient::connect(&serving.address, "").await.unwrap();
    let blocks: Vec<Vec<u8>> = (0..1000_u32).map(|n| vec![n as u8 ^ 0x5a; 8192]).collect();
    let writes = blocks.iter().enumerate().map(|(n, b)| client.write(n as u64 * 8192, b, false));
    assert!(join_all(writes).await.iter().all(Result::is_ok));
    let reads = (0..1000).map(|n| client.read(n * 8192, 8192));
    for (read, block) in join_all(reads).await.into_iter().zip(&blocks) {
        assert!(read.unwrap() == *block);
    }
}

#[tokio::test]
async fn a_slow_read_does_not_delay_a_fast_write() {
    let (export, serving) = volume().await;
    let client = NbdClient::connect(&serving.address, "vol").await.unwrap();
    export.slow_below.store(4096, SeqCst);
    let slow = client.read(0, 4096);
    let fast = async {
        sleep(Duration::from_millis(20)).await;
        client.write(8192, &[7; 4096], false).await.unwrap();
        assert_eq!(client.read(8192, 4096).await.unwrap(), [7; 4096]);
        export.gate.add_permits(1);
    };
    let both = async { tokio::join!(slow, fast) };
    let (slow, ()) = timeout(Duration::from_secs(5), both).await.expect("the write waited");
    assert_eq!(slow.unwrap(), [0; 4096]);
}

#[tokio::test]
async fn a_full_window_holds_the_client_back_and_then_lets_it_go_on() {
    let (export, serving) = volume().await;
    let client = NbdClient::connect(&serving.address, "vol").await.unwrap();
    export.slow_writes.store(true, SeqCst);
    let data = vec![1; 4096];
    let writes = join_all((0..100).map(|n| client.write(n * 4096, &data, false)));
    let watch = async {
        until("64 writes run", || export.writes_begun.load(SeqCst) == 64).await;
        sleep(Duration::from_millis(50)).await;
        assert_eq!(export.writes_begun.load(SeqCst), 64, "the window is 64 requests");
        export.gate.add_permits(100);
    };
    let (writes, ()) = tokio::join!(writes, watch);
    assert!(writes.iter().all(Result::is_ok));
}

#[tokio::test]
async fn zeroes_and_trims_change_what_block_status_tells() {
    let (export, serving) = volume().await;
    let client = NbdClient::connect(&serving.address, "vol").await.unwrap();
    let data = vec![9; 16 * 4096];
    client.write(4096, &data, false).await.unwrap();
    client.trim(2 * 4096, 4096).await.unwrap();
    client.zero(4 * 4096, 4096, 0).await.unwrap();
    client.zero(6 * 4096, 4096, 2 | 16).await.unwrap();
    assert_eq!(export.punches.load(SeqCst), 2, "NO_HOLE does not punch");
    let runs = client.block_status(0, 20 * 4096, false).await.unwrap();
    let hole = 3;
    let expected =
        [(1, hole), (1, 0), (1, hole), (1, 0), (1, hole), (12, 0), (3, hole)].map(|(n, s)| {
            let bytes: u32 = n * 4096;
            (bytes, s)
        });
    assert_eq!(runs, expected);
    let one = client.block_status(4096, 8192, true).await.unwrap();
    assert_eq!(one, [(4096, 0)]);
    assert_eq!(client.read(4 * 4096, 4096).await.unwrap(), [0; 4096]);
    assert_eq!(client.read(6 * 4096, 4096).await.unwrap(), [0; 4096]);
}

#[tokio::test]
async fn a_request_out_of_bounds_is_refused_with_the_number_the_protocol_asks_for() {
    let (_, serving) = volume().await;
    let client = NbdClient::connect(&serving.address, "vol").await.unwrap();
    let (end, inval, nospc) = (client.size, 22, 28);
    assert_eq!(client.errno_of(0, READ, end - 1, 2).await, inval);
    assert_eq!(client.errno_of(0, READ, u64::MAX, 2).await, inval);
    assert_eq!(client.errno_of(0, WRITE, end - 1, 2).await, nospc);
    assert_eq!(client.errno_of(0, WRITE_ZEROES, end, 1).await, nospc);
    assert_eq!(client.errno_of(0, TRIM, end, 1).await, inval);
    assert_eq!(client.errno_of(0, BLOCK_STATUS, end, 1).await, inval);
    assert_eq!(client.errno_of(0, READ, 0, (32 << 20) + 1).await, inval);
    assert_eq!(client.errno_of(0, WRITE, 0, (32 << 20) + 1).await, inval);
    assert_eq!(client.errno_of(0, 5, 0, 512).await, inval, "CACHE is not offered");
    assert_eq!(client.errno_of(0, 99, 0, 512).await, inval);
    assert_eq!(client.errno_of(2, WRITE, 0, 512).await, inval, "NO_HOLE is not for WRITE");
    assert_eq!(client.errno_of(1 << 9, READ, 0, 512).await, inval);
    assert_eq!(client.errno_of(4 | FLAG_FUA, READ, 0, 512).await, 0, "DF and FUA are for READ");
    assert_eq!(client.errno_of(FLAG_FUA, FLUSH, 0, 0).await, 0);
    assert_eq!(client.errno_of(0, READ, end, 0).await, 0, "nothing, at the end");
    assert_eq!(client.errno_of(0, WRITE, end, 0).await, 0);
    assert_eq!(client.errno_of(0, BLOCK_STATUS, 0, 0).await, inval);
    assert_eq!(client.read(end - 512, 512).await.unwrap(), [0; 512]);
}

#[tokio::test]
async fn a_volume_that_becomes_secondary_is_read_and_not_written() {
    let (export, serving) = volume().await;
    let client = NbdClient::connect(&serving.address, "vol").await.unwrap();
    client.write(0, &[5; 512], false).await.unwrap();
    export.read_only.store(true, SeqCst);
    let error = client.write(0, &[6; 512], false).await.unwrap_err();
    let text = "the export is read-only".to_owned();
    assert_eq!(error, NbdError::Refused { errno: 1, text });
    assert_eq!(client.trim(0, 512).await.unwrap_err().errno(), 1);
    assert_eq!(client.zero(0, 512, 0).await.unwrap_err().errno(), 1);
    assert_eq!(client.read(0, 512).await.unwrap(), [5; 512]);
    let late = NbdClient::connect(&serving.address, "vol").await.unwrap();
    assert_eq!(late.flags & 2, 2, "a later host is told");
    assert_eq!(client.flags & 2, 0);
}

#[tokio::test]
async fn an_error_of_the_volume_reaches_the_host_with_its_text() {
    let (export, serving) = volume().await;
    let client = NbdClient::connect(&serving.address, "vol").await.unwrap();
    for (kind, errno) in [
        (ErrorKind::Fenced, 108),
        (ErrorKind::Closed, 108),
        (ErrorKind::Refused, 1),
        (ErrorKind::Full, 28),
        (ErrorKind::Io, 5),
    ] {
        *export.failure.lock() = Some(kind);
        let error = client.write(0, &[1; 512], false).await.unwrap_err();
        let NbdError::Refused { errno: told, text } = error else { panic!("gone") };
        assert_eq!(told, errno, "{kind}");
        assert!(text.contains("the test says no"), "{text}");
        assert_eq!(client.read(0, 512).await.unwrap_err().errno(), errno);
        assert_eq!(client.flush().await.unwrap_err().errno(), errno);
    }
    *export.failure.lock() = None;
    client.write(0, &[1; 512], false).await.unwrap();
    assert_eq!(serving.counters.errors.load(SeqCst), 15);
}

#[tokio::test]
async fn the_old_way_without_options_gets_simple_replies() {
    let (_, serving) = volume().await;
    for no_zeroes in [false, true] {
        let mut raw = RawNbd::connect(&serving.address).await.unwrap();
        raw.greet(if no_zeroes { 3 } else { 1 }).await.unwrap();
        raw.send_option(1, b"vol").await.unwrap();
        assert_eq!(raw.stream.read_u64().await.unwrap(), 64 * MIB as u64);
        let flags = raw.stream.read_u16().await.unwrap();
        assert_eq!(flags & (1 << 7), 0, "DF is only for structured replies");
        assert_eq!(flags & 0b1_0110_1101, 0b1_0110_1101, "{flags:#b}");
        if !no_zeroes {
            let mut zeroes = [1; 124];
            raw.stream.read_exact(&mut zeroes).await.unwrap();
            assert_eq!(zeroes, [0; 124]);
        }
        raw.request((FLAG_FUA, WRITE), 11, (512, 512), &[3; 512]).await.unwrap();
        assert_eq!(raw.simple_reply().await.unwrap(), (0, 11));
        raw.request((0, READ), 12, (512, 512), &[]).await.unwrap();
        assert_eq!(raw.simple_reply().await.unwrap(), (0, 12));
        let mut data = [0; 512];
        raw.stream.read_exact(&mut data).await.unwrap();
        assert_eq!(data, [3; 512]);
        raw.request((4, READ), 13, (0, 512), &[]).await.unwrap();
        assert_eq!(raw.simple_reply().await.unwrap(), (22, 13));
        raw.request((0, BLOCK_STATUS), 14, (0, 512), &[]).await.unwrap();
        assert_eq!(raw.simple_reply().await.unwrap(), (22, 14));
    }
}

#[tokio::test]
async fn options_are_answered_one_by_one_and_an_unknown_one_ends_nothing() {
    let (export, serving) = volume().await;
    drop(serving);
    let catalog = Catalog::one("a", &export);
    catalog.exports.lock().insert("b".into(), Arc::clone(&export));
    let serving = Serving::start(Arc::clone(&catalog)).await;
    let mut raw = RawNbd::connect(&serving.address).await.unwrap();
    raw.greet(3).await.unwrap();
    let err = |n: u32| (1 << 31) + n;
    assert_eq!(raw.option(99, b"what").await.unwrap()[0].0, err(1));
    assert_eq!(raw.option(5, &[]).await.unwrap()[0].0, err(2), "no TLS");
    let names: Vec<_> = raw.option(3, &[]).await.unwrap();
    assert_eq!(names, [(2, counted("a")), (2, counted("b")), (1, vec![])]);
    let ask = |name: &str, query: &str| {
        [counted(name), 1_u32.to_be_bytes().to_vec(), counted(query)].concat()
    };
    let context = |id: u32| [&id.to_be_bytes()[..], b"base:allocation"].concat();
    assert_eq!(raw.option(9, &ask("a", "base:")).await.unwrap()[0].0, err(3), "too early");
    assert_eq!(raw.option(8, &[]).await.unwrap()[0].0, 1);
    let listed = raw.option(9, &ask("a", "base:")).await.unwrap();
    assert_eq!(listed[0], (4, context(0)));
    assert_eq!(raw.option(10, &ask("a", "qemu:dirty-bitmap:x")).await.unwrap(), [(1, vec![])]);
    assert_eq!(raw.option(10, &ask("c", "base:allocation")).await.unwrap()[0].0, err(6));
    assert_eq!(raw.option(10, &ask("a", "base:allocation")).await.unwrap()[0], (4, context(1)));
    let mut info = [counted("b"), vec![0, 2, 0, 1, 0, 3]].concat();
    let told = raw.option(6, &info).await.unwrap();
    assert_eq!(told[1], (3, b"\0\x01b".to_vec()));
    assert_eq!(told[2], (3, vec![0, 3, 0, 0, 0, 1, 0, 0, 0x10, 0, 2, 0, 0, 0]));
    info.pop();
    assert_eq!(raw.option(6, &info).await.unwrap()[0].0, err(3), "malformed");
    assert!(raw.go("").await.is_err(), "of two exports none is the default");
    let refused = raw.go("c").await.unwrap_err().to_string();
    assert!(refused.contains("\"c\""), "{refused}");
    catalog.exports.lock().remove("a");
    assert!(raw.go("a").await.is_err(), "it is gone since");
    raw.go("").await.unwrap();
    // The context was chosen for another export: it does not hold for this one.
    raw.request((0, BLOCK_STATUS), 1, (0, 512), &[]).await.unwrap();
    assert_eq!(raw.stream.read_u32().await.unwrap(), 0x668e_33ef);
}

#[tokio::test]
async fn abort_is_acknowledged_and_then_closed() {
    let (_, serving) = volume().await;
    let mut raw = RawNbd::connect(&serving.address).await.unwrap();
    raw.greet(3).await.unwrap();
    assert_eq!(raw.option(2, &[]).await.unwrap(), [(1, vec![])]);
    assert!(raw.is_closed_within(5).await);
}

#[tokio::test]
async fn a_client_that_vanishes_does_not_cancel_its_admitted_write() {
    let (export, serving) = volume().await;
    let client = Arc::new(NbdClient::connect(&serving.address, "vol").await.unwrap());
    export.slow_writes.store(true, SeqCst);
    let writer = Arc::clone(&client);
    let write = tokio::spawn(async move { writer.write(0, &[8; 4096], false).await });
    until("the write runs", || export.writes_begun.load(SeqCst) == 1).await;
    write.abort();
    let _ = write.await;
    Arc::into_inner(client).unwrap().vanish();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(export.writes_done.load(SeqCst), 0);
    export.gate.add_permits(1);
    until("the write ends", || export.writes_done.load(SeqCst) == 1).await;
    assert_eq!(export.bytes.lock()[..4096], [8; 4096]);
    until("the connection ends", || serving.counters.open.load(SeqCst) == 0).await;
}

#[tokio::test]
async fn a_volume_that_panics_in_one_write_fails_that_one_and_no_other() {
    let (export, serving) = volume().await;
    let client = NbdClient::connect(&serving.address, "vol").await.unwrap();
    export.slow_writes.store(true, SeqCst);
    export.panics_at.store(8192, SeqCst);
    let slow = client.write(0, &[2; 512], false);
    let broken = async {
        until("the slow write runs", || export.writes_begun.load(SeqCst) == 1).await;
        let errno = client.write(8192, &[3; 512], false).await.unwrap_err().errno();
        export.gate.add_permits(1);
        errno
    };
    let (slow, errno) = tokio::join!(slow, broken);
    assert_eq!(errno, 5);
    slow.unwrap();
    assert_eq!(client.read(0, 512).await.unwrap(), [2; 512]);
}

#[tokio::test]
async fn disc_answers_what_is_in_flight_before_it_closes() {
    let (export, serving) = volume().await;
    let mut raw = RawNbd::connect(&serving.address).await.unwrap();
    raw.greet(3).await.unwrap();
    raw.go("vol").await.unwrap();
    export.slow_writes.store(true, SeqCst);
    raw.request((0, WRITE), 1, (0, 512), &[1; 512]).await.unwrap();
    raw.request((0, nbd_client::DISC), 2, (0, 0), &[]).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    export.gate.add_permits(1);
    assert_eq!(raw.simple_reply().await.unwrap(), (0, 1));
    assert_eq!(raw.stream.read(&mut [0; 16]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stopping_server_answers_what_is_in_flight_and_refuses_the_rest() {
    let (export, serving) = volume().await;
    let client = NbdClient::connect(&serving.address, "vol").await.unwrap();
    let address = serving.address.clone();
    export.slow_writes.store(true, SeqCst);
    let write = client.write(0, &[4; 512], false);
    let others = async {
        until("the write runs", || export.writes_begun.load(SeqCst) == 1).await;
        let stopped = tokio::spawn(serving.stop());
        sleep(Duration::from_millis(50)).await;
        assert_eq!(client.read(0, 512).await.unwrap_err().errno(), 108);
        assert!(RawNbd::connect(&address).await.is_err(), "nobody is accepted any more");
        assert!(!stopped.is_finished());
        export.gate.add_permits(1);
        timeout(Duration::from_secs(5), stopped).await.expect("it does not end").unwrap();
    };
    let (write, ()) = tokio::join!(write, others);
    write.unwrap();
    assert_eq!(client.read(0, 512).await.unwrap_err(), NbdError::Gone);
}

#[tokio::test]
async fn a_stopping_server_gives_up_at_its_deadline_and_the_write_still_ends() {
    let export = MemoryExport::new(MIB);
    let limits = NbdLimits { drain_deadline: Duration::from_millis(100), ..NbdLimits::default() };
    let catalog = Catalog::one("vol", &export);
    let serving = Serving::start_with("127.0.0.1:0", catalog, limits).await;
    let client = NbdClient::connect(&serving.address, "vol").await.unwrap();
    export.slow_writes.store(true, SeqCst);
    let stop = async {
        until("the write runs", || export.writes_begun.load(SeqCst) == 1).await;
        timeout(Duration::from_secs(3), serving.stop()).await.expect("it does not end");
    };
    let (write, ()) = tokio::join!(client.write(0, &[4; 512], false), stop);
    assert_eq!(write.unwrap_err(), NbdError::Gone);
    export.gate.add_permits(1);
    until("the write ends", || export.writes_done.load(SeqCst) == 1).await;
}

#[tokio::test]
async fn a_unix_socket_is_for_the_group_and_a_stale_one_is_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nbd.sock");
    let address = format!("unix:{}", path.display());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let catalog = Catalog::one("vol", &MemoryExport::new(MIB));
    let serving =
        Serving::start_with(&address, Arc::clone(&catalog) as _, NbdLimits::default()).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let client = NbdClient::connect(&address, "").await.unwrap();
    client.write(0, &[1; 512], true).await.unwrap();
    assert_eq!(client.read(0, 512).await.unwrap(), [1; 512]);

    let taken = NbdServer::bind(&address, Arc::clone(&catalog) as _, NbdLimits::default()).await;
    let error = taken.unwrap_err().to_string();
    assert!(error.contains(&address) && error.contains("another path"), "{error}");
    client.disconnect().await.unwrap();
    serving.stop().await;
    assert!(!path.exists(), "the socket file is left behind");

    std::fs::write(&path, "precious").unwrap();
    let taken = NbdServer::bind(&address, catalog, NbdLimits::default()).await;
    assert!(taken.unwrap_err().to_string().contains("no socket"));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let (export, serving) = volume().await;
    let catalog = Catalog::one("vol", &export);
    let error = NbdServer::bind(&serving.address, catalog, NbdLimits::default()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains(&serving.address) && error.contains("another address"), "{error}");
}

#[tokio::test]
async fn a_write_that_trickles_in_piece_by_piece_is_put_together() {
    let (export, serving) = volume().await;
    let mut raw = RawNbd::connect(&serving.address).await.unwrap();
    raw.greet(3).await.unwrap();
    raw.go("vol").await.unwrap();
    let data: Vec<u8> = (0..9000_u32).map(|n| (n % 251) as u8).collect();
    let mut message = nbd_client::request(0, WRITE, 1, 100, 9000);
    message.extend_from_slice(&data);
    message.extend_from_slice(&nbd_client::request(0, FLUSH, 2, 0, 0));
    for piece in message.chunks(997) {
        raw.stream.write_all(piece).await.unwrap();
        sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(raw.simple_reply().await.unwrap(), (0, 1));
    assert_eq!(raw.simple_reply().await.unwrap(), (0, 2));
    assert!(export.bytes.lock()[100..9100] == data);
}
