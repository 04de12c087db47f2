//! The arbiter outside of the sites, where one is configured: what it is asked, and what its
//! answers change.
//!
//! The charter is what it has recorded. A change is proposed to nobody else, and is neither saved
//! nor told nor acted on before it is known to be made; then the sites are told. Promises stay
//! with the sites, and so do their leases: a primary answers while another site *or* the arbiter
//! renewed its lease. A candidate has the promises of two of three sites, which end what sites
//! granted, before the arbiter records its fence, which ends what the arbiter granted, and it
//! waits for both. So nothing that a lost arbiter leaves undone can let two sites answer.

use super::candidate::Phase;
use super::cause::Cause;
use super::proposal::ASK_AGAIN_US;
use super::{Effect, Own, Refusal, Reign, Standing};
use crate::model::{Charter, Generation, SiteName, listed};
use crate::port::Recorded;

/// What the arbiter is asked. One question about the charter and one for the lease are under way
/// at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What is recorded.
    Read,
    /// To record a charter.
    Change {
        /// The version that it replaces; 0: nothing was recorded.
        expected: u64,
        /// The charter.
        charter: Charter,
    },
    /// To renew the lease of this site's reign.
    Renew {
        /// The reign.
        generation: Generation,
    },
    /// How long the leases of older reigns may still be in use.
    Wait,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// This is recorded; nothing yet if there is none.
    Recorded(Option<Recorded>),
    /// The charter is recorded, under this version.
    Won(u64),
    /// Another change was first, and this is recorded.
    Lost(Option<Recorded>),
    /// The lease is granted, for so long in microseconds from before it was asked for.
    Granted(u64),
    /// This site does not lead by what is recorded.
    Fenced,
    /// A takeover waits so long from now, in microseconds.
    Waits(u64),
    /// Nobody knows what came of it, and why.
    Unknown(String),
}

/// What is seen of the arbiter, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArbiterSeen {
    /// When it answered last, by this site's clock in microseconds; `None`: never since the start.
    pub answered_at: Option<u64>,
    /// Why it does not answer now.
    pub away: Option<String>,
    /// The version that it had recorded when it was last known; 0: nothing.
    pub version: u64,
}

#[derive(Clone, Debug)]
struct Asked {
    id: u64,
    question: Question,
    at: u64,
}

/// The arbiter as this site knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct External {
    /// What it has recorded; `None` while that is not known: at first, and after a change whose
    /// outcome is unknown, until it is read (rule R5).
    recorded: Option<Option<Recorded>>,
    ids: u64,
    charter: Option<Asked>,
    lease: Option<Asked>,
    /// No question about the charter before this.
    ask_at: u64,
    /// When it is asked what is recorded though nobody waits for that.
    poll_at: u64,
    /// No question for the lease before this.
    renew_at: u64,
    answered_at: Option<u64>,
    /// Since when it does not answer, and what was seen instead.
    away: Option<(u64, String)>,
    /// What keeps a change of the charter from being made.
    trouble: Option<String>,
}

impl External {
    fn ask(&mut self, question: Question, at: u64, effects: &mut Vec<Effect>) {
        self.ids += 1;
        let id = self.ids;
        effects.push(Effect::AskArbiter { id, question: question.clone() });
        let renewal = matches!(question, Question::Renew { .. });
        let lane = if renewal { &mut self.lease } else { &mut self.charter };
        *lane = Some(Asked { id, question, at });
    }

    /// The question that is answered now, unless it is an old one.
    fn take(&mut self, id: u64) -> Option<Asked> {
        let is = |lane: &mut Option<Asked>| lane.take_if(|asked| asked.id == id);
        is(&mut self.charter).or_else(|| is(&mut self.lease))
    }
}

impl Reign {
    /// The same, where an arbiter outside of the sites keeps the charter.
    #[must_use]
    pub fn with_arbiter(self) -> Self {
        Self { external: Some(External::default()), ..self }
    }

    /// What is seen of the arbiter; `None` where the sites decide among themselves.
    pub fn arbiter(&self) -> Option<ArbiterSeen> {
        let external = self.external.as_ref()?;
        let recorded = external.recorded.as_ref().and_then(Option::as_ref);
        Some(ArbiterSeen {
            answered_at: external.answered_at,
            away: external.away.as_ref().map(|(_, why)| why.clone()),
            version: recorded.map_or(0, |recorded| recorded.version),
        })
    }

    pub(super) fn arbiter_trouble(&self) -> Option<&str> {
        self.external.as_ref()?.trouble.as_deref()
    }

    /// Why nothing can be asked of the arbiter now, if so.
    pub(super) fn arbiter_away(&self) -> Option<String> {
        let (_, why) = self.external.as_ref()?.away.as_ref()?;
        Some(format!("the arbiter does not answer, and no charter is changed without it: {why}"))
    }

    /// The same for a rehearsal, which waits for no answer that is under way.
    pub(super) fn without_questions(mut self) -> Self {
        if let Some(external) = &mut self.external {
            (external.charter, external.lease, external.ask_at) = (None, None, 0);
        }
        self
    }

