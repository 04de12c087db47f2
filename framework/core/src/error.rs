//! One error for every layer: what the caller can do about it, what was being done, and why.

use std::error::Error as StdError;
use std::fmt;

/// A result with trefoil's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is wrong; calling again with the same input fails again.
    Invalid,
    /// A safety rule says no; the message names the rule and the remedy.
    Refused,
    /// A newer generation exists, or this site does not lead: ask the site that leads.
    Fenced,
    /// The other side is not there now; back off and try again.
    Unavailable,
    /// A limit is reached; wait until there is room.
    Full,
    /// The call took longer than its limit; its outcome may be unknown.
    Timeout,
    /// Stored or received bytes are damaged; fetch them from another site.
    Corrupt,
    /// The device or the kernel failed; the site must not go on with this group.
    Io,
    /// The component was stopped.
    Closed,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid",
            Self::Refused => "refused",
            Self::Fenced => "fenced",
            Self::Unavailable => "unavailable",
            Self::Full => "full",
            Self::Timeout => "timeout",
            Self::Corrupt => "corrupt",
            Self::Io => "I/O error",
            Self::Closed => "closed",
        })
    }
}

/// An error: kind by what a caller can do, what was being done (*verb object*), and the cause.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    doing: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a further cause. `doing` reads as *verb object: what is wrong*.
    pub fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self { kind, doing: doing.into(), source: None }
    }

    /// An error with its cause.
    pub fn with_source(
        kind: ErrorKind,
        doing: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind, doing: doing.into(), source: Some(source.into()) }
    }

    /// An [`ErrorKind::Invalid`].
    pub fn invalid(doing: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, doing)
    }

    /// An [`ErrorKind::Refused`].
    pub fn refused(doing: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, doing)
    }

    /// An [`ErrorKind::Fenced`].
    pub fn fenced(doing: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fenced, doing)
    }

    /// An [`ErrorKind::Unavailable`].
    pub fn unavailable(doing: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, doing)
    }

    /// An [`ErrorKind::Corrupt`].
    pub fn corrupt(doing: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, doing)
    }

    /// An [`ErrorKind::Closed`].
    pub fn closed(doing: impl Into<String>) -> Self {
        Self::new(ErrorKind::Closed, doing)
    }

    /// An I/O error, told apart by what can be done: a full disk is [`ErrorKind::Full`].
    pub fn io(doing: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::StorageFull | Io::QuotaExceeded => ErrorKind::Full,
            Io::ConnectionRefused
            | Io::ConnectionReset
            | Io::ConnectionAborted
            | Io::BrokenPipe
            | Io::NotConnected
            | Io::UnexpectedEof
            | Io::HostUnreachable
            | Io::NetworkUnreachable => ErrorKind::Unavailable,
            Io::TimedOut => ErrorKind::Timeout,
            _ => ErrorKind::Io,
        };
        Self::with_source(kind, doing, source)
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was being done, and what is wrong.
    pub fn doing(&self) -> &str {
        &self.doing
    }

    /// The same error, told from one level further out: `doing: inner`.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.doing = format!("{doing}: {}", self.doing);
        self
    }

    /// A copy for each of several waiters: the cause is kept as text.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        match &self.source {
            None => Self::new(self.kind, self.doing.clone()),
            Some(source) => Self::new(self.kind, format!("{}: {source}", self.doing)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}
