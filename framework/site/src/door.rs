//! The way into a group for links that other sites open.

use crate::greeting::first_message;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use trefoil_core::model::GroupName;
use trefoil_core::port::Link;
use trefoil_core::wire::{ControlMessage, Greeting, encode_control};
use trefoil_core::{Error, Result};

/// How many links may be greeting at once, per listener.
pub(crate) const GREETINGS_MAX: usize = 64;
/// How long a greeting may take.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// A link that another site opened.
pub(crate) struct Arrival {
    pub link: Link,
    pub greeting: Greeting,
    /// By which transport it came.
    pub by: String,
}

/// What a group is told from outside its thread.
pub(crate) enum Command {
    /// A link that another site opened.
    Accept(Box<Arrival>),
    /// Stop in order.
    Stop(oneshot::Sender<Result<()>>),
}

/// The way into a group.
#[derive(Clone, Debug)]
pub(crate) struct Door(pub mpsc::Sender<Command>);

/// Reads the greeting of a new link and passes the link to its group.
pub(crate) async fn greet(link: Link, by: String, doors: &BTreeMap<GroupName, Door>) -> Result<()> {
    let (first, mut link) = first_message(link).await?;
    let ControlMessage::Greeting(theirs) = first else {
        return Err(Error::corrupt("greet: another message came first"));
    };
    let Some(door) = doors.get(&theirs.group) else {
        let why = format!("no group {} is configured here", theirs.group);
        let goodbye = encode_control(&ControlMessage::Goodbye(why.clone()))?;
        let _ = link.control.sender.send(vec![goodbye]).await;
        let _ = link.control.sender.close().await;
        return Err(Error::refused(why));
    };
    let arrival = Box::new(Arrival { link, greeting: theirs, by });
    let closed = |_| Error::closed("greet: the group is stopped");
    door.0.send(Command::Accept(arrival)).await.map_err(closed)
}
