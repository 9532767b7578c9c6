//! The folders below which model files may lie, and how a file below them is opened.
//!
//! A file is reached from the descriptor of its root, one name at a time, and no name on the way may be a
//! symbolic link. So no link, `..` or exchange of a folder during the walk leads out of the root.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Component, Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, open, openat},
    sys::stat::{Mode, SFlag, fstatat},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model_ref::{ModelRef, ModelSource};

/// The most roots that there may be.
pub const ROOTS_MAX: usize = 64;
const NANOSECONDS: i64 = 1_000_000_000;

/// The folders below which model files may lie.
///
/// What a root's path leads to is decided once, when it is configured: later changes of links on the way
/// to it, and another folder under its name, change nothing.
#[derive(Debug, Default)]
pub struct Roots(Vec<Root>);

#[derive(Debug)]
struct Root {
    configured: PathBuf,
    resolved: PathBuf,
    folder: OwnedFd,
}

/// Why a folder cannot be a root.
#[derive(Debug, Error)]
pub enum UnusableRoot {
    /// There are too many.
    #[error("there may be {ROOTS_MAX} folders of models, not {0}")]
    TooMany(usize),
    /// Its path does not begin at `/`, or climbs.
    #[error("the folder of models `{}` must be an absolute path without `..`", .0.display())]
    NotAbsolute(PathBuf),
    /// It is missing, or no folder, or cannot be read.
    #[error("the folder of models `{}` cannot be opened", path.display())]
    Unreadable {
        /// The path as configured.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What tells whether a file is still the one that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its length in bytes.
    pub size_bytes: u64,
    /// When its bytes were changed last, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Its inode.
    pub inode: u64,
    /// The device that it lies on.
    pub device: u64,
}

/// A file below a root.
#[derive(Debug)]
pub struct ModelFile {
    /// The file, open for reading.
    pub file: File,
    /// What it was when it was opened.
    pub facts: FileFacts,
}

/// Why a model's file was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CannotOpen {
    /// The reference names no local file.
    #[error("is no `file:` reference")]
    NotAFileRef,
    /// It does not lie below a root.
    #[error("lies outside of the folders of models")]
    OutsideRoots,
    /// There is no such file.
    #[error("does not exist")]
    Missing,
    /// A symbolic link stands on the way to it, or in its place.
    #[error("is reached through a symbolic link")]
    Symlink,
    /// It is a folder, a pipe, a socket or a device.
    #[error("is no regular file")]
    NotAFile,
    /// The system said no.
    #[error("cannot be opened: {}", io::Error::from(*.0))]
    Io(io::ErrorKind),
}

impl Roots {
    /// The roots at `folders`. A root may itself be a symbolic link, which is followed here and never again.
    ///
    /// # Errors
    /// When there are too many, or one is not an absolute path to a folder that can be opened.
    //= ORCH-3091
    pub fn new(folders: &[PathBuf]) -> Result<Self, UnusableRoot> {
        if folders.len() > ROOTS_MAX {
            return Err(UnusableRoot::TooMany(folders.len()));
        }
        let mut roots = folders.iter().map(|path| Root::new(path)).collect::<Result<Vec<_>, _>>()?;
        // The longest path that a file lies below is the nearest root.
        roots.sort_by_key(|root| std::cmp::Reverse(root.configured.components().count()));
        Ok(Self(roots))
    }

    /// Opens the file that `model` names, for reading.
    ///
    /// # Errors
    /// When `model` is no `file:` reference, leads out of the roots or through a link, or to no regular file.
    //= ORCH-3091
    pub fn open(&self, model: &ModelRef) -> Result<ModelFile, CannotOpen> {
        if model.source() != ModelSource::File {
            return Err(CannotOpen::NotAFileRef);
        }
        self.open_path(Path::new(model.name().as_ref()))
    }

