//! Who may be at the other end of a connection.

use super::identity::{Identity, Kind};
use super::refusal::Refusal;
use std::collections::BTreeSet;
use trefoil_core::model::SiteName;

/// Who may be at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// One of these sites: exactly one for a side that dials, every configured one for a listener.
    Sites(BTreeSet<SiteName>),
    /// Any host with a certificate of the authority: who may do what is decided by its name.
    Hosts,
}

impl Peers {
    /// Exactly this site.
    pub fn one(site: SiteName) -> Self {
        Self::Sites(BTreeSet::from([site]))
    }

    /// Any of these sites.
    pub fn sites(sites: impl IntoIterator<Item = SiteName>) -> Self {
        Self::Sites(sites.into_iter().collect())
    }

    /// Whether the owner of a certificate is among them.
    pub(crate) fn check(&self, identity: &Identity) -> Result<(), Refusal> {
        let Identity { kind, name, .. } = identity;
        match (self, kind) {
            (Self::Hosts, Kind::Host) => Ok(()),
            (Self::Sites(sites), Kind::Site) => {
                if sites.iter().any(|site| site.as_str() == name) {
                    return Ok(());
                }
                let expected: Vec<&str> = sites.iter().map(SiteName::as_str).collect();
                Err(Refusal::WrongName { found: name.clone(), expected: expected.join(", ") })
            }
            (Self::Sites(_), Kind::Host) => {
                Err(Refusal::WrongKind { found: "host", name: name.clone() })
            }
            (Self::Hosts, Kind::Site) => {
                Err(Refusal::WrongKind { found: "site", name: name.clone() })
            }
        }
    }
}
