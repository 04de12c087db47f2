//! The oracle: it sees every append, sync, save and store write, and every answer to a host, and
//! asks the rules about each.

use crate::model::{Entry, Image, Registry, Tag, image};
use crate::plan::Plan;
use crate::rules::{self, Broken};
use crate::trace::Trace;
use std::collections::{BTreeMap, BTreeSet};
use trefoil_backends::simulated::SimulatedDisk;
use trefoil_core::engine::takeover::Verdict;
use trefoil_core::model::{
    Charter, Generation, Lineage, Member, Position, SiteState, UpdateNumber, VolumeName,
};
use trefoil_core::port::BlockWrite;
use trefoil_core::record::Record;
use trefoil_site::Certificate;

/// The sites' names, by index.
pub const SITES: [&str; 3] = ["a", "b", "c"];

/// The names of the group's volumes.
pub const VOLUMES: [&str; 2] = ["db", "log"];

/// A site as the oracle sees it.
#[derive(Debug)]
pub struct Seen {
    pub disk: SimulatedDisk,
    /// Every update of its history, the trimmed ones included; entry `i` has number `i + 1`.
    pub history: Vec<Entry>,
    /// The state saved last.
    pub state: Option<SiteState>,
    /// Since when the newest promise is durable, in virtual milliseconds.
    pub promised_ms: u64,
    /// Whether the power was lost since the journal was recovered last.
    pub tail_lost: bool,
    /// How often the power was lost.
    pub power_losses: u32,
    /// Whether a fault of the disk was ever injected.
    pub disk_fault: bool,
    /// Whether an operator accepts a loss at this site now.
    pub consent: bool,
    /// Whether it forgot everything, and no plan to fill it is known yet: others may not know.
    pub forgot: bool,
}

impl Seen {
    fn new(disk: SimulatedDisk) -> Self {
        Self {
            disk,
            history: Vec::new(),
            state: None,
            promised_ms: 0,
            tail_lost: false,
            power_losses: 0,
            disk_fault: false,
            consent: false,
            forgot: false,
        }
    }

    /// Whether that update is on this site's history.
    pub fn holds(&self, generation: Generation, number: UpdateNumber) -> bool {
        self.at(number).is_some_and(|entry| entry.generation == generation)
    }

    /// The update of that number on this site's history.
    pub fn at(&self, number: UpdateNumber) -> Option<&Entry> {
        self.history.get((number.value() as usize).checked_sub(1)?)
    }

    /// The newest number.
    pub fn newest(&self) -> UpdateNumber {
        UpdateNumber::new(self.history.len() as u64)
    }

    /// Whether its volumes are not what its journal says.
    pub fn in_debt(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.debt.is_some() || state.intent.is_some())
    }

    /// The image that its volumes still are, by its state, while it owes.
    pub fn image(&self) -> Option<Position> {
        self.state.as_ref()?.image()
    }

    /// Whether this site is the member, with everything that it had.
    pub fn is_intact(&self, member: &Member) -> bool {
        !self.tail_lost
            && self.state.as_ref().is_some_and(|state| state.incarnation == member.incarnation)
    }

    /// The charter that it knows.
    pub fn charter(&self) -> Option<&Charter> {
        self.state.as_ref()?.charter.as_ref()
    }

    /// The reign of its newest update's lineage.
    pub fn reign(&self) -> Generation {
        let state = self.state.as_ref();
        state.and_then(|state| state.lineage.last()).map_or(Generation::NONE, |r| r.generation)
    }

    fn lineage(&self, base: &Position) -> Lineage {
        let Some(state) = &self.state else { return Lineage::new() };
        match &state.intent {
            Some(intent) if intent.base == *base => intent.lineage.clone(),
            _ => state.lineage.clone(),
        }
    }
}

/// A host write that was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    pub tag: Tag,
    pub generation: Generation,
    pub number: UpdateNumber,
    pub site: usize,
    /// Whether a flush that covers it was answered.
    pub flushed: bool,
    /// Whether a takeover told the operator that it may be lost.
    pub given_up: bool,
    /// How often each site had lost power when it was answered.
    pub power_losses: [u32; 3],
    /// The sites that held it when it was answered.
    pub holders: [bool; 3],
}

/// A reign that began to answer.
#[derive(Clone, Debug)]
pub struct Begun {
    pub site: usize,
    /// Answered writes that its history lacked when it began.
    pub lacks: Vec<Answered>,
    /// The highest number that an answered flush covers.
    pub flushed: UpdateNumber,
}

