//! What a verb would do: decided by the code that would decide it, and nothing is changed.

use crate::actor::{AskAnswer, AskExchange, AskFollow, AskForecasts, AskJournal, AskTakeover};
use crate::handle::{Group, hand};
use crate::status::JournalView;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_core::engine::readiness::{Figures, Forecast, Pace, Resync, Stake};
use trefoil_core::engine::reign::{FirstStep, Refusal, TakeoverOptions};
use trefoil_core::model::{GroupName, PlanKind, Position, Role, SiteName, UpdateNumber, Verdict};
use trefoil_core::wire::{Answer, Question};
use trefoil_core::{Error, Result};

/// A verb that can be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// A site leads although the leading one may be lost.
    Takeover,
    /// A site leads by an exchange of roles.
    Swap,
    /// The home site leads by an exchange of roles.
    Failback,
    /// A site with updates of its own comes back under the site that leads.
    Rejoin,
    /// A site whose machine is gone for good is replaced.
    SiteReplace,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Takeover => "takeover",
            Self::Swap => "swap",
            Self::Failback => "failback",
            Self::Rejoin => "rejoin",
            Self::SiteReplace => "site replace",
        })
    }
}

/// How a verb would end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanOutcome {
    /// It would be done.
    Ready,
    /// It is so already.
    NothingToDo,
    /// A rule would say no.
    Refused,
    /// A site that it needs cannot be reached.
    Unreachable,
}

/// What a verb would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerbPlan {
    /// The verb.
    pub verb: Verb,
    /// The group.
    pub group: GroupName,
    /// The site that it is about.
    pub site: SiteName,
    /// How it would end.
    pub outcome: PlanOutcome,
    /// Why it would end so, for people.
    pub why: String,
    /// What would be known of losses, where a site begins to lead.
    pub verdict: Option<Verdict>,
    /// What would be lost of what was answered to hosts.
    pub stake: Stake,
    /// Where the history would go on; where updates are dropped, behind what is kept.
    pub newest: Position,
    /// Updates that only this site has, and that would be set aside.
    pub set_aside: u64,
    /// The sites that more would be read from first.
    pub reads: Vec<SiteName>,
    /// About how long hosts would wait at most, in microseconds; 0 where they do not.
    pub waits_us: u64,
    /// How sites would follow then: updates, bytes and time, and why by nothing cheaper.
    pub resyncs: Vec<Resync>,
    /// What to run next, or instead.
    pub next: Vec<String>,
}

