//! The record format: what it is byte by byte, and that no damage goes unseen.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case must fail")]

use bytes::Bytes;
use proptest::prelude::*;
use std::fmt::Write as _;
use trefoil_core::ErrorKind;
use trefoil_core::model::{Chain, Extent, Generation, Position, SiteName, UpdateNumber, VolumeId};
use trefoil_core::record::{
    GenerationMark, HEADER_BYTES, PAYLOAD_BYTES_MAX, Record, RecordKind, scan,
};

/// One record of each kind, one after the other, as format version 1 has it. Their checksums and
/// chains were computed by another implementation (Python's `xxhash`, and a CRC-32C by its
/// polynomial), so they also prove which algorithms these are.
const GOLDEN: &str = include_str!("fixtures/records_v1.hex");

fn n(value: u64) -> UpdateNumber {
    UpdateNumber::new(value)
}

fn parent() -> Position {
    Position { generation: Generation { count: 3, id: 0x1122_3344_5566_7788 }, ..Position::START }
}

fn extent(volume: u32, offset: u64, length: u64) -> Extent {
    Extent { volume: VolumeId(volume), offset, length }
}

fn mark(parent: Position) -> GenerationMark {
    let generation = Generation { count: parent.generation.count + 1, id: 0x99AA };
    GenerationMark { generation, parent, primary: SiteName::new("tokyo").unwrap() }
}

/// One record of each kind, consecutive.
fn one_of_each() -> Vec<Record> {
    let time = 1_700_000_000_000_000;
    let payload = Bytes::from_static(b"the quick brown fox");
    let write = Record::write(&parent(), time, VolumeId(2), 0x1_0000, payload).unwrap();
    let zero = Record::zero(&write.position(), time + 1, extent(1, 4096, 1 << 40));
    let heartbeat = Record::heartbeat(&zero.position(), time + 2);
    let begin = Record::generation_mark(&mark(heartbeat.position()), time + 3).unwrap();
    vec![write, zero, heartbeat, begin]
}

/// Consecutive writes with payloads of different lengths.
fn run(count: u64) -> Vec<Record> {
    let mut last = parent();
    let mut records = Vec::new();
    for i in 0..count {
        let payload = vec![i as u8 + 1; 3 + 5 * i as usize];
        let record = Record::write(&last, i, VolumeId(0), i * 512, payload.into()).unwrap();
        last = record.position();
        records.push(record);
    }
    records
}

