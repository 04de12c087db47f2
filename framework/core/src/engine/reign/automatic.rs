//! Taking over without an operator: a member of the in-sync set stands of its own accord in the
//! place of a primary that two of three sites do not hear.
//!
//! Nothing here is needed for safety: promises, the lease and the verdict decide as they do for an
//! operator's takeover, and without consent only `ZERO` leads. What is decided here is when to
//! disturb a reign, so that a link that is down between two sites deposes nobody.

use super::candidate::Candidate;
use super::cause::Cause;
use super::{Effect, Own, Reign, Standing};
use crate::engine::takeover::{self, Assessment, assess};
use crate::model::{Charter, SiteName, Verdict};
use std::collections::BTreeMap;
use std::fmt;

/// Why a site does not take over by itself now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandsBy {
    /// Takeovers are started by the operator.
    Manual,
    /// This site leads, or is about to; or nobody has led yet.
    NothingToDo,
    /// The charter does not name this site in its present incarnation: what was answered to the
    /// host may not be here.
    NotInSync,
    /// The volumes owe an unfinished copy.
    Owing {
        /// How much.
        bytes: u64,
    },
    /// The primary was heard.
    Heard {
        /// The primary.
        primary: SiteName,
        /// How long ago, in microseconds.
        silent_us: u64,
        /// After how long a silence this site stands, in microseconds.
        delay_us: u64,
    },
    /// Too few other sites say that they do not hear the primary either.
    Unconfirmed {
        /// The primary.
        primary: SiteName,
        /// The other site.
        site: SiteName,
        /// How long ago that site heard the primary; `None` if that site is not heard itself.
        silent_us: Option<u64>,
    },
    /// The arbiter does not answer, and no charter is changed without it.
    ArbiterAway {
        /// The primary.
        primary: SiteName,
        /// In words.
        why: String,
    },
    /// Another candidate, or an attempt that failed, is given time.
    BackOff {
        /// The primary.
        primary: SiteName,
        /// How much longer, in microseconds.
        left_us: u64,
    },
}

/// Microseconds as seconds for people.
fn seconds(us: u64) -> String {
    format!("{}.{} s", us / 1_000_000, us / 100_000 % 10)
}

impl fmt::Display for StandsBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manual => f.write_str("off: takeovers are started by `trefoil takeover`"),
            Self::NothingToDo => f.write_str("on: nothing to take over from"),
            Self::NotInSync => f.write_str(
                "not from here: the charter does not name this site as in sync, so zero loss \
                 cannot be proved",
            ),
            Self::Owing { bytes } => {
                write!(f, "not from here: {bytes} bytes of an unfinished copy are owed")
            }
            Self::Heard { primary, silent_us, delay_us } => write!(
                f,
                "ready: {primary} was heard {} ago, this site stands after {}",
                seconds(*silent_us),
                seconds(*delay_us)
            ),
            Self::Unconfirmed { primary, site, silent_us: Some(silent_us) } => write!(
                f,
                "waits: {primary} is not heard here, but {site} heard it {} ago",
                seconds(*silent_us)
            ),
            Self::Unconfirmed { primary, site, silent_us: None } => write!(
                f,
                "waits: {primary} is not heard here, and neither is {site}, which would have to \
                 agree; bring one of them back"
            ),
            Self::ArbiterAway { primary, why } => {
                write!(f, "waits: {primary} is not heard, and {why}")
            }
            Self::BackOff { primary, left_us } => write!(
                f,
                "waits {} more: {primary} is not heard, another candidate may be under way",
                seconds(*left_us)
            ),
        }
    }
}

impl Reign {
    /// When each other site was last heard, by this site's clock. A site that was not heard since
    /// the start counts as heard at the start: a silence is never longer than it was listened for.
    pub fn heard(&self) -> BTreeMap<SiteName, u64> {
        self.peers.iter().map(|(site, peer)| (site.clone(), peer.heard_at)).collect()
    }

    /// How long each other site has been silent at `now`, in microseconds, for heartbeats.
    pub fn silent_us(&self, now: u64) -> BTreeMap<SiteName, u64> {
        let silent = |(site, at): (SiteName, u64)| (site, now.saturating_sub(at));
        self.heard().into_iter().map(silent).collect()
    }

    /// Why this site does not stand by itself now; `Ok` if it may.
    ///
    /// # Errors
    /// The reason.
    pub fn stands_by(&self, own: &Own) -> Result<(), StandsBy> {
        let delay_us = self.config.takeover_delay_us.ok_or(StandsBy::Manual)?;
        let secondary = matches!(self.standing, Standing::Secondary);
        let charter = self.charter.as_ref().filter(|charter| {
            secondary && charter.primary != self.config.site && !charter.settled.is_none()
        });
        let charter = charter.ok_or(StandsBy::NothingToDo)?;
        if !charter.names(&self.config.site, self.incarnation) {
            return Err(StandsBy::NotInSync);
        }
        if own.debt_bytes > 0 {
            return Err(StandsBy::Owing { bytes: own.debt_bytes });
        }
        let primary = &charter.primary;
        let heard_at = self.peers.get(primary).map_or(0, |peer| peer.heard_at);
        let silent_us = own.now.saturating_sub(heard_at);
        if silent_us < delay_us {
            return Err(StandsBy::Heard { primary: primary.clone(), silent_us, delay_us });
        }
        self.confirmed(own, primary, delay_us)?;
        let unread = || (!self.knows_record()).then(|| "the arbiter has not answered yet".into());
        if let Some(why) = self.arbiter_away().or_else(unread) {
            return Err(StandsBy::ArbiterAway { primary: primary.clone(), why });
        }
        let not_before = self.stand_not_before.max(self.takes_over_at.unwrap_or(0));
        if own.now < not_before {
            let left_us = not_before - own.now;
            return Err(StandsBy::BackOff { primary: primary.clone(), left_us });
        }
        Ok(())
    }

