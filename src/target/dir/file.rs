//! Reading, writing and removing single files, so that a crash leaves the old one or the new one, never a half.
//!
//! IO, blocking. Follows no symbolic link below the folder. Called by `dir` only.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::target::{Class, Failure};

/// Files under way have this prefix; what a crash left is removed by the next look at the folder.
pub(super) const UNDER_WAY: &str = ".windlass-";

/// Bytes and mode of a file that is there.
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
}

/// Reads a file; none if it is not there.
///
/// # Errors
/// If it cannot be read, or if a link or something else stands in its place or its folder's. The text is for people.
pub(super) fn read(root: &Path, relative: &str) -> Result<Option<Found>, String> {
    let path = root.join(relative);
    let folder = path.parent().unwrap_or(root);
    for place in [root, folder] {
        // The folder itself may be reached through a link; below it none is followed.
        let looked = if place == root { fs::metadata(place) } else { fs::symlink_metadata(place) };
        match looked {
            Ok(data) if data.is_dir() => {}
            Ok(data) => return Err(obstacle(place, data.is_symlink(), "a folder")),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot look at {}: {error}", place.display())),
        }
    }
    match fs::symlink_metadata(&path) {
        Ok(data) if data.is_file() => {
            let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            Ok(Some(Found { bytes, mode: data.mode() & 0o7777 }))
        }
        Ok(data) => Err(obstacle(&path, data.is_symlink(), "a file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot look at {}: {error}", path.display())),
    }
}

fn obstacle(path: &Path, link: bool, wanted: &str) -> String {
    let what = if link { "a symbolic link, and none is followed" } else { "something else" };
    format!("{} should be {wanted} but is {what}; move it away", path.display())
}

/// Writes a file in one step, with its folder; returns once neither can be lost.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let doing = |error: io::Error| failure("write", path, &error);
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder).map_err(doing)?;
    let mut file = tempfile::Builder::new().prefix(UNDER_WAY).tempfile_in(folder).map_err(doing)?;
    file.write_all(bytes).map_err(doing)?;
    file.as_file().set_permissions(Permissions::from_mode(mode)).map_err(doing)?;
    file.as_file().sync_all().map_err(doing)?;
    file.persist(path).map_err(|error| doing(error.error))?;
    sync_folder(folder).map_err(doing)
}

/// Removes a file, and its folder if nothing is left in it; returns once it is gone for good.
pub(super) fn remove(root: &Path, path: &Path) -> Result<(), Failure> {
    let doing = |error: io::Error| failure("remove", path, &error);
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(doing(error)),
        _ => {}
    }
    let Some(folder) = path.parent() else { return Ok(()) };
    sync_folder(folder).or_else(absent_is_fine).map_err(doing)?;
    // Refused by the system while something is in it, which is what is wanted.
    if folder != root && fs::remove_dir(folder).is_ok() {
        sync_folder(root).or_else(absent_is_fine).map_err(doing)?;
    }
    Ok(())
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Makes a folder and those above it, so that a crash cannot lose them.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    folder.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Every file in the folder, as paths inside it; removes what a crash left half written.
pub(super) fn list(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // Does not follow links, so that a circle ends here.
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else if entry.file_name().to_string_lossy().starts_with(UNDER_WAY) {
                fs::remove_file(entry.path()).or_else(absent_is_fine)?;
            } else if let Ok(path) = entry.path().strip_prefix(root) {
                files.push(path.to_owned());
            }
        }
    }
    Ok(files)
}

/// What to do about an error of the file system.
pub(super) fn failure(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    let (class, reason, advice) = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            (Class::Denied, "NotWritable", "give the user that runs Windlass the right to write there")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (Class::Stalled, "DiskFull", "make room"),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory => {
            (Class::Stalled, "Obstructed", "something else stands where a folder or file is needed; move it away")
        }
        ErrorKind::InvalidFilename => (Class::Stalled, "NameTooLong", "choose a shorter name"),
        ErrorKind::Interrupted | ErrorKind::ResourceBusy | ErrorKind::TimedOut => {
            (Class::Retry, "FileBusy", "it is tried again")
        }
        _ => (Class::Stalled, "FileError", "see to the file system"),
    };
    Failure::new(class, reason, format!("cannot {verb} {path}: {error}; {advice}"))
}
