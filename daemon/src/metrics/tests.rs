//! The scrape and the table say the same.

use super::table::{METRICS, PAIR_STATES, ROLES};
use super::*;
use crate::builtin;
use crate::nbd::NbdCounters;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use trefoil_core::engine::headroom::{FullForecast, Headroom};
use trefoil_core::engine::readiness::{Candidacy, Forecast, How, Stake};
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{
    Charter, Durability, Fence, Generation, GroupName, Incarnation, LegMode, LegState, Marks,
    Member, Position, Role, SiteName, UpdateNumber, Verdict, VolumeName, VolumeSpec,
};
use trefoil_site::GroupStatus;
use trefoil_site::config::{SiteConfig, Sources, load};
use trefoil_site::status::{ArbiterStatus, LegStatus, LinkSecurity, Totals};
use trefoil_transports::tls::TlsCounts;

const EXAMPLE: &str = include_str!("../../../examples/config/three-site.toml");

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn config() -> SiteConfig {
    load(&Sources::text("three-site.toml", EXAMPLE), &builtin::registry()).unwrap()
}

fn leg(mode: LegMode, restored: u64) -> LegStatus {
    LegStatus {
        mode,
        via: None,
        state: LegState::Paired,
        link_up: true,
        transport: "tcp".to_owned(),
        security: LinkSecurity::Plain,
        way_wanted: None,
        way_refused: None,
        rtt_us: 300,
        last_heard_us: 1_799_999_999_000_000,
        marks: Marks::at(UpdateNumber::new(restored)),
        generation: Generation { count: 3, id: 7 },
        promised: Generation { count: 3, id: 7 },
        debt_bytes: 0,
        acking: mode == LegMode::Sync,
        lag_updates: 4182 - restored,
        lag_bytes: (4182 - restored) * 4200,
        lag_us: (4182 - restored) * 17_500,
        payload_bytes: 1 << 20,
        wire_bytes: 1 << 19,
        delta_possible: true,
        headroom: Headroom { bytes: 80 << 20, updates: 20_000, us: Some(1_740_000_000) },
    }
}

/// What the loss of a would mean: b takes over, c lacks 12 updates.
fn loss_of_a() -> Forecast {
    let candidate = |name, verdict, stake| Candidacy {
        site: site(name),
        verdict: Some(verdict),
        refused: None,
        stake,
        reads: Vec::new(),
        waits_us: 2_000_000,
    };
    let unknown = Verdict::Unknown("c is not in sync".to_owned());
    let stake = Stake { updates: 12, bytes: 50_400, us: 210_000 };
    Forecast {
        lost: vec![site("a")],
        silent: Vec::new(),
        how: How::TakesOver,
        serves: Some(site("b")),
        verdict: Some(Verdict::Zero),
        stake: Stake::default(),
        waits_us: Some(2_000_000),
        why: "b can take over: nothing that was answered is lost".to_owned(),
        candidates: vec![
            candidate("b", Verdict::Zero, Stake::default()),
            candidate("c", unknown, stake),
        ],
        resyncs: Vec::new(),
        next: vec!["trefoil takeover --at b --group orders".to_owned()],
    }
}

/// Site a as a primary in the middle of its work.
fn silent_arbiter() -> ArbiterStatus {
    ArbiterStatus {
        arbiter: "etcd http://127.0.0.1:2379".to_owned(),
        reachable: false,
        last_answer_us: 1_799_999_990_000_000,
        away: Some("no endpoint is there".to_owned()),
        version: 12,
    }
}

