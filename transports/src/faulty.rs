//! Bad luck for any transport: links that are cut at random, or by hand.

use crate::line::{Line, Step, sleep_until};
use crate::seed::Seed;
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use trefoil_core::port::{Frame, FrameReceiver, FrameSender, Lane, Link, Listener, Transport};
use trefoil_core::{Error, Result};

/// When links are cut without anybody's hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultyOptions {
    /// Where the randomness comes from.
    pub seed: u64,
    /// How long a link lives on average (exponentially distributed); `None`: for ever.
    pub cut_every: Option<Duration>,
}

/// A transport whose links end now and then; see [`FaultyControl`] for doing it by hand.
///
/// A cut ends the link for both sides, as a connection that breaks does; afterwards the sides can
/// connect again, unless the cut is still on.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn Transport>,
    options: FaultyOptions,
    links: Arc<AtomicU64>,
    control: FaultyControl,
}

/// Cuts, heals and slows the links of a [`Faulty`] transport. Clones control the same one.
#[derive(Clone, Debug, Default)]
pub struct FaultyControl {
    state: Arc<watch::Sender<Condition>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Condition {
    cut: bool,
    /// How often links were cut: a link of an earlier count has ended.
    cuts: u64,
    delay: Duration,
}

impl Faulty {
    /// Wraps a transport; the handle controls it from elsewhere.
    pub fn new(inner: impl Transport + 'static, options: FaultyOptions) -> (Self, FaultyControl) {
        Self::over(Arc::new(inner), options)
    }

    /// The same for a transport that is shared already.
    pub fn over(inner: Arc<dyn Transport>, options: FaultyOptions) -> (Self, FaultyControl) {
        let control = FaultyControl::default();
        (control.over(inner, options), control)
    }

    fn check(&self, doing: &str) -> Result<()> {
        if self.control.is_cut() { Err(cut_error(doing)) } else { Ok(()) }
    }

    /// `born` is the condition in which the link began to be made.
    fn wrap(&self, link: Link, born: Condition) -> Link {
        let number = self.links.fetch_add(1, Ordering::Relaxed);
        let mut seed = Seed::new(self.options.seed).part(number);
        let ends_at = self.options.cut_every.map(|mean| {
            let life = mean.mul_f64(-seed.fraction().ln());
            Instant::now() + life
        });
        let fate = || Fate { state: self.control.state.subscribe(), born: born.cuts, ends_at };
        let lane = |lane: Lane| Lane {
            sender: Box::new(Sender { inner: Some(lane.sender), fate: fate() }),
            receiver: Box::new(Receiver {
                inner: Some(lane.receiver),
                line: Line::default(),
                fate: fate(),
            }),
        };
        Link { control: lane(link.control), data: lane(link.data), ..link }
    }
}

impl FaultyControl {
    /// Wraps another transport under this control: where the two ends of a link have a transport
    /// each, they still have one fate.
    pub fn over(&self, inner: Arc<dyn Transport>, options: FaultyOptions) -> Faulty {
        Faulty { inner, options, links: Arc::default(), control: self.clone() }
    }

    /// Cuts all links and lets none be made, or lets them be made again.
    pub fn set_cut(&self, cut: bool) {
        self.state.send_modify(|state| {
            state.cuts += u64::from(cut && !state.cut);
            state.cut = cut;
        });
    }

    /// Ends all present links; new ones can be made at once.
    pub fn cut_once(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Delivers what this side receives so much later, from now on, what is under way included.
    pub fn set_delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// Whether the links are cut now.
    pub fn is_cut(&self) -> bool {
        self.state.borrow().cut
    }

    /// How much later frames are delivered now.
    pub fn delay(&self) -> Duration {
        self.state.borrow().delay
    }
}

#[async_trait]
impl Transport for Faulty {
    async fn connect(&self, address: &str) -> Result<Link> {
        let doing = format!("connect to {address}");
        self.check(&doing)?;
        let born = *self.control.state.borrow();
        let link = self.inner.connect(address).await?;
        self.check(&doing)?;
        Ok(self.wrap(link, born))
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        let inner = self.inner.listen(address).await?;
        Ok(Box::new(FaultyListener { inner, outer: self.clone() }))
    }

    fn describe(&self) -> String {
        format!("faulty+{}", self.inner.describe())
    }
}

struct FaultyListener {
    inner: Box<dyn Listener>,
    outer: Faulty,
}

#[async_trait]
impl Listener for FaultyListener {
    async fn accept(&mut self) -> Result<Link> {
        loop {
            let link = self.inner.accept().await?;
            let born = *self.outer.control.state.borrow();
            // Dropping it is what the other side sees of the cut.
            if !born.cut {
                return Ok(self.outer.wrap(link, born));
            }
        }
    }

    fn address(&self) -> String {
        self.inner.address()
    }
}

/// What ends a link: its own time, or a cut by hand.
struct Fate {
    state: watch::Receiver<Condition>,
    born: u64,
    ends_at: Option<Instant>,
}

impl Fate {
    fn has_come(&self) -> bool {
        self.state.borrow().cuts != self.born || self.ends_at.is_some_and(|at| at <= Instant::now())
    }

    /// Waits until the fate has come or the condition changed.
    async fn change(&mut self) {
        let Self { state, ends_at, .. } = self;
        tokio::select! {
            changed = state.changed() => if changed.is_err() {
                // The transport and its handles are gone: nothing changes by hand any more.
                sleep_until(*ends_at).await;
            },
            () = sleep_until(*ends_at) => {}
        }
    }
}

fn cut_error(doing: &str) -> Error {
    Error::unavailable(format!("{doing}: the link is cut on purpose"))
}

struct Sender {
    /// Empty once the fate has come: dropping it ends the link for the other side.
    inner: Option<Box<dyn FrameSender>>,
    fate: Fate,
}

impl Sender {
    /// Does `work` unless the fate comes first.
    fn open(&mut self) -> Result<(&mut dyn FrameSender, &mut Fate)> {
        if self.fate.has_come() {
            self.inner = None;
        }
        match &mut self.inner {
            Some(inner) => Ok((inner.as_mut(), &mut self.fate)),
            None => Err(cut_error("send frames")),
        }
    }
}

#[async_trait]
impl FrameSender for Sender {
    async fn send(&mut self, frames: Vec<Frame>) -> Result<()> {
        let (inner, fate) = self.open()?;
        let mut sending = inner.send(frames);
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => return sent,
                () = fate.change() => if fate.has_come() {
                    break;
                },
            }
        }
        drop(sending);
        self.inner = None;
        Err(cut_error("send frames"))
    }

    async fn close(&mut self) -> Result<()> {
        let (inner, _) = self.open()?;
        inner.close().await
    }
}

struct Receiver {
    /// Empty once the fate has come: dropping it ends the link for the other side.
    inner: Option<Box<dyn FrameReceiver>>,
    line: Line,
    fate: Fate,
}

#[async_trait]
impl FrameReceiver for Receiver {
    async fn receive(&mut self) -> Result<Option<Vec<Frame>>> {
        loop {
            if self.fate.has_come() {
                self.inner = None;
            }
            let Some(inner) = &mut self.inner else {
                return Err(cut_error("receive frames"));
            };
            let delay = self.fate.state.borrow_and_update().delay;
            let step = tokio::select! {
                biased;
                () = self.fate.change() => Step::Again,
                step = self.line.step(inner.as_mut(), delay, |_| Instant::now()) => step,
            };
            match step {
                Step::Due(frames) => return Ok(Some(frames)),
                Step::Ended(end) => return end.map(|()| None),
                Step::Again => {}
            }
        }
    }
}
