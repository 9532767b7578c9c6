//! Command lines, and the flags that none of them has.

use std::time::Duration;

use config_schema::{ContainerConfig, Secret, WarmUp};
use proptest::{prelude::*, test_runner::Config};

use super::*;

fn pool(engine: EngineKind) -> EnginePool {
    EnginePool {
        id: "a".into(),
        engine,
        provisioning: Provisioning::Binary { command: vec!["/opt/engine".into()] },
        model: Some("/m.gguf".into()),
        model_digest: None,
        devices: Some("0,1".into()),
        port: 0,
        host: None,
        slots: Some(4),
        ctx: Some(1_000),
        flags: Vec::new(),
        env: Vec::new(),
        api_key: Some(Secret::new("hush")),
        ready_timeout: Duration::from_secs(1),
        stop_timeout: Duration::from_secs(1),
        cache_dir: None,
        warm_up: WarmUp::OneToken,
    }
}

fn place() -> Place {
    Place { host: "127.0.0.1".into(), port: 8081, cache: "/cache".into(), build: "/build".into() }
}

fn line(pool: &EnginePool, policy: GpuPolicy) -> Result<CommandLine, String> {
    let model = match pool.engine {
        EngineKind::Vllm => Model::Hub("org/m".into()),
        _ => Model::File("/m.gguf".into()),
    };
    command_line(pool, policy, &model, &place())
}

fn with_flags(engine: EngineKind, flags: &[&str]) -> Result<(), String> {
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    check(&EnginePool { flags, ..pool(engine) }, GpuPolicy::VramOnly)
}

fn variable<'a>(line: &'a CommandLine, name: &str) -> Option<&'a str> {
    line.env.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

#[test]
fn llama_cpp_gets_its_model_address_slots_and_all_layers() {
    let line = line(&pool(EngineKind::Llamacpp), GpuPolicy::VramOnly).unwrap();
    assert_eq!(line.program, "/opt/engine");
    let args = "-m /m.gguf --host 127.0.0.1 --port 8081 --parallel 4 -c 4000 --n-gpu-layers 999";
    assert_eq!(line.args.join(" "), args);
}

#[test]
fn vllm_gets_its_model_address_slots_and_one_rank_per_device() {
    let line = line(&pool(EngineKind::Vllm), GpuPolicy::VramOnly).unwrap();
    let args = "serve org/m --host 127.0.0.1 --port 8081 --max-num-seqs 4 --max-model-len 1000 --tensor-parallel-size 2";
    assert_eq!(line.args.join(" "), args);
}

//= ORCH-3052 type=test
#[test]
fn an_engine_sees_its_own_devices_and_no_others() {
    let mut pool = pool(EngineKind::Llamacpp);
    let shown = |pool: &EnginePool| {
        let line = line(pool, GpuPolicy::AllowCpu).unwrap();
        variable(&line, "CUDA_VISIBLE_DEVICES").map(str::to_owned)
    };
    assert_eq!(shown(&pool).as_deref(), Some("0,1"));
    pool.devices = Some("cpu".into());
    assert_eq!(shown(&pool).as_deref(), Some(""));
    pool.devices = None;
    assert_eq!(shown(&pool), None);
    // Nobody else may say it.
    pool.env = vec![("CUDA_VISIBLE_DEVICES".into(), "7".into())];
    assert!(check(&pool, GpuPolicy::AllowCpu).unwrap_err().contains("CUDA_VISIBLE_DEVICES"));
    assert!(is_kept_from_engines("CUDA_VISIBLE_DEVICES"));
}

#[test]
fn neither_a_key_nor_the_agents_own_secrets_are_shown_to_others() {
    for engine in [EngineKind::Llamacpp, EngineKind::Vllm] {
        let mut pool = pool(engine);
        pool.provisioning =
            Provisioning::Container(ContainerConfig { runtime: "podman".into(), image: "i".into() });
        let line = line(&pool, GpuPolicy::VramOnly).unwrap();
        assert!(!line.args.iter().any(|arg| arg.contains("hush")), "{line:?}");
        assert!(line.env.iter().any(|(_, value)| value == "hush"));
    }
    assert!(is_kept_from_engines("LLORCH_API_TOKEN") && !is_kept_from_engines("PATH"));
}

#[test]
fn a_log_shows_arguments_without_what_sounds_like_a_secret() {
    let args = ["-m", "/m", "--hf-token", "hush", "--ssl-key=hush", "-c", "1"].map(str::to_owned);
    assert_eq!(shown(&args), "-m /m --hf-token (hidden) --ssl-key=(hidden) -c 1");
}

//= ORCH-3442 type=test
#[test]
fn the_cpu_is_refused_under_vram_only_and_gets_no_layers_flag_otherwise() {
    let pool = EnginePool { devices: Some("cpu".into()), ..pool(EngineKind::Llamacpp) };
    assert!(line(&pool, GpuPolicy::VramOnly).unwrap_err().contains("vram-only"));
    let line = line(&pool, GpuPolicy::AllowCpu).unwrap();
    assert!(!line.args.contains(&"--n-gpu-layers".to_owned()));
}

