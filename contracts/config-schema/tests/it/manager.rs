//! The agent's configuration: its own table, the same layers, and the tables of its pools.

use std::{io, time::Duration};

use config_schema::{
    EngineKind, Fault, GpuPolicy, Layers, ManagerConfig, Preset, Provisioning, Schema, Setting, TraceSampler,
    WarmUp,
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn resolve(toml: &str, env: &[(&str, &str)]) -> Result<ManagerConfig, Vec<Fault>> {
    let mut all = vec![
        ("HOME".to_owned(), "/home/o".to_owned()),
        ("POOL_MANAGERD_CONFIG".to_owned(), "/c.toml".to_owned()),
    ];
    all.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let open = |path: &std::path::Path| match path.to_str() {
        Some("/c.toml") => Ok(toml.to_owned()),
        Some("/token") => Ok(TOKEN.to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    ManagerConfig::resolve(&Layers { flags: Vec::new(), env: all, open: &open })
}

fn config(toml: &str, env: &[(&str, &str)]) -> ManagerConfig {
    resolve(toml, env).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn faults(toml: &str, env: &[(&str, &str)]) -> Vec<String> {
    resolve(toml, env).unwrap_err().iter().map(Fault::to_string).collect()
}

/// A pool with these keys beside its name and its engine.
fn pool(keys: &str) -> String {
    format!("[[pools]]\nid = \"a\"\nengine = \"llamacpp\"\n{keys}")
}

#[test]
fn a_variable_without_a_name_is_no_setting_that_has_no_variable() {
    assert_eq!(config("", &[("", "x")]).pools.len(), 0);
}

#[test]
fn nothing_at_all_is_an_agent_without_pools_that_listens_on_loopback() {
    let config = config("", &[]);
    assert_eq!(config.bind_addr.to_string(), "127.0.0.1:9200");
    assert_eq!(config.state_dir.to_str(), Some("/home/o/.local/state/pool-managerd"));
    assert_eq!(config.gpu_policy, GpuPolicy::VramOnly);
    assert!(config.pools.is_empty() && config.control_plane.is_none());
}

#[test]
fn an_agent_is_told_of_its_collector_as_the_server_is() {
    let traces = config("", &[]).traces;
    assert_eq!((traces.endpoint, traces.sampler), (None, TraceSampler::ParentBasedAlwaysOn));
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"), ("OTEL_TRACES_SAMPLER", "always_off")];
    let traces = config("", &env).traces;
    assert_eq!(
        (traces.endpoint.unwrap().as_str(), traces.sampler),
        ("http://c:4317/", TraceSampler::AlwaysOff)
    );
    for (wrong, said) in [
        ("collector:4317", "is not an http:// or https:// URL"),
        ("http://me:secret@c:4317", "holds a user or password"),
        ("http://c:4317/v1/traces", "has a path"),
        ("http://c: 4317", "holds a blank"),
    ] {
        let faults = faults("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", wrong)]).join("\n");
        assert!(faults.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && faults.contains(said), "{faults}");
        assert!(!faults.contains("secret"), "{faults}");
    }
}

#[test]
fn every_row_has_a_name_a_meaning_and_a_default_that_can_be_read() {
    let settings: &[Setting<ManagerConfig>] = ManagerConfig::settings();
    for setting in settings {
        assert!(!setting.key.is_empty() && !setting.meaning.is_empty());
        assert_eq!(setting.env.is_empty(), setting.key == "pools", "{}", setting.key);
        let (Preset::Value(said) | Preset::Derived(said)) = setting.preset;
        assert!(!said.is_empty(), "{}", setting.key);
    }
}

#[test]
fn a_pool_is_read_with_all_of_its_keys() {
    let keys = r#"
provisioning = "binary"
binary = ["/opt/python", "/opt/llama_server.py"]
model = "/srv/m.gguf"
devices = "0,1"
port = 8081
host = "127.0.0.1"
slots = 4
ctx = 4096
flags = ["-t", "1"]
env = { OMP_NUM_THREADS = "1" }
api_key = "k"
ready_timeout_ms = 5000
stop_timeout_ms = 700
cache_dir = "/var/cache/a"
warm_up = false
"#;
    let config = config(&pool(keys), &[]);
    let pool = &config.pools[0];
    assert_eq!((pool.id.as_str(), pool.engine, pool.port), ("a", EngineKind::Llamacpp, 8081));
    let Provisioning::Binary { command } = &pool.provisioning else { panic!("{pool:?}") };
    assert_eq!(command, &["/opt/python", "/opt/llama_server.py"]);
    assert_eq!((pool.slots, pool.ctx), (Some(4), Some(4096)));
    assert_eq!(pool.env, [("OMP_NUM_THREADS".to_owned(), "1".to_owned())]);
    assert_eq!(pool.ready_timeout, Duration::from_secs(5));
    assert_eq!(pool.warm_up, WarmUp::Skip);
}

#[test]
fn a_key_that_is_left_out_has_the_default_of_its_row() {
    let of = |keys: &str| config(&pool(keys), &[]).pools.remove(0);
    let plain = of("provisioning = \"binary\"\nbinary = \"x\"\nmodel = \"m\"");
    assert_eq!((plain.port, plain.warm_up), (0, WarmUp::OneToken));
    assert_eq!((plain.ready_timeout.as_secs(), plain.stop_timeout.as_secs()), (600, 10));
    assert_eq!((plain.slots, plain.ctx, plain.devices, plain.host), (None, None, None, None));
    let package =
        of("provisioning = \"package\"\npackage = { venv = \"/v\", script = \"/s.py\" }\nmodel = \"m\"");
    let Provisioning::Package(package) = package.provisioning else { panic!("{package:?}") };
    assert_eq!((package.python.as_str(), package.requirement), ("python3", None));
    let container = of("provisioning = \"container\"\ncontainer = { image = \"i:1\" }\nmodel = \"m\"");
    let Provisioning::Container(container) = container.provisioning else { panic!("{container:?}") };
    assert_eq!(container.runtime, "podman");
}

#[test]
fn what_is_wrong_with_an_inner_table_is_told_together() {
    let keys =
        "provisioning = \"package\"\npackage = { venv = \"v\", python = \"./p\", script = \"s\", x = 1 }";
    let all = faults(&pool(keys), &[]);
    let places = ["package.venv", "package.python", "package.script", "package.x", "model"];
    assert_eq!(all.len(), places.len(), "{all:#?}");
    for place in places {
        assert!(all.iter().any(|it| it.starts_with(&format!("file key pools[0].{place}: "))), "{all:#?}");
    }
}

#[test]
fn each_way_to_get_an_engine_has_its_own_key() {
    for keys in [
        "provisioning = \"external\"\nendpoint = \"http://127.0.0.1:1\"",
        "provisioning = \"binary\"\nbinary = \"llama-server\"\nmodel = \"m\"",
        "provisioning = \"package\"\npackage = { venv = \"/v\", script = \"/s.py\" }\nmodel = \"m\"",
        "provisioning = \"source\"\nsource = { git = \"https://h/r\", revision = \"b1\" }\nmodel = \"m\"",
        "provisioning = \"container\"\ncontainer = { image = \"i:1\" }\nmodel = \"m\"",
    ] {
        assert_eq!(config(&pool(keys), &[]).pools.len(), 1, "{keys}");
    }
}

#[test]
fn what_is_wrong_with_a_pool_is_told_by_its_key() {
    let binary = "provisioning = \"binary\"\nbinary = \"x\"\nmodel = \"m\"\n";
    for (keys, fault) in [
        (
            "provisioning = \"binry\"",
            "pools[0].provisioning: `binry` is not one of external, binary, package, source, container; did you mean binary?",
        ),
        ("provisioning = \"binary\"\nmodel = \"m\"", "pools[0].binary: is missing"),
        ("provisioning = \"binary\"\nbinary = \"x\"", "pools[0].model: is missing"),
        ("provisioning = \"binary\"\nbinary = \"./x\"\nmodel = \"m\"", "pools[0].binary: `./x` is neither"),
        (&format!("{binary}endpoint = \"http://h\""), "pools[0].endpoint: does not go with"),
        (&format!("{binary}ports = 1"), "pools[0].ports: is not a key of a pool; did you mean port?"),
        (&format!("{binary}port = 65536"), "pools[0].port: `65536` is not a whole number"),
        (&format!("{binary}devices = \"CPU\""), "pools[0].devices: `CPU` is neither cpu"),
        (&format!("{binary}model_digest = \"sha256:0\""), "pools[0].model_digest: `sha256:0` is not"),
        (&format!("{binary}flags = [1]"), "pools[0].flags: is not a list of strings"),
        (&format!("{binary}env = {{ A = 1 }}"), "pools[0].env.A: is not a variable"),
        (&format!("{binary}warm_up = \"yes\""), "pools[0].warm_up: is a string; write true or false"),
        (
            "provisioning = \"package\"\npackage = { venv = \"v\", requirement = \"-r x\" }\nmodel = \"m\"",
            "pools[0].package.venv: `v` is not an absolute path",
        ),
        (
            "provisioning = \"external\"\nendpoint = \"http://h\"\nflags = []",
            "pools[0].flags: does not go with provisioning = \"external\"",
        ),
    ] {
        let all = faults(&pool(keys), &[]);
        assert!(all.iter().any(|it| it.starts_with(&format!("file key {fault}"))), "{keys}: {all:#?}");
    }
}

#[test]
fn the_servers_variable_says_the_policy_unless_the_agents_own_does() {
    let shared = ("ORCHD_GPU_POLICY", "allow-cpu");
    assert_eq!(config("", &[shared]).gpu_policy, GpuPolicy::AllowCpu);
    let own = ("POOL_MANAGERD_GPU_POLICY", "vram-only");
    assert_eq!(config("", &[shared, own]).gpu_policy, GpuPolicy::VramOnly);
    // The server's other settings are not the agent's business.
    assert_eq!(config("", &[("ORCHD_WHATEVER", "1")]).pools.len(), 0);
}

//= ORCH-3323 type=test
#[test]
fn unknown_names_of_ours_are_refused_with_the_nearest_one() {
    let all = faults("", &[("POOL_MANAGERD_BIND_ADR", "127.0.0.1:1")]);
    let said = "environment POOL_MANAGERD_BIND_ADR: is not a setting; did you mean POOL_MANAGERD_BIND_ADDR?";
    assert_eq!(all, [said]);
    for pools in ["5", "\"a=mock\"", "{ id = \"a\" }"] {
        let all = faults(&format!("pools = {pools}"), &[]);
        assert_eq!(all, ["file key pools: is not a list of tables; begin each pool with [[pools]]"]);
    }
    let all = faults("node = \"x\"", &[]);
    assert!(all[0].starts_with("file key node: is not a setting"), "{all:?}");
}

//= AUTH-1004 type=test
#[test]
fn an_address_that_others_reach_needs_one_of_the_tokens() {
    let open = ("POOL_MANAGERD_BIND_ADDR", "0.0.0.0:9200");
    assert!(faults("", &[open])[0].contains("no token is set"));
    assert!(config("", &[open, ("LLORCH_API_TOKEN", TOKEN)]).api_tokens.len() == 1);
    assert!(config("", &[open, ("LLORCH_NODE_TOKEN_FILE", "/token")]).node_tokens.len() == 1);
    let both = [("LLORCH_NODE_TOKEN", TOKEN), ("LLORCH_NODE_TOKEN_FILE", "/token")];
    assert!(faults("", &both)[0].contains("is set beside LLORCH_NODE_TOKEN"));
}

#[test]
fn a_control_plane_is_a_plain_address() {
    let url = |url: &str| resolve("", &[("ORCHESTRATORD_URL", url)]);
    assert!(url("https://orch.example:8443").is_ok() && url("http://[::1]:8080/").is_ok());
    for wrong in ["orch:8080", "ftp://h", "http://u:p@h", "http://h/x", "http://h?x", "http://h\n"] {
        let fault = url(wrong).unwrap_err()[0].to_string();
        assert!(fault.starts_with("environment ORCHESTRATORD_URL") && !fault.contains("u:p"), "{fault}");
    }
}

#[test]
fn a_certificate_needs_its_key() {
    let all = faults("[tls]\ncert_file = \"/c.pem\"", &[]);
    assert_eq!(all, ["file key tls.cert_file: needs the other of tls.cert_file and tls.key_file"]);
}
