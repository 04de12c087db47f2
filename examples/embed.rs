//! A replicated volume inside your own program: three sites, built part by part.
//!
//! `cargo run -p trefoil-examples --example embed`

use bytes::Bytes;
use std::sync::Arc;
use trefoil_backends::memory::MemoryDisk;
use trefoil_core::Result;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{Durability, Fence, GroupName, SiteName, VolumeName, VolumeSpec};
use trefoil_core::topology::ThreeSite;
use trefoil_examples::await_pairing;
use trefoil_site::{GroupConfig, GroupParts, Limits, PeerLink, Point, Site, Timing};
use trefoil_transports::memory::MemoryNetwork;

/// One of the three sites, all of which know each other by the same configuration.
fn site(name: &str, network: &MemoryNetwork) -> Result<Site> {
    let sites = ["a", "b", "c"].map(SiteName::new);
    let [a, b, c] = sites;
    let (a, b, c) = (a?, b?, c?);
    let own = SiteName::new(name)?;
    let volume = VolumeSpec { name: VolumeName::new("db0")?, size: 16 << 20 };
    let config = GroupConfig {
        group: GroupName::new("orders")?,
        volumes: vec![volume.clone()],
        topology: Arc::new(ThreeSite::new(a.clone(), b.clone(), c.clone())?),
        durability: Durability::Flush,
        fence: Fence::Status,
        on_full: OnFull::Map,
        limits: Limits::default(),
        timing: Timing::default(),
    };
    // Your own `JournalStore` and `BlockStore` go here; files are in `trefoil_backends::file`.
    let disk = MemoryDisk::new(64 << 20);
    let transport = Arc::new(network.transport());
    let others = [a, b, c].into_iter().filter(|other| *other != own);
    let link = |other: SiteName| {
        let address = other.to_string();
        (other, PeerLink::new(transport.clone(), address))
    };
    let parts = GroupParts {
        journal: Box::new(disk.journal()?),
        stores: vec![Arc::new(disk.volume(&volume.name, volume.size)?)],
        peers: others.map(link).collect(),
        arbiter: None,
        config,
    };
    Site::builder(own).listen(transport.clone(), name).group(parts).start()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let network = MemoryNetwork::new();
    let (a, b, c) = (site("a", &network)?, site("b", &network)?, site("c", &network)?);
    let group = a.group(&GroupName::new("orders")?)?;
    await_pairing(&group)?;

    let volume = group.volume(&VolumeName::new("db0")?)?;
    let update = volume.write_at(4096, Bytes::from_static(b"held by a and b")).await?;
    println!("update {update} is in the journals of a and b");
    volume.wait_for(update, c.name(), Point::Restored).await?;
    println!("update {update} is in the volume at {}", c.name());

    let there = c.group(group.name())?.volume(volume.name())?;
    let read = there.read_at(4096, 15).await?;
    println!("c reads: {}", String::from_utf8_lossy(&read));
    for site in [a, b, c] {
        site.stop()?;
    }
    Ok(())
}
