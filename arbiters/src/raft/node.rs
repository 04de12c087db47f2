//! The part of the arbiter at one site: answers the other parts, and decides where it leads.

use super::keeper::Keeper;
use super::log::Shelf;
use super::post::{Post, Silence};
use super::words::{Answer, Ask, Call, Kept, Place, Standing, Tell, Types};
use openraft::Raft;
use openraft::error::{CheckIsLeaderError, ClientWriteError, RaftError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long before a question that nobody could decide is asked again.
const AGAIN: Duration = Duration::from_millis(50);
/// For how long a way to the leader is taken without trying it.
const PROVEN_FOR: Duration = Duration::from_millis(500);

/// A part that has begun.
pub(super) struct Node {
    pub own: Place,
    pub raft: Raft<Types>,
    pub keeper: Keeper,
    pub shelf: Shelf,
    pub post: Post,
    /// How long a question to another part may take.
    pub patience: Duration,
    pub proven: Proven,
}

/// By which site the leader was reached last, and when.
#[derive(Debug, Default)]
pub(super) struct Proven(Mutex<Option<(Place, Instant)>>);

impl Proven {
    fn set(&self, site: Option<Place>) {
        let now = Instant::now();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = site.map(|site| (site, now));
    }

    fn newer_than(&self, time: Duration) -> Option<Place> {
        let proven = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proven.filter(|(_, at)| at.elapsed() < time).map(|(site, _)| site)
    }
}

fn no<E: std::fmt::Display>(error: E) -> Tell {
    Tell::No(error.to_string())
}

fn silent(silence: Silence) -> Answer {
    match silence {
        Silence::Undone(why) => Answer::Undone(why),
        Silence::Unknown(why) => Answer::Unknown(why),
    }
}

impl Node {
    /// The end of its log, and its newest ballot.
    pub(super) fn standing(&self) -> Standing {
        self.shelf.look(|state| state.standing())
    }

    /// A part that came with nothing has no vote before it has caught up: what it knew before, it
    /// may have promised to others.
    fn has_vote(&self) -> bool {
        self.shelf.look(|state| Some(state.votes_from.is_none())).unwrap_or(false)
    }

    /// Answers another part.
    pub(super) async fn answer(&self, from: Place, ask: Ask) -> Tell {
        match ask {
            Ask::Standing => Tell::Standing(self.standing()),
            Ask::Vote(_) if !self.has_vote() => {
                no("this site came with nothing, and has not caught up yet")
            }
            Ask::Vote(rpc) => self.raft.vote(rpc).await.map_or_else(no, Tell::Vote),
            Ask::Append(rpc) => self.raft.append_entries(rpc).await.map_or_else(no, Tell::Append),
            Ask::Snapshot(rpc) => {
                self.raft.install_snapshot(rpc).await.map_or_else(no, Tell::Snapshot)
            }
            Ask::Call { call, passed } => Tell::Answer(self.decide_for(from, call, passed).await),
        }
    }

    fn leader(&self) -> Option<Place> {
        self.raft.metrics().borrow().current_leader
    }

    async fn decide_for(&self, from: Place, call: Call, passed: bool) -> Answer {
        match self.leader() {
            Some(leader) if leader == self.own => self.decide(call).await,
            Some(leader) if !passed && leader != from => self.pass_on(leader, call, true).await,
            _ => Answer::Undone("this site does not lead the arbiter".to_owned()),
        }
    }

    async fn pass_on(&self, to: Place, call: Call, passed: bool) -> Answer {
        match self.post.ask(to, Ask::Call { call, passed }, self.patience).await {
            Ok(Tell::Answer(answer)) => answer,
            Ok(_) => Answer::Unknown("another question was answered".to_owned()),
            Err(silence) => silent(silence),
        }
    }

    /// Has a call decided, by whoever leads; tries again while nothing was done and `time` lasts.
    pub(super) async fn call(&self, call: Call, time: Duration) -> Answer {
        let begun = Instant::now();
        loop {
            match self.try_call(&call).await {
                Answer::Undone(why) if begun.elapsed() + AGAIN >= time => {
                    return Answer::Undone(why);
                }
                Answer::Undone(why) => {
                    tracing::debug!(why, "the arbiter is asked again");
                    tokio::time::sleep(AGAIN).await;
                }
                answer => {
                    tracing::debug!(took = ?begun.elapsed(), "the arbiter was asked");
                    return answer;
                }
            }
        }
    }

    async fn try_call(&self, call: &Call) -> Answer {
        if self.leader() == Some(self.own) {
            return self.decide(call.clone()).await;
        }
        let proven = self.proven.newer_than(PROVEN_FOR).filter(|_| *call != Call::Read);
        let to = match (proven, call) {
            (Some(to), _) => to,
            (None, Call::Read) => {
                return match self.way().await {
                    Ok((_, kept)) => Answer::Recorded(kept),
                    Err(why) => Answer::Undone(why),
                };
            }
            (None, _) => match self.way().await {
                Ok((to, _)) => to,
                Err(why) => return Answer::Undone(why),
            },
        };
        let answer = self.pass_on(to, call.clone(), false).await;
        let decided = !matches!(answer, Answer::Undone(_) | Answer::Unknown(_));
        self.proven.set(decided.then_some(to));
        answer
    }

    /// The site by which the leader is reached, and what is recorded: both others are asked, for of
    /// three sites two may not see each other though both see the third. A change goes only where
    /// a read has just come back from, so that few outcomes are unknown.
    async fn way(&self) -> Result<(Place, Option<Kept>), String> {
        let mut asked = JoinSet::new();
        for to in self.post.others(self.own) {
            let (post, patience) = (self.post.clone(), self.patience);
            let read = Ask::Call { call: Call::Read, passed: false };
            asked.spawn(async move { (to, post.ask(to, read, patience).await) });
        }
        let mut trouble = Vec::new();
        while let Some(Ok((to, told))) = asked.join_next().await {
            match told {
                Ok(Tell::Answer(Answer::Recorded(kept))) => {
                    self.proven.set(Some(to));
                    return Ok((to, kept));
                }
                Ok(Tell::Answer(Answer::Undone(why) | Answer::Unknown(why))) => trouble.push(why),
                Ok(_) => trouble.push("another question was answered".to_owned()),
                Err(Silence::Undone(why) | Silence::Unknown(why)) => trouble.push(why),
            }
        }
        trouble.dedup();
        Err(format!("no site is known to lead the arbiter: {}", trouble.join("; ")))
    }

    /// Whether a majority followed this site a moment ago.
    fn was_followed(&self) -> bool {
        let since = self.raft.metrics().borrow().millis_since_quorum_ack;
        since.is_some_and(|since| Duration::from_millis(since) < self.patience / 2)
    }

    /// Has a majority confirm that this site leads; then what is applied here is the newest.
    async fn confirm(&self) -> Result<(), String> {
        match timeout(self.patience, self.raft.ensure_linearizable()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(_)))) => {
                Err("this site leads the arbiter no more".to_owned())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no majority of the sites answers".to_owned()),
        }
    }

    /// Decides a call, if this site leads and a majority confirms that.
    async fn decide(&self, call: Call) -> Answer {
        let begun = Instant::now();
        let answer = self.decided(call).await;
        tracing::debug!(took = ?begun.elapsed(), ?answer, "the arbiter decides");
        answer
    }

    async fn decided(&self, call: Call) -> Answer {
        // A leader that is cut off must not fill its log with what others never see.
        let to_confirm = !matches!(call, Call::Command(_)) || !self.was_followed();
        if to_confirm && let Err(why) = self.confirm().await {
            return Answer::Undone(why);
        }
        match call {
            Call::Read => Answer::Recorded(self.keeper.lock().machine.record().kept.clone()),
            Call::Wait => Answer::Waits(self.keeper.lock().machine.wait(Instant::now())),
            Call::Command(command) => {
                match timeout(self.patience, self.raft.client_write(command)).await {
                    Ok(Ok(written)) => Answer::Verdict(written.data),
                    Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
                        Answer::Unknown("another site leads the arbiter since".to_owned())
                    }
                    Ok(Err(error)) => Answer::Unknown(error.to_string()),
                    Err(_) => Answer::Unknown("no majority of the sites answers".to_owned()),
                }
            }
        }
    }
}
