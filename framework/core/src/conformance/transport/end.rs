//! How lanes and links end, and that they end alone.

use super::{Pair, Proof, Subject, UNRECEIVED_BYTES_MAX, ensure, numbered, pass, patterned, some};
use crate::conformance::together::join;
use crate::port::{FRAME_BYTES_MAX, Frame, Lane, Link};

pub(super) async fn close(_: &Subject<'_>, mut pair: Pair) -> Proof {
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

pub(super) async fn dropped_sender(_: &Subject<'_>, pair: Pair) -> Proof {
    dropped(pair, Half::Sender).await
}

pub(super) async fn dropped_receiver(_: &Subject<'_>, pair: Pair) -> Proof {
    dropped(pair, Half::Receiver).await
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

/// A receiver that says "closed" of a link that broke would make a lost site look like one that
/// was stopped.
pub(super) async fn not_closed(_: &Subject<'_>, mut pair: Pair) -> Proof {
    let [.., (sender, receiver), _] = pair.ways();
    let (sent, got) = join(sender.send(vec![numbered(0, 0)]), some(receiver)).await;
    sent?;
    got?;
    let Pair { dialed, accepted, listener: _listener } = pair;
    drop(dialed);
    let Link { mut control, mut data, .. } = accepted;
    for receiver in [&mut control.receiver, &mut data.receiver] {
        let end = receiver.receive().await;
        ensure(end.is_err(), || format!("the other side went away, and here came {end:?}"))?;
    }
    Ok(())
}

pub(super) async fn again(subject: &Subject<'_>, mut pair: Pair) -> Proof {
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

/// A site that listens elsewhere from now on keeps the links that it has.
pub(super) async fn outlives(_: &Subject<'_>, pair: Pair) -> Proof {
    let Pair { mut dialed, mut accepted, listener } = pair;
    drop(listener);
    for number in 0..3 {
        let frame = numbered(0, number);
        let send = dialed.data.sender.send(vec![frame.clone()]);
        let (sent, got) = join(send, some(&mut *accepted.data.receiver)).await;
        sent?;
        ensure(got?.first() == Some(&frame), || "other bytes came".to_owned())?;
    }
    Ok(())
}
