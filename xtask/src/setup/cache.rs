//! Where the engine is kept, and how one sees without work that it is all there.
//!
//! A folder of Python packages cannot be renamed into place, so a stamp written last says that it is whole.
//! A model file gets a stamp too, with its size and time, so that 98 MB are not hashed again on every run.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use anyhow::{Context, Result, bail};

use super::{fetch, file};

/// The cache folder.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) folder: PathBuf,
}

impl Cache {
    /// `$LLORCH_CACHE_DIR`, else the user's cache folder.
    pub(super) fn locate() -> Result<Self> {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = locate_from(variable)?;
        Ok(Self {
            folder: std::path::absolute(&folder).with_context(|| format!("bad path {}", folder.display()))?,
        })
    }

    /// Holds off every other setup on this folder until the file is dropped.
    pub(super) fn lock(&self) -> Result<File> {
        fs::create_dir_all(self.folder.join("models"))
            .with_context(|| format!("cannot make the cache folder {}", self.folder.display()))?;
        let path = self.folder.join("setup.lock");
        let lock = File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                println!("another setup is at work in {}; waiting for it", self.folder.display());
                lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => bail!("cannot lock {}: {error}", path.display()),
        }
        Ok(lock)
    }

    /// The virtual environment with the server's wheel.
    pub(super) fn venv(&self) -> PathBuf {
        self.folder.join("venv")
    }

    /// The interpreter inside it.
    pub(super) fn python(&self) -> PathBuf {
        self.venv().join("bin/python")
    }

    /// A model's file.
    pub(super) fn model(&self, name: &str) -> PathBuf {
        self.folder.join("models").join(name)
    }

    /// Whether everything is in place, by the stamps alone.
    pub(super) fn is_complete(&self) -> bool {
        self.has_server() && [&fetch::SMOLLM2, &fetch::TINY_COUNTER].iter().all(|model| self.has_model(model))
    }

    /// Whether the wheel of the pinned version is installed.
    pub(super) fn has_server(&self) -> bool {
        let stamp = fs::read_to_string(self.server_stamp()).unwrap_or_default();
        stamp == fetch::SERVER_REQUIREMENTS && self.python().exists()
    }

    /// Whether the model's file is the one that was checked.
    pub(super) fn has_model(&self, model: &fetch::Model) -> bool {
        let path = self.model(model.name);
        let written = fs::read_to_string(stamp_path(&path)).unwrap_or_default();
        stamp(&path, model.sha256).is_ok_and(|stamp| stamp == written)
    }

    /// Notes that the wheel is installed.
    pub(super) fn stamp_server(&self) -> Result<()> {
        file::write(&self.server_stamp(), fetch::SERVER_REQUIREMENTS)
    }

    /// Notes that the model's file has been checked.
    pub(super) fn stamp_model(&self, model: &fetch::Model) -> Result<()> {
        let path = self.model(model.name);
        file::write(&stamp_path(&path), &stamp(&path, model.sha256)?)
    }

    fn server_stamp(&self) -> PathBuf {
        self.venv().join("installed.txt")
    }
}

fn locate_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    if let Some(folder) = variable("LLORCH_CACHE_DIR") {
        return Ok(folder);
    }
    let caches = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    match caches {
        Some(caches) => Ok(caches.join("llama-orch/engines")),
        None => bail!("no place for the cache: set LLORCH_CACHE_DIR, XDG_CACHE_HOME or HOME"),
    }
}

fn stamp_path(path: &Path) -> PathBuf {
    path.with_added_extension("verified")
}

fn stamp(path: &Path, sha256: &str) -> Result<String> {
    let about = fs::metadata(path)?;
    let changed = about.modified()?.duration_since(UNIX_EPOCH)?;
    Ok(format!("{sha256} {} {}\n", about.len(), changed.as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_variable_wins_over_the_users_cache_folder() {
        let all = |name: &str| Some(PathBuf::from(format!("/{name}")));
        assert_eq!(locate_from(all).unwrap(), Path::new("/LLORCH_CACHE_DIR"));
        let some = |name: &str| all(name).filter(|_| name != "LLORCH_CACHE_DIR");
        assert_eq!(locate_from(some).unwrap(), Path::new("/XDG_CACHE_HOME/llama-orch/engines"));
        let home = |name: &str| all(name).filter(|_| name == "HOME");
        assert_eq!(locate_from(home).unwrap(), Path::new("/HOME/.cache/llama-orch/engines"));
    }

    #[test]
    fn no_place_for_the_cache_names_the_settings() {
        let error = locate_from(|_| None).unwrap_err().to_string();
        assert!(error.contains("LLORCH_CACHE_DIR"), "{error}");
    }

    #[test]
    fn changed_model_file_loses_its_stamp() {
        let cache =
            Cache { folder: std::env::temp_dir().join(format!("setup-cache-{}", std::process::id())) };
        let lock = cache.lock().unwrap();
        let path = cache.model(fetch::TINY_COUNTER.name);
        fs::write(&path, "one").unwrap();
        assert!(!cache.has_model(&fetch::TINY_COUNTER));
        cache.stamp_model(&fetch::TINY_COUNTER).unwrap();
        assert!(cache.has_model(&fetch::TINY_COUNTER));
        fs::write(&path, "other").unwrap();
        assert!(!cache.has_model(&fetch::TINY_COUNTER));
        drop(lock);
        fs::remove_dir_all(&cache.folder).unwrap();
    }
}
