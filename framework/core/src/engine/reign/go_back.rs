//! A site in debt may go back to what its volumes still are.
//!
//! Where a resync is staged the volumes are, whole, what they were before it. If every site that
//! has more is gone, that image is what is left of the group: with the operator's consent the site
//! drops whatever it has fetched since, owes nothing any more, and stands as one that was never
//! further. It does so as a new incarnation: it said that it holds more. It was no member of the
//! in-sync set (rule R6), so nobody counts on what it drops.

use super::{Effect, Own, Reign, TakeoverOptions};
use crate::model::{Incarnation, Position, SiteName};

impl Reign {
    /// Why this site, if it owes, may not lead, not even from an image.
    pub(super) fn debt_refusal(&self, own: &Own, options: TakeoverOptions) -> Option<String> {
        if own.debt_bytes == 0 {
            return None;
        }
        let (site, bytes) = (&self.config.site, own.debt_bytes);
        let owes = format!("site {site} still owes {bytes} bytes of an unfinished copy");
        let wait = format!("let the copy finish: `trefoil wait --at {site} --update latest`");
        let Some(image) = &own.image else {
            return Some(format!(
                "{owes}: its volumes are not consistent; take over at another site, or {wait}"
            ));
        };
        let owes = format!("{owes}; its volumes are still those of update {}", image.number);
        if let Some((better, at)) = self.further_than(image) {
            return Some(format!(
                "{owes}, and site {better} is consistent and at {at}: take over there, or {wait}"
            ));
        }
        // Whoever could not lead then either keeps what was fetched.
        let up = self.peers.values().filter(|peer| peer.up).count();
        let alone = up < self.others_needed();
        if options.accept_loss && (options.primary_is_fenced || !alone) {
            return None;
        }
        let fenced = if alone { " --primary-is-fenced" } else { "" };
        Some(format!(
            "{owes}: {wait}; or, if no site that has more comes back, go on from that update: \
             `trefoil takeover --at {site} --accept-loss{fenced}`"
        ))
    }

    /// The site in reach that is consistent and furthest ahead of an image.
    fn further_than(&self, image: &Position) -> Option<(&SiteName, Position)> {
        let heard = self.peers.iter().filter(|(_, peer)| peer.up);
        let views = heard.filter_map(|(site, peer)| Some((site, peer.view.as_ref()?)));
        let whole = views.filter(|(_, view)| view.debt_bytes == 0 && !view.blank);
        let ahead = whole.map(|(site, view)| (site, view.newest));
        ahead
            .filter(|(_, newest)| newest.rank() > image.rank())
            .max_by_key(|(_, newest)| newest.rank())
    }

    /// Drops what was fetched since the image; the takeover goes on once that is durable.
    pub(super) fn go_back(
        &mut self,
        own: &Own,
        options: TakeoverOptions,
        effects: &mut Vec<Effect>,
    ) {
        let Some(image) = own.image else { return };
        // Going back ends whatever is followed.
        self.following = None;
        self.going_back = Some(options);
        self.incarnation = Incarnation(own.random);
        effects.push(Effect::GoBack { image, incarnation: self.incarnation });
    }

    /// The site is what it was at the image, or the image was given up meanwhile: the takeover goes
    /// on, or is refused.
    pub(super) fn went_back(&mut self, own: &Own, effects: &mut Vec<Effect>) {
        if let Some(options) = self.going_back.take() {
            self.takeover(own, options, effects);
        }
    }
}
