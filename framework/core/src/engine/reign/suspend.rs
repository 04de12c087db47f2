//! Legs that the operator suspended: a leg that nobody waits for is no longer served; one that is
//! waited for is out of the charter first, as any other that leaves (rules R5, R6).

use super::{Effect, Reign, Standing};
use crate::model::{Member, SiteName};
use crate::{Error, Result};
use std::collections::BTreeSet;

impl Reign {
    /// The same, with these legs suspended: what was durable at the start.
    #[must_use]
    pub fn with_suspended(self, suspended: BTreeSet<SiteName>) -> Self {
        Self { suspended, ..self }
    }

    /// Whether the operator suspended the leg to `site`.
    pub fn is_suspended(&self, site: &SiteName) -> bool {
        self.suspended.contains(site)
    }

    /// A member that is to leave by the operator's word.
    pub(super) fn suspended_member(&self, in_sync: &[Member]) -> Option<SiteName> {
        let member = in_sync.iter().find(|member| self.suspended.contains(&member.site));
        member.map(|member| member.site.clone())
    }

    /// Whether `from` may be served, as far as the operator goes: a suspended leg is, until nobody
    /// waits for it any more.
    pub(super) fn check_suspended(&self, from: &SiteName) -> Result<()> {
        if !self.suspended.contains(from) || self.is_waited_for(from) {
            return Ok(());
        }
        let site = &self.config.site;
        Err(Error::unavailable(format!(
            "the leg from site {site} is suspended by the operator; `trefoil pair resume --site \
             {site} --to {from}` lets it go on"
        )))
    }

    fn is_waited_for(&self, site: &SiteName) -> bool {
        let named = self.charter.as_ref().is_some_and(|charter| charter.member(site).is_some());
        let Standing::Primary(primary) = &self.standing else { return named };
        named || primary.is_acking(site)
    }

    /// Ends the sessions of suspended legs that nobody waits for.
    pub(super) fn stop_suspended(&self, effects: &mut Vec<Effect>) {
        let Standing::Primary(primary) = &self.standing else { return };
        let idle = self.suspended.iter().filter(|site| {
            primary.is_active() && primary.report(site).connected && !self.is_waited_for(site)
        });
        effects.extend(idle.cloned().map(Effect::StopServing));
    }
}
