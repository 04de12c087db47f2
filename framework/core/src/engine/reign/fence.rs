//! What happens to host writes when the sync leg is lost: the fence levels beside `status`.
//!
//! Under `never` the charter names the primary alone: it waits for a mirror that is there, and for
//! none that is not (rule H8). Under `data` a member is out by its own word only, and hosts are not
//! answered while the primary holds their writes alone, unless the operator wanted that.

use super::{Effect, Own, Reign, Standing};
use crate::model::{Charter, Fence, LegMode, Member, SiteName};

impl Reign {
    /// Whether the charter may name other sites than the primary.
    pub(super) fn names_mirrors(&self) -> bool {
        self.config.fence != Fence::Never
    }

    /// Whether a member that is away, or stands still, is taken out without its word.
    pub(super) fn drops_silent(&self) -> bool {
        self.config.fence != Fence::Data
    }

    /// A member that the fence level does not let stay: the level was another one before.
    pub(super) fn unwanted_member(&self, in_sync: &[Member]) -> Option<SiteName> {
        let mirror = in_sync.iter().find(|member| member.site != self.config.site);
        mirror.filter(|_| !self.names_mirrors()).map(|member| member.site.clone())
    }

    /// The operator suspended legs, or lets them go on.
    pub(super) fn hold_by_word(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        if self.config.fence != Fence::Data {
            return;
        }
        let Standing::Primary(primary) = &self.standing else { return };
        let settled = primary.is_active() && primary.proposed().is_none();
        let charter = self.charter.as_ref().filter(|_| settled);
        if let Some(mirrored) = charter.map(|charter| self.is_mirrored(charter)) {
            self.hold_unless(mirrored, effects);
        }
        self.tell_missing_word(own);
    }

    /// Whether a charter names another site than this one.
    pub(super) fn is_mirrored(&self, charter: &Charter) -> bool {
        charter.in_sync.iter().any(|member| member.site != self.config.site)
    }

    /// Hosts wait, or do not any more, by whether the charter names a mirror. Told before anybody
    /// is no longer waited for: what only this site holds must not be answered in between.
    pub(super) fn hold_unless(&mut self, mirrored: bool, effects: &mut Vec<Effect>) {
        let config = &self.config;
        let mut mirrors = config.modes.iter().filter(|(_, mode)| **mode == LegMode::Sync);
        let wanted = mirrors.find(|(site, _)| !self.suspended.contains(*site));
        let data = config.fence == Fence::Data;
        let Standing::Primary(primary) = &mut self.standing else { return };
        primary.alone_by_word &= !mirrored;
        let hold = wanted.filter(|_| data && !mirrored && !primary.alone_by_word);
        if hold.is_some() == primary.held {
            return;
        }
        primary.held = hold.is_some();
        self.trouble = hold.map(|(mirror, _)| {
            format!(
                "fence = \"data\": host writes wait until a sync site holds everything; if it will \
                 not come back, `trefoil pair suspend --site {} --to {mirror}` lets them go on",
                config.site
            )
        });
        effects.push(Effect::Hold(primary.held));
    }

    /// Says whose word is missing, where a charter needs it.
    fn tell_missing_word(&mut self, own: &Own) {
        let Standing::Primary(primary) = &self.standing else { return };
        let silent = primary.missing_voter(own.now, self.config.leg_grace_us);
        let words = silent.map(|voter| {
            let site = &self.config.site;
            format!(
                "fence = \"data\": site {voter} is out only by its own word, and is not heard; \
                 host writes wait. If it is lost for good: `trefoil takeover --at {site} \
                 --accept-loss --primary-is-fenced` leads without it"
            )
        });
        if words.is_some() {
            self.trouble = words;
        } else if !primary.held && primary.is_active() {
            self.trouble = None;
        }
    }
}
