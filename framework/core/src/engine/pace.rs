//! How fast a leg may send, and how fast it does: pure, with the time passed in.

/// A bucket of bytes that fills at a rate. What is sent may take more than is in it: then the next
/// waits until the debt is paid, so that the long-run rate holds whatever the size of a batch.
#[derive(Debug, Default)]
pub struct Bucket {
    rate: Option<u64>,
    /// Bytes times a million, so that slow rates lose nothing by rounding.
    level: i128,
    at_us: u64,
}

/// The shortest time of its rate that a full bucket holds, in microseconds. It covers the rhythm in
/// which a leg looks again.
const BURST_US: u64 = 50_000;

const MICRO: i128 = 1_000_000;

impl Bucket {
    /// From now on so many bytes a second; `None`: as many as come. A debt stays a debt, and is
    /// paid at the new rate.
    pub fn set_rate(&mut self, rate: Option<u64>, now_us: u64) {
        if self.rate == rate {
            return;
        }
        self.fill(now_us);
        if self.rate.is_none() || rate.is_none() {
            self.level = 0;
        }
        self.rate = rate;
    }

    fn fill(&mut self, now_us: u64) {
        let Some(rate) = self.rate else {
            self.at_us = now_us;
            return;
        };
        let passed = now_us.saturating_sub(self.at_us);
        let full = i128::from(rate) * i128::from(BURST_US);
        self.level = (self.level + i128::from(rate) * i128::from(passed)).min(full);
        self.at_us = now_us.max(self.at_us);
    }

    /// How long to wait before anything may be sent, in microseconds.
    pub fn wait_us(&mut self, now_us: u64) -> u64 {
        self.fill(now_us);
        match self.rate {
            Some(rate) if self.level < 0 => {
                let rate = i128::from(rate.max(1));
                u64::try_from((-self.level + rate - 1) / rate).unwrap_or(u64::MAX)
            }
            _ => 0,
        }
    }

    /// Bytes were sent.
    pub fn take(&mut self, bytes: u64) {
        if self.rate.is_some() {
            self.level -= i128::from(bytes) * MICRO;
        }
    }
}

/// How fast a link takes data, measured while something waits to be sent: only then does the link,
/// and not the demand, decide.
#[derive(Debug, Default)]
pub struct Meter {
    bytes: u64,
    busy_us: u64,
    rate: Option<u64>,
}

/// How much sending is looked at together, in microseconds: long enough that the buffers below,
/// which take the first bytes at once, do not count for much.
const METER_US: u64 = 200_000;

impl Meter {
    /// `bytes` took `took_us` to send; `waiting`: the next batch waited already.
    pub fn sent(&mut self, bytes: u64, took_us: u64, waiting: bool) {
        if !waiting {
            self.bytes = 0;
            self.busy_us = 0;
            return;
        }
        self.bytes += bytes;
        self.busy_us += took_us;
        if self.busy_us >= METER_US {
            let now = u128::from(self.bytes) * 1_000_000 / u128::from(self.busy_us);
            let now = u64::try_from(now).unwrap_or(u64::MAX);
            // Half old, half new: a link that changes is known after a second.
            self.rate = Some(self.rate.map_or(now, |old| old / 2 + now / 2).max(1));
            self.bytes = 0;
            self.busy_us = 0;
        }
    }

    /// Bytes a second; `None` while the link has never been the bottleneck for long enough.
    pub fn rate(&self) -> Option<u64> {
        self.rate
    }
}

/// How many bytes go into one batch: not more than `most`, than 100 ms of the link at `rate` bytes
/// a second (after a cut, what was under way is sent again; and what comes behind a batch waits
/// for it), or than a sixteenth of `credit` (a batch counts only once it is there as a whole, so
/// larger ones leave the window half empty), but never less than `least`.
pub fn batch_bytes(most: u64, rate: Option<u64>, credit: u64, least: u64) -> u64 {
    let by_rate = rate.map_or(u64::MAX, |rate| rate / 10);
    most.min(by_rate).min(credit / 16).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_run_rate_holds_whatever_the_size_of_a_batch() {
        for size in [1u64, 4096, 4 << 20] {
            let (rate, mut now, mut sent) = (1_000_000, 5_000_000, 0);
            let mut bucket = Bucket::default();
            bucket.set_rate(Some(rate), now);
            let begun = now;
            while sent < 20_000_000.max(size * 8) && now < begun + 100_000_000 {
                now += bucket.wait_us(now);
                bucket.take(size);
                sent += size;
            }
            now += bucket.wait_us(now);
            let expected = (now - begun) as f64 * rate as f64 / 1e6;
            assert!((sent as f64 / expected - 1.0).abs() < 0.01, "{size}: {sent} {expected}");
        }
    }

    #[test]
    fn an_idle_bucket_holds_a_moment_and_not_more() {
        let mut bucket = Bucket::default();
        bucket.set_rate(Some(1_000_000), 0);
        let mut free = 0;
        while bucket.wait_us(3_600_000_000) == 0 {
            bucket.take(1000);
            free += 1000;
        }
        assert!((50_000..=51_000).contains(&free), "{free}");
    }

    #[test]
    fn a_debt_is_paid_at_the_new_rate() {
        let mut bucket = Bucket::default();
        bucket.set_rate(Some(1000), 0);
        bucket.take(1_000_000);
        assert_eq!(bucket.wait_us(0), 1_000_000_000);
        bucket.set_rate(Some(1_000_000), 0);
        assert_eq!(bucket.wait_us(0), 1_000_000);
        bucket.set_rate(None, 0);
        assert_eq!(bucket.wait_us(0), 0);
    }

    #[test]
    fn a_meter_counts_only_while_something_waits() {
        let mut meter = Meter::default();
        for _ in 0..100 {
            meter.sent(1 << 20, 10_000, false);
        }
        assert_eq!(meter.rate(), None, "the demand decided, not the link");
        for _ in 0..100 {
            meter.sent(1 << 20, 10_000, true);
        }
        let rate = meter.rate().unwrap();
        assert!((100_000_000..110_000_000).contains(&rate), "{rate}");
    }

    #[test]
    fn a_batch_is_a_tenth_of_a_second_and_a_sixteenth_of_the_window() {
        assert_eq!(batch_bytes(4 << 20, None, 32 << 20, 1 << 16), 2 << 20);
        assert_eq!(batch_bytes(4 << 20, Some(1_250_000), 32 << 20, 1 << 16), 125_000);
        assert_eq!(batch_bytes(4 << 20, Some(1000), 32 << 20, 1 << 16), 1 << 16);
        assert_eq!(batch_bytes(128 << 10, None, 32 << 20, 1 << 16), 128 << 10);
    }
}
