//! The store itself: what callers ask, and the order of locks and files behind it.

use std::{
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

use orchestrator_core::JobId;
use parking_lot::Mutex;

use crate::{
    error::{ArtifactError, Damage, LimitName},
    folder::Folder,
    format,
    id::ArtifactId,
    index::Index,
    meta::{Flush, Kind, Meta, NewArtifact, WallMillis},
    open::{self, OpenReport, Unread},
    place::{self, Step},
};

/// The most artifacts that one job may pin.
const PINS_MAX: usize = 1024;

/// The bounds of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of all files together, heads included.
    pub quota_bytes: u64,
    /// The most bytes of one artifact's content.
    pub artifact_bytes_max: u64,
    /// How long an artifact is kept after it was last stored.
    pub age_max: Duration,
    /// The most artifacts, which bounds the memory that knows them.
    pub count_max: usize,
}

/// What storing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The artifact's name.
    pub id: ArtifactId,
    /// Whether its content was not there before.
    pub new: bool,
    /// What had to make room.
    pub collected: Collected,
}

/// What was removed because it was too old or in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// How many artifacts.
    pub removed: usize,
    /// The bytes of their files.
    pub bytes: u64,
    /// How many more should have gone, but their files could not be removed.
    pub failed: usize,
}

/// An artifact, whole and proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What is known of it.
    pub meta: Meta,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// What became of a file that was to go.
enum Dropped {
    /// It is gone, and had so many bytes.
    Bytes(u64),
    /// It stays for a live job.
    Pinned,
    /// There was none.
    Unknown,
}

/// Which artifacts to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only those of this kind.
    pub kind: Option<Kind>,
    /// Only those that this job stored.
    pub job: Option<JobId>,
}

/// Artifacts in one folder. Every call may wait for the disk.
#[derive(Debug)]
pub struct ArtifactStore {
    root: Folder,
    limits: Limits,
    report: OpenReport,
    /// Held while files change. It is taken before `index`, which is never held while the disk works.
    writing: Mutex<()>,
    index: Mutex<Index>,
}

impl ArtifactStore {
    /// Opens the store in `folder`, and makes it if there is none.
    ///
    /// It reads the head of every file and clears away what a crash left; [`Self::report`] tells what it
    /// found. Damaged files are no error.
    ///
    /// # Errors
    /// When the folder is in use by another store, or cannot be made, read or written.
    pub fn open(folder: &Path, limits: Limits) -> Result<Self, ArtifactError> {
        let root =
            Folder::at(folder).map_err(|error| ArtifactError::io("the folder cannot be opened", error))?;
        let owned = root.lock().map_err(|error| ArtifactError::io("the folder cannot be locked", error))?;
        if !owned {
            return Err(ArtifactError::InUse { folder: folder.to_owned() });
        }
        let (index, report) = open::scan(&root)?;
        Ok(Self { root, limits, report, writing: Mutex::new(()), index: Mutex::new(index) })
    }

    /// What was found when the store was opened.
    pub const fn report(&self) -> &OpenReport {
        &self.report
    }

    /// Stores an artifact, and makes room for it among the oldest without a pin.
    ///
    /// When it returns, the artifact survives what [`NewArtifact::flush`] says.
    ///
    /// # Errors
    /// When it exceeds a bound, or the disk is full or fails.
    pub fn put(&self, new: &NewArtifact<'_>) -> Result<Stored, ArtifactError> {
        self.put_watched(new, &mut |_step| {})
    }

