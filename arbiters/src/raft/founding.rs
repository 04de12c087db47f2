//! How a part of the arbiter begins: with what it kept, with the others for the first time, or in
//! the place of one that lost what it kept.

use super::keeper::Keeper;
use super::log::Shelf;
use super::node::{Node, Proven};
use super::post::{Post, Silence};
use super::store::State;
use super::words::{Ask, Ballot, Entry, Place, Standing, Tell};
use openraft::{Config, EmptyNode, EntryPayload, LogId, Membership, Raft, SnapshotPolicy};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::model::SiteName;
use trefoil_core::{Error, ErrorKind, Result};

/// How often those that are not heard yet are asked again, and how long they have.
const AGAIN: Duration = Duration::from_millis(200);
const HEARD_WITHIN: Duration = Duration::from_secs(1);
/// A snapshot takes the place of so many entries.
const SNAPSHOT_EVERY: u64 = 64;
/// So many entries before a snapshot are kept for sites that are a little behind.
const KEPT_BEFORE: u64 = 16;
/// The lengths of a lease from which Raft's times are taken, in milliseconds.
const LEASE_MS: std::ops::RangeInclusive<u64> = 400..=4000;

/// The least and the most that a question between sites may take.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1500));

/// What a part is made of.
#[derive(Clone)]
pub(super) struct Parts {
    pub own: Place,
    pub sites: Arc<[SiteName]>,
    pub shelf: Shelf,
    pub post: Post,
    pub lease: Duration,
}

/// Raft's times: a leader that is lost is replaced within the length of a lease.
fn config(lease: Duration) -> Result<Config> {
    let lease = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
    let lease = lease.clamp(*LEASE_MS.start(), *LEASE_MS.end());
    Config {
        cluster_name: "trefoil".to_owned(),
        heartbeat_interval: lease / 6,
        election_timeout_min: lease * 3 / 8,
        election_timeout_max: lease / 2,
        install_snapshot_timeout: lease,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
        max_in_snapshot_log_to_keep: KEPT_BEFORE,
        ..Config::default()
    }
    .validate()
    .map_err(|error| Error::with_source(ErrorKind::Invalid, "set up arbiter raft", error))
}

/// The first entry of every log, the same at each site.
fn first_entry(sites: usize) -> Entry {
    let places: Vec<Place> = (0..sites as Place).collect();
    let nodes: BTreeMap<Place, EmptyNode> =
        places.iter().map(|place| (*place, EmptyNode {})).collect();
    let members = Membership::new(vec![places.into_iter().collect()], nodes);
    Entry { log_id: LogId::default(), payload: EntryPayload::Membership(members) }
}

/// The later of two ballots.
fn later(one: Option<Ballot>, other: Option<Ballot>) -> Option<Ballot> {
    match one.partial_cmp(&other) {
        Some(Ordering::Less) => other,
        _ => one,
    }
}

/// What a part keeps that came with nothing, while the two others stand there.
///
/// Where those have begun, this site may have voted and stored entries before it lost them. Every
/// candidate that it ever voted for keeps that ballot itself, and whoever committed an entry with
/// this site's help has it in its log. So it takes part in no older ballot than the others', and
/// has no vote before its log reaches to the end of theirs.
fn begin(sites: &[SiteName], others: &[Standing]) -> State {
    let mut state = State::new(sites.to_vec());
    state.ballot = others.iter().map(|other| other.ballot).fold(None, later);
    let last = others.iter().filter_map(|other| other.last).max();
    if last.is_some_and(|last| last.index > 0) {
        state.votes_from = last;
    } else {
        state.log.insert(0, first_entry(sites.len()));
    }
    state
}

impl Parts {
    /// Whether it keeps nothing.
    pub(super) fn is_blank(&self) -> bool {
        self.shelf.lock().state().is_none()
    }

