//! The state of a group as one site sees it, put together from what its actors show.

use crate::crew::{Crew, CrewRef};
use crate::parts::GroupConfig;
use crate::readiness;
use crate::shared::Gate;
use crate::status::{ArbiterStatus, Fetched, FollowStatus, GroupStatus, LegStatus, Totals};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use trefoil_core::model::{
    Generation, LegMode, LegState, Marks, PlanKind, Position, Role, SiteName, UpdateNumber,
    VolumeSpec,
};

/// How often status is put together while the group moves.
const STATUS_EVERY: Duration = Duration::from_millis(50);
/// And while it does not.
const STATUS_SELDOM: Duration = Duration::from_millis(250);

/// The status before the first one is put together.
pub(crate) fn blank_status(
    site: &SiteName,
    config: &GroupConfig,
    volumes: Arc<[VolumeSpec]>,
) -> GroupStatus {
    GroupStatus {
        group: config.group.clone(),
        site: site.clone(),
        as_of_us: 0,
        role: Role::Secondary,
        serving: false,
        generation: Generation::NONE,
        charter: None,
        durability: config.durability,
        volumes,
        volumes_to_come: Vec::new(),
        newest: Position::START,
        marks: Marks::default(),
        base: UpdateNumber::ZERO,
        commit: UpdateNumber::ZERO,
        horizon: UpdateNumber::ZERO,
        recovery_point_us: 0,
        journal_used_bytes: 0,
        journal_capacity_bytes: 0,
        overlay_bytes: 0,
        overlay_bytes_max: config.limits.overlay_bytes,
        debt_bytes: 0,
        image: None,
        inconsistent_until: None,
        lease_left_ms: 0,
        follows: None,
        legs: BTreeMap::new(),
        trouble: None,
        automatic_takeover: String::new(),
        on_full: config.on_full,
        journal_bytes_per_second: 0,
        journal_kept_bytes: 0,
        journal_oldest_us: 0,
        journal_full: None,
        forecasts: Arc::from([]),
        arbiter: None,
        totals: Totals::default(),
    }
}

pub(crate) async fn keep_status(crew: CrewRef) {
    loop {
        readiness::refresh(&crew).await;
        let status = status(&crew);
        let moved = has_moved(&crew.shared.status.borrow(), &status);
        crew.shared.status.send_replace(Arc::new(status));
        crew.status_rests.set(!moved);
        let pause = if moved { STATUS_EVERY } else { STATUS_SELDOM };
        let _ = tokio::time::timeout(pause, crew.refresh.notified()).await;
    }
}

impl Crew {
    /// Something moved that status shows: it is put together soon again.
    pub(crate) fn stirred(&self) {
        if self.status_rests.take() {
            self.refresh.notify_one();
        }
    }
}

/// Whether somebody may wait for what changed since.
fn has_moved(old: &GroupStatus, new: &GroupStatus) -> bool {
    let legs = |status: &GroupStatus| -> Vec<_> {
        let legs = status.legs.values();
        legs.map(|leg| (leg.state.clone(), leg.link_up, leg.marks, leg.debt_bytes)).collect()
    };
    (old.role, old.serving, old.generation, old.marks, old.debt_bytes)
        != (new.role, new.serving, new.generation, new.marks, new.debt_bytes)
        || legs(old) != legs(new)
}