/// The oracle.
#[derive(Debug)]
pub struct Oracle {
    pub plan: Plan,
    pub trace: Trace,
    pub broken: Option<Broken>,
    /// The rules that count; all if it is empty.
    pub watched: &'static [&'static str],
    pub registry: Registry,
    pub sites: Vec<Seen>,
    pub answered: Vec<Answered>,
    pub begun: BTreeMap<Generation, Begun>,
    /// The newest generation that answered a host, and when it did first.
    pub newest_answer: (Generation, u64),
    /// Host writes that are in flight or in doubt, by tag.
    pub pending: BTreeMap<Tag, crate::model::Span>,
    /// Those of them whose host was told that they failed: it knows that they are in doubt.
    pub failed: BTreeSet<Tag>,
    /// Takeovers that succeeded, by verdict.
    pub takeovers: [u64; 3],
    /// Takeovers that nobody started.
    pub automatic: u64,
    /// Exchanges of roles that succeeded.
    pub swaps: u64,
    /// Takeovers by consent, once everything was back: nothing else was left.
    pub last_resorts: u64,
    /// Whether anything was compared by hashes.
    pub compared: bool,
    pub reads: u64,
    pub flushes: u64,
}

impl Oracle {
    /// An oracle over three disks.
    pub fn new(plan: Plan, disks: &[SimulatedDisk], aloud: bool) -> Self {
        Self {
            plan,
            trace: Trace::new(aloud),
            broken: None,
            watched: &[],
            registry: Registry::default(),
            sites: disks.iter().cloned().map(Seen::new).collect(),
            answered: Vec::new(),
            begun: BTreeMap::new(),
            newest_answer: (Generation::NONE, 0),
            pending: BTreeMap::new(),
            failed: BTreeSet::new(),
            takeovers: [0; 3],
            automatic: 0,
            swaps: 0,
            last_resorts: 0,
            compared: false,
            reads: 0,
            flushes: 0,
        }
    }

    /// Keeps the first rule that was broken.
    pub fn judge(&mut self, verdict: rules::Verdict) {
        if let Err(broken) = verdict
            && self.broken.is_none()
            && (self.watched.is_empty() || self.watched.contains(&broken.rule))
        {
            self.trace.event(format_args!("BROKEN {}: {}", broken.rule, broken.what));
            self.broken = Some(broken);
        }
    }

