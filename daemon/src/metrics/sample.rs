//! Takes metrics from the status of groups.

use super::Telemetry;
use super::table::{LINK_SECURITIES, NBD_SECURITIES, PAIR_STATES, POINTS, RESYNCS, ROLES};
use crate::nbd::NbdCounters;
use crate::reload::LastReload;
use metrics::{Label, counter, gauge};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use trefoil_core::engine::judge::PlanKind;
use trefoil_core::engine::readiness::Forecast;
use trefoil_core::model::{GroupName, LegState, Role, SiteName};
use trefoil_site::GroupStatus;
use trefoil_site::config::{GroupEntry, NbdSecurity, SiteConfig};
use trefoil_site::status::{LegStatus, LinkSecurity};
use trefoil_transports::tls::TlsCounts;

/// Turns statuses into metrics, and remembers what it needs to see changes.
pub struct Sampler {
    telemetry: Telemetry,
    config: SiteConfig,
    last_reload: Mutex<LastReload>,
    pairs: Mutex<BTreeMap<(GroupName, SiteName), &'static str>>,
}

impl Sampler {
    /// A sampler for the site of `config`, which was loaded now.
    pub fn new(telemetry: &Telemetry, config: &SiteConfig) -> Self {
        let (telemetry, config) = (telemetry.clone(), config.clone());
        let last = LastReload { successful: true, loaded: since_1970() };
        Self { telemetry, config, last_reload: Mutex::new(last), pairs: Mutex::default() }
    }

    /// Takes over what came of the newest reload.
    pub fn reloaded(&self, last: LastReload) {
        *self.last_reload.lock() = last;
    }

    /// Takes over what a status says.
    pub fn sample(&self, status: &GroupStatus) {
        self.telemetry.record(|| {
            self.facts();
            let labels = Labels::of(status);
            if let Some(entry) = self.config.groups.get(&status.group) {
                self.configured(&labels, status, entry);
                role(&labels, status, entry);
            }
            volumes(&labels, status);
            positions(&labels, status);
            journal(&labels, status);
            totals(&labels, status);
            resync(&labels, status);
            for (peer, leg) in &status.legs {
                self.leg(&labels.peer(peer), status, peer, leg);
            }
        });
    }

    /// Takes over which pairs changed their state since: all that is lost between two scrapes.
    pub fn watch(&self, status: &GroupStatus) {
        for (peer, leg) in &status.legs {
            let now = leg_word(&leg.state);
            if self.is_new(&status.group, peer, now) {
                let labels = Labels::of(status).peer(peer);
                self.telemetry.record(|| self.pair_state(&labels, &status.group, peer, now));
            }
        }
    }

    /// Takes over what the NBD server counts.
    pub fn nbd(&self, counters: &NbdCounters) {
        let NbdCounters {
            connections,
            refused,
            open,
            tls_hosts,
            tls_failures,
            tls_required,
            // Counted by volume and operation, where they enter an export.
            requests: _,
            errors: _,
            bytes_read: _,
            bytes_written: _,
        } = counters;
        let site = vec![Label::new("site", self.config.site.to_string())];
        self.telemetry.record(|| {
            counter!("trefoil_nbd_connections_total", site.clone())
                .absolute(connections.load(Relaxed));
            counter!("trefoil_nbd_connections_refused_total", site.clone())
                .absolute(refused.load(Relaxed));
            for (name, counted) in [
                ("trefoil_nbd_tls_hosts_total", tls_hosts),
                ("trefoil_nbd_tls_failures_total", tls_failures),
                ("trefoil_nbd_tls_required_total", tls_required),
            ] {
                counter!(name, site.clone()).absolute(counted.load(Relaxed));
            }
            let security = self.config.nbd_security().map(NbdSecurity::word);
            for word in NBD_SECURITIES {
                let labels = Labels(site.clone()).with("security", word);
                set("trefoil_nbd_security", &labels, flag(security == Some(word)));
            }
            gauge!("trefoil_nbd_connections", site).set(number(open.load(Relaxed)));
        });
    }