pub(crate) fn group_status() -> GroupStatus {
    let generation = Generation { count: 3, id: 7 };
    let newest = Position { generation, number: UpdateNumber::new(4182), ..Position::START };
    let member = |name| Member { site: site(name), incarnation: Incarnation(1) };
    GroupStatus {
        group: GroupName::new("orders").unwrap(),
        site: site("a"),
        as_of_us: 1_800_000_000_000_000,
        role: Role::Primary,
        serving: true,
        generation,
        charter: Some(Charter {
            generation,
            version: 1,
            primary: site("a"),
            active: true,
            settled: generation,
            in_sync: vec![member("a"), member("b")],
            fence: Fence::Status,
            voters: Vec::new(),
            voters_before: Vec::new(),
            untold: None,
            consented: Generation::NONE,
        }),
        durability: Durability::Flush,
        volumes: Arc::from([
            VolumeSpec { name: VolumeName::new("db0").unwrap(), size: 256 << 20 },
            VolumeSpec { name: VolumeName::new("log0").unwrap(), size: 64 << 20 },
        ]),
        volumes_to_come: Vec::new(),
        newest,
        marks: Marks {
            received: UpdateNumber::new(4182),
            durable: UpdateNumber::new(4181),
            restored: UpdateNumber::new(4180),
            checkpointed: UpdateNumber::new(4000),
        },
        base: UpdateNumber::new(100),
        commit: UpdateNumber::new(4182),
        horizon: UpdateNumber::new(4181),
        recovery_point_us: 1_799_999_999_790_000,
        journal_used_bytes: 3 << 20,
        journal_capacity_bytes: 100 << 20,
        overlay_bytes: 8192,
        overlay_bytes_max: 64 << 20,
        debt_bytes: 0,
        image: None,
        inconsistent_until: None,
        lease_left_ms: 1900,
        follows: None,
        legs: BTreeMap::from([
            (site("b"), leg(LegMode::Sync, 4182)),
            (site("c"), leg(LegMode::Async, 4170)),
        ]),
        trouble: None,
        automatic_takeover: "off".to_owned(),
        on_full: OnFull::Map,
        journal_bytes_per_second: 50_000,
        journal_kept_bytes: 1 << 20,
        journal_oldest_us: 1_799_999_000_000_000,
        journal_full: Some(FullForecast {
            held_for: site("c"),
            in_us: 1_740_000_000,
            then: OnFull::Map,
        }),
        forecasts: Arc::from([loss_of_a()]),
        arbiter: Some(silent_arbiter()),
        totals: Totals { writes: 4000, takeovers: 1, automatic_takeovers: 2, ..Totals::default() },
    }
}

async fn scrape(statuses: &[GroupStatus]) -> String {
    let telemetry = Telemetry::new().unwrap();
    let sampler = Sampler::new(&telemetry, &config());
    for status in statuses {
        sampler.sample(status);
    }
    sampler.nbd(&NbdCounters::default());
    let refused = TlsCounts(BTreeMap::from([("expired", 3)]));
    sampler.credentials(&refused, UNIX_EPOCH + Duration::from_secs(1_900_000_000));
    let (group, volume) = (GroupName::new("orders").unwrap(), VolumeName::new("db0").unwrap());
    let meter = HostMeter::new(&telemetry, &site("a"), &group, &volume);
    meter.measure(Op::Write, 4096, async { Ok(()) }).await.unwrap();
    let failing = async { Err::<(), _>(Error::refused("write volume: a test says no")) };
    meter.measure(Op::Write, 4096, failing).await.unwrap_err();
    telemetry.render()
}

/// The series of a scrape: name and labels → value.
fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn value(text: &str, wanted: &str) -> f64 {
    let series = series(text);
    *series.get(wanted).unwrap_or_else(|| panic!("no series {wanted} in\n{text}"))
}

#[tokio::test]
async fn the_scrape_has_every_exported_metric_with_its_labels_and_no_other() {
    let text = scrape(&[group_status()]).await;
    let mut found: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let all = series(&text);
    for name in all.keys() {
        let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .find(|base| METRICS.iter().any(|metric| metric.name == *base))
            .unwrap_or(name);
        let labels = labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty());
        let labels = labels.filter_map(|pair| pair.split_once('=').map(|(key, _)| key.to_owned()));
        found.entry(base).or_default().extend(labels.filter(|label| label != "le"));
    }
    let exported = METRICS.iter().filter(|metric| metric.exported);
    let expected: BTreeMap<&str, BTreeSet<String>> = exported
        .map(|metric| (metric.name, metric.labels.iter().map(|l| (*l).to_owned()).collect()))
        .collect();
    assert_eq!(found, expected);
    for metric in METRICS.iter().filter(|metric| metric.exported) {
        assert!(text.contains(&format!("# HELP {} ", metric.name)), "{} has no help", metric.name);
    }
}

