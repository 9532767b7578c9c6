//! What must be there before an engine can be started: its program, its model, its memory.
//!
//! What the agent can bring itself, it brings: a Python environment, a build. Of the rest it says by name what
//! is missing. It removes only what it made, which it knows by a mark that it left.

mod tools;

use std::{
    fs,
    io::ErrorKind,
    net::{TcpListener, ToSocketAddrs},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use config_schema::{ContainerConfig, EnginePool, GpuPolicy, PackageConfig, Provisioning, SourceConfig};
use tracing::info;

use crate::{
    machine::NotPrepared,
    models::{self, Model},
    plan::{self, CommandLine, Place},
    state::{MARK, State},
};

pub(crate) use tools::Tools;

/// Building an engine, or installing one, takes minutes; this is far beyond.
const INSTALL_TIME: Duration = Duration::from_hours(2);
const SHORT_TIME: Duration = Duration::from_secs(30);

/// A model by its reference, with the digest that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) reference: String,
    pub(crate) digest: Option<String>,
}

/// What all preparations need.
#[derive(Debug)]
pub(crate) struct Provisioner {
    pub(crate) state: State,
    pub(crate) tools: Tools,
    pub(crate) gpu_policy: GpuPolicy,
    /// Set when the agent ends: a file that is being hashed does not hold it up.
    pub(crate) closing: AtomicBool,
}

fn refused(why: impl Into<String>) -> NotPrepared {
    NotPrepared::Refused(why.into())
}

/// The program of a build in this folder.
pub(crate) fn built(folder: &Path) -> PathBuf {
    folder.join("build/bin/llama-server")
}

impl Provisioner {
    /// Sees that everything is there for `pool` to serve `choice` at `place`, and says how it is started.
    ///
    /// # Errors
    /// What is missing, or what failed while it was brought.
    //= ORCH-3446
    pub(crate) async fn prepare(
        self: Arc<Self>,
        pool: Arc<EnginePool>,
        choice: Choice,
        place: Place,
        vram_bytes: Option<u64>,
    ) -> Result<CommandLine, NotPrepared> {
        plan::check(&pool, self.gpu_policy).map_err(refused)?;
        let model =
            Arc::clone(&self).check_model(Arc::clone(&pool), choice, vram_bytes).await.map_err(refused)?;
        make_folder(&place.cache).map_err(NotPrepared::Failed)?;
        match &pool.provisioning {
            Provisioning::External { .. } => {}
            Provisioning::Binary { command } => {
                let program = command.first().map(String::as_str).unwrap_or_default();
                self.tools.need(&[program]).map_err(refused)?;
            }
            Provisioning::Package(package) => self.install(&pool.id, package).await?,
            Provisioning::Source(source) => self.build(&pool, source, &place.build).await?,
            Provisioning::Container(container) => self.clear_container(&pool, container).await?,
        }
        plan::command_line(&pool, self.gpu_policy, &model, &place).map_err(refused)
    }

