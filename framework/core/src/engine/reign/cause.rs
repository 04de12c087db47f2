//! Who wanted a candidacy, and with it a reign.

use super::TakeoverOptions;

/// Who wanted a candidacy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The charter names the site, or the configuration does before the first one.
    Named,
    /// The operator, with these options.
    Operator(TakeoverOptions),
    /// The site itself: the primary is silent.
    Automatic,
}

impl Cause {
    /// What the operator allows, if it is the operator's.
    pub fn options(self) -> Option<TakeoverOptions> {
        match self {
            Self::Operator(options) => Some(options),
            Self::Named | Self::Automatic => None,
        }
    }

    /// Whether the operator wants it even where too few sites agree: takes every loss, and states
    /// that nobody else answers hosts.
    pub(super) fn consents_to_anything(self) -> bool {
        self.options().is_some_and(|options| options.accept_loss && options.primary_is_fenced)
    }

    /// Whether the operator accepts a loss.
    pub(super) fn accepts_loss(self) -> bool {
        self.options().is_some_and(|options| options.accept_loss)
    }

    /// Whether the operator states that the old primary cannot answer hosts any more.
    pub(super) fn fenced(self) -> bool {
        self.options().is_some_and(|options| options.primary_is_fenced)
    }
}
