//! How much memory this process has.

use trefoil_core::{Error, Result};

/// Bytes of this process that are in memory now.
///
/// # Errors
/// Where the system does not tell: it is asked through `/proc`, which Linux has.
pub(super) fn resident_bytes() -> Result<u64> {
    let doing = "read the size of this process from /proc/self/status";
    let text = std::fs::read_to_string("/proc/self/status").map_err(|e| Error::io(doing, e))?;
    parse(&text).ok_or_else(|| Error::invalid(format!("{doing}: there is no VmRSS in it")))
}

fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_read_in_bytes() {
        let text = "Name:\tx\nVmHWM:\t  9999 kB\nVmRSS:\t   12345 kB\n";
        assert_eq!(parse(text), Some(12345 * 1024));
        assert_eq!(parse("VmRSS: none"), None);
        assert!(resident_bytes().unwrap() > 1 << 20);
    }
}