    /// What the arbiter would answer, by what is known of it.
    pub(super) fn imagined_reply(&self, question: Question) -> Reply {
        let external = self.external.as_ref();
        if let Some((_, why)) = external.and_then(|external| external.away.as_ref()) {
            return Reply::Unknown(why.clone());
        }
        match question {
            Question::Read => match external.and_then(|external| external.recorded.clone()) {
                Some(recorded) => Reply::Recorded(recorded),
                None => Reply::Unknown("it has not answered yet".into()),
            },
            Question::Change { expected, .. } => Reply::Won(expected + 1),
            Question::Renew { .. } => Reply::Granted(self.config.lease_us),
            // Its grants are the exception: sites renew the lease while they can.
            Question::Wait => Reply::Waits(0),
        }
    }

    /// Whether it is known what is recorded. Where there is no arbiter there is nothing to know.
    pub(super) fn knows_record(&self) -> bool {
        self.external.as_ref().is_none_or(|external| external.recorded.is_some())
    }

    /// The charter that the arbiter has recorded, as far as is known.
    pub(super) fn recorded_charter(&self) -> Option<&Charter> {
        let recorded = self.external.as_ref()?.recorded.as_ref()?.as_ref()?;
        Some(&recorded.charter)
    }

    /// The version that is recorded, where that is known.
    pub(super) fn recorded_version(&self) -> Option<u64> {
        let recorded = self.external.as_ref()?.recorded.as_ref()?;
        Some(recorded.as_ref().map_or(0, |recorded| recorded.version))
    }

    /// Why the record cannot be begun by this candidate, if so: the arbiter knows nothing of a
    /// group that was led before. The newest charter that any site has takes the place of the
    /// record only if every site has given its word, for each change was saved by the site that
    /// acted on it.
    pub(super) fn record_lost(&self) -> Option<String> {
        let Standing::Candidate(candidate) = &self.standing else { return None };
        if self.recorded_version() != Some(0) || self.newest_charter().is_none() {
            return None;
        }
        let silent = |site: &&SiteName| !candidate.evidence.contains_key(*site);
        let silent: Vec<&SiteName> = self.peers.keys().filter(silent).collect();
        (!silent.is_empty()).then(|| {
            format!(
                "the arbiter has no record of this group, which was led before: what it had \
                 recorded is told by all sites together, and {{{}}} did not answer",
                listed(silent)
            )
        })
    }

    /// Takes in an answer.
    pub(super) fn arbiter_answered(
        &mut self,
        own: &Own,
        id: u64,
        reply: Reply,
        effects: &mut Vec<Effect>,
    ) {
        let Some(external) = &mut self.external else { return };
        let Some(Asked { question, at, .. }) = external.take(id) else { return };
        if let Reply::Unknown(why) = reply {
            let since = external.away.as_ref().map_or(at, |(since, _)| *since);
            external.away = Some((since, why));
            match question {
                Question::Renew { .. } => {
                    external.renew_at = own.now.saturating_add(self.config.lease_us / 8);
                }
                Question::Change { .. } => external.recorded = None,
                Question::Read | Question::Wait => {}
            }
            external.ask_at = own.now.saturating_add(ASK_AGAIN_US);
            // That it is back is to be known soon.
            external.poll_at = external.ask_at;
            return;
        }
        external.answered_at = Some(own.now);
        external.away = None;
        match (question, reply) {
            (_, Reply::Recorded(recorded) | Reply::Lost(recorded)) => {
                self.learn(own, recorded, effects);
            }
            (Question::Change { charter, .. }, Reply::Won(version)) => {
                self.learn(own, Some(Recorded { version, charter }), effects);
            }
            (Question::Renew { generation }, Reply::Granted(us)) => {
                self.granted(generation, at, us, effects);
            }
            (Question::Renew { .. }, _) => {
                // Somebody else leads by the record, or nobody: it is read.
                external.recorded = None;
                external.renew_at = own.now.saturating_add(self.config.lease_us / 8);
            }
            (_, Reply::Waits(us)) => {
                // Not what an earlier candidacy asked, whose fence was another one.
                if let Standing::Candidate(candidate) = &mut self.standing
                    && candidate.asks_how_long()
                {
                    candidate.arbiter_clear_at = Some(own.now.saturating_add(us));
                }
            }
            _ => {}
        }
    }

    /// The arbiter granted the lease that was asked for at `asked_at`, for `us` from then.
    fn granted(
        &mut self,
        generation: Generation,
        asked_at: u64,
        us: u64,
        effects: &mut Vec<Effect>,
    ) {
        if self.leads() == Some(generation) && !self.is_closed() {
            self.lease.renew(asked_at, us);
            effects.push(Effect::Lease { until: self.lease.until() });
        }
    }

