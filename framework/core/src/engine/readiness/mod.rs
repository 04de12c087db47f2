//! What would happen if sites were lost now: who would serve, what would be lost, how the others
//! would follow, and what the operator would do. By the code that would decide it then.

mod after;
mod words;

use super::judge::PlanKind;
use super::reign::{Known, Refusal, Rehearsed, Reign, ReignConfig, TakeoverOptions};
use crate::model::{Charter, Fence, GroupName, LegMode, SiteName, UpdateNumber, Verdict};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

pub use after::{Pace, Resync, resyncs};

/// At most so many survivors are tried as candidates.
const CANDIDATES_MAX: usize = 8;

/// What one site knows when it asks what would happen.
pub struct Situation<'a> {
    /// The group.
    pub group: &'a GroupName,
    /// The sites that are heard now, the own one included.
    pub known: &'a BTreeMap<SiteName, Known>,
    /// How each site of the group is configured.
    pub config: &'a dyn Fn(&SiteName) -> ReignConfig,
    /// All sites of the group.
    pub registered: &'a [SiteName],
    /// Up to here hosts were answered, as far as this site knows.
    pub commit: UpdateNumber,
    /// This site's clock, in microseconds.
    pub now: u64,
    /// What can be counted here.
    pub figures: &'a dyn Figures,
}

/// What a site can count of its history and its links.
pub trait Figures {
    /// About how many bytes of records come after that number.
    fn bytes_after(&self, number: UpdateNumber) -> u64;
    /// How old the oldest update after that number is at most, in microseconds.
    fn age_after_us(&self, number: UpdateNumber) -> u64;
    /// How fast a leg is, where this site can tell.
    fn pace(&self, source: &SiteName, follower: &SiteName) -> Pace;
    /// Bytes of all volumes of the group.
    fn volume_bytes(&self) -> u64;
}

/// What would be lost of what was answered to hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stake {
    /// Updates.
    pub updates: u64,
    /// About how many bytes those are.
    pub bytes: u64,
    /// How old the oldest of them is at most, in microseconds.
    pub us: u64,
}

/// How a group gets on after a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The site that leads goes on.
    GoesOn,
    /// Another site leads, and nothing that was answered is lost, or nothing that was flushed.
    TakesOver,
    /// Another site can lead, with consent to a loss that cannot be ruled out.
    NeedsConsent,
    /// No host is answered until a lost site is back.
    Stops,
}

/// How a takeover at one of the survivors would end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidacy {
    /// The survivor.
    pub site: SiteName,
    /// What would be known of losses; `None` where it could not lead.
    pub verdict: Option<Verdict>,
    /// Why it could not lead.
    pub refused: Option<String>,
    /// What would be lost.
    pub stake: Stake,
    /// Whom it would read from first.
    pub reads: Vec<SiteName>,
    /// How long promises and leases would be waited for at most, in microseconds.
    pub waits_us: u64,
}

/// What would happen if these sites were lost now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The sites.
    pub lost: Vec<SiteName>,
    /// Sites that are not heard already: they count as lost, too.
    pub silent: Vec<SiteName>,
    /// How the group gets on.
    pub how: How,
    /// The site that would serve.
    pub serves: Option<SiteName>,
    /// What would be known of losses, where another site takes over.
    pub verdict: Option<Verdict>,
    /// What would be lost.
    pub stake: Stake,
    /// How long hosts would wait at most, in microseconds; `None` where that is not known.
    pub waits_us: Option<u64>,
    /// All of it in one sentence.
    pub why: String,
    /// The survivors as candidates, where the site that leads would be lost: of many the likeliest
    /// eight.
    pub candidates: Vec<Candidacy>,
    /// How the other survivors would follow.
    pub resyncs: Vec<Resync>,
    /// What the operator would run.
    pub next: Vec<String>,
}

/// What would happen for every single loss.
pub fn single_losses(situation: &Situation<'_>) -> Vec<Forecast> {
    let each = situation.registered.iter();
    each.map(|site| forecast(situation, &BTreeSet::from([site.clone()]))).collect()
}

/// What would happen for every single and every double loss.
pub fn all_losses(situation: &Situation<'_>) -> Vec<Forecast> {
    let mut forecasts = single_losses(situation);
    for (index, one) in situation.registered.iter().enumerate() {
        for other in situation.registered.iter().skip(index + 1) {
            let both = BTreeSet::from([one.clone(), other.clone()]);
            forecasts.push(forecast(situation, &both));
        }
    }
    forecasts
}

