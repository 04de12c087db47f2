//! Reading records back from a run of bytes, and where the good ones end.

use super::header::{HEADER_BYTES, Record};
use crate::Error;
use crate::model::Position;
use bytes::Bytes;

/// What a run of bytes holds.
#[derive(Debug)]
pub struct Scan {
    /// The consecutive, unharmed records from the beginning.
    pub records: Vec<Record>,
    /// How many bytes they take.
    pub good_bytes: usize,
    /// Why the scan stopped; `None` at the end of the bytes, or at zeroes where a header would be
    /// and no record behind them.
    pub stopped: Option<Error>,
    /// Whether an unharmed record with a higher number lies behind the place where the scan
    /// stopped: then this is damage in the middle, not a torn tail.
    pub more_behind: bool,
}

/// Reads consecutive records from the beginning of `bytes`; the first must follow `before`.
///
/// The torn-tail rule: what follows the first bad record is not part of the history, unless a good
/// record with a higher number follows. That is damage, and [`Scan::more_behind`] says so.
pub fn scan(bytes: &Bytes, before: &Position) -> Scan {
    let mut records: Vec<Record> = Vec::new();
    let mut good_bytes = 0;
    let mut last = *before;
    let stopped = loop {
        let rest = bytes.slice(good_bytes..);
        if rest.iter().take(HEADER_BYTES).all(|byte| *byte == 0) {
            let lost = later_record(&rest, &last);
            break lost.then(|| Error::corrupt("read record: zeroes where one should begin"));
        }
        match Record::decode(&rest) {
            Ok((record, taken)) => {
                if let Err(error) = record.check_follows(&last) {
                    break Some(error);
                }
                last = record.position();
                good_bytes += taken;
                records.push(record);
            }
            Err(error) => break Some(error),
        }
    };
    let more_behind = stopped.is_some() && later_record(&bytes.slice(good_bytes..), &last);
    Scan { records, good_bytes, stopped, more_behind }
}

/// Whether a whole record that could belong to the same history lies in `rest`, which begins with
/// a bad one after `last`.
fn later_record(rest: &Bytes, last: &Position) -> bool {
    // A good header says where the next record begins: what looks like records inside a payload
    // is the host's data.
    let mut at = match Record::payload_bytes_of(rest) {
        Ok(payload_bytes) => HEADER_BYTES + payload_bytes,
        Err(_) => 1,
    };
    while let Some(found) = find_magic(rest, at) {
        if let Ok((record, _)) = Record::decode(&rest.slice(found..)) {
            // Older ones may lie here, in a segment that was used before; and between here and
            // there is room for so many records only.
            let skipped_max = (found / HEADER_BYTES) as u64 + 1;
            if record.number() > last.number
                && record.number().since(last.number) <= skipped_max
                && record.generation() >= last.generation
            {
                return true;
            }
        }
        at = found + 1;
    }
    false
}

/// The next place at or after `from` where a record's magic stands.
fn find_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == b'T')?;
        if bytes.get(at..)?.starts_with(b"TRF1") {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Generation, VolumeId};

    fn start() -> Position {
        Position { generation: Generation { count: 1, id: 7 }, ..Position::START }
    }

    fn run(count: u64) -> (Vec<Record>, Vec<u8>) {
        let mut last = start();
        let mut bytes = Vec::new();
        let mut records = Vec::new();
        for i in 0..count {
            let payload = Bytes::from(vec![i as u8 + 1; 40 + i as usize]);
            let record = Record::write(&last, i, VolumeId(0), i * 512, payload).unwrap();
            last = record.position();
            bytes.extend_from_slice(&record.to_bytes());
            records.push(record);
        }
        (records, bytes)
    }

    #[test]
    fn a_whole_run_followed_by_zeroes_is_read_to_its_end() {
        let (records, mut bytes) = run(5);
        let length = bytes.len();
        bytes.resize(length + 500, 0);
        let found = scan(&bytes.into(), &start());
        assert_eq!((found.records, found.good_bytes), (records, length));
        assert!(found.stopped.is_none() && !found.more_behind);
    }

    #[test]
    fn a_tail_torn_at_any_length_is_cut_and_is_not_damage_in_the_middle() {
        let (records, bytes) = run(3);
        let last = records[2].encoded_bytes();
        for kept in 1..last {
            let mut torn = bytes[..bytes.len() - last + kept].to_vec();
            torn.resize(bytes.len() + 64, 0);
            let found = scan(&torn.into(), &start());
            assert_eq!(found.records.len(), 2, "{kept} bytes of the last record");
            assert!(found.stopped.is_some() && !found.more_behind, "{kept} bytes");
        }
    }

    #[test]
    fn any_flipped_bit_with_good_records_behind_is_damage_in_the_middle() {
        let (records, bytes) = run(3);
        let (first, second) = (records[0].encoded_bytes(), records[1].encoded_bytes());
        for at in first..first + second {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            let found = scan(&bad.into(), &start());
            assert_eq!(found.records.len(), 1, "bit at {at}");
            assert!(found.more_behind, "bit at {at}");
        }
    }

    #[test]
    fn a_record_overwritten_with_zeroes_is_damage_in_the_middle() {
        let (records, mut bytes) = run(3);
        let first = records[0].encoded_bytes();
        bytes[first..first + records[1].encoded_bytes()].fill(0);
        let found = scan(&bytes.into(), &start());
        assert_eq!(found.records.len(), 1);
        assert!(found.stopped.is_some() && found.more_behind);
    }

    #[test]
    fn records_in_the_payload_of_a_torn_record_are_the_hosts_data() {
        let (_, inner) = run(3);
        let before = start();
        let outer = Record::write(&before, 0, VolumeId(0), 0, inner.into()).unwrap();
        let mut bytes = outer.to_bytes().to_vec();
        let end = bytes.len();
        bytes[end - 1] ^= 1;
        let found = scan(&bytes.into(), &before);
        assert!(found.stopped.is_some() && !found.more_behind);
    }
}
