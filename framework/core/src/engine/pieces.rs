//! What a stretch of one volume becomes, piece by piece; the newest piece wins.

use crate::model::UpdateNumber;
use crate::port::Content;
use std::collections::BTreeMap;

/// The most pieces of one list. A tree of single pieces takes several times as long once it is
/// larger than the caches; in longer lists too much is moved.
const LIST_MAX: usize = 64;

/// A run of bytes that one update left behind.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// The first byte.
    pub(super) start: u64,
    /// The first byte after it.
    pub(super) end: u64,
    /// The update it comes from; a cut piece keeps it.
    pub(super) number: UpdateNumber,
    /// What the bytes are.
    pub(super) content: Content,
}

impl Piece {
    /// The part of it in `from..to`, which lies within it.
    fn part(&self, from: u64, to: u64) -> Self {
        let content = slice(&self.content, from - self.start, to - self.start);
        Self { start: from, end: to, number: self.number, content }
    }
}

/// The part of a piece that lies in a range that was asked for.
pub(super) struct Part<'a> {
    /// Where it starts in the volume.
    pub(super) start: u64,
    /// The first byte after it.
    pub(super) end: u64,
    /// How many bytes of the piece lie before it.
    skip: u64,
    /// The whole piece's content.
    content: &'a Content,
}

impl Part<'_> {
    /// Its content; shares the bytes.
    pub(super) fn content(&self) -> Content {
        slice(self.content, self.skip, self.skip + (self.end - self.start))
    }

    /// Whether it reads as zeroes because an update said so.
    pub(super) fn is_zero(&self) -> bool {
        matches!(self.content, Content::Zero(_))
    }
}

/// The pieces of one volume: they never overlap.
#[derive(Clone, Debug, Default)]
pub(super) struct PieceMap {
    /// Where a list begins → its pieces, sorted. None is empty. A list begins where the last piece
    /// of the one before ends or later, and where its own first piece starts or earlier.
    lists: BTreeMap<u64, Vec<Piece>>,
}

impl PieceMap {
    /// Lays `content` over what is there. `changed` hears of every piece that comes (`true`) or
    /// goes (`false`), by the number of its update; an empty content changes nothing.
    pub(super) fn insert(
        &mut self,
        start: u64,
        number: UpdateNumber,
        content: Content,
        changed: &mut impl FnMut(UpdateNumber, bool),
    ) {
        let end = start.saturating_add(content.length());
        if end == start {
            return;
        }
        changed(number, true);
        let new = Piece { start, end, number, content };
        let list = self.list_at(start);
        let at = list.partition_point(|piece| piece.end <= start);
        match list.get_mut(at) {
            Some(old) if old.start == start && old.end == end => {
                // The same blocks once more: most of what overlaps anything does so exactly.
                changed(std::mem::replace(old, new).number, false);
            }
            Some(next) if end <= next.start => {
                let split = put(list, at, new);
                self.lists.extend(split);
            }
            // Others lie under it, or begin in the next list.
            _ => {
                self.remove(start, end, UpdateNumber::MAX, changed);
                self.place(new);
            }
        }
    }

    /// Puts a piece where none is.
    fn place(&mut self, new: Piece) {
        let within = self.lists.range(new.start + 1..new.end).next().map(|(begin, _)| *begin);
        if let Some(list) = within.and_then(|begin| self.lists.remove(&begin)) {
            self.lists.insert(new.end, list);
        }
        let list = self.list_at(new.start);
        let at = list.partition_point(|piece| piece.end <= new.start);
        let split = put(list, at, new);
        self.lists.extend(split);
    }

    /// The list for a piece that starts there.
    fn list_at(&mut self, start: u64) -> &mut Vec<Piece> {
        let begin = self.lists.range(..=start).next_back().map_or(0, |(begin, _)| *begin);
        self.lists.entry(begin).or_default()
    }

    /// Takes out what updates up to `up_to` left in `start..end`; pieces that reach over an edge
    /// are cut there.
    pub(super) fn remove(
        &mut self,
        start: u64,
        end: u64,
        up_to: UpdateNumber,
        changed: &mut impl FnMut(UpdateNumber, bool),
    ) {
        if start >= end {
            return;
        }
        let mut emptied = Vec::new();
        for (begin, list) in self.lists.range_mut(..end).rev() {
            take_out(list, (start, end), up_to, changed);
            if list.is_empty() {
                emptied.push(*begin);
            }
            if *begin <= start {
                break;
            }
        }
        for begin in emptied {
            self.lists.remove(&begin);
        }
    }

