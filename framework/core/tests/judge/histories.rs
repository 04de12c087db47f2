//! Histories that part, and what a source and a follower say of theirs.

use trefoil_core::engine::judge::{FollowerView, SourceView};
use trefoil_core::model::{Generation, Lineage, Position, SiteName, UpdateNumber};

pub fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

pub fn number(value: u64) -> UpdateNumber {
    UpdateNumber::new(value)
}

pub fn generation(count: u64, id: u64) -> Generation {
    Generation { count, id }
}

/// A history: for each update, from number 1 on, the reign that made it. Its chains are made of
/// all that came before, as real ones are.
#[derive(Clone, Debug, PartialEq)]
pub struct History(pub Vec<Generation>);

impl History {
    /// The history of these reigns: (generation, how many updates).
    pub fn of(reigns: &[(Generation, u64)]) -> Self {
        let each = |(generation, count): &(Generation, u64)| vec![*generation; *count as usize];
        Self(reigns.iter().flat_map(each).collect())
    }

    pub fn newest(&self) -> u64 {
        self.0.len() as u64
    }

    pub fn prefix(&self, length: u64) -> Self {
        Self(self.0[..length as usize].to_vec())
    }

    pub fn at(&self, at: u64) -> Position {
        let mut position = Position::START;
        for generation in &self.0[..at as usize] {
            let chain = position.chain.after(&generation.id.to_le_bytes());
            position = Position { generation: *generation, number: position.number.next(), chain };
        }
        position
    }

    pub fn lineage(&self) -> Lineage {
        let mut lineage = Lineage::new();
        for (index, generation) in self.0.iter().enumerate() {
            if lineage.last().map(|reign| reign.generation) != Some(*generation) {
                lineage.begin(*generation, number(index as u64 + 1)).unwrap();
            }
        }
        lineage
    }

    pub fn source(&self, base: u64, follower: &FollowerView) -> SourceView {
        let newest = follower.newest.number.value();
        SourceView {
            site: site("b"),
            generation: generation(9, 9),
            lineage: self.lineage(),
            newest: number(self.newest()),
            base: self.at(base),
            chain_at_follower: (base <= newest && newest <= self.newest())
                .then(|| self.at(newest).chain),
            fork: self.fork_with(follower, base),
            consented: Generation::NONE,
            copy_base: None,
            map: None,
            debt: false,
            owing: None,
            bytes_between: Some(4096),
            volume_bytes: 1 << 20,
        }
    }

    /// Where the follower's history leaves this one, if the journal reaches back so far.
    pub fn fork_with(&self, follower: &FollowerView, base: u64) -> Option<Position> {
        let (newest, theirs) = (number(self.newest()), follower.newest.number);
        let fork = self.lineage().fork(newest, &follower.lineage, theirs).value();
        (fork >= base && fork <= self.newest()).then(|| self.at(fork))
    }

    pub fn follower(&self) -> FollowerView {
        FollowerView {
            site: site("c"),
            lineage: self.lineage(),
            newest: self.at(self.newest()),
            base: number(0),
            debt: None,
            maps_from: None,
            discards_tail: false,
            blank: false,
            holds: false,
        }
    }
}

/// A history of two reigns, 1 to 4 and 5 to 9.
pub fn history() -> History {
    History::of(&[(generation(1, 11), 4), (generation(2, 22), 5)])
}