    /// Notes an event in the trace.
    pub fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.event(what);
    }

    /// Records are about to be appended at a site.
    pub fn appending(&mut self, site: usize, records: &[Record]) {
        for record in records {
            let verdict = rules::same_number_same_update::check(&mut self.registry, site, record);
            self.judge(verdict);
        }
    }

    /// Records were appended at a site.
    pub fn appended(&mut self, site: usize, records: &[Record]) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        let (from, to, generation) = (first.number(), last.number(), last.generation());
        self.trace.event(format_args!("{} append {from}..{to} g{generation}", SITES[site]));
        for record in records {
            let verdict = rules::no_gap::check_append(&self.sites[site], site, record);
            self.judge(verdict);
            let known = self.registry.get(record.generation(), record.number()).copied();
            self.sites[site].history.extend(known);
        }
        let verdict = rules::remote_behind_mirror::check(self, site);
        self.judge(verdict);
    }

    /// The journal of a site was recovered.
    pub fn recovered(&mut self, site: usize) {
        let records = self.sites[site].disk.received_records();
        self.appending(site, &records);
        let base = self.sites[site].disk.base();
        self.rebuild(site, &base);
        for record in &records {
            let verdict = rules::no_gap::check_append(&self.sites[site], site, record);
            self.judge(verdict);
            let known = self.registry.get(record.generation(), record.number()).copied();
            self.sites[site].history.extend(known);
        }
        let newest = self.sites[site].newest();
        self.trace.event(format_args!("{} recovered {}..{newest}", SITES[site], base.number));
    }

    /// Takes the history up to `base` from what was seen elsewhere.
    fn rebuild(&mut self, site: usize, base: &Position) {
        let lineage = self.sites[site].lineage(base);
        match self.registry.history(&lineage, base.number) {
            Ok(history) => self.sites[site].history = history,
            Err(number) => {
                let what = format!("{} stands on {base}, but nobody made {number}", SITES[site]);
                self.judge(Err(Broken::new("no_gap", what)));
            }
        }
    }

    /// The journal of a site began anew after `base`.
    pub fn reset(&mut self, site: usize, base: Position) {
        self.trace.event(format_args!("{} journal reset to {base}", SITES[site]));
        self.rebuild(site, &base);
    }

    /// The end of a site's journal is about to be dropped.
    pub fn truncating(&mut self, site: usize, after: UpdateNumber) {
        self.trace.event(format_args!("{} truncate after {after}", SITES[site]));
        let verdict = rules::tail_kept::check(&self.sites[site], site, after);
        self.judge(verdict);
    }

    /// The end of a site's journal was dropped.
    pub fn truncated(&mut self, site: usize, after: UpdateNumber) {
        self.sites[site].history.truncate(after.value() as usize);
    }

    /// The journal of a site is about to be trimmed.
    pub fn trimming(&mut self, site: usize, up_to: UpdateNumber) {
        self.trace.event(format_args!("{} trim to {up_to}", SITES[site]));
        let verdict = rules::purge_safe::check(self, site, up_to);
        self.judge(verdict);
    }

    /// A site's state was saved.
    pub fn saved(&mut self, site: usize, bytes: &[u8]) {
        let now = self.trace.now_ms();
        // A state that the rules cannot read would leave them blind.
        let state = SiteState::decode(bytes).unwrap();
        let seen = &mut self.sites[site];
        let before = seen.state.replace(state);
        seen.forgot &= !seen.in_debt();
        let Some(state) = seen.state.clone() else { return };
        let promised = before.as_ref().map(|state| state.promised);
        if promised != Some(state.promised) {
            seen.promised_ms = now;
            self.trace.event(format_args!("{} promised g{}", SITES[site], state.promised));
        }
        let charter = before.as_ref().and_then(|state| state.charter.as_ref()).map(Charter::rank);
        if let Some(new) = state.charter.as_ref().filter(|new| charter != Some(new.rank())) {
            let set: Vec<&str> = new.in_sync.iter().map(|member| member.site.as_str()).collect();
            self.trace.event(format_args!(
                "{} charter g{}.{} {} active={} {set:?}",
                SITES[site], new.generation, new.version, new.primary, new.active
            ));
        }
        let verdict = rules::one_primary::check_promise(before.as_ref(), &state, site);
        self.judge(verdict);
        let verdict = rules::no_gap::check_checkpoint(self, site, &state);
        self.judge(verdict);
        let verdict = rules::no_gap::check_stage(self, site);
        self.judge(verdict);
    }

    /// A batch is about to go to a volume of a site.
    pub fn storing(&mut self, site: usize, volume: u32, batch: &[BlockWrite]) {
        let verdict = rules::write_ahead::check_batch(self, site, volume, batch);
        self.judge(verdict);
    }

    /// A site's process died, or its power was lost; the disk shows what is left.
    pub fn died(&mut self, site: usize, power: bool) {
        let how = if power { "loses power" } else { "is killed" };
        self.trace.event(format_args!("{} {how}", SITES[site]));
        let seen = &mut self.sites[site];
        if power {
            seen.tail_lost = true;
            seen.power_losses += 1;
        }
        seen.consent = false;
        let saved = seen.disk.saved_state();
        seen.state = saved.map(|bytes| SiteState::decode(&bytes).unwrap());
        if !self.sites[site].tail_lost || self.sites[site].state.is_some() {
            let base = self.sites[site].disk.base();
            let records = self.sites[site].disk.received_records();
            self.appending(site, &records);
            self.rebuild(site, &base);
            for record in &records {
                let known = self.registry.get(record.generation(), record.number()).copied();
                self.sites[site].history.extend(known);
            }
        }
        let verdict = rules::write_ahead::check_crash(self, site);
        self.judge(verdict);
        let verdict = rules::no_gap::check_stage(self, site);
        self.judge(verdict);
    }

    /// A site has forgotten everything: another one is in its place, which promised nothing and
    /// holds no history, whatever is in its volumes.
    pub fn replaced(&mut self, site: usize) {
        self.trace.event(format_args!("{} forgets", SITES[site]));
        let seen = &mut self.sites[site];
        (seen.state, seen.promised_ms) = (None, 0);
        seen.history.clear();
        seen.forgot = true;
    }

    /// Whether no other site knows of a newer reign than this one.
    pub fn knows_newest_reign(&self, site: usize) -> bool {
        let of = |seen: &Seen| seen.charter().map(|charter| charter.generation);
        self.sites.iter().all(|other| of(other) <= of(&self.sites[site]))
    }

    /// Whether that site leads again without anybody's word, once it is started.
    pub fn may_lead_alone(&self, site: usize) -> bool {
        let charter = self.sites[site].charter();
        charter.is_some_and(|charter| charter.is_up_to(&crate::world::name(SITES[site])))
    }

    /// What a volume of a site holds now, for the rules.
    pub fn stored(&self, site: usize, volume: usize, durable: bool) -> Vec<u8> {
        let length = self.plan.volumes[volume] as usize;
        let name = VolumeName::new(VOLUMES[volume]).unwrap();
        let disk = &self.sites[site].disk;
        if durable {
            disk.durable_volume_bytes(&name, 0, length)
        } else {
            disk.volume_bytes(&name, 0, length)
        }
    }

    /// The image of a site's history up to `number`.
    pub fn image_at(&self, site: usize, number: UpdateNumber) -> Image {
        let history = &self.sites[site].history;
        let end = (number.value() as usize).min(history.len());
        image(&history[..end], &self.plan.volumes)
    }

    /// A takeover was certified.
    pub fn certified(&mut self, site: usize, certificate: &Certificate) {
        let (generation, verdict) = (certificate.generation, &certificate.verdict);
        self.trace.event(format_args!("{} took over g{generation}: {verdict}", SITES[site]));
        let kind = match verdict {
            Verdict::Zero => 0,
            Verdict::Flushed => 1,
            Verdict::Unknown(_) => 2,
        };
        self.takeovers[kind] += 1;
        self.begins(site, generation);
        self.sites[site].consent = false;
        let verdict = rules::no_silent_loss::check(self, generation, verdict);
        self.judge(verdict);
        let verdict = rules::no_silent_loss::check_doubt(self, site, certificate);
        self.judge(verdict);
    }
}
