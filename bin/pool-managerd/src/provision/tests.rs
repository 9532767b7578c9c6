//! What is missing, what is brought, and what a purge leaves alone.

use std::os::unix::fs::symlink;

use config_schema::{EngineKind, WarmUp};
use tempfile::TempDir;

use super::*;

struct Bench {
    folder: TempDir,
    provisioner: Arc<Provisioner>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state")).unwrap();
        let path = folder.path().join("bin").into_os_string();
        let tools = Tools { path, hidden: Vec::new() };
        let provisioner = Arc::new(Provisioner {
            state,
            tools,
            gpu_policy: GpuPolicy::VramOnly,
            closing: AtomicBool::new(false),
        });
        fs::write(folder.path().join("m.gguf"), "model").unwrap();
        Self { folder, provisioner }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pool(&self, provisioning: Provisioning) -> EnginePool {
        EnginePool {
            id: "a".into(),
            engine: EngineKind::Llamacpp,
            provisioning,
            model: Some(self.path("m.gguf").display().to_string()),
            model_digest: None,
            devices: None,
            port: 0,
            host: None,
            slots: None,
            ctx: None,
            flags: Vec::new(),
            env: Vec::new(),
            api_key: None,
            ready_timeout: Duration::from_secs(1),
            stop_timeout: Duration::from_secs(1),
            cache_dir: None,
            warm_up: WarmUp::OneToken,
        }
    }

    fn place(&self) -> Place {
        Place {
            host: "127.0.0.1".into(),
            port: 1,
            cache: self.path("state/cache/a"),
            build: self.path("state/build/a"),
        }
    }

    async fn prepare(&self, pool: EnginePool) -> Result<CommandLine, NotPrepared> {
        let choice = Choice { reference: pool.model.clone().unwrap(), digest: pool.model_digest.clone() };
        Arc::clone(&self.provisioner).prepare(Arc::new(pool), choice, self.place(), None).await
    }

    fn program(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        path.display().to_string()
    }
}