/// Another site answers a question within this, or does not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Group {
    /// What [`Group::takeover`] would do here now.
    ///
    /// # Errors
    /// `Closed` when the site stops.
    pub async fn plan_takeover(&self, options: TakeoverOptions) -> Result<VerbPlan> {
        let (reply, answer) = oneshot::channel();
        hand(&self.reign, AskTakeover { options, reply })?;
        let found = answer.await.map_err(stopping)?;
        let mut plan = VerbPlan {
            verdict: found.verdict,
            stake: found.stake,
            newest: found.newest,
            reads: found.reads,
            waits_us: found.waits_us,
            resyncs: found.resyncs,
            ..self.blank_plan(Verb::Takeover)
        };
        match found.refused {
            Some(refusal) => self.refuse(&mut plan, &refusal),
            None => {
                let consent = if options.accept_loss { " --accept-loss" } else { "" };
                let fenced = if options.primary_is_fenced { " --primary-is-fenced" } else { "" };
                let site = self.site();
                plan.next = vec![self.command(&format!("takeover --at {site}{consent}{fenced}"))];
                plan.why = format!("site {site} would lead");
                if found.goes_back {
                    plan.why = format!(
                        "site {site} would drop what it has fetched of an unfinished copy, and \
                         lead from update {}, which its volumes still are",
                        found.newest.number
                    );
                }
            }
        }
        Ok(plan)
    }

    /// What [`Group::swap`] would do here now; `verb` says as which verb it is meant.
    ///
    /// # Errors
    /// `Closed` when the site stops.
    pub async fn plan_swap(&self, verb: Verb) -> Result<VerbPlan> {
        let status = self.status();
        let mut plan = self.blank_plan(verb);
        if status.role == Role::Primary && status.serving {
            plan.outcome = PlanOutcome::NothingToDo;
            plan.why = format!("site {} leads already", self.site());
            return Ok(plan);
        }
        let (reply, answer) = oneshot::channel();
        hand(&self.reign, AskExchange(reply))?;
        match answer.await.map_err(stopping)? {
            Err(refusal) => self.refuse(&mut plan, &refusal),
            Ok(FirstStep::TakeUp) => {
                plan.verdict = Some(Verdict::Zero);
                plan.why = "the group was handed over to this site before: it takes it up".into();
            }
            Ok(FirstStep::Ask(leader, generation)) => {
                let answer = self.ask(&leader, Question::Handover { generation }).await;
                self.swap_answered(&mut plan, &leader, answer);
            }
        }
        if plan.outcome == PlanOutcome::Ready {
            let site = self.site();
            plan.next = vec![self.command(&match verb {
                Verb::Failback => "failback".to_owned(),
                _ => format!("swap --at {site}"),
            })];
        }
        Ok(plan)
    }

    fn swap_answered(&self, plan: &mut VerbPlan, leader: &SiteName, answer: Result<Answer>) {
        let site = self.site();
        let unreachable = |why: String| Refusal { unreachable: true, why };
        match answer {
            Ok(Answer::Willing { lacks, bytes }) => {
                let status = self.status();
                let leg = status.legs.get(leader);
                let rtt_us = leg.map_or(0, |leg| leg.rtt_us);
                plan.verdict = Some(Verdict::Zero);
                // The rest is drained, the end recorded, a generation promised and fenced.
                let drained = Pace { bytes_per_second: None, rtt_us };
                plan.waits_us = drained.takes_us(bytes).saturating_add(4 * rtt_us);
                plan.why = format!(
                    "site {leader} would let host writes wait, bring site {site} the {lacks} \
                     updates ({bytes} bytes) that it lacks durably, and end its reign; site \
                     {site} would lead, and {leader} follow it"
                );
            }
            Ok(Answer::Refused { why }) => {
                self.refuse(plan, &Refusal { unreachable: false, why });
            }
            Ok(Answer::Plan(_)) => {
                self.refuse(plan, &unreachable(format!("site {leader} answered something else")));
            }
            Err(error) => self.refuse(plan, &unreachable(error.to_string())),
        }
    }

    /// What [`Group::rejoin`] would do here now.
    ///
    /// # Errors
    /// `Closed` when the site stops.
    pub async fn plan_rejoin(&self) -> Result<VerbPlan> {
        let mut plan = self.blank_plan(Verb::Rejoin);
        let (reply, answer) = oneshot::channel();
        hand(&self.follower, AskFollow(reply))?;
        let site = self.site();
        let Some((source, follow)) = answer.await.map_err(stopping)? else {
            let why = format!("site {site} follows no other site now; see `trefoil status`");
            self.refuse(&mut plan, &Refusal { unreachable: false, why });
            return Ok(plan);
        };
        let newest = follow.newest;
        match self.ask(&source, Question::Follow(follow)).await {
            Ok(Answer::Plan(judged)) => {
                let figures = LinkFigures(self);
                let resync = Resync::of(&judged, &source, site, &figures);
                plan.set_aside = newest.number.since(judged.drop_to);
                plan.newest = judged.base;
                plan.why = judged.why.clone();
                if let PlanKind::Refuse { choices } = &judged.kind {
                    let why = format!("{}. {}", judged.why, choices.join("; or "));
                    self.refuse(&mut plan, &Refusal { unreachable: false, why });
                } else {
                    plan.next = vec![self.command(&format!("rejoin --at {site}"))];
                }
                plan.resyncs = vec![resync];
            }
            Ok(Answer::Refused { why }) => {
                self.refuse(&mut plan, &Refusal { unreachable: false, why });
            }
            Ok(Answer::Willing { .. }) => {
                let why = format!("site {source} answered something else");
                self.refuse(&mut plan, &Refusal { unreachable: true, why });
            }
            Err(error) => {
                self.refuse(&mut plan, &Refusal { unreachable: true, why: error.to_string() });
            }
        }
        Ok(plan)
    }

    /// What would happen if these sites were lost now, by what this site knows; `None`: for every
    /// single and every double loss.
    ///
    /// # Errors
    /// `Invalid` if the group has no such site; `Closed` when the site stops.
    pub async fn plan_loss(&self, lost: Option<BTreeSet<SiteName>>) -> Result<Vec<Forecast>> {
        let sites = self.shared.config.topology.sites();
        if let Some(unknown) = lost.iter().flatten().find(|site| !sites.contains(*site)) {
            let group = self.name();
            return Err(Error::invalid(format!("plan loss of {unknown}: group {group} has none")));
        }
        let (reply, answer) = oneshot::channel();
        hand(&self.reign, AskForecasts { lost, reply })?;
        answer.await.map_err(stopping)
    }

    /// What this site's journal holds, and for whom.
    ///
    /// # Errors
    /// `Closed` when the site stops.
    pub async fn journal(&self) -> Result<JournalView> {
        let (reply, answer) = oneshot::channel();
        hand(&self.journal, AskJournal(reply))?;
        answer.await.map_err(stopping)
    }

    pub(crate) fn blank_plan(&self, verb: Verb) -> VerbPlan {
        VerbPlan {
            verb,
            group: self.name().clone(),
            site: self.site().clone(),
            outcome: PlanOutcome::Ready,
            why: String::new(),
            verdict: None,
            stake: Stake::default(),
            newest: self.status().newest,
            set_aside: 0,
            reads: Vec::new(),
            waits_us: 0,
            resyncs: Vec::new(),
            next: Vec::new(),
        }
    }

    pub(crate) fn refuse(&self, plan: &mut VerbPlan, refusal: &Refusal) {
        let no = if refusal.unreachable { PlanOutcome::Unreachable } else { PlanOutcome::Refused };
        plan.outcome = no;
        plan.why = with_group(&refusal.why, self.name());
        plan.next = commands_in(&plan.why);
    }

    pub(crate) fn command(&self, verb: &str) -> String {
        format!("trefoil {verb} --group {}", self.name())
    }

    async fn ask(&self, site: &SiteName, question: Question) -> Result<Answer> {
        let silent = || Error::unavailable(format!("ask site {site}: it did not answer"));
        let peer = self.peers.get(site).ok_or_else(silent)?;
        let (reply, answer) = oneshot::channel();
        hand(peer, AskAnswer { question, reply })?;
        tokio::time::timeout(ANSWER_TIMEOUT, answer)
            .await
            .map_err(|_| silent())?
            .map_err(|_| silent())
    }
}

