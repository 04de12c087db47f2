//! What the suites share: a claim, and how it is found broken.

use crate::{Error, ErrorKind, Result};
use std::fmt;
use std::pin::Pin;

/// A claim that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What should hold.
    pub claim: String,
    /// What was seen instead.
    pub seen: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken: {}: {}", self.claim, self.seen)
    }
}

impl std::error::Error for Broken {}

/// The trial of one claim, under way.
pub(super) type Trial<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// A claim in words, and how to try it on a bench.
pub(super) type Claim<'a, B> = (&'a str, for<'b> fn(&'b mut B) -> Trial<'b>);

/// Tries claims one after the other.
pub(super) async fn run_claims<B: Send + ?Sized>(
    bench: &mut B,
    claims: &[Claim<'_, B>],
) -> Result<(), Broken> {
    for (claim, trial) in claims {
        trial(bench)
            .await
            .map_err(|error| Broken { claim: (*claim).to_owned(), seen: error.to_string() })?;
    }
    Ok(())
}

/// Ends a trial: `seen` is not what was claimed.
pub(super) fn break_claim<T>(seen: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Invalid, seen))
}
