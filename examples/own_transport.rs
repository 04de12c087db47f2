//! A transport of one's own: Unix sockets, for sites on one host, registered by the word `unix`.
//!
//! `cargo run -p trefoil-examples --example own_transport`

use bytes::Bytes;
use std::sync::Arc;
use trefoil_core::model::{GroupName, SiteName, VolumeName};
use trefoil_core::port::Transport;
use trefoil_core::{Error, Result};
use trefoil_examples::unix::UnixTransport;
use trefoil_examples::{await_pairing, config, registry, start};
use trefoil_site::Point;
use trefoil_site::registry::{Inside, TransportOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let place = std::env::temp_dir().join(format!("trefoil-unix-{}", std::process::id()));
    std::fs::create_dir(&place).map_err(|error| Error::io("make directory", error))?;
    let dir = place.clone();
    let open = move |_: &TransportOptions| -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(UnixTransport { dir: dir.clone() }))
    };
    // The frames do not leave the host, so the sites need no certificates.
    let registry = registry().transport("unix", Inside(open));
    let text = config("unix", 1);
    let sites = ["a", "b", "c"].map(|name| start(&text, name, &registry));
    let [a, b, c] = sites;
    let (a, b, c) = (a?, b?, c?);
    let group = a.group(&GroupName::new("orders")?)?;
    await_pairing(&group)?;
    let volume = group.volume(&VolumeName::new("db0")?)?;
    let update = volume.write_at(0, Bytes::from_static(b"over my own wire")).await?;
    volume.wait_for(update, &SiteName::new("c")?, Point::Restored).await?;
    println!("transport = \"unix\": update {update} reached a, b and c");
    for site in [a, b, c] {
        site.stop()?;
    }
    std::fs::remove_dir_all(&place).map_err(|error| Error::io("remove directory", error))
}
