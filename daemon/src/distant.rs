//! A long way to another site, both ways, from the side that dials.
//!
//! [`Shaped`] delays what one side receives; the listening side cannot know whose link it accepts,
//! so the dialling side, which knows, delays what it sends as well: through a relay in memory that
//! is delayed, too.
//!
//! ```text
//! site ── sender ──▶ memory lane ──delayed──▶ pump ──▶ real sender    ══▶ peer
//! site ◀─ receiver ◀─────────────delayed───────────── real receiver   ◀══
//! ```

use async_trait::async_trait;
use std::sync::Arc;
use trefoil_core::port::{Frame, FrameReceiver, FrameSender, Lane, Link, Listener, Transport};
use trefoil_core::{Error, Result};
use trefoil_site::registry::Shape;
use trefoil_transports::shaped::Way;
use trefoil_transports::{Faulty, FaultyOptions, MemoryNetwork, Shaped};

/// The address in a relay's own network; nobody else is in it.
const RELAY: &str = "relay";

/// Where the moments of cuts come from: the same in every run.
const CUTS_SEED: u64 = 1;

/// Gives what is dialled by `near` that shape.
pub fn shaped(near: Arc<dyn Transport>, shape: Shape) -> Arc<dyn Transport> {
    let far = Distant::over(near, shape);
    if shape.cut_every.is_none() {
        return Arc::new(far);
    }
    let options = FaultyOptions { seed: CUTS_SEED, cut_every: shape.cut_every };
    Arc::new(Faulty::new(far, options).0)
}

/// A transport whose dialled links have a [`Shape`] both ways. What it listens for is left alone.
pub struct Distant {
    near: Arc<dyn Transport>,
    /// The same transport; what is received through it is late.
    far: Shaped,
    shape: Shape,
}

impl Distant {
    /// Gives the links of `near` that shape.
    pub fn over(near: Arc<dyn Transport>, shape: Shape) -> Self {
        let far = delayed(Arc::clone(&near), shape);
        Self { near, far, shape }
    }
}

fn delayed(transport: Arc<dyn Transport>, shape: Shape) -> Shaped {
    // Cuts come last: both ways are cut at once.
    let Shape { delay, jitter, rate: bytes_per_second, cut_every: _ } = shape;
    let way = Way { delay, jitter, bytes_per_second, cut_every: None };
    Shaped::over(transport, way)
}

#[async_trait]
impl Transport for Distant {
    async fn connect(&self, address: &str) -> Result<Link> {
        let Link { control, data, peer, security } = self.far.connect(address).await?;
        let relay = Arc::new(MemoryNetwork::new().transport());
        let mut listener =
            delayed(Arc::clone(&relay) as Arc<dyn Transport>, self.shape).listen(RELAY).await?;
        let mine = relay.connect(RELAY).await?;
        let theirs = listener.accept().await?;
        let control = relayed(control, mine.control, theirs.control);
        let data = relayed(data, mine.data, theirs.data);
        Ok(Link { control, data, peer, security })
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        self.near.listen(address).await
    }

    fn describe(&self) -> String {
        self.far.describe()
    }
}

/// The real lane, with the sender's frames going through the relay.
fn relayed(real: Lane, mine: Lane, theirs: Lane) -> Lane {
    let Lane { sender, receiver } = real;
    tokio::spawn(pump(theirs, sender));
    let sender = Box::new(Relayed { inner: mine.sender, _receiver: mine.receiver });
    Lane { sender, receiver }
}

/// Forwards what came through the relay until one of both ends. Both ends of the relay are dropped
/// with it, so that the site's next send fails once the real link is gone.
async fn pump(mut relay: Lane, mut real: Box<dyn FrameSender>) {
    let ended: Result<()> = async {
        while let Some(frames) = relay.receiver.receive().await? {
            real.send(frames).await?;
        }
        real.close().await
    }
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "relay of a distant link ended");
    }
}

/// The site's end of a relay. Its receiver is never used, but ends the relay when it is dropped.
struct Relayed {
    inner: Box<dyn FrameSender>,
    _receiver: Box<dyn FrameReceiver>,
}

#[async_trait]
impl FrameSender for Relayed {
    async fn send(&mut self, frames: Vec<Frame>) -> Result<()> {
        self.inner.send(frames).await.map_err(lost)
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.close().await.map_err(lost)
    }
}

fn lost(error: Error) -> Error {
    error.context("send over a distant link")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(5);
    const DELAY: Duration = Duration::from_millis(60);

    async fn link() -> (Link, Link) {
        let near: Arc<dyn Transport> = Arc::new(MemoryNetwork::new().transport());
        let mut listener = near.listen("far away").await.unwrap();
        let shape = Shape { delay: DELAY, ..Shape::default() };
        let distant = Distant::over(near, shape);
        let dialled = distant.connect("far away").await.unwrap();
        (dialled, listener.accept().await.unwrap())
    }

    async fn crosses(from: &mut Lane, to: &mut Lane) -> Duration {
        let begun = Instant::now();
        let frames = ["one", "two"].map(|text| Frame::of(text.into()));
        from.sender.send(frames.to_vec()).await.unwrap();
        let mut came = Vec::new();
        while came.len() < 2 {
            came.extend(timeout(PATIENCE, to.receiver.receive()).await.unwrap().unwrap().unwrap());
        }
        assert_eq!(came, frames);
        begun.elapsed()
    }

    #[tokio::test]
    async fn frames_are_late_in_both_directions_and_in_order() {
        let (mut here, mut there) = link().await;
        let out = crosses(&mut here.data, &mut there.data).await;
        let back = crosses(&mut there.control, &mut here.control).await;
        assert!(out >= DELAY && back >= DELAY, "{out:?} {back:?}");
    }

    #[tokio::test]
    async fn the_end_of_either_side_is_the_end_of_the_other() {
        let (here, mut there) = link().await;
        drop(here);
        let ended = timeout(PATIENCE, there.data.receiver.receive()).await.unwrap();
        assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");

        let (mut here, there) = link().await;
        drop(there);
        let sends = async {
            while here.data.sender.send(vec![Frame::of("x".into())]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, sends).await.unwrap();
    }
}
