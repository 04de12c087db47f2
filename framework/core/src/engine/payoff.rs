//! Whether packing pays on a link: tried where it does, only sampled where it does not.
//!
//! Two things can be wrong with packing, and each is measured where it shows:
//! - *Size*: the data does not become smaller (it is encrypted or packed already). A batch that is
//!   more than 90 % of what it was goes as it is: for a tenth less on the wire it is not worth that
//!   the receiver unpacks it.
//! - *Time*: the link takes data faster than a core packs it. This is only asked while a batch
//!   waits behind the other: only then does the time of a batch decide how much comes through. (A
//!   link with room to spare is not slowed down by packing, and bytes are saved on it.) With the
//!   stages one behind the other, a packed batch takes the time for sending it plus the time for
//!   which the sender starved because its batch was still being packed; a plain one would have
//!   taken the time for sending it, times raw by packed size. Packing pays while the first sum is
//!   the smaller. No rate of the link needs to be known, and a rate limit counts as a slow link, as
//!   it should.
//!
//! After [`MISSES_MAX`] misses in a row the leg doubts: it sends batches as they are, and every so
//! many batches tries a sample. A sample that pays packs its whole batch and ends the doubt; one
//! that does not doubles the distance to the next, up to [`DISTANCE_MAX`]. So data that is never
//! worth it costs a sample of 64 KiB in 64 batches, and data that becomes compressible is noticed
//! within 64 batches.

/// Misses in a row after which packing is in doubt.
pub const MISSES_MAX: u32 = 4;

/// Batches from one sample to the next, at first.
pub const DISTANCE_MIN: u32 = 4;

/// The same at the most.
pub const DISTANCE_MAX: u32 = 64;

/// Batches that are looked at together for the time that they took.
const TIMED_BATCHES: u32 = 8;

/// Hits in a row after which the past is forgiven.
const HITS_TO_FORGIVE: u32 = 16;

/// What to do with the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Pack it.
    Whole,
    /// Pack a sample of it first; all of it if that pays.
    Sample,
    /// Send it as it is.
    Not,
}

/// How a packed batch went out while the next one waited behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Its bytes before and after packing.
    pub raw: u64,
    /// After.
    pub wire: u64,
    /// How long the sender had nothing to do but to wait for it, in microseconds.
    pub starved_us: u64,
    /// How long it took to send it, in microseconds.
    pub sending_us: u64,
}

/// Whether packing pays on one link.
#[derive(Debug)]
pub struct Payoff {
    misses: u32,
    hits: u32,
    /// In doubt: batches until the next sample.
    wait: Option<u32>,
    distance: u32,
    timed: Passage,
    timed_batches: u32,
}

impl Default for Payoff {
    fn default() -> Self {
        let (misses, hits, wait, timed_batches) = (0, 0, None, 0);
        let (distance, timed) = (DISTANCE_MIN, Passage::default());
        Self { misses, hits, wait, distance, timed, timed_batches }
    }
}

impl Payoff {
    /// What to do with the next batch.
    pub fn attempt(&mut self) -> Attempt {
        match &mut self.wait {
            None => Attempt::Whole,
            Some(0) => {
                self.wait = Some(self.distance);
                Attempt::Sample
            }
            Some(left) => {
                *left -= 1;
                Attempt::Not
            }
        }
    }

    /// A batch, or a sample of one, of `raw` bytes became `packed` bytes.
    pub fn tried(&mut self, raw: u64, packed: u64) {
        if !pays(raw, packed) {
            return self.missed();
        }
        self.hits += 1;
        if self.wait.take().is_some() {
            // One more miss, and it is in doubt again.
            self.misses = MISSES_MAX - 1;
        }
        if self.hits >= HITS_TO_FORGIVE {
            self.misses = 0;
            self.distance = DISTANCE_MIN;
        }
    }

