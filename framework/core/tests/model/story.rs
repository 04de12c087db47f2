//! What the tests of single cases are told in.

use crate::step::Action;
use crate::world::{A, B, C, Setup, World, others};
use std::collections::BTreeSet;
use trefoil_core::engine::reign::Event;
use trefoil_core::model::{PlanDebt, PlanKind, Verdict};

impl World {
    /// A leads, B is in sync, C follows; every rule holds.
    pub fn ordinary() -> Self {
        Self::paired(Setup::default())
    }

    /// Takes these steps.
    pub fn go(&mut self, actions: &[Action]) -> &mut Self {
        for action in actions {
            self.apply(*action);
        }
        self
    }

    /// A link is cut off from both others.
    pub fn isolate(&mut self, at: usize) -> &mut Self {
        for other in others(at) {
            self.apply(Action::Cut(at, other));
        }
        self
    }

    pub fn join_again(&mut self, at: usize) -> &mut Self {
        for other in others(at) {
            self.apply(Action::Heal(at, other));
        }
        self
    }

    /// A host writes, and everything has its time.
    pub fn writes(&mut self, at: usize, block: usize) -> u64 {
        self.go(&[Action::Write { site: at, block }]);
        self.rounds(2);
        self.host.written
    }

    /// The operator lets a site take over, and waits.
    pub fn takes_over(&mut self, site: usize, consent: bool) -> &mut Self {
        let fenced = self.fenced(site);
        self.go(&[Action::TakeOver { site, consent, fenced }, Action::Settle]);
        self.rounds(4);
        self
    }

    /// The operator suspends the legs to these sites.
    pub fn suspend(&mut self, at: usize, sites: &[usize]) -> &mut Self {
        let sites: BTreeSet<_> = sites.iter().map(|other| crate::world::site(*other)).collect();
        if let Some(run) = self.run_mut(at) {
            run.state.suspended.clone_from(&sites);
        }
        self.sites[at].save();
        self.event(at, Event::Suspended(sites));
        self.work();
        self.check();
        self
    }

    /// The kinds of the plans that a source made for a follower, oldest first.
    pub fn plans(&self, source: usize, follower: usize) -> Vec<PlanKind> {
        let made = self.judged.iter().filter(|(at, from, _)| (*at, *from) == (source, follower));
        made.map(|(.., plan)| plan.kind.clone()).collect()
    }

    /// The most bytes that a plan for a follower named to be copied.
    pub fn planned_bytes(&self, follower: usize) -> u64 {
        let made = self.judged.iter().filter(|(_, from, _)| *from == follower);
        let bytes = made.map(|(.., plan)| match &plan.debt {
            PlanDebt::Nothing => 0,
            PlanDebt::Extents(extents) => extents.bytes(),
            PlanDebt::Everything => u64::MAX / 16,
        });
        bytes.max().unwrap_or(0)
    }

    /// Forgets which plans were made.
    pub fn forget_plans(&mut self) -> &mut Self {
        self.judged.clear();
        self
    }

    /// The refusal that the operator at a site got.
    pub fn refusal(&self, at: usize) -> String {
        let refusal = self.run(at).and_then(|run| run.refusal.as_ref());
        refusal.map(|refusal| refusal.why.clone()).unwrap_or_default()
    }

    /// The verdict of the newest takeover at a site.
    pub fn verdict(&self, at: usize) -> Option<Verdict> {
        self.run(at)?.completed.as_ref().map(|completed| completed.verdict.clone())
    }

    /// Every rule holds, and that site answers.
    pub fn is_well_at(&self, primary: usize) {
        assert_eq!(self.broken, None, "{}", self.tell());
        assert_eq!(self.primary(), Some(primary), "{}", self.tell());
    }

    /// Every rule holds, that site answers, and the others have all it has.
    pub fn is_whole_at(&self, primary: usize) {
        self.is_well_at(primary);
        for other in others(primary) {
            assert_eq!(
                self.sites[other].disk.newest(),
                self.sites[primary].disk.newest(),
                "{}",
                self.tell()
            );
            assert_eq!(self.sites[other].debt_bytes(), 0, "{}", self.tell());
            let content = |at: usize| [0, 1].map(|block| self.sites[at].read(block));
            assert_eq!(content(other), content(primary), "{}", self.tell());
        }
    }

    /// A leads alone: B was cut off from it, and the charter says that it is out.
    pub fn without_b() -> Self {
        let mut world = Self::ordinary();
        world.go(&[Action::Cut(A, B)]);
        world.rounds(4);
        assert!(!world.names(A, B), "{}", world.tell());
        assert!(world.sites[C].run.is_some());
        world
    }
}
