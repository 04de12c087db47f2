//! The operator wants this site to lead.

use super::cause::Cause;
use super::{Effect, Own, Refusal, Reign, TakeoverOptions};
use crate::model::Fence;

impl Reign {
    /// Begins a takeover, or says why not.
    pub(super) fn takeover(
        &mut self,
        own: &Own,
        options: TakeoverOptions,
        effects: &mut Vec<Effect>,
    ) {
        let refusal = self.takeover_refusal(own, options);
        let away = self.arbiter_away();
        if let Some(why) = refusal.clone().or(away) {
            let why = Refusal { unreachable: refusal.is_none(), why };
            effects.push(Effect::TakeoverFailed { why });
            return;
        }
        if self.leads().is_some() {
            self.stand_down(own, effects);
        }
        if own.debt_bytes > 0 {
            return self.go_back(own, options, effects);
        }
        self.stand(own, Cause::Operator(options), effects);
    }

    /// Whether a leading site may stand again, without those whose word does not come: a member
    /// under `fence = "data"`, or whoever renewed its lease.
    fn leads_anew(&self, own: &Own, options: TakeoverOptions) -> bool {
        let stuck = self.config.fence == Fence::Data || !self.lease.valid(own.now);
        stuck && options.accept_loss && options.primary_is_fenced
    }

    /// Why a takeover is not even begun.
    fn takeover_refusal(&self, own: &Own, options: TakeoverOptions) -> Option<String> {
        let site = &self.config.site;
        if self.leads().is_some() && !self.leads_anew(own, options) {
            return Some(format!("site {site} leads already"));
        }
        let debt = self.debt_refusal(own, options);
        if debt.is_some() || options.primary_is_fenced {
            return debt;
        }
        let charter = self.charter.as_ref().filter(|charter| charter.active)?;
        let peer = self.peers.get(&charter.primary).filter(|peer| peer.up)?;
        let view = peer.view.as_ref()?;
        let silent_us = own.now.saturating_sub(peer.heard_at);
        // Whoever owes does not lead, whatever the charter says: its journal was damaged.
        let leads = view.promised == charter.generation && view.debt_bytes == 0;
        (leads && silent_us < self.config.lease_us).then(|| {
            format!(
                "site {} leads generation {} and is well (heard {} ms ago): stop it first (if \
                 it is stopped, say so: `trefoil takeover --at {site} --primary-is-fenced`); \
                 `trefoil swap --at {site}` exchanges the roles without stopping it",
                charter.primary,
                charter.generation,
                silent_us / 1000
            )
        })
    }
}
