//! The state of a site as bytes beside its journal: a format version, then the fields.
//!
//! | version | what changed |
//! |---|---|
//! | 1 | the first; it had no version in front |
//! | 2 | a charter knows untold losses; maps name extents; a debt knows what it covers |
//! | 3 | a charter names the sites without which nothing changes |
//! | 4 | the volumes are those of a number |
//! | 5 | a debt says whether it is to be compared |
//! | 6 | whether the site's word counts; what it remembers of the others |
//! | 7 | what a site was born as, and which of the others were replaced for good |
//! | 8 | a debt says whether the volumes still are an image of before it |

use super::SiteState;
use crate::{Error, ErrorKind, Result};

/// What a state begins with: a name, so that a state of version 1 is not taken for one, and the
/// version.
const FORMAT: [u8; 4] = *b"tfs\x08";

impl SiteState {
    /// The state as bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>> {
        postcard::to_extend(self, FORMAT.to_vec())
            .map_err(|source| Error::with_source(ErrorKind::Invalid, "encode site state", source))
    }

    /// The state in `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if another version of the program wrote it; [`ErrorKind::Corrupt`]
    /// if it is not whole.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let Some(fields) = bytes.strip_prefix(&FORMAT) else {
            return Err(Error::refused(
                "decode site state: it was written by another version of trefoil; run that \
                 version, or empty the site: it is then filled by an initial copy",
            ));
        };
        postcard::from_bytes(fields)
            .map_err(|source| Error::with_source(ErrorKind::Corrupt, "decode site state", source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GroupName, Incarnation, SiteName};

    #[test]
    fn a_state_comes_back_and_one_of_another_version_is_refused() {
        let (group, site) = (GroupName::new("g").unwrap(), SiteName::new("a").unwrap());
        let state = SiteState::blank(group, site, Vec::new(), Incarnation(7), "boot".into());
        let bytes = state.encode().unwrap();
        assert_eq!(SiteState::decode(&bytes).unwrap(), state);
        let old = postcard::to_stdvec(&state).unwrap();
        assert_eq!(SiteState::decode(&old).unwrap_err().kind(), ErrorKind::Refused);
        let torn = SiteState::decode(&bytes[..bytes.len() - 3]).unwrap_err();
        assert_eq!(torn.kind(), ErrorKind::Corrupt);
    }
}
