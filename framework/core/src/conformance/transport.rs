//! Proves that a transport keeps what [`FrameSender`] and [`FrameReceiver`] promise.
//!
//! ```ignore
//! let sleep = |time| -> BoxSleep { Box::pin(tokio::time::sleep(time)) };
//! let subject = Subject::new(&transport, &transport, "127.0.0.1:0", &sleep);
//! transport::prove(&subject).await.unwrap();
//! ```
//!
//! The suite needs no runtime of its own: it brings its two sides together in one future, and
//! takes the clock as an argument. Under paused time it takes no time.

mod flood;
mod together;

use crate::ErrorKind;
use crate::port::{FRAME_BYTES_MAX, FRAME_PARTS_MAX, Frame, Lane, Link, Listener, Transport};
use crate::port::{FrameReceiver, FrameSender};
use bytes::Bytes;
use flood::flood;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use together::{join, poll_once, within};

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

/// A claim that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one of [`CLAIMS`].
    pub claim: &'static str,
    /// What was seen instead.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.claim, self.what)
    }
}

impl std::error::Error for Violation {}

/// What is proved, by name and in this order.
pub const CLAIMS: [&str; 12] = [
    "frames_arrive_in_order",
    "frames_arrive_whole",
    "many_parts_arrive_as_one",
    "the_longest_frame_passes",
    "too_long_a_frame_sends_nothing",
    "a_sender_waits_for_a_receiver",
    "control_passes_while_data_waits",
    "close_is_seen_after_what_was_sent",
    "a_dropped_sender_ends_the_link",
    "a_dropped_receiver_ends_the_link",
    "a_dropped_receive_loses_nothing",
    "a_link_ends_alone_and_can_be_made_again",
];

/// Proves every claim; the first that does not hold is the result.
pub async fn prove(subject: &Subject<'_>) -> Result<(), Violation> {
    for claim in CLAIMS {
        prove_claim(subject, claim).await?;
    }
    Ok(())
}

/// Proves the claim of that name, one of [`CLAIMS`].
pub async fn prove_claim(subject: &Subject<'_>, claim: &str) -> Result<(), Violation> {
    let Some(claim) = CLAIMS.into_iter().find(|known| *known == claim) else {
        let what = format!("there is no claim {claim:?}");
        return Err(Violation { claim: "prove_claim", what });
    };
    let proof = async {
        let pair = Pair::make(subject).await?;
        match claim {
            "frames_arrive_in_order" => in_order(pair).await,
            "frames_arrive_whole" => whole(pair).await,
            "many_parts_arrive_as_one" => many_parts(pair).await,
            "the_longest_frame_passes" => longest(pair).await,
            "too_long_a_frame_sends_nothing" => too_long(pair).await,
            "a_sender_waits_for_a_receiver" => waits(subject, pair).await,
            "control_passes_while_data_waits" => independent(subject, pair).await,
            "close_is_seen_after_what_was_sent" => close(pair).await,
            "a_dropped_sender_ends_the_link" => dropped(pair, Half::Sender).await,
            "a_dropped_receiver_ends_the_link" => dropped(pair, Half::Receiver).await,
            "a_dropped_receive_loses_nothing" => cancelled(subject, pair).await,
            _ => again(subject, pair).await,
        }
    };
    let outcome = match within((subject.sleep)(subject.deadline), proof).await {
        Some(outcome) => outcome,
        None => Err(Failure(format!("not done within {:?}", subject.deadline))),
    };
    outcome.map_err(|Failure(what)| Violation { claim, what })
}

/// What was seen instead of what was claimed.
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

async fn in_order(mut pair: Pair) -> Proof {
    const BATCHES: usize = 50;
    const BATCH: usize = 7;
    for (way, (sender, receiver)) in pair.ways().into_iter().enumerate() {
        let send = async {
            for batch in 0..BATCHES {
                let numbers = batch * BATCH..(batch + 1) * BATCH;
                sender.send(numbers.map(|number| numbered(way, number)).collect()).await?;
            }
            Proof::Ok(())
        };
        let receive = async {
            let mut next = 0;
            while next < BATCHES * BATCH {
                for frame in some(receiver).await? {
                    let expected = numbered(way, next).into_bytes();
                    let got = frame.into_bytes();
                    ensure(got == expected, || {
                        format!("way {way}: instead of frame {next} came {got:?}")
                    })?;
                    next += 1;
                }
            }
            Proof::Ok(())
        };
        let (sent, received) = join(send, receive).await;
        received?;
        sent?;
    }
    Ok(())
}

