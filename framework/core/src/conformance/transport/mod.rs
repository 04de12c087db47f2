//! Proves that a transport keeps what [`FrameSender`] and [`FrameReceiver`] promise.
//!
//! ```ignore
//! let sleep = |time| -> BoxSleep { Box::pin(tokio::time::sleep(time)) };
//! let subject = Subject::new(&transport, &transport, "127.0.0.1:0", &sleep);
//! transport::prove_all(&subject).await.unwrap();
//! ```
//!
//! The suite needs no runtime of its own: it brings its two sides together in one future, and
//! takes the clock as an argument. Under paused time it takes no time.

mod end;
mod flood;
mod flow;
mod order;

use super::Violation;
use super::together::{join, within};
use crate::port::{
    FRAME_PARTS_MAX, Frame, FrameReceiver, FrameSender, Lane, Link, Listener, Transport,
};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// What a clock gives: a future that is ready after some time.
pub type BoxSleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The most bytes that a lane takes while nobody receives, kernel buffers included.
pub const UNRECEIVED_BYTES_MAX: usize = 64 << 20;

/// What is to be proved, and how patient to be.
pub struct Subject<'a> {
    /// The transport of the side that connects.
    pub dialer: &'a dyn Transport,
    /// The transport of the side that listens; it may be the same.
    pub acceptor: &'a dyn Transport,
    /// Where to listen. Each claim listens anew.
    pub address: &'a str,
    /// The clock.
    pub sleep: &'a (dyn Fn(Duration) -> BoxSleep + Send + Sync),
    /// After how long something that must happen counts as not happening. Default 20 s.
    pub deadline: Duration,
    /// After how long without progress a sender counts as waiting. It must be longer than the
    /// transport's own delay. Default 300 ms.
    pub quiet: Duration,
}

impl<'a> Subject<'a> {
    /// A subject with the usual patience.
    pub fn new(
        dialer: &'a dyn Transport,
        acceptor: &'a dyn Transport,
        address: &'a str,
        sleep: &'a (dyn Fn(Duration) -> BoxSleep + Send + Sync),
    ) -> Self {
        let deadline = Duration::from_secs(20);
        Self { dialer, acceptor, address, sleep, deadline, quiet: Duration::from_millis(300) }
    }
}

/// The trial of one claim, under way.
type Trial<'s> = Pin<Box<dyn Future<Output = Proof> + Send + 's>>;

/// A claim by name, and its trial over a new link.
struct Claim {
    name: &'static str,
    trial: for<'s> fn(&'s Subject<'s>, Pair) -> Trial<'s>,
}

/// A claim by name, and its trial.
macro_rules! claim {
    ($name:literal, $trial:path) => {
        Claim { name: $name, trial: |subject, pair| Box::pin($trial(subject, pair)) }
    };
}

const TABLE: [Claim; 18] = [
    claim!("frames_arrive_in_order", order::in_order),
    claim!("frames_arrive_whole", order::whole),
    claim!("many_parts_arrive_whole", order::many_parts),
    claim!("a_batch_of_many_frames_arrives", order::large_batch),
    claim!("the_longest_frame_passes", order::longest),
    claim!("too_long_a_frame_sends_nothing", order::too_long),
    claim!("a_dropped_receive_loses_nothing", order::dropped_receive),
    claim!("a_dropped_send_tears_nothing", order::dropped_send),
    claim!("a_sender_waits_for_a_receiver", flow::waits),
    claim!("control_passes_while_data_waits", flow::control_passes),
    claim!("data_passes_while_control_waits", flow::data_passes),
    claim!("both_directions_flow_at_once", flow::both_directions),
    claim!("close_is_seen_after_what_was_sent", end::close),
    claim!("a_dropped_sender_ends_the_link", end::dropped_sender),
    claim!("a_dropped_receiver_ends_the_link", end::dropped_receiver),
    claim!("an_end_that_nobody_closed_is_an_error", end::not_closed),
    claim!("a_link_ends_alone_and_can_be_made_again", end::again),
    claim!("a_link_outlives_its_listener", end::outlives),
];

/// What is proved, by name and in this order.
pub const CLAIMS: [&str; TABLE.len()] = {
    let mut names = [""; TABLE.len()];
    let mut at = 0;
    while at < TABLE.len() {
        names[at] = TABLE[at].name;
        at += 1;
    }
    names
};

