//! Groups of two sites: there is no third that could say which of them is cut off.

use super::{Effect, Own, Reign, Standing};
use crate::model::Fence;

impl Reign {
    /// How many of the other sites must agree beside this one: two of three in all.
    ///
    /// Of two sites the one that leads decides alone (a majority of two would be both, and the loss
    /// of either the end of service), unless the level is `data`, which promises that nothing is
    /// answered without the other. Whoever does not lead needs the other's word, or the operator's
    /// consent.
    pub(super) fn others_needed(&self) -> usize {
        let pair = self.config.registered.len() == 2 && self.config.fence != Fence::Data;
        match &self.standing {
            Standing::Primary(_) if pair => 0,
            _ => self.config.others_needed(),
        }
    }

    /// Renews the lease by this site's own word, where no other is needed.
    pub(super) fn renew_alone(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        if self.leads().is_some() && self.others_needed() == 0 && !self.is_closed() {
            self.lease.renew(own.now, self.config.lease_us);
            effects.push(Effect::Lease { until: self.lease.until() });
        }
    }
}
