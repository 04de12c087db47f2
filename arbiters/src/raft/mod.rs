//! The charter of a group in an embedded Raft group of its sites: two of three decide.
//!
//! ```text
//!  site: reign ──▶ Raft ──▶ Node ──▶ openraft ──▶ Shelf (log, ballot: store.rs)
//!                    ▲        │          ├──────▶ Keeper (the record: machine.rs)
//!  links ──deliver───┘        └── Post ──┴──────▶ Courier ──▶ the other sites
//! ```
//!
//! Every group has a Raft group of its own, whose parts talk over the group's links. A part has a
//! thread of its own, since it must answer while the site's threads are busy. What it keeps is one
//! small file. A call that comes to a site which does not lead is passed on, once more by the third
//! site where the leader is not reached.

mod founding;
mod keeper;
mod log;
mod machine;
mod node;
mod part;
mod post;
mod store;
mod words;

use async_trait::async_trait;
use bytes::Bytes;
use founding::Parts;
use log::Shelf;
use machine::Lease;
use part::Part;
use post::Post;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use store::Store;
use tokio::sync::{mpsc, oneshot};
use trefoil_core::model::{Charter, GroupName, SiteName};
use trefoil_core::port::{Arbiter, ChangeOutcome, Courier, LeaseRequest, Recorded};
use trefoil_core::{Error, Result};
use words::{Answer, Call, Command, Verdict};

/// How many messages of other sites may wait; what is more is lost, and sent again.
const MESSAGES_MAX: usize = 64;
/// How many orders of the site may wait: it makes two calls at a time.
const ORDERS_MAX: usize = 16;

/// What a part of the arbiter is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftOptions {
    /// The group whose charter is kept.
    pub group: GroupName,
    /// The site of this part.
    pub site: SiteName,
    /// All three sites of the group, this one included, in any order.
    pub sites: Vec<SiteName>,
    /// Where the part keeps its file, `GROUP.arbiter`.
    pub dir: PathBuf,
    /// How long leases are. Raft's own times are taken from it: a leader of the arbiter that is
    /// lost is replaced within this time, and a round trip between sites has a sixth of it.
    pub lease: Duration,
}

fn listed(sites: &[SiteName]) -> String {
    sites.iter().map(SiteName::as_str).collect::<Vec<_>>().join(", ")
}

/// What the thread of a part is told.
enum Order {
    Call(Call, oneshot::Sender<Answer>),
    /// To forget what it keeps, and to begin anew.
    Forget(oneshot::Sender<Result<()>>),
}

