//! Which volumes a group has, at each point of its history.

use super::{UpdateNumber, VolumeId, VolumeName, VolumeSpec};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most volumes of a group, removed ones included.
pub const VOLUMES_MAX: usize = 1024;

/// The most changes of a group's volumes that a site remembers.
const CHANGES_MAX: usize = 256;

/// The most sets of volumes that are remembered of branches left behind.
const LEFT_BEHIND_MAX: usize = 16;

/// What an operator wants of a group's volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum VolumeChange {
    /// One more, which reads as zeroes.
    Add(VolumeSpec),
    /// One less: its index is never used again.
    Remove {
        /// Its name.
        name: VolumeName,
    },
    /// A larger one; what is new reads as zeroes.
    Grow {
        /// Its name.
        name: VolumeName,
        /// Its new size in bytes.
        size: u64,
    },
}

impl fmt::Display for VolumeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(volume) => write!(f, "add volume {} of {} bytes", volume.name, volume.size),
            Self::Remove { name } => write!(f, "remove volume {name}"),
            Self::Grow { name, size } => write!(f, "grow volume {name} to {size} bytes"),
        }
    }
}

impl VolumeSpec {
    /// What is left of a volume that was removed: its index, under its name, with no bytes.
    #[must_use]
    pub fn removed(&self) -> Self {
        Self { name: self.name.clone(), size: 0 }
    }

    /// Whether it was removed.
    pub fn is_removed(&self) -> bool {
        self.size == 0
    }
}

/// The volume of that name, which was not removed.
pub fn find_volume<'a>(
    volumes: &'a [VolumeSpec],
    name: &VolumeName,
) -> Option<(VolumeId, &'a VolumeSpec)> {
    let live = (0..).zip(volumes).filter(|(_, volume)| !volume.is_removed());
    let mut named = live.filter(|(_, volume)| volume.name == *name);
    named.next().map(|(index, volume)| (VolumeId(index), volume))
}

/// The volumes after `change`. Indices stay: what is added comes last.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a size that no volume has, or one that is
/// not larger; [`ErrorKind::Refused`](crate::ErrorKind::Refused) for a name that is taken or is not
/// there, for the last volume, and for one too many.
pub fn changed_volumes(volumes: &[VolumeSpec], change: &VolumeChange) -> Result<Vec<VolumeSpec>> {
    let mut changed = volumes.to_vec();
    let there = |name: &VolumeName| {
        let missing = || Error::refused(format!("{change}: the group has no volume {name}"));
        let (id, _) = find_volume(volumes, name).ok_or_else(missing)?;
        usize::try_from(id.0).map_err(|_| missing())
    };
    match change {
        VolumeChange::Add(volume) => {
            check_size(change, volume.size)?;
            if find_volume(volumes, &volume.name).is_some() {
                let why = format!("{change}: the group has a volume of that name already");
                return Err(Error::refused(why));
            }
            if volumes.len() >= VOLUMES_MAX {
                return Err(Error::refused(format!(
                    "{change}: a group has {VOLUMES_MAX} volumes at most, removed ones included"
                )));
            }
            changed.push(volume.clone());
        }
        VolumeChange::Remove { name } => {
            let at = there(name)?;
            if volumes.iter().filter(|volume| !volume.is_removed()).count() < 2 {
                return Err(Error::refused(format!("{change}: it is the group's last volume")));
            }
            if let Some(volume) = changed.get_mut(at) {
                *volume = volume.removed();
            }
        }
        VolumeChange::Grow { name, size } => {
            check_size(change, *size)?;
            let at = there(name)?;
            let Some(volume) = changed.get_mut(at) else { return Ok(changed) };
            if *size <= volume.size {
                let has = volume.size;
                return Err(Error::invalid(format!(
                    "{change}: it has {has} bytes, and volumes only grow"
                )));
            }
            volume.size = *size;
        }
    }
    Ok(changed)
}

fn check_size(change: &VolumeChange, size: u64) -> Result<()> {
    if size > 0 && size.is_multiple_of(512) && i64::try_from(size).is_ok() {
        return Ok(());
    }
    Err(Error::invalid(format!("{change}: a size is a positive multiple of 512 bytes")))
}

/// The volumes of a group, and since which update: part of the state at a number, as the blocks
/// are.
///
/// Never empty; ordered by number. What went before the first entry is not known, and taken to have
/// been as that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSets {
    sets: Vec<(UpdateNumber, Vec<VolumeSpec>)>,
    /// What was noted of a branch that is left behind: a place may still have such a size.
    left_behind: Vec<Vec<VolumeSpec>>,
}

impl VolumeSets {
    /// These, from the beginning.
    pub fn of(volumes: Vec<VolumeSpec>) -> Self {
        Self { sets: vec![(UpdateNumber::ZERO, volumes)], left_behind: Vec::new() }
    }

    fn entry(&self, number: UpdateNumber) -> Option<&(UpdateNumber, Vec<VolumeSpec>)> {
        let after = self.sets.partition_point(|(since, _)| *since <= number);
        self.sets.get(after.saturating_sub(1))
    }

    /// The volumes after update `number`.
    pub fn at(&self, number: UpdateNumber) -> &[VolumeSpec] {
        self.entry(number).map_or(&[], |(_, volumes)| volumes.as_slice())
    }

    /// The update since which they are so.
    pub fn since(&self, number: UpdateNumber) -> UpdateNumber {
        self.entry(number).map_or(UpdateNumber::ZERO, |(since, _)| *since)
    }

    /// The newest ones.
    pub fn current(&self) -> &[VolumeSpec] {
        self.at(UpdateNumber::MAX)
    }

