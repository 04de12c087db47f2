//! What a site remembers of the others, so that one that comes back as it was before is noticed
//! (rules R17, R18), and one that was replaced does not come back at all.

use crate::actor::SendControl;
use crate::crew::{Crew, post};
use std::sync::atomic::Ordering;
use trefoil_core::Result;
use trefoil_core::model::{Claim, Generation, Lineage, Position, SiteName, UpdateNumber};
use trefoil_core::port::FrameSender;
use trefoil_core::wire::{ControlMessage, Greeting, SiteView, encode_control};

/// Why a site that greets is not let in.
pub(crate) struct Rejected {
    /// What it is answered.
    pub answer: ControlMessage,
    /// For people.
    pub why: String,
}

impl Rejected {
    /// Turned away in words.
    pub fn goodbye(why: String) -> Self {
        Self { answer: ControlMessage::Goodbye(why.clone()), why }
    }

    /// Tells the other site, and ends the way to it.
    pub async fn tell(&self, sender: &mut dyn FrameSender) -> Result<()> {
        sender.send(vec![encode_control(&self.answer)?]).await?;
        // It was told; whether it still listens makes no difference.
        let _ = sender.close().await;
        Ok(())
    }
}

fn durable(number: UpdateNumber, lineage: &Lineage) -> Position {
    let generation = lineage.generation_at(number);
    Position { generation, number, ..Position::START }
}

impl Crew {
    /// How far this site has come, in its own words.
    pub fn claim(&self) -> Claim {
        let state = self.state.borrow();
        Claim {
            born: state.born,
            incarnation: state.incarnation,
            promised: state.promised,
            durable: durable(self.marks.durable.get(), &state.lineage),
        }
    }

    /// Whether this site leads with a lease that is valid now.
    pub fn vouches(&self) -> bool {
        let until = self.shared.lease_until.load(Ordering::Acquire);
        self.serves.get() && self.shared.clock.now_us() < until
    }

    /// Notes how far another site that was let in has come; durable with the next save.
    pub fn remember(&self, site: &SiteName, view: &SiteView, lineage: &Lineage) {
        if let Some(claim) = self.state.borrow_mut().claims.get_mut(site) {
            claim.incarnation = view.incarnation;
            claim.promised = view.promised;
            claim.durable = durable(view.marks.durable, lineage);
        }
    }

    /// Whether a site that greets so is somebody else than was known, and what it is told. One that
    /// is not is remembered.
    pub fn rejects(&self, theirs: &Greeting) -> Option<Rejected> {
        let (here, them) = (self.site(), &theirs.from);
        let mut state = self.state.borrow_mut();
        if state.replaced.has(them, theirs.claim.born) {
            let why = format!(
                "site {them}, born as {}, was replaced for good, as site {here} was told: stop it; \
                 if this machine is to be its successor empty its journal and its volumes first, \
                 then it is filled as a new site",
                theirs.claim.born
            );
            return Some(Rejected::goodbye(why));
        }
        if let Some(before) = state.claims.get(them).filter(|it| theirs.claim.is_set_back_from(it))
        {
            let why = set_back(them, &theirs.claim, here, before);
            return Some(Rejected { answer: ControlMessage::SetBack(*before), why });
        }
        state.claims.insert(them.clone(), theirs.claim);
        None
    }

    /// Another site remembers this one further on than it is.
    pub fn told_set_back(&self, by: &SiteName, before: &Claim) -> Option<String> {
        let claim = self.claim();
        claim.is_set_back_from(before).then(|| set_back(self.site(), &claim, by, before))
    }

    /// Ends every link: the others are greeted anew, as somebody new.
    pub fn greet_anew(&self, why: &str) {
        for peer in self.peers.borrow().values() {
            post(peer, SendControl(ControlMessage::Goodbye(why.to_owned())));
            post(peer, crate::actor::Redial);
        }
    }
}

fn set_back(site: &SiteName, claim: &Claim, by: &SiteName, before: &Claim) -> String {
    let at = |Position { generation, number, .. }: Position| match generation {
        Generation::NONE => "nothing".to_owned(),
        _ => format!("{generation}.{number}"),
    };
    format!(
        "site {site} was set back to an older copy of itself: it is at {}, and site {by} remembers \
         it at {}. It is in sync with nobody and its word counts for nothing until a site that \
         leads has vouched for it; then it is brought up by what it lacks. If the newer directory \
         still exists, stop site {site} and put that back instead",
        at(claim.durable),
        at(before.durable)
    )
}
