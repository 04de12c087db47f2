//! May a site be replaced for good: each rule of it, and its remedy.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use trefoil_core::engine::reign::Refusal;
use trefoil_core::engine::replace::{Predecessor, Replacement, Replacing, Witness, replace};
use trefoil_core::model::{
    Charter, Claim, Fence, Generation, Incarnation, Lineage, Member, Position, SiteName,
    UpdateNumber,
};

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn generation(count: u64) -> Generation {
    Generation { count, id: count + 100 }
}

fn position(count: u64, number: u64) -> Position {
    let number = UpdateNumber::new(number);
    Position { generation: generation(count), number, ..Position::START }
}

/// A leads generation 2, which began at 50, and is at 100; B is whole, C was last heard at 2.80.
struct Group {
    charter: Charter,
    claim: Option<Claim>,
    lineage: Lineage,
    others: BTreeMap<SiteName, Witness>,
    here: &'static str,
    serves: bool,
    up: bool,
    replaced: bool,
    accept_loss: bool,
}

impl Group {
    fn new() -> Self {
        let member = |name| Member { site: site(name), incarnation: Incarnation(1) };
        let charter = Charter {
            generation: generation(2),
            version: 3,
            primary: site("a"),
            active: true,
            settled: generation(2),
            in_sync: vec![member("a"), member("b")],
            fence: Fence::Status,
            voters: Vec::new(),
            voters_before: Vec::new(),
            untold: None,
            consented: Generation::NONE,
        };
        let mut lineage = Lineage::new();
        lineage.begin(generation(1), UpdateNumber::new(1)).unwrap();
        lineage.begin(generation(2), UpdateNumber::new(50)).unwrap();
        let others = BTreeMap::from([(site("b"), Witness { up: true, whole: true })]);
        Self {
            charter,
            claim: Some(Self::last_heard(2, 80)),
            lineage,
            others,
            here: "a",
            serves: true,
            up: false,
            replaced: false,
            accept_loss: false,
        }
    }

    fn last_heard(count: u64, number: u64) -> Claim {
        let (born, incarnation) = (Incarnation(7), Incarnation(9));
        let durable = position(count, number);
        Claim { born, incarnation, promised: generation(count), durable }
    }

    fn replace(&self, name: &str) -> Result<Replacement, Refusal> {
        replace(&Replacing {
            here: &site(self.here),
            serves: self.serves,
            site: &site(name),
            claim: self.claim.as_ref(),
            up: self.up,
            replaced: self.replaced,
            charter: Some(&self.charter),
            lineage: &self.lineage,
            newest: UpdateNumber::new(100),
            others: &self.others,
            accept_loss: self.accept_loss,
        })
    }

    /// The words of a refusal that holds all of `words`.
    fn refused(&self, name: &str, words: &[&str]) -> Refusal {
        let refusal = self.replace(name).unwrap_err();
        for part in words {
            assert!(refusal.why.contains(part), "{part}: {}", refusal.why);
        }
        refusal
    }
}

const C: Predecessor = Predecessor { born: Incarnation(7), last: LAST_OF_C, lacked: 20 };
const LAST_OF_C: Position = Position {
    generation: Generation { count: 2, id: 102 },
    number: UpdateNumber::new(80),
    ..Position::START
};

#[test]
fn a_site_that_is_gone_and_has_nothing_of_its_own_is_replaced() {
    let group = Group::new();
    assert_eq!(group.replace("c"), Ok(Replacement::Ready(C)));
    let again = Group { replaced: true, ..group };
    assert_eq!(again.replace("c"), Ok(Replacement::Done(C)));
}

#[test]
fn only_the_site_that_leads_replaces_and_it_names_itself_never() {
    let elsewhere = Group { here: "b", serves: false, ..Group::new() };
    elsewhere.refused("c", &["`trefoil site replace c --at a`"]);
    Group::new().refused("a", &["`trefoil swap --at b` first"]);
    let fenced = Group { serves: false, ..Group::new() };
    fenced.refused("c", &["does not answer hosts", "`trefoil status`"]);
}

#[test]
fn a_site_that_is_up_or_was_never_heard_is_not_replaced() {
    Group { up: true, ..Group::new() }.refused("c", &["site c is up", "stop it first"]);
    Group { claim: None, ..Group::new() }.refused("c", &["never heard", "start the new one"]);
}

#[test]
fn every_other_site_must_know_of_it() {
    let mut group = Group::new();
    group.others.insert(site("b"), Witness { up: false, whole: true });
    assert!(group.refused("c", &["bring b back first"]).unreachable);
}

#[test]
fn a_member_leaves_by_the_charter_first() {
    let mut group = Group::new();
    group.charter.in_sync.push(Member { site: site("c"), incarnation: Incarnation(9) });
    group.refused("c", &["names site c as in sync", "`trefoil site replace c --at a`"]);
    group.charter.voters = vec![site("c")];
    group.refused("c", &["`trefoil takeover --at a --accept-loss --primary-is-fenced`"]);
}

#[test]
fn e34_a_site_that_may_have_answered_what_nobody_else_has_is_not_given_up_unasked() {
    let mut group = Group::new();
    group.charter.consented = generation(2);
    group.claim = Some(Group::last_heard(1, 60));
    group.refused(
        "c",
        &["11 updates", "`trefoil rejoin --at c`", "`trefoil site replace c --at a --accept-loss`"],
    );
    let heard_since = Group { claim: Some(Group::last_heard(2, 80)), ..group };
    assert_eq!(heard_since.replace("c"), Ok(Replacement::Ready(C)), "it set that aside");
    let by_consent =
        Group { claim: Some(Group::last_heard(1, 60)), accept_loss: true, ..heard_since };
    let Ok(Replacement::Ready(given_up)) = by_consent.replace("c") else { panic!("refused") };
    assert_eq!(given_up.last, position(1, 60));
    // Without a consent nobody was told of what the other history has more.
    let mut proved = Group { accept_loss: false, ..by_consent };
    proved.charter.consented = Generation::NONE;
    assert!(proved.replace("c").is_ok());
}

#[test]
fn e34_the_only_other_whole_copy_is_not_given_up_unasked() {
    let mut group = Group::new();
    group.others.insert(site("b"), Witness { up: true, whole: false });
    group.refused("c", &["the only other copy", "20 updates old", "`trefoil wait --at b"]);
    group.accept_loss = true;
    assert_eq!(group.replace("c"), Ok(Replacement::Ready(C)));
    // Of two sites there is no other one that could have it.
    let two = Group { others: BTreeMap::new(), accept_loss: false, ..Group::new() };
    assert_eq!(two.replace("c"), Ok(Replacement::Ready(C)));
    let nothing = Group { claim: Some(Group::last_heard(2, 0)), ..group };
    assert!(Group { accept_loss: false, ..nothing }.replace("c").is_ok(), "it had nothing");
}
