//! Clients that break the protocol, stall or flood: each is dealt with alone, and a good host
//! that is connected meanwhile notices nothing.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/nbd_client.rs"]
#[expect(dead_code, reason = "shared: each suite uses a part")]
mod nbd_client;
#[path = "support/nbd_memory.rs"]
#[expect(dead_code, reason = "shared: each suite uses a part")]
mod nbd_memory;

use nbd_client::{NbdClient, READ, RawNbd, WRITE, request};
use nbd_memory::{Catalog, MemoryExport, Serving};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use trefoil_daemon::nbd::NbdLimits;

const MIB: usize = 1 << 20;

/// A host that writes and reads back all the time, until it is asked how that went.
struct GoodHost {
    client: Arc<NbdClient>,
    task: JoinHandle<()>,
    served: Arc<std::sync::atomic::AtomicU64>,
}

impl GoodHost {
    async fn start(address: &str) -> Self {
        let client = Arc::new(NbdClient::connect(address, "vol").await.unwrap());
        let served = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let (worker, count) = (Arc::clone(&client), Arc::clone(&served));
        let task = tokio::spawn(async move {
            for n in 0_u64.. {
                let data = vec![n as u8; 4096];
                let offset = n % 100 * 4096;
                let begun = Instant::now();
                worker.write(offset, &data, n % 10 == 0).await.unwrap();
                assert!(worker.read(offset, 4096).await.unwrap() == data);
                assert!(begun.elapsed() < Duration::from_secs(2), "held up by a bad client");
                count.fetch_add(1, SeqCst);
                sleep(Duration::from_millis(1)).await;
            }
        });
        Self { client, task, served }
    }

    /// It was served up to now, and is served still.
    async fn is_well(&self) {
        let before = self.served.load(SeqCst);
        for _ in 0..300 {
            if self.served.load(SeqCst) > before + 3 {
                return;
            }
            assert!(!self.task.is_finished(), "the good host failed");
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the good host is not served");
    }
}

async fn scene(limits: NbdLimits) -> (Arc<MemoryExport>, Serving, GoodHost) {
    let export = MemoryExport::new(64 * MIB);
    let catalog = Catalog::one("vol", &export);
    let serving = Serving::start_with("127.0.0.1:0", catalog, limits).await;
    let good = GoodHost::start(&serving.address).await;
    (export, serving, good)
}

fn hasty() -> NbdLimits {
    NbdLimits { handshake_deadline: Duration::from_millis(400), ..NbdLimits::default() }
}

async fn negotiated(address: &str) -> RawNbd {
    let mut raw = RawNbd::connect(address).await.unwrap();
    raw.greet(3).await.unwrap();
    raw.go("vol").await.unwrap();
    raw
}

/// Bytes that look random, the same in every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
    .take(length)
    .collect()
}

#[tokio::test]
async fn garbage_closes_the_connection_wherever_it_comes() {
    let (_, serving, good) = scene(hasty()).await;
    for seed in 0..20 {
        let mut raw = RawNbd::connect(&serving.address).await.unwrap();
        let _ = raw.stream.write_all(&noise(seed, 3000)).await;
        assert!(raw.is_closed_within(5).await, "as greeting, seed {seed}");

        let mut raw = RawNbd::connect(&serving.address).await.unwrap();
        raw.greet(3).await.unwrap();
        let _ = raw.stream.write_all(&noise(seed, 3000)).await;
        assert!(raw.is_closed_within(5).await, "as option, seed {seed}");

        let mut raw = negotiated(&serving.address).await;
        let _ = raw.stream.write_all(&noise(seed, 3000)).await;
        assert!(raw.is_closed_within(5).await, "as request, seed {seed}");
    }
    good.is_well().await;
}