/// What would happen if `lost` were lost now.
pub fn forecast(situation: &Situation<'_>, lost: &BTreeSet<SiteName>) -> Forecast {
    let left = situation.known.iter().filter(|(site, _)| !lost.contains(*site)).collect();
    let registered = situation.registered.iter();
    let silent = registered.filter(|site| !situation.known.contains_key(*site));
    let silent: Vec<SiteName> = silent.filter(|site| !lost.contains(*site)).cloned().collect();
    let case = Case { situation, lost, left, silent };
    match case.leader() {
        Some(charter) if case.left.contains_key(&charter.primary) => case.primary_stays(&charter),
        Some(charter) => case.primary_lost(&charter),
        None => case.nobody("no site leads the group now, so there is nothing to lose".into()),
    }
}

/// A loss, and who is left.
struct Case<'a> {
    situation: &'a Situation<'a>,
    lost: &'a BTreeSet<SiteName>,
    left: BTreeMap<&'a SiteName, &'a Known>,
    silent: Vec<SiteName>,
}

impl Case<'_> {
    /// The newest charter that anybody knows, if a reign was ever active.
    fn leader(&self) -> Option<Charter> {
        let known = self.situation.known.values();
        let charters = known.filter_map(|known| known.view.charter.as_ref());
        let newest = charters.max_by_key(|charter| charter.rank());
        newest.filter(|charter| !charter.settled.is_none()).cloned()
    }

    /// The sites that are not there.
    fn gone(&self) -> impl Iterator<Item = &SiteName> {
        self.lost.iter().chain(&self.silent)
    }

    fn base(&self, how: How, why: String) -> Forecast {
        Forecast {
            lost: self.lost.iter().cloned().collect(),
            silent: self.silent.clone(),
            how,
            serves: None,
            verdict: None,
            stake: Stake::default(),
            waits_us: None,
            why,
            candidates: Vec::new(),
            resyncs: Vec::new(),
            next: self.gone().map(words::bring_back).collect(),
        }
    }

    fn nobody(&self, why: String) -> Forecast {
        self.base(How::Stops, why)
    }

    /// The site that leads is left: it goes on if enough others renew its lease.
    fn primary_stays(&self, charter: &Charter) -> Forecast {
        let primary = &charter.primary;
        let config = (self.situation.config)(primary);
        let others = self.left.len() - 1;
        if others < config.others_needed() {
            let forecast = self.base(How::Stops, words::alone(primary, config.lease_us));
            return Forecast { waits_us: None, ..forecast };
        }
        let members = self.gone().filter(|site| charter.member(site).is_some());
        let members: Vec<&SiteName> = members.collect();
        let data = config.fence == Fence::Data && !members.is_empty();
        let waits_us = match (members.is_empty(), config.fence) {
            (true, _) | (_, Fence::Never) => 0,
            _ => config.leg_grace_us,
        };
        let why = words::goes_on(primary, &members, config.fence, waits_us);
        let how = if data { How::Stops } else { How::GoesOn };
        Forecast {
            serves: (!data).then(|| primary.clone()),
            waits_us: (!data).then_some(waits_us),
            ..self.base(how, why)
        }
    }

    /// The site that leads is gone: the best of the survivors takes over.
    fn primary_lost(&self, charter: &Charter) -> Forecast {
        let played: Vec<(Candidacy, Rehearsed)> =
            self.likely(charter).into_iter().map(|site| self.candidacy(site)).collect();
        let modes = (self.situation.config)(&charter.primary).modes;
        let fit = played.iter().filter(|(candidacy, _)| candidacy.verdict.is_some());
        let best = fit.min_by_key(|(candidacy, rehearsed)| {
            let unproved = match &candidacy.verdict {
                Some(Verdict::Zero) => 0,
                Some(Verdict::Flushed) => 1,
                _ => 2,
            };
            let mirror = modes.get(&candidacy.site) == Some(&LegMode::Sync);
            (unproved, !mirror, Reverse(rehearsed.own.newest.rank()))
        });
        let candidates = played.iter().map(|(candidacy, _)| candidacy.clone()).collect();
        let Some((chosen, rehearsed)) = best else {
            let refusals = played.iter().filter_map(|(candidacy, _)| candidacy.refused.clone());
            let why = words::nobody(&charter.primary, &refusals.collect::<Vec<_>>());
            return Forecast { candidates, ..self.nobody(why) };
        };
        let consent = matches!(chosen.verdict, Some(Verdict::Unknown(_)));
        let how = if consent { How::NeedsConsent } else { How::TakesOver };
        let resyncs = self.followers(&chosen.site, rehearsed);
        let config = (self.situation.config)(&chosen.site);
        let alone = charter.names(&chosen.site, self.incarnation(&chosen.site));
        let automatic =
            config.takeover_delay_us.filter(|_| chosen.verdict == Some(Verdict::Zero) && alone);
        let waits_us = chosen.waits_us.max(automatic.unwrap_or(0));
        let why = words::takes_over(chosen, automatic, waits_us, &resyncs);
        let mut forecast = self.base(how, why);
        if automatic.is_none() {
            let verb = words::takeover(&chosen.site, consent, self.situation.group);
            forecast.next.insert(0, verb);
        }
        Forecast {
            serves: Some(chosen.site.clone()),
            verdict: chosen.verdict.clone(),
            stake: chosen.stake,
            waits_us: Some(waits_us),
            candidates,
            resyncs,
            ..forecast
        }
    }

    fn incarnation(&self, site: &SiteName) -> crate::model::Incarnation {
        self.left.get(site).map(|known| known.view.incarnation).unwrap_or_default()
    }

    /// The survivors that may be the best to lead: those that the charter names, then whoever has
    /// most. To play a takeover costs the more, the more sites there are, and for each of them.
    fn likely(&self, charter: &Charter) -> Vec<&SiteName> {
        let mut sites: Vec<(&SiteName, &Known)> =
            self.left.iter().map(|(site, known)| (*site, *known)).collect();
        sites.sort_by_key(|(site, known)| {
            (charter.member(site).is_none(), Reverse(known.view.newest.rank()))
        });
        let mut likely: Vec<_> =
            sites.into_iter().take(CANDIDATES_MAX).map(|(site, _)| site).collect();
        likely.sort_unstable();
        likely
    }

    /// The survivors without `site`.
    fn others(&self, site: &SiteName) -> BTreeMap<SiteName, Known> {
        let others = self.left.iter().filter(|(other, _)| **other != site);
        others.map(|(other, known)| ((*other).clone(), (*known).clone())).collect()
    }

    /// A takeover at `site`, played to its end.
    fn candidacy(&self, site: &SiteName) -> (Candidacy, Rehearsed) {
        let others = self.others(site);
        let known = self.left.get(site).map_or_else(Known::blank, |known| (*known).clone());
        let now = self.situation.now;
        let reign = Reign::imagined((self.situation.config)(site), &known, &others, now);
        let options = TakeoverOptions { accept_loss: true, primary_is_fenced: false };
        let rehearsed = reign.rehearse_takeover(&known.own(now), &others, options);
        let (verdict, refused) = match &rehearsed.outcome {
            Ok(completed) => (Some(completed.verdict.clone()), None),
            Err(Refusal { why, .. }) => (None, Some(why.clone())),
        };
        let stake = stake(self.situation, &verdict, rehearsed.own.newest.number);
        let reads = rehearsed.reads.iter().map(|(from, _)| from.clone()).collect();
        let (site, waits_us) = (site.clone(), rehearsed.waits_us);
        (Candidacy { site, verdict, refused, stake, reads, waits_us }, rehearsed)
    }

    /// How the other survivors follow the one that leads.
    fn followers(&self, leader: &SiteName, rehearsed: &Rehearsed) -> Vec<Resync> {
        let Ok(completed) = &rehearsed.outcome else { return Vec::new() };
        let maps = self.left.get(leader).map(|known| known.maps.clone()).unwrap_or_default();
        let others = self.others(leader);
        resyncs(self.situation.figures, leader, &rehearsed.own, completed, &maps, &others)
    }
}

/// What would be lost if a site that ends at `newest` led, with that verdict.
pub fn stake(situation: &Situation<'_>, verdict: &Option<Verdict>, newest: UpdateNumber) -> Stake {
    let updates = situation.commit.since(newest);
    if updates == 0 || *verdict == Some(Verdict::Zero) {
        return Stake::default();
    }
    let figures = situation.figures;
    Stake { updates, bytes: figures.bytes_after(newest), us: figures.age_after_us(newest) }
}

/// Whether a plan brings a site on by what its source's journal holds: nothing is copied.
pub fn is_delta(kind: &PlanKind) -> bool {
    matches!(kind, PlanKind::InSync | PlanKind::Delta)
}
