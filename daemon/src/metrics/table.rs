//! Every metric of trefoil, in one list: the code, the scrape and the documentation are held to it.
//!
//! Names carry the unit (`_seconds`, `_bytes`, `_timestamp_seconds`), counters end in `_total`, a
//! state is a set of series of which exactly one is 1. Names and labels are covered by the
//! binary's version: a rename needs a minor release with both.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows, from the start of the process.
    Counter,
    /// Counts observations by size.
    Histogram,
    /// A gauge for each of several states; exactly one is 1 (none, where the help says so).
    StateSet,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The full name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
    /// Whether this release exports it; the others keep their names reserved.
    pub exported: bool,
}

const fn metric(
    kind: Kind,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, labels, help, exported: true }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    metric(Kind::Gauge, name, labels, help)
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    metric(Kind::Counter, name, labels, help)
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    metric(Kind::Histogram, name, labels, help)
}

const fn states(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    metric(Kind::StateSet, name, labels, help)
}

/// Named for a later release.
const fn later(metric: Metric) -> Metric {
    Metric { exported: false, ..metric }
}

const GROUP: &[&str] = &["site", "group"];
const PEER: &[&str] = &["site", "group", "peer"];
const VOLUME: &[&str] = &["site", "group", "volume"];
const IO: &[&str] = &["site", "group", "volume", "op"];
const LINK: &[&str] = &["site", "group", "peer", "transport"];
const LOSS: &[&str] = &["group", "lost", "survivor"];

/// The roles in `trefoil_site_role`.
pub const ROLES: [&str; 5] =
    ["primary", "takeover_primary", "candidate", "sync_secondary", "async_secondary"];
/// The states in `trefoil_pair_state`.
pub const PAIR_STATES: [&str; 5] = ["connecting", "copying", "catching_up", "paired", "suspended"];
/// The points in `trefoil_update_number`.
pub const POINTS: [&str; 6] =
    ["received", "durable", "restored", "checkpointed", "committed", "horizon"];
/// The kinds in `trefoil_resync_active`.
pub const RESYNCS: [&str; 3] = ["delta", "compare", "copy"];
/// The words of `trefoil_link_security`; `insecure` is plain where the file says that it may be.
pub const LINK_SECURITIES: [&str; 4] = ["inside", "plain", "insecure", "proven"];
/// The words of `trefoil_nbd_security`.
pub const NBD_SECURITIES: [&str; 4] = ["socket", "loopback", "insecure", "tls"];
/// The operations of `trefoil_volume_io_total` and its like.
pub const OPS: [&str; 4] = ["read", "write", "flush", "write_zeroes"];

