//! Senders wait for receivers, and nobody else.

use super::flood::flood;
use super::{Pair, Proof, Subject, ensure, numbered, patterned, some};
use crate::conformance::together::join;
use crate::port::{Frame, FrameReceiver, FrameSender};

pub(super) async fn waits(subject: &Subject<'_>, mut pair: Pair) -> Proof {
    for lane in pair.ways() {
        flood(subject, lane, async { Ok(()) }).await?;
    }
    Ok(())
}

pub(super) async fn control_passes(subject: &Subject<'_>, mut pair: Pair) -> Proof {
    let [to_acceptor, to_dialer, data, _] = pair.ways();
    flood(subject, data, both_pass(to_acceptor, to_dialer)).await
}

pub(super) async fn data_passes(subject: &Subject<'_>, mut pair: Pair) -> Proof {
    let [control, _, to_acceptor, to_dialer] = pair.ways();
    flood(subject, control, both_pass(to_acceptor, to_dialer)).await
}

/// One way of a lane.
type Way<'a> = (&'a mut dyn FrameSender, &'a mut dyn FrameReceiver);

async fn both_pass<'a>(one: Way<'a>, other: Way<'a>) -> Proof {
    for (sender, receiver) in [one, other] {
        let (sent, got) = join(sender.send(vec![numbered(9, 9)]), some(receiver)).await;
        sent?;
        ensure(got?.first() == Some(&numbered(9, 9)), || "other bytes came".to_owned())?;
    }
    Ok(())
}

/// Both sides send more than any buffer holds, and both receive.
pub(super) async fn both_directions(_: &Subject<'_>, mut pair: Pair) -> Proof {
    let [.., there, back] = pair.ways();
    let (one, other) = join(run(there), run(back)).await;
    one?;
    other
}

async fn run((sender, receiver): Way<'_>) -> Proof {
    const FRAMES: usize = 32;
    let send = async {
        for _ in 0..FRAMES {
            sender.send(vec![Frame::of(patterned(250_000))]).await?;
        }
        Proof::Ok(())
    };
    let receive = async {
        let mut got = 0;
        while got < FRAMES {
            got += some(receiver).await?.len();
        }
        Proof::Ok(())
    };
    let (sent, received) = join(send, receive).await;
    received?;
    sent
}