    /// Whether enough other sites say that they do not hear the primary: two of three with this
    /// one, as many as a takeover needs.
    fn confirmed(&self, own: &Own, primary: &SiteName, delay_us: u64) -> Result<(), StandsBy> {
        let mut agree = 0;
        let mut against = StandsBy::Unconfirmed {
            primary: primary.clone(),
            site: primary.clone(),
            silent_us: None,
        };
        for (site, peer) in self.peers.iter().filter(|(site, _)| *site != primary) {
            let fresh = peer.up && own.now.saturating_sub(peer.heard_at) < self.config.lease_us;
            let said = peer.silent_us.get(primary).copied().filter(|_| fresh);
            if said.is_some_and(|silent_us| silent_us >= delay_us) {
                agree += 1;
            } else {
                let (primary, site) = (primary.clone(), site.clone());
                against = StandsBy::Unconfirmed { primary, site, silent_us: said };
            }
        }
        if agree >= self.others_needed() { Ok(()) } else { Err(against) }
    }

    /// Stands in the place of a silent primary, if all that speaks for it does.
    pub(super) fn take_over_if_due(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        match self.stands_by(own) {
            Ok(()) if self.takes_over_at.is_none() => {
                let rivals = self.charter.as_ref().map_or(0, |charter| {
                    let others = charter.in_sync.iter().filter(|member| {
                        member.site != self.config.site && member.site != charter.primary
                    });
                    others.count() as u64
                });
                // Nobody else may stand but other members: with none, there is none to wait for.
                let spread = rivals.saturating_mul(self.config.lease_us / 2);
                self.takes_over_at = Some(own.now.saturating_add(own.random % (spread + 1)));
            }
            Ok(()) => {
                self.takes_over_at = None;
                self.stand(own, Cause::Automatic, effects);
            }
            Err(StandsBy::BackOff { .. }) => {}
            Err(_) => self.takes_over_at = None,
        }
    }

    /// Whether `site` is waited for by a candidate or a new primary: a primary whose silence was
    /// the reason to stand is not. One that the operator calls fenced may seem to be there for as
    /// long as its transport needs to find out, so it is not waited for where zero loss is proved
    /// without its word, nor to come along where it did not promise. Where it is not proved, its
    /// word may be what proves it.
    pub(super) fn is_awaited(&self, own: &Own, site: &SiteName) -> bool {
        let Some(peer) = self.peers.get(site).filter(|peer| peer.up) else { return false };
        let silent_us = own.now.saturating_sub(peer.heard_at);
        match &self.standing {
            Standing::Candidate(candidate) if candidate.cause == Cause::Automatic => {
                silent_us < self.config.lease_us
            }
            Standing::Primary(primary) if primary.cause() == Cause::Automatic => {
                silent_us < self.config.lease_us
            }
            Standing::Candidate(candidate) if candidate.cause.fenced() => {
                let charter = self.newest_charter();
                let leads = charter.is_some_and(|charter| charter.primary == *site);
                let proved =
                    || matches!(self.assess(own, candidate), Assessment::Eligible(Verdict::Zero));
                !(leads && proved())
            }
            Standing::Primary(primary) if primary.cause().fenced() => primary.has_word_of(site),
            _ => true,
        }
    }

    pub(super) fn has_promised(&self, site: &SiteName) -> bool {
        let Standing::Candidate(candidate) = &self.standing else { return false };
        candidate.evidence.contains_key(site)
    }

    /// Why this candidate must not go on, now that it knows the newest charter of those that
    /// promised; an operator may always.
    pub(super) fn may_not_fence(&self, own: &Own) -> Option<String> {
        let Standing::Candidate(candidate) = &self.standing else { return None };
        let elsewhere = |charter: &Charter| charter.primary != self.config.site;
        match candidate.cause {
            Cause::Operator(_) => None,
            Cause::Named => self
                .newest_charter()
                .is_some_and(elsewhere)
                .then(|| "another site led last; it, or `takeover`, decides".into()),
            Cause::Automatic => match self.assess(own, candidate) {
                Assessment::RollForward { .. } | Assessment::Eligible(Verdict::Zero) => None,
                Assessment::Eligible(verdict) => {
                    Some(format!("no takeover without an operator: {verdict}"))
                }
                Assessment::GiveWay { why, .. } => {
                    Some(format!("no takeover without an operator: {why}"))
                }
            },
        }
    }

    /// May this candidate lead, by what is known now?
    pub(super) fn assess(&self, own: &Own, candidate: &Candidate) -> Assessment {
        assess(&takeover::Standing {
            site: &self.config.site,
            view: &self.view(own),
            lineage: &own.lineage,
            evidence: &candidate.evidence,
            charter: self.newest_charter(),
            registered: &self.config.registered,
            began_blank: candidate.began_blank,
            handover: own.handover.as_ref(),
        })
    }

    /// An attempt that was nobody's wish failed: it is tried again after a while, not at the same
    /// time as others.
    pub(super) fn back_off(&mut self, own: &Own) {
        self.standing = Standing::Secondary;
        let pause = self.config.deposed_pause_us;
        let pause = pause / 2 + own.random % pause.max(1);
        self.stand_not_before = own.now.saturating_add(pause);
    }
}
