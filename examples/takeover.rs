//! Site A is lost; B takes over, and C follows B by fetching only what it lacks.
//!
//! `cargo run -p trefoil-examples --example takeover`

use bytes::Bytes;
use trefoil_core::Result;
use trefoil_core::model::{GroupName, SiteName, VolumeName};
use trefoil_examples::{await_pairing, config, registry, start};
use trefoil_site::{Point, TakeoverOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (text, registry) = (config("memory", 27_447), registry());
    let (a, b, c) = (
        start(&text, "a", &registry)?,
        start(&text, "b", &registry)?,
        start(&text, "c", &registry)?,
    );
    let (orders, db0) = (GroupName::new("orders")?, VolumeName::new("db0")?);
    await_pairing(&a.group(&orders)?)?;
    let volume = a.group(&orders)?.volume(&db0)?;
    let update = volume.write_at(0, Bytes::from_static(b"answered by a")).await?;
    println!("a answered update {update}");

    a.kill();
    let options = TakeoverOptions { accept_loss: false, primary_is_fenced: true };
    let certificate = b.group(&orders)?.takeover(options).await?;
    println!("b leads generation {}: {}", certificate.generation, certificate.verdict);

    let volume = b.group(&orders)?.volume(&db0)?;
    println!("b reads: {}", String::from_utf8_lossy(&volume.read_at(0, 13).await?));
    let update = volume.write_at(4096, Bytes::from_static(b"answered by b")).await?;
    volume.wait_for(update, &SiteName::new("c")?, Point::Restored).await?;
    let status = c.group(&orders)?.status();
    if let Some(plan) = status.follows.as_ref().and_then(|follows| follows.plan.as_ref()) {
        println!("c followed by {}: {}", plan.kind, plan.why);
    }
    b.stop()?;
    c.stop()
}