#[tokio::test]
async fn histograms_have_buckets_and_are_not_summaries() {
    let text = scrape(&[group_status()]).await;
    assert!(text.contains("# TYPE trefoil_volume_io_duration_seconds histogram"), "{text}");
    assert!(!text.contains("quantile"), "{text}");
    let count = value(
        &text,
        r#"trefoil_volume_io_duration_seconds_count{site="a",group="orders",op="write"}"#,
    );
    assert!((count - 1.0).abs() < f64::EPSILON, "a failed request is not a latency");
}

#[tokio::test]
async fn exactly_one_state_of_a_set_is_on_also_after_it_changed() {
    let mut later = group_status();
    later.role = Role::Secondary;
    later.legs.get_mut(&site("c")).unwrap().state = LegState::Suspended("full".to_owned());
    let text = scrape(&[group_status(), later]).await;
    let on = |prefix: &str| -> Vec<String> {
        let all = series(&text);
        let set = all.iter().filter(|(name, value)| name.starts_with(prefix) && **value > 0.0);
        set.map(|(name, _)| name.clone()).collect()
    };
    let roles = on("trefoil_site_role{");
    assert_eq!(roles.len(), 1, "{roles:?}");
    assert!(roles[0].contains(r#"role="sync_secondary""#), "{roles:?}");
    let states = on("trefoil_pair_state{");
    assert_eq!(states.len(), 2, "one for each peer: {states:?}");
    assert!(states.iter().any(|state| state.contains(r#"peer="c",state="suspended""#)));
    let all = series(&text);
    let count = |prefix: &str| all.keys().filter(|name| name.starts_with(prefix)).count();
    assert_eq!(count("trefoil_site_role{"), ROLES.len());
    assert_eq!(count("trefoil_pair_state{"), 2 * PAIR_STATES.len());
    let changes =
        r#"trefoil_pair_state_changes_total{site="a",group="orders",peer="c",to="suspended"}"#;
    assert!((value(&text, changes) - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn the_figures_are_those_of_the_status() {
    let text = scrape(&[group_status()]).await;
    for (name, expected) in [
        (r#"trefoil_update_number{site="a",group="orders",point="restored"}"#, 4180.0),
        (r#"trefoil_replication_lag_updates{site="a",group="orders",peer="c"}"#, 12.0),
        (r#"trefoil_replication_lag_seconds{site="a",group="orders",peer="c"}"#, 0.21),
        (r#"trefoil_loss_if_lost_updates{group="orders",lost="a",survivor="c"}"#, 12.0),
        (r#"trefoil_loss_if_lost_seconds{group="orders",lost="a",survivor="c"}"#, 0.21),
        (r#"trefoil_delta_resync_headroom_seconds{site="a",group="orders",peer="c"}"#, 1740.0),
        (r#"trefoil_journal_retained_bytes{site="a",group="orders"}"#, 2_097_152.0),
        (r#"trefoil_recovery_point_objective_seconds{group="orders"}"#, 5.0),
        (r#"trefoil_volume_writable{site="a",group="orders",volume="log0"}"#, 1.0),
        (r#"trefoil_journal_entries{site="a",group="orders"}"#, 4082.0),
        (r#"trefoil_transport_refused_total{site="a",reason="expired"}"#, 3.0),
        (r#"trefoil_link_security{site="a",group="orders",peer="b",security="plain"}"#, 1.0),
        (r#"trefoil_link_security{site="a",group="orders",peer="b",security="proven"}"#, 0.0),
        (r#"trefoil_nbd_security{site="a",security="loopback"}"#, 1.0),
        (r#"trefoil_takeovers_total{site="a",group="orders",cause="operator",outcome="ok"}"#, 1.0),
        (r#"trefoil_takeovers_total{site="a",group="orders",cause="automatic",outcome="ok"}"#, 2.0),
        (
            r#"trefoil_witness_up{site="a",group="orders",witness="etcd http://127.0.0.1:2379"}"#,
            0.0,
        ),
        (r#"trefoil_writes_total{site="a",group="orders"}"#, 4000.0),
    ] {
        let found = value(&text, name);
        assert!((found - expected).abs() < 1e-9, "{name} is {found}, expected {expected}");
    }
}
