//! A layout of one's own, registered by the word `far_behind_mirror`; and how a running group is
//! told another one, without a byte being copied.
//!
//! `cargo run -p trefoil-examples --example own_topology`

use bytes::Bytes;
use std::time::{Duration, Instant};
use trefoil_core::model::{GroupName, LegState, SiteName, VolumeName};
use trefoil_core::{Error, Result};
use trefoil_examples::far_behind_mirror::FarBehindMirror;
use trefoil_examples::{await_pairing, config, registry, start};
use trefoil_site::registry::TopologyOptions;
use trefoil_site::{Group, Point};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let registry = registry().topology("far_behind_mirror", FarBehindMirror::from_table);
    let text = config("memory", 1).replace("three_site", "far_behind_mirror");
    let [a, b, c] = ["a", "b", "c"].map(|name| start(&text, name, &registry));
    let (a, b, c) = (a?, b?, c?);
    let name = GroupName::new("orders")?;
    let (home, far) = (a.group(&name)?, c.group(&name)?);
    await_pairing(&home)?;
    await_source(&far, "b")?;
    let volume = home.volume(&VolumeName::new("db0")?)?;
    let update = volume.write_at(0, Bytes::from_static(b"through the mirror")).await?;
    volume.wait_for(update, &SiteName::new("c")?, Point::Restored).await?;
    println!("topology = \"far_behind_mirror\": update {update} reached c through b");

    let sites = TopologyOptions {
        primary: SiteName::new("a")?,
        sync: Some(SiteName::new("b")?),
        r#async: Some(SiteName::new("c")?),
    };
    let star = registry.topology_factory("three_site")?(&sites)?;
    let before = far.status().totals.copied_bytes;
    for site in [&a, &b, &c] {
        site.group(&name)?.set_topology(star.clone())?;
    }
    await_source(&far, "a")?;
    let update = volume.write_at(4096, Bytes::from_static(b"and directly")).await?;
    volume.wait_for(update, &SiteName::new("c")?, Point::Restored).await?;
    let copied = far.status().totals.copied_bytes - before;
    println!("topology = \"three_site\": update {update} reached c from a; {copied} bytes copied");
    for site in [a, b, c] {
        site.stop()?;
    }
    Ok(())
}

/// Waits until the group follows that site.
fn await_source(group: &Group, source: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let status = group.status();
        let follows = status.follows.as_ref();
        let there = follows.is_some_and(|follows| {
            follows.source.as_str() == source && follows.state == LegState::Paired
        });
        if there {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(30) {
            return Err(Error::unavailable(format!("follow {source}: not in time; {follows:?}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