    /// Whether the model is there, is the one that it should be, and fits. It may take as long as reading the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) async fn check_model(
        self: Arc<Self>,
        pool: Arc<EnginePool>,
        choice: Choice,
        vram_bytes: Option<u64>,
    ) -> Result<Model, String> {
        let check = move || {
            let model = models::locate(&choice.reference, pool.engine, &self.state.models())?;
            if let Some(digest) = &choice.digest {
                models::check_digest(&model, digest, &self.state, &self.closing)?;
            }
            models::fits(&model, &pool, vram_bytes)?;
            Ok(model)
        };
        let checked = tokio::task::spawn_blocking(check).await;
        checked.unwrap_or_else(|_panic| Err("the model could not be looked at".to_owned()))
    }

    /// Makes the environment of a package unless it is there.
    async fn install(&self, pool: &str, package: &PackageConfig) -> Result<(), NotPrepared> {
        let python = package.venv.join("bin/python");
        let mark = package.venv.join(MARK);
        let wanted = package.requirement.as_deref().unwrap_or_default();
        let has = fs::read_to_string(&mark).ok();
        let ours_and_complete = has.as_deref() == Some(wanted);
        let is_foreign = has.is_none() && python.exists();
        if !(ours_and_complete || is_foreign) {
            if wanted.is_empty() {
                let what = format!(
                    "package.venv {} is not there, and no requirement says what belongs into it",
                    package.venv.display()
                );
                return Err(refused(what));
            }
            self.tools.need(&[&package.python]).map_err(refused)?;
            info!(pool_id = pool, venv = %package.venv.display(), requirement = wanted, "installing the engine's package");
            let venv = package.venv.display().to_string();
            self.tools
                .run(&package.python, &["-m", "venv", &venv], INSTALL_TIME)
                .await
                .map_err(NotPrepared::Failed)?;
            // Begun, and not complete: the next start goes on here.
            write_mark(&mark, "(incomplete)")?;
            let pip = ["-m", "pip", "install", "--disable-pip-version-check", "--", wanted];
            self.tools
                .run(&python.display().to_string(), &pip, INSTALL_TIME)
                .await
                .map_err(NotPrepared::Failed)?;
            write_mark(&mark, wanted)?;
            info!(pool_id = pool, "the engine's package is installed");
        }
        match &package.script {
            Some(script) if !script.is_file() => {
                Err(refused(format!("package.script {} is not there", script.display())))
            }
            Some(_) => Ok(()),
            None => {
                let program = package.venv.join("bin/vllm");
                self.tools.need(&[&program.display().to_string()]).map_err(refused)
            }
        }
    }

    /// Builds llama.cpp's server unless that was done.
    async fn build(
        &self,
        pool: &EnginePool,
        source: &SourceConfig,
        folder: &Path,
    ) -> Result<(), NotPrepared> {
        let mark = folder.join(MARK);
        let on_cpu = pool.devices.as_deref() == Some("cpu");
        let wanted = format!("{} {} {}", source.git, source.revision, if on_cpu { "cpu" } else { "cuda" });
        if fs::read_to_string(&mark).is_ok_and(|has| has == wanted) && built(folder).is_file() {
            return Ok(());
        }
        let mut needed = vec!["git", "cmake", "ninja", "c++"];
        if !on_cpu {
            needed.push("nvcc");
        }
        self.tools.need(&needed).map_err(refused)?;
        remove_made(folder).map_err(NotPrepared::Failed)?;
        make_folder(folder).map_err(NotPrepared::Failed)?;
        info!(pool_id = pool.id, git = source.git, revision = source.revision, "building the engine");
        let (tree, build) =
            (folder.join("source").display().to_string(), folder.join("build").display().to_string());
        let clone = ["clone", "--depth", "1", "--branch", &source.revision, "--", &source.git, &tree];
        let cuda = if on_cpu { "-DGGML_CUDA=OFF" } else { "-DGGML_CUDA=ON" };
        let configure = ["-S", &tree, "-B", &build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", cuda];
        let make = ["--build", &build, "--target", "llama-server"];
        let steps: [(&str, &[&str]); 3] = [("git", &clone), ("cmake", &configure), ("cmake", &make)];
        for (program, args) in steps {
            self.tools.run(program, args, INSTALL_TIME).await.map_err(NotPrepared::Failed)?;
        }
        write_mark(&mark, &wanted)?;
        info!(pool_id = pool.id, "the engine is built");
        Ok(())
    }

    /// Sees that a container can have its devices, and that none of an earlier life is in the way.
    async fn clear_container(
        &self,
        pool: &EnginePool,
        container: &ContainerConfig,
    ) -> Result<(), NotPrepared> {
        self.tools.need(&[&container.runtime]).map_err(refused)?;
        if pool.devices.as_deref() != Some("cpu") && !tools::has_nvidia_devices() {
            let what = "no device description of NVIDIA's container toolkit in /etc/cdi or /var/run/cdi: run `nvidia-ctk cdi generate`";
            return Err(refused(what));
        }
        let name = plan::container_name(&pool.id);
        // There is usually none, which some runtimes call an error.
        drop(self.tools.run(&container.runtime, &["rm", "--force", &name], SHORT_TIME).await);
        Ok(())
    }

    /// Removes what a purge asks for, and nothing that the agent did not make.
    ///
    /// # Errors
    /// What was not removed, and why.
    pub(crate) fn clean_up(
        &self,
        pool: &EnginePool,
        leftovers: &[Leftover],
        place: &Place,
    ) -> Result<(), String> {
        let remove = |leftover: &Leftover| match (leftover, &pool.provisioning) {
            (Leftover::Model(reference), _) => self.remove_model(reference),
            (Leftover::Caches, _) => remove_made(&place.cache),
            (Leftover::Engine, Provisioning::Package(package)) => remove_made(&package.venv),
            (Leftover::Engine, Provisioning::Source(_)) => remove_made(&place.build),
            (Leftover::Engine, _) => Err("purge_engine: the agent did not bring this engine".to_owned()),
        };
        let problems: Vec<String> = leftovers.iter().filter_map(|it| remove(it).err()).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    /// Removes a model's file from the agent's own folder.
    fn remove_model(&self, reference: &str) -> Result<(), String> {
        let own = self.state.models();
        let located = models::locate(reference, config_schema::EngineKind::Llamacpp, &own)?;
        let Model::File(path) = located else {
            return Err(format!("purge_models: {reference} is no file of the agent's"));
        };
        // With all links followed, so that none leads out.
        let is_own = path
            .canonicalize()
            .ok()
            .zip(own.canonicalize().ok())
            .is_some_and(|(path, own)| path.starts_with(own));
        if !is_own {
            return Err(format!("purge_models: {} does not lie in the agent's own folder", path.display()));
        }
        fs::remove_file(&path).map_err(|error| format!("purge_models: {}: {error}", path.display()))
    }
}

/// What a purge is to remove beside the engine's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leftover {
    /// What the agent installed or built.
    Engine,
    /// A model's file in the agent's own folder.
    Model(String),
    /// What the engine can make again.
    Caches,
}

