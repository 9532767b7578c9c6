//! A folder held open, so that no name is looked up from the root again.
//!
//! Every call names one entry of this very folder and follows no link: whatever is put into the tree, the
//! store does not leave it.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, openat, renameat},
    sys::stat::{Mode, mkdirat},
    unistd::{UnlinkatFlags, unlinkat},
};

/// Only the server's user reads artifacts.
const FILE_MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
const FOLDER_MODE: Mode = Mode::S_IRWXU;

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder(File);

impl Folder {
    /// Opens the folder at `path`, which the operator chose, and makes it if there is none.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let folder = File::open(path)?;
        if folder.metadata()?.is_dir() { Ok(Self(folder)) } else { Err(Errno::ENOTDIR.into()) }
    }

    /// Whether this process now owns the folder; it does until the folder is dropped.
    pub(crate) fn lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The folder `name` in this one, which must be there and be no link.
    pub(crate) fn enter(&self, name: &str) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(Self(openat(&self.0, name, flags, Mode::empty())?.into()))
    }

    /// The folder `name` in this one, which is made if there is none.
    pub(crate) fn make(&self, name: &str) -> io::Result<Self> {
        match mkdirat(&self.0, name, FOLDER_MODE) {
            Ok(()) => self.sync()?,
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.enter(name)
    }

    /// A new file `name`, which must not be there yet.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(&self.0, name, flags, FILE_MODE)?.into())
    }

    /// The file `name`, to read. It may turn out to be anything but a link.
    pub(crate) fn read(&self, name: &str) -> io::Result<File> {
        // A pipe in the place of a file must not hold the reader up.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        Ok(openat(&self.0, name, flags, Mode::empty())?.into())
    }

    /// Moves `from` to `name` in `to`, over what was there, in one step.
    pub(crate) fn rename(&self, from: &str, to: &Self, name: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &to.0, name)?)
    }

    /// Removes the file `name`; it is fine if there is none.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes sure that what was renamed and removed here stays so after a loss of power.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    /// What is in it. Names that are not UTF-8 are none of ours and left out.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut dir = Dir::openat(&self.0, ".", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            if let Ok(name) = entry?.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}
