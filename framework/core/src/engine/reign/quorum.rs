//! Who must agree: any two of three sites, the sites that the charter names, or, with the
//! operator's consent, whoever can be heard (rule R7).

use super::{Effect, Own, Reign, Standing};
use crate::engine::lease::Lease;
use crate::engine::takeover::Assessment;
use crate::model::{Charter, Fence, SiteName, Verdict, listed};
use std::collections::BTreeSet;

impl Reign {
    /// Whether those that agree, this site among them, are enough where `voters` are named.
    pub(super) fn is_quorum(
        &self,
        voters: &[SiteName],
        agrees: impl Fn(&SiteName) -> bool,
    ) -> bool {
        if voters.is_empty() {
            // Where this site's own word does not count, one more of the others takes its place.
            let needed = self.others_needed() + usize::from(self.lacks_word());
            return self.peers.keys().filter(|site| agrees(site)).count() >= needed;
        }
        let own = |site: &SiteName| *site == self.config.site && !self.lacks_word();
        voters.iter().all(|site| own(site) || agrees(site))
    }

    /// Whether enough sites promised to this candidate: by the newest charter, and by the one
    /// before it where it is not known that the newest was ever agreed on.
    pub(super) fn has_quorum(&self) -> bool {
        let (voters, before) = self.both_rules();
        let promised = |site: &SiteName| self.has_promised(site) && self.counts(site);
        let agreed = self.is_quorum(voters, promised) && self.is_quorum(before, promised);
        agreed || self.all_promised_under_a_record()
    }

    /// Whether every registered site promised, and an arbiter keeps the record. Then nothing hangs
    /// on what any of them knew before: each of them has ended what it led, and whatever reign was
    /// begun behind the back of one that forgot is recorded.
    fn all_promised_under_a_record(&self) -> bool {
        let recorded = self.recorded_charter().is_some();
        recorded && self.peers.keys().all(|site| self.has_promised(site))
    }

    /// Who must agree by the newest charter, and by the one before it.
    fn both_rules(&self) -> (&[SiteName], &[SiteName]) {
        self.newest_charter()
            .map_or((&[], &[]), |charter| (&charter.voters[..], &charter.voters_before[..]))
    }

    /// Why this candidate cannot go on, for the operator.
    pub(super) fn lacks_quorum(&self) -> String {
        let (voters, before) = self.both_rules();
        let silent = |site: &&SiteName| {
            let promised = self.has_promised(site) && self.counts(site);
            **site != self.config.site && !promised
        };
        let missing: BTreeSet<&SiteName> = voters.iter().chain(before).filter(silent).collect();
        let rule = if missing.is_empty() {
            let (needed, of) = (self.others_needed() + 1, self.config.registered.len());
            format!("fewer than {needed} of {of} sites promised")
        } else {
            format!("{{{}}} did not promise, without which nothing changes", listed(missing))
        };
        let site = &self.config.site;
        let rule = match self.told_of_novices() {
            Some(novices) => format!("{novices}; {rule}"),
            None => rule,
        };
        format!(
            "{rule} generation {} within {} ms: nothing can be proved; bring another site back; \
             or, if no other site answers hosts or will before it is linked to this one, \
             `trefoil takeover --at {site} --accept-loss --primary-is-fenced`",
            self.promised,
            self.config.promise_timeout_us / 1000
        )
    }

    /// Whether every reachable site that gave its word agrees: with the operator's consent nobody
    /// else is needed.
    pub(super) fn is_everyone_heard(&self, agrees: impl Fn(&SiteName) -> bool) -> bool {
        let gave_word = |site: &SiteName| match &self.standing {
            Standing::Candidate(_) => self.has_promised(site),
            Standing::Primary(primary) => primary.has_word_of(site),
            Standing::Secondary => false,
        };
        let heard = self.peers.iter().filter(|(site, peer)| peer.up && gave_word(site));
        heard.into_iter().all(|(site, _)| agrees(site))
    }