    /// Hears both others, and begins as what they say allows.
    async fn hear(&self) -> Result<()> {
        let mut heard = BTreeMap::new();
        while heard.len() + 1 < self.sites.len() {
            for other in self.post.others(self.own) {
                let asked = self.post.ask(other, Ask::Standing, HEARD_WITHIN).await;
                match asked {
                    Ok(Tell::Standing(standing)) => drop(heard.insert(other, standing)),
                    Ok(_) | Err(Silence::Undone(_) | Silence::Unknown(_)) => {
                        heard.remove(&other);
                    }
                }
            }
            if heard.len() + 1 < self.sites.len() {
                tokio::time::sleep(AGAIN).await;
            }
        }
        let others: Vec<Standing> = heard.into_values().collect();
        let state = begin(&self.sites, &others);
        tracing::info!(waits = state.votes_from.is_some(), "the arbiter begins at this site");
        let failed = |source| Error::io("begin arbiter", source);
        self.shelf.lock().begin(state).map_err(failed)
    }

    /// The part, once it may begin.
    pub(super) async fn found(self) -> Result<Node> {
        if self.is_blank() {
            self.hear().await?;
        }
        let keeper = Keeper::new(self.shelf.clone());
        let votes = self.shelf.look(|state| state.votes_from.is_none());
        let config = Config { enable_elect: votes, ..config(self.lease)? };
        let Self { own, sites: _, shelf, post, lease } = self;
        let raft = Raft::new(own, Arc::new(config), post.clone(), shelf.clone(), keeper.clone())
            .await
            .map_err(|error| Error::with_source(ErrorKind::Io, "start arbiter raft", error))?;
        let (patience, proven) = (lease.clamp(PATIENCE.0, PATIENCE.1), Proven::default());
        Ok(Node { own, raft, keeper, shelf, post, patience, proven })
    }
}

impl Node {
    /// Gives this site its vote once it has caught up, if it came with nothing.
    pub(super) async fn catch_up(&self) {
        loop {
            let (from, last) = self.shelf.look(|state| (state.votes_from, state.last()));
            if from.is_none() {
                return;
            }
            if last >= from {
                if self.shelf.change(|state| state.votes_from = None).is_ok() {
                    self.raft.runtime_config().elect(true);
                    tracing::info!("the arbiter has caught up at this site, which votes again");
                }
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft::CommittedLeaderId;

    fn sites() -> Vec<SiteName> {
        ["a", "b", "c"].map(|site| SiteName::new(site).unwrap()).to_vec()
    }

    fn standing(term: u64, index: u64) -> Standing {
        let last = Some(LogId::new(CommittedLeaderId::new(term, 0), index));
        Standing { ballot: Some(Ballot::new(term + 1, 1)), last }
    }

    #[test]
    fn three_blank_sites_begin_alike() {
        let one = begin(&sites(), &[Standing::default(), Standing::default()]);
        assert_eq!(one.votes_from, None);
        // The second hears one that has begun, and nothing else.
        let begun = Standing { ballot: Some(Ballot::new(1, 0)), last: one.last() };
        let other = begin(&sites(), &[begun, Standing::default()]);
        assert_eq!((other.votes_from, other.last()), (None, one.last()));
        assert_eq!(other.ballot, Some(Ballot::new(1, 0)));
    }

    #[test]
    fn who_comes_with_nothing_to_others_that_began_has_no_vote_before_it_reaches_their_end() {
        let state = begin(&sites(), &[standing(3, 9), standing(2, 12)]);
        assert_eq!(state.votes_from, standing(3, 9).last, "the end is the one of the later term");
        assert_eq!(state.ballot, Some(Ballot::new(4, 1)));
        assert!(state.last() < state.votes_from);
    }

    #[test]
    fn a_lost_leader_is_replaced_within_a_lease() {
        for lease in [200, 1000, 2000, 60_000] {
            let config = config(Duration::from_millis(lease)).unwrap();
            assert!(2 * config.election_timeout_max <= lease.max(*LEASE_MS.start()));
            assert!(config.heartbeat_interval * 2 < config.election_timeout_min);
        }
    }
}
