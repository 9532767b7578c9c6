//! From a pool's configuration to the command line of its engine, as a pure function.
//!
//! Invariant: under `vram-only` no command line leaves this module that would have an engine compute or keep
//! anything outside of its devices, as far as flags and variables can say so.
//! Invariant: what the agent itself decides (model, address, key, devices) cannot be said by `flags` or `env`.

mod policy;

use std::path::{Path, PathBuf};

use config_schema::{EngineKind, EnginePool, GpuPolicy, PackageConfig, Provisioning};

use crate::models::Model;

/// More layers than any model has: all of them.
const ALL_LAYERS: &str = "999";
/// Variables of the agent's own that no engine needs, and that hold its secrets.
const OWN_PREFIXES: [&str; 4] = ["LLORCH_", "ORCHD_", "POOL_MANAGERD_", "ORCHESTRATORD_"];

/// A program with what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    /// Variables that are set, over what the agent itself was started with.
    pub(crate) env: Vec<(String, String)>,
}

/// Where an engine is to listen, and where it may keep what it can make again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) cache: PathBuf,
    /// Where it is built, if it is.
    pub(crate) build: PathBuf,
}

/// Whether the agent's environment has a variable that engines must not see.
pub(crate) fn is_kept_from_engines(name: &str) -> bool {
    OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || policy::is_decided_by_the_agent(name)
}

/// What is wrong with a pool before anything is looked at on the machine.
///
/// # Errors
/// Every flag and variable that may not stand there, by its name.
//= ORCH-3442
//= ORCH-3352
pub(crate) fn check(pool: &EnginePool, gpu_policy: GpuPolicy) -> Result<(), String> {
    if pool.devices.as_deref() == Some("cpu") && gpu_policy == GpuPolicy::VramOnly {
        let what = "devices = \"cpu\" is refused under gpu_policy = vram-only; allow-cpu is for development";
        return Err(what.to_owned());
    }
    let mut refused = policy::own_flags(pool.engine, &pool.flags);
    refused.extend(policy::own_variables(&pool.env));
    if gpu_policy == GpuPolicy::VramOnly {
        refused.extend(policy::offloading_flags(pool.engine, &pool.flags));
        refused.extend(policy::offloading_variables(&pool.env));
    }
    if refused.is_empty() { Ok(()) } else { Err(refused.join("; ")) }
}

/// The command line of a pool's engine that is to serve `model`.
///
/// # Errors
/// When the policy or the engine does not permit it.
pub(crate) fn command_line(
    pool: &EnginePool,
    gpu_policy: GpuPolicy,
    model: &Model,
    place: &Place,
) -> Result<CommandLine, String> {
    check(pool, gpu_policy)?;
    let args = match pool.engine {
        EngineKind::Vllm => vllm(pool, model, place),
        _ => llamacpp(pool, model, place)?,
    };
    let env = environment(pool, place);
    match &pool.provisioning {
        Provisioning::Binary { command } => {
            let (program, first) = command.split_first().ok_or("binary names no program")?;
            Ok(CommandLine { program: program.clone(), args: [first, &args].concat(), env })
        }
        Provisioning::Package(package) => Ok(packaged(package, args, env)),
        Provisioning::Source(_) => {
            let program = crate::provision::built(&place.build).display().to_string();
            Ok(CommandLine { program, args, env })
        }
        Provisioning::Container(container) => {
            let outer = container_args(pool, model, place, &container.image, &env);
            // Inside of the image stands the engine's own program.
            let args = if pool.engine == EngineKind::Vllm { args[1..].to_vec() } else { args };
            Ok(CommandLine { program: container.runtime.clone(), args: [outer, args].concat(), env })
        }
        Provisioning::External { .. } => Err("an external engine is not started".to_owned()),
    }
}

fn packaged(package: &PackageConfig, args: Vec<String>, env: Vec<(String, String)>) -> CommandLine {
    let bin = package.venv.join("bin");
    let (program, args) = match &package.script {
        Some(script) => (bin.join("python"), [vec![script.display().to_string()], args].concat()),
        None => (bin.join("vllm"), args),
    };
    CommandLine { program: program.display().to_string(), args, env }
}

fn llamacpp(pool: &EnginePool, model: &Model, place: &Place) -> Result<Vec<String>, String> {
    let mut args = match model {
        Model::File(path) => vec!["-m".to_owned(), path.display().to_string()],
        Model::Folder(path) => {
            return Err(format!("llama.cpp serves a file, and {} is a folder", path.display()));
        }
        Model::Hub(name) => vec!["-hf".to_owned(), name.clone()],
    };
    args.extend(address(place));
    if let Some(slots) = pool.slots {
        args.extend(["--parallel".to_owned(), slots.to_string()]);
    }
    if let Some(ctx) = pool.ctx {
        // The engine divides what it gets among its slots.
        let all = u64::from(ctx).saturating_mul(u64::from(pool.slots.unwrap_or(1)));
        args.extend(["-c".to_owned(), all.to_string()]);
    }
    args.extend(pool.flags.iter().cloned());
    if pool.devices.as_deref() != Some("cpu") {
        // Last, so that it wins.
        args.extend(["--n-gpu-layers".to_owned(), ALL_LAYERS.to_owned()]);
    }
    Ok(args)
}