/// The part at one site. Dropping it ends it, and waits for that.
pub struct Raft {
    about: String,
    post: Post,
    messages: mpsc::Sender<(SiteName, Bytes)>,
    /// Dropped first: that ends the thread.
    orders: Option<mpsc::Sender<Order>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Raft {
    /// The part of an arbiter at a site. It works once it was told how to reach the others
    /// ([`Arbiter::join`]), and where nothing is kept yet, once both of them were heard.
    ///
    /// # Errors
    /// [`trefoil_core::ErrorKind::Invalid`] unless there are three sites, this one among them;
    /// [`trefoil_core::ErrorKind::Corrupt`] for a file that is damaged, or of other sites; what the
    /// file system says.
    pub fn open(options: RaftOptions) -> Result<Self> {
        Self::check(&options.site, &options.sites)?;
        let RaftOptions { group, site, mut sites, dir, lease } = options;
        sites.sort();
        let store = Store::open(&dir, &group, &sites)?;
        let about = format!("raft of {}", listed(&sites));
        let sites: Arc<[SiteName]> = sites.into();
        let post = Post::new(sites.clone());
        let own = post.place(&site).ok_or_else(|| Error::invalid("open arbiter: no such site"))?;
        let parts = Parts { own, sites, shelf: Shelf::new(store), post: post.clone(), lease };
        let (messages, inbox) = mpsc::channel(MESSAGES_MAX);
        let (orders, told) = mpsc::channel(ORDERS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|source| Error::io("start arbiter: no runtime", source))?;
        let run = move || runtime.block_on(Part::new(parts).run(inbox, told));
        let thread = std::thread::Builder::new()
            .name("trefoil-arbiter".to_owned())
            .spawn(run)
            .map_err(|source| Error::io("start arbiter: no thread", source))?;
        Ok(Self { about, post, messages, orders: Some(orders), thread: Mutex::new(Some(thread)) })
    }

    /// Whether a group of these sites can have such an arbiter.
    ///
    /// # Errors
    /// [`trefoil_core::ErrorKind::Invalid`], with what to use in its place.
    pub fn check(site: &SiteName, sites: &[SiteName]) -> Result<()> {
        let unlike = |at: usize| !sites[..at].contains(&sites[at]);
        if sites.len() != 3 || !(0..3).all(unlike) || !sites.contains(site) {
            return Err(Error::invalid(format!(
                "set up arbiter raft: it takes three sites, of which two decide; the group has \
                 {}. Use `manual` or an arbiter outside of the sites",
                listed(sites)
            )));
        }
        Ok(())
    }

    fn ended(&self) -> Error {
        Error::closed(format!("ask {}: it has ended", self.about))
    }

    async fn order(&self, order: Order) -> Result<()> {
        let orders = self.orders.as_ref().ok_or_else(|| self.ended())?;
        orders.send(order).await.map_err(|_| self.ended())
    }

    async fn ask(&self, call: Call) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Call(call, reply)).await?;
        match answer.await.map_err(|_| self.ended())? {
            Answer::Undone(why) | Answer::Unknown(why) => {
                Err(Error::unavailable(format!("ask {}: {why}", self.about)))
            }
            answer => Ok(answer),
        }
    }

    fn strange(&self, answer: &Answer) -> Error {
        Error::corrupt(format!("ask {}: another question was answered: {answer:?}", self.about))
    }

    async fn command(&self, command: Command) -> Result<Verdict> {
        match self.ask(Call::Command(command)).await? {
            Answer::Verdict(verdict) => Ok(verdict),
            other => Err(self.strange(&other)),
        }
    }
}

impl Drop for Raft {
    fn drop(&mut self) {
        drop(self.orders.take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A part that panicked has ended as well.
        let _ = thread.map(JoinHandle::join);
    }
}

#[async_trait]
impl Arbiter for Raft {
    async fn read(&self) -> Result<Option<Recorded>> {
        match self.ask(Call::Read).await? {
            Answer::Recorded(kept) => Ok(kept.map(Recorded::from)),
            other => Err(self.strange(&other)),
        }
    }

    async fn compare_and_set(&self, expected: u64, charter: Charter) -> Result<ChangeOutcome> {
        match self.command(Command::Change { expected, charter }).await? {
            Verdict::Won(version) => Ok(ChangeOutcome::Won(version)),
            Verdict::Lost(kept) => Ok(ChangeOutcome::Lost(kept.map(Recorded::from))),
            Verdict::Refused(why) => Err(Error::refused(why)),
            other => Err(self.strange(&Answer::Verdict(other))),
        }
    }

    async fn renew(&self, lease: LeaseRequest) -> Result<Duration> {
        let LeaseRequest { holder, generation, duration } = lease;
        match self.command(Command::Grant(Lease { holder, generation, duration })).await? {
            Verdict::Granted(duration) => Ok(duration),
            Verdict::Fenced(why) => Err(Error::fenced(why)),
            other => Err(self.strange(&Answer::Verdict(other))),
        }
    }

    async fn takeover_wait(&self) -> Result<Duration> {
        match self.ask(Call::Wait).await? {
            Answer::Waits(time) => Ok(time),
            other => Err(self.strange(&other)),
        }
    }

    fn describe(&self) -> String {
        self.about.clone()
    }

    fn join(&self, courier: Arc<dyn Courier>) {
        self.post.join(courier);
    }

    async fn set_back(&self) -> Result<()> {
        let (reply, done) = oneshot::channel();
        self.order(Order::Forget(reply)).await?;
        done.await.map_err(|_| self.ended())?
    }

    fn deliver(&self, from: &SiteName, message: Bytes) {
        // What finds no room is lost, as on a link that is cut: it is sent again.
        let _ = self.messages.try_send((from.clone(), message));
    }
}
