//! The forms that values are written in: sizes, durations, rates, addresses and closed sets.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest path of a Unix socket, in bytes (`sun_path` less its terminator).
pub(super) const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Where NBD clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NbdAddress {
    /// A host name or address with a port.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
}

impl NbdAddress {
    /// The URI of an export, as NBD clients take it.
    pub fn uri(&self, export: &str) -> String {
        match self {
            Self::Tcp(address) => format!("nbd://{address}/{export}"),
            Self::Unix(path) => format!("nbd+unix:///{export}?socket={}", path.display()),
        }
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

/// `8GiB`, `512 KiB`, `1048576`; suffixes without `i` are decimal.
pub(super) fn size(text: &str) -> Result<u64, String> {
    match text.parse::<bytesize::ByteSize>() {
        Ok(size) => Ok(size.as_u64()),
        Err(_) => Err(format!("`{text}` is not a size; expected bytes with a unit: \"8GiB\"")),
    }
}

/// A size within bounds.
pub(super) fn size_within(least: u64, most: u64) -> impl Fn(&str) -> Result<u64, String> {
    move |text| match size(text)? {
        value if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!("{text} is out of bounds; expected {} to {}", show(least), show(most))),
    }
}

/// `200MiB/s`.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    let bytes = text.strip_suffix("/s").map(size);
    match bytes {
        Some(Ok(rate)) if rate > 0 => Ok(rate),
        _ => Err(format!("`{text}` is not a rate; expected bytes a second: \"200MiB/s\"")),
    }
}

/// How hard zstd tries: 1 to 19.
pub(super) fn level(text: &str) -> Result<i32, String> {
    match text.parse() {
        Ok(level @ 1..=19) => Ok(level),
        _ => Err(format!("`{text}` is not a level; expected 1 (fast) to 19 (small)")),
    }
}

/// A duration within bounds: `2s`, `250ms`, `1m 30s`.
pub(super) fn duration_within(
    least: Duration,
    most: Duration,
) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let value = humantime::parse_duration(text).map_err(|_| {
            format!("`{text}` is not a duration; expected a number with a unit: \"2s\", \"250ms\"")
        })?;
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
        Err(format!("{text} is out of bounds; expected {least} to {most}"))
    }
}

/// One of a closed set of words.
pub(super) fn one_of<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let found = choices.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
            format!("found `{text}`, expected {}", words.join(" or "))
        })
    }
}

/// `true` or `false`.
pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    one_of(&[("true", true), ("false", false)])(text)
}

/// A path, made absolute or relative to the file's directory by `resolve`.
pub(super) fn path(resolve: &dyn Fn(&str) -> PathBuf) -> impl Fn(&str) -> Result<PathBuf, String> {
    move |text| match text {
        "" => Err("expected a path, found nothing".to_owned()),
        _ => Ok(resolve(text)),
    }
}

/// `host:port`.
pub(super) fn address(text: &str) -> Result<String, String> {
    let wrong =
        || format!("`{text}` is not an address; expected host and port: \"127.0.0.1:7447\"");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || bare_v6 || host.contains(char::is_whitespace) {
        return Err(wrong());
    }
    port.parse::<u16>().map_err(|_| wrong())?;
    Ok(text.to_owned())
}

/// The host part of a checked address.
pub(super) fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// Whether an address is of this host only. A name is taken for a way out of the host, `localhost`
/// excepted: what it means elsewhere nobody can tell from the file.
pub(super) fn is_loopback(address: &str) -> bool {
    let host = host(address).trim_start_matches('[').trim_end_matches(']');
    match host.parse::<std::net::IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host == "localhost",
    }
}

/// The path of a Unix socket, short enough for the kernel.
pub(super) fn socket(path: PathBuf) -> Result<PathBuf, String> {
    match path.as_os_str().len() {
        0 => Err("expected the path of a Unix socket, found nothing".to_owned()),
        length if length > SOCKET_PATH_BYTES_MAX => Err(format!(
            "the path {} has {length} bytes; a Unix socket's has at most {SOCKET_PATH_BYTES_MAX}",
            path.display()
        )),
        _ => Ok(path),
    }
}

/// `127.0.0.1:10809` or `unix:/path`.
pub(super) fn nbd(text: &str, dir: impl Fn(&str) -> PathBuf) -> Result<NbdAddress, String> {
    match text.strip_prefix("unix:") {
        Some(path) => socket(dir(path)).map(NbdAddress::Unix),
        None => address(text).map(NbdAddress::Tcp).map_err(|_| {
            format!("`{text}` is not an NBD address; expected \"host:port\" or \"unix:/path\"")
        }),
    }
}

/// A size as people read it.
pub(super) fn show(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// Whether one of two directories is, or lies in, the other.
pub(super) fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_with_an_i_and_plain_numbers_are_bytes() {
        assert_eq!(size("8GiB"), Ok(8 << 30));
        assert_eq!(size("512 KiB"), Ok(512 << 10));
        assert_eq!(size("1GB"), Ok(1_000_000_000));
        assert_eq!(size("4096"), Ok(4096));
        assert!(size("many").is_err());
        assert!(size("-1").is_err());
    }

    #[test]
    fn rates_need_a_time() {
        assert_eq!(rate("200MiB/s"), Ok(200 << 20));
        assert!(rate("200MiB").is_err());
        assert!(rate("0/s").is_err(), "nothing would ever arrive");
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["127.0.0.1:7447", "a.example:1", "[::1]:7447"] {
            assert_eq!(address(good), Ok(good.to_owned()));
        }
        for bad in ["", "7447", "host", ":7447", "host:", "host:99999", "::1:7447", "a b:1"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_addresses_of_this_host_are_loopback() {
        for near in ["127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "localhost:1"] {
            assert!(is_loopback(near), "{near}");
        }
        let far = ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "a.example:1", "[::ffff:10.0.0.1]:1"];
        for far in far.into_iter().chain(["localhost.example:1", "128.0.0.1:1"]) {
            assert!(!is_loopback(far), "{far}");
        }
    }

    #[test]
    fn nbd_listens_on_a_port_or_a_socket() {
        let here = |path: &str| Path::new("/base").join(path);
        assert_eq!(nbd("h:1", here), Ok(NbdAddress::Tcp("h:1".to_owned())));
        assert_eq!(nbd("unix:x.sock", here), Ok(NbdAddress::Unix("/base/x.sock".into())));
        assert!(nbd(&format!("unix:/{}", "x".repeat(200)), here).is_err());
        assert_eq!(
            NbdAddress::Unix("/run/a.sock".into()).uri("db0"),
            "nbd+unix:///db0?socket=/run/a.sock"
        );
    }
}
