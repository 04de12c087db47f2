//! The planned end of a reign.

use super::{Generation, SiteName, UpdateNumber};
use serde::{Deserialize, Serialize};

/// The planned end of a reign, in favour of another site. The primary stops answering before it
/// makes the record of it, and never resumes the generation, so whoever knows of the record knows
/// that no lease of that generation is in use any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The reign that ended.
    pub generation: Generation,
    /// The number of its last record.
    pub number: UpdateNumber,
    /// The site that is to lead next.
    pub to: SiteName,
}