/// Makes a folder and marks it, unless it is there.
fn make_folder(folder: &Path) -> Result<(), String> {
    if folder.is_dir() {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    fs::write(folder.join(MARK), "").map_err(failed)
}

fn write_mark(mark: &Path, text: &str) -> Result<(), NotPrepared> {
    fs::write(mark, text).map_err(|error| NotPrepared::Failed(format!("{}: {error}", mark.display())))
}

/// Removes a folder that has the agent's mark, if it is there.
fn remove_made(folder: &Path) -> Result<(), String> {
    if !folder.exists() {
        return Ok(());
    }
    if !folder.join(MARK).is_file() {
        return Err(format!("{} was not made by the agent and stays", folder.display()));
    }
    fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// The port itself, or a free one for 0. One that is `kept` from before is taken again if it is free.
///
/// # Errors
/// When there is none.
pub(crate) fn port(host: &str, configured: u16, kept: u16) -> Result<u16, String> {
    if configured != 0 {
        return Ok(configured);
    }
    let host = host.trim_matches(['[', ']']);
    let free = |port: u16| -> std::io::Result<u16> {
        let mut last = std::io::Error::from(ErrorKind::AddrNotAvailable);
        for addr in (host, port).to_socket_addrs()? {
            match TcpListener::bind(addr).and_then(|listener| listener.local_addr()) {
                Ok(addr) => return Ok(addr.port()),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    if kept != 0 && free(kept).is_ok() {
        return Ok(kept);
    }
    free(0).map_err(|error| format!("no port of {host} is free: {error}"))
}

#[cfg(test)]
mod tests;
