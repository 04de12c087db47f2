//! The wires of a link: greeting, and the four tasks that move frames between lanes and actors.

use super::peer::{ControlIn, LinkEnded};
use super::reign::WasSetBack;
use super::{DataIn, PeerActor};
use crate::crew::{CrewRef, post};
use crate::greeting::first_message;
use crate::parts::PeerLink;
use crate::wan::unpack;
use actix::Addr;
use tokio::sync::mpsc;
use trefoil_core::model::SiteName;
use trefoil_core::port::{Frame, FrameReceiver, FrameSender, Link};
use trefoil_core::wire::{
    ControlMessage, DataMessage, Greeting, PROTOCOL_VERSION, decode_control, decode_data,
    encode_control,
};
use trefoil_core::{Error, Result};

/// This site's greeting to another.
pub(crate) fn greeting(
    crew: &CrewRef,
    to: &SiteName,
    link: u64,
    replaces: Option<u64>,
) -> Greeting {
    Greeting {
        protocol: PROTOCOL_VERSION,
        group: crew.shared.config.group.clone(),
        from: crew.site().clone(),
        to: to.clone(),
        claim: crew.claim(),
        volumes: crew.shared.volumes().specs.to_vec(),
        arbiter: crew.arbiter.as_ref().map(|arbiter| arbiter.kind()),
        link,
        replaces,
    }
}

/// Connects and greets.
pub(super) async fn dial(way: &PeerLink, greeting: Greeting, crew: &CrewRef) -> Result<Link> {
    let mut link = way.transport.connect(&way.address).await?;
    let (expected, id, replaces) = (greeting.to.clone(), greeting.link, greeting.replaces);
    let frame = encode_control(&ControlMessage::Greeting(greeting))?;
    link.control.sender.send(vec![frame]).await?;
    let (answer, mut link) = first_message(link).await?;
    match answer {
        ControlMessage::Greeting(theirs)
            if theirs.from == expected && (theirs.link, theirs.replaces) == (id, replaces) =>
        {
            if let Some(why) = link.security.refusal_of(&theirs.from) {
                return Err(Error::refused(format!("greet: {why}")));
            }
            let Some(rejected) = crew.rejects(&theirs) else { return Ok(link) };
            rejected.tell(&mut *link.control.sender).await?;
            Err(Error::refused(format!("greet: {}", rejected.why)))
        }
        ControlMessage::SetBack(before) => {
            let why = crew.told_set_back(&expected, &before);
            crew.to(&crew.reign, WasSetBack { by: expected.clone(), before });
            Err(Error::refused(format!("greet: {}", why.unwrap_or_default())))
        }
        ControlMessage::Goodbye(why) => Err(Error::refused(format!("greet: {why}"))),
        _ => Err(Error::corrupt("greet: another site answered than was meant")),
    }
}

pub(super) async fn write_control(
    mut sender: Box<dyn FrameSender>,
    mut frames: mpsc::Receiver<Frame>,
) {
    while let Some(first) = frames.recv().await {
        let mut batch = vec![first];
        while let Ok(frame) = frames.try_recv() {
            batch.push(frame);
        }
        if sender.send(batch).await.is_err() {
            return;
        }
    }
    let _ = sender.close().await;
}

pub(super) async fn read_control(
    mut receiver: Box<dyn FrameReceiver>,
    link: u64,
    to: Addr<PeerActor>,
) {
    let why = loop {
        match receiver.receive().await {
            Ok(Some(frames)) => {
                let decode = |frame: Frame| decode_control(&frame.into_bytes());
                let messages: Result<Vec<ControlMessage>> =
                    frames.into_iter().map(decode).collect();
                match messages {
                    // Waiting for the actor is what slows a flooding peer down.
                    Ok(messages) => {
                        let _ = to.send(ControlIn { link, messages }).await;
                    }
                    Err(error) => break error.to_string(),
                }
            }
            Ok(None) => break "the other site closed the link".into(),
            Err(error) => break error.to_string(),
        }
    };
    post(&to, LinkEnded { link, why });
}

pub(super) async fn read_data(
    mut receiver: Box<dyn FrameReceiver>,
    link: u64,
    owner: Addr<PeerActor>,
    crew: CrewRef,
    from: SiteName,
) {
    let why = loop {
        match receiver.receive().await {
            Ok(Some(frames)) => {
                match (open(frames, crew.shared.threads).await, crew.follower.get()) {
                    (Ok(messages), Some(follower)) => {
                        let _ = follower.send(DataIn { from: from.clone(), messages }).await;
                    }
                    (Ok(_), None) => {}
                    (Err(error), _) => break error.to_string(),
                }
            }
            Ok(None) => break "the other site closed the link".into(),
            Err(error) => break error.to_string(),
        }
    };
    post(&owner, LinkEnded { link, why });
}

/// The messages in frames of a data lane.
async fn open(frames: Vec<Frame>, threads: bool) -> Result<Vec<DataMessage>> {
    let mut messages = Vec::with_capacity(frames.len());
    for frame in frames {
        messages.push(decode_data(unpack(frame, threads).await?)?);
    }
    Ok(messages)
}
