//! `trefoil volume`: volumes are added, removed and grown while the group lives.

use super::action::OnGroup;
use super::output::bytes;
use super::swap::where_to_go;
use super::{Common, Exit, Failure};
use crate::control::api::VolumesDocument;
use bytesize::ByteSize;
use std::fmt::Write;
use trefoil_core::model::{VolumeChange, VolumeName, VolumeSpec};

/// Options of `trefoil volume`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// One more volume, which reads as zeroes
    Add(Sized),
    /// One volume less; its file is left at every site, for you to delete
    Remove {
        /// The volume
        name: String,
        #[command(flatten)]
        on: OnGroup,
    },
    /// A larger volume; hosts see the new size when they connect again
    Grow(Sized),
}

#[derive(Debug, clap::Args)]
struct Sized {
    /// The volume
    name: String,
    /// Its size, as in `8GiB`
    #[arg(long, value_name = "SIZE")]
    size: ByteSize,
    #[command(flatten)]
    on: OnGroup,
}

pub(super) fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    let named = |name: &str| {
        VolumeName::new(name).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
    };
    let (change, on) = match &args.what {
        What::Add(Sized { name, size, on }) => {
            (VolumeChange::Add(VolumeSpec { name: named(name)?, size: size.as_u64() }), on)
        }
        What::Remove { name, on } => (VolumeChange::Remove { name: named(name)? }, on),
        What::Grow(Sized { name, size, on }) => {
            (VolumeChange::Grow { name: named(name)?, size: size.as_u64() }, on)
        }
    };
    on.act(common, "volume", &change, tell)
}

fn tell(document: &VolumesDocument) -> String {
    let VolumesDocument { schema: _, group, site, update, volumes, exports } = document;
    let mut text =
        format!("group {group}: from update {update} on, {site} and all that follow have");
    for volume in volumes {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {} of {}", volume.name, bytes(volume.size));
    }
    let _ = writeln!(
        text,
        "\nchange the configuration alike: a site that begins empty begins with what it says"
    );
    text + &where_to_go(exports)
}
