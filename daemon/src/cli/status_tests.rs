//! What `status` shows, and to whom figures belong.

use super::*;
use crate::metrics::tests::group_status;
use std::collections::BTreeMap;
use trefoil_core::model::{Marks, UpdateNumber};

const NOW_US: u64 = 1_800_000_000_000_000;

fn document(status: GroupStatus) -> StatusDocument {
    let group = GroupDocument {
        status,
        recovery_point_objective_seconds: Some(5.0),
        recovery_point_age_seconds: Some(0.21),
    };
    StatusDocument {
        schema: crate::control::api::STATUS_SCHEMA.to_owned(),
        version: "0".to_owned(),
        site: SiteName::new("a").unwrap(),
        machine: None,
        pid: 1,
        as_of: String::new(),
        exports: Vec::new(),
        warnings: vec!["hosts are served in plain text".to_owned()],
        groups: vec![group],
    }
}

fn primary() -> GroupStatus {
    let mut status = group_status();
    status.as_of_us = NOW_US;
    for leg in status.legs.values_mut() {
        leg.last_heard_us = NOW_US - 200_000;
    }
    status
}

#[test]
fn a_primary_shows_every_site_with_its_lag_and_when_it_was_seen() {
    let text = tell(&document(primary()), NOW_US);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("recovery point here 0.2 s old (objective 5 s)"), "{text}");
    assert!(lines[1].starts_with("SITE"), "{text}");
    for (line, words) in [
        (lines[2], ["a", "primary", "serving", "now"]),
        (lines[3], ["b", "sync", "paired", "0.2 s ago (seen by a)"]),
        (lines[4], ["c", "async", "12  ", "0.2 s ago (seen by a)"]),
    ] {
        assert!(words.iter().all(|word| line.contains(word)), "{line} lacks one of {words:?}");
    }
    assert!(text.contains("b holds all that was answered; delta resync a->b possible"), "{text}");
    assert!(text.contains("if a is lost now: b can take over: nothing"), "{text}");
    assert!(text.contains("journal full in 29 min if c stands still: then what"), "{text}");
    assert!(text.contains("c lacks 12 updates; delta resync a->c possible, 29 min"), "{text}");
    assert!(text.contains("automatic takeover: off"), "{text}");
    let links = "links: b plain: neither encrypted nor authenticated; c plain";
    assert!(text.contains(links), "{text}");
    assert!(text.ends_with("warning: hosts are served in plain text"), "{text}");
    assert!(text.is_ascii(), "the locale may be any");
}

#[test]
fn a_suspended_follower_tells_why_and_what_can_be_done() {
    let mut status = primary();
    status.role = Role::Secondary;
    status.serving = false;
    status.trouble = Some("the disk is full; make room".to_owned());
    status.follows = Some(FollowStatus {
        source: SiteName::new("b").unwrap(),
        state: LegState::Suspended("it holds a tail".to_owned()),
        plan: None,
        fetched: trefoil_site::status::Fetched::default(),
        set_aside: None,
    });
    let text = tell(&document(status), NOW_US);
    assert!(text.contains("suspended: it holds a tail"), "{text}");
    assert!(text.contains("trouble: the disk is full; make room"), "{text}");
}

#[test]
fn a_site_that_owes_says_what_its_volumes_are_until_then() {
    let mut status = primary();
    status.debt_bytes = 4096;
    status.image = Some(UpdateNumber::new(77));
    assert!(owed(&status).contains("staged, the volumes are those of update 77"));
    status.image = None;
    status.inconsistent_until = Some(UpdateNumber::new(99));
    assert!(owed(&status).contains("in place, inconsistent until 99"));
}

#[test]
fn a_site_that_was_never_heard_is_said_to_be() {
    let mut status = primary();
    for leg in status.legs.values_mut() {
        leg.last_heard_us = 0;
        leg.link_up = false;
        leg.marks = Marks::at(UpdateNumber::ZERO);
    }
    let text = tell(&document(status), NOW_US);
    assert_eq!(text.matches("never heard").count(), 2, "{text}");
    assert_eq!(text.matches("not connected").count(), 2, "{text}");
}

#[test]
fn the_json_says_its_schema_and_reads_back() {
    let document = document(primary());
    let text = serde_json::to_string(&document).unwrap();
    let fields: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(fields["schema"], "trefoil.status/1");
    assert_eq!(fields["groups"][0]["role"], "primary");
    assert_eq!(fields["groups"][0]["marks"]["restored"], 4180);
    assert_eq!(serde_json::from_str::<StatusDocument>(&text).unwrap(), document);
}
