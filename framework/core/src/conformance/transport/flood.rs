//! Fills a lane until its sender waits.

use super::{Failure, Proof, Subject, UNRECEIVED_BYTES_MAX, ensure, some};
use crate::port::{Frame, FrameReceiver, FrameSender};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

/// Sends more and more until it waits; then lets the receiver run and counts what comes.
pub(super) async fn flood(
    subject: &Subject<'_>,
    lane: (&mut dyn FrameSender, &mut dyn FrameReceiver),
    meanwhile: impl Future<Output = Proof>,
) -> Proof {
    const CHUNK: usize = 64 << 10;
    let (sender, receiver) = lane;
    let (sent, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let send = async {
        while !stop.load(Ordering::Relaxed) {
            let number = sent.load(Ordering::Relaxed);
            if number * CHUNK > UNRECEIVED_BYTES_MAX {
                return Err(Failure(format!("{} bytes were taken, none received", number * CHUNK)));
            }
            let mut chunk = vec![0; CHUNK];
            chunk[..8].copy_from_slice(&(number as u64).to_le_bytes());
            sender.send(vec![Frame::of(chunk.into())]).await?;
            sent.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let receive = async {
        let mut before = usize::MAX;
        while before != sent.load(Ordering::Relaxed) {
            before = sent.load(Ordering::Relaxed);
            (subject.sleep)(subject.quiet).await;
        }
        meanwhile.await?;
        stop.store(true, Ordering::Relaxed);
        // The send that waits now goes through as well.
        let (mut next, expected) = (0, before + 1);
        while next < expected {
            for frame in some(receiver).await? {
                let number = (next as u64).to_le_bytes();
                let bytes = frame.into_bytes();
                ensure(bytes.get(..8) == Some(&number), || format!("frame {next} is missing"))?;
                next += 1;
            }
        }
        Ok(())
    };
    let mut send = pin!(send);
    let mut receive = pin!(receive);
    let mut sending = None;
    // A sender that never waits ends the proof at once, not by the deadline.
    poll_fn(move |context| {
        if sending.is_none()
            && let Poll::Ready(outcome) = send.as_mut().poll(context)
        {
            sending = Some(outcome?);
        }
        match receive.as_mut().poll(context) {
            Poll::Ready(Ok(())) if sending.is_some() => Poll::Ready(Ok(())),
            Poll::Ready(Ok(())) => Poll::Ready(Err(Failure("a send never returned".to_owned()))),
            other => other,
        }
    })
    .await
}