#[tokio::test]
async fn noise_behind_a_right_magic_number_is_answered_or_closed_and_never_hangs() {
    let (_, serving, good) = scene(hasty()).await;
    for seed in 0..60_u64 {
        let mut raw = RawNbd::connect(&serving.address).await.unwrap();
        raw.greet(3).await.unwrap();
        let bytes = noise(seed, 200);
        let code = seed as u32 % 12;
        if code != 1 {
            raw.send_option(code, &bytes[..seed as usize]).await.unwrap();
        }
        raw.stream.shutdown().await.unwrap();
        assert!(raw.is_closed_within(5).await, "option {code}, seed {seed}");

        let mut raw = negotiated(&serving.address).await;
        for piece in noise(seed, 24 * 20).chunks(24) {
            let mut message = request(0, 0, 0, 0, 0);
            message[4..].copy_from_slice(piece);
            // Of all kinds, most of them in the range that exists.
            message[6] = 0;
            message[7] &= 15;
            raw.stream.write_all(&message).await.unwrap();
        }
        raw.stream.shutdown().await.unwrap();
        assert!(raw.is_closed_within(5).await, "requests, seed {seed}");
    }
    good.is_well().await;
}

#[tokio::test]
async fn an_unknown_client_flag_closes_the_connection() {
    let (_, serving, good) = scene(hasty()).await;
    let mut raw = RawNbd::connect(&serving.address).await.unwrap();
    raw.greet(1 << 9 | 3).await.unwrap();
    assert!(raw.is_closed_within(5).await);
    good.is_well().await;
}

#[tokio::test]
async fn a_half_handshake_ends_at_its_deadline() {
    let (_, serving, good) = scene(hasty()).await;
    let mut silent = RawNbd::connect(&serving.address).await.unwrap();
    let mut half = RawNbd::connect(&serving.address).await.unwrap();
    half.greet(3).await.unwrap();
    half.stream.write_all(b"IHAVE").await.unwrap();
    let begun = Instant::now();
    assert!(silent.is_closed_within(5).await);
    assert!(half.is_closed_within(5).await);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    good.is_well().await;
}

#[tokio::test]
async fn one_byte_at_a_time_does_not_stretch_the_handshake_deadline() {
    let (_, serving, good) = scene(hasty()).await;
    let mut raw = RawNbd::connect(&serving.address).await.unwrap();
    raw.greet(3).await.unwrap();
    let begun = Instant::now();
    // LIST, for ever: each byte well within any deadline a byte could have.
    let list = [b"IHAVEOPT".as_slice(), &[0, 0, 0, 3, 0, 0, 0, 0]].concat();
    let mut bytes = list.iter().cycle();
    while raw.stream.write_all(&[*bytes.next().unwrap()]).await.is_ok() {
        sleep(Duration::from_millis(20)).await;
        assert!(begun.elapsed() < Duration::from_secs(3), "the handshake goes on");
    }
    good.is_well().await;
}

#[tokio::test]
async fn a_request_one_byte_a_second_holds_up_nobody_else() {
    let (_, serving, good) = scene(NbdLimits::default()).await;
    let mut raw = negotiated(&serving.address).await;
    for byte in &request(0, READ, 7, 0, 512)[..3] {
        raw.stream.write_all(&[*byte]).await.unwrap();
        good.is_well().await;
        sleep(Duration::from_millis(1000)).await;
    }
    raw.stream.write_all(&request(0, READ, 7, 0, 512)[3..]).await.unwrap();
    assert_eq!(raw.simple_reply().await.unwrap(), (0, 7), "slow is not wrong");
    good.is_well().await;
}

#[tokio::test]
async fn an_oversized_option_is_refused_before_its_data() {
    let (_, serving, good) = scene(NbdLimits::default()).await;
    for length in [(64 << 10) + 1, u32::MAX] {
        let mut raw = RawNbd::connect(&serving.address).await.unwrap();
        raw.greet(3).await.unwrap();
        let mut head = b"IHAVEOPT".to_vec();
        head.extend_from_slice(&7_u32.to_be_bytes());
        head.extend_from_slice(&length.to_be_bytes());
        raw.stream.write_all(&head).await.unwrap();
        let mut told = Vec::new();
        raw.stream.read_to_end(&mut told).await.unwrap();
        assert_eq!(told[12..16], 0x8000_0009_u32.to_be_bytes(), "too big");
    }
    let mut raw = RawNbd::connect(&serving.address).await.unwrap();
    raw.greet(3).await.unwrap();
    let long = nbd_client::counted(&"x".repeat(4097));
    let replies = raw.option(7, &[long, vec![0, 0]].concat()).await.unwrap();
    assert_eq!(replies[0].0, 0x8000_0003, "a name of 4097 bytes is invalid");
    good.is_well().await;
}

