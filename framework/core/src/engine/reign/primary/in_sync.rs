//! Who is waited for, and who is named: one charter at a time, the acking set always the larger
//! (rules R5 and R6).

use crate::engine::reign::{Effect, Own, Reign, Standing};
use crate::model::{LegMode, Member, SiteName};

impl Reign {
    /// Lets legs join and leave the acking set, one charter at a time.
    pub(super) fn keep_set(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        let Some(charter) = &self.charter else { return };
        let (in_sync, untold) = (charter.in_sync.clone(), charter.untold.is_some());
        let unsettled = charter.voters != charter.voters_before;
        if untold || unsettled || self.is_needlessly_alone(own.now) {
            // Told when the host was answered first: no takeover has to say it again. And agreed
            // on: nobody needs those any more whom the charter before it named.
            self.propose_set(own, in_sync, effects);
            return;
        }
        if let Some(out) = self.to_exclude(own, &in_sync) {
            let rest = in_sync.into_iter().filter(|member| member.site != out).collect();
            if let Standing::Primary(primary) = &mut self.standing {
                // Even if it was only proposed before: only a newer charter settles it (H26).
                primary.legs.entry(out).or_default().proposed = true;
            }
            self.propose_set(own, rest, effects);
            return;
        }
        self.drop_unnamed(own, &in_sync, effects);
        self.join_close(own, effects);
        if let Some(member) = self.to_include(&in_sync) {
            let mut more = in_sync;
            more.push(member.clone());
            if let Standing::Primary(primary) = &mut self.standing {
                primary.legs.entry(member.site).or_default().proposed = true;
            }
            self.propose_set(own, more, effects);
        }
    }

    /// A member that was waited for too long, came back as another incarnation, or must be copied.
    fn to_exclude(&self, own: &Own, in_sync: &[Member]) -> Option<SiteName> {
        let Standing::Primary(primary) = &self.standing else { return None };
        let named = |site: &SiteName| in_sync.iter().any(|member| &member.site == site);
        if let Some(out) = self.suspended_member(in_sync).or_else(|| self.unwanted_member(in_sync))
        {
            return Some(out);
        }
        let grace = self.config.leg_grace_us;
        let gone = primary.legs.iter().find(|(site, leg)| {
            // It came back as another incarnation while the charter was on its way.
            let other = in_sync.iter().any(|member| {
                let same = member.incarnation == leg.report.incarnation;
                member.site == **site && leg.report.connected && !same
            });
            let unfit = (self.drops_silent() && leg.overdue(own.now, grace))
                || leg.replaced
                || leg.report.must_leave
                || other
                || self.suspended.contains(*site);
            (named(site) || leg.proposed) && unfit
        });
        if let Some((site, _)) = gone {
            return Some(site.clone());
        }
        // A member that was never served in this reign, be it that its history parted.
        let late = self.drops_silent()
            && own.now >= primary.carry_until.saturating_add(self.config.leg_grace_us);
        let never = |site: &SiteName| {
            primary.legs.get(site).is_none_or(|leg| !leg.report.connected && leg.lost_at.is_none())
        };
        let missing = in_sync.iter().find(|m| m.site != self.config.site && never(&m.site));
        missing.filter(|_| late).map(|member| member.site.clone())
    }

    /// Stops waiting for legs that no charter of this reign ever named.
    fn drop_unnamed(&mut self, own: &Own, in_sync: &[Member], effects: &mut Vec<Effect>) {
        let grace = self.config.leg_grace_us;
        let waits = self.names_mirrors();
        let Standing::Primary(primary) = &mut self.standing else { return };
        for (site, leg) in &mut primary.legs {
            let named = in_sync.iter().any(|member| &member.site == site);
            let unfit = leg.replaced
                || leg.report.must_leave
                || leg.report.debt_bytes > 0
                || self.suspended.contains(site);
            let overdue = leg.overdue(own.now, grace) || (!waits && !leg.report.connected);
            if leg.acking && !leg.proposed && !named && (overdue || unfit) {
                leg.leave();
                effects.push(Effect::Leave(site.clone()));
            }
            if !leg.acking && !named {
                leg.replaced = false;
                leg.report.must_leave = false;
            }
        }
    }

    /// Begins to wait for sync legs that are close.
    fn join_close(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        let grace = self.config.leg_grace_us;
        // Whoever is waited for is waited for until a charter says otherwise: without the arbiter
        // nobody new is.
        let away = self.arbiter_away().is_some();
        let Standing::Primary(primary) = &mut self.standing else { return };
        for (site, leg) in &mut primary.legs {
            let sync = self.config.modes.get(site) == Some(&LegMode::Sync);
            let lacks = own.newest.number.since(leg.report.marks.received);
            let close = lacks <= self.config.join_updates_max;
            let fit = leg.report.connected
                && leg.report.debt_bytes == 0
                && !leg.replaced
                && !leg.left
                && !self.suspended.contains(site)
                && (leg.acking || !away)
                && !leg.overdue(own.now, grace);
            if sync && fit && close && (!leg.acking || leg.back) && !leg.report.must_leave {
                leg.acking = true;
                leg.back = false;
                // What the report says of it was about an earlier wait.
                leg.report.may_include = false;
                effects.push(Effect::Join(site.clone()));
            }
        }
    }

    /// A site that is waited for and holds what was assigned before (rule R5).
    fn to_include(&self, in_sync: &[Member]) -> Option<Member> {
        if !self.names_mirrors() {
            return None;
        }
        let Standing::Primary(primary) = &self.standing else { return None };
        primary.legs.iter().find_map(|(site, leg)| {
            let named = in_sync.iter().any(|member| &member.site == site);
            let fit = leg.report.connected
                && leg.report.debt_bytes == 0
                && !leg.replaced
                && !self.suspended.contains(site);
            // Whoever is in sync may have to lead: its word has to count for that.
            (leg.acking && !named && fit && leg.report.may_include && self.counts(site))
                .then(|| Member { site: site.clone(), incarnation: leg.report.incarnation })
        })
    }
}