    /// Takes over how often certificates were refused, and when the own one ends.
    pub fn credentials(&self, counts: &TlsCounts, expires: SystemTime) {
        let labels = Labels(vec![Label::new("site", self.config.site.to_string())]);
        let expires = expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.telemetry.record(|| {
            for (reason, count) in &counts.0 {
                total("trefoil_transport_refused_total", &labels.with("reason", reason), *count);
            }
            let name = "trefoil_certificate_expiry_timestamp_seconds";
            set(name, &labels, expires.as_secs_f64());
        });
    }

    fn facts(&self) {
        gauge!(
            "trefoil_build_info",
            "version" => env!("CARGO_PKG_VERSION"),
            "revision" => option_env!("TREFOIL_REVISION").unwrap_or("unknown"),
            "rustc" => env!("TREFOIL_RUSTC")
        )
        .set(1.0);
        let site = vec![Label::new("site", self.config.site.to_string())];
        let last = self.last_reload.lock();
        let successful = if last.successful { 1.0 } else { 0.0 };
        gauge!("trefoil_config_last_reload_successful", site.clone()).set(successful);
        gauge!("trefoil_config_last_reload_success_timestamp_seconds", site)
            .set(last.loaded.as_secs_f64());
    }

    fn configured(&self, labels: &Labels, status: &GroupStatus, entry: &GroupEntry) {
        let home_role = entry.home_role(&self.config.site).unwrap_or("none");
        let facts = labels.with("topology", &entry.topology).with("home_role", home_role);
        gauge!("trefoil_site_info", facts.0).set(1.0);
        let objective = entry.recovery_point_objective.unwrap_or_default();
        let group = vec![Label::new("group", status.group.to_string())];
        gauge!("trefoil_recovery_point_objective_seconds", group).set(objective.as_secs_f64());
    }

    fn leg(&self, labels: &Labels, status: &GroupStatus, peer: &SiteName, leg: &LegStatus) {
        let now = leg_word(&leg.state);
        self.pair_state(labels, &status.group, peer, now);
        for state in PAIR_STATES {
            gauge!("trefoil_pair_state", labels.with("state", state).0).set(flag(state == now));
        }
        set("trefoil_replication_lag_updates", labels, number(leg.lag_updates));
        set("trefoil_replication_lag_bytes", labels, number(leg.lag_bytes));
        set("trefoil_replication_lag_seconds", labels, seconds(leg.lag_us));
        set("trefoil_delta_resync_possible", labels, flag(leg.delta_possible));
        set("trefoil_link_last_heard_timestamp_seconds", labels, seconds(leg.last_heard_us));
        let link = labels.with("transport", &leg.transport);
        set("trefoil_link_up", &link, flag(leg.link_up));
        set("trefoil_link_rtt_seconds", &link, seconds(leg.rtt_us));
        for (layer, bytes) in [("payload", leg.payload_bytes), ("wire", leg.wire_bytes)] {
            total("trefoil_transport_bytes_total", &link.with("layer", layer), bytes);
        }
        let insecure = self.config.link(&self.config.site, peer).is_some_and(|l| l.insecure);
        let security = match leg.security {
            LinkSecurity::None => None,
            LinkSecurity::Inside => Some("inside"),
            LinkSecurity::Plain if insecure => Some("insecure"),
            LinkSecurity::Plain => Some("plain"),
            LinkSecurity::Proven => Some("proven"),
        };
        for word in LINK_SECURITIES {
            let labels = labels.with("security", word);
            set("trefoil_link_security", &labels, flag(security == Some(word)));
        }
        let loss = Labels(vec![
            Label::new("group", status.group.to_string()),
            Label::new("lost", status.site.to_string()),
            Label::new("survivor", peer.to_string()),
        ]);
        // Only the primary knows what was answered; elsewhere the figure would go stale unseen.
        let lost = match status.role {
            Role::Primary => number(status.commit.since(leg.marks.received)),
            Role::Secondary | Role::Candidate => f64::NAN,
        };
        set("trefoil_loss_if_lost_updates", &loss, lost);
        let age = loss_age(status, peer).filter(|_| status.role == Role::Primary);
        set("trefoil_loss_if_lost_seconds", &loss, age.map_or(f64::NAN, seconds));
        let headroom = leg.headroom;
        set("trefoil_delta_resync_headroom_updates", labels, number(headroom.updates));
        let lasts = headroom.us.map_or(f64::INFINITY, seconds);
        set("trefoil_delta_resync_headroom_seconds", labels, lasts);
    }

