//! What `trefoil demo` can be asked for.

use bytesize::ByteSize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How frames travel between the sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Carrier {
    /// Inside the process.
    #[default]
    Memory,
    /// Through TCP on this host.
    Tcp,
    /// Through TCP, inside TLS: each site proves its name by a certificate.
    #[value(name = "tcp+tls")]
    TcpTls,
    /// Through QUIC, which is always inside TLS.
    Quic,
}

/// Where the sites keep journals and volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    /// In memory.
    Memory,
    /// In files of a temporary directory, which is removed at the end.
    File,
    /// In such files, mapped into memory.
    Mmap,
}

impl Carrier {
    /// The word that configurations use for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tcp | Self::TcpTls => "tcp",
            Self::Quic => "quic",
        }
    }

    /// Whether sites need certificates for it.
    pub(super) fn proves(self) -> bool {
        matches!(self, Self::TcpTls | Self::Quic)
    }
}

impl Backend {
    /// The word that configurations use for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::File => "file",
            Self::Mmap => "mmap",
        }
    }
}

/// The stories that run without a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Script {
    /// A site is lost under load, and nothing is lost.
    Failover,
    /// The host writes on while the third site is away.
    Flood,
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if *self == Self::TcpTls { "tcp+tls" } else { self.word() })
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Failover => "failover",
            Self::Flood => "flood",
        })
    }
}

/// Options of `trefoil demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Tell a story to its end, check every sentence, and fail if one is false; without it the
    /// demo is interactive
    #[arg(long, value_enum)]
    pub script: Option<Script>,
    /// Write the figures of the script to this file, as JSON
    #[arg(long, value_name = "FILE", requires = "script")]
    pub report: Option<PathBuf>,
    /// How the sites reach each other
    #[arg(long, value_enum, default_value_t)]
    pub transport: Carrier,
    /// Where the sites keep their data [default: memory; file for the flood]
    #[arg(long, value_enum)]
    pub backend: Option<Backend>,
    /// An image or archive that is written into the volume first, and looked for at the end
    #[arg(long, value_name = "FILE", requires = "script")]
    pub input: Option<PathBuf>,
    /// Size of the volume; larger if the input needs it
    #[arg(long, default_value = "64MiB")]
    pub size: ByteSize,
    /// How long the host writes in the failover, half of it before the loss
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// The most writes a second; 0: as many as come through [default: 5000; interactive: 1000]
    #[arg(long)]
    pub rate: Option<u64>,
    /// How long the third site is away in the flood
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub pause: Duration,
    /// Makes the writes repeatable
    #[arg(long)]
    pub seed: Option<u64>,
}

/// The most writes a second of a script, unless it is asked for another number.
const RATE: u64 = 5000;

impl Args {
    /// The most writes a second of a script; 0: as many as come through.
    pub(super) fn script_rate(&self) -> u64 {
        self.rate.unwrap_or(RATE)
    }
}
