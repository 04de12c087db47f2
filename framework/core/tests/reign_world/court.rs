//! An arbiter outside of the three sites, whose answers the test may lose.

use super::{MS, Mail, World, site};
use std::collections::{BTreeMap, BTreeSet};
use trefoil_core::engine::reign::{Event, Question, Reply};
use trefoil_core::model::{Charter, Fence, Generation, SiteName};
use trefoil_core::port::Recorded;

/// What becomes of the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It is made, and nobody is told.
    AnswerLost,
    /// It never arrives.
    QuestionLost,
}

#[derive(Debug, Default)]
pub struct Court {
    recorded: Option<Recorded>,
    leases: BTreeMap<Generation, u64>,
    /// The sites that cannot reach it.
    away_from: BTreeSet<SiteName>,
    mishap: Option<Mishap>,
    changes: u64,
    renewals: u64,
}

impl Court {
    fn answer(&mut self, from: &SiteName, question: Question, now: u64) -> Reply {
        let version = self.recorded.as_ref().map_or(0, |recorded| recorded.version);
        match question {
            Question::Read => Reply::Recorded(self.recorded.clone()),
            Question::Change { expected, charter } => {
                self.changes += 1;
                let mishap = self.mishap.take();
                if mishap == Some(Mishap::QuestionLost) {
                    return Reply::Unknown("the question is lost".into());
                }
                if version != expected {
                    return Reply::Lost(self.recorded.clone());
                }
                self.recorded = Some(Recorded { version: version + 1, charter });
                match mishap {
                    Some(_) => Reply::Unknown("the answer is lost".into()),
                    None => Reply::Won(version + 1),
                }
            }
            Question::Renew { generation } => {
                self.renewals += 1;
                let leads = self.recorded.as_ref().is_some_and(|Recorded { charter, .. }| {
                    charter.generation == generation && charter.primary == *from
                });
                if !leads {
                    return Reply::Fenced;
                }
                self.leases.insert(generation, now + 2100 * MS);
                Reply::Granted(2000 * MS)
            }
            Question::Wait => {
                let own = self.recorded.as_ref().map(|recorded| recorded.charter.generation);
                let others = self.leases.iter().filter(|(generation, _)| Some(**generation) != own);
                Reply::Waits(others.map(|(_, until)| until.saturating_sub(now)).max().unwrap_or(0))
            }
        }
    }
}

impl World {
    /// The same world with an arbiter: A serves with B in sync, and both take over by themselves.
    pub fn paired_under_arbiter() -> Self {
        Self::with_court(Some(3000), Fence::Status, Some(Court::default()))
            .led_by_a()
            .with_b_in_sync()
    }

    /// The same, and nobody was ever told of a reign.
    pub fn under_arbiter() -> Self {
        Self::with_court(None, Fence::Status, Some(Court::default()))
    }

    /// These sites begin with nothing, and nobody vouched for them.
    pub fn novices(&mut self, names: &[&str]) {
        for name in names {
            self.kill(name);
            self.nodes.get_mut(&site(name)).unwrap().novice = true;
            self.restart(name);
        }
    }

    fn court(&mut self) -> &mut Court {
        self.court.as_mut().unwrap()
    }

    /// These sites do not reach the arbiter; all others do.
    pub fn arbiter_away_from(&mut self, names: &[&str]) {
        self.court().away_from = names.iter().map(|name| site(name)).collect();
    }

    pub fn mishap(&mut self, mishap: Mishap) {
        self.court().mishap = Some(mishap);
    }

    /// The arbiter forgets everything.
    pub fn arbiter_forgets(&mut self) {
        let away_from = std::mem::take(&mut self.court().away_from);
        *self.court() = Court { away_from, ..Court::default() };
    }

    /// The charter that the arbiter has recorded.
    pub fn record(&self) -> &Charter {
        &self.court.as_ref().unwrap().recorded.as_ref().unwrap().charter
    }

    /// How often the arbiter was asked for a change, and for a lease.
    pub fn asked_of_arbiter(&self) -> (u64, u64) {
        let court = self.court.as_ref().unwrap();
        (court.changes, court.renewals)
    }

    /// Records a charter as if a late question of a site came to the arbiter now.
    pub fn record_late(&mut self, charter: Charter) {
        let court = self.court();
        let version = court.recorded.as_ref().map_or(0, |recorded| recorded.version) + 1;
        court.recorded = Some(Recorded { version, charter });
    }

    pub(super) fn ask_court(&mut self, at: &SiteName, id: u64, question: Question) {
        let now = self.now;
        let court = self.court();
        let reply = if court.away_from.contains(at) {
            Reply::Unknown("it is not there".into())
        } else {
            court.answer(at, question, now)
        };
        self.send(at, at.clone(), Mail::Event(Event::Arbiter(id, reply)));
    }
}