    /// What lies in `start..end`, in order, cut to it.
    pub(super) fn within(&self, start: u64, end: u64) -> impl Iterator<Item = Part<'_>> + '_ {
        let first = self.lists.range(..=start).next_back().map_or(start, |(begin, _)| *begin);
        self.lists.range(first..end.max(first)).flat_map(move |(_, list)| {
            let from = list.partition_point(|piece| piece.end <= start);
            let list = list.get(from..).unwrap_or_default().iter();
            list.take_while(move |piece| piece.start < end && start < end).map(move |piece| Part {
                start: piece.start.max(start),
                end: piece.end.min(end),
                skip: start.saturating_sub(piece.start),
                content: &piece.content,
            })
        })
    }

    /// How many pieces there are.
    pub(super) fn count(&self) -> usize {
        self.lists.values().map(Vec::len).sum()
    }

    /// All pieces, in order.
    pub(super) fn into_pieces(self) -> impl Iterator<Item = Piece> {
        self.lists.into_values().flatten()
    }
}

/// Inserts a piece into a list, at its place in it; the rest of a list that was full, and where it
/// begins.
fn put(list: &mut Vec<Piece>, at: usize, new: Piece) -> Option<(u64, Vec<Piece>)> {
    if list.len() < LIST_MAX {
        if list.len() == list.capacity() {
            // From one on: where little lies together, a list is short.
            list.reserve_exact(list.len().max(1));
        }
        list.insert(at, new);
        return None;
    }
    // What comes in order leaves full lists behind.
    let middle = if at == list.len() { at } else { list.len() / 2 };
    let mut rest = list.split_off(middle);
    list.shrink_to(LIST_MAX);
    if at > middle || rest.is_empty() {
        rest.insert(at - middle, new);
    } else {
        list.insert(at, new);
    }
    rest.first().map(|piece| piece.start).map(|begin| (begin, rest))
}

/// Takes out of a list what updates up to `up_to` left in `start..end`, and puts back what of those
/// pieces lies outside.
fn take_out(
    list: &mut Vec<Piece>,
    (start, end): (u64, u64),
    up_to: UpdateNumber,
    changed: &mut impl FnMut(UpdateNumber, bool),
) {
    let first = list.partition_point(|piece| piece.end <= start);
    let hit = list.get(first..).unwrap_or_default();
    let hit = hit.get(..hit.partition_point(|piece| piece.start < end)).unwrap_or_default();
    if hit.iter().all(|piece| piece.number > up_to) {
        return;
    }
    let (after, mut kept) = (first + hit.len(), Vec::new());
    for piece in hit {
        if piece.number > up_to {
            kept.push(piece.clone());
            continue;
        }
        for (from, to) in [(piece.start, start), (end, piece.end)] {
            if from < to {
                changed(piece.number, true);
                kept.push(piece.part(from, to));
            }
        }
        changed(piece.number, false);
    }
    list.splice(first..after, kept);
    if list.len() < list.capacity() / 2 {
        list.shrink_to(list.len() + list.len() / 2);
    }
}

/// The part `from..to` of a content, counted from its beginning; shares the bytes.
fn slice(content: &Content, from: u64, to: u64) -> Content {
    match content {
        Content::Data(data) => Content::Data(data.slice(as_size(from)..as_size(to))),
        Content::Zero(_) => Content::Zero(to.saturating_sub(from)),
    }
}