/// Proves every claim, each over a new link.
///
/// # Errors
/// The first claim that does not hold, and what was seen.
pub async fn prove_all(subject: &Subject<'_>) -> Result<(), Violation> {
    for claim in &TABLE {
        attempt(subject, claim).await?;
    }
    Ok(())
}

/// Proves the claim of that name, one of [`CLAIMS`].
///
/// # Errors
/// That it does not hold, or that there is no such claim.
pub async fn prove(subject: &Subject<'_>, claim: &str) -> Result<(), Violation> {
    match TABLE.iter().find(|known| known.name == claim) {
        Some(claim) => attempt(subject, claim).await,
        None => Err(Violation::unknown(claim, &CLAIMS)),
    }
}

async fn attempt(subject: &Subject<'_>, claim: &Claim) -> Result<(), Violation> {
    let proof = async {
        let pair = Pair::make(subject).await?;
        (claim.trial)(subject, pair).await
    };
    let outcome = match within((subject.sleep)(subject.deadline), proof).await {
        Some(outcome) => outcome,
        None => Err(Failure(format!("not done within {:?}", subject.deadline))),
    };
    outcome.map_err(|Failure(what)| Violation { claim: claim.name, what })
}

struct Failure(String);

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Self(format!("unexpected error: {error}"))
    }
}

type Proof = Result<(), Failure>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Proof {
    if holds { Ok(()) } else { Err(Failure(what())) }
}

/// Both sides of a link, and the listener that it came from.
struct Pair {
    dialed: Link,
    accepted: Link,
    listener: Box<dyn Listener>,
}

impl Pair {
    async fn make(subject: &Subject<'_>) -> Result<Self, Failure> {
        let mut listener = subject.acceptor.listen(subject.address).await?;
        let address = listener.address();
        let (dialed, accepted) = join(subject.dialer.connect(&address), listener.accept()).await;
        Ok(Self { dialed: dialed?, accepted: accepted?, listener })
    }

    /// The four ways: each lane in each direction.
    fn ways(&mut self) -> [(&mut dyn FrameSender, &mut dyn FrameReceiver); 4] {
        let Self { dialed, accepted, .. } = self;
        let Link { control: Lane { sender: s1, receiver: r2 }, data, .. } = dialed;
        let Lane { sender: s3, receiver: r4 } = data;
        let Link { control: Lane { sender: s2, receiver: r1 }, data, .. } = accepted;
        let Lane { sender: s4, receiver: r3 } = data;
        [
            (s1.as_mut(), r1.as_mut()),
            (s2.as_mut(), r2.as_mut()),
            (s3.as_mut(), r3.as_mut()),
            (s4.as_mut(), r4.as_mut()),
        ]
    }
}

fn numbered(way: usize, number: usize) -> Frame {
    Frame::of(Bytes::from(format!("way {way} frame {number}")))
}

fn patterned(length: usize) -> Bytes {
    let mut all = (0..=250).collect::<Vec<u8>>().repeat(length / 251 + 1);
    all.truncate(length);
    all.into()
}

async fn pass(pair: &mut Pair, frame: Frame, expected: &Bytes) -> Proof {
    for (way, (sender, receiver)) in pair.ways().into_iter().enumerate() {
        let (sent, got) = join(sender.send(vec![frame.clone()]), some(receiver)).await;
        let mut got = got?;
        sent?;
        ensure(got.len() == 1, || format!("way {way}: one frame became {}", got.len()))?;
        let frame = got.remove(0);
        let parts = frame.parts.len();
        ensure(parts <= FRAME_PARTS_MAX, || format!("way {way}: received in {parts} parts"))?;
        ensure(frame.into_bytes() == *expected, || format!("way {way}: other bytes came"))?;
    }
    Ok(())
}

async fn some(receiver: &mut dyn FrameReceiver) -> Result<Vec<Frame>, Failure> {
    match receiver.receive().await? {
        Some(frames) if frames.is_empty() => Err(Failure("received a batch of none".to_owned())),
        Some(frames) => Ok(frames),
        None => Err(Failure("the lane ended although nobody closed it".to_owned())),
    }
}
