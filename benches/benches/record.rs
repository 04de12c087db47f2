//! What one record costs: encode (checksums and chain), check, decode.
//!
//! `cargo bench -p trefoil-benches --bench record`

use bytes::Bytes;
use std::hint::black_box;
use std::time::Instant;
use trefoil_benches::median;
use trefoil_core::Result;
use trefoil_core::model::{Position, VolumeId};
use trefoil_core::record::Record;

const COUNT: u32 = 20_000;

/// Nanoseconds per call of `work`, the median of seven rounds.
fn time(mut work: impl FnMut()) -> f64 {
    median(7, || {
        let begun = Instant::now();
        for _ in 0..COUNT {
            work();
        }
        begun.elapsed().as_nanos() as f64 / f64::from(COUNT)
    })
}

fn main() -> Result<()> {
    let data = Bytes::from(vec![0xa5; 4096]);
    let record = Record::write(&Position::START, 1, VolumeId(0), 0, data.clone())?;
    let encoded = record.to_bytes();
    let copy = time(|| drop(black_box(data.to_vec())));
    let encode = time(|| {
        let _ = black_box(Record::write(&Position::START, 1, VolumeId(0), 0, data.clone()));
    });
    let decode = time(|| drop(black_box(Record::decode(&encoded))));
    let follows = time(|| drop(black_box(record.check_follows(&Position::START))));
    println!("4 KiB record            ns   x copy");
    for (name, ns) in
        [("copy", copy), ("encode", encode), ("decode", decode), ("check that it follows", follows)]
    {
        println!("{name:<22} {ns:>4.0} {:>6.1}", ns / copy);
    }
    Ok(())
}
