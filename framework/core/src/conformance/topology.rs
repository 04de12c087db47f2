//! The suite for topologies: whatever a layout answers must be a plan that sites can follow.
//!
//! Nothing is drawn at random: every site is tried as primary. A layout knows nothing of who is
//! reachable or in debt: a site whose source is not, or is in debt, reads from the primary itself,
//! so what is proved here of a layout holds for every subset of reachable sites.

use super::Violation;
use crate::model::{LegMode, SiteName};
use crate::topology::Topology;
use std::collections::{BTreeMap, BTreeSet};

/// The most sites of a group.
pub const SITES_MAX: usize = 12;

/// What was seen instead, if a claim does not hold.
type Proof = Result<(), String>;

/// A claim by name, and its trial.
type Claim = (&'static str, fn(&dyn Topology) -> Proof);

const TABLE: [Claim; 10] = [
    ("the_same_question_has_the_same_answer", stable),
    ("sites_are_distinct_and_few", distinct),
    ("home_is_one_of_the_sites", home),
    ("no_site_follows_itself", not_itself),
    ("only_sites_of_the_group_follow", only_sites),
    ("every_other_site_follows_the_primary", everybody),
    ("a_sync_leg_is_sync_in_both_directions", mutual),
    ("every_source_leads_to_the_primary", sourced),
    ("a_sync_leg_reads_from_the_primary_itself", direct),
    ("the_description_names_every_site", described),
];

/// What is proved, by name and in this order.
pub const CLAIMS: [&str; TABLE.len()] = {
    let mut names = [""; TABLE.len()];
    let mut at = 0;
    while at < TABLE.len() {
        names[at] = TABLE[at].0;
        at += 1;
    }
    names
};

/// Proves every claim.
///
/// # Errors
/// The first claim that does not hold, and what was seen.
pub fn prove_all(topology: &dyn Topology) -> Result<(), Violation> {
    TABLE.iter().try_for_each(|claim| attempt(topology, claim))
}

/// Proves the claim of that name, one of [`CLAIMS`].
///
/// # Errors
/// That it does not hold, or that there is no such claim.
pub fn prove(topology: &dyn Topology, claim: &str) -> Result<(), Violation> {
    match TABLE.iter().find(|(name, _)| *name == claim) {
        Some(claim) => attempt(topology, claim),
        None => Err(Violation::unknown(claim, &CLAIMS)),
    }
}

fn attempt(topology: &dyn Topology, (claim, trial): &Claim) -> Result<(), Violation> {
    trial(topology).map_err(|what| Violation { claim, what })
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Proof {
    if holds { Ok(()) } else { Err(what()) }
}

/// Looks at the legs under every primary.
fn each(
    topology: &dyn Topology,
    look: impl Fn(&SiteName, &BTreeMap<SiteName, LegMode>) -> Proof,
) -> Proof {
    topology.sites().iter().try_for_each(|primary| look(primary, &topology.legs(primary)))
}

/// Asked again, and in another order, it answers the same.
fn stable(topology: &dyn Topology) -> Proof {
    let sites = topology.sites();
    let sources = |primary: &SiteName| -> Vec<SiteName> {
        sites.iter().map(|site| topology.source(primary, site)).collect()
    };
    let ask = |primary: &SiteName| {
        let (home, sites, legs) = (topology.home(), topology.sites(), topology.legs(primary));
        (home, sites, legs, sources(primary))
    };
    let first: Vec<_> = sites.iter().map(ask).collect();
    let mut again: Vec<_> = sites.iter().rev().map(ask).collect();
    again.reverse();
    ensure(first == again, || format!("first {first:?}, then {again:?}"))
}

fn distinct(topology: &dyn Topology) -> Proof {
    let sites = topology.sites();
    let distinct: BTreeSet<_> = sites.iter().collect();
    let few = (1..=SITES_MAX).contains(&sites.len());
    ensure(few && distinct.len() == sites.len(), || format!("its sites are {sites:?}"))
}

fn home(topology: &dyn Topology) -> Proof {
    let (home, sites) = (topology.home(), topology.sites());
    ensure(sites.contains(&home), || format!("home is {home}, the sites are {sites:?}"))
}

fn not_itself(topology: &dyn Topology) -> Proof {
    each(topology, |primary, legs| {
        ensure(!legs.contains_key(primary), || format!("{primary} follows itself"))
    })
}

fn only_sites(topology: &dyn Topology) -> Proof {
    let sites = topology.sites();
    each(topology, |primary, legs| match legs.keys().find(|site| !sites.contains(site)) {
        Some(stranger) => Err(format!("{stranger} follows {primary}, and is none of {sites:?}")),
        None => Ok(()),
    })
}

/// So every follower that is reachable has exactly one source, whoever else is not there.
fn everybody(topology: &dyn Topology) -> Proof {
    let sites = topology.sites();
    each(topology, |primary, legs| {
        let left = sites.iter().find(|site| *site != primary && !legs.contains_key(site));
        match left {
            Some(site) => Err(format!("under {primary} nobody is the source of {site}")),
            None => Ok(()),
        }
    })
}

/// Who mirrors whom is a property of the pair: after a takeover the old primary is the mirror.
fn mutual(topology: &dyn Topology) -> Proof {
    each(topology, |primary, legs| {
        legs.iter().try_for_each(|(site, mode)| {
            let back = topology.legs(site).get(primary).copied();
            ensure(back == Some(*mode), || {
                format!("{site} is {mode} under {primary}; the other way round it is {back:?}")
            })
        })
    })
}

/// From source to source every follower comes to the primary, with one other at most in between: no
/// circle, and no stranger.
fn sourced(topology: &dyn Topology) -> Proof {
    let sites = topology.sites();
    each(topology, |primary, legs| {
        legs.keys().try_for_each(|site| {
            if site == primary {
                return Ok(());
            }
            let first = topology.source(primary, site);
            ensure(first != *site && sites.contains(&first), || {
                format!("under {primary}, {site} reads from {first}")
            })?;
            let then = topology.source(primary, &first);
            ensure(first == *primary || then == *primary, || {
                format!("under {primary}, {site} reads from {first}, and that one from {then}")
            })
        })
    })
}

/// Whom the primary waits for must answer it, not another follower.
fn direct(topology: &dyn Topology) -> Proof {
    each(topology, |primary, legs| {
        let sync = legs.iter().filter(|(_, mode)| **mode == LegMode::Sync);
        sync.into_iter().try_for_each(|(site, _)| {
            let source = topology.source(primary, site);
            ensure(source == *primary, || format!("under {primary}, {site} reads from {source}"))
        })
    })
}

/// People find every site in the line that describes the layout.
fn described(topology: &dyn Topology) -> Proof {
    let (text, sites) = (topology.describe(), topology.sites());
    let missing = sites.iter().find(|site| !text.contains(site.as_str()));
    ensure(missing.is_none(), || format!("{missing:?} is not in {text:?}"))
}