fn stopping(_: oneshot::error::RecvError) -> Error {
    Error::closed("plan: the site is stopping")
}

/// What a handle can count: what its status shows.
struct LinkFigures<'a>(&'a Group);

impl Figures for LinkFigures<'_> {
    fn bytes_after(&self, _: UpdateNumber) -> u64 {
        // What this site lacks is counted by its source, and said in the source's plan.
        0
    }

    fn age_after_us(&self, _: UpdateNumber) -> u64 {
        0
    }

    fn pace(&self, source: &SiteName, follower: &SiteName) -> Pace {
        let status = self.0.status();
        let leg = status.legs.get(source).or_else(|| status.legs.get(follower));
        Pace { bytes_per_second: None, rtt_us: leg.map_or(0, |leg| leg.rtt_us) }
    }

    fn volume_bytes(&self) -> u64 {
        self.0.status().volumes.iter().map(|volume| volume.size).sum()
    }
}

/// The same words, with the group named in each command that takes one: what is printed can be run
/// as it stands, however many groups there are.
pub(crate) fn with_group(words: &str, group: &GroupName) -> String {
    let mut text = String::with_capacity(words.len());
    for (index, part) in words.split('`').enumerate() {
        if index > 0 {
            text.push('`');
        }
        text.push_str(part);
        let names_none = ["trefoil run", "trefoil tail", "trefoil status"];
        let command = index % 2 == 1 && part.starts_with("trefoil ") && !part.contains("--group");
        if command && !names_none.iter().any(|verb| part.starts_with(verb)) {
            text.push_str(&format!(" --group {group}"));
        }
    }
    text
}

/// The commands that a text names, in its order.
pub(crate) fn commands_in(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|part| part.starts_with("trefoil ")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_a_refusal_name_their_group_and_are_found_again() {
        let group = GroupName::new("orders").unwrap();
        let words = "b is behind: `trefoil takeover --at c` instead, or see `trefoil status`";
        let text = with_group(words, &group);
        let takeover = "trefoil takeover --at c --group orders";
        assert_eq!(commands_in(&text), [takeover, "trefoil status"]);
        assert_eq!(with_group(&text, &group), text, "once is enough");
    }
}