    fn is_new(&self, group: &GroupName, peer: &SiteName, now: &'static str) -> bool {
        self.pairs.lock().get(&(group.clone(), peer.clone())) != Some(&now)
    }

    fn pair_state(&self, labels: &Labels, group: &GroupName, peer: &SiteName, now: &'static str) {
        let mut pairs = self.pairs.lock();
        let before = pairs.insert((group.clone(), peer.clone()), now);
        if before == Some(now) {
            return;
        }
        set("trefoil_pair_state_changed_timestamp_seconds", labels, since_1970().as_secs_f64());
        for state in PAIR_STATES {
            counter!("trefoil_pair_state_changes_total", labels.with("to", state).0)
                .increment(u64::from(before.is_some() && state == now));
        }
    }
}

/// How old the oldest update is that would be lost if this site were lost and `survivor` led.
fn loss_age(status: &GroupStatus, survivor: &SiteName) -> Option<u64> {
    let own = |forecast: &&Forecast| forecast.lost == [status.site.clone()];
    let forecast = status.forecasts.iter().find(own)?;
    let candidate = forecast.candidates.iter().find(|candidate| candidate.site == *survivor)?;
    Some(candidate.stake.us)
}

/// The labels of one series.
struct Labels(Vec<Label>);

impl Labels {
    fn of(status: &GroupStatus) -> Self {
        Self(vec![
            Label::new("site", status.site.to_string()),
            Label::new("group", status.group.to_string()),
        ])
    }

    fn with(&self, name: &'static str, value: &str) -> Self {
        let mut labels = self.0.clone();
        labels.push(Label::new(name, value.to_owned()));
        Self(labels)
    }

    fn peer(&self, peer: &SiteName) -> Self {
        self.with("peer", peer.as_str())
    }
}

fn set(name: &'static str, labels: &Labels, value: f64) {
    gauge!(name, labels.0.clone()).set(value);
}

fn total(name: &'static str, labels: &Labels, value: u64) {
    counter!(name, labels.0.clone()).absolute(value);
}

fn role(labels: &Labels, status: &GroupStatus, entry: &GroupEntry) {
    let now = match status.role {
        Role::Primary if entry.primary == status.site => "primary",
        Role::Primary => "takeover_primary",
        Role::Candidate => "candidate",
        Role::Secondary if entry.r#async.as_ref() == Some(&status.site) => "async_secondary",
        // Of two sites, the other way round.
        Role::Secondary if entry.sync.is_none() => "async_secondary",
        // The configured primary and its mirror change places; c stays the third site.
        Role::Secondary => "sync_secondary",
    };
    for role in ROLES {
        set("trefoil_site_role", &labels.with("role", role), flag(role == now));
    }
    set("trefoil_site_generation", labels, number(status.generation.count));
    set("trefoil_site_trouble", labels, flag(status.trouble.is_some()));
    set("trefoil_lease_remaining_seconds", labels, seconds(status.lease_left_ms * 1000));
    if let Some(arbiter) = &status.arbiter {
        let labels = labels.with("witness", &arbiter.arbiter);
        set("trefoil_witness_up", &labels, flag(arbiter.reachable));
        let answered = seconds(arbiter.last_answer_us);
        set("trefoil_witness_last_answer_timestamp_seconds", &labels, answered);
    }
}

fn volumes(labels: &Labels, status: &GroupStatus) {
    let writable = status.role == Role::Primary && status.serving;
    for volume in status.volumes.iter() {
        let labels = labels.with("volume", volume.name.as_str());
        set("trefoil_volume_writable", &labels, flag(writable && !volume.is_removed()));
        set("trefoil_volume_size_bytes", &labels, number(volume.size));
    }
}

fn positions(labels: &Labels, status: &GroupStatus) {
    let marks = status.marks;
    let numbers = [
        marks.received,
        marks.durable,
        marks.restored,
        marks.checkpointed,
        status.commit,
        status.horizon,
    ];
    for (point, update) in POINTS.iter().zip(numbers) {
        set("trefoil_update_number", &labels.with("point", point), number(update.value()));
    }
    set("trefoil_restorer_pending_updates", labels, number(marks.received.since(marks.restored)));
    set("trefoil_recovery_point_timestamp_seconds", labels, seconds(status.recovery_point_us));
    set("trefoil_overlay_bytes", labels, number(status.overlay_bytes));
    set("trefoil_overlay_capacity_bytes", labels, number(status.overlay_bytes_max));
    set("trefoil_debt_bytes", labels, number(status.debt_bytes));
}