    fn put_watched(
        &self,
        new: &NewArtifact<'_>,
        after: &mut dyn FnMut(Step),
    ) -> Result<Stored, ArtifactError> {
        let bytes = new.content.len() as u64;
        at_most(bytes, LimitName::ArtifactBytes, self.limits.artifact_bytes_max)?;
        let id = ArtifactId::of(new.content);
        let _writing = self.writing.lock();
        let known = self.meta(&id);
        let meta = known.as_ref().map_or_else(|| Meta::of(id, new), |known| known.again(new));
        if known.as_ref() == Some(&meta) && self.read(id, bytes).is_ok() {
            return Ok(Stored { id, new: false, collected: Collected::default() });
        }
        let head = format::encode(&meta).map_err(|why| ArtifactError::Damaged { id, why })?;
        let file_bytes = bytes.saturating_add(head.len() as u64);
        at_most(file_bytes, LimitName::Quota, self.limits.quota_bytes)?;
        let collected = self.make_room(id, file_bytes)?;
        let (folder, name) = id.place();
        let failed = |error| ArtifactError::io("the artifact could not be written", error);
        let folder = self.root.make(&folder).map_err(failed)?;
        place::place(&folder, &name, (&head, new.content), new.flush, after).map_err(failed)?;
        self.index.lock().insert(meta, file_bytes);
        if new.flush == Flush::Now {
            folder.sync().map_err(failed)?;
        }
        Ok(Stored { id, new: known.is_none(), collected })
    }

    /// An artifact, whose content was held against its digest just now; `None` when there is none.
    ///
    /// # Errors
    /// When the file is damaged, which also sets it aside, or the disk fails.
    pub fn get(&self, id: &ArtifactId) -> Result<Option<Artifact>, ArtifactError> {
        let Some(bytes) = self.meta(id).map(|meta| meta.bytes) else { return Ok(None) };
        match self.read(*id, bytes) {
            Ok(artifact) => Ok(Some(artifact)),
            Err(_) => self.get_quietly(*id, bytes),
        }
    }

    /// A second look while nothing changes, after which the file's state is certain.
    fn get_quietly(&self, id: ArtifactId, bytes: u64) -> Result<Option<Artifact>, ArtifactError> {
        let failed = |error| ArtifactError::io("the artifact could not be read", error);
        let _writing = self.writing.lock();
        match self.read(id, bytes) {
            Ok(artifact) => Ok(Some(artifact)),
            Err(Unread::Gone) => {
                self.index.lock().remove(id);
                Ok(None)
            }
            Err(Unread::Damage(why)) => {
                self.index.lock().remove(id);
                open::set_aside(&self.root, id, why).map_err(failed)?;
                Err(ArtifactError::Damaged { id, why })
            }
            Err(Unread::Io(error)) => Err(failed(error)),
        }
    }

    fn read(&self, id: ArtifactId, bytes: u64) -> Result<Artifact, Unread> {
        let (folder, name) = id.place();
        let (head, file) = open::read_head(id, &self.root.enter(&folder)?, &name)?;
        if head.meta.bytes != bytes {
            return Err(Unread::Damage(Damage::Length));
        }
        let mut content = Vec::new();
        io::Seek::seek(&mut &file, io::SeekFrom::Start(head.bytes as u64))?;
        file.take(bytes).read_to_end(&mut content)?;
        //= ORCH-3416
        if ArtifactId::of(&content) != id {
            return Err(Unread::Damage(Damage::Digest));
        }
        Ok(Artifact { meta: head.meta, content })
    }

    /// What is known of an artifact. It does not touch the disk.
    pub fn meta(&self, id: &ArtifactId) -> Option<Meta> {
        self.index.lock().get(*id).map(|entry| entry.meta.clone())
    }

    /// The latest artifacts that fit `filter`, the latest first, and at most `most`.
    pub fn list(&self, filter: Filter, most: usize) -> Vec<Meta> {
        let fits = |meta: &&Meta| {
            filter.kind.is_none_or(|kind| meta.kind == kind)
                && filter.job.is_none_or(|job| meta.jobs.contains(&job))
        };
        self.index.lock().latest_first().filter(fits).take(most).cloned().collect()
    }

    /// Removes an artifact for good and answers whether there was one.
    ///
    /// # Errors
    /// When a live job needs it, or the disk fails.
    pub fn remove(&self, id: &ArtifactId) -> Result<bool, ArtifactError> {
        let failed = |error| ArtifactError::io("the artifact could not be removed", error);
        let _writing = self.writing.lock();
        match self.drop_file(*id).map_err(failed)? {
            Dropped::Pinned => return Err(ArtifactError::Pinned { id: *id }),
            Dropped::Unknown => return Ok(false),
            Dropped::Bytes(_) => {}
        }
        self.root.enter(&id.place().0).and_then(|folder| folder.sync()).map_err(failed)?;
        Ok(true)
    }

