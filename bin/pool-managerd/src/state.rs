//! What the agent keeps: which life this is, which model each pool comes back with, which digests are known.
//!
//! Invariant: a file is the old one or the new one, never a mixture: written beside, flushed, then renamed.
//! Invariant: one agent per folder.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use catalog_core::{Digest, FileFacts};
use nix::fcntl::{Flock, FlockArg};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tracing::warn;

/// No file of ours is larger.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// More models than any node has.
const DIGESTS_MAX: usize = 4_096;
/// Stands in each folder that the agent made, and that it may remove again.
pub(crate) const MARK: &str = ".made-by-pool-managerd";

/// What a pool comes back with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// What the configuration said when this was kept; another word there wins.
    pub(crate) configured: String,
    /// The model that was ready last.
    pub(crate) model: String,
    /// The digest that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// The port that the engine had last.
    #[serde(default)]
    pub(crate) port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KnownDigest {
    facts: FileFacts,
    digest: Digest,
}

/// The state folder.
#[derive(Debug)]
pub(crate) struct State {
    folder: PathBuf,
    digests: Mutex<HashMap<PathBuf, KnownDigest>>,
    _lock: Flock<File>,
}

impl State {
    /// Takes the folder, and makes it if there is none.
    ///
    /// # Errors
    /// When it cannot be used, or another agent uses it.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let at = || format!("the state folder {}", folder.display());
        for part in ["", "pools", "models", "cache", "build"] {
            fs::create_dir_all(folder.join(part)).with_context(at)?;
        }
        let lock = File::create(folder.join("lock")).with_context(at)?;
        let Ok(lock) = Flock::lock(lock, FlockArg::LockExclusiveNonblock) else {
            bail!("{} is used by another pool-managerd", at());
        };
        let digests = read(&folder.join("digests.json")).with_context(at)?.unwrap_or_default();
        Ok(Self { folder: folder.to_owned(), digests: Mutex::new(digests), _lock: lock })
    }

    /// The number of this life: larger than any before, also after the folder was lost.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn next_incarnation(&self, unix_seconds: u64) -> anyhow::Result<u64> {
        let path = self.folder.join("incarnation.json");
        let before: u64 = read(&path)?.unwrap_or(0);
        let now = before.saturating_add(1).max(unix_seconds);
        write(&path, &now).context("the incarnation cannot be kept")?;
        Ok(now)
    }

    /// What a pool comes back with, if it was ever kept.
    pub(crate) fn kept(&self, pool: &str) -> anyhow::Result<Option<Kept>> {
        read(&self.pool_file(pool))
    }

    /// Keeps it. When this returns, it survives a power cut.
    //= ORCH-3443
    pub(crate) fn keep(&self, pool: &str, kept: &Kept) -> io::Result<()> {
        write(&self.pool_file(pool), kept)
    }

    // A pool's name has no slash and does not begin with a dot: the configuration has made sure of that.
    fn pool_file(&self, pool: &str) -> PathBuf {
        self.folder.join("pools").join(format!("{pool}.json"))
    }

    pub(crate) fn known_digest(&self, path: &Path, facts: &FileFacts) -> Option<Digest> {
        let digests = self.digests.lock();
        digests.get(path).filter(|known| known.facts == *facts).map(|known| known.digest)
    }

    /// It is only a shortcut, so a folder that cannot be written is no error.
    pub(crate) fn remember_digest(&self, path: &Path, facts: &FileFacts, digest: Digest) {
        let known = {
            let mut digests = self.digests.lock();
            if digests.len() >= DIGESTS_MAX {
                digests.clear();
            }
            digests.insert(path.to_owned(), KnownDigest { facts: *facts, digest });
            digests.clone()
        };
        if let Err(error) = write(&self.folder.join("digests.json"), &known) {
            warn!(%error, "a digest is not kept, and will be computed again");
        }
    }

    /// Where models lie that the agent may remove.
    pub(crate) fn models(&self) -> PathBuf {
        self.folder.join("models")
    }

    /// Where an engine keeps what it can make again.
    pub(crate) fn cache(&self, pool: &str) -> PathBuf {
        self.folder.join("cache").join(pool)
    }

    /// Where engines are built.
    pub(crate) fn builds(&self) -> PathBuf {
        self.folder.join("build")
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let at = || path.display().to_string();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(about) if about.len() > FILE_BYTES_MAX => bail!("{} is larger than anything of ours", at()),
        about => about.with_context(at)?,
    };
    let text = fs::read(path).with_context(at)?;
    serde_json::from_slice(&text).map(Some).with_context(|| format!("{} is damaged; remove it", at()))
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_life_has_a_larger_number_also_when_the_clock_went_back() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        assert_eq!(state.next_incarnation(1_000).unwrap(), 1_000);
        assert_eq!(state.next_incarnation(5).unwrap(), 1_001);
        drop(state);
        let state = State::open(folder.path()).unwrap();
        assert_eq!(state.next_incarnation(5).unwrap(), 1_002);
    }

    #[test]
    fn a_second_agent_does_not_get_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = State::open(folder.path()).unwrap();
        assert!(format!("{:#}", State::open(folder.path()).unwrap_err()).contains("another pool-managerd"));
        drop(first);
        State::open(folder.path()).unwrap();
    }

    //= ORCH-3443 type=test
    #[test]
    fn what_is_kept_comes_back_and_half_a_file_is_never_read() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        assert_eq!(state.kept("a").unwrap(), None);
        let kept = Kept { configured: "x".into(), model: "y".into(), digest: None, port: 7 };
        state.keep("a", &kept).unwrap();
        // What a crash in the middle of the next write leaves.
        fs::write(folder.path().join("pools/a.new"), "{\"conf").unwrap();
        assert_eq!(state.kept("a").unwrap(), Some(kept));
        fs::write(folder.path().join("pools/a.json"), "{\"conf").unwrap();
        assert!(format!("{:#}", state.kept("a").unwrap_err()).contains("is damaged"));
    }
}
