//! `setup`: a real llama.cpp server, two small models and the clients of `OpenAI` in a cache folder.
//!
//! The tests against a real engine are worth only as much as the engine is real and the same everywhere. So
//! versions are pinned, every downloaded byte is checked against a SHA-256 in this repository, and a second
//! run finds everything in place without starting a process.

mod cache;
mod clients;
mod fetch;
mod file;
mod progress;
mod python;
mod schemathesis;
mod vllm;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{
    commands::{self, Flag},
    verdict::Verdict,
    workspace,
};

pub(crate) use vllm::Vllm;

use cache::Cache;

/// Something that this machine lacks, with what to do about it. All else that goes wrong is a plain error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Lacking(pub(crate) String);

/// The engine as it lies in the cache.
#[derive(Debug)]
pub(crate) struct Engine {
    /// The folder of all this; logs may be written there too.
    pub(crate) folder: PathBuf,
    /// The interpreter that has the server's wheel.
    pub(crate) python: PathBuf,
    /// The launcher, run by that interpreter.
    pub(crate) server: PathBuf,
    /// A real instruct model.
    pub(crate) smollm2: PathBuf,
    /// The model whose answers are known beforehand.
    pub(crate) tiny_counter: PathBuf,
}

/// Gets what is missing and says where it lies.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let flag = commands::only_flag("setup", "--vllm", arguments)?;
    let engine = ensure()?;
    println!("ready: {}", engine.folder.display());
    println!("  server  {} {}", engine.python.display(), engine.server.display());
    println!("  model   {}", engine.smollm2.display());
    println!("  model   {}", engine.tiny_counter.display());
    if flag == Flag::Given {
        let vllm = ensure_vllm()?;
        println!("  vLLM    {}", vllm.program.display());
        println!("  model   {}", vllm.model.display());
    }
    Ok(Verdict::Good)
}

/// Gets what is missing.
pub(crate) fn ensure() -> Result<Engine> {
    let cache = Cache::locate()?;
    if !cache.is_complete() || !clients::are_complete(&cache) {
        // A second setup waits here, and then finds the work done.
        let lock = cache.lock()?;
        fetch::all(&cache)?;
        clients::all(&cache)?;
        drop(lock);
    }
    Ok(Engine {
        python: cache.python(),
        server: scripts().join("llama_server.py"),
        smollm2: cache.model(fetch::SMOLLM2.name),
        tiny_counter: cache.model(fetch::TINY_COUNTER.name),
        folder: cache.folder,
    })
}

/// Gets what is missing of vLLM.
pub(crate) fn ensure_vllm() -> Result<Vllm> {
    let cache = Cache::locate()?;
    let lock = cache.lock()?;
    let vllm = vllm::ensure(&cache);
    drop(lock);
    vllm
}

/// Gets what is missing of Schemathesis, and gives its program.
pub(crate) fn ensure_schemathesis() -> Result<PathBuf> {
    let cache = Cache::locate()?;
    let lock = cache.lock()?;
    let program = schemathesis::ensure(&cache);
    drop(lock);
    program
}

/// Our Python scripts and the pinned requirements.
fn scripts() -> PathBuf {
    Path::new(workspace::root()).join("xtask/engines")
}