fn vllm(pool: &EnginePool, model: &Model, place: &Place) -> Vec<String> {
    let mut args = vec!["serve".to_owned(), model.to_string()];
    args.extend(address(place));
    if let Some(slots) = pool.slots {
        args.extend(["--max-num-seqs".to_owned(), slots.to_string()]);
    }
    if let Some(ctx) = pool.ctx {
        args.extend(["--max-model-len".to_owned(), ctx.to_string()]);
    }
    let devices = pool.devices.as_deref().filter(|devices| *devices != "cpu");
    let count = devices.map_or(1, |devices| devices.split(',').count());
    if count > 1 && !pool.flags.iter().any(|flag| policy::name(flag) == "--tensor-parallel-size") {
        args.extend(["--tensor-parallel-size".to_owned(), count.to_string()]);
    }
    args.extend(pool.flags.iter().cloned());
    args
}

fn address(place: &Place) -> [String; 4] {
    ["--host".to_owned(), place.host.clone(), "--port".to_owned(), place.port.to_string()]
}

//= ORCH-3052
fn environment(pool: &EnginePool, place: &Place) -> Vec<(String, String)> {
    let mut env = pool.env.clone();
    let mut set = |name: &str, value: &str| env.push((name.to_owned(), value.to_owned()));
    // Numbers as the driver counts them, which is also how they are reported.
    set("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
    match pool.devices.as_deref() {
        Some("cpu") => set("CUDA_VISIBLE_DEVICES", ""),
        Some(devices) => set("CUDA_VISIBLE_DEVICES", devices),
        None => {}
    }
    let cache = place.cache.display().to_string();
    match pool.engine {
        EngineKind::Vllm => set("VLLM_CACHE_ROOT", &cache),
        _ => set("LLAMA_CACHE", &cache),
    }
    if let Some(key) = &pool.api_key {
        // Command lines are read by every user of the machine; environments are not.
        let name = if pool.engine == EngineKind::Vllm { "VLLM_API_KEY" } else { "LLAMA_API_KEY" };
        set(name, key.reveal());
    }
    env
}

/// Arguments as a log may show them: the values of flags that sound like secrets are left out.
pub(crate) fn shown(args: &[String]) -> String {
    let is_secret = |flag: &str| {
        let flag = flag.to_lowercase();
        flag.starts_with('-') && ["token", "key", "secret", "password"].iter().any(|it| flag.contains(it))
    };
    let mut words = Vec::new();
    let mut hide = false;
    for arg in args {
        let flag = arg.split_once('=').map(|(flag, _)| flag).filter(|flag| is_secret(flag));
        words.push(match flag {
            _ if hide => "(hidden)".to_owned(),
            Some(flag) => format!("{flag}=(hidden)"),
            None => arg.clone(),
        });
        hide = flag.is_none() && is_secret(arg);
    }
    words.join(" ")
}

/// The name of a pool's container.
pub(crate) fn container_name(pool: &str) -> String {
    format!("pool-managerd-{pool}")
}

fn container_args(
    pool: &EnginePool,
    model: &Model,
    place: &Place,
    image: &str,
    env: &[(String, String)],
) -> Vec<String> {
    let mut args: Vec<String> = ["run", "--rm", "--name"].map(str::to_owned).to_vec();
    args.push(container_name(&pool.id));
    match pool.devices.as_deref() {
        Some("cpu") => {}
        Some(devices) => {
            for device in devices.split(',') {
                args.extend(["--device".to_owned(), format!("nvidia.com/gpu={device}")]);
            }
        }
        None => args.extend(["--device".to_owned(), "nvidia.com/gpu=all".to_owned()]),
    }
    args.extend(["--network".to_owned(), "host".to_owned()]);
    let mut mount = |path: &Path, mode: &str| {
        let path = path.display();
        args.extend(["--volume".to_owned(), format!("{path}:{path}:{mode}")]);
    };
    if let Model::File(path) | Model::Folder(path) = model {
        mount(path, "ro");
    }
    mount(&place.cache, "rw");
    for (name, _) in env.iter().filter(|(name, _)| name != "CUDA_VISIBLE_DEVICES") {
        // By name alone the runtime takes the value from its own environment, out of sight.
        args.extend(["--env".to_owned(), name.clone()]);
    }
    args.push(image.to_owned());
    args
}

#[cfg(test)]
mod tests;
