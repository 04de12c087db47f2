//! Planned exchanges of roles, and followers that keep up, in the world of three engines.

use super::{Mail, NAMES, World, marks, site};
use trefoil_core::engine::reign::{Event, Exchange, ExchangeEffect, LegReport};
use trefoil_core::model::{SiteName, UpdateNumber};

impl World {
    pub(super) fn exchange(&mut self, at: &SiteName, effect: ExchangeEffect) {
        let me = at.clone();
        let node = self.nodes.get_mut(at).unwrap();
        match effect {
            ExchangeEffect::Ask { to, generation } => {
                let event = Exchange::Requested(me, generation);
                self.send(at, to, Mail::Event(Event::Exchange(event)));
            }
            ExchangeEffect::Answer { to, generation, reply } => {
                let event = Exchange::Answered(me, generation, reply);
                self.send(at, to, Mail::Event(Event::Exchange(event)));
            }
            ExchangeEffect::Pause => {
                node.paused = true;
                let last = UpdateNumber::new(node.newest);
                self.event(at.as_str(), Event::Exchange(Exchange::Paused(last)));
            }
            ExchangeEffect::Resume => node.paused = false,
            ExchangeEffect::Close(end) => {
                node.newest = end.number.value();
                node.closed = Some(end);
            }
        }
    }

    /// Lets time pass while followers keep up with whom they follow, in milliseconds.
    pub fn run_streaming(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 20 {
            self.run(20);
            for from in NAMES {
                for to in NAMES {
                    self.stream(from, to);
                }
            }
        }
    }

    /// Everything that `from` has comes to `to`, if that one follows it.
    fn stream(&mut self, from: &str, to: &str) {
        let follows = self.node(to).following == Some(site(from));
        if !follows || self.engine(from).leads().is_none() || !self.reaches(&site(from), &site(to))
        {
            return;
        }
        let source = self.node(from);
        let (newest, lineage, closed) =
            (source.newest, source.lineage.clone(), source.closed.clone());
        let awaited = source.joined.contains(&site(to));
        let node = self.nodes.get_mut(&site(to)).unwrap();
        (node.newest, node.lineage, node.closed) = (newest, lineage, closed);
        let report = LegReport {
            connected: true,
            incarnation: node.incarnation,
            marks: marks(newest),
            may_include: awaited,
            ..LegReport::default()
        };
        self.event(from, Event::Leg(site(to), report));
    }

    /// Whether host writes wait at a site.
    pub fn paused(&self, name: &str) -> bool {
        self.node(name).paused
    }

    /// Whether a site holds the planned end of a reign, for whoever is to lead next.
    pub fn closed(&self, name: &str) -> Option<SiteName> {
        self.node(name).closed.as_ref().map(|end| end.to.clone())
    }
}
