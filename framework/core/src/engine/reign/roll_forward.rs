//! A candidate that reads what another site holds more, before it leads.

use super::candidate::Phase;
use super::{Effect, Own, Refusal, Reign, Standing};
use crate::model::SiteName;

/// How often a candidate tries to read what another site holds more, before it only asks again
/// from time to time.
const ROLL_FORWARDS_MAX: u32 = 3;

impl Reign {
    /// The roll-forward ended.
    pub(super) fn rolled_forward(&mut self, own: &Own, well: bool, effects: &mut Vec<Effect>) {
        let Standing::Candidate(candidate) = &mut self.standing else { return };
        let Phase::RollingForward(from) = &candidate.phase else { return };
        if well {
            candidate.phase = Phase::Assessing;
            return;
        }
        // What it holds is unknown again: it is asked once more, but not without end.
        let from = from.clone();
        candidate.evidence.remove(&from);
        candidate.asked_at = own.now;
        candidate.phase = Phase::Promising;
        candidate.failures += 1;
        if candidate.failures <= ROLL_FORWARDS_MAX {
            self.ask_promises(effects);
            return;
        }
        let why = format!("site {from} is further on, and reading from it failed repeatedly");
        let _ = self.give_up(own, Refusal { unreachable: true, why }, effects);
    }

    pub(super) fn rolling_forward(&mut self, from: SiteName) -> (Phase, bool) {
        if self.peers.get(&from).is_some_and(|peer| peer.up) {
            return (Phase::RollingForward(from), false);
        }
        if let Standing::Candidate(candidate) = &mut self.standing {
            candidate.evidence.remove(&from);
        }
        (Phase::Promising, true)
    }
}
