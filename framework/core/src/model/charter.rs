//! Who leads, and whose journals must hold an update before the host is answered.

use super::{Generation, Incarnation, SiteName, Verdict};
use serde::{Deserialize, Serialize};

/// One member of the in-sync set: a site in one incarnation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// The site.
    pub site: SiteName,
    /// The incarnation that holds what was answered.
    pub incarnation: Incarnation,
}

/// What happens to host writes when the sync leg is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fence {
    /// Host writes wait, then fail. A member leaves the in-sync set by its own word only, so an
    /// intact one proves zero loss alone.
    Data,
    /// Go on once two of three sites recorded that the secondary is out.
    #[default]
    Status,
    /// Go on at once. The charter names the primary alone, so a takeover without its word cannot
    /// prove zero loss.
    Never,
}

/// Who leads a group. It changes only by agreement: of two of three sites, or of those it names.
///
/// Ordered by (generation, version): the newer one wins wherever two are seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charter {
    /// The reign it speaks of.
    pub generation: Generation,
    /// Counts the changes within the generation, from 1.
    pub version: u64,
    /// The site that leads, or is about to.
    pub primary: SiteName,
    /// Whether the primary may answer the host: false between fence and activation.
    pub active: bool,
    /// The newest reign that became active, as far as this charter goes: what a later one wrote
    /// was never answered to a host. [`Generation::NONE`] before the first.
    pub settled: Generation,
    /// The in-sync set: every answered update is in the journal of each of these.
    pub in_sync: Vec<Member>,
    /// What happens when the sync leg is lost.
    pub fence: Fence,
    /// The sites without which nothing may change: under [`Fence::Data`] the members beside the
    /// primary; the primary itself where it leads alone. Empty: any two of three sites.
    pub voters: Vec<SiteName>,
    /// The same of the charter that this one replaces, for as long as it is not known that enough
    /// sites recorded this one: until then nothing changes without those either.
    pub voters_before: Vec<SiteName>,
    /// What may be lost of what was answered before the set was made, for as long as nobody was
    /// told of it: the reign that made it has begun, or tried to, and was not heard of. A takeover
    /// from here on says it again (rule `no_silent_loss`).
    pub untold: Option<Verdict>,
    /// The newest reign that was begun by consent, with a loss that nobody could rule out;
    /// [`Generation::NONE`] when there never was one. What a site holds beyond a fork before it
    /// may have been answered to a host.
    pub consented: Generation,
}

impl Charter {
    /// The order in which charters replace one another.
    pub fn rank(&self) -> (Generation, u64) {
        (self.generation, self.version)
    }

    /// The member entry of `site`, whatever its incarnation.
    pub fn member(&self, site: &SiteName) -> Option<&Member> {
        self.in_sync.iter().find(|member| &member.site == site)
    }

    /// Who must agree to the next change by the fence level, once this charter is active.
    pub fn voters_when_active(&self) -> Vec<SiteName> {
        let others = self.in_sync.iter().filter(|member| member.site != self.primary);
        let others: Vec<SiteName> = others.map(|member| member.site.clone()).collect();
        match self.fence {
            Fence::Data if others.is_empty() => vec![self.primary.clone()],
            Fence::Data => others,
            Fence::Status | Fence::Never => Vec::new(),
        }
    }

    /// Whether nothing changes without `site`, and nobody else is needed.
    pub fn is_up_to(&self, site: &SiteName) -> bool {
        let only = |voters: &[SiteName]| voters.len() == 1 && voters.first() == Some(site);
        only(&self.voters) && only(&self.voters_before)
    }

    /// Whether `site` in `incarnation` is a member: it holds everything that was answered.
    pub fn names(&self, site: &SiteName, incarnation: Incarnation) -> bool {
        self.member(site).is_some_and(|member| member.incarnation == incarnation)
    }
}
