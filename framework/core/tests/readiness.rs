//! What a loss would mean, case by case, and what always holds of it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use trefoil_core::engine::readiness::{
    Figures, Forecast, How, Pace, Situation, Stake, all_losses, forecast, is_delta,
};
use trefoil_core::engine::reign::{Known, ReignConfig};
use trefoil_core::model::{
    Charter, Fence, Generation, GroupName, Incarnation, LegMode, Lineage, Marks, Member, PlanKind,
    Position, SiteName, UpdateNumber, Verdict,
};
use trefoil_core::wire::{MapView, SiteView};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn number(value: u64) -> UpdateNumber {
    UpdateNumber::new(value)
}

const FIRST: Generation = Generation { count: 1, id: 101 };

/// Three sites as one of them sees them.
struct World {
    known: BTreeMap<SiteName, Known>,
    commit: u64,
    fence: Fence,
    takeover_delay_us: Option<u64>,
}

/// Every update has 100 bytes, and is as old as the newest is ahead of it, in milliseconds.
struct Simple(u64);

impl Figures for Simple {
    fn bytes_after(&self, number: UpdateNumber) -> u64 {
        100 * self.0.saturating_sub(number.value())
    }

    fn age_after_us(&self, number: UpdateNumber) -> u64 {
        1000 * self.0.saturating_sub(number.value())
    }

    fn pace(&self, _: &SiteName, _: &SiteName) -> Pace {
        Pace { bytes_per_second: Some(1000), rtt_us: 500 }
    }

    fn volume_bytes(&self) -> u64 {
        1 << 20
    }
}

impl World {
    /// A leads, and the three are at these numbers; the set is made of `members`.
    fn new(newest: [u64; 3], members: &[&str]) -> Self {
        let member = |name: &&str| Member { site: site(name), incarnation: incarnation(name) };
        let charter = Charter {
            generation: FIRST,
            version: 1,
            primary: site("a"),
            active: true,
            settled: FIRST,
            in_sync: members.iter().map(member).collect(),
            fence: Fence::Status,
            voters: Vec::new(),
            voters_before: Vec::new(),
            untold: None,
            consented: Generation::NONE,
        };
        let mut lineage = Lineage::new();
        lineage.begin(FIRST, number(1)).unwrap();
        let each = NAMES.iter().zip(newest).map(|(name, newest)| {
            let newest = number(newest);
            let view = SiteView {
                incarnation: incarnation(name),
                promised: FIRST,
                charter: Some(charter.clone()),
                newest: Position { generation: FIRST, number: newest, ..Position::START },
                marks: Marks::at(newest),
                base: UpdateNumber::ZERO,
                debt_bytes: 0,
                image: None,
                blank: false,
                novice: false,
            };
            (site(name), Known { view, lineage: lineage.clone(), maps: BTreeMap::new() })
        });
        let known = each.collect();
        Self { known, commit: newest[0], fence: Fence::Status, takeover_delay_us: None }
    }

    fn of(&mut self, name: &str) -> &mut Known {
        self.known.get_mut(&site(name)).unwrap()
    }

