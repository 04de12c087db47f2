//! Opening a group: what the files say, made whole again, before any actor runs.

use crate::actor::stage_bytes;
use crate::group::Surroundings;
use crate::parts::GroupConfig;
use crate::salvage::salvage;
use crate::volumes::{OpenVolumes, VolumeOpener, reopen};
use std::collections::BTreeSet;
use std::sync::Arc;
use trefoil_core::engine::restorer::{RestorerEngine, RestorerLimits};
use trefoil_core::model::{Generation, Incarnation, Intent, Position, SiteName, SiteState};
use trefoil_core::port::{BlockStore, JournalStore, Recovery};
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind, Result};

/// Records are read back in pieces of so many bytes.
const REPLAY_BYTES: usize = 8 << 20;

/// A group as it was found.
pub(crate) struct Opened {
    pub state: SiteState,
    pub volumes: OpenVolumes,
    /// Whether any of the volumes holds data.
    pub holds: bool,
    pub base: Position,
    pub newest: Position,
    /// What the journal holds beyond the volumes' content, which stays an image until the debt is
    /// here.
    pub staged: Vec<Record>,
    /// Of the newest record, by the primary's clock.
    pub newest_time_us: u64,
}

/// Recovers journal and state, finishes what was begun, and brings the block stores to the end of
/// the journal.
///
/// # Errors
/// Whatever the store says; `Refused` if journal or state are another site's, another group's or
/// another version's, or the volumes are configured otherwise; `Corrupt` if they contradict each
/// other.
pub(crate) async fn open(
    Surroundings { site, boot, threads, .. }: &Surroundings,
    config: &GroupConfig,
    journal: &mut dyn JournalStore,
    (stores, opener): (Vec<Arc<dyn BlockStore>>, Option<&dyn VolumeOpener>),
    random: u64,
) -> Result<Opened> {
    if opener.is_none() {
        check_stores(config, &stores)?;
    }
    let mut saved = load_state(journal).await?;

    let mut recovery = match (journal.recover().await, &mut saved) {
        (Err(error), Some(state)) if error.kind() == ErrorKind::Corrupt => {
            check_state(site, config, state, opener.is_some())?;
            salvage(error, state, journal, random).await?
        }
        (found, _) => found?,
    };
    if let Some(cut) = &recovery.cut {
        tracing::warn!(%site, newest = %recovery.newest, why = %cut, "the journal's tail was cut");
    }
    let state = match saved {
        Some(state) => {
            check_state(site, config, &state, opener.is_some())?;
            resume(state, journal, &mut recovery, boot, random).await?
        }
        None => begin(site, config, journal, &recovery, boot, random).await?,
    };
    let volumes = match opener {
        Some(opener) => reopen(opener, &state.volumes, state.checkpoint, *threads).await?,
        None => OpenVolumes::given(config.volumes.clone(), stores),
    };
    let holds = hold_data(&volumes).await?;
    let mut state = state;
    let staged = staged(config, &mut state, journal, &recovery).await?;
    let newest_time_us = match state.image() {
        Some(_) => staged.last().map_or(0, Record::time),
        None => replay(&mut state, journal, &volumes, &recovery).await?,
    };
    state.durable_mark = recovery.newest.number;
    save(journal, &state).await?;
    let (base, newest) = (recovery.base, recovery.newest);
    Ok(Opened { state, volumes, holds, base, newest, staged, newest_time_us })
}

fn check_stores(config: &GroupConfig, stores: &[Arc<dyn BlockStore>]) -> Result<()> {
    if config.volumes.is_empty() || config.volumes.len() != stores.len() {
        return Err(Error::invalid(format!(
            "open group {}: {} volumes are configured and {} block stores given",
            config.group,
            config.volumes.len(),
            stores.len()
        )));
    }
    for (volume, store) in config.volumes.iter().zip(stores) {
        if volume.size != store.size() {
            return Err(Error::invalid(format!(
                "open volume {}: {} bytes are configured, {} has {}",
                volume.name,
                volume.size,
                store.describe(),
                store.size()
            )));
        }
    }
    Ok(())
}

