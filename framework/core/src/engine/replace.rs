//! May a site be replaced for good? The rule behind `trefoil site replace`.
//!
//! A site whose machine is gone is somebody: others keep records for it, and its word may come back
//! with an old disk. When it is replaced, what was born as it was is refused for ever, and nothing
//! is kept for it. That costs nothing where everything that a host was told of is elsewhere too,
//! and is not done where it may not be, or where too few sites would know of it.

use crate::engine::reign::Refusal;
use crate::model::{Charter, Claim, Incarnation, Lineage, Position, SiteName, UpdateNumber};
use std::collections::BTreeMap;

/// What another site, neither the one that is asked nor the one that is replaced, said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Whether it is heard now.
    pub up: bool,
    /// Whether its volumes are whole: it was filled, and owes nothing.
    pub whole: bool,
}

/// What is known when a site is to be replaced.
#[derive(Clone, Copy, Debug)]
pub struct Replacing<'a> {
    /// The site that is asked.
    pub here: &'a SiteName,
    /// Whether it leads, and answers hosts.
    pub serves: bool,
    /// The site that is to be replaced.
    pub site: &'a SiteName,
    /// What that one said last.
    pub claim: Option<&'a Claim>,
    /// Whether it is heard now.
    pub up: bool,
    /// Whether it was replaced before, and nobody came in its place since.
    pub replaced: bool,
    /// The charter.
    pub charter: Option<&'a Charter>,
    /// The reigns of this site's history, and where that ends.
    pub lineage: &'a Lineage,
    /// The newest update here.
    pub newest: UpdateNumber,
    /// All other sites of the group.
    pub others: &'a BTreeMap<SiteName, Witness>,
    /// The operator accepts that what only that site has is lost.
    pub accept_loss: bool,
}

/// A site that is, or may be, replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// What it was born as: that never comes back.
    pub born: Incarnation,
    /// Where it was last.
    pub last: Position,
    /// How many updates it lacked then.
    pub lacked: u64,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// It may be replaced.
    Ready(Predecessor),
    /// It was replaced already.
    Done(Predecessor),
}

/// Decides whether a site may be replaced for good now.
///
/// # Errors
/// The rule that says no, with figures and the next command.
pub fn replace(case: &Replacing<'_>) -> Result<Replacement, Refusal> {
    led_here(case)?;
    let claim = known(case)?;
    let last = claim.durable;
    let lacked = case.newest.since(last.number);
    let predecessor = Predecessor { born: claim.born, last, lacked };
    if case.replaced {
        return Ok(Replacement::Done(predecessor));
    }
    gone(case, claim)?;
    told_to_all(case)?;
    out_of_the_set(case)?;
    if !case.accept_loss {
        nothing_but_elsewhere(case, claim)?;
        not_the_only_copy(case, claim)?;
    }
    Ok(Replacement::Ready(predecessor))
}

fn no<T>(why: String) -> Result<T, Refusal> {
    Err(Refusal { unreachable: false, why })
}

/// Only who leads knows everything that was answered.
fn led_here(case: &Replacing<'_>) -> Result<(), Refusal> {
    let (here, site) = (case.here, case.site);
    if case.serves && here == site {
        let another = case.others.keys().next().map_or("another", |other| other.as_str());
        return no(format!("site {site} leads: `trefoil swap --at {another}` first, then there"));
    }
    if case.serves {
        return Ok(());
    }
    let leader = case.charter.filter(|charter| charter.active && charter.primary != *here);
    no(match leader {
        Some(charter) => format!(
            "site {here} does not lead; `trefoil site replace {site} --at {}`, which leads",
            charter.primary
        ),
        None => format!("site {here} does not answer hosts now; see `trefoil status`"),
    })
}