/// The state of the group as this site sees it now.
fn status(crew: &CrewRef) -> GroupStatus {
    let (shared, marks) = (&crew.shared, &crew.marks);
    let state = crew.state.borrow();
    let now = shared.clock.now_us();
    let lease = shared.lease_until.load(Ordering::Acquire);
    let serving = *shared.gate.borrow() == Gate::Primary && now < lease;
    let open = shared.volumes();
    let (image, inconsistent_until) = consistency(crew);
    let legs = legs(crew);
    let room = readiness::room(crew, &legs);
    GroupStatus {
        as_of_us: shared.clock.wall_us(),
        role: crew.role.get(),
        serving,
        generation: state.promised,
        charter: state.charter.clone(),
        newest: marks.newest.get(),
        marks: marks.marks(),
        base: marks.base.get().number,
        commit: marks.commit.get(),
        horizon: marks.horizon.get(),
        recovery_point_us: marks.recovery_point_us.get(),
        journal_used_bytes: marks.journal_used.get(),
        journal_capacity_bytes: marks.journal_capacity.get(),
        overlay_bytes: shared.overlay.read().bytes(),
        debt_bytes: marks.debt_bytes.get(),
        image,
        inconsistent_until,
        lease_left_ms: lease.saturating_sub(now) / 1000,
        follows: follows(crew),
        legs,
        trouble: trouble(crew),
        volumes_to_come: match open.since == state.volumes.since(marks.newest.get().number) {
            true => Vec::new(),
            false => state.volumes.at(marks.newest.get().number).to_vec(),
        },
        automatic_takeover: crew.stands_by.borrow().clone(),
        journal_bytes_per_second: crew.fill_rate.borrow().bytes_per_second(),
        journal_kept_bytes: room.kept_bytes,
        journal_oldest_us: crew.oldest.get().1,
        journal_full: room.full,
        forecasts: crew.forecasts.borrow().all.clone(),
        arbiter: arbiter(crew),
        totals: shared.totals.read(),
        ..blank_status(&shared.site, &shared.config, open.specs.clone())
    }
}

/// Of a site in debt: the image that its volumes still are; or else up to where they are not
/// consistent: where the plan's source was, or as of where anything was copied since.
fn consistency(crew: &Crew) -> (Option<UpdateNumber>, Option<UpdateNumber>) {
    let state = crew.state.borrow();
    let Some(debt) = &state.debt else { return (None, None) };
    if let Some(image) = debt.image {
        return (Some(image.number), None);
    }
    let following = crew.following.borrow();
    let target = following.plan.as_ref().map_or(UpdateNumber::ZERO, |plan| plan.target);
    (None, Some(target.max(debt.until.number)))
}

/// The arbiter, where there is one.
fn arbiter(crew: &CrewRef) -> Option<ArbiterStatus> {
    let arbiter = crew.arbiter.as_ref()?.describe();
    let seen = crew.arbiter_seen.borrow().clone()?;
    let clock = &crew.shared.clock;
    // Its clock may be another one than that of calendars.
    let at = |us: u64| clock.wall_us().saturating_sub(clock.now_us().saturating_sub(us));
    Some(ArbiterStatus {
        arbiter,
        reachable: seen.away.is_none() && seen.answered_at.is_some(),
        last_answer_us: seen.answered_at.map_or(0, at),
        away: seen.away,
        version: seen.version,
    })
}

/// The gravest thing that keeps this site from its job.
fn trouble(crew: &CrewRef) -> Option<String> {
    let failed = crew.failed.borrow().clone();
    let no_room = || {
        let (what, said) = crew.no_room.borrow().first_key_value().map(|(w, s)| (*w, s.clone()))?;
        Some(format!("no room for {what}, free some, it goes on by itself: {said}"))
    };
    let volumes = || crew.volumes_trouble.borrow().clone();
    let full = || crew.journal_full.borrow().clone();
    let reign = || crew.trouble.borrow().clone();
    failed.or_else(no_room).or_else(volumes).or_else(full).or_else(reign).or_else(|| refused(crew))
}

/// Why the source does not serve this site, and what can be done, while it is refused.
fn refused(crew: &CrewRef) -> Option<String> {
    let following = crew.following.borrow();
    let suspended = matches!(following.state, Some(LegState::Suspended(_)));
    let plan = following.plan.as_ref().filter(|_| suspended)?;
    match &plan.kind {
        PlanKind::Refuse { choices } => Some(format!("{}. {}", plan.why, choices.join("; or "))),
        _ => None,
    }
}

