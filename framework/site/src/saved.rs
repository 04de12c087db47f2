//! The state of a site as bytes beside its journal: a format version, then the fields.
//!
//! | version | what changed |
//! |---|---|
//! | 1 | the first; it had no version in front |
//! | 2 | a charter knows untold losses; maps name extents; a debt knows what it covers |

use trefoil_core::model::SiteState;
use trefoil_core::{Error, ErrorKind, Result};

/// What a state begins with: a name, so that a state of version 1 is not taken for one, and the
/// version.
const FORMAT: [u8; 4] = *b"tfs\x02";

/// The bytes of a state.
///
/// # Errors
/// [`ErrorKind::Invalid`] if it cannot be encoded.
pub(crate) fn encode(state: &SiteState) -> Result<Vec<u8>> {
    postcard::to_extend(state, FORMAT.to_vec())
        .map_err(|source| Error::with_source(ErrorKind::Invalid, "encode site state", source))
}

/// The state in `bytes`, which lie beside `journal`.
///
/// # Errors
/// [`ErrorKind::Refused`] if another version of the program wrote it; [`ErrorKind::Corrupt`] if it
/// is not whole.
pub(crate) fn decode(bytes: &[u8], journal: &str) -> Result<SiteState> {
    let Some(fields) = bytes.strip_prefix(&FORMAT) else {
        return Err(Error::refused(format!(
            "decode the state beside {journal}: it was written by another version of trefoil; run \
             that version, or empty the site: it is then filled by an initial copy"
        )));
    };
    postcard::from_bytes(fields).map_err(|source| {
        let doing = format!("decode the state beside {journal}");
        Error::with_source(ErrorKind::Corrupt, doing, source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_core::model::{GroupName, Incarnation, SiteName};

    #[test]
    fn a_state_comes_back_and_one_of_another_version_is_refused() {
        let (group, site) = (GroupName::new("g").unwrap(), SiteName::new("a").unwrap());
        let state = SiteState::blank(group, site, Vec::new(), Incarnation(7), "boot".into());
        let bytes = encode(&state).unwrap();
        assert_eq!(decode(&bytes, "j").unwrap(), state);
        let old = postcard::to_stdvec(&state).unwrap();
        assert_eq!(decode(&old, "j").unwrap_err().kind(), ErrorKind::Refused);
        let torn = decode(&bytes[..bytes.len() - 3], "j").unwrap_err();
        assert_eq!(torn.kind(), ErrorKind::Corrupt);
    }
}
