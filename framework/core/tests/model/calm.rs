//! The calm after the faults: everything is whole, time passes, and an operator does what the
//! sites ask for. Then somebody leads and every other site follows without a debt (rule `heals`).

use crate::step::Action;
use crate::world::{B, C, ENDS, SITES, World, others};
use trefoil_core::model::Position;

/// So many times all timers are due before an operator is asked.
const PATIENCE: usize = 8;

impl World {
    /// Lets the group come to rest.
    pub fn calm(&mut self) -> Result<(), String> {
        // A transport loses nothing while a link is up: after a loss the links are new ones.
        for (one, other) in ENDS {
            self.apply(Action::Cut(one, other));
        }
        self.whole();
        self.rounds(PATIENCE);
        for _ in 0..6 {
            if self.broken.is_some() {
                return Err("a rule is broken".into());
            }
            match self.primary() {
                Some(at) if self.is_whole(at) => return self.works(at),
                Some(_) => self.rejoin_the_refused(),
                None => self.take_over_somewhere(),
            }
            self.rounds(PATIENCE);
        }
        Err("it does not come to rest".into())
    }

    /// Every other site is at the end of the primary's history, without a debt.
    fn is_whole(&self, primary: usize) -> bool {
        let newest = self.sites[primary].disk.newest();
        others(primary).all(|other| {
            let there = &self.sites[other];
            there.disk.newest() == newest && there.debt_bytes() == 0
        })
    }

    /// A write is answered, and comes to every site.
    fn works(&mut self, primary: usize) -> Result<(), String> {
        self.apply(Action::Write { site: primary, block: 1 });
        let id = self.host.written;
        self.rounds(3);
        if self.host.answered.contains_key(&id) && (0..SITES).all(|at| self.sites[at].holds(id)) {
            return Ok(());
        }
        Err(format!("write {id} does not come to every site"))
    }

    fn rejoin_the_refused(&mut self) {
        for at in 0..SITES {
            if self.run(at).is_some_and(|run| run.refused.is_some()) {
                self.apply(Action::Rejoin(at));
            }
        }
    }

    /// As the refusals say: where nothing is lost, else where most is.
    fn take_over_somewhere(&mut self) {
        for consent in [false, true] {
            let mut all: Vec<usize> =
                (0..SITES).filter(|at| self.sites[*at].debt_bytes() == 0).collect();
            all.sort_by_key(|at| {
                let newest: Position = self.sites[*at].disk.newest();
                std::cmp::Reverse((newest.rank(), *at != C, *at == B))
            });
            for at in all {
                let fenced = self.fenced(at);
                self.apply(Action::TakeOver { site: at, consent, fenced });
                self.apply(Action::Settle);
                self.rounds(4);
                if self.primary().is_some() || self.broken.is_some() {
                    return;
                }
            }
        }
    }
}
