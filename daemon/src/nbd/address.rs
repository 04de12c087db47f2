//! Where a server listens: `host:port` (also `tcp:host:port`) or `unix:/path`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use trefoil_core::{Error, Result};

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NbdAddress {
    /// `host:port`; IPv6 hosts in brackets. Port 0 takes a free one, 10809 is NBD's own.
    Tcp(String),
    /// The path of a Unix socket, made with mode 0660.
    Unix(PathBuf),
}

impl FromStr for NbdAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let remedy = "write host:port (for example 127.0.0.1:10809) or unix:/path";
        let wrong = |what: &str| Error::invalid(format!("parse NBD address {text:?}: {what}"));
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            if !path.is_absolute() {
                return Err(wrong("the socket's path must begin with /"));
            }
            return Ok(Self::Unix(path));
        }
        let address = text.strip_prefix("tcp:").unwrap_or(text).trim_start_matches("//");
        let Some((host, port)) = address.rsplit_once(':') else {
            return Err(wrong(&format!("no port; {remedy}")));
        };
        if host.is_empty() || (host.contains(':') && !host.starts_with('[')) {
            return Err(wrong(&format!("the host is missing or an IPv6 one without []; {remedy}")));
        }
        if port.parse::<u16>().is_err() {
            return Err(wrong(&format!("{port:?} is not a port; {remedy}")));
        }
        Ok(Self::Tcp(address.to_owned()))
    }
}

impl fmt::Display for NbdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_parse_and_print_alike() {
        for text in ["127.0.0.1:10809", "[::1]:0", "localhost:1", "unix:/run/trefoil/nbd.sock"] {
            assert_eq!(text.parse::<NbdAddress>().unwrap().to_string(), text);
        }
        assert_eq!(
            "tcp:0.0.0.0:10809".parse::<NbdAddress>().unwrap(),
            NbdAddress::Tcp("0.0.0.0:10809".into())
        );
    }

    #[test]
    fn a_wrong_address_is_refused_with_its_text() {
        for text in ["", "10809", "host:", "host:99999", "::1:10809", ":5", "unix:relative"] {
            let error = text.parse::<NbdAddress>().unwrap_err();
            assert!(error.doing().contains(&format!("{text:?}")), "{error}");
        }
    }
}