    /// Update `number` makes them `volumes`; whatever was noted from there on is of another branch.
    pub fn note(&mut self, number: UpdateNumber, volumes: Vec<VolumeSpec>) {
        self.leave_behind(|since| since < number);
        self.sets.push((number, volumes));
        if self.sets.len() > CHANGES_MAX {
            self.sets.remove(0);
        }
    }

    /// A history that is shared up to `number` has these volumes there: what was noted beyond it is
    /// of another branch.
    pub fn adopt(&mut self, number: UpdateNumber, volumes: &[VolumeSpec]) {
        self.cut(number);
        if self.at(number) != volumes {
            self.note(number, volumes.to_vec());
        }
    }

    /// The history ends at `number` now.
    pub fn cut(&mut self, number: UpdateNumber) {
        let first = self.sets.first().cloned();
        self.leave_behind(|since| since <= number);
        if self.sets.is_empty() {
            self.sets.extend(first);
        }
    }

    fn leave_behind(&mut self, keep: impl Fn(UpdateNumber) -> bool) {
        let (kept, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.sets).into_iter().partition(|(since, _)| keep(*since));
        self.sets = kept;
        for (_, volumes) in gone {
            if !self.left_behind.contains(&volumes) {
                self.left_behind.push(volumes);
            }
        }
        let over = self.left_behind.len().saturating_sub(LEFT_BEHIND_MAX);
        self.left_behind.drain(..over);
    }

    /// Every size that the place of the volume of that index may have, if everything up to
    /// `checkpoint` was carried out there; the smallest first.
    pub fn sizes_of(&self, index: usize, checkpoint: UpdateNumber) -> Vec<u64> {
        let from = self.since(checkpoint);
        let sets = self.sets.iter().filter(|(since, _)| *since >= from).map(|(_, set)| set);
        let volumes = sets.chain(&self.left_behind).filter_map(|set| set.get(index));
        let mut sizes: Vec<u64> =
            volumes.map(|volume| volume.size).filter(|size| *size > 0).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(name: &str) -> VolumeName {
        VolumeName::new(name).unwrap()
    }

    fn volume(of: &str, size: u64) -> VolumeSpec {
        VolumeSpec { name: name(of), size }
    }

    fn n(value: u64) -> UpdateNumber {
        UpdateNumber::new(value)
    }

    #[test]
    fn a_volume_keeps_its_index_whatever_is_added_or_removed_beside_it() {
        let one = vec![volume("a", 512), volume("b", 512)];
        let two = changed_volumes(&one, &VolumeChange::Remove { name: name("a") }).unwrap();
        let three = changed_volumes(&two, &VolumeChange::Add(volume("a", 1024))).unwrap();
        assert_eq!(find_volume(&three, &name("b")).unwrap().0, VolumeId(1));
        assert_eq!(find_volume(&three, &name("a")).unwrap().0, VolumeId(2), "never used again");
    }

    #[test]
    fn what_no_volume_can_be_is_refused_by_name() {
        let volumes = vec![volume("a", 1024)];
        for (change, words) in [
            (VolumeChange::Grow { name: name("a"), size: 512 }, "volumes only grow"),
            (VolumeChange::Grow { name: name("b"), size: 2048 }, "no volume b"),
            (VolumeChange::Add(volume("a", 512)), "of that name already"),
            (VolumeChange::Add(volume("b", 100)), "multiple of 512"),
            (VolumeChange::Remove { name: name("a") }, "last volume"),
        ] {
            let error = changed_volumes(&volumes, &change).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn the_volumes_are_those_of_the_number() {
        let mut sets = VolumeSets::of(vec![volume("a", 512)]);
        sets.note(n(10), vec![volume("a", 1024)]);
        sets.note(n(20), vec![volume("a", 2048)]);
        assert_eq!((sets.at(n(9))[0].size, sets.at(n(10))[0].size), (512, 1024));
        assert_eq!(sets.sizes_of(0, n(0)), [512, 1024, 2048]);
        assert_eq!(sets.sizes_of(0, n(12)), [1024, 2048], "the first is not there any more");
        sets.cut(n(15));
        assert_eq!((sets.current()[0].size, sets.since(n(99))), (1024, n(10)));
        assert_eq!(sets.sizes_of(0, n(15)), [1024, 2048], "it may have been carried out");
        sets.note(n(12), vec![volume("a", 4096)]);
        assert_eq!(sets.current()[0].size, 4096);
        sets.adopt(n(11), &[volume("a", 1024)]);
        assert_eq!(sets.current()[0].size, 1024, "of another branch");
    }

    proptest! {
        /// Whoever takes the same changes in the same order has the same volumes at every number,
        /// wherever it was cut and went on again.
        #[test]
        fn a_cut_and_the_same_changes_again_lead_to_the_same(
            steps in prop::collection::vec((1_u64..5, 1_u64..9), 1..20), cut in 0_u64..60
        ) {
            let mut number = 0;
            let steps: Vec<(u64, u64)> = steps
                .into_iter()
                .map(|(further, blocks)| {
                    number += further;
                    (number, blocks * 512)
                })
                .collect();
            let apply = |sets: &mut VolumeSets, from: u64| {
                for (at, size) in steps.iter().filter(|(at, _)| *at > from) {
                    sets.note(n(*at), vec![volume("a", *size)]);
                }
            };
            let mut whole = VolumeSets::of(vec![volume("a", 512)]);
            apply(&mut whole, 0);
            let mut again = whole.clone();
            again.cut(n(cut));
            for (at, _) in steps.iter().filter(|(at, _)| *at <= cut) {
                prop_assert_eq!(again.at(n(*at)), whole.at(n(*at)));
            }
            apply(&mut again, cut);
            prop_assert_eq!(again.sets, whole.sets);
        }
    }
}