    /// The three, and whoever else is heard.
    fn registered(&self) -> Vec<SiteName> {
        let three = NAMES.iter().map(|name| site(name));
        three.chain(self.known.keys().cloned()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn config(&self, of: &SiteName) -> ReignConfig {
        let registered = self.registered();
        let remote = |name: &SiteName| !["a", "b"].contains(&name.as_str());
        let mode = |other: &SiteName| {
            if remote(of) || remote(other) { LegMode::Async } else { LegMode::Sync }
        };
        let others = registered.iter().filter(|other| *other != of);
        ReignConfig {
            site: of.clone(),
            modes: others.map(|other| (other.clone(), mode(other))).collect(),
            registered,
            home: site("a"),
            fence: self.fence,
            lease_us: 2_000_000,
            promise_timeout_us: 1_000_000,
            carry_grace_us: 500_000,
            leg_grace_us: 3_000_000,
            deposed_pause_us: 2_000_000,
            handover_limit_us: 5_000_000,
            join_updates_max: 100,
            takeover_delay_us: self.takeover_delay_us,
        }
    }

    fn ask<T>(&self, question: impl FnOnce(&Situation<'_>) -> T) -> T {
        let registered = self.registered();
        question(&Situation {
            group: &GroupName::new("orders").unwrap(),
            known: &self.known,
            config: &|of| self.config(of),
            registered: &registered,
            commit: number(self.commit),
            now: 1_000_000_000,
            figures: &Simple(self.commit),
        })
    }

    fn without(&self, lost: &[&str]) -> Forecast {
        let lost: BTreeSet<SiteName> = lost.iter().map(|name| site(name)).collect();
        self.ask(|situation| forecast(situation, &lost))
    }
}

fn incarnation(name: &str) -> Incarnation {
    Incarnation(u64::from(name.as_bytes()[0]))
}

#[test]
fn a_mirror_that_is_in_sync_takes_over_and_proves_zero_loss() {
    let told = World::new([100, 100, 90], &["a", "b"]).without(&["a"]);
    assert_eq!((told.how, told.serves.clone()), (How::TakesOver, Some(site("b"))), "{told:?}");
    assert_eq!((told.verdict.clone(), told.stake), (Some(Verdict::Zero), Stake::default()));
    assert_eq!(told.next[0], "trefoil takeover --at b --group orders");
    assert!(told.waits_us.unwrap() >= 2_000_000, "the old lease runs out first: {told:?}");
    let [c] = told.resyncs.as_slice() else { panic!("{told:?}") };
    assert_eq!((c.follower.clone(), c.kind.clone()), (site("c"), PlanKind::Delta), "{c:?}");
    assert_eq!((c.updates, c.bytes), (11, 1000), "ten updates and the new reign's first record");
    assert_eq!(c.takes_us, 1_001_000, "at 1000 bytes a second, and a round trip");
}

#[test]
fn the_third_site_proves_zero_loss_through_the_mirror() {
    let told = World::new([100, 100, 90], &["a", "b"]).without(&["a"]);
    let c = told.candidates.iter().find(|candidate| candidate.site == site("c")).unwrap();
    assert_eq!((c.verdict.clone(), c.reads.clone()), (Some(Verdict::Zero), vec![site("b")]));
}

#[test]
fn of_many_survivors_the_likeliest_are_played() {
    let mut world = World::new([100, 100, 50], &["a", "b"]);
    for at in 0..40 {
        // All of them come before b in the alphabet, and none has as much.
        let mut known = world.of("c").clone();
        known.view.newest.number = number(60 + at % 4);
        world.known.insert(site(&format!("aa{at}")), known);
    }
    let told = world.without(&["a"]);
    assert_eq!((told.how, told.serves.clone()), (How::TakesOver, Some(site("b"))), "{told:?}");
    assert_eq!((told.verdict.clone(), told.candidates.len()), (Some(Verdict::Zero), 8));
    let played: Vec<&SiteName> = told.candidates.iter().map(|played| &played.site).collect();
    assert!(played.is_sorted() && played.contains(&&site("b")), "{played:?}");
    let best = |played: &&SiteName| world.known[*played].view.newest.number >= number(63);
    assert!(played.iter().all(best), "{played:?}");
    assert_eq!(told.resyncs.len(), 41, "all survivors follow");
}

#[test]
fn a_primary_goes_on_without_any_one_other_site() {
    let world = World::new([100, 100, 90], &["a", "b"]);
    for (lost, waits_us) in [("b", 3_000_000), ("c", 0)] {
        let told = world.without(&[lost]);
        assert_eq!((told.how, told.serves.clone()), (How::GoesOn, Some(site("a"))), "{told:?}");
        assert_eq!((told.waits_us, told.stake), (Some(waits_us), Stake::default()));
        assert_eq!(told.next, [format!("trefoil run --site {lost}")]);
    }
}

#[test]
fn a_primary_that_waits_for_its_mirror_stops_without_it() {
    let mut world = World::new([100, 100, 90], &["a", "b"]);
    world.fence = Fence::Data;
    let told = world.without(&["b"]);
    assert_eq!((told.how, told.serves), (How::Stops, None));
}

#[test]
fn two_lost_sites_stop_the_group_and_lose_nothing_by_that() {
    let world = World::new([100, 100, 90], &["a", "b"]);
    for lost in [["a", "b"], ["a", "c"], ["b", "c"]] {
        let told = world.without(&lost);
        assert_eq!((told.how, told.serves.clone()), (How::Stops, None), "{told:?}");
        let run = |name: &str| format!("trefoil run --site {name}");
        assert_eq!(told.next, [run(lost[0]), run(lost[1])]);
    }
    assert_eq!(world.ask(all_losses).len(), 6);
}

#[test]
fn a_site_that_is_not_heard_counts_as_lost_already() {
    let mut world = World::new([100, 100, 90], &["a", "b"]);
    world.known.remove(&site("c"));
    let told = world.without(&["a"]);
    assert_eq!((told.how, told.silent), (How::Stops, vec![site("c")]));
}

#[test]
fn without_the_mirror_in_sync_the_loss_is_named_and_needs_consent() {
    let told = World::new([100, 60, 90], &["a"]).without(&["a"]);
    assert_eq!((told.how, told.serves.clone()), (How::NeedsConsent, Some(site("b"))), "{told:?}");
    // B reads from C what C has more.
    assert_eq!(told.stake, Stake { updates: 10, bytes: 1000, us: 10_000 });
    assert_eq!(told.next[0], "trefoil takeover --at b --accept-loss --group orders");
}

#[test]
fn a_site_in_debt_is_no_candidate() {
    let mut world = World::new([100, 100, 90], &["a", "b"]);
    world.of("c").view.debt_bytes = 4096;
    let told = world.without(&["a"]);
    let c = told.candidates.iter().find(|candidate| candidate.site == site("c")).unwrap();
    assert!(c.refused.as_ref().unwrap().contains("4096 bytes"), "{c:?}");
    assert_eq!(told.serves, Some(site("b")));
    assert_eq!(told.resyncs[0].kind, PlanKind::Copy, "its copy is resumed");
}

#[test]
fn a_journal_that_does_not_reach_back_means_a_map_or_a_comparison() {
    let mut world = World::new([100, 100, 40], &["a", "b"]);
    world.of("b").view.base = number(70);
    let copy = world.without(&["a"]).resyncs[0].clone();
    assert_eq!((copy.kind, copy.bytes), (PlanKind::Compare, 3000 + (1 << 20)));
    let map = MapView { from: number(30), bytes: Some(8192) };
    world.of("b").maps.insert(site("c"), map);
    let map = world.without(&["a"]).resyncs[0].clone();
    assert_eq!(map.kind, PlanKind::Map, "{map:?}");
    assert!(map.bytes >= 8192, "{map:?}");
}

#[test]
fn an_automatic_takeover_asks_nobody_for_anything_but_the_lost_site() {
    let mut world = World::new([100, 100, 90], &["a", "b"]);
    world.takeover_delay_us = Some(5_000_000);
    let told = world.without(&["a"]);
    assert_eq!(told.next, ["trefoil run --site a"]);
    assert_eq!(told.waits_us, Some(5_000_000));
    assert!(told.why.starts_with("b takes over by itself"), "{}", told.why);
}

#[test]
fn before_anybody_led_there_is_nothing_to_lose() {
    let mut world = World::new([0, 0, 0], &[]);
    for known in world.known.values_mut() {
        known.view.charter = None;
    }
    assert_eq!(world.without(&["a"]).how, How::Stops);
}

proptest! {
    /// Whatever is known: nobody who is lost serves, a loss is either ruled out or named with the
    /// consent that it needs, and what is said to be lost is what the one that serves lacks.
    #[test]
    fn a_forecast_never_hides_a_loss(
        newest in prop::array::uniform3(1_u64..50),
        bases in prop::array::uniform3(0_u64..50),
        debts in prop::array::uniform3(prop::option::weighted(0.2, 1_u64..9999)),
        rebooted in prop::array::uniform3(prop::bool::weighted(0.2)),
        members in 0_usize..3,
        fence in prop::sample::select(vec![Fence::Status, Fence::Never]),
        lost in 0_usize..7,
    ) {
        let members: &[&str] = [&["a"][..], &["a", "b"], &["b"]][members];
        let mut world = World::new(newest, members);
        world.fence = fence;
        for (index, name) in NAMES.iter().enumerate() {
            let view = &mut world.of(name).view;
            view.base = number(bases[index].min(newest[index]));
            view.debt_bytes = debts[index].unwrap_or(0);
            if rebooted[index] {
                view.incarnation = Incarnation(7);
            }
        }
        let lost = [&["a"][..], &["b"], &["c"], &["a", "b"], &["a", "c"], &["b", "c"], &[]][lost];
        let told = world.without(lost);
        if let Some(serves) = &told.serves {
            prop_assert!(!told.lost.contains(serves));
        }
        let unknown = matches!(told.verdict, Some(Verdict::Unknown(_)));
        prop_assert_eq!(told.how == How::NeedsConsent, unknown);
        let consent = told.next.iter().any(|command| command.contains("--accept-loss"));
        prop_assert_eq!(consent, unknown);
        prop_assert_eq!(told.how == How::Stops, told.serves.is_none());
        for candidate in &told.candidates {
            prop_assert_eq!(candidate.verdict.is_none(), candidate.refused.is_some());
            if candidate.stake.updates > 0 {
                prop_assert!(!matches!(candidate.verdict, Some(Verdict::Zero)));
                let held = world.known[&candidate.site].view.newest.number.value();
                prop_assert!(candidate.stake.updates <= world.commit.saturating_sub(held));
            }
        }
        for resync in &told.resyncs {
            let reaches = bases[NAMES.iter().position(|n| site(n) == resync.source).unwrap()];
            let at = world.known[&resync.follower].view.newest.number.value();
            // Unless it reads more first, which begins where it is.
            prop_assert!(!is_delta(&resync.kind) || at >= reaches.min(at));
        }
    }
}