//= ORCH-3442 type=test
//= ORCH-3352 type=test
#[test]
fn each_flag_that_offloads_is_refused_by_its_name() {
    let (llama, vllm) = (EngineKind::Llamacpp, EngineKind::Vllm);
    let table: &[(EngineKind, &[&str])] = &[
        (llama, &["-ngl", "20"]),
        (llama, &["-ngl=20"]),
        (llama, &["--n-gpu-layers", "0"]),
        (llama, &["--gpu-layers", "auto"]),
        (llama, &["--n-gpu-layers", "-1"]),
        (llama, &["--n-gpu-layers"]),
        (llama, &["-ngld", "1"]),
        (llama, &["-nkvo"]),
        (llama, &["--no-kv-offload"]),
        (llama, &["--cpu-moe"]),
        (llama, &["-cmoe"]),
        (llama, &["--n-cpu-moe", "4"]),
        (llama, &["-ncmoe", "4"]),
        (llama, &["-ot", "blk\\.1.*=CPU"]),
        (llama, &["--override-tensor", "exps=cpu"]),
        (llama, &["--device", "none"]),
        (llama, &["-dev", "none"]),
        (vllm, &["--cpu-offload-gb", "4"]),
        (vllm, &["--cpu-offload-gb=0.5"]),
        (vllm, &["--cpu_offload_gb", "4"]),
        (vllm, &["--cpu-off", "4"]),
        (vllm, &["--swap-space", "1"]),
        (vllm, &["--device", "cpu"]),
        (vllm, &["--device=cpu"]),
        (vllm, &["--kv-offloading-size", "8"]),
        (vllm, &["--kv-offloading-backend", "native"]),
        (vllm, &["--kv-transfer-config", r#"{"kv_connector":"OffloadingConnector"}"#]),
        (vllm, &["--config", "/etc/vllm.yaml"]),
    ];
    for (engine, flags) in table {
        let told = with_flags(*engine, flags).expect_err(&format!("{flags:?}"));
        let name = flags[0].split('=').next().unwrap().replace('_', "-");
        assert!(told.contains(&format!("flag {name} is refused")), "{flags:?}: {told}");
        // For development all of them may be tried.
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let pool = EnginePool { flags, ..pool(*engine) };
        assert_eq!(check(&pool, GpuPolicy::AllowCpu), Ok(()));
    }
}

#[test]
fn flags_that_keep_everything_in_vram_are_passed_on_as_they_are() {
    let (llama, vllm) = (EngineKind::Llamacpp, EngineKind::Vllm);
    let table: &[(EngineKind, &[&str])] = &[
        (llama, &["-ngl", "999"]),
        (llama, &["--n-gpu-layers", "all"]),
        (llama, &["--n-cpu-moe", "0"]),
        (llama, &["-ot", "exps=CUDA1"]),
        (llama, &["--device", "CUDA0"]),
        (llama, &["--mlock", "-fa", "on", "--slots", "-t", "4"]),
        (vllm, &["--cpu-offload-gb", "0"]),
        (vllm, &["--swap-space=0"]),
        (vllm, &["--gpu-memory-utilization", "0.9", "--dtype", "auto"]),
    ];
    for (engine, flags) in table {
        assert_eq!(with_flags(*engine, flags), Ok(()), "{flags:?}");
    }
}

#[test]
fn what_the_agent_says_itself_cannot_be_said_by_flags() {
    for (engine, flag) in [
        (EngineKind::Llamacpp, "-m"),
        (EngineKind::Llamacpp, "--model=/other.gguf"),
        (EngineKind::Llamacpp, "--port"),
        (EngineKind::Llamacpp, "--api-key"),
        (EngineKind::Vllm, "--host"),
        (EngineKind::Vllm, "--api-key"),
    ] {
        assert!(with_flags(engine, &[flag, "1"]).unwrap_err().contains("the agent's to say"), "{flag}");
    }
    let env = vec![("LLAMA_ARG_N_GPU_LAYERS".to_owned(), "0".to_owned())];
    let pool = EnginePool { env, ..pool(EngineKind::Llamacpp) };
    let told = check(&pool, GpuPolicy::VramOnly).unwrap_err();
    assert_eq!(told, "variable LLAMA_ARG_N_GPU_LAYERS is refused: write it into flags");
}

#[test]
fn a_container_gets_its_devices_its_model_and_no_key_in_sight() {
    let mut pool = pool(EngineKind::Vllm);
    pool.provisioning =
        Provisioning::Container(ContainerConfig { runtime: "podman".into(), image: "vllm:1".into() });
    let line = line(&pool, GpuPolicy::VramOnly).unwrap();
    let args = line.args.join(" ");
    assert!(
        args.starts_with(
            "run --rm --name pool-managerd-a --device nvidia.com/gpu=0 --device nvidia.com/gpu=1"
        ),
        "{args}"
    );
    assert!(args.contains("vllm:1 org/m --host"), "{args}");
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    /// Wherever it stands among others, and however its value is written.
    #[test]
    fn a_flag_that_offloads_is_found_at_every_place(
        before in prop::collection::vec("[a-z0-9]{1,6}", 0..6),
        after in prop::collection::vec("[a-z0-9]{1,6}", 0..6),
        layers in 0_u32..999,
        equals: bool,
    ) {
        let own = if equals { vec![format!("--n-gpu-layers={layers}")] } else { vec!["-ngl".to_owned(), layers.to_string()] };
        let flags = [before, own, after].concat();
        let pool = EnginePool { flags, ..pool(EngineKind::Llamacpp) };
        prop_assert!(line(&pool, GpuPolicy::VramOnly).is_err());
    }

    /// Whatever passes ends with all layers, so that nothing before it counts.
    #[test]
    fn all_layers_is_the_last_word(flags in prop::collection::vec("[a-z0-9=-]{1,8}", 0..8)) {
        let pool = EnginePool { flags, ..pool(EngineKind::Llamacpp) };
        if let Ok(line) = line(&pool, GpuPolicy::VramOnly) {
            prop_assert!(line.args.ends_with(&["--n-gpu-layers".to_owned(), "999".to_owned()]));
        }
    }
}
