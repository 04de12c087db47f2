//! May this site lead, and what would be lost? Rule R8, as one pure function over the evidence.

pub use crate::model::Verdict;
use crate::model::{Charter, Generation, Handover, Lineage, SiteName, UpdateNumber, listed};
use crate::wire::{Evidence, SiteView};
use std::collections::BTreeMap;

/// What a candidate does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// Another site holds more of the same history: read it from there first.
    RollForward {
        /// That site.
        from: SiteName,
        /// Up to where.
        to: UpdateNumber,
    },
    /// Another site must lead: this one cannot get what that one holds.
    GiveWay {
        /// That site, if there is one.
        to: Option<SiteName>,
        /// Why.
        why: String,
    },
    /// This site may lead, with that verdict.
    Eligible(Verdict),
}

/// What a candidate knows when it asks whether it may lead.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The candidate.
    pub site: &'a SiteName,
    /// Its state.
    pub view: &'a SiteView,
    /// Its reigns.
    pub lineage: &'a Lineage,
    /// What the sites that promised said, the candidate not among them.
    pub evidence: &'a BTreeMap<SiteName, Evidence>,
    /// The newest charter among all of them; `None` when no site knows one.
    pub charter: Option<&'a Charter>,
    /// All sites of the group.
    pub registered: &'a [SiteName],
    /// Whether the candidate held nothing when it began to stand, or was set back: whatever it held
    /// before is gone with its media, and what it rolled forward since proves nothing about that.
    pub began_blank: bool,
    /// The newest planned end of a reign on the candidate's history.
    pub handover: Option<&'a Handover>,
}

/// What the candidate does next.
pub fn assess(standing: &Standing<'_>) -> Assessment {
    let view = standing.view;
    if view.debt_bytes > 0 {
        let why = format!(
            "site {} still owes {} bytes of an unfinished copy: its volumes are not consistent",
            standing.site, view.debt_bytes
        );
        return Assessment::GiveWay { to: further(standing).map(|(site, _)| site.clone()), why };
    }
    match further(standing) {
        Some((site, evidence)) => go_towards(standing, site, evidence),
        None => Assessment::Eligible(verdict(standing)),
    }
}

/// How far a site has come, as ranks go. What a reign wrote that never became active was never
/// answered to a host, so it does not put a site ahead.
fn rank(standing: &Standing<'_>, lineage: &Lineage, view: &SiteView) -> (Generation, UpdateNumber) {
    let settled = standing.charter.map_or(Generation::NONE, |charter| charter.settled);
    let idle = lineage.reigns().iter().find(|reign| reign.generation > settled);
    match idle {
        Some(reign) if !settled.is_none() => {
            let number = reign.first.previous().min(view.newest.number);
            (lineage.generation_at(number), number)
        }
        _ => view.newest.rank(),
    }
}

/// The site in the evidence that is furthest ahead of the candidate, if any is.
fn further<'a>(standing: &Standing<'a>) -> Option<(&'a SiteName, &'a Evidence)> {
    let rank = |lineage, view| rank(standing, lineage, view);
    let consistent = standing.evidence.iter().filter(|(_, their)| their.view.debt_bytes == 0);
    let (site, best) = consistent.max_by_key(|(_, their)| rank(&their.lineage, &their.view))?;
    let ahead = rank(&best.lineage, &best.view) > rank(standing.lineage, standing.view);
    ahead.then_some((site, best))
}

/// Roll forward from a site that is ahead, or give way to it.
fn go_towards(standing: &Standing<'_>, site: &SiteName, evidence: &Evidence) -> Assessment {
    let mine = standing.view.newest.number;
    let theirs = evidence.view.newest;
    let fork = evidence.lineage.fork(theirs.number, standing.lineage, mine);
    if fork == mine && evidence.view.base <= mine {
        return Assessment::RollForward { from: site.clone(), to: theirs.number };
    }
    let why = if fork == mine {
        format!(
            "site {site} is at {theirs}, and its journal no longer holds the updates from {} on",
            mine.next()
        )
    } else {
        format!("site {site} is at {theirs}, on another branch since {fork}")
    };
    Assessment::GiveWay { to: Some(site.clone()), why }
}

/// What is known of losses, given that nobody in the evidence is ahead: since the set was made that
/// the charter names, and by the reign that made it, if nobody was told what that one lost.
fn verdict(standing: &Standing<'_>) -> Verdict {
    let since = verdict_on_the_set(standing);
    match standing.charter.and_then(|charter| charter.untold.as_ref()) {
        Some(untold) => since.with_untold(untold),
        None => since,
    }
}

/// What is known of losses since the charter's set was made.
fn verdict_on_the_set(standing: &Standing<'_>) -> Verdict {
    let blank = standing.view.blank && standing.evidence.values().all(|their| their.view.blank);
    let Some(charter) = standing.charter else {
        return if blank {
            Verdict::Zero
        } else {
            Verdict::Unknown("no site that answered knows who led".into())
        };
    };
    if charter.settled.is_none() {
        // No reign ever became active, so nothing was ever answered.
        return Verdict::Zero;
    }
    if charter.names(standing.site, standing.view.incarnation) {
        return Verdict::Zero;
    }
    if standing.handover.is_some_and(|end| end.generation == charter.settled) {
        // Nothing was answered in that reign after its end, and none became active since.
        return Verdict::Zero;
    }
    if standing.evidence.iter().any(|(site, their)| proves(standing, charter, site, their)) {
        return Verdict::Zero;
    }
    let everyone = standing
        .registered
        .iter()
        .all(|site| site == standing.site || standing.evidence.contains_key(site));
    let media_lost = standing.began_blank
        || standing.evidence.iter().any(|(site, their)| {
            let member = charter.member(site).is_some();
            their.view.novice || member && (their.view.blank || their.view.debt_bytes > 0)
        });
    let held = standing.evidence.values().all(|their| holds(standing, charter, their));
    if everyone && held && !media_lost {
        return Verdict::Flushed;
    }
    Verdict::Unknown(facts(standing, charter))
}

/// Whether a site in the evidence proves that nothing is lost: it is an intact member, and the
/// candidate holds all that it holds.
fn proves(standing: &Standing<'_>, charter: &Charter, site: &SiteName, their: &Evidence) -> bool {
    let view = &their.view;
    let whole = !view.blank && !view.novice && view.debt_bytes == 0;
    let intact = whole && charter.names(site, view.incarnation);
    intact && holds(standing, charter, their)
}

/// Whether the candidate holds what a site holds, save for a tail that was lost before: one from
/// before the newest reign that became active.
///
/// Rank alone does not say that: a reign that was begun by consent and never became active may
/// outrank a site whose tail it never had. So the site's end must lie on the candidate's history.
fn holds(standing: &Standing<'_>, charter: &Charter, their: &Evidence) -> bool {
    let (mine, theirs) = (standing.view.newest.number, their.view.newest);
    let fork = standing.lineage.fork(mine, &their.lineage, theirs.number);
    let (generation, end) = rank(standing, &their.lineage, &their.view);
    end <= fork || generation < charter.settled
}

/// Why nothing is proved, for the operator.
fn facts(standing: &Standing<'_>, charter: &Charter) -> String {
    let silent =
        |site: &&SiteName| *site != standing.site && !standing.evidence.contains_key(*site);
    format!(
        "what was answered in generation {} is held by {{{}}}; site {} is at {} and is not among \
         them in its present incarnation; not heard: {{{}}}",
        charter.settled,
        listed(charter.in_sync.iter().map(|member| &member.site)),
        standing.site,
        standing.view.newest,
        listed(standing.registered.iter().filter(silent))
    )
}
