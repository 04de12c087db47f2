//! The file that a volume's blocks lie in.

use super::lock::lock_file;
use super::{make_directory, sync_directory};
use std::fs::File;
use std::path::{Path, PathBuf};
use trefoil_core::model::{GroupName, VolumeName};
use trefoil_core::{Error, Result};

/// Opens `<dir>/<group>.<volume>.img`, creating it if it is new, and locks it.
///
/// # Errors
/// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid) if the file has another size,
/// [`ErrorKind::Refused`](trefoil_core::ErrorKind::Refused) if it is open elsewhere, and what the
/// file system says.
pub(crate) fn open_volume(
    dir: &Path,
    group: &GroupName,
    volume: &VolumeName,
    size: u64,
) -> Result<(File, PathBuf)> {
    make_directory(dir)?;
    let path = dir.join(format!("{group}.{volume}.img"));
    let failed = |doing: &str| {
        let doing = format!("{doing} {}", path.display());
        move |source| Error::io(doing, source)
    };
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed("open volume file"))?;
    lock_file(&file, &path)?;
    let found = file.metadata().map_err(failed("look at volume file"))?.len();
    // A file without a byte is one whose creation was interrupted.
    if found == 0 {
        file.set_len(size).map_err(failed("size volume file"))?;
        file.sync_all().map_err(failed("sync volume file"))?;
        sync_directory(dir)?;
    } else if found != size {
        return Err(Error::invalid(format!(
            "open volume file {}: it has {found} bytes, {size} are configured; configure its \
             size, or move the file away to begin with an empty volume",
            path.display()
        )));
    }
    Ok((file, path))
}

/// What to say once a sync of a volume has failed.
pub(crate) fn poisoned(path: &Path) -> Error {
    Error::new(
        trefoil_core::ErrorKind::Io,
        format!(
            "use {}: an earlier sync failed, what the disk holds is unknown; restart the site",
            path.display()
        ),
    )
}
