//! Names and identities of sites, machines, groups, volumes and sessions.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 48;

/// Names are lower-case, so that environment variables (which configuration lower-cases) reach
/// them.
fn check(what: &str, name: &str) -> Result<()> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_lowercase());
    let rest = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if first && rest && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{what} name {name:?}: a name is a lower-case letter followed by lower-case letters, \
         digits or `_`, at most {NAME_BYTES_MAX} characters"
    )))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name, checked.
            ///
            /// # Errors
            /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if it is not of the form
            /// `[a-z][a-z0-9_]*` or longer than 48 characters.
            pub fn new(name: &str) -> Result<Self> {
                check($what, name)?;
                Ok(Self(name.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;
            fn try_from(name: String) -> Result<Self> {
                Self::new(&name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl std::str::FromStr for $type {
            type Err = Error;
            fn from_str(name: &str) -> Result<Self> {
                Self::new(name)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a site: one running storage system.
    SiteName, "site"
);
name!(
    /// The name of a consistency group: volumes with one order of updates.
    GroupName, "group"
);
name!(
    /// The name of a machine of a site whose groups are spread over several.
    MachineName, "machine"
);
name!(
    /// The name of a volume in its group.
    VolumeName, "volume"
);

/// A volume's index in its group, as records carry it. Its order is that of the volumes' names.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct VolumeId(pub u32);

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Names as a sentence has them: `a, b`.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a SiteName>) -> String {
    names.into_iter().map(SiteName::as_str).collect::<Vec<_>>().join(", ")
}

/// A site's durable identity, replaced whenever its unsynced tail may be gone (power loss, a
/// failed fsync, a moved disk). A site with another incarnation is another member.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One follow session between a follower and its source, drawn at random by the follower.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct SessionId(pub u64);