    /// A packed batch was sent while the next one waited.
    pub fn sent(&mut self, passage: Passage) {
        let Passage { raw, wire, starved_us, sending_us } = passage;
        self.timed.raw += raw;
        self.timed.wire += wire;
        self.timed.starved_us += starved_us;
        self.timed.sending_us += sending_us;
        self.timed_batches += 1;
        if self.timed_batches < TIMED_BATCHES {
            return;
        }
        let Passage { raw, wire, starved_us, sending_us } = std::mem::take(&mut self.timed);
        self.timed_batches = 0;
        let packed = u128::from(starved_us + sending_us) * u128::from(wire);
        let plain = u128::from(sending_us) * u128::from(raw);
        if packed > plain {
            self.misses = MISSES_MAX - 1;
            self.missed();
        }
    }

    fn missed(&mut self) {
        self.hits = 0;
        self.misses += 1;
        if self.misses < MISSES_MAX {
            return;
        }
        self.distance = match self.wait {
            // The first doubt; batches that were begun before it may still miss.
            None if self.misses == MISSES_MAX && self.distance == DISTANCE_MIN => DISTANCE_MIN,
            _ => (self.distance * 2).min(DISTANCE_MAX),
        };
        self.wait = Some(self.distance);
        self.misses = MISSES_MAX;
    }
}

/// Whether `packed` bytes instead of `raw` are worth it: at most 90 %.
pub fn pays(raw: u64, packed: u64) -> bool {
    packed.saturating_mul(10) <= raw.saturating_mul(9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: u64 = 1 << 20;

    /// What the next `count` batches cost when each becomes `packed`: attempts of each kind.
    fn run(payoff: &mut Payoff, count: u32, packed: u64) -> (u32, u32, u32) {
        let (mut whole, mut sample, mut not) = (0, 0, 0);
        for _ in 0..count {
            match payoff.attempt() {
                Attempt::Whole => whole += 1,
                Attempt::Sample => sample += 1,
                Attempt::Not => {
                    not += 1;
                    continue;
                }
            }
            payoff.tried(RAW, packed);
        }
        (whole, sample, not)
    }

    #[test]
    fn nine_tenths_pay_and_a_byte_more_does_not() {
        assert!(pays(1000, 900));
        assert!(!pays(1000, 901));
        assert!(!pays(0, 1));
    }

    #[test]
    fn data_that_never_pays_costs_a_sample_now_and_then() {
        let mut payoff = Payoff::default();
        let (whole, sample, _) = run(&mut payoff, 1000, RAW);
        assert_eq!(whole, MISSES_MAX);
        assert!((10..25).contains(&sample), "{sample}");
    }

    #[test]
    fn data_that_becomes_compressible_is_noticed() {
        let mut payoff = Payoff::default();
        run(&mut payoff, 1000, RAW);
        let (whole, sample, not) = run(&mut payoff, 200, RAW / 3);
        assert_eq!(sample, 1);
        assert!(not <= DISTANCE_MAX && whole >= 200 - 1 - DISTANCE_MAX, "{whole} {not}");
        assert_eq!(run(&mut payoff, 4, RAW), (4, 0, 0), "the past is forgiven");
    }

    #[test]
    fn a_link_that_is_faster_than_the_packer_gets_plain_batches() {
        let mut payoff = Payoff::default();
        let slow = Passage { raw: RAW, wire: RAW / 2, starved_us: 4000, sending_us: 3000 };
        for _ in 0..TIMED_BATCHES {
            assert_eq!(payoff.attempt(), Attempt::Whole);
            payoff.tried(RAW, RAW / 2);
            payoff.sent(slow);
        }
        assert_eq!(payoff.attempt(), Attempt::Not);
    }

    #[test]
    fn a_link_that_is_slower_than_the_packer_gets_packed_ones() {
        let mut payoff = Payoff::default();
        let good = Passage { raw: RAW, wire: RAW / 2, starved_us: 2000, sending_us: 3000 };
        for _ in 0..100 {
            assert_eq!(payoff.attempt(), Attempt::Whole);
            payoff.tried(RAW, RAW / 2);
            payoff.sent(good);
        }
    }
}