/// A length in memory. A length that does not fit could not have been read in the first place.
pub(super) fn as_size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BYTES: u64 = 4096;

    /// What each byte is of, and how many pieces each update has.
    #[derive(Default)]
    struct Model {
        bytes: Vec<Option<u64>>,
        pieces: BTreeMap<u64, i64>,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert {
            start: u64,
            length: u64,
        },
        /// Up to so many updates before the newest.
        Remove {
            start: u64,
            length: u64,
            age: u64,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        let length = prop_oneof![9 => 1..4u64, 2 => 4..200u64, 1 => 200..BYTES];
        let place = (0..BYTES, length)
            .prop_map(|(start, length)| (start, length.min(BYTES - start).max(1)));
        prop_oneof![
            12 => place.clone().prop_map(|(start, length)| Step::Insert { start, length }),
            1 => (place, 0..300u64)
                .prop_map(|((start, length), age)| Step::Remove { start, length, age }),
        ]
    }

    fn content(number: u64, length: u64) -> Content {
        match number % 5 {
            0 => Content::Zero(length),
            _ => Content::Data(vec![number as u8; length as usize].into()),
        }
    }

    fn check_lists(map: &PieceMap) {
        let (mut before, mut last_begin) = (0, None);
        for (begin, list) in &map.lists {
            assert!(!list.is_empty() && last_begin < Some(*begin));
            assert!(before <= *begin && *begin <= list[0].start, "{map:?}");
            assert!(list.capacity() <= (2 * list.len() + 1).max(4), "{}", list.capacity());
            for piece in list {
                assert!(before <= piece.start && piece.start < piece.end);
                assert_eq!(piece.content.length(), piece.end - piece.start);
                before = piece.end;
            }
            last_begin = Some(*begin);
        }
    }

    fn run(map: &mut PieceMap, model: &mut Model, number: u64, step: &Step) {
        let counts = &mut model.pieces;
        let changed = &mut |of: UpdateNumber, came| {
            *counts.entry(of.value()).or_default() += if came { 1 } else { -1 };
        };
        match *step {
            Step::Insert { start, length } => {
                map.insert(start, UpdateNumber::new(number), content(number, length), changed);
                model.bytes[start as usize..(start + length) as usize].fill(Some(number));
            }
            Step::Remove { start, length, age } => {
                let up_to = number.saturating_sub(age);
                map.remove(start, start + length, UpdateNumber::new(up_to), changed);
                for byte in &mut model.bytes[start as usize..(start + length) as usize] {
                    *byte = byte.filter(|of| *of > up_to);
                }
            }
        }
    }

    fn bytes_of(map: &PieceMap) -> Vec<Option<u64>> {
        let mut bytes = vec![None; BYTES as usize];
        for piece in map.lists.values().flatten() {
            bytes[piece.start as usize..piece.end as usize].fill(Some(piece.number.value()));
        }
        bytes
    }

    proptest! {
        #[test]
        fn each_byte_is_of_the_newest_and_each_piece_is_counted(
            steps in prop::collection::vec(step(), 0..700),
            asked in prop::collection::vec((0..BYTES, 0..600u64), 8),
        ) {
            let mut map = PieceMap::default();
            let mut model = Model { bytes: vec![None; BYTES as usize], ..Model::default() };
            for (number, step) in steps.iter().enumerate() {
                run(&mut map, &mut model, number as u64, step);
                check_lists(&map);
            }
            prop_assert_eq!(bytes_of(&map), model.bytes.clone());
            for (start, length) in asked {
                let mut at = start;
                for part in map.within(start, start + length) {
                    prop_assert!(at <= part.start && part.start < part.end);
                    let of = model.bytes[part.start as usize].unwrap();
                    let same = content(of, part.end - part.start);
                    prop_assert_eq!(part.content(), same);
                    prop_assert!(model.bytes[at as usize..part.start as usize]
                        .iter().all(Option::is_none));
                    at = part.end;
                }
                let end = (start + length).min(BYTES) as usize;
                prop_assert!(model.bytes[(at as usize).min(end)..end].iter().all(Option::is_none));
            }
            let mut counts = BTreeMap::<u64, i64>::new();
            for piece in map.into_pieces() {
                *counts.entry(piece.number.value()).or_default() += 1;
            }
            model.pieces.retain(|_, count| *count != 0);
            prop_assert_eq!(counts, model.pieces);
        }
    }

    #[test]
    fn what_comes_in_order_fills_its_lists() {
        let mut map = PieceMap::default();
        for number in 0..10 * LIST_MAX as u64 {
            map.insert(number * 8, UpdateNumber::new(number), Content::Zero(8), &mut |_, _| ());
        }
        assert_eq!(map.lists.len(), 10);
    }
}
