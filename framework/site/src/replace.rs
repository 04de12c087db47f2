//! A site whose machine is gone for good is replaced by a new one of the same name.

use crate::actor::Replace;
use crate::handle::{Group, hand};
use crate::plan::{PlanOutcome, Verb, VerbPlan, with_group};
use tokio::sync::oneshot;
use trefoil_core::engine::readiness::{Pace, Resync};
use trefoil_core::engine::reign::Refusal;
use trefoil_core::engine::replace::{Predecessor, Replacement};
use trefoil_core::model::{PlanKind, SiteName};
use trefoil_core::{Error, Result};

impl Group {
    /// Replaces another site for good, by the word of an operator at the site that leads: whoever
    /// was born as it was is refused from now on, at this site and at every other one; nothing is
    /// kept for it any more; and a new site of its name, which begins with nothing, is let in and
    /// filled. Returns once all of that is durable at every other site. May be run again after
    /// whatever went wrong in the middle.
    ///
    /// # Errors
    /// `Invalid` if the group has no such other site; `Refused` where something may be lost with it
    /// (unless `accept_loss`), where it is up or in sync, or where this site does not lead;
    /// `Unavailable` where another site is not heard, which must know of it, too.
    pub async fn replace_site(&self, site: &SiteName, accept_loss: bool) -> Result<Predecessor> {
        let found = self.ask_replace(site, accept_loss, false).await?;
        let found = found.map_err(|Refusal { unreachable, why }| {
            let error = if unreachable { Error::unavailable } else { Error::refused };
            error(format!("replace site {site}: {}", with_group(&why, self.name())))
        })?;
        let (Replacement::Ready(predecessor) | Replacement::Done(predecessor)) = found;
        Ok(predecessor)
    }

    /// What [`Group::replace_site`] would do here now.
    ///
    /// # Errors
    /// `Invalid` if the group has no such other site; `Closed` when the site stops.
    pub async fn plan_replace(&self, site: &SiteName, accept_loss: bool) -> Result<VerbPlan> {
        let mut plan = self.blank_plan(Verb::SiteReplace);
        let here = self.site().clone();
        match self.ask_replace(site, accept_loss, true).await? {
            Err(refusal) => self.refuse(&mut plan, &refusal),
            Ok(Replacement::Done(_)) => {
                plan.outcome = PlanOutcome::NothingToDo;
                plan.why = format!("site {site} was replaced already; start its successor");
            }
            Ok(Replacement::Ready(Predecessor { born, last, lacked })) => {
                plan.why = format!(
                    "site {site} (born as {born}, last heard at {}.{}, {lacked} updates behind) \
                     would be refused for ever, and nothing be kept for it",
                    last.generation, last.number
                );
                let consent = if accept_loss { " --accept-loss" } else { "" };
                let verb = format!("site replace {site} --at {here}{consent}");
                plan.next = vec![self.command(&verb)];
                plan.resyncs = vec![self.filling(site, here)];
            }
        }
        Ok(plan)
    }

    /// How a successor is filled: by all there is, where its volumes hold nothing.
    fn filling(&self, follower: &SiteName, source: SiteName) -> Resync {
        let bytes = self.status().volumes.iter().map(|volume| volume.size).sum();
        Resync {
            follower: follower.clone(),
            source,
            kind: PlanKind::Copy,
            updates: 0,
            bytes,
            takes_us: Pace { bytes_per_second: None, rtt_us: 0 }.takes_us(bytes),
            why:
                "its successor begins with nothing; ranges of zeroes do not travel, and where its \
                  volumes hold data only what differs does"
                    .into(),
        }
    }

    async fn ask_replace(
        &self,
        site: &SiteName,
        accept_loss: bool,
        dry: bool,
    ) -> Result<Result<Replacement, Refusal>> {
        if site != self.site() && !self.peers.contains_key(site) {
            let group = self.name();
            return Err(Error::invalid(format!("find site {site}: group {group} has none")));
        }
        let (reply, answer) = oneshot::channel();
        hand(&self.reign, Replace { site: site.clone(), accept_loss, dry, reply })?;
        answer.await.map_err(|_| Error::closed("replace site: the site is stopping"))
    }
}
