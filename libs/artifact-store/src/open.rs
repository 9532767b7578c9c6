//! Opening a store: the heads of its files become the index, and what a crash left is cleared away.

use std::{
    fs::File,
    io::{self, Read as _},
};

use nix::errno::Errno;

use crate::{
    error::{ArtifactError, Damage},
    folder::Folder,
    format::{self, HEAD_BYTES_MAX, Head},
    id::ArtifactId,
    index::Index,
    place::TEMPORARY,
};

/// Where damaged files go.
const DAMAGED: &str = "damaged";
/// The most files that are kept there; further ones stay where they are.
const DAMAGED_FILES_MAX: usize = 64;

/// A file that is not what was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile {
    /// Which artifact it was.
    pub id: ArtifactId,
    /// What is wrong with it.
    pub why: Damage,
}

/// What was found when the store was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// How many artifacts are there.
    pub artifacts: usize,
    /// How many unfinished files a crash had left; they are removed.
    pub unfinished: usize,
    /// How many entries of the folder are none of the store's; they are left alone.
    pub ignored: usize,
    /// How many files are damaged.
    pub damaged: usize,
    /// The first 64 of the damaged files.
    pub examples: Vec<DamagedFile>,
}

/// Why a file gave no artifact.
#[derive(Debug)]
pub(crate) enum Unread {
    /// There is no such file.
    Gone,
    /// It is not what was stored.
    Damage(Damage),
    /// The file system failed in a way that says nothing about the file.
    Io(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => Self::Gone,
            // A link, a link in the place of the folder, a socket.
            Some(Errno::ELOOP | Errno::ENOTDIR | Errno::ENXIO) => Self::Damage(Damage::NotAFile),
            Some(Errno::EIO) => Self::Damage(Damage::Unreadable),
            _ => Self::Io(error),
        }
    }
}

/// Builds the index from the files below `root`.
pub(crate) fn scan(root: &Folder) -> Result<(Index, OpenReport), ArtifactError> {
    let mut index = Index::default();
    let mut report = OpenReport::default();
    let failed = |error| ArtifactError::io("the folder cannot be read", error);
    for name in root.names().map_err(failed)? {
        if !is_folder_of_ours(&name) {
            report.ignored += usize::from(name != DAMAGED);
            continue;
        }
        match root.enter(&name).map_err(Unread::from) {
            Ok(folder) => scan_folder(root, (&name, &folder), &mut index, &mut report).map_err(failed)?,
            Err(Unread::Io(error)) => return Err(failed(error)),
            Err(Unread::Gone | Unread::Damage(_)) => report.ignored += 1,
        }
    }
    report.artifacts = index.len();
    Ok((index, report))
}

fn is_folder_of_ours(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn scan_folder(
    root: &Folder,
    (name, folder): (&str, &Folder),
    index: &mut Index,
    report: &mut OpenReport,
) -> io::Result<()> {
    for file in folder.names()? {
        if file.starts_with(TEMPORARY) {
            folder.remove(&file)?;
            report.unfinished += 1;
            continue;
        }
        let Some(id) = ArtifactId::from_place(name, &file) else {
            report.ignored += 1;
            continue;
        };
        match read_head(id, folder, &file) {
            Ok((head, _)) => {
                let file_bytes = head.file_bytes();
                index.insert(head.meta, file_bytes);
            }
            Err(Unread::Gone) => {}
            Err(Unread::Io(error)) => return Err(error),
            Err(Unread::Damage(why)) => {
                report.damaged += 1;
                if report.examples.len() < DAMAGED_FILES_MAX {
                    report.examples.push(DamagedFile { id, why });
                }
                set_aside(root, id, why)?;
            }
        }
    }
    Ok(())
}

/// The head of the artifact `id`, whose file has the length that it tells, and the file after the head.
pub(crate) fn read_head(id: ArtifactId, folder: &Folder, name: &str) -> Result<(Head, File), Unread> {
    let file = folder.read(name)?;
    let info = file.metadata()?;
    if !info.is_file() {
        return Err(Unread::Damage(Damage::NotAFile));
    }
    let mut start = Vec::new();
    (&file).take(HEAD_BYTES_MAX as u64).read_to_end(&mut start)?;
    let head = format::decode(id, &start).map_err(Unread::Damage)?;
    if head.file_bytes() != info.len() {
        return Err(Unread::Damage(Damage::Length));
    }
    Ok((head, file))
}

/// Moves a damaged file out of the way, so that it can be looked at and its content stored again.
///
/// What a newer program wrote is not damaged and stays, and so does everything once there are many.
pub(crate) fn set_aside(root: &Folder, id: ArtifactId, why: Damage) -> io::Result<()> {
    if matches!(why, Damage::Version(_)) {
        return Ok(());
    }
    let damaged = root.make(DAMAGED)?;
    if damaged.names()?.len() >= DAMAGED_FILES_MAX {
        return Ok(());
    }
    let (folder, file) = id.place();
    root.enter(&folder)?.rename(&file, &damaged, &format!("{folder}{file}"))
}
