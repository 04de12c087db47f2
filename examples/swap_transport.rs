//! The same sites over another transport: one word of the configuration changes.
//!
//! `cargo run -p trefoil-examples --example swap_transport`

use bytes::Bytes;
use trefoil_core::Result;
use trefoil_core::model::{GroupName, SiteName, VolumeName};
use trefoil_examples::{await_pairing, config, registry, start};
use trefoil_site::Point;

/// Three free ports in a row, near enough for an example.
const PORT: u16 = 27_447;

async fn write_over(transport: &str) -> Result<()> {
    let (text, registry) = (config(transport, PORT), registry());
    let mut sites = Vec::new();
    for name in ["a", "b", "c"] {
        sites.push(start(&text, name, &registry)?);
    }
    let Some(a) = sites.first() else { return Ok(()) };
    let group = a.group(&GroupName::new("orders")?)?;
    await_pairing(&group)?;
    let volume = group.volume(&VolumeName::new("db0")?)?;
    let update = volume.write_at(0, Bytes::from_static(b"the same story")).await?;
    volume.wait_for(update, &SiteName::new("c")?, Point::Restored).await?;
    println!("transport = \"{transport}\": update {update} reached a, b and c");
    for site in sites {
        site.stop()?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    write_over("memory").await?;
    write_over("tcp").await
}
