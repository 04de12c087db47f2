//! A layout of one's own: the far site reads from the mirror, whose way to it is the better one.

use std::collections::BTreeMap;
use std::sync::Arc;
use trefoil_core::model::{LegMode, SiteName};
use trefoil_core::topology::{ThreeSite, Topology};
use trefoil_core::{Error, Result};
use trefoil_site::registry::TopologyOptions;

/// Three sites, of which the mirror has the good way to the far one: while the home site leads, the
/// far one reads from the mirror; while the mirror leads, from the mirror as well; and while the
/// far one leads, both others read from it directly.
pub struct FarBehindMirror {
    roles: ThreeSite,
    mirror: SiteName,
    far: SiteName,
}

impl FarBehindMirror {
    /// What stands behind the word: the roles as the group's table names them.
    ///
    /// # Errors
    /// That a role is missing, or that one site has two.
    pub fn from_table(options: &TopologyOptions) -> Result<Arc<dyn Topology>> {
        let TopologyOptions { primary, sync, r#async } = options.clone();
        let (Some(mirror), Some(far)) = (sync, r#async) else {
            return Err(Error::invalid("far_behind_mirror needs both `sync` and `async`"));
        };
        let roles = ThreeSite::new(primary, mirror.clone(), far.clone())?;
        Ok(Arc::new(Self { roles, mirror, far }))
    }
}

impl Topology for FarBehindMirror {
    fn sites(&self) -> Vec<SiteName> {
        self.roles.sites()
    }

    fn home(&self) -> SiteName {
        self.roles.home()
    }

    fn legs(&self, primary: &SiteName) -> BTreeMap<SiteName, LegMode> {
        self.roles.legs(primary)
    }

    fn source(&self, primary: &SiteName, site: &SiteName) -> SiteName {
        let passed_on = *site == self.far && *primary == self.home();
        if passed_on { self.mirror.clone() } else { primary.clone() }
    }

    fn describe(&self) -> String {
        format!("{}; {} behind {}", self.roles.describe(), self.far, self.mirror)
    }
}
