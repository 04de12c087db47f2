//! What a site said of itself, by which another one notices that it came back as it was before.

use super::{Generation, Incarnation, Position};
use serde::{Deserialize, Serialize};

/// How far a site had come by its own word: others remember it.
///
/// Within an incarnation what is durable does not become less but by following a newer reign,
/// which is promised first. So a site that comes back with less, and without such a promise, was
/// set back: its directory is an older copy of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The incarnation in which it began with nothing: it stays for as long as its media do, in
    /// whatever incarnation it goes on.
    pub born: Incarnation,
    /// In which incarnation.
    pub incarnation: Incarnation,
    /// The newest generation that it had promised.
    pub promised: Generation,
    /// The newest position that was durable; its chain does not count.
    pub durable: Position,
}

impl Claim {
    /// Whether a site that says this now, and said `before` earlier, was set back meanwhile.
    pub fn is_set_back_from(&self, before: &Self) -> bool {
        self.incarnation == before.incarnation
            && self.durable.rank() < before.durable.rank()
            && self.promised <= before.durable.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UpdateNumber;

    fn claim(incarnation: u64, promised: u64, (generation, number): (u64, u64)) -> Claim {
        let of = |count| Generation { count, id: 7 };
        let number = UpdateNumber::new(number);
        let durable = Position { generation: of(generation), number, ..Position::START };
        let (born, incarnation) = (Incarnation(1), Incarnation(incarnation));
        Claim { born, incarnation, promised: of(promised), durable }
    }

    #[test]
    fn less_of_the_same_incarnation_without_a_newer_promise_is_set_back() {
        let before = claim(3, 2, (2, 300));
        assert!(claim(3, 2, (2, 200)).is_set_back_from(&before));
        assert!(claim(3, 1, (1, 100)).is_set_back_from(&before));
        assert!(!claim(3, 2, (2, 300)).is_set_back_from(&before), "as it was");
        assert!(!claim(3, 2, (2, 301)).is_set_back_from(&before), "it went on");
        assert!(!claim(4, 2, (2, 200)).is_set_back_from(&before), "it knows: power loss");
        assert!(!claim(3, 3, (2, 200)).is_set_back_from(&before), "a rewind, under a newer reign");
        assert!(!claim(3, 3, (3, 200)).is_set_back_from(&before), "the newer reign's own");
    }
}
