//! The fence levels `data` and `never` (`status` is what the other tests are about).

use crate::reign_world::{World, charter_of, site};
use trefoil_core::engine::reign::{Effect, Event, Exchange, TakeoverOptions};
use trefoil_core::engine::takeover::Verdict;
use trefoil_core::model::{Fence, SiteName};

const PLAIN: TakeoverOptions = TakeoverOptions { accept_loss: false, primary_is_fenced: false };
const ANYTHING: TakeoverOptions = TakeoverOptions { accept_loss: true, primary_is_fenced: true };

fn members(world: &World, name: &str) -> Vec<String> {
    charter_of(world, name).in_sync.iter().map(|member| member.site.to_string()).collect()
}

#[test]
fn under_never_a_lost_mirror_is_not_waited_for_at_all() {
    let mut world = World::paired_under(Fence::Never);
    world.cut("a", "b");
    world.run(20);
    assert!(!world.joined("a", "b"), "with status it takes an agreement, after some seconds");
}

#[test]
fn h8_under_never_a_mirror_proves_nothing_without_the_primary() {
    let mut world = World::paired_under(Fence::Never);
    world.kill("a");
    world.run(3000);
    world.event("b", Event::Takeover(PLAIN));
    world.run(3000);
    assert!(!world.serves("b"));
    assert!(world.refusal("b").unwrap().why.contains("--accept-loss"));
    world.event("b", Event::Takeover(TakeoverOptions { accept_loss: true, ..PLAIN }));
    world.run(8000);
    assert!(world.serves("b"));
    assert!(matches!(world.completed("b").unwrap().verdict, Verdict::Unknown(_)));
}

#[test]
fn under_never_a_planned_exchange_proves_zero_loss_even_if_the_primary_dies_after_it() {
    let mut world = World::paired_under(Fence::Never);
    world.run_streaming(1000);
    world.event("b", Event::Exchange(Exchange::Wanted));
    for _ in 0..200 {
        if world.closed("b").is_some() {
            break;
        }
        world.run_streaming(20);
    }
    world.kill("a");
    world.run_streaming(8000);
    assert!(world.serves("b"));
    assert_eq!(world.completed("b").unwrap().verdict, Verdict::Zero);
}

#[test]
fn under_data_a_lost_mirror_is_waited_for_without_end() {
    let mut world = World::paired_under(Fence::Data);
    assert_eq!(charter_of(&world, "a").voters, [site("b")]);
    world.cut("a", "b");
    world.run(60_000);
    assert!(world.joined("a", "b"));
    assert_eq!(members(&world, "a"), ["a", "b"]);
    let trouble = world.engine("a").trouble().unwrap();
    assert!(trouble.contains("site b is out only by its own word"), "{trouble}");
    world.heal("a", "b");
    world.run_streaming(2000);
    assert_eq!(world.engine("a").trouble(), None);
}

#[test]
fn under_data_the_primary_counts_only_the_renewals_of_its_mirror() {
    let mut world = World::paired_under(Fence::Data);
    world.run(2000);
    assert!(world.answers("a"));
    world.cut("a", "b");
    world.run(3000);
    assert!(!world.answers("a"), "C renews it, but B may lead without C");
}

/// E35: C is away, then A dies.
#[test]
fn e35_under_data_an_intact_mirror_leads_on_its_own_promise() {
    let mut world = World::paired_under(Fence::Data);
    world.run(2000);
    world.kill("c");
    world.kill("a");
    world.event("b", Event::Takeover(PLAIN));
    world.run(1000);
    assert!(!world.serves("b"), "the lease that it granted is waited for");
    world.run(4000);
    assert!(world.answers("b"), "nobody else can have the lease");
    assert_eq!(world.completed("b").unwrap().verdict, Verdict::Zero);
    assert!(!world.held("b"), "whoever takes over wants the host to go on");
}

#[test]
fn e35_under_status_a_mirror_alone_proves_nothing() {
    let mut world = World::paired();
    world.kill("c");
    world.kill("a");
    world.event("b", Event::Takeover(PLAIN));
    world.run(8000);
    assert!(!world.serves("b"));
}

#[test]
fn under_data_the_other_two_do_nothing_without_the_mirror() {
    let mut world = World::paired_under(Fence::Data);
    world.cut("a", "b");
    world.cut("b", "c");
    world.kill("a");
    world.restart("a");
    world.cut("a", "b");
    world.run(10_000);
    assert!(!world.serves("a"), "B may have begun to lead");
    world.event("c", Event::Takeover(TakeoverOptions { accept_loss: true, ..PLAIN }));
    world.run(5000);
    assert!(!world.serves("c"));
    let why = &world.refusal("c").unwrap().why;
    assert!(why.contains("{b} did not promise"), "{why}");
}

#[test]
fn under_data_a_mirror_that_leaves_by_its_own_word_makes_hosts_wait() {
    let mut world = World::paired_under(Fence::Data);
    world.run_streaming(1000);
    assert!(!world.held("a"));
    world.kill("b");
    world.replace_incarnation("b");
    world.restart("b");
    let generation = charter_of(&world, "a").generation;
    assert!(world.may_serve("a", "b", generation, world.incarnation("b")).is_err());
    world.run(300);
    let order = world.effects_of("a");
    let hold = order.iter().position(|effect| *effect == Effect::Hold(true));
    let leave = order.iter().position(|effect| *effect == Effect::Leave(site("b")));
    assert!(hold.unwrap() < leave.unwrap(), "what only A holds is not answered in between");
    world.run_streaming(4000);
    assert_eq!(members(&world, "a"), ["a", "b"]);
    assert!(!world.held("a"));
}

#[test]
fn under_data_hosts_go_on_by_the_operators_word() {
    let mut world = World::paired_under(Fence::Data);
    world.run_streaming(1000);
    let suspended = std::iter::once(site("b")).collect();
    world.event("a", Event::Suspended(suspended));
    world.run_streaming(2000);
    assert_eq!(members(&world, "a"), ["a"], "B agreed to be out");
    assert!(!world.held("a"));
    world.event("a", Event::Suspended(std::collections::BTreeSet::<SiteName>::new()));
    assert!(world.held("a"), "until B is back in sync");
    world.run_streaming(4000);
    assert!(!world.held("a"));
}

#[test]
fn under_data_a_primary_leads_on_without_a_lost_mirror_by_consent_alone() {
    let mut world = World::paired_under(Fence::Data);
    world.kill("b");
    world.event("a", Event::Takeover(PLAIN));
    assert!(world.refusal("a").unwrap().why.contains("leads already"));
    world.event("a", Event::Takeover(ANYTHING));
    world.run(8000);
    assert!(world.serves("a") && !world.held("a"));
    assert!(matches!(world.completed("a").unwrap().verdict, Verdict::Unknown(_)));
    assert_eq!(charter_of(&world, "c").consented, charter_of(&world, "c").generation);
}
