//! What the oracle makes of answers to hosts.

use crate::model::{Span, Tag};
use crate::oracle::{Answered, Begun, Oracle, SITES};
use crate::rules::{self, Broken};
use trefoil_core::model::{Durability, Generation, UpdateNumber};

impl Oracle {
    /// A write was answered by a site as update `number`.
    pub fn write_answered(
        &mut self,
        site: usize,
        tag: Tag,
        span: Span,
        zero: bool,
        number: UpdateNumber,
    ) {
        self.pending.remove(&tag);
        let Some(entry) = self.sites[site].at(number).copied() else {
            let what = format!("{} answered update {number}, which it does not hold", SITES[site]);
            return self.judge(Err(Broken::new("acked_survives", what)));
        };
        let expected = if zero { 0 } else { tag };
        if entry.span != Some(span) || entry.tag != expected {
            let what = format!("{} answered write {tag} as {number}: {entry:?}", SITES[site]);
            return self.judge(Err(Broken::new("same_number_same_update", what)));
        }
        self.answers(site);
        let verdict = rules::acked_survives::check_answer(self, site, &entry);
        self.judge(verdict);
        let flushed = self.begun.get(&entry.generation).map_or(UpdateNumber::ZERO, |b| b.flushed);
        let holders = [0, 1, 2].map(|x| self.sites[x].holds(entry.generation, number));
        let durable = self.plan.durability == Durability::Write;
        if durable {
            let verdict = rules::flushed_survives::check_answer(self, site, number);
            self.judge(verdict);
        }
        self.answered.push(Answered {
            tag,
            generation: entry.generation,
            number,
            site,
            flushed: durable || number <= flushed,
            given_up: false,
            power_losses: [0, 1, 2].map(|x| self.sites[x].power_losses),
            holders,
        });
    }

    /// A flush was answered by a site: everything up to `number` is durable.
    pub fn flush_answered(&mut self, site: usize, number: UpdateNumber) {
        self.flushes += 1;
        self.trace.event(format_args!("{} flushed {number}", SITES[site]));
        self.answers(site);
        let verdict = rules::flushed_survives::check_answer(self, site, number);
        self.judge(verdict);
        if let Some(begun) = self.begun.get_mut(&self.sites[site].reign()) {
            begun.flushed = begun.flushed.max(number);
        }
        let seen = &self.sites[site];
        for write in &mut self.answered {
            if write.number <= number && seen.holds(write.generation, write.number) {
                write.flushed = true;
            }
        }
    }

    /// What every sector of a read may show at the least: the newest answered update of the
    /// site's history when the read begins.
    pub fn read_begins(&self, site: usize) -> UpdateNumber {
        let seen = &self.sites[site];
        let on_it =
            |write: &&Answered| !write.given_up && seen.holds(write.generation, write.number);
        self.answered.iter().rev().filter(on_it).map(|write| write.number).max().unwrap_or_default()
    }

    /// A read was answered by a site that leads.
    pub fn read_answered(&mut self, site: usize, span: Span, at_least: UpdateNumber, data: &[u8]) {
        self.reads += 1;
        self.answers(site);
        let verdict = rules::acked_survives::check_read(self, site, span, at_least, data);
        self.judge(verdict);
    }

    /// A site answers a host, or may: who leads, and with what?
    fn answers(&mut self, site: usize) {
        let generation = self.sites[site].reign();
        self.begins(site, generation);
        let now = self.trace.now_ms();
        let verdict = rules::one_primary::check_answer(self, site, generation, now);
        self.judge(verdict);
        if generation > self.newest_answer.0 {
            self.newest_answer = (generation, now);
        }
    }

    /// A site is seen ready to answer in a generation, for the first time or again.
    pub fn begins(&mut self, site: usize, generation: Generation) {
        if self.begun.contains_key(&generation) {
            return;
        }
        self.trace.event(format_args!("{} serves g{generation}", SITES[site]));
        let seen = &self.sites[site];
        let lost =
            |write: &&Answered| !write.given_up && !seen.holds(write.generation, write.number);
        let lacks: Vec<Answered> = self.answered.iter().filter(lost).cloned().collect();
        if !lacks.is_empty() {
            self.trace.event(format_args!("{} lacks {} answered", SITES[site], lacks.len()));
            if !self.sites[site].consent {
                let verdict = rules::no_silent_loss::check_unasked(self, site, &lacks);
                self.judge(verdict);
            }
        }
        let seen = &self.sites[site];
        for write in &mut self.answered {
            write.given_up |= !seen.holds(write.generation, write.number);
        }
        let flushed = UpdateNumber::ZERO;
        self.begun.insert(generation, Begun { site, lacks, flushed });
    }
}