fn refusal(outcome: Result<CommandLine, NotPrepared>) -> String {
    match outcome {
        Err(NotPrepared::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

//= ORCH-3446 type=test
#[tokio::test]
async fn what_is_missing_is_told_by_its_name() {
    let bench = Bench::new();
    let binary = bench.pool(Provisioning::Binary { command: vec!["llama-server".into()] });
    assert_eq!(refusal(bench.prepare(binary.clone()).await), "missing on this machine: llama-server");
    bench.program("bin/llama-server", "#!/bin/sh\n");
    bench.prepare(binary).await.unwrap();

    let source = SourceConfig { git: "https://h/r".into(), revision: "b1".into() };
    let source = bench.pool(Provisioning::Source(source));
    bench.program("bin/git", "#!/bin/sh\n");
    let missing = "missing on this machine: cmake, ninja, c++, nvcc";
    assert_eq!(refusal(bench.prepare(source).await), missing);

    let container = ContainerConfig { runtime: "podman".into(), image: "i".into() };
    let container = bench.pool(Provisioning::Container(container));
    assert_eq!(refusal(bench.prepare(container).await), "missing on this machine: podman");

    let package = PackageConfig {
        python: "python3".into(),
        venv: bench.path("venv"),
        requirement: Some("x==1".into()),
        script: None,
    };
    let pool = bench.pool(Provisioning::Package(package.clone()));
    assert_eq!(refusal(bench.prepare(pool).await), "missing on this machine: python3");
    let package = PackageConfig { requirement: None, ..package };
    let told = refusal(bench.prepare(bench.pool(Provisioning::Package(package))).await);
    assert!(told.contains("no requirement says"), "{told}");
}

//= ORCH-3446 type=test
#[tokio::test]
async fn a_package_is_installed_once_and_again_when_another_is_wanted() {
    let bench = Bench::new();
    let log = bench.path("log").display().to_string();
    // A `python` that makes an environment with a copy of itself in it, and notes what it was asked.
    let python = format!(
        "#!/bin/sh\necho \"$@\" >> {log}\nif [ \"$2\" = venv ]; then mkdir -p \"$3/bin\" && cp \"$0\" \"$3/bin/python\"; fi\n"
    );
    let python = bench.program("bin/python3", &python);
    let script = PathBuf::from(bench.program("serve.py", ""));
    let package = |requirement: &str| {
        bench.pool(Provisioning::Package(PackageConfig {
            python: python.clone(),
            venv: bench.path("venv"),
            requirement: Some(requirement.into()),
            script: Some(script.clone()),
        }))
    };
    let line = bench.prepare(package("engine==1")).await.unwrap();
    assert_eq!(line.program, bench.path("venv/bin/python").display().to_string());
    assert_eq!(line.args[0], script.display().to_string());
    bench.prepare(package("engine==1")).await.unwrap();
    bench.prepare(package("engine==2")).await.unwrap();
    let asked = fs::read_to_string(&log).unwrap();
    let installs: Vec<&str> = asked.lines().filter(|line| line.contains("pip install")).collect();
    assert_eq!(installs.len(), 2, "{asked}");
    assert!(installs[0].ends_with("-- engine==1") && installs[1].ends_with("-- engine==2"), "{asked}");
}

#[tokio::test]
async fn a_failed_install_says_what_was_said_and_is_tried_again() {
    let bench = Bench::new();
    let python = bench.program("bin/python3", "#!/bin/sh\necho no network >&2\nexit 3\n");
    let pool = bench.pool(Provisioning::Package(PackageConfig {
        python,
        venv: bench.path("venv"),
        requirement: Some("x".into()),
        script: Some(bench.path("m.gguf")),
    }));
    let Err(NotPrepared::Failed(why)) = bench.prepare(pool).await else { panic!("it must fail") };
    assert!(why.contains("no network") && why.contains("exit status: 3"), "{why}");
}

#[test]
fn a_purge_removes_only_what_the_agent_made() {
    let bench = Bench::new();
    let pool = bench.pool(Provisioning::Package(PackageConfig {
        python: "python3".into(),
        venv: bench.path("venv"),
        requirement: None,
        script: None,
    }));
    let (place, own) = (bench.place(), bench.provisioner.state.models());
    make_folder(&place.cache).unwrap();
    fs::create_dir_all(bench.path("venv")).unwrap();
    fs::write(own.join("own.gguf"), "x").unwrap();
    symlink(bench.path("m.gguf"), own.join("link.gguf")).unwrap();
    let foreign = bench.path("m.gguf").display().to_string();
    let models = ["own.gguf", "link.gguf", &foreign].map(|it| Leftover::Model(it.to_owned()));
    let all = [&models[..], &[Leftover::Engine, Leftover::Caches]].concat();
    let told = bench.provisioner.clean_up(&pool, &all, &place).unwrap_err();
    assert!(told.contains("venv was not made by the agent"), "{told}");
    assert_eq!(told.matches("does not lie in the agent's own folder").count(), 2, "{told}");
    assert!(!own.join("own.gguf").exists() && !place.cache.exists());
    assert!(bench.path("m.gguf").exists() && bench.path("venv").exists());
    fs::write(bench.path("venv").join(MARK), "").unwrap();
    assert_eq!(bench.provisioner.clean_up(&pool, &[Leftover::Engine], &place), Ok(()));
    assert!(!bench.path("venv").exists());
}

#[test]
fn a_kept_port_is_taken_again_unless_somebody_has_it() {
    let first = port("127.0.0.1", 0, 0).unwrap();
    assert_eq!(port("127.0.0.1", 0, first), Ok(first));
    let taken = TcpListener::bind(("127.0.0.1", first)).unwrap();
    assert_ne!(port("127.0.0.1", 0, first).unwrap(), first);
    drop(taken);
    assert_eq!(port("127.0.0.1", 8_081, first), Ok(8_081));
}
