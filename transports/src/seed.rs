//! Randomness that is the same for the same seed, on every machine and in every version.
//!
//! The generator is `SplitMix64` (Steele, Lea, Flood: *Fast splittable pseudorandom number
//! generators*, 2014). It is written here rather than taken from a crate because the meaning of
//! a recorded seed must not change with an upgrade.

use std::time::Duration;

/// A stream of pseudo-random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for the part numbered `part`, so that one part's use of randomness
    /// does not shift another's.
    pub(crate) fn part(&self, part: u64) -> Self {
        let mut mixed = Self(self.0 ^ part.wrapping_mul(0xD1B5_4A32_D192_ED03));
        Self(mixed.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `most`, both included.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        match most.checked_add(1) {
            Some(count) => self.next() % count,
            None => self.next(),
        }
    }

    /// A duration from `least` to `most`, both included, in microseconds.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_micros();
        let span = u64::try_from(span).unwrap_or(u64::MAX);
        least + Duration::from_micros(self.up_to(span))
    }

    /// A number in (0, 1], for waiting times.
    pub(crate) fn fraction(&mut self) -> f64 {
        let bits = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX);
        (f64::from(bits) + 1.0) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_numbers_for_ever() {
        // The first outputs of the published reference implementation for the seed 1234567.
        let mut seed = Seed::new(1_234_567);
        assert_eq!(seed.next(), 6_457_827_717_110_365_317);
        assert_eq!(seed.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_range_is_kept_and_its_ends_are_reached() {
        let mut seed = Seed::new(7);
        let (least, most) = (Duration::from_micros(3), Duration::from_micros(5));
        let drawn: Vec<_> = (0..200).map(|_| seed.between(least, most)).collect();
        assert!(drawn.iter().all(|d| (least..=most).contains(d)));
        assert!(drawn.contains(&least) && drawn.contains(&most));
    }
}
