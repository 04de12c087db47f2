//! Who decides who leads, where it is not two of three sites themselves.

use crate::Result;
use crate::model::{Charter, Generation, SiteName};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// The longest message of an arbiter, in bytes.
pub const ARBITER_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Carries messages between the parts of an arbiter that lives in the sites: over the group's own
/// links, so that whoever may not be heard as a site is not heard as a part of the arbiter either.
pub trait Courier: Send + Sync {
    /// Sends a message of at most [`ARBITER_MESSAGE_BYTES_MAX`] bytes to the part at another site.
    /// False if there is no link now: then it certainly does not arrive. True promises nothing:
    /// messages may be lost, though none is changed.
    fn send(&self, to: &SiteName, message: Bytes) -> bool;
}

/// A charter, and which change of it this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Counts the changes from 1, whoever made them. It only grows.
    pub version: u64,
    /// What was recorded.
    pub charter: Charter,
}

/// How a change ended whose outcome is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// The charter is recorded, under this version.
    Won(u64),
    /// Another change was first; this one left nothing behind. What is recorded now.
    Lost(Option<Recorded>),
}

/// What a primary asks for: to go on answering for some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The site that answers.
    pub holder: SiteName,
    /// The reign in which it does.
    pub generation: Generation,
    /// For how long.
    pub duration: Duration,
}

/// Keeps the charter of one group, and the lease of its primary.
///
/// Where there is none, two of three sites record it themselves (`engine::reign`, `manual`). Where
/// there is one, a site takes for the charter what it has recorded, and nothing else.
///
/// # To be correct
/// - All calls, of all sites, are as if done one after the other at one place (linearizable), also
///   over a restart of the arbiter: what was answered once is never taken back.
/// - `compare_and_set` records the charter if and only if `expected` is the version recorded now
///   (0: nothing is recorded yet). Of several changes of one version one is won at most, and every
///   change makes a higher version.
/// - A charter that does not rank above the recorded one ([`Charter::rank`]) is
///   [`ErrorKind::Refused`](crate::ErrorKind::Refused): reigns never go back.
/// - An error of any other kind means that the outcome is unknown: the change was made, or will
///   never be. Reading tells which. (Sites also bear a change that is made after it was not read:
///   they repeat it as it is, or see that its version is gone.)
/// - A lease is granted to the primary of the recorded charter in its own generation alone, for no
///   longer than asked; anybody else is [`ErrorKind::Fenced`](crate::ErrorKind::Fenced), which
///   changes nothing. The holder counts the grant from *before* it asked, by its own clock.
/// - `takeover_wait` is never shorter than what is left of any lease that was granted in an older
///   generation than the recorded one or to another site, a margin for clocks that run at
///   different speeds included. It ends: with no grant it gets to zero.
///
/// `trefoil_core::conformance::arbiter` proves these.
#[async_trait]
pub trait Arbiter: Send + Sync {
    /// What is recorded; `None` before the first change.
    async fn read(&self) -> Result<Option<Recorded>>;

    /// Records `charter` if `expected` is the version recorded now.
    async fn compare_and_set(&self, expected: u64, charter: Charter) -> Result<ChangeOutcome>;

    /// Grants or renews a lease; returns for how long.
    async fn renew(&self, lease: LeaseRequest) -> Result<Duration>;

    /// For how long a lease of a primary that is not the recorded one may still be in use, counted
    /// from when the answer came.
    async fn takeover_wait(&self) -> Result<Duration>;

    /// What it is, for people: `etcd https://10.0.0.9:2379`.
    fn describe(&self) -> String;

    /// Of which kind it is, the first word of that: sites that ask different kinds refuse each
    /// other, since each kind has a record of its own.
    fn kind(&self) -> String {
        self.describe().split(' ').next().unwrap_or_default().to_owned()
    }

    /// How its part at this site reaches those at the others, where it lives in the sites. Called
    /// once, before the first question. Others need none.
    fn join(&self, courier: Arc<dyn Courier>) {
        drop(courier);
    }

    /// This site is an older copy of itself, as the others remember, and so is what a part of the
    /// arbiter keeps beside it: that part must count for nothing before it has heard the others,
    /// also after a restart. Where it keeps nothing there is nothing to do.
    async fn set_back(&self) -> Result<()> {
        Ok(())
    }

    /// A message that its part at the site `from` sent. It must not block; what is too much may be
    /// dropped.
    fn deliver(&self, from: &SiteName, message: Bytes) {
        let _ = (from, message);
    }
}
