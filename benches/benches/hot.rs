//! The functions that every write passes, in nanoseconds a write, the median of seven rounds. With
//! a name and a count as words it does one of them so often and says nothing: that is what
//! `scripts/counted.sh` counts the instructions of.
//!
//! `cargo bench -p trefoil-benches --bench hot`

use std::time::Instant;
use trefoil_benches::hot::{Case, cases};
use trefoil_benches::median;
use trefoil_core::{Error, Result};

/// Writes of one round.
const WRITES: u64 = 20_000;

/// The name of this function marks what is counted.
#[inline(never)]
fn counted_region(case: &mut Case, count: u64) {
    for _ in 0..count {
        (case.call)();
    }
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let mut all = cases()?;
    if let [name, count] = &words[..] {
        let count = count.parse().map_err(|_| Error::invalid(format!("count: `{count}`")))?;
        let case = all.iter_mut().find(|case| case.name == name);
        let case = case.ok_or_else(|| Error::invalid(format!("no case is named `{name}`")))?;
        // What is done once (tables, caches of the allocator) is done before it counts.
        (case.call)();
        counted_region(case, count);
        return Ok(());
    }
    for case in &mut all {
        let calls = WRITES / case.writes;
        let ns = median(7, || {
            let begun = Instant::now();
            counted_region(case, calls);
            begun.elapsed().as_nanos() as f64 / (calls * case.writes) as f64
        });
        println!("{:<28} {ns:>8.1} ns a write", case.name);
    }
    Ok(())
}