fn numbered(way: usize, number: usize) -> Frame {
    Frame::of(Bytes::from(format!("way {way} frame {number}")))
}

async fn whole(mut pair: Pair) -> Proof {
    const LENGTHS: [usize; 10] = [1, 0, 15, 16, 17, 4096, 0, 65_537, 300_001, 4144];
    let frames = || LENGTHS.iter().map(|&length| Frame::of(patterned(length)));
    for (way, (sender, receiver)) in pair.ways().into_iter().enumerate() {
        let receive = async {
            let mut got = Vec::new();
            while got.len() < LENGTHS.len() {
                got.extend(some(receiver).await?);
            }
            Result::<_, Failure>::Ok(got)
        };
        let (sent, got) = join(sender.send(frames().collect()), receive).await;
        let got = got?;
        sent?;
        let lengths: Vec<_> = got.iter().map(Frame::length).collect();
        ensure(lengths == LENGTHS, || format!("way {way}: lengths {lengths:?}, not {LENGTHS:?}"))?;
        ensure(got.into_iter().eq(frames()), || format!("way {way}: other bytes came"))?;
    }
    Ok(())
}

/// Bytes that show where they belong.
fn patterned(length: usize) -> Bytes {
    let mut all = (0..=250).collect::<Vec<u8>>().repeat(length / 251 + 1);
    all.truncate(length);
    all.into()
}

async fn many_parts(mut pair: Pair) -> Proof {
    let whole = patterned(FRAME_PARTS_MAX * 3 + 1);
    let mut parts: Vec<_> =
        (0..FRAME_PARTS_MAX - 2).map(|n| whole.slice(n * 3..n * 3 + 3)).collect();
    parts.push(Bytes::new());
    parts.push(whole.slice((FRAME_PARTS_MAX - 2) * 3..));
    pass(&mut pair, Frame { parts }, &whole).await
}

async fn longest(mut pair: Pair) -> Proof {
    let whole = patterned(FRAME_BYTES_MAX);
    let halves = vec![whole.slice(..1000), whole.slice(1000..)];
    pass(&mut pair, Frame { parts: halves }, &whole).await
}

/// One frame over every way, received as one part.
async fn pass(pair: &mut Pair, frame: Frame, expected: &Bytes) -> Proof {
    for (way, (sender, receiver)) in pair.ways().into_iter().enumerate() {
        let (sent, got) = join(sender.send(vec![frame.clone()]), some(receiver)).await;
        let got = got?;
        sent?;
        ensure(got.len() == 1, || format!("way {way}: one frame became {}", got.len()))?;
        ensure(got[0].parts.len() == 1, || {
            format!("way {way}: received in {} parts, not one", got[0].parts.len())
        })?;
        ensure(got[0].parts[0] == *expected, || format!("way {way}: other bytes came"))?;
    }
    Ok(())
}

async fn too_long(mut pair: Pair) -> Proof {
    for (way, (sender, receiver)) in pair.ways().into_iter().enumerate() {
        let over = Frame::of(patterned(FRAME_BYTES_MAX + 1));
        let refused = sender.send(vec![numbered(way, 1), over]).await;
        let kind = refused.err().map(|error| error.kind());
        ensure(kind == Some(ErrorKind::Invalid), || {
            format!("way {way}: over the limit gave {kind:?}, not Invalid")
        })?;
        let after = numbered(way, 2);
        let (sent, got) = join(sender.send(vec![after.clone()]), some(receiver)).await;
        sent?;
        let got = got?;
        ensure(got.first() == Some(&after), || {
            format!("way {way}: something of the refused batch came")
        })?;
    }
    Ok(())
}

async fn waits(subject: &Subject<'_>, mut pair: Pair) -> Proof {
    for lane in pair.ways() {
        flood(subject, lane, async { Ok(()) }).await?;
    }
    Ok(())
}

async fn independent(subject: &Subject<'_>, mut pair: Pair) -> Proof {
    let [(to_acceptor, at_acceptor), (to_dialer, at_dialer), data, _] = pair.ways();
    let control = async {
        for (sender, receiver) in [(to_acceptor, at_acceptor), (to_dialer, at_dialer)] {
            let (sent, got) = join(sender.send(vec![numbered(9, 9)]), some(receiver)).await;
            sent?;
            ensure(got?.first() == Some(&numbered(9, 9)), || "other bytes came".to_owned())?;
        }
        Ok(())
    };
    flood(subject, data, control).await
}