#[tokio::test]
async fn an_oversized_write_is_skipped_and_refused_and_the_next_request_is_served() {
    let (export, serving, good) = scene(NbdLimits::default()).await;
    let mut raw = negotiated(&serving.address).await;
    let length = 48 * MIB;
    let data = vec![0xee; length];
    raw.request((0, WRITE), 1, (0, length as u32), &data).await.unwrap();
    assert_eq!(raw.simple_reply().await.unwrap(), (22, 1));
    raw.request((0, WRITE), 2, (16 * MIB as u64, 512), &[1; 512]).await.unwrap();
    assert_eq!(raw.simple_reply().await.unwrap(), (0, 2));
    // The good host writes below 1 MiB.
    assert!(!export.bytes.lock()[MIB..].contains(&0xee), "part of a refused write is there");
    raw.request((0, READ), 3, (0, u32::MAX), &[]).await.unwrap();
    assert_eq!(raw.simple_reply().await.unwrap(), (22, 3));
    good.is_well().await;
}

#[tokio::test]
async fn a_disconnect_in_the_middle_of_a_write_leaves_the_volume_as_it_was() {
    let (export, serving, good) = scene(NbdLimits::default()).await;
    let at = 32 * MIB;
    for cut in [1, 27, 28, 29, 100, 4096, 65_000] {
        let mut raw = negotiated(&serving.address).await;
        let mut message = request(0, WRITE, 1, at as u64, 65_536);
        message.extend_from_slice(&[0xdd; 65_536]);
        raw.stream.write_all(&message[..cut]).await.unwrap();
        drop(raw);
    }
    for _ in 0..300 {
        if serving.counters.open.load(SeqCst) == 1 {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(serving.counters.open.load(SeqCst), 1, "only the good host is left");
    assert!(export.bytes.lock()[at..at + 65_536].iter().all(|byte| *byte == 0));
    good.is_well().await;
}

#[tokio::test]
async fn a_client_that_reads_no_reply_is_held_back_alone() {
    let (_, serving, good) = scene(NbdLimits::default()).await;
    let mut greedy = negotiated(&serving.address).await;
    let ask: Vec<u8> = (0..10_000).flat_map(|n| request(0, READ, n, 0, MIB as u32)).collect();
    // Whether it fits into the sockets' buffers is the system's affair.
    let _ = tokio::time::timeout(Duration::from_secs(1), greedy.stream.write_all(&ask)).await;
    sleep(Duration::from_millis(300)).await;
    // 64 MiB in the window, a few in the sockets' buffers, and the good host's own.
    let read = serving.counters.bytes_read.load(SeqCst) / MIB as u64;
    assert!((64..128).contains(&read), "{read} MiB were read for a client that takes none");
    good.is_well().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_the_idle_ones_time_out() {
    let limits = NbdLimits { handshake_deadline: Duration::from_secs(2), ..NbdLimits::default() };
    let (_, serving, good) = scene(limits).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(RawNbd::connect(&serving.address).await.unwrap());
    }
    good.is_well().await;
    let mut closed = 0;
    for raw in &mut idle[290..] {
        closed += usize::from(raw.is_closed_within(1).await);
    }
    assert_eq!(closed, 10, "those over the limit of 256 are closed at once");
    good.is_well().await;
    for raw in &mut idle[..290] {
        assert!(raw.is_closed_within(10).await, "an idle handshake goes on");
    }
    let refused = serving.counters.refused.load(SeqCst);
    assert_eq!(refused, 300 + 1 - 256);
    let late = NbdClient::connect(&serving.address, "vol").await.expect("there is room again");
    late.flush().await.unwrap();
    good.is_well().await;
    good.client.flush().await.unwrap();
}