fn known<'a>(case: &Replacing<'a>) -> Result<&'a Claim, Refusal> {
    let (here, site) = (case.here, case.site);
    match case.claim {
        Some(claim) => Ok(claim),
        None => no(format!(
            "site {here} never heard of a site {site}: nothing is kept for it, and nothing of it \
             can come back; start the new one, it is filled as any site that begins with nothing"
        )),
    }
}

/// A site that is there is not gone for good.
fn gone(case: &Replacing<'_>, claim: &Claim) -> Result<(), Refusal> {
    if !case.up {
        return Ok(());
    }
    no(format!(
        "site {} is up (born as {}, at {}.{}): if its machine is to be replaced stop it first; if \
         this is the new one already, nothing is left to be done",
        case.site, claim.born, claim.durable.generation, claim.durable.number
    ))
}

/// Two sites that do not know could let it in again.
fn told_to_all(case: &Replacing<'_>) -> Result<(), Refusal> {
    let silent = case.others.iter().find(|(_, witness)| !witness.up);
    let Some((silent, _)) = silent else { return Ok(()) };
    let why = format!(
        "site {silent} is not heard and must know of it, too, so that site {} comes back nowhere: \
         bring {silent} back first",
        case.site
    );
    Err(Refusal { unreachable: true, why })
}

/// Whoever is named holds what was answered, and is waited for: it leaves by the charter first.
fn out_of_the_set(case: &Replacing<'_>) -> Result<(), Refusal> {
    let (here, site) = (case.here, case.site);
    let Some(charter) = case.charter else { return Ok(()) };
    if charter.voters.contains(site) || charter.voters_before.contains(site) {
        return no(format!(
            "under fence = \"data\" nothing changes without the word of site {site}: `trefoil \
             takeover --at {here} --accept-loss --primary-is-fenced` leads without it, then again"
        ));
    }
    if charter.member(site).is_some() {
        return no(format!(
            "the charter still names site {site} as in sync; once two of three sites recorded that \
             it is out `trefoil site replace {site} --at {here}` goes on, see `trefoil status`"
        ));
    }
    Ok(())
}

/// What a host may have been told of by a reign that this history left out, by consent, is at the
/// sites of that reign only. A site that followed since has set its own aside.
fn nothing_but_elsewhere(case: &Replacing<'_>, claim: &Claim) -> Result<(), Refusal> {
    let consented = case.charter.map(|charter| charter.consented).unwrap_or_default();
    let last = claim.durable;
    if consented.is_none() || last.generation >= consented {
        return Ok(());
    }
    let (here, site) = (case.here, case.site);
    let begun = case.lineage.reigns().iter().find(|reign| reign.generation >= consented);
    let fork = begun.map_or(case.newest, |reign| reign.first.previous());
    no(format!(
        "site {site} was last heard at {}.{}, and generation {consented} was begun after {fork} by \
         consent to a loss: {} updates that it said it has, and whatever it answered later, may be \
         nowhere else. Start it, then `trefoil rejoin --at {site}` sets them aside in a file; or \
         give them up with `trefoil site replace {site} --at {here} --accept-loss`",
        last.generation,
        last.number,
        last.number.since(fork),
    ))
}

/// With the only other whole copy gone for good nothing is left if this site is lost too.
fn not_the_only_copy(case: &Replacing<'_>, claim: &Claim) -> Result<(), Refusal> {
    let holds = claim.durable.number > UpdateNumber::ZERO;
    let whole = case.others.values().any(|witness| witness.whole);
    let Some(other) = case.others.keys().next().filter(|_| holds && !whole) else {
        return Ok(());
    };
    let (here, site) = (case.here, case.site);
    no(format!(
        "site {other} is not filled yet: until it is, site {site} at {}.{} has the only other \
         copy, {} updates old. Wait: `trefoil wait --at {other} --update latest --restored`; or \
         give it up with `trefoil site replace {site} --at {here} --accept-loss`",
        claim.durable.generation,
        claim.durable.number,
        case.newest.since(claim.durable.number),
    ))
}
