//! The layouts that a configuration may name without anybody registering them.

use crate::registry::TopologyOptions;
use std::sync::Arc;
use trefoil_core::model::{LegMode, SiteName};
use trefoil_core::topology::{Cascade, ThreeSite, Topology, TwoSite};
use trefoil_core::{Error, Result};

type Layout = Result<Arc<dyn Topology>>;

/// `primary`, and either `sync` or `async`.
pub(crate) fn two_site(options: &TopologyOptions) -> Layout {
    let TopologyOptions { primary, sync, r#async } = options.clone();
    let (other, mode) = match (sync, r#async) {
        (Some(site), None) => (site, LegMode::Sync),
        (None, Some(site)) => (site, LegMode::Async),
        _ => {
            return Err(Error::invalid(
                "a group of two sites names its primary, and either `sync` or `async`",
            ));
        }
    };
    Ok(Arc::new(TwoSite::new(primary, other, mode)?))
}

/// All three roles, both followers reading from the primary.
pub(crate) fn three_site(options: &TopologyOptions) -> Layout {
    let (primary, sync, r#async) = three(options)?;
    Ok(Arc::new(ThreeSite::new(primary, sync, r#async)?))
}

/// All three roles, `async` reading from `sync`.
pub(crate) fn cascade(options: &TopologyOptions) -> Layout {
    let (primary, sync, r#async) = three(options)?;
    Ok(Arc::new(Cascade::new(primary, sync, r#async)?))
}

fn three(options: &TopologyOptions) -> Result<(SiteName, SiteName, SiteName)> {
    let TopologyOptions { primary, sync, r#async } = options.clone();
    let missing = |role| Error::invalid(format!("name the site of this role: {role} = \"a\""));
    Ok((primary, sync.ok_or_else(|| missing("sync"))?, r#async.ok_or_else(|| missing("async"))?))
}
