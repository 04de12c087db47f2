//! Sites that do not know what they promised: begun anew on empty disks, or from an old copy of
//! their own. What the others remember of them, and what their word is worth.

use crate::hole_tests::hole;
use crate::holes::Off;
use crate::step::Action;
use crate::world::{A, B, C, World};
use trefoil_core::engine::reign::Event;
use trefoil_core::model::{Claim, Incarnation, Position};
use trefoil_core::wire::Heartbeat;

impl World {
    /// How far a site says it has come.
    fn claim(&self, of: usize) -> Claim {
        let (state, number) = (self.sites[of].state(), self.sites[of].disk.durable);
        let generation = state.lineage.generation_at(number);
        let durable = Position { generation, number, ..Position::START };
        let (born, incarnation) = (state.born, state.incarnation);
        Claim { born, incarnation, promised: state.promised, durable }
    }

    /// A site was heard, and is remembered.
    pub fn remember(&mut self, at: usize, from: usize, beat: &Heartbeat) {
        let number = beat.view.marks.durable;
        let generation = beat.lineage.generation_at(number);
        let durable = Position { generation, number, ..Position::START };
        let (incarnation, promised) = (beat.view.incarnation, beat.view.promised);
        let born = self.sites[from].state().born;
        self.claims[at][from] = Some(Claim { born, incarnation, promised, durable });
    }

    /// `from` greets: where it was set back it is told so, before anything else.
    pub fn greet(&mut self, at: usize, from: usize) {
        let now = self.claim(from);
        let before = self.claims[at][from].filter(|before| now.is_set_back_from(before));
        if before.is_none() || self.setup.off == Off::SetBackUnseen {
            return;
        }
        let next = self.sites[from].disk.incarnations + 1;
        self.sites[from].disk.incarnations = next;
        let incarnation = crate::world::incarnation(from, next);
        let why = "it was set back".to_owned();
        self.event(from, Event::SetBack { incarnation, why });
    }

    /// A site goes on in another incarnation, as one that knows nothing.
    pub fn goes_on_as(&mut self, at: usize, incarnation: Incarnation) {
        if let Some(run) = self.run_mut(at) {
            (run.state.incarnation, run.state.novice) = (incarnation, true);
        }
        self.sites[at].save();
    }

    /// Lets a site stop and start; what its disks held meanwhile is kept by somebody.
    fn backed_up(&mut self, at: usize) -> crate::site::Disk {
        self.go(&[Action::Checkpoint(at), Action::Crash(at)]);
        let old = self.sites[at].disk.clone();
        self.go(&[Action::Start(at)]).rounds(4);
        old
    }
}

/// A and C had it recorded that B is out. C's media are replaced, A dies: B must not take C for a
/// witness that nobody was excluded.
#[test]
fn e34_the_word_of_a_replaced_site_proves_nothing() {
    hole(Off::WordOfNovices, &["no_silent_loss", "acked_survives"], World::ordinary, |world| {
        world.isolate(B).rounds(4);
        world.writes(A, 1);
        world.go(&[Action::Destroy(C), Action::Crash(A), Action::Heal(B, C), Action::Start(C)]);
        world.rounds(2);
        world.takes_over(B, false);
        if world.setup.off == Off::Nothing {
            assert_eq!(world.primary(), None, "{}", world.tell());
            assert!(
                world.refusal(B).contains("the word of {c} does not count"),
                "{}",
                world.refusal(B)
            );
            world.go(&[Action::Start(A), Action::Heal(A, B)]).rounds(8);
            world.is_whole_at(A);
            assert!(!world.sites[C].state().novice, "A leads, and vouched for C");
        }
    });
}

/// Whoever is replaced while the others lead on is vouched for, and is a witness as any other.
#[test]
fn e34_a_replaced_site_that_the_primary_vouched_for_lets_b_take_over() {
    let mut world = World::ordinary();
    world.go(&[Action::Destroy(C)]).rounds(2);
    world.go(&[Action::Start(C)]).rounds(8);
    world.is_whole_at(A);
    world.go(&[Action::Crash(A)]).takes_over(B, false).is_well_at(B);
}

/// B's machine comes back with the disks of an earlier day, A dies: B does not hold what it had
/// acknowledged, whatever its state says of itself.
#[test]
fn e13_a_site_restored_from_an_old_backup_is_no_member() {
    hole(Off::SetBackUnseen, &["no_silent_loss", "acked_survives"], World::ordinary, |world| {
        let old = world.backed_up(B);
        assert!(world.names(A, B), "{}", world.tell());
        world.go(&[Action::Cut(A, C)]).rounds(1);
        world.writes(A, 1);
        world.rounds(1);
        world.go(&[Action::Crash(B), Action::Crash(A)]);
        world.sites[B].disk = old;
        world.go(&[Action::Start(B)]).rounds(2);
        world.takes_over(B, false);
        if world.setup.off == Off::Nothing {
            assert_eq!(world.primary(), None, "{}", world.tell());
            world.go(&[Action::Heal(A, C), Action::Start(A)]).rounds(8);
            world.is_whole_at(A);
            assert!(world.names(A, B), "{}", world.tell());
        }
    });
}

/// All three lost power. FLUSHED says that what was flushed is there; an old copy of B is not B.
#[test]
fn e13_nothing_flushed_is_certified_with_an_old_backup_among_the_evidence() {
    let mut world = World::ordinary();
    let old = world.backed_up(B);
    world.writes(A, 1);
    world.rounds(2);
    for site in [A, B, C] {
        world.go(&[Action::PowerLoss { site, tail: false, pages: false }]);
    }
    world.sites[B].disk = old;
    world.go(&[Action::Start(A), Action::Start(B), Action::Start(C)]).rounds(6);
    assert_ne!(world.verdict(A), Some(trefoil_core::model::Verdict::Flushed), "{}", world.tell());
    assert_eq!(world.broken, None, "{}", world.tell());
}
