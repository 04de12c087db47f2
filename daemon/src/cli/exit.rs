//! How a verb ends: its exit code, and what it says about a failure.

use std::fmt;
use std::process::ExitCode;
use trefoil_core::{Error, ErrorKind};
use trefoil_site::config::Problems;

/// The exit codes. Scripts rely on them: they are never renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Tried, and failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A safety rule said no; nothing was changed.
    Refused = 3,
    /// Not within the time limit.
    Timeout = 4,
    /// The daemon, or a site that it needs, cannot be reached.
    Unreachable = 5,
    /// The configuration is wrong (`EX_CONFIG`).
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a verb failed, for people, and its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong, and what to do; several lines where there are several problems.
    pub text: String,
}

impl Failure {
    /// A failure with this code.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Problems of a configuration begin with `error[…]` themselves.
        if self.text.starts_with("error[") {
            return f.write_str(&self.text);
        }
        write!(f, "error: {}", self.text)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::new(Exit::Config, problems.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(exit_of(error.kind()), error.to_string())
    }
}

/// The exit code for what a caller can do about an error.
pub fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Refused | ErrorKind::Fenced => Exit::Refused,
        ErrorKind::Timeout => Exit::Timeout,
        ErrorKind::Unavailable => Exit::Unreachable,
        _ => Exit::Failed,
    }
}
