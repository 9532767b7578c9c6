//! Putting a file into its place so that no crash leaves half of it.

use std::{
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::{self, Write as _},
};

use crate::{folder::Folder, meta::Flush};

/// Files that are being written begin so; what a crash left of them is removed when the store opens.
pub(crate) const TEMPORARY: &str = ".new-";
/// Names are random, so a second try is already one too many.
const TRIES: usize = 8;

/// How far a file has come. Tests look at the folder after each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Created,
    HeadWritten,
    ContentWritten,
    FileFlushed,
    Renamed,
}

/// Writes `head` and `content` to `name` in `folder`, over what was there, in one visible step.
///
/// After an error the file that was there before is unharmed. The caller flushes the folder.
//= ORCH-3416
pub(crate) fn place(
    folder: &Folder,
    name: &str,
    (head, content): (&[u8], &[u8]),
    flush: Flush,
    after: &mut dyn FnMut(Step),
) -> io::Result<()> {
    let (temporary, file) = create(folder)?;
    after(Step::Created);
    let written =
        write(file, (head, content), flush, after).and_then(|()| folder.rename(&temporary, folder, name));
    if let Err(error) = written {
        // What cannot be removed now is removed when the store opens again.
        folder.remove(&temporary).ok();
        return Err(error);
    }
    after(Step::Renamed);
    Ok(())
}

fn create(folder: &Folder) -> io::Result<(String, File)> {
    let mut error = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..TRIES {
        let name = format!("{TEMPORARY}{:016x}", RandomState::new().hash_one(0));
        match folder.create(&name) {
            Ok(file) => return Ok((name, file)),
            Err(other) if other.kind() == io::ErrorKind::AlreadyExists => error = other,
            Err(other) => return Err(other),
        }
    }
    Err(error)
}

fn write(
    mut file: File,
    (head, content): (&[u8], &[u8]),
    flush: Flush,
    after: &mut dyn FnMut(Step),
) -> io::Result<()> {
    file.write_all(head)?;
    after(Step::HeadWritten);
    file.write_all(content)?;
    after(Step::ContentWritten);
    if flush == Flush::Now {
        file.sync_all()?;
    }
    after(Step::FileFlushed);
    Ok(())
}
