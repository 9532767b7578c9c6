//! A folder for what the tools start, gone afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Removes the folder and all in it on drop.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new folder; `label` tells apart those of one process.
    pub(crate) fn new(label: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("loadgen-{}-{label}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder where it is, for whoever wants to look into it.
    pub(crate) fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.path)
    }

    /// Writes a file of the folder and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A temporary folder that stays behind harms nobody, and there is no one to tell.
        if !self.path.as_os_str().is_empty() {
            fs::remove_dir_all(&self.path).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_and_its_files_are_gone_after_drop() {
        let scratch = Scratch::new("test").unwrap();
        let file = scratch.write("a.txt", "text").unwrap();
        assert!(file.starts_with(scratch.path()) && file.exists());
        let folder = scratch.path().to_owned();
        drop(scratch);
        assert!(!folder.exists());
    }

    #[test]
    fn folder_that_is_to_be_kept_stays() {
        let folder = Scratch::new("kept").unwrap().keep();
        assert!(folder.exists());
        fs::remove_dir(folder).unwrap();
    }
}
