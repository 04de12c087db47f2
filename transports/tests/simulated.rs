//! The simulated network does what a real one may do, and the same for the same seed.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use trefoil_core::ErrorKind;
use trefoil_core::port::{Frame, Lane, Link, Transport};
use trefoil_transports::{SimulatedNetwork, SimulatedOptions};

const SECOND: Duration = Duration::from_secs(1);

fn network(seed: u64) -> SimulatedNetwork {
    SimulatedNetwork::new(seed, SimulatedOptions::default())
}

/// A link from site a to site b.
async fn linked(network: &SimulatedNetwork) -> (Link, Link) {
    let mut listener = network.transport_for("b").listen("b").await.unwrap();
    let link = network.transport_for("a").connect("b").await.unwrap();
    (link, listener.accept().await.unwrap())
}

fn frame(number: usize) -> Frame {
    Frame::of(number.to_string().into())
}

/// Sends ten frames one by one and tells when each arrived.
async fn arrivals(seed: u64) -> Vec<(Frame, Duration)> {
    let network = network(seed);
    network.set_delay("a", "b", Duration::from_millis(10), Duration::from_millis(90));
    let (mut a, mut b) = linked(&network).await;
    let start = Instant::now();
    for number in 0..10 {
        a.data.sender.send(vec![frame(number)]).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 10 {
        let frames = b.data.receiver.receive().await.unwrap().unwrap();
        seen.extend(frames.into_iter().map(|frame| (frame, start.elapsed())));
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_delays_in_range_and_in_order() {
    let seen = arrivals(1).await;
    assert!(seen.iter().map(|(frame, _)| frame).eq(&(0..10).map(frame).collect::<Vec<_>>()));
    assert!(seen[0].1 >= Duration::from_millis(10));
    assert!(seen[9].1 <= Duration::from_millis(91));
    assert_eq!(seen, arrivals(1).await);
    assert_ne!(seen, arrivals(2).await);
}

#[tokio::test(start_paused = true)]
async fn a_cut_holds_one_direction_and_healing_delivers() {
    let network = network(3);
    let (mut a, mut b) = linked(&network).await;
    network.cut_one_way("a", "b");
    a.data.sender.send(vec![frame(1)]).await.unwrap();
    b.data.sender.send(vec![frame(2)]).await.unwrap();
    assert_eq!(a.data.receiver.receive().await.unwrap(), Some(vec![frame(2)]));
    assert!(timeout(SECOND, b.data.receiver.receive()).await.is_err());
    network.heal("a", "b");
    assert_eq!(b.data.receiver.receive().await.unwrap(), Some(vec![frame(1)]));
}

#[tokio::test(start_paused = true)]
async fn a_long_cut_ends_the_link_at_both_sides_and_new_ones_time_out() {
    let network = network(4);
    let (mut a, mut b) = linked(&network).await;
    let start = Instant::now();
    network.cut("a", "b");
    let (at_a, at_b) = tokio::join!(a.control.receiver.receive(), b.data.receiver.receive());
    assert_eq!(at_a.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(at_b.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(start.elapsed().as_secs(), 10);
    assert!(a.data.sender.send(vec![frame(1)]).await.is_err());

    let _listener = network.transport_for("b").listen("b2").await.unwrap();
    let start = Instant::now();
    let error = network.transport_for("a").connect("b2").await.err().unwrap();
    assert_eq!((error.kind(), start.elapsed().as_secs()), (ErrorKind::Timeout, 5));
}

#[tokio::test(start_paused = true)]
async fn healing_after_the_timeout_does_not_bring_a_link_back() {
    let network = network(5);
    let (mut a, mut b) = linked(&network).await;
    network.cut("a", "b");
    sleep(11 * SECOND).await;
    network.heal("a", "b");
    assert!(a.control.sender.send(vec![frame(1)]).await.is_err());
    assert!(b.control.receiver.receive().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_ends_only_the_links_between_the_two() {
    let network = network(6);
    let (mut a, mut b) = linked(&network).await;
    let mut at_c = network.transport_for("c").listen("c").await.unwrap();
    let mut other = network.transport_for("a").connect("c").await.unwrap();
    let mut c = at_c.accept().await.unwrap();
    network.drop_connection("b", "a");
    assert_eq!(a.data.receiver.receive().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(b.data.sender.send(vec![frame(1)]).await.is_err());
    other.data.sender.send(vec![frame(1)]).await.unwrap();
    assert_eq!(c.data.receiver.receive().await.unwrap(), Some(vec![frame(1)]));
}

#[tokio::test(start_paused = true)]
async fn a_killed_site_ends_everywhere_and_can_start_again() {
    let network = network(7);
    let old = network.transport_for("b");
    let mut listener = old.listen("b").await.unwrap();
    let mut a = network.transport_for("a").connect("b").await.unwrap();
    let mut b = listener.accept().await.unwrap();
    b.data.sender.send((0..20).map(frame).collect()).await.unwrap();
    network.kill("b");
    assert_eq!(listener.accept().await.err().unwrap().kind(), ErrorKind::Closed);
    assert_eq!(b.control.receiver.receive().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(old.connect("b").await.err().unwrap().kind(), ErrorKind::Closed);
    // Of what was under way a beginning arrives, then the end.
    let mut got = Vec::new();
    let error = loop {
        match a.data.receiver.receive().await {
            Ok(frames) => got.extend(frames.unwrap()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(got.iter().eq(&(0..got.len()).map(frame).collect::<Vec<_>>()));
    assert!(a.control.sender.send(vec![frame(1)]).await.is_err());

    let refused = network.transport_for("a").connect("b").await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let mut listener = network.transport_for("b").listen("b").await.unwrap();
    network.transport_for("a").connect("b").await.unwrap();
    listener.accept().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn news_of_a_death_does_not_pass_a_cut() {
    let network = network(8);
    let (mut a, b) = linked(&network).await;
    network.cut("a", "b");
    network.kill("b");
    drop(b);
    assert!(timeout(5 * SECOND, a.control.receiver.receive()).await.is_err());
    network.heal("a", "b");
    let error = timeout(SECOND, a.control.receiver.receive()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_site_takes_nothing_until_it_thaws() {
    let network = network(9);
    let (mut a, mut b) = linked(&network).await;
    network.freeze("b");
    a.data.sender.send(vec![frame(1)]).await.unwrap();
    assert!(timeout(60 * SECOND, b.data.receiver.receive()).await.is_err());
    assert!(timeout(60 * SECOND, b.data.sender.send(vec![frame(2)])).await.is_err());
    // What is beyond the lane's limit waits.
    let megabyte = || Frame::of(vec![0; 1 << 20].into());
    let flood = async {
        for _ in 0..9 {
            a.data.sender.send(vec![megabyte()]).await.unwrap();
        }
    };
    assert!(timeout(SECOND, flood).await.is_err());
    network.thaw("b");
    let got = b.data.receiver.receive().await.unwrap().unwrap();
    assert_eq!(got[0], frame(1));
    b.data.sender.send(vec![frame(3)]).await.unwrap();
    assert_eq!(a.data.receiver.receive().await.unwrap(), Some(vec![frame(3)]));
}

#[tokio::test(start_paused = true)]
async fn an_address_has_one_listener_and_nobody_there_is_an_error() {
    let network = network(10);
    let b = network.transport_for("b");
    let listener = b.listen("b").await.unwrap();
    let error = b.listen("b").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    drop(listener);
    assert_eq!(b.connect("b").await.err().unwrap().kind(), ErrorKind::Unavailable);
    b.listen("b").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn control_does_not_wait_behind_data() {
    let network = network(11);
    let (mut a, b) = linked(&network).await;
    network.freeze("b");
    let big = Frame::of(vec![0; 4 << 20].into());
    a.data.sender.send(vec![big.clone(), big]).await.unwrap();
    network.thaw("b");
    a.control.sender.send(vec![frame(1)]).await.unwrap();
    let Link { control: Lane { mut receiver, .. }, .. } = b;
    assert_eq!(receiver.receive().await.unwrap(), Some(vec![frame(1)]));
}
