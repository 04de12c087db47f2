//! What the wrappers do to a transport.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

use std::time::Duration;
use tokio::time::{Instant, timeout};
use trefoil_core::ErrorKind;
use trefoil_core::port::{Frame, Link, Transport};
use trefoil_transports::shaped::Way;
use trefoil_transports::{Faulty, FaultyOptions, MemoryNetwork, Shaped};

const MS: Duration = Duration::from_millis(1);

/// A link between a plain transport that dials and a wrapped one that listens.
async fn linked(dialer: &dyn Transport, acceptor: &dyn Transport) -> (Link, Link) {
    let mut listener = acceptor.listen("x").await.unwrap();
    let (a, b) = tokio::join!(dialer.connect("x"), listener.accept());
    (a.unwrap(), b.unwrap())
}

fn frame(length: usize) -> Frame {
    Frame::of(vec![7; length].into())
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_paid_once_not_for_each_frame() {
    let near = MemoryNetwork::new().transport();
    let far = Shaped::new(near.clone(), Way { delay: 100 * MS, ..Way::default() });
    let (mut a, mut b) = linked(&near, &far).await;
    let start = Instant::now();
    let send = async {
        for _ in 0..50 {
            a.data.sender.send(vec![frame(10)]).await.unwrap();
            tokio::time::sleep(MS).await;
        }
    };
    let receive = async {
        let mut got = 0;
        while got < 50 {
            let frames = b.data.receiver.receive().await.unwrap().unwrap();
            assert!(start.elapsed() >= 100 * MS, "a frame came early");
            got += frames.len();
        }
    };
    tokio::join!(send, receive);
    assert!(start.elapsed() < 160 * MS, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn bandwidth_is_limited() {
    let near = MemoryNetwork::new().transport();
    let way = Way { bytes_per_second: Some(1_000_000), ..Way::default() };
    let thin = Shaped::new(near.clone(), way);
    let (mut a, mut b) = linked(&near, &thin).await;
    let start = Instant::now();
    a.data.sender.send((0..20).map(|_| frame(100_000)).collect()).await.unwrap();
    let mut got = 0;
    while got < 20 {
        got += b.data.receiver.receive().await.unwrap().unwrap().len();
    }
    let time = start.elapsed();
    assert!((2000 * MS..2100 * MS).contains(&time), "two megabytes took {time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cut_by_hand_ends_links_and_keeps_new_ones_from_being_made() {
    let good = MemoryNetwork::new().transport();
    let (faulty, control) = Faulty::new(good.clone(), FaultyOptions::default());
    let (mut a, mut b) = linked(&good, &faulty).await;
    control.set_cut(true);
    assert_eq!(b.data.receiver.receive().await.unwrap_err().kind(), ErrorKind::Unavailable);
    // The other side sees it although it is not wrapped.
    assert!(a.control.receiver.receive().await.is_err());
    assert_eq!(faulty.connect("x").await.err().unwrap().kind(), ErrorKind::Unavailable);
    control.set_cut(false);
    let (mut a, mut b) = linked(&good, &faulty).await;
    a.data.sender.send(vec![frame(1)]).await.unwrap();
    assert_eq!(b.data.receiver.receive().await.unwrap(), Some(vec![frame(1)]));
    control.cut_once();
    assert!(b.control.sender.send(vec![frame(1)]).await.is_err());
    linked(&good, &faulty).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_wakes_a_sender_that_waits() {
    let good = MemoryNetwork::new().transport();
    let (faulty, control) = Faulty::new(good.clone(), FaultyOptions::default());
    let (_a, mut b) = linked(&good, &faulty).await;
    let send = async { b.data.sender.send((0..40).map(|_| frame(1 << 20)).collect()).await };
    let cut = async {
        tokio::time::sleep(MS).await;
        control.set_cut(true);
    };
    let (sent, ()) = timeout(1000 * MS, async { tokio::join!(send, cut) }).await.unwrap();
    assert_eq!(sent.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_delay_changes_for_what_is_under_way() {
    let good = MemoryNetwork::new().transport();
    let (faulty, control) = Faulty::new(good.clone(), FaultyOptions::default());
    control.set_delay(3600 * 1000 * MS);
    let (mut a, mut b) = linked(&good, &faulty).await;
    a.data.sender.send(vec![frame(1)]).await.unwrap();
    assert!(timeout(1000 * MS, b.data.receiver.receive()).await.is_err());
    let heal = async {
        tokio::time::sleep(MS).await;
        control.set_delay(Duration::ZERO);
    };
    let (got, ()) = tokio::join!(timeout(10 * MS, b.data.receiver.receive()), heal);
    assert_eq!(got.expect("it still waits").unwrap(), Some(vec![frame(1)]));
}

#[tokio::test(start_paused = true)]
async fn links_live_as_long_as_the_seed_says() {
    let mut lives = Vec::new();
    for seed in [1, 1, 2] {
        let good = MemoryNetwork::new().transport();
        let options = FaultyOptions { seed, cut_every: Some(10_000 * MS) };
        let (faulty, _control) = Faulty::new(good.clone(), options);
        let mut life = Vec::new();
        for _ in 0..20 {
            let (_a, mut b) = linked(&good, &faulty).await;
            let start = Instant::now();
            assert!(b.control.receiver.receive().await.is_err());
            life.push(start.elapsed().as_millis());
        }
        lives.push(life);
    }
    assert_eq!(lives[0], lives[1]);
    assert_ne!(lives[0], lives[2]);
    let mean = lives.concat().iter().sum::<u128>() / 60;
    assert!((3_000..30_000).contains(&mean), "mean life {mean} ms, not about 10,000");
}

/// Sends for ten seconds over 1 Gbit/s with 50 ms, and tells what came and when.
#[tokio::test(start_paused = true)]
async fn a_gigabit_over_50_ms_is_delivered_in_full_and_in_time() {
    let near = MemoryNetwork::new().transport();
    let rate = 125_000_000;
    let way = Way { delay: 50 * MS, bytes_per_second: Some(rate), ..Way::default() };
    let far = Shaped::new(near.clone(), way);
    let (mut a, mut b) = linked(&near, &far).await;
    let begun = Instant::now();
    let one = frame(1 << 20);
    let sends = async {
        while begun.elapsed() < 10_000 * MS {
            a.data.sender.send(vec![one.clone()]).await.unwrap();
        }
        a.data.sender.close().await.unwrap();
    };
    let receives = async {
        let (mut bytes, mut first) = (0, None);
        while let Some(frames) = b.data.receiver.receive().await.unwrap() {
            first.get_or_insert(begun.elapsed());
            bytes += frames.iter().map(Frame::length).sum::<usize>();
        }
        (bytes, first.unwrap(), begun.elapsed())
    };
    let ((), (bytes, first, all)) = tokio::join!(sends, receives);
    assert!((58 * MS..62 * MS).contains(&first), "8.4 ms for a frame, 50 for the way: {first:?}");
    let rate_seen = bytes as f64 / (all - 50 * MS).as_secs_f64();
    assert!((rate_seen / rate as f64 - 1.0).abs() < 0.05, "{rate_seen} bytes a second");
    assert!(all < 10_700 * MS, "what waits before the bottleneck is bounded: {all:?}");
}