fn follows(crew: &CrewRef) -> Option<FollowStatus> {
    let view = crew.following.borrow();
    let source = view.source.clone()?;
    Some(FollowStatus {
        source,
        state: view.state.clone().unwrap_or(LegState::Connecting),
        plan: view.plan.clone(),
        fetched: Fetched {
            delta_updates: view.fetch.delta_updates,
            delta_bytes: view.fetch.delta_bytes,
            inherited_updates: view.fetch.inherited_updates,
            inherited_bytes: view.fetch.inherited_bytes,
            copied_bytes: view.fetch.copied_bytes,
            compared_bytes: view.fetch.compared_bytes,
        },
        set_aside: view.set_aside.clone(),
    })
}

fn legs(crew: &CrewRef) -> BTreeMap<SiteName, LegStatus> {
    let modes = crew.shared.topology.read().legs(crew.site());
    modes.into_iter().map(|(site, mode)| (site.clone(), leg(crew, &site, mode))).collect()
}

fn leg(crew: &CrewRef, site: &SiteName, mode: LegMode) -> LegStatus {
    let marks = &crew.marks;
    let seen = crew.seen.borrow().get(site).cloned().unwrap_or_default();
    let view = seen.view.as_ref();
    let reported = crew.legs.borrow().get(site).map(|report| report.marks);
    let their_marks = match (reported, view.map(|view| view.marks)) {
        (Some(a), Some(b)) if b.restored > a.restored => b,
        (Some(a), _) => a,
        (None, b) => b.unwrap_or_default(),
    };
    let lag_updates = marks.commit.get().since(their_marks.restored);
    let (lag_us, lag_bytes) = crew.lag(their_marks.restored);
    let (payload_bytes, wire_bytes) = crew.shared.lane(site).sent();
    let floor = view.map_or(UpdateNumber::ZERO, |view| view.newest.number);
    let wanted = || crew.transports.borrow().get(site).cloned().unwrap_or_default();
    LegStatus {
        mode,
        via: crew.via(site),
        state: leg_state(crew, site),
        link_up: seen.link_up,
        security: seen.security,
        transport: seen.way.clone().unwrap_or_else(wanted),
        way_wanted: seen.way_wanted.clone(),
        way_refused: seen.way_refused.clone(),
        rtt_us: seen.rtt_us,
        last_heard_us: seen.heard_wall_us,
        marks: their_marks,
        generation: view.map(|view| view.newest.generation).unwrap_or_default(),
        promised: view.map(|view| view.promised).unwrap_or_default(),
        debt_bytes: view.map_or(0, |view| view.debt_bytes),
        acking: marks.acking.borrow().contains(site),
        lag_updates,
        lag_bytes,
        lag_us,
        payload_bytes,
        wire_bytes,
        delta_possible: view.is_some_and(|view| !view.blank && view.debt_bytes == 0)
            && floor >= marks.base.get().number,
        headroom: readiness::headroom(crew, site),
    }
}

/// The state of a leg, for status.
fn leg_state(crew: &CrewRef, site: &SiteName) -> LegState {
    let shipping = crew.shippers.borrow().contains_key(site);
    let legs = crew.legs.borrow();
    let Some(report) = legs.get(site).filter(|_| shipping) else {
        let waited_for = crew.marks.acking.borrow().contains(site);
        if !waited_for && crew.state.borrow().suspended.contains(site) {
            return LegState::Suspended("by operator".to_owned());
        }
        if let Some(state) = crew.state_via(site) {
            return state;
        }
        let seen = crew.seen.borrow();
        let seen = seen.get(site);
        if let Some(refusal) = seen.and_then(|seen| seen.refusal.clone()) {
            return LegState::Suspended(refusal);
        }
        let refused = crew
            .plans
            .borrow()
            .get(site)
            .filter(|plan| matches!(plan.kind, PlanKind::Refuse { .. }))
            .map(|plan| plan.why.clone());
        return refused.map_or(LegState::Connecting, LegState::Suspended);
    };
    if report.debt_bytes > 0 {
        return LegState::Copying;
    }
    let acking = crew.marks.acking.borrow().contains(site);
    if acking || crew.keeps_up(report.marks.received) {
        LegState::Paired
    } else {
        LegState::CatchingUp
    }
}
