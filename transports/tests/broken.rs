//! The conformance suite catches transports that break a promise, by the promise's name.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it panics")]

use async_trait::async_trait;
use std::time::Duration;
use tokio::sync::mpsc;
use trefoil_core::conformance::transport::{BoxSleep, Subject, prove, prove_all};
use trefoil_core::port::{
    FRAME_BYTES_MAX, Frame, FrameReceiver, FrameSender, Lane, Link, Listener, Transport,
};
use trefoil_core::{Error, Result};
use trefoil_transports::{MemoryNetwork, MemoryTransport};

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Swaps the frames of each batch.
    Reorders,
    /// Loses every eleventh frame.
    Drops,
    /// Makes two frames of a long one.
    Splits,
    /// Takes whatever it is given.
    TakesAll,
    /// Sends what comes before a frame that is too long.
    SendsHalfABatch,
    /// Waits with a lost future for what it had received.
    ForgetsOnDrop,
    /// Closes without saying so.
    ClosesSilently,
    /// Sends every frame of a single-frame batch twice.
    Duplicates,
    /// Says "closed" of a link that broke.
    LiesAboutClose,
    /// Flips a bit of a long frame.
    Damages,
}

#[derive(Clone)]
struct Broken(MemoryTransport, Fault);

struct BrokenListener(Box<dyn Listener>, Fault);

struct BrokenSender {
    inner: Box<dyn FrameSender>,
    fault: Fault,
    count: usize,
    queue: Option<mpsc::UnboundedSender<Vec<Frame>>>,
}

struct BrokenReceiver {
    inner: Box<dyn FrameReceiver>,
    fault: Fault,
}

fn wrap(link: Link, fault: Fault) -> Link {
    let lane = |lane: Lane| Lane {
        sender: Box::new(BrokenSender { inner: lane.sender, fault, count: 0, queue: None }),
        receiver: Box::new(BrokenReceiver { inner: lane.receiver, fault }),
    };
    Link { control: lane(link.control), data: lane(link.data), ..link }
}

#[async_trait]
impl FrameSender for BrokenSender {
    async fn send(&mut self, mut frames: Vec<Frame>) -> Result<()> {
        match self.fault {
            Fault::Reorders => frames.reverse(),
            Fault::Drops => frames.retain(|_| {
                self.count += 1;
                !self.count.is_multiple_of(11)
            }),
            Fault::Splits => frames = frames.into_iter().flat_map(split).collect(),
            Fault::TakesAll => return self.queue(frames),
            Fault::SendsHalfABatch => {
                for frame in frames {
                    self.inner.send(vec![frame]).await?;
                }
                return Ok(());
            }
            Fault::Duplicates => frames = frames.into_iter().flat_map(|f| [f.clone(), f]).collect(),
            Fault::Damages => frames = frames.into_iter().map(damage).collect(),
            Fault::ForgetsOnDrop | Fault::ClosesSilently | Fault::LiesAboutClose => {}
        }
        self.inner.send(frames).await
    }

    async fn close(&mut self) -> Result<()> {
        match self.fault {
            Fault::ClosesSilently => Ok(()),
            _ => self.inner.close().await,
        }
    }
}

impl BrokenSender {
    fn queue(&mut self, frames: Vec<Frame>) -> Result<()> {
        if frames.iter().any(|frame| frame.length() > FRAME_BYTES_MAX) {
            return Err(Error::invalid("send frame: too long"));
        }
        let queue = self.queue.get_or_insert_with(|| {
            let (queue, mut queued) = mpsc::unbounded_channel();
            let closed = Box::new(Nothing);
            let mut inner: Box<dyn FrameSender> = std::mem::replace(&mut self.inner, closed);
            tokio::spawn(async move {
                while let Some(frames) = queued.recv().await {
                    inner.send(frames).await.unwrap();
                }
            });
            queue
        });
        queue.send(frames).unwrap();
        Ok(())
    }
}

fn damage(frame: Frame) -> Frame {
    let mut bytes = frame.into_bytes().to_vec();
    if bytes.len() > 4096 {
        bytes[4000] ^= 1;
    }
    Frame::of(bytes.into())
}

struct Nothing;

#[async_trait]
impl FrameSender for Nothing {
    async fn send(&mut self, _: Vec<Frame>) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

fn split(frame: Frame) -> Vec<Frame> {
    let mut bytes = frame.into_bytes();
    if bytes.len() <= 4096 {
        return vec![Frame::of(bytes)];
    }
    let first = bytes.split_to(4096);
    vec![Frame::of(first), Frame::of(bytes)]
}

#[async_trait]
impl FrameReceiver for BrokenReceiver {
    async fn receive(&mut self) -> Result<Option<Vec<Frame>>> {
        let received = self.inner.receive().await;
        if matches!(self.fault, Fault::ForgetsOnDrop) {
            tokio::task::yield_now().await;
        }
        if matches!(self.fault, Fault::LiesAboutClose) {
            return received.or(Ok(None));
        }
        received
    }
}

#[async_trait]
impl Transport for Broken {
    async fn connect(&self, address: &str) -> Result<Link> {
        Ok(wrap(self.0.connect(address).await?, self.1))
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        Ok(Box::new(BrokenListener(self.0.listen(address).await?, self.1)))
    }

    fn describe(&self) -> String {
        format!("broken: {:?}", self.1)
    }
}

#[async_trait]
impl Listener for BrokenListener {
    async fn accept(&mut self) -> Result<Link> {
        Ok(wrap(self.0.accept().await?, self.1))
    }

    fn address(&self) -> String {
        self.0.address()
    }
}

/// tokio's clock.
fn sleep(time: Duration) -> BoxSleep {
    Box::pin(tokio::time::sleep(time))
}

/// The first claim that the suite finds broken.
async fn broken_claim(fault: Fault) -> &'static str {
    let transport = Broken(MemoryNetwork::new().transport(), fault);
    let mut subject = Subject::new(&transport, &transport, "somewhere", &sleep);
    subject.deadline = Duration::from_secs(60);
    let violation = prove_all(&subject).await.expect_err("the suite did not notice");
    violation.claim
}

#[tokio::test(start_paused = true)]
async fn each_broken_transport_is_caught_by_name() {
    for (fault, claim) in [
        (Fault::Reorders, "frames_arrive_in_order"),
        (Fault::Drops, "frames_arrive_in_order"),
        (Fault::Splits, "frames_arrive_whole"),
        (Fault::TakesAll, "a_sender_waits_for_a_receiver"),
        (Fault::SendsHalfABatch, "too_long_a_frame_sends_nothing"),
        (Fault::ForgetsOnDrop, "a_dropped_receive_loses_nothing"),
        (Fault::ClosesSilently, "close_is_seen_after_what_was_sent"),
        (Fault::Duplicates, "frames_arrive_in_order"),
        (Fault::Damages, "frames_arrive_whole"),
        (Fault::LiesAboutClose, "an_end_that_nobody_closed_is_an_error"),
    ] {
        assert_eq!(broken_claim(fault).await, claim, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_proved_by_its_name_and_an_unknown_one_is_a_violation() {
    let transport = Broken(MemoryNetwork::new().transport(), Fault::Drops);
    let subject = Subject::new(&transport, &transport, "somewhere", &sleep);
    prove(&subject, "the_longest_frame_passes").await.unwrap();
    let violation = prove(&subject, "frames_arrive_in_order").await.unwrap_err();
    assert_eq!(violation.claim, "frames_arrive_in_order");
    let violation = prove(&subject, "frames_are_blue").await.unwrap_err();
    assert!(violation.what.contains("frames_are_blue"), "{violation}");
}
