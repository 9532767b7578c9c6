//! Models on this machine: where a reference leads, whether the file is the one it should be, and what it needs.

use std::{
    fmt,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use catalog_core::{Digest, FileFacts, KvType, ModelRef, ModelSource, VramNeed, read_header, verify};
use config_schema::{EngineKind, EnginePool};

use crate::state::State;

/// A model as an engine is told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Model {
    /// One file.
    File(PathBuf),
    /// A folder of files.
    Folder(PathBuf),
    /// A name that the engine looks up itself.
    Hub(String),
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Folder(path) => path.display().fmt(f),
            Self::Hub(name) => f.write_str(name),
        }
    }
}

/// Where `reference` leads on this machine.
///
/// # Errors
/// When it is no reference, or leads nowhere.
pub(crate) fn locate(reference: &str, engine: EngineKind, own_models: &Path) -> Result<Model, String> {
    let model: ModelRef = reference.parse().map_err(|error| format!("model {reference}: {error}"))?;
    let name = model.name().to_string();
    match model.source() {
        ModelSource::File => on_disk(&PathBuf::from(name)),
        ModelSource::Named if name.starts_with('/') => on_disk(&PathBuf::from(name)),
        ModelSource::Named => {
            let own = own_models.join(&name);
            if own.exists() || engine == EngineKind::Llamacpp { on_disk(&own) } else { Ok(Model::Hub(name)) }
        }
        ModelSource::HuggingFace => Ok(Model::Hub(name)),
        ModelSource::Https | ModelSource::S3 | ModelSource::Oci => {
            Err(format!("model {reference}: the agent fetches no models; name a file that is here"))
        }
    }
}

fn on_disk(path: &Path) -> Result<Model, String> {
    match path.metadata() {
        Ok(about) if about.is_file() => Ok(Model::File(path.to_owned())),
        Ok(about) if about.is_dir() => Ok(Model::Folder(path.to_owned())),
        Ok(_) => Err(format!("model {}: is neither a file nor a folder", path.display())),
        Err(error) => Err(format!("model {}: {error}", path.display())),
    }
}

/// Hashes the model's file unless that was done before and the file is the same since.
///
/// # Errors
/// When the file has another digest, or cannot be read. It blocks for as long as the file takes to read, or
/// until `cancel` is set.
// N14
//= ORCH-3445
//= ORCH-3097
pub(crate) fn check_digest(
    model: &Model,
    expected: &str,
    state: &State,
    cancel: &AtomicBool,
) -> Result<(), String> {
    let expected: Digest = expected.parse().map_err(|error| format!("model_digest {error}"))?;
    let Model::File(path) = model else {
        return Err(format!("UNTRUSTED_ARTIFACT: a digest is of one file, and {model} is none"));
    };
    let unreadable = |error: std::io::Error| format!("model {}: {error}", path.display());
    let file = File::open(path).map_err(unreadable)?;
    let facts = FileFacts::of(&file).map_err(unreadable)?;
    let digest = match state.known_digest(path, &facts) {
        Some(digest) => digest,
        None => {
            let verified = verify(&file, Some(expected), &mut |_| {}, cancel);
            let verified = verified.map_err(|canceled| canceled.to_string())?;
            let read = verified
                .digest
                .ok_or_else(|| format!("model {}: it could not be read whole", path.display()))?;
            // A file that changed while it was read is not known by what was read.
            if let Some(facts) = verified.facts {
                state.remember_digest(path, &facts, read);
            }
            read
        }
    };
    if digest == expected {
        return Ok(());
    }
    Err(format!(
        "UNTRUSTED_ARTIFACT: model {} has the digest {digest}, and {expected} is asked for",
        path.display()
    ))
}

/// Whether the model fits into so many bytes of its devices, as far as its header tells.
///
/// # Errors
/// When it does not, with the numbers.
pub(crate) fn fits(model: &Model, pool: &EnginePool, bytes: Option<u64>) -> Result<(), String> {
    let (Model::File(path), Some(bytes)) = (model, bytes) else { return Ok(()) };
    let Ok(file) = File::open(path) else { return Ok(()) };
    let size = file.metadata().map_or(0, |about| about.len());
    let Ok(meta) = read_header(BufReader::new(file), size) else { return Ok(()) };
    let per_slot = pool.ctx.or(meta.ctx_max).unwrap_or(0);
    let ctx = per_slot.saturating_mul(pool.ctx.and(pool.slots).unwrap_or(1));
    match VramNeed::estimate(&meta, ctx, KvType::default()) {
        Ok(need) if need.total() > bytes => Err(format!(
            "POOL_UNAVAILABLE: the model needs about {} bytes of VRAM ({} of weights, {} of cache), and its devices have {bytes}",
            need.total(),
            need.weights,
            need.kv_cache
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static GOES_ON: AtomicBool = AtomicBool::new(false);

    #[test]
    fn a_reference_leads_to_a_file_a_folder_or_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.gguf");
        std::fs::write(&file, "x").unwrap();
        let at = |reference: &str, engine| locate(reference, engine, folder.path());
        let path = file.display().to_string();
        for reference in [path.clone(), format!("file:{path}"), "m.gguf".to_owned()] {
            assert_eq!(at(&reference, EngineKind::Llamacpp), Ok(Model::File(file.clone())), "{reference}");
        }
        let here = folder.path().display().to_string();
        assert_eq!(at(&here, EngineKind::Vllm), Ok(Model::Folder(folder.path().to_owned())));
        assert_eq!(at("org/m", EngineKind::Vllm), Ok(Model::Hub("org/m".into())));
        assert_eq!(at("hf:org/m", EngineKind::Llamacpp), Ok(Model::Hub("org/m".into())));
        for nowhere in ["/no/such.gguf", "other.gguf", "../m.gguf", "https://h/m.gguf", "a b"] {
            assert!(at(nowhere, EngineKind::Llamacpp).is_err(), "{nowhere}");
        }
    }

    // N14
    //= ORCH-3445 type=test
    #[test]
    fn a_file_with_another_digest_is_refused_and_one_that_changed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let path = folder.path().join("m.gguf");
        std::fs::write(&path, "test").unwrap();
        let model = Model::File(path.clone());
        let digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert_eq!(check_digest(&model, digest, &state, &GOES_ON), Ok(()));
        assert!(state.known_digest(&path, &FileFacts::of(&File::open(&path).unwrap()).unwrap()).is_some());
        let other = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
        let told = check_digest(&model, other, &state, &GOES_ON).unwrap_err();
        assert!(told.starts_with("UNTRUSTED_ARTIFACT") && told.contains("9f86d081"), "{told}");
        std::fs::write(&path, "tested").unwrap();
        assert!(
            check_digest(&model, digest, &state, &GOES_ON).unwrap_err().starts_with("UNTRUSTED_ARTIFACT")
        );
    }
}