/// Whether any of the volumes holds data, even if this site knows nothing of it any more.
async fn hold_data(volumes: &OpenVolumes) -> Result<bool> {
    for store in volumes.stores() {
        if store.allocated_from(0).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn load_state(journal: &mut dyn JournalStore) -> Result<Option<SiteState>> {
    let Some(bytes) = journal.load_state().await? else { return Ok(None) };
    let beside = |error: Error| error.context(format!("open {}", journal.describe()));
    Ok(Some(SiteState::decode(&bytes).map_err(beside)?))
}

pub(crate) async fn save(journal: &mut dyn JournalStore, state: &SiteState) -> Result<()> {
    journal.save_state(state.encode()?).await
}

fn check_state(
    site: &SiteName,
    config: &GroupConfig,
    state: &SiteState,
    opens: bool,
) -> Result<()> {
    if state.site != *site || state.group != config.group {
        return Err(Error::refused(format!(
            "open journal: it belongs to site {} of group {}, not to site {site} of group {}; name \
             another directory",
            state.site, state.group, config.group
        )));
    }
    let current = state.volumes.current();
    if current != config.volumes {
        let list = |volumes: &[trefoil_core::model::VolumeSpec]| {
            let each = volumes.iter().map(|volume| format!("{} ({})", volume.name, volume.size));
            each.collect::<Vec<_>>().join(", ")
        };
        let words = format!(
            "open group {}: its volumes are {}, while {} are configured; volumes are changed by \
             `trefoil volume add`, `remove` and `grow`, and the configuration says what a group \
             begins with",
            config.group,
            list(current),
            list(&config.volumes)
        );
        // A site that was given its stores has those of the configuration, and no others.
        if !opens {
            return Err(Error::refused(words));
        }
        tracing::info!(%site, "{words}");
    }
    Ok(())
}

/// A site without a state never held anything.
async fn begin(
    site: &SiteName,
    config: &GroupConfig,
    journal: &mut dyn JournalStore,
    recovery: &Recovery,
    boot: &str,
    random: u64,
) -> Result<SiteState> {
    if recovery.newest != Position::START {
        return Err(Error::corrupt(format!(
            "open group {}: the journal is at {}, but its state is gone; restore both, or empty \
             the site: it is then filled by an initial copy",
            config.group, recovery.newest
        )));
    }
    let state = SiteState::blank(
        config.group.clone(),
        site.clone(),
        config.volumes.clone(),
        Incarnation(random),
        boot.to_owned(),
    );
    save(journal, &state).await?;
    Ok(state)
}

/// Finishes what was begun, and decides whether this is still the same incarnation (rule R1).
async fn resume(
    mut state: SiteState,
    journal: &mut dyn JournalStore,
    recovery: &mut Recovery,
    boot: &str,
    random: u64,
) -> Result<SiteState> {
    let shorter = state.intent.is_none() && recovery.newest.number < state.durable_mark;
    let rebooted = boot.is_empty() || state.boot != boot;
    let suspect = recovery.suspect;
    if shorter || rebooted || suspect {
        tracing::info!(
            site = %state.site, shorter, rebooted, suspect,
            "a new incarnation: what was not synced may be gone"
        );
        state.incarnation = Incarnation(random);
        state.boot = boot.to_owned();
    }
    if let Some(intent) = state.intent.clone() {
        finish(&intent, journal, recovery).await?;
        state.complete_intent();
    }
    let newest = recovery.newest;
    state.lineage = state.lineage.up_to(newest.number);
    state.volumes.cut(newest.number);
    let by_lineage = state.lineage.generation_at(newest.number);
    if by_lineage != newest.generation {
        return Err(Error::corrupt(format!(
            "open group {}: the journal ends at {newest}, the state says generation {by_lineage} \
             there; restore both from one moment, or empty the site",
            state.group
        )));
    }
    if state.checkpoint < recovery.base.number {
        return Err(Error::corrupt(format!(
            "open group {}: the volumes are at {}, the journal begins after {}; empty the site: it \
             is then filled by a copy",
            state.group, state.checkpoint, recovery.base.number
        )));
    }
    clip(&mut state, newest);
    // What was durable when the site last saved is still what others may rely on; a checkpoint
    // beyond a journal that became shorter is not.
    state.checkpoint = state.checkpoint.min(newest.number);
    save(journal, &state).await?;
    Ok(state)
}

/// Finishes a change of the journal's end (rule R11): the intent was durable before it was begun.
async fn finish(
    intent: &Intent,
    journal: &mut dyn JournalStore,
    recovery: &mut Recovery,
) -> Result<()> {
    if intent.keep {
        if recovery.newest.number > intent.base.number {
            journal.truncate(intent.base.number).await?;
        }
    } else if recovery.base != intent.base || recovery.newest != intent.base {
        journal.reset(intent.base).await?;
        recovery.base = intent.base;
    }
    if intent.keep && recovery.newest.number < intent.base.number {
        // A power loss took more than the tail: what is left is judged as it is.
        return Ok(());
    }
    recovery.newest = intent.base;
    Ok(())
}

/// No floor lies beyond the own history (H12).
fn clip(state: &mut SiteState, newest: Position) {
    for floor in state.floors.values_mut() {
        let generation: Generation = state.lineage.generation_at(floor.number);
        if floor.number > newest.number {
            *floor = newest;
        } else if floor.generation != generation {
            *floor = Position::START;
        }
    }
}

/// What waits beside volumes that are to stay as they are: the records since their checkpoint. If
/// they are too many the volumes stay so no longer, and nothing waits.
async fn staged(
    config: &GroupConfig,
    state: &mut SiteState,
    journal: &mut dyn JournalStore,
    recovery: &Recovery,
) -> Result<Vec<Record>> {
    let (mut staged, mut bytes) = (Vec::new(), 0);
    if state.image().is_none() {
        return Ok(staged);
    }
    let mut next = state.checkpoint.next();
    while next <= recovery.newest.number && bytes <= stage_bytes(&config.limits) {
        for record in journal.read(next, REPLAY_BYTES).await? {
            next = record.number().next();
            bytes += record.encoded_bytes() as u64;
            staged.push(record);
        }
    }
    if bytes > stage_bytes(&config.limits) {
        staged.clear();
        if let Some(debt) = &mut state.debt {
            debt.image = None;
        }
        // Durable before the first of them is applied.
        save(journal, state).await?;
    }
    Ok(staged)
}

/// Brings the block stores from the checkpoint to the end of the journal, which is durable.
/// Returns the time of the newest record.
async fn replay(
    state: &mut SiteState,
    journal: &mut dyn JournalStore,
    volumes: &OpenVolumes,
    recovery: &Recovery,
) -> Result<u64> {
    let mut restorer = RestorerEngine::new(RestorerLimits::default(), state.checkpoint, 0);
    restorer.durable(recovery.newest.number);
    let mut next = state.checkpoint.next();
    let (mut time, mut written) = (0, BTreeSet::new());
    while next <= recovery.newest.number {
        let records = journal.read(next, REPLAY_BYTES).await?;
        for record in records {
            next = record.number().next();
            time = record.time();
            restorer.push(record)?;
        }
        while let Some(batch) = restorer.next_batch() {
            crate::actor::write_batch(volumes, &batch).await?;
            written.extend(batch.writes.keys().copied());
            restorer.applied(batch.last);
        }
    }
    // What else was written since the checkpoint is in debt, and counts for nothing.
    volumes.sync(written).await?;
    state.checkpoint = recovery.newest.number;
    if time == 0 && recovery.newest.number > recovery.base.number {
        let newest = journal.read(recovery.newest.number, 1).await?;
        time = newest.first().map_or(0, Record::time);
    }
    Ok(time)
}