fn journal(labels: &Labels, status: &GroupStatus) {
    set("trefoil_journal_capacity_bytes", labels, number(status.journal_capacity_bytes));
    set("trefoil_journal_used_bytes", labels, number(status.journal_used_bytes));
    let retained = status.journal_used_bytes.saturating_sub(status.journal_kept_bytes);
    set("trefoil_journal_retained_bytes", labels, number(retained));
    let oldest = seconds(status.journal_oldest_us);
    set("trefoil_journal_oldest_entry_timestamp_seconds", labels, oldest);
    let entries = status.newest.number.since(status.base);
    set("trefoil_journal_entries", labels, number(entries));
    set("trefoil_journal_oldest_update_number", labels, number(status.base.next().value()));
}

fn totals(labels: &Labels, status: &GroupStatus) {
    let trefoil_site::status::Totals {
        writes,
        write_bytes,
        // Counted by volume and operation, where they enter an export.
        reads: _,
        read_bytes: _,
        flushes: _,
        errors: _,
        appended_updates,
        appended_bytes,
        journal_syncs,
        restored_updates,
        restored_batches,
        coalesced_updates,
        trimmed_bytes,
        shipped_updates,
        shipped_bytes,
        copied_bytes,
        compared_bytes,
        reconnects,
        stale_refused,
        takeovers,
        automatic_takeovers,
    } = status.totals;
    total("trefoil_writes_total", labels, writes);
    total("trefoil_write_bytes_total", labels, write_bytes);
    total("trefoil_journal_appended_updates_total", labels, appended_updates);
    total("trefoil_journal_appended_bytes_total", labels, appended_bytes);
    total("trefoil_journal_released_bytes_total", labels, trimmed_bytes);
    total("trefoil_journal_syncs_total", labels, journal_syncs);
    total("trefoil_shipper_updates_total", labels, shipped_updates);
    total("trefoil_shipper_bytes_total", labels, shipped_bytes);
    total("trefoil_restorer_applied_updates_total", labels, restored_updates);
    total("trefoil_restorer_batches_total", labels, restored_batches);
    total("trefoil_restorer_coalesced_updates_total", labels, coalesced_updates);
    total("trefoil_resync_sent_bytes_total", labels, copied_bytes);
    total("trefoil_resync_compared_bytes_total", labels, compared_bytes);
    total("trefoil_link_reconnects_total", labels, reconnects);
    total("trefoil_stale_generation_rejected_total", labels, stale_refused);
    for (cause, count) in [("operator", takeovers), ("automatic", automatic_takeovers)] {
        let takeover = labels.with("cause", cause).with("outcome", "ok");
        total("trefoil_takeovers_total", &takeover, count);
    }
}

/// One series for each possible source, so that a changed source leaves no series behind at 1.
fn resync(labels: &Labels, status: &GroupStatus) {
    for peer in status.legs.keys() {
        let follows = status.follows.as_ref().filter(|follows| follows.source == *peer);
        let busy = follows.filter(|f| matches!(f.state, LegState::Copying | LegState::CatchingUp));
        let now = busy.and_then(|follows| follows.plan.as_ref()).map(|plan| match plan.kind {
            PlanKind::Copy => "copy",
            PlanKind::Compare => "compare",
            _ => "delta",
        });
        for kind in RESYNCS {
            let labels = labels.peer(peer).with("kind", kind);
            set("trefoil_resync_active", &labels, flag(now == Some(kind)));
        }
    }
}

fn leg_word(state: &LegState) -> &'static str {
    match state {
        LegState::Connecting => "connecting",
        LegState::Copying => "copying",
        LegState::CatchingUp => "catching_up",
        LegState::Paired => "paired",
        LegState::Suspended(_) => "suspended",
    }
}

fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}

/// Prometheus has doubles only: exact up to 2^53, which no count here reaches.
#[expect(clippy::cast_precision_loss, reason = "the text format has doubles only")]
fn number(value: u64) -> f64 {
    value as f64
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