    /// Removes what is older than `age_max`, and then the oldest until the store keeps its bounds. What
    /// live jobs pin stays. After a crash some of it may be back, until the next time.
    //= ORCH-3416
    pub fn collect(&self, now: WallMillis) -> Collected {
        let _writing = self.writing.lock();
        let mut collected = Collected::default();
        let outdated = self.index.lock().outdated(now, &self.limits);
        self.drop_all(outdated, &mut collected);
        let surplus = self.index.lock().surplus(&self.limits);
        self.drop_all(surplus, &mut collected);
        collected
    }

    /// Keeps an artifact for `job` until [`Self::release`]. Pins do not survive the process.
    ///
    /// # Errors
    /// When there is no such artifact, or the job pins too many.
    pub fn pin(&self, job: JobId, id: &ArtifactId) -> Result<(), ArtifactError> {
        let mut index = self.index.lock();
        if index.get(*id).is_none() {
            return Err(ArtifactError::Unknown { id: *id });
        }
        if index.pins_beside(job, *id) >= PINS_MAX {
            return Err(ArtifactError::TooManyPins { most: PINS_MAX });
        }
        index.pin(job, *id);
        Ok(())
    }

    /// Takes all pins of a job away, which has ended.
    pub fn release(&self, job: JobId) {
        self.index.lock().release(job);
    }

    /// The bytes of all files together, heads included.
    pub fn used_bytes(&self) -> u64 {
        self.index.lock().used_bytes()
    }

    fn make_room(&self, id: ArtifactId, bytes: u64) -> Result<Collected, ArtifactError> {
        let quota = self.limits.quota_bytes;
        let victims = self.index.lock().in_the_way(id, bytes, &self.limits);
        let mut collected = Collected::default();
        self.drop_all(victims.ok_or(ArtifactError::OverQuota { bytes, quota })?, &mut collected);
        // What could not be removed still counts.
        let has_room =
            self.index.lock().in_the_way(id, bytes, &self.limits).is_some_and(|ids| ids.is_empty());
        if has_room { Ok(collected) } else { Err(ArtifactError::OverQuota { bytes, quota }) }
    }

    fn drop_all(&self, ids: Vec<ArtifactId>, collected: &mut Collected) {
        for id in ids {
            match self.drop_file(id) {
                Ok(Dropped::Bytes(bytes)) => {
                    collected.removed += 1;
                    collected.bytes = collected.bytes.saturating_add(bytes);
                }
                // A pin may have come in the meantime.
                Ok(Dropped::Pinned | Dropped::Unknown) => {}
                Err(_) => collected.failed += 1,
            }
        }
    }

    /// The index forgets first and in one step, so that nothing is pinned that is about to go.
    fn drop_file(&self, id: ArtifactId) -> io::Result<Dropped> {
        let forgotten = {
            let mut index = self.index.lock();
            let is_pinned = index.is_pinned(id);
            match index.get(id) {
                None => return Ok(Dropped::Unknown),
                Some(_) if is_pinned => return Ok(Dropped::Pinned),
                Some(_) => index.remove(id),
            }
        };
        let Some(entry) = forgotten else { return Ok(Dropped::Unknown) };
        let (folder, name) = id.place();
        let removed = match self.root.enter(&folder) {
            Ok(folder) => folder.remove(&name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            self.index.lock().insert(entry.meta, entry.file_bytes);
            return Err(error);
        }
        Ok(Dropped::Bytes(entry.file_bytes))
    }
}

fn at_most(bytes: u64, limit: LimitName, most: u64) -> Result<(), ArtifactError> {
    if bytes <= most { Ok(()) } else { Err(ArtifactError::TooLarge { bytes, limit, most }) }
}

#[cfg(test)]
mod crash_tests;
