//! Frames arrive whole, unchanged and in order.

use super::{Failure, Pair, Proof, Subject, ensure, numbered, pass, patterned, some};
use crate::ErrorKind;
use crate::conformance::together::{join, poll_once, within};
use crate::port::{FRAME_BYTES_MAX, FRAME_PARTS_MAX, Frame};
use bytes::Bytes;
use std::time::Duration;

pub(super) async fn in_order(_: &Subject<'_>, mut pair: Pair) -> Proof {
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

pub(super) async fn whole(_: &Subject<'_>, mut pair: Pair) -> Proof {
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

pub(super) async fn many_parts(_: &Subject<'_>, mut pair: Pair) -> Proof {
    let whole = patterned(FRAME_PARTS_MAX * 3 + 1);
    let mut parts: Vec<_> =
        (0..FRAME_PARTS_MAX - 2).map(|n| whole.slice(n * 3..n * 3 + 3)).collect();
    parts.push(Bytes::new());
    parts.push(whole.slice((FRAME_PARTS_MAX - 2) * 3..));
    pass(&mut pair, Frame { parts }, &whole).await
}

/// More frames than one vectored write takes.
pub(super) async fn large_batch(_: &Subject<'_>, mut pair: Pair) -> Proof {
    const FRAMES: usize = 5000;
    for (way, (sender, receiver)) in pair.ways().into_iter().enumerate() {
        let send = sender.send((0..FRAMES).map(|number| numbered(way, number)).collect());
        let receive = async {
            let mut next = 0;
            while next < FRAMES {
                for frame in some(receiver).await? {
                    ensure(frame == numbered(way, next), || format!("way {way}: no {next}"))?;
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

pub(super) async fn longest(_: &Subject<'_>, mut pair: Pair) -> Proof {
    let whole = patterned(FRAME_BYTES_MAX);
    let halves = vec![whole.slice(..1000), whole.slice(1000..)];
    pass(&mut pair, Frame { parts: halves }, &whole).await
}

pub(super) async fn too_long(_: &Subject<'_>, mut pair: Pair) -> Proof {
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

pub(super) async fn dropped_receive(subject: &Subject<'_>, mut pair: Pair) -> Proof {
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

/// What a dropped `send` had begun comes whole or not at all, or the link ends.
pub(super) async fn dropped_send(subject: &Subject<'_>, mut pair: Pair) -> Proof {
    const BATCHES: usize = 40;
    let [.., (sender, receiver), _] = pair.ways();
    let send = async {
        for batch in 0..BATCHES {
            let long = |number| Frame {
                parts: vec![patterned(300_000), numbered(batch, number).into_bytes()],
            };
            let sending = sender.send((0..5).map(long).collect());
            let sent = within((subject.sleep)(Duration::from_millis(1)), sending).await;
            if matches!(sent, Some(Err(_))) {
                return Ok(());
            }
        }
        // The last of all, so that the receiver knows where to stop.
        sender.send(vec![numbered(BATCHES, 0)]).await.or(Ok(()))
    };
    let receive = async {
        let mut last = None;
        while let Ok(Some(frames)) = receiver.receive().await {
            for frame in frames {
                let this = batch_and_number(&frame, BATCHES)
                    .ok_or_else(|| Failure(format!("a torn frame of {}", frame.length())))?;
                ensure(last < Some(this), || format!("{this:?} came after {last:?}"))?;
                last = Some(this);
                if this.0 == BATCHES {
                    return Ok(());
                }
            }
        }
        Ok(())
    };
    let (sent, received): (Proof, Proof) = join(send, receive).await;
    received?;
    sent
}

/// Which frame it is, if it is whole.
fn batch_and_number(frame: &Frame, batches: usize) -> Option<(usize, usize)> {
    let bytes = frame.clone().into_bytes();
    if bytes == numbered(batches, 0).into_bytes() {
        return Some((batches, 0));
    }
    let (body, end) = bytes.split_at_checked(300_000)?;
    let mut all = (0..batches).flat_map(|batch| (0..5).map(move |number| (batch, number)));
    let found = all.find(|(batch, number)| numbered(*batch, *number).into_bytes() == end);
    found.filter(|_| body == patterned(300_000))
}