    /// Takes in what is recorded: the own change, or what another site made.
    fn learn(&mut self, own: &Own, recorded: Option<Recorded>, effects: &mut Vec<Effect>) {
        let Some(external) = &mut self.external else { return };
        external.recorded = Some(recorded.clone());
        let Some(Recorded { charter, .. }) = recorded else { return };
        let proposal = self.proposal_mut().filter(|proposal| proposal.charter == charter);
        let Some(proposal) = proposal else {
            self.adopt(own, charter, effects);
            return;
        };
        if proposal.recorded {
            return;
        }
        proposal.recorded = true;
        self.charter = Some(charter.clone());
        effects.push(Effect::Save { promised: self.promised, charter: Some(charter.clone()) });
        for (site, _) in self.peers.iter().filter(|(_, peer)| peer.up) {
            effects.push(Effect::Propose { to: site.clone(), charter: charter.clone() });
        }
    }

    /// Asks the arbiter what is to be asked next.
    pub(super) fn ask_arbiter(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        let (lease, next) = (self.lease_to_renew(own), self.next_question(own));
        let trouble = self.what_is_wrong();
        let poll_us = self.config.lease_us;
        let Some(external) = &mut self.external else { return };
        external.trouble = trouble;
        if let Some(question) = lease {
            external.ask(question, own.now, effects);
        }
        if let Some(question) = next {
            external.poll_at = own.now.saturating_add(poll_us);
            external.ask(question, own.now, effects);
        }
    }

    /// The lease is asked for where the sites do not renew it: while they do, the arbiter has no
    /// work with it.
    fn lease_to_renew(&self, own: &Own) -> Option<Question> {
        let external = self.external.as_ref()?;
        let generation = self.leads()?;
        let soon = self.lease.until() < own.now.saturating_add(self.config.lease_us / 2);
        let free = external.lease.is_none() && own.now >= external.renew_at;
        (soon && free && !self.is_closed()).then_some(Question::Renew { generation })
    }

    fn next_question(&self, own: &Own) -> Option<Question> {
        let external = self.external.as_ref()?;
        if external.charter.is_some() || own.now < external.ask_at {
            return None;
        }
        if external.recorded.is_none() {
            return Some(Question::Read);
        }
        if let Some(change) = self.change_to_ask() {
            return Some(change);
        }
        let waits = match &self.standing {
            Standing::Candidate(candidate) => candidate.asks_how_long(),
            _ => false,
        };
        if waits {
            return Some(Question::Wait);
        }
        (own.now >= external.poll_at).then_some(Question::Read)
    }

    /// The change that this site proposes, if what is recorded is what it would replace.
    fn change_to_ask(&self) -> Option<Question> {
        let proposal = self.proposal().filter(|proposal| !proposal.recorded)?;
        let expected = self.recorded_version()?;
        let fits = match &self.standing {
            Standing::Primary(_) => self.recorded_charter() == self.charter.as_ref(),
            _ => proposal.based_on == expected,
        };
        fits.then(|| Question::Change { expected, charter: proposal.charter.clone() })
    }

    /// What keeps a change from being made, for the operator.
    fn what_is_wrong(&self) -> Option<String> {
        let pending = self.proposal().is_some_and(|proposal| !proposal.recorded);
        let waits = matches!(self.standing, Standing::Candidate(_));
        if let Some(why) = self.arbiter_away().filter(|_| pending || waits) {
            return Some(why);
        }
        let leads = pending && self.leads().is_some() && self.knows_record();
        let forgot = leads && self.recorded_charter() != self.charter.as_ref();
        forgot.then(|| {
            "the arbiter has another record than it had made: it lost its data or was restored \
             from an older copy; no charter is changed in this reign any more: with all sites up, \
             restart this one, or exchange roles"
                .to_owned()
        })
    }

    /// An operator is told that the arbiter does not answer, and an attempt that was nobody's wish
    /// ends; a site that the charter names goes on asking.
    pub(super) fn may_give_up_on_arbiter(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        let Some(why) = self.arbiter_away() else { return };
        let away_since = self.external.as_ref().and_then(|external| external.away.as_ref());
        let since = away_since.map_or(own.now, |(since, _)| *since);
        let Standing::Candidate(candidate) = &self.standing else { return };
        let patience_us = self.config.promise_timeout_us.saturating_mul(2);
        if own.now < since.max(candidate.begun_at()).saturating_add(patience_us) {
            return;
        }
        match candidate.cause {
            Cause::Named => {}
            Cause::Operator(_) => {
                let _ = self.give_up(own, Refusal { unreachable: true, why }, effects);
            }
            Cause::Automatic => {
                self.trouble = Some(why);
                self.back_off(own);
            }
        }
    }

    /// Waits for the words that would take the place of a lost record.
    pub(super) fn begin_no_record(
        &mut self,
        own: &Own,
        why: String,
        effects: &mut Vec<Effect>,
    ) -> (Phase, bool) {
        let Standing::Candidate(candidate) = &mut self.standing else {
            return (Phase::Promising, false);
        };
        let cause = candidate.cause;
        if own.now >= candidate.asked_at.saturating_add(self.config.promise_timeout_us) {
            candidate.asked_at = own.now;
            self.ask_promises(effects);
        }
        if cause == Cause::Automatic {
            self.back_off(own);
        }
        let why = format!("{why}; bring them back, or accept the loss");
        self.give_up(own, Refusal { unreachable: true, why }, effects)
    }
}
