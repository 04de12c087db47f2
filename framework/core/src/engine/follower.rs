//! What a follower takes from its source: one session, consecutive records, within credit.

use super::judge::{Plan, PlanKind};
use crate::model::{Generation, Position, SessionId, SiteName, UpdateNumber};
use crate::record::Record;
use crate::wire::{CompareBlock, CopyBlock};
use crate::{Error, Result};

/// What to do with a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Stream from where the follower is.
    Stream,
    /// Record the debt; the journal goes on where it is.
    Owe,
    /// Record the debt, then begin the journal anew at the plan's base.
    OweAndReset,
    /// Set the tail aside, record what it changed as debt, drop it, and ask again.
    Rewind,
    /// Keep everything; try again later.
    Refused(String),
}

/// What was fetched in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    /// Records up to the plan's target.
    pub delta_updates: u64,
    /// Their encoded bytes.
    pub delta_bytes: u64,
    /// Records made before the source's own reign began: after a takeover, exactly what the
    /// follower lacked at the fence. The source's Generation record is not among them.
    pub inherited_updates: u64,
    /// Their encoded bytes.
    pub inherited_bytes: u64,
    /// Bytes of copied blocks.
    pub copied_bytes: u64,
    /// Bytes of blocks of which only hashes came first.
    pub compared_bytes: u64,
}

/// One session with a source.
#[derive(Clone, Debug)]
pub struct FollowerEngine {
    session: SessionId,
    source: SiteName,
    generation: Generation,
    newest: Position,
    plan: Option<Plan>,
    taken_bytes: u64,
    credit: u64,
    fetch: Fetch,
}

impl FollowerEngine {
    /// A session that is asked for by a follower whose history ends at `newest`, with a first
    /// `credit` in bytes.
    pub fn new(
        session: SessionId,
        source: SiteName,
        generation: Generation,
        newest: Position,
        credit: u64,
    ) -> Self {
        let (plan, taken_bytes, fetch) = (None, 0, Fetch::default());
        Self { session, source, generation, newest, plan, taken_bytes, credit, fetch }
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The source.
    pub fn source(&self) -> &SiteName {
        &self.source
    }

    /// The plan, once it came.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// What was fetched so far.
    pub fn fetch(&self) -> Fetch {
        self.fetch
    }

    /// The newest position taken.
    pub fn newest(&self) -> Position {
        self.newest
    }

    /// The source's plan came.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if it does not fit this follower: then
    /// nothing of it is executed and the session is over.
    pub fn planned(&mut self, plan: Plan) -> Result<Step> {
        if self.plan.is_some() {
            return Err(Error::corrupt("take plan: there is one already in this session"));
        }
        let newest = self.newest.number;
        let step = match &plan.kind {
            PlanKind::Refuse { .. } => Step::Refused(plan.why.clone()),
            PlanKind::Rewind if plan.drop_to < newest => Step::Rewind,
            _ if plan.base == self.newest && !plan.debt.is_debt() => Step::Stream,
            _ if plan.base == self.newest => Step::Owe,
            PlanKind::Copy | PlanKind::Compare | PlanKind::Map if plan.drop_to <= plan.fork => {
                self.newest = plan.base;
                Step::OweAndReset
            }
            _ => {
                return Err(Error::corrupt(format!(
                    "take plan {}: it begins at {}, this site is at {}",
                    plan.kind, plan.base, self.newest
                )));
            }
        };
        self.plan = Some(plan);
        Ok(step)
    }

    /// Records came: checks that they continue the history, in the generations that are allowed.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) or
    /// [`ErrorKind::Fenced`](crate::ErrorKind::Fenced); the session is over.
    pub fn records(&mut self, records: &[Record]) -> Result<()> {
        let Some(plan) = &self.plan else {
            return Err(Error::corrupt("take records: no plan came before them"));
        };
        for record in records {
            record.check_follows(&self.newest)?;
            if record.generation() > self.generation {
                return Err(Error::fenced(format!(
                    "take record {}: its generation is newer than {}",
                    record.position(),
                    self.generation
                )));
            }
            self.newest = record.position();
            let bytes = record.encoded_bytes() as u64;
            self.taken_bytes += bytes;
            if record.number() <= plan.target {
                self.fetch.delta_updates += 1;
                self.fetch.delta_bytes += bytes;
            }
            if record.generation() < self.generation {
                self.fetch.inherited_updates += 1;
                self.fetch.inherited_bytes += bytes;
            }
        }
        self.within_credit()
    }

    /// A copied block came, of `bytes` on the wire.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if it was read before records that are
    /// here already (rule R12); the session is over, the block stays missing.
    pub fn copied(&mut self, block: &CopyBlock, bytes: u64) -> Result<()> {
        self.not_overtaken(block.low)?;
        self.taken_bytes += bytes;
        self.fetch.copied_bytes += match &block.content {
            crate::port::Content::Data(data) => data.len() as u64,
            crate::port::Content::Zero(_) => 0,
        };
        self.within_credit()
    }

    /// The hashes of a range came, which count as `bytes`: so much is read for them, and may be
    /// asked for.
    ///
    /// # Errors
    /// As with [`FollowerEngine::copied`].
    pub fn compared(&mut self, block: &CompareBlock, bytes: u64) -> Result<()> {
        self.not_overtaken(block.low)?;
        self.taken_bytes += bytes;
        self.fetch.compared_bytes += block.extent.length;
        self.within_credit()
    }

    fn not_overtaken(&self, low: UpdateNumber) -> Result<()> {
        if self.newest.number <= low {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "take copy as of {low}: {} is here already (rule R12)",
            self.newest.number
        )))
    }

    /// A source may exceed its credit by the one batch or block that it had begun.
    fn within_credit(&self) -> Result<()> {
        let slack = crate::port::FRAME_BYTES_MAX as u64;
        if self.taken_bytes <= self.credit.saturating_add(slack) {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "take {} bytes: the source was granted {} (rule limits)",
            self.taken_bytes, self.credit
        )))
    }

    /// The credit to grant when there is `room` for so many bytes more. Never goes back.
    pub fn grant(&mut self, room: u64) -> u64 {
        self.credit = self.credit.max(self.taken_bytes.saturating_add(room));
        self.credit
    }
}

#[cfg(test)]
#[path = "follower_tests.rs"]
mod tests;