    /// What a candidate that too few sites promised to can prove: nothing.
    pub(super) fn without_quorum(&self, assessment: Assessment) -> Assessment {
        let Standing::Candidate(candidate) = &self.standing else { return assessment };
        match assessment {
            Assessment::Eligible(_) if candidate.without_quorum => {
                let facts = match self.newest_charter() {
                    Some(Charter { voters, .. }) if !voters.is_empty() => {
                        format!("nothing changes without {{{}}}", listed(voters))
                    }
                    _ => format!("nothing changes without two of {}", self.config.registered.len()),
                };
                Assessment::Eligible(Verdict::Unknown(format!(
                    "{facts} by the charter; besides this site only {{{}}} was heard, so what \
                     happened elsewhere is not known",
                    listed(candidate.evidence.keys())
                )))
            }
            other => other,
        }
    }

    /// Who must agree to the next change of a charter of this reign.
    pub(super) fn voters_of(&self, charter: &Charter, now: u64) -> Vec<SiteName> {
        let voters = charter.voters_when_active();
        if self.external.is_some() {
            // Alone, a primary has its lease from the arbiter.
            return voters;
        }
        let me = [self.config.site.clone()];
        let up_to_me = || self.charter.as_ref().is_some_and(|old| old.voters == me);
        let nobody = !self.is_anyone_there(now);
        if voters.is_empty() && nobody && (self.stands_without_quorum() || up_to_me()) {
            return vec![self.config.site.clone()];
        }
        voters
    }

    /// Whether the charter makes everything wait for this site alone, and that is no longer
    /// needed: another one is there.
    pub(super) fn is_needlessly_alone(&self, now: u64) -> bool {
        self.is_up_to_me() && self.is_anyone_there(now) && self.config.fence != Fence::Data
    }

    /// Whether nothing changes without this site, and nobody else is needed.
    pub(super) fn is_up_to_me(&self) -> bool {
        self.charter.as_ref().is_some_and(|charter| charter.is_up_to(&self.config.site))
    }

    /// Whether another site is reachable, was heard of late, and its word counts.
    fn is_anyone_there(&self, now: u64) -> bool {
        let fresh = |heard_at: u64| now.saturating_sub(heard_at) < self.config.lease_us;
        let known = |peer: &super::Peer| peer.view.as_ref().is_some_and(|view| !view.novice);
        self.peers.values().any(|peer| peer.up && known(peer) && fresh(peer.heard_at))
    }

    /// Where nothing changes without this site, nobody else can lead, and nobody is needed to
    /// renew the lease. As soon as that is to end, the ordinary lease is all that counts.
    pub(super) fn go_on_alone(&mut self, effects: &mut Vec<Effect>) {
        let up_to_me = self.is_up_to_me();
        let Standing::Primary(primary) = &mut self.standing else { return };
        let alone = up_to_me && primary.is_active();
        if alone == primary.alone {
            return;
        }
        primary.alone = alone;
        self.lease = if alone { Lease::endless() } else { Lease::default() };
        effects.push(Effect::Lease { until: self.lease.until() });
    }

    /// Whether a renewal by `site` counts. Where voters are named only theirs do: then a voter
    /// that stands alone knows of every lease that may be in use.
    pub(super) fn renews(&self, site: &SiteName) -> bool {
        let Some(charter) = &self.charter else { return true };
        // A rule that names this site is kept by its own word: nobody leads without it.
        let by = |voters: &[SiteName]| {
            voters.is_empty() || voters.contains(site) || voters.contains(&self.config.site)
        };
        by(&charter.voters) && by(&charter.voters_before)
    }

    /// A voter that takes over a charter grants the lease with it: from then on the primary counts
    /// nobody else's, and what others granted before does not last longer.
    pub(super) fn grant_as_voter(&mut self, own: &Own, charter: &Charter) {
        if charter.active && charter.voters.contains(&self.config.site) {
            self.grants.note(&charter.primary, charter.generation, own.now);
        }
    }
}
