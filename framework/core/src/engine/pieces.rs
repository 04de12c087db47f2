//! What a stretch of one volume becomes, piece by piece; the newest piece wins.

use crate::model::UpdateNumber;
use crate::port::Content;
use std::collections::BTreeMap;

/// A run of bytes that one update left behind.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// The first byte after it.
    pub(super) end: u64,
    /// The update it comes from; a cut piece keeps it.
    pub(super) number: UpdateNumber,
    /// What the bytes are.
    pub(super) content: Content,
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
    /// Start → piece.
    pieces: BTreeMap<u64, Piece>,
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
        let new = Piece { end, number, content };
        let below = self.pieces.range_mut(..end).next_back();
        match below.filter(|(_, piece)| piece.end > start) {
            Some((key, piece)) if *key == start && piece.end == end => {
                // The same blocks once more: most of what overlaps anything does so exactly.
                let old = std::mem::replace(piece, new);
                changed(old.number, false);
                changed(number, true);
                return;
            }
            Some(_) => self.remove(start, end, UpdateNumber::MAX, changed),
            None => {}
        }
        changed(number, true);
        self.pieces.insert(start, new);
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
        let mut below = end;
        while let Some((key, piece)) = self.pieces.range(..below).next_back() {
            let key = *key;
            if piece.end <= start {
                break;
            }
            below = key;
            if piece.number > up_to {
                continue;
            }
            if let Some(piece) = self.pieces.remove(&key) {
                self.keep_edges(key, piece, (start, end), changed);
            }
        }
    }

    /// Puts back what of a removed piece lies outside the cut.
    fn keep_edges(
        &mut self,
        at: u64,
        piece: Piece,
        (start, end): (u64, u64),
        changed: &mut impl FnMut(UpdateNumber, bool),
    ) {
        let mut keep = |from: u64, to: u64| {
            if from < to {
                changed(piece.number, true);
                let content = slice(&piece.content, from - at, to - at);
                self.pieces.insert(from, Piece { end: to, number: piece.number, content });
            }
        };
        keep(at, piece.end.min(start));
        keep(end.max(at), piece.end);
        changed(piece.number, false);
    }

    /// What lies in `start..end`, in order, cut to it.
    pub(super) fn within(&self, start: u64, end: u64) -> impl Iterator<Item = Part<'_>> + '_ {
        let first = match self.pieces.range(..=start).next_back() {
            Some((key, piece)) if piece.end > start => *key,
            _ => start,
        };
        self.pieces
            .range(first..end.max(first))
            .map(move |(key, piece)| Part {
                start: (*key).max(start),
                end: piece.end.min(end),
                skip: start.saturating_sub(*key),
                content: &piece.content,
            })
            .filter(|part| part.start < part.end)
    }

    /// All pieces, in order, with where they start.
    pub(super) fn into_pieces(self) -> impl Iterator<Item = (u64, Piece)> {
        self.pieces.into_iter()
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
