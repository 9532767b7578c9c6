//! Which flags and variables an engine may not be given, and why.

use config_schema::EngineKind;

/// What makes a flag a breach.
#[derive(Debug, Clone, Copy)]
enum Breach {
    /// That it is there.
    Given,
    /// Any value but zero.
    MoreThanZero,
    /// Fewer layers than all of them.
    NotAllLayers,
    /// A value that has this in it, in whatever case.
    Holds(&'static str),
}

type Rule = (&'static str, Breach);

const OFFLOADING_LLAMACPP: &[Rule] = &[
    ("-ngl", Breach::NotAllLayers),
    ("--gpu-layers", Breach::NotAllLayers),
    ("--n-gpu-layers", Breach::NotAllLayers),
    ("-ngld", Breach::NotAllLayers),
    ("--gpu-layers-draft", Breach::NotAllLayers),
    ("--n-gpu-layers-draft", Breach::NotAllLayers),
    ("-nkvo", Breach::Given),
    ("--no-kv-offload", Breach::Given),
    ("-cmoe", Breach::Given),
    ("--cpu-moe", Breach::Given),
    ("-cmoed", Breach::Given),
    ("--cpu-moe-draft", Breach::Given),
    ("-ncmoe", Breach::MoreThanZero),
    ("--n-cpu-moe", Breach::MoreThanZero),
    ("-ncmoed", Breach::MoreThanZero),
    ("--n-cpu-moe-draft", Breach::MoreThanZero),
    ("-ot", Breach::Holds("cpu")),
    ("--override-tensor", Breach::Holds("cpu")),
    ("-otd", Breach::Holds("cpu")),
    ("--override-tensor-draft", Breach::Holds("cpu")),
    ("-dev", Breach::Holds("none")),
    ("--device", Breach::Holds("none")),
    ("-devd", Breach::Holds("none")),
    ("--device-draft", Breach::Holds("none")),
    ("--no-mmproj-offload", Breach::Given),
];

const OFFLOADING_VLLM: &[Rule] = &[
    ("--cpu-offload-gb", Breach::MoreThanZero),
    ("--cpu-offload-params", Breach::Given),
    ("--swap-space", Breach::MoreThanZero),
    ("--device", Breach::Holds("cpu")),
    ("--kv-offloading-size", Breach::MoreThanZero),
    ("--kv-offloading-backend", Breach::Given),
    ("--offload-backend", Breach::Given),
    ("--offload-group-size", Breach::MoreThanZero),
    ("--offload-num-in-group", Breach::MoreThanZero),
    ("--offload-prefetch-step", Breach::MoreThanZero),
    ("--kv-transfer-config", Breach::Holds("offload")),
    ("--kv-transfer-config", Breach::Holds("lmcache")),
    // What stands in that file cannot be seen here.
    ("--config", Breach::Given),
];

/// What the agent says itself.
const OWN_LLAMACPP: &[&str] = &[
    "-m",
    "--model",
    "-mu",
    "--model-url",
    "-hf",
    "-hfr",
    "--hf-repo",
    "-hff",
    "--hf-file",
    "--models-dir",
    "--models-preset",
    "--host",
    "--port",
    "--api-key",
    "--api-key-file",
];
const OWN_VLLM: &[&str] = &["--model", "--host", "--port", "--uds", "--api-key"];

/// Variables that hide devices or show others.
const DEVICE_VARIABLES: &[&str] = &[
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
];
/// llama.cpp reads each of its flags from a variable as well.
const FLAGS_BY_VARIABLE: &str = "LLAMA_ARG_";
/// They let memory of the device spill into that of the machine.
const SPILLING_VARIABLES: &[&str] = &["GGML_CUDA_ENABLE_UNIFIED_MEMORY", "VLLM_TARGET_DEVICE"];

/// The name of a flag that may have its value behind an equals sign, as its engine reads it.
pub(super) fn name(flag: &str) -> String {
    let name = flag.split_once('=').map_or(flag, |(name, _)| name);
    // vLLM takes either.
    if name.starts_with("--") { name.replace('_', "-") } else { name.to_owned() }
}

/// Flags that keep something off the devices.
pub(super) fn offloading_flags(engine: EngineKind, flags: &[String]) -> Vec<String> {
    let rules = if engine == EngineKind::Vllm { OFFLOADING_VLLM } else { OFFLOADING_LLAMACPP };
    let mut refused = Vec::new();
    for (index, flag) in flags.iter().enumerate() {
        let behind = flag.split_once('=').map(|(_, value)| value);
        let value = behind.or_else(|| flags.get(index + 1).map(String::as_str)).unwrap_or_default();
        let breached = rules.iter().filter(|(rule, _)| is_meant(engine, flag, rule));
        if breached.into_iter().any(|(_, breach)| breach.is_made_by(value)) {
            refused.push(format!("flag {} is refused under gpu_policy = vram-only", shown(flag)));
        }
    }
    refused
}

/// Flags with which the engine would not be the one that the agent looks after.
pub(super) fn own_flags(engine: EngineKind, flags: &[String]) -> Vec<String> {
    let own = if engine == EngineKind::Vllm { OWN_VLLM } else { OWN_LLAMACPP };
    let is_own = |flag: &&String| own.iter().any(|own| is_meant(engine, flag, own));
    let said = |flag: &String| format!("flag {} is refused: it is the agent's to say", shown(flag));
    flags.iter().filter(is_own).map(said).collect()
}

pub(super) fn own_variables(env: &[(String, String)]) -> Vec<String> {
    let is_own = |name: &str| is_decided_by_the_agent(name);
    let said = |name: &String| {
        let hint = if name.starts_with(FLAGS_BY_VARIABLE) { "write it into flags" } else { "use devices" };
        format!("variable {name} is refused: {hint}")
    };
    env.iter().map(|(name, _)| name).filter(|name| is_own(name)).map(said).collect()
}

pub(super) fn offloading_variables(env: &[(String, String)]) -> Vec<String> {
    let is_refused = |name: &str| SPILLING_VARIABLES.contains(&name);
    let said = |name: &String| format!("variable {name} is refused under gpu_policy = vram-only");
    env.iter().map(|(name, _)| name).filter(|name| is_refused(name)).map(said).collect()
}

/// Whether a variable says what only the agent may say.
pub(super) fn is_decided_by_the_agent(name: &str) -> bool {
    DEVICE_VARIABLES.contains(&name) || name.starts_with(FLAGS_BY_VARIABLE)
}

/// vLLM's parser takes the beginning of a flag for the flag.
fn is_meant(engine: EngineKind, given: &str, rule: &str) -> bool {
    let given = name(given);
    given == rule
        || (engine == EngineKind::Vllm
            && given.len() > 3
            && given.starts_with("--")
            && rule.starts_with(&given))
}

impl Breach {
    fn is_made_by(self, value: &str) -> bool {
        match self {
            Self::Given => true,
            Self::MoreThanZero => value.trim().parse::<f64>().is_ok_and(|number| number == 0.0).eq(&false),
            Self::NotAllLayers => {
                let all = value == "all" || value.parse::<u32>().is_ok_and(|layers| layers >= 999);
                !all
            }
            Self::Holds(part) => value.to_lowercase().contains(part),
        }
    }
}

/// A flag as a message repeats it: its name alone, since its value may be a key.
fn shown(flag: &str) -> String {
    name(flag).chars().take(60).collect::<String>().escape_debug().to_string()
}