fn joined(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(|record| record.to_bytes().to_vec()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn the_bytes_of_every_kind_are_those_of_format_version_1() {
    let lines: Vec<(&str, &str)> = GOLDEN
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let records = one_of_each();
    assert_eq!(lines.len(), records.len());
    for ((name, golden), record) in lines.iter().zip(&records) {
        assert_eq!(&hex(&record.to_bytes()), golden, "{name}");
        assert_eq!(record.encoded_bytes() * 2, golden.len());
    }
}

#[test]
fn what_each_kind_says_is_read_back() {
    let records = one_of_each();
    let decoded = scan(&joined(&records).into(), &parent());
    assert!(decoded.stopped.is_none());
    assert_eq!(decoded.records, records);
    let kinds: Vec<RecordKind> = decoded.records.iter().map(Record::kind).collect();
    use RecordKind::{Generation, Heartbeat, Write, Zero};
    assert_eq!(kinds, [Write, Zero, Heartbeat, Generation]);
    let extents: Vec<Option<Extent>> = decoded.records.iter().map(Record::extent).collect();
    assert_eq!(extents[0], Some(extent(2, 0x1_0000, 19)));
    assert_eq!(extents[1], Some(extent(1, 4096, 1 << 40)));
    assert_eq!(extents[2..], [None, None]);
    assert_eq!(decoded.records[3].mark(), Some(mark(records[2].position())));
    assert_eq!(decoded.records[3].generation().count, 4);
    assert_eq!(decoded.records[0].mark(), None);
}

#[test]
fn any_flipped_bit_of_any_kind_is_refused() {
    for record in one_of_each() {
        let good = record.to_bytes();
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let error = Record::decode(&bad.into()).map(|(record, _)| record).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{record:?}, bit {bit}");
        }
    }
}

#[test]
fn a_record_cut_at_any_byte_is_refused() {
    for record in one_of_each() {
        let bytes = record.to_bytes();
        for length in 0..bytes.len() {
            assert!(Record::decode(&bytes.slice(..length)).is_err(), "{record:?} cut at {length}");
        }
        assert_eq!(Record::decode(&bytes).unwrap(), (record, bytes.len()));
    }
}

#[test]
fn a_payload_is_of_1_byte_up_to_the_limit() {
    let write = |bytes: usize| {
        Record::write(&parent(), 0, VolumeId(0), 0, vec![7; bytes].into()).map_err(|e| e.kind())
    };
    assert_eq!(write(0), Err(ErrorKind::Invalid));
    assert_eq!(write(1).unwrap().payload().len(), 1);
    let longest = write(PAYLOAD_BYTES_MAX).unwrap();
    assert_eq!(Record::decode(&longest.to_bytes()).unwrap().0, longest);
    assert_eq!(write(PAYLOAD_BYTES_MAX + 1), Err(ErrorKind::Invalid));
}

#[test]
fn a_decoded_payload_shares_the_buffer_it_came_in() {
    let bytes = run(1)[0].to_bytes();
    let (record, _) = Record::decode(&bytes).unwrap();
    assert_eq!(record.payload().as_ptr(), bytes[HEADER_BYTES..].as_ptr());
}

#[test]
fn a_payload_of_another_record_does_not_fit_a_header() {
    let records = run(2);
    let swapped = Record::from_parts(records[0].header_bytes(), records[1].payload().clone());
    assert!(swapped.is_err());
    let other: Bytes = vec![9; records[0].payload().len()].into();
    assert!(Record::from_parts(records[0].header_bytes(), other).is_err());
}

#[test]
fn numbers_are_whole_up_to_the_highest() {
    for before in [(1 << 63) - 2, (1 << 63) - 1, 1 << 63, u64::MAX - 2, u64::MAX - 1] {
        let before = Position { number: n(before), ..parent() };
        let record = Record::heartbeat(&before, u64::MAX);
        let (decoded, _) = Record::decode(&record.to_bytes()).unwrap();
        assert_eq!((decoded.number(), decoded.time()), (before.number.next(), u64::MAX));
        decoded.check_follows(&before).unwrap();
    }
}

#[test]
fn nothing_follows_the_highest_number() {
    let end = Position { number: UpdateNumber::MAX, ..parent() };
    let beyond = Record::heartbeat(&end, 0);
    assert!(beyond.check_follows(&end).is_err(), "it would name {} twice", end.number);
}

#[test]
fn only_the_next_number_of_the_same_history_and_reign_follows() {
    let records = run(3);
    records[1].check_follows(&records[0].position()).unwrap();
    assert!(records[2].check_follows(&records[0].position()).is_err(), "a gap");
    assert!(records[0].check_follows(&records[0].position()).is_err(), "the same again");
    let mut other = records[0].position();
    other.chain = Chain::from_value(other.chain.value() ^ 1);
    assert!(records[1].check_follows(&other).is_err(), "another history");
    let mut newer = records[0].position();
    newer.generation.count += 1;
    let stolen = Record::heartbeat(&newer, 0);
    assert!(stolen.check_follows(&records[0].position()).is_err(), "a reign without its record");
}

#[test]
fn a_generation_record_must_begin_a_newer_reign() {
    let last = run(1)[0].position();
    let begin = Record::generation_mark(&mark(last), 0).unwrap();
    begin.check_follows(&last).unwrap();
    let again = GenerationMark { generation: last.generation, ..mark(last) };
    assert!(Record::generation_mark(&again, 0).unwrap().check_follows(&last).is_err());
}

#[test]
fn a_scan_of_bytes_cut_anywhere_keeps_exactly_the_whole_records() {
    let records = run(4);
    let bytes = Bytes::from(joined(&records));
    let ends: Vec<usize> = (1..=4).map(|count| joined(&records[..count]).len()).collect();
    for length in 0..=bytes.len() {
        let found = scan(&bytes.slice(..length), &parent());
        let whole = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(found.records, records[..whole], "cut at {length}");
        assert_eq!(found.good_bytes, joined(&records[..whole]).len());
        assert!(!found.more_behind, "cut at {length}: a torn tail is not damage in the middle");
        let torn = found.good_bytes < length;
        assert!(torn || found.stopped.is_none(), "cut at {length}");
    }
}

#[test]
fn damage_before_good_records_is_told_from_a_torn_tail() {
    let records = run(4);
    let good = joined(&records);
    for (index, start) in [0, 1, 2].map(|i| (i, joined(&records[..i]).len())) {
        for bit in [0, 8 * 33, 8 * 50 + 1, 8 * 90, 8 * HEADER_BYTES + 3] {
            let mut bad = good.clone();
            bad[start + bit / 8] ^= 1 << (bit % 8);
            let found = scan(&bad.into(), &parent());
            assert_eq!(found.records, records[..index]);
            assert!(found.more_behind, "record {index}, bit {bit}");
        }
    }
    let mut last = good.clone();
    let end = last.len();
    last[end - 1] ^= 1;
    let found = scan(&last.into(), &parent());
    assert!(found.stopped.is_some() && !found.more_behind);
}

#[test]
fn a_scan_refuses_to_begin_anywhere_but_right_after_the_given_point() {
    let records = run(3);
    let bytes = Bytes::from(joined(&records[1..]));
    let found = scan(&bytes, &parent());
    assert!(found.records.is_empty() && found.stopped.is_some(), "the first record is missing");
    assert_eq!(scan(&bytes, &records[0].position()).records, records[1..]);
}

/// Everything that a write says.
#[derive(Clone, Debug)]
struct Said {
    before: Position,
    time: u64,
    volume: u32,
    offset: u64,
    payload: Vec<u8>,
}

impl Said {
    fn write(&self) -> Record {
        let payload = self.payload.clone().into();
        Record::write(&self.before, self.time, VolumeId(self.volume), self.offset, payload).unwrap()
    }
}

prop_compose! {
    fn said()(
        (count, id, number) in (any::<u64>(), any::<u64>(), 0..u64::MAX),
        chain in any::<u128>(),
        (time, volume, offset) in (any::<u64>(), any::<u32>(), any::<u64>()),
        payload in prop::collection::vec(any::<u8>(), 1..300),
    ) -> Said {
        let generation = Generation { count, id };
        let before = Position { generation, number: n(number), chain: Chain::from_value(chain) };
        Said { before, time, volume, offset, payload }
    }
}

proptest! {
    #[test]
    fn a_write_comes_back_as_it_was_made(said in said(), behind in any::<[u8; 9]>()) {
        let record = said.write();
        let mut bytes = record.to_bytes().to_vec();
        bytes.extend(behind);
        let (decoded, taken) = Record::decode(&bytes.into()).unwrap();
        prop_assert_eq!(taken, record.encoded_bytes());
        prop_assert_eq!(&decoded, &record);
        prop_assert_eq!(decoded.extent(), Some(extent(
            said.volume, said.offset, said.payload.len() as u64,
        )));
        prop_assert_eq!(&decoded.payload()[..], &said.payload[..]);
        prop_assert_eq!(decoded.generation(), said.before.generation);
        prop_assert_eq!((decoded.number(), decoded.time()), (said.before.number.next(), said.time));
        prop_assert!(decoded.check_follows(&said.before).is_ok());
    }

    #[test]
    fn the_chain_differs_when_anything_differs(
        said in said(), what in 0..9usize, bit in any::<prop::sample::Index>(),
    ) {
        let flip = |width: usize| 1u64 << bit.index(width);
        let mut other = said.clone();
        match what {
            0 => other.before.generation.count ^= flip(64),
            1 => other.before.generation.id ^= flip(64),
            2 => other.before.number = n(said.before.number.value() ^ flip(63)),
            3 => other.before.chain = Chain::from_value(said.before.chain.value() ^ 1 << flip(6)),
            4 => other.time ^= flip(64),
            5 => other.volume ^= 1 << bit.index(32),
            6 => other.offset ^= flip(64),
            7 => {
                let at = bit.index(said.payload.len() * 8);
                other.payload[at / 8] ^= 1 << (at % 8);
            }
            _ => other.payload.push(0),
        }
        prop_assume!(other.before.number < UpdateNumber::MAX);
        prop_assert_ne!(said.write().chain(), other.write().chain());
    }

    #[test]
    fn the_chain_tells_the_kinds_apart(said in said()) {
        let covered = extent(said.volume, said.offset, said.payload.len() as u64);
        let zero = Record::zero(&said.before, said.time, covered);
        let heartbeat = Record::heartbeat(&said.before, said.time);
        let nowhere = Record::zero(&said.before, said.time, extent(0, 0, 0));
        prop_assert_ne!(said.write().chain(), zero.chain());
        prop_assert_ne!(zero.chain(), heartbeat.chain());
        prop_assert_ne!(nowhere.chain(), heartbeat.chain(), "only the kind differs");
    }

    #[test]
    fn arbitrary_bytes_are_never_a_record_and_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400), magic in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 4 {
            bytes[..4].copy_from_slice(b"TRF1");
        }
        prop_assert!(Record::decode(&bytes.clone().into()).is_err());
        let found = scan(&bytes.into(), &Position::START);
        prop_assert!(found.records.is_empty() && !found.more_behind);
    }
}