    /// Opens the file at this path, for reading.
    ///
    /// # Errors
    /// When it lies outside of the roots or behind a link, or is no regular file.
    //= ORCH-3091
    pub fn open_path(&self, path: &Path) -> Result<ModelFile, CannotOpen> {
        let below = self.0.iter().find_map(|root| Some((root, root.strip(path)?)));
        let (root, rest) = below.ok_or(CannotOpen::OutsideRoots)?;
        open_below(root.folder.as_fd(), rest)
    }
}

impl Root {
    fn new(path: &Path) -> Result<Self, UnusableRoot> {
        let climbs = path.components().any(|part| part == Component::ParentDir);
        if !path.is_absolute() || climbs {
            return Err(UnusableRoot::NotAbsolute(path.to_path_buf()));
        }
        let unreadable = |source| UnusableRoot::Unreadable { path: path.to_path_buf(), source };
        let resolved = path.canonicalize().map_err(unreadable)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = open(&resolved, flags, Mode::empty()).map_err(|errno| unreadable(errno.into()))?;
        Ok(Self { configured: path.to_path_buf(), resolved, folder })
    }

    fn strip<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(&self.configured).or_else(|_| path.strip_prefix(&self.resolved)).ok()
    }
}

impl FileFacts {
    /// The facts of an open file.
    ///
    /// # Errors
    /// When the system does not tell them.
    pub fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self::from_metadata(&metadata))
    }

    fn from_metadata(metadata: &fs::Metadata) -> Self {
        let seconds = metadata.mtime().saturating_mul(NANOSECONDS);
        Self {
            size_bytes: metadata.size(),
            mtime_ns: seconds.saturating_add(metadata.mtime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }
}

fn open_below(root: BorrowedFd<'_>, path: &Path) -> Result<ModelFile, CannotOpen> {
    let mut names = path.components().peekable();
    let mut folder: Option<OwnedFd> = None;
    while let Some(part) = names.next() {
        let Component::Normal(name) = part else { return Err(CannotOpen::OutsideRoots) };
        let name = Path::new(name);
        let at = folder.as_ref().map_or(root, AsFd::as_fd);
        if names.peek().is_none() {
            return open_file(at, name);
        }
        folder = Some(open_folder(at, name)?);
    }
    // The root itself.
    Err(CannotOpen::NotAFile)
}

fn open_folder(at: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd, CannotOpen> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(at, name, flags, Mode::empty()).map_err(|errno| match kind_of(at, name) {
        Ok(SFlag::S_IFLNK) => CannotOpen::Symlink,
        // A file stands where a folder should, so the file below it does not exist.
        Ok(kind) if kind != SFlag::S_IFDIR => CannotOpen::Missing,
        _ => because(errno),
    })
}

fn open_file(at: BorrowedFd<'_>, name: &Path) -> Result<ModelFile, CannotOpen> {
    // Opening some devices does something, so they are told by their names before they are opened.
    match kind_of(at, name)? {
        SFlag::S_IFREG => {}
        SFlag::S_IFLNK => return Err(CannotOpen::Symlink),
        _ => return Err(CannotOpen::NotAFile),
    }
    // Another thing may stand there by now: a link fails to open, a pipe does not block, and the rest is
    // told by what was opened.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = File::from(openat(at, name, flags, Mode::empty()).map_err(because)?);
    let metadata = file.metadata().map_err(|error| CannotOpen::Io(error.kind()))?;
    if !metadata.is_file() {
        return Err(CannotOpen::NotAFile);
    }
    Ok(ModelFile { file, facts: FileFacts::from_metadata(&metadata) })
}

/// What stands under `name` itself, without following it.
fn kind_of(at: BorrowedFd<'_>, name: &Path) -> Result<SFlag, CannotOpen> {
    let stat = fstatat(at, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(because)?;
    Ok(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT)
}

fn because(errno: Errno) -> CannotOpen {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => CannotOpen::Missing,
        Errno::ELOOP => CannotOpen::Symlink,
        _ => CannotOpen::Io(io::Error::from(errno).kind()),
    }
}
