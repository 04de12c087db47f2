//! A journal that is damaged in the middle: what lies before the damage is kept, and everything
//! else is fetched again from another site.

use crate::open::save;
use trefoil_core::engine::shipper::everything;
use trefoil_core::model::{Debt, Incarnation, SiteState};
use trefoil_core::port::{JournalStore, Recovery};
use trefoil_core::{Error, Result};

/// Keeps what lies before the damage. The volumes may hold anything that the journal held: they are
/// compared, hash by hash, with a site that has it all, and until then nothing here is consistent.
/// What was durable is gone, so this is a new incarnation (rule R1), and no member.
///
/// # Errors
/// `damage` as it was found, and nothing is changed, where no other site is named as holding what
/// was answered to hosts: then the operator decides. What the store says.
pub(crate) async fn salvage(
    damage: Error,
    state: &mut SiteState,
    journal: &mut dyn JournalStore,
    random: u64,
) -> Result<Recovery> {
    if state.intent.is_some() || !is_held_elsewhere(state) {
        return Err(damage);
    }
    let sizes: Vec<u64> = state.volumes.current().iter().map(|volume| volume.size).collect();
    let source = state.site.clone();
    let mut debt = Debt { compare: true, ..Debt::of(source, everything(&sizes)) };
    debt.until = state.debt.as_ref().map_or(debt.until, |old| old.until);
    state.debt = Some(debt);
    state.incarnation = Incarnation(random);
    // Durable before anything is cut: a crash in between must not take the volumes for whole.
    save(journal, state).await?;
    let site = &state.site;
    tracing::warn!(%site, %damage, "the journal is damaged: what is missing is fetched again");
    journal.salvage().await
}

/// Whether another site has, or has to have, everything that was answered to a host.
fn is_held_elsewhere(state: &SiteState) -> bool {
    state.charter.as_ref().is_some_and(|charter| {
        let mut members = charter.in_sync.iter().filter(|member| member.site != state.site);
        members.next().is_some()
    })
}
