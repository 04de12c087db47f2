//! What a session counts as fetched.

use super::*;
use crate::model::{UpdateNumber, VolumeId};
use crate::record::GenerationMark;
use bytes::Bytes;

const FIRST: Generation = Generation { count: 1, id: 11 };
const SECOND: Generation = Generation { count: 2, id: 22 };

/// Each generation begins with its Generation record, which counts among its `count` records.
fn history(reigns: &[(Generation, usize)]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for &(generation, count) in reigns {
        for turn in 0..count {
            let parent = records.last().map_or(Position::START, Record::position);
            let record = if turn == 0 {
                let primary = SiteName::new("a").unwrap();
                Record::generation_mark(&GenerationMark { generation, parent, primary }, 7)
            } else {
                Record::write(&parent, 7, VolumeId(0), 0, Bytes::from(vec![1; 512]))
            };
            records.push(record.unwrap());
        }
    }
    records
}

fn bytes_of(records: &[Record]) -> u64 {
    records.iter().map(|record| record.encoded_bytes() as u64).sum()
}

fn plan(target: u64) -> Plan {
    Plan {
        kind: PlanKind::Delta,
        fork: UpdateNumber::ZERO,
        drop_to: UpdateNumber::ZERO,
        debt: crate::engine::judge::PlanDebt::Nothing,
        base: Position::START,
        target: UpdateNumber::new(target),
        updates: target,
        bytes: None,
        why: String::new(),
    }
}

fn session() -> FollowerEngine {
    let source = SiteName::new("b").unwrap();
    FollowerEngine::new(SessionId(1), source, SECOND, Position::START, 1 << 20)
}

#[test]
fn what_is_inherited_ends_where_the_reign_of_the_source_begins() {
    let records = history(&[(FIRST, 5), (SECOND, 3)]);
    let mut session = session();
    session.planned(plan(7)).unwrap();
    session.records(&records).unwrap();
    let fetch = session.fetch();
    assert_eq!((fetch.inherited_updates, fetch.inherited_bytes), (5, bytes_of(&records[..5])));
    assert_eq!((fetch.delta_updates, fetch.delta_bytes), (7, bytes_of(&records[..7])));
}

#[test]
fn a_resumed_session_of_the_same_reign_inherits_nothing() {
    let mut session = session();
    session.planned(plan(4)).unwrap();
    session.records(&history(&[(SECOND, 4)])).unwrap();
    assert_eq!(session.fetch().inherited_updates, 0);
    assert_eq!(session.fetch().delta_updates, 4);
}