/// The metrics, in the order of a write's journey.
pub const METRICS: &[Metric] = &[
    gauge("trefoil_build_info", &["version", "revision", "rustc"], "Always 1; join target."),
    gauge(
        "trefoil_site_info",
        &["site", "group", "topology", "home_role"],
        "Always 1; configured facts.",
    ),
    gauge(
        "trefoil_config_last_reload_successful",
        &["site"],
        "1 if the configuration that was read last was taken over, 0 if it was refused.",
    ),
    gauge(
        "trefoil_config_last_reload_success_timestamp_seconds",
        &["site"],
        "When the running configuration was loaded.",
    ),
    states(
        "trefoil_site_role",
        &["site", "group", "role"],
        "What the site does: primary (the configured one), takeover_primary (another that \
         leads), candidate, sync_secondary or async_secondary.",
    ),
    gauge("trefoil_site_generation", GROUP, "Generation that the site obeys."),
    gauge(
        "trefoil_site_trouble",
        GROUP,
        "1 if something stops the site from doing its job; `trefoil status` says what.",
    ),
    gauge("trefoil_volume_writable", VOLUME, "1 if host writes are accepted here."),
    states(
        "trefoil_pair_state",
        &["site", "group", "peer", "state"],
        "State of the leg to the peer as this site sees it; meaningful at its source.",
    ),
    gauge(
        "trefoil_pair_state_changed_timestamp_seconds",
        PEER,
        "When pair_state was last seen to change.",
    ),
    counter(
        "trefoil_pair_state_changes_total",
        &["site", "group", "peer", "to"],
        "Transitions seen into a state.",
    ),
    gauge("trefoil_volume_size_bytes", VOLUME, "Size of the volume; 0 once it was removed."),
    counter("trefoil_volume_io_total", IO, "Host requests answered without an error."),
    counter("trefoil_volume_io_bytes_total", IO, "Bytes of those."),
    counter(
        "trefoil_volume_io_errors_total",
        &["site", "group", "volume", "op", "reason"],
        "Host requests answered with an error.",
    ),
    gauge("trefoil_volume_io_inflight", VOLUME, "Host requests accepted and not answered."),
    histogram(
        "trefoil_volume_io_duration_seconds",
        &["site", "group", "op"],
        "Host latency, receipt to answer.",
    ),
    counter(
        "trefoil_nbd_connections_total",
        &["site"],
        "NBD connections accepted, refused ones included.",
    ),
    counter(
        "trefoil_nbd_connections_refused_total",
        &["site"],
        "NBD connections closed at once because too many were open.",
    ),
    states(
        "trefoil_nbd_security",
        &["site", "security"],
        "Who may connect as a host: socket (a Unix socket's permissions), loopback (this host), \
         insecure (anybody, in plain text), tls (a certificate is required).",
    ),
    states(
        "trefoil_link_security",
        &["site", "group", "peer", "security"],
        "How far the link can be trusted: inside the process, plain, insecure (plain, and the \
         configuration says that it may be), proven (encrypted, by certificates); none is 1 while \
         the link is down.",
    ),
    counter(
        "trefoil_transport_refused_total",
        &["site", "reason"],
        "Refusals of sites and hosts because of their certificates, by reason.",
    ),
    gauge(
        "trefoil_certificate_expiry_timestamp_seconds",
        &["site"],
        "When the own certificate ends.",
    ),
    counter("trefoil_nbd_tls_hosts_total", &["site"], "NBD hosts that proved who they are."),
    counter(
        "trefoil_nbd_tls_failures_total",
        &["site"],
        "NBD handshakes of TLS that failed; trefoil_transport_refused_total tells why.",
    ),
    counter(
        "trefoil_nbd_tls_required_total",
        &["site"],
        "NBD options refused because TLS has to come first.",
    ),
    gauge("trefoil_nbd_connections", &["site"], "NBD connections open now."),
    later(histogram(
        "trefoil_write_stage_duration_seconds",
        &["site", "group", "stage"],
        "Where a write's latency goes.",
    )),
    later(counter(
        "trefoil_write_throttled_seconds_total",
        &["site", "group", "reason"],
        "Time that host writes were held back on purpose.",
    )),
    counter("trefoil_writes_total", GROUP, "Host writes answered by the group."),
    counter("trefoil_write_bytes_total", GROUP, "Bytes of those."),
    gauge(
        "trefoil_update_number",
        &["site", "group", "point"],
        "Highest update number that reached the point: received, durable, restored and \
         checkpointed here; committed and horizon of the acking set.",
    ),
    gauge(
        "trefoil_overlay_bytes",
        GROUP,
        "Bytes of updates in memory that the block store does not have yet.",
    ),
    gauge("trefoil_overlay_capacity_bytes", GROUP, "The limit for those."),
    gauge(
        "trefoil_replication_lag_updates",
        PEER,
        "Updates committed here and not restored at the peer.",
    ),
    gauge("trefoil_replication_lag_bytes", PEER, "Bytes of those."),
    gauge(
        "trefoil_replication_lag_seconds",
        PEER,
        "Age of the oldest of those; 0 when there is none.",
    ),
    gauge(
        "trefoil_recovery_point_timestamp_seconds",
        GROUP,
        "Source-clock time of the newest state that this site could serve.",
    ),
    gauge("trefoil_recovery_point_objective_seconds", &["group"], "Configured objective."),
    gauge(
        "trefoil_loss_if_lost_updates",
        LOSS,
        "Updates that would be lost if site `lost` vanished now and `survivor` took over; \
         exported by the primary.",
    ),
    gauge(
        "trefoil_loss_if_lost_seconds",
        LOSS,
        "Age of the oldest of those at most; 0 where none would be lost.",
    ),
    gauge(
        "trefoil_delta_resync_possible",
        PEER,
        "1 if this site's journal still holds every update that the peer lacks.",
    ),
    gauge(
        "trefoil_delta_resync_headroom_updates",
        PEER,
        "Updates that may still be written here before the journal no longer holds what the peer \
         lacks, the peer standing still: then what changed is copied by a map.",
    ),
    gauge(
        "trefoil_delta_resync_headroom_seconds",
        PEER,
        "The same at the current write rate; +Inf while next to nothing is written.",
    ),
    gauge("trefoil_journal_capacity_bytes", GROUP, "Size of the journal."),
    gauge("trefoil_journal_used_bytes", GROUP, "Bytes of the journal in use."),
    gauge("trefoil_journal_retained_bytes", GROUP, "Bytes kept beyond need, for delta resync."),
    gauge("trefoil_journal_entries", GROUP, "Records in the journal."),
    gauge(
        "trefoil_journal_oldest_update_number",
        GROUP,
        "Oldest update still readable; one more than the newest when there is none.",
    ),
    gauge(
        "trefoil_journal_oldest_entry_timestamp_seconds",
        GROUP,
        "Its time, by the primary's clock; 0 while that is not known.",
    ),
    counter("trefoil_journal_appended_updates_total", GROUP, "Records appended."),
    counter("trefoil_journal_appended_bytes_total", GROUP, "Bytes appended."),
    counter("trefoil_journal_released_bytes_total", GROUP, "Bytes released."),
    counter("trefoil_journal_syncs_total", GROUP, "Syncs of the journal."),
    later(histogram("trefoil_journal_sync_duration_seconds", GROUP, "Duration of those.")),
    later(counter("trefoil_journal_full_events_total", GROUP, "Times the journal filled up.")),
    counter("trefoil_shipper_updates_total", GROUP, "Records sent to followers."),
    counter("trefoil_shipper_bytes_total", GROUP, "Bytes of those."),
    later(counter(
        "trefoil_shipper_batches_total",
        &["site", "group", "peer", "outcome"],
        "Batches sent.",
    )),
    later(histogram("trefoil_shipper_batch_updates", PEER, "Updates in a batch.")),
    later(histogram(
        "trefoil_shipper_batch_duration_seconds",
        PEER,
        "Send to acknowledgement of a batch.",
    )),
    later(gauge("trefoil_shipper_inflight_batches", PEER, "Batches sent and not acknowledged.")),
    counter("trefoil_restorer_applied_updates_total", GROUP, "Updates written to the volumes."),
    counter("trefoil_restorer_batches_total", GROUP, "Batches in which they were written."),
    later(counter("trefoil_restorer_applied_bytes_total", GROUP, "Bytes written to the volumes.")),
    counter(
        "trefoil_restorer_coalesced_updates_total",
        GROUP,
        "Updates not written since later ones of the batch cover them.",
    ),
    gauge("trefoil_restorer_pending_updates", GROUP, "Received, not restored."),
    later(histogram("trefoil_restorer_apply_duration_seconds", GROUP, "Apply of one batch.")),
    gauge("trefoil_link_up", LINK, "1 if the peer is connected."),
    gauge("trefoil_link_rtt_seconds", LINK, "Newest measured round trip; 0 before the first."),
    later(gauge("trefoil_link_clock_offset_seconds", PEER, "Estimated peer clock minus own.")),
    gauge(
        "trefoil_link_last_heard_timestamp_seconds",
        PEER,
        "When the peer was last heard; 0 before the first time.",
    ),
    counter("trefoil_link_reconnects_total", GROUP, "Links made anew."),
    counter(
        "trefoil_transport_bytes_total",
        &["site", "group", "peer", "transport", "layer"],
        "Bytes sent on data lanes: payload before compression, wire after it.",
    ),
    later(counter(
        "trefoil_transport_frames_total",
        &["site", "peer", "transport", "direction", "kind"],
        "Frames.",
    )),
    later(counter(
        "trefoil_transport_errors_total",
        &["site", "peer", "transport", "kind"],
        "Errors.",
    )),
    states(
        "trefoil_resync_active",
        &["site", "group", "peer", "kind"],
        "Which resync brings this site to its source, `peer`; all 0 when none runs.",
    ),
    counter("trefoil_resync_sent_bytes_total", GROUP, "Bytes of blocks copied to followers."),
    counter(
        "trefoil_resync_compared_bytes_total",
        GROUP,
        "Bytes of blocks of which followers were sent hashes.",
    ),
    later(gauge("trefoil_resync_total_bytes", PEER, "Work known at the start.")),
    gauge(
        "trefoil_debt_bytes",
        GROUP,
        "Bytes that this site's volumes owe; 0 when they are what the journal says.",
    ),
    later(gauge("trefoil_resync_started_timestamp_seconds", PEER, "Start.")),
    later(counter(
        "trefoil_resync_completed_total",
        &["site", "group", "peer", "kind", "outcome"],
        "Finished resyncs.",
    )),
    counter(
        "trefoil_takeovers_total",
        &["site", "group", "cause", "outcome"],
        "Takeovers completed here, by who started them: an operator, or nobody (automatic).",
    ),
    later(histogram(
        "trefoil_takeover_duration_seconds",
        &["site", "group", "phase"],
        "How long each phase of a takeover took.",
    )),
    gauge(
        "trefoil_witness_up",
        &["site", "group", "witness"],
        "1 if the arbiter that keeps the charter answers; absent where the sites decide.",
    ),
    gauge(
        "trefoil_witness_last_answer_timestamp_seconds",
        &["site", "group", "witness"],
        "When the arbiter answered last; 0 before it did.",
    ),
    gauge("trefoil_lease_remaining_seconds", GROUP, "Time left on the right to answer hosts."),
    counter(
        "trefoil_stale_generation_rejected_total",
        GROUP,
        "Messages refused because their generation or session was old.",
    ),
    later(counter(
        "trefoil_divergence_detected_total",
        PEER,
        "Two sites held different data for one update number.",
    )),
    later(counter(
        "trefoil_verify_checked_bytes_total",
        &["site", "volume", "peer"],
        "Bytes compared.",
    )),
    later(gauge(
        "trefoil_verify_mismatched_bytes",
        &["site", "volume", "peer"],
        "Bytes found different by the last verify.",
    )),
    later(gauge(
        "trefoil_verify_last_success_timestamp_seconds",
        &["site", "volume", "peer"],
        "Last verify without a difference.",
    )),
    later(counter("trefoil_checksum_errors_total", &["site", "where"], "Damaged data caught.")),
    later(gauge(
        "trefoil_drill_last_success_timestamp_seconds",
        GROUP,
        "Last rehearsal of a takeover that passed.",
    )),
    later(gauge("trefoil_actor_mailbox_depth", &["site", "actor"], "Messages waiting.")),
    later(histogram(
        "trefoil_actor_message_duration_seconds",
        &["actor", "message"],
        "Handling time, sampled.",
    )),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_say_their_unit_and_kind() {
        let mut seen = BTreeSet::new();
        for metric in METRICS {
            let name = metric.name;
            assert!(seen.insert(name), "{name} is there twice");
            assert!(name.starts_with("trefoil_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert!(metric.help.ends_with('.'), "{name}: {}", metric.help);
            assert!(!metric.labels.is_empty(), "{name}: nothing says which site or group");
        }
    }
}
