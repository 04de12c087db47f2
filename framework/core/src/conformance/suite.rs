//! What the suites share: a claim by name, and how it is found violated.

use crate::{Error, ErrorKind, Result};
use std::fmt;
use std::pin::Pin;

/// A claim that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one of the kit's `CLAIMS`.
    pub claim: &'static str,
    /// What was seen instead.
    pub what: String,
}

impl Violation {
    /// That `claim` is none of the kit's.
    pub(super) fn unknown(claim: &str, known: &[&'static str]) -> Self {
        let what = format!("there is no claim {claim:?}; there are {known:?}");
        Self { claim: "prove", what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.claim, self.what)
    }
}

impl std::error::Error for Violation {}

/// The trial of one claim, under way.
pub(super) type Trial<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// A claim, and how to try it on a bench.
pub(super) struct Claim<B: ?Sized> {
    /// Its name: what holds, as a sentence with underscores.
    pub(super) name: &'static str,
    /// Tries it.
    pub(super) trial: for<'b> fn(&'b mut B) -> Trial<'b>,
}

/// The names of claims, in order.
pub(super) const fn names<B: ?Sized, const N: usize>(claims: &[Claim<B>; N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut at = 0;
    while at < N {
        names[at] = claims[at].name;
        at += 1;
    }
    names
}

/// Tries claims one after the other.
pub(super) async fn prove_claims<B: Send + ?Sized>(
    bench: &mut B,
    claims: &[Claim<B>],
) -> Result<(), Violation> {
    for claim in claims {
        attempt(bench, claim).await?;
    }
    Ok(())
}

/// Tries the claim of that name.
pub(super) async fn prove_claim<B: Send + ?Sized>(
    bench: &mut B,
    claims: &[Claim<B>],
    name: &str,
) -> Result<(), Violation> {
    match claims.iter().find(|claim| claim.name == name) {
        Some(claim) => attempt(bench, claim).await,
        None => {
            let known: Vec<_> = claims.iter().map(|claim| claim.name).collect();
            Err(Violation::unknown(name, &known))
        }
    }
}

async fn attempt<B: Send + ?Sized>(bench: &mut B, claim: &Claim<B>) -> Result<(), Violation> {
    let tried = (claim.trial)(bench).await;
    tried.map_err(|error| Violation { claim: claim.name, what: error.to_string() })
}

/// Ends a trial: `seen` is not what was claimed.
pub(super) fn break_claim<T>(seen: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Invalid, seen))
}