async fn close(mut pair: Pair) -> Proof {
    for (way, (sender, receiver)) in pair.ways().into_iter().enumerate() {
        sender.send((0..3).map(|number| numbered(way, number)).collect()).await?;
        let receive = async {
            let mut got = 0;
            while let Some(frames) = receiver.receive().await? {
                got += frames.len();
            }
            ensure(got == 3, || format!("way {way}: {got} of 3 frames came before the end"))?;
            ensure(receiver.receive().await?.is_none(), || "something came after the end".into())
        };
        let (closed, received) = join(sender.close(), receive).await;
        closed?;
        received?;
        let later = sender.send(vec![numbered(way, 4)]).await;
        ensure(later.is_err(), || format!("way {way}: a closed lane took a frame"))?;
    }
    Ok(())
}

enum Half {
    Sender,
    Receiver,
}

async fn dropped(pair: Pair, half: Half) -> Proof {
    let Pair { dialed, accepted, listener: _listener } = pair;
    // The other halves of this side stay alive: one is enough to end the link.
    let Link { control, data, .. } = dialed;
    let (Lane { sender, receiver }, _rest) = (control, data);
    let _kept: (Option<_>, Option<_>) = match half {
        Half::Sender => {
            drop(sender);
            (None, Some(receiver))
        }
        Half::Receiver => {
            drop(receiver);
            (Some(sender), None)
        }
    };
    let Link { mut control, mut data, .. } = accepted;
    for receiver in [&mut control.receiver, &mut data.receiver] {
        let end = receiver.receive().await;
        ensure(!matches!(end, Ok(Some(_))), || "frames came that nobody sent".to_owned())?;
    }
    for sender in [&mut control.sender, &mut data.sender] {
        // What is on its way may still be taken; a dead link cannot take this much.
        let mut error = None;
        for _ in 0..UNRECEIVED_BYTES_MAX / FRAME_BYTES_MAX {
            error = sender.send(vec![Frame::of(patterned(FRAME_BYTES_MAX))]).await.err();
            if error.is_some() {
                break;
            }
        }
        ensure(error.is_some(), || "a sender goes on after the end of the link".to_owned())?;
        let later = sender.send(vec![numbered(0, 0)]).await;
        ensure(later.is_err(), || "a sender worked again after an error".to_owned())?;
    }
    Ok(())
}

async fn cancelled(subject: &Subject<'_>, mut pair: Pair) -> Proof {
    const FRAMES: usize = 200;
    let [.., (sender, receiver), _] = pair.ways();
    let send = async {
        for number in 0..FRAMES {
            let long = Frame { parts: vec![patterned(20_000), numbered(0, number).into_bytes()] };
            sender.send(vec![long]).await?;
        }
        Proof::Ok(())
    };
    let receive = async {
        let mut next = 0;
        while next < FRAMES {
            let Some(frames) = poll_once(receiver.receive()).await else {
                (subject.sleep)(Duration::from_millis(1)).await;
                continue;
            };
            for frame in frames?.unwrap_or_default() {
                let expected = numbered(0, next).into_bytes();
                ensure(frame.into_bytes().ends_with(&expected), || format!("no frame {next}"))?;
                next += 1;
            }
        }
        Proof::Ok(())
    };
    let (sent, received) = join(send, receive).await;
    received?;
    sent
}

async fn again(subject: &Subject<'_>, mut pair: Pair) -> Proof {
    let address = pair.listener.address();
    let connect = subject.dialer.connect(&address);
    let (dialed, accepted) = join(connect, pair.listener.accept()).await;
    let Pair { dialed: first_dialed, accepted: first_accepted, listener } = pair;
    drop((first_dialed, first_accepted));
    let mut second = Pair { dialed: dialed?, accepted: accepted?, listener };
    let frame = numbered(1, 1);
    pass(&mut second, frame.clone(), &frame.into_bytes()).await?;
    let Pair { dialed, accepted, mut listener } = second;
    drop((dialed, accepted));
    let (dialed, accepted) = join(subject.dialer.connect(&address), listener.accept()).await;
    let mut third = Pair { dialed: dialed?, accepted: accepted?, listener };
    let frame = numbered(2, 2);
    pass(&mut third, frame.clone(), &frame.into_bytes()).await
}

/// The next frames; an end is a failure, and so is an empty batch.
async fn some(receiver: &mut dyn FrameReceiver) -> Result<Vec<Frame>, Failure> {
    match receiver.receive().await? {
        Some(frames) if frames.is_empty() => Err(Failure("received a batch of none".to_owned())),
        Some(frames) => Ok(frames),
        None => Err(Failure("the lane ended although nobody closed it".to_owned())),
    }
}
