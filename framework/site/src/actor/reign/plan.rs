//! Dry runs: what the verbs would decide, answered from the engine that would decide it.

use super::ReignActor;
use crate::actor::judge_follower;
use crate::crew::crew_send;
use crate::readiness::{self, Counted};
use actix::prelude::*;
use std::collections::BTreeSet;
use tokio::sync::oneshot;
use trefoil_core::engine::readiness::{
    Figures, Forecast, Resync, Stake, all_losses, forecast, resyncs, stake,
};
use trefoil_core::engine::reign::{FirstStep, Refusal, Rehearsed, TakeoverOptions};
use trefoil_core::model::{Position, SiteName, Verdict};
use trefoil_core::wire::{Answer, ControlMessage, Question};

/// How would a takeover here end?
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AskTakeover {
    pub options: TakeoverOptions,
    pub reply: oneshot::Sender<TakeoverRehearsal>,
}

/// How a takeover would end, in figures.
pub(crate) struct TakeoverRehearsal {
    /// Why it would be refused.
    pub refused: Option<Refusal>,
    /// What would be known of losses, were they consented to; `None` where no consent helps.
    pub verdict: Option<Verdict>,
    pub stake: Stake,
    /// Where the history goes on.
    pub newest: Position,
    /// What is fetched of an unfinished copy would be dropped: the volumes still are an image.
    pub goes_back: bool,
    pub reads: Vec<SiteName>,
    pub waits_us: u64,
    pub resyncs: Vec<Resync>,
}

/// What would an exchange of roles do first?
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AskExchange(pub oneshot::Sender<Result<FirstStep, Refusal>>);

/// What would happen if these sites were lost; `None`: for every single and double loss.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AskForecasts {
    pub lost: Option<BTreeSet<SiteName>>,
    pub reply: oneshot::Sender<Vec<Forecast>>,
}

/// Another site asks for a part of its plan.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PlanAsked {
    pub from: SiteName,
    pub id: u64,
    pub question: Question,
}

impl ReignActor {
    fn rehearse(&self, options: TakeoverOptions) -> TakeoverRehearsal {
        let crew = &self.crew;
        let own = crew.own();
        let mut others = readiness::known(crew);
        others.remove(crew.site());
        let asked = self.engine.rehearse_takeover(&own, &others, options);
        let refused = asked.outcome.as_ref().err().cloned();
        let goes_back = own.image.is_some();
        // With consent the figures of what is refused for want of it are known, too.
        let consented = TakeoverOptions { accept_loss: true, ..options };
        let played = match &asked.outcome {
            Ok(_) => asked,
            Err(_) => self.engine.rehearse_takeover(&own, &others, consented),
        };
        let maps = crew.maps_for_peers();
        let Rehearsed { outcome, reads, own, waits_us } = played;
        let completed = outcome.ok();
        let verdict = completed.as_ref().map(|completed| completed.verdict.clone());
        let stake = readiness::ask(crew, |situation| stake(situation, &verdict, own.newest.number));
        let (counted, site) = (Counted(crew), crew.site());
        let follow = completed.map(|done| resyncs(&counted, site, &own, &done, &maps, &others));
        TakeoverRehearsal {
            refused,
            stake: if verdict.is_some() { stake } else { Stake::default() },
            verdict,
            newest: own.newest,
            goes_back,
            reads: reads.into_iter().map(|(from, _)| from).collect(),
            waits_us,
            resyncs: follow.unwrap_or_default(),
        }
    }

    /// Whether the group would be handed over to `to`.
    fn would_hand_over(&self, to: &SiteName, question: &Question) -> Answer {
        let Question::Handover { generation } = question else {
            return Answer::Refused { why: "asked for something else".into() };
        };
        let own = self.crew.own();
        match self.engine.rehearse_handover(&own, to, *generation) {
            Ok(durable) => Answer::Willing {
                lacks: own.newest.number.since(durable),
                bytes: match own.newest.number > durable {
                    true => Counted(&self.crew).bytes_after(durable),
                    false => 0,
                },
            },
            Err(why) => Answer::Refused { why },
        }
    }
}

impl Handler<AskTakeover> for ReignActor {
    type Result = ();

    fn handle(&mut self, AskTakeover { options, reply }: AskTakeover, _: &mut Context<Self>) {
        let _ = reply.send(self.rehearse(options));
    }
}

impl Handler<AskExchange> for ReignActor {
    type Result = ();

    fn handle(&mut self, AskExchange(reply): AskExchange, _: &mut Context<Self>) {
        let _ = reply.send(self.engine.rehearse_exchange(&self.crew.own()));
    }
}

impl Handler<AskForecasts> for ReignActor {
    type Result = ();

    fn handle(&mut self, AskForecasts { lost, reply }: AskForecasts, _: &mut Context<Self>) {
        let forecasts = readiness::ask(&self.crew, |situation| match &lost {
            Some(lost) => vec![forecast(situation, lost)],
            None => all_losses(situation),
        });
        let _ = reply.send(forecasts);
    }
}

impl Handler<PlanAsked> for ReignActor {
    type Result = ();

    fn handle(&mut self, asked: PlanAsked, _: &mut Context<Self>) {
        let PlanAsked { from, id, question } = asked;
        let Question::Follow(follow) = question else {
            let answer = self.would_hand_over(&from, &question);
            crew_send(&self.crew, &from, &ControlMessage::PlanReply { id, answer });
            return;
        };
        // Asked in the mind: the leg that is noted where it is allowed stays unnoted.
        let mut engine = self.engine.clone();
        let allowed =
            engine.may_serve(&from, follow.generation, follow.incarnation, follow.roll_forward);
        let crew = self.crew.clone();
        actix::spawn(async move {
            let answer = match allowed {
                Ok(()) => Answer::Plan(Box::new(judge_follower(&crew, &from, &follow).await)),
                Err(error) => Answer::Refused { why: error.to_string() },
            };
            crew_send(&crew, &from, &ControlMessage::PlanReply { id, answer });
        });
    }
}
