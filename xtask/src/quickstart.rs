//! `quickstart`: one command from a fresh clone to a real model's answer through orchestratord.
//!
//! It is also the shortest end-to-end proof that there is: real engine, real server, real HTTP. Whatever it
//! starts it stops again, on every way out.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    client::Client,
    commands::{self, Flag},
    interrupt::Interrupt,
    process::Process,
    server::{self, free_port},
    setup::{self, Engine},
    verdict::Verdict,
    workspace,
};

const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const QUESTION: &str = "Name three primary colours.";
const USUAL_PORT: u16 = 8080;
/// Loading takes about a second on an idle machine; a busy one gets a minute.
const START_LIMIT: Duration = Duration::from_mins(1);
const TICK: Duration = Duration::from_millis(100);

/// What to do after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Wait,
    Leave,
}

/// Shows one task from submit to last token.
pub(crate) fn run(arguments: &[String]) -> Result<Verdict> {
    let after = parse(arguments)?;
    let engine = setup::ensure()?;
    println!("building orchestratord");
    workspace::run(workspace::cargo().args(["build", "-p", "orchestratord"]))?;
    let binary = workspace::binary("debug", "orchestratord")?;
    // From here on a signal may not simply end this process: its children would stay.
    let interrupt = Interrupt::install()?;
    match show(&engine, &binary, after, &interrupt) {
        Err(_) if interrupt.has_come() => {
            println!("stopped");
            Ok(Verdict::Bad)
        }
        other => other.map(|()| Verdict::Good),
    }
}

fn parse(arguments: &[String]) -> Result<After> {
    Ok(match commands::only_flag("quickstart", "--once", arguments)? {
        Flag::Given => After::Leave,
        Flag::Absent => After::Wait,
    })
}

fn show(engine: &Engine, binary: &Path, after: After, interrupt: &Interrupt) -> Result<()> {
    println!(
        "ATTENTION: the engine runs on the CPU and the gpu policy is `allow-cpu`. For development only."
    );
    let engine_port = free_port()?;
    let mut llama = start_engine(engine, engine_port)?;
    let client = Client::new(interrupt);
    client.wait_until_ok(
        &format!("http://127.0.0.1:{engine_port}/health"),
        &mut [&mut llama],
        START_LIMIT,
    )?;

    let port = usual_or_next_free_port()?;
    let mut daemon = start_daemon(engine, binary, port, engine_port)?;
    let url = format!("http://127.0.0.1:{port}");
    client.wait_until_ok(&format!("{url}/ready"), &mut [&mut daemon, &mut llama], START_LIMIT)?;

    println!("\nQ: {QUESTION}");
    let task = client.submit(&url, &task_body(), &mut daemon)?;
    client.show_answer(&url, &task, &mut [&mut daemon, &mut llama])?;
    print_next_steps(&url);
    if after == After::Wait {
        println!("\nRunning until Ctrl-C.");
        while !interrupt.has_come() {
            daemon.expect_running()?;
            llama.expect_running()?;
            std::thread::sleep(TICK);
        }
        println!("stopping");
    }
    // The server first, so that it never sees its engine vanish.
    daemon.stop();
    llama.stop();
    Ok(())
}

fn start_engine(engine: &Engine, port: u16) -> Result<Process> {
    let mut command = Command::new(&engine.python);
    command.arg(&engine.server).arg("-m").arg(&engine.smollm2).args(["--host", "127.0.0.1"]);
    command.args(["--port", &port.to_string(), "-t", "1", "--parallel", "2", "-c", "4096"]);
    command.args(["--slots", "--metrics", "--with-parent"]);
    Process::start("llama.cpp", command, &log(engine, "quickstart-llama.log"))
}

fn start_daemon(engine: &Engine, binary: &Path, port: u16, engine_port: u16) -> Result<Process> {
    let config = engine.folder.join("quickstart.toml");
    fs::write(&config, config_text(port, engine_port, &engine.folder.join("quickstart-state")))
        .with_context(|| format!("cannot write {}", config.display()))?;
    println!("config {}", config.display());
    let mut command = server::command(binary);
    command.arg("--config").arg(&config);
    Process::start("orchestratord", command, &log(engine, "quickstart-orchestratord.log"))
}

fn log(engine: &Engine, name: &str) -> PathBuf {
    engine.folder.join(name)
}

fn config_text(port: u16, engine_port: u16, state: &Path) -> String {
    format!(
        "# Written by `cargo xtask quickstart`.\n\
         bind_addr = \"127.0.0.1:{port}\"\n\
         gpu_policy = \"allow-cpu\"\n\
         state_dir = '{}'\n\
         \n\
         [[pools]]\n\
         id = \"default\"\n\
         engine = \"llamacpp\"\n\
         endpoint = \"http://127.0.0.1:{engine_port}\"\n\
         device = \"cpu\"\n",
        state.display()
    )
}

fn task_body() -> serde_json::Value {
    serde_json::json!({
        "model_ref": MODEL,
        "prompt": format!("<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"),
        "max_tokens": 64,
        "temperature": 0,
    })
}

fn usual_or_next_free_port() -> Result<u16> {
    let port = (USUAL_PORT..USUAL_PORT + 100).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let port = port.context("no free port on 127.0.0.1 from 8080 on")?;
    if port != USUAL_PORT {
        println!("port {USUAL_PORT} is taken; orchestratord listens on {port} instead");
    }
    Ok(port)
}

fn print_next_steps(url: &str) {
    let body = r#"{"model_ref":"SmolLM2-135M-Instruct.Q4_1.gguf","prompt":"The sea is","max_tokens":32}"#;
    println!("\nTry it:");
    println!("  curl -s {url}/v2/tasks -H 'Content-Type: application/json' -d '{body}'");
    println!("  curl -N {url}/v2/tasks/JOB_ID/events        # the job_id of the answer above");
    println!("  curl -s {url}/v2/pools; curl -s {url}/metrics");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_once_is_taken_as_an_argument() {
        assert_eq!(parse(&[]).unwrap(), After::Wait);
        assert_eq!(parse(&["--once".to_owned()]).unwrap(), After::Leave);
        let error = parse(&["--twice".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("--twice"), "{error}");
    }

    #[test]
    fn config_names_both_ports() {
        let text = config_text(8081, 40000, Path::new("/cache/state"));
        assert!(text.contains("bind_addr = \"127.0.0.1:8081\"\n"), "{text}");
        assert!(text.contains("endpoint = \"http://127.0.0.1:40000\"\n"), "{text}");
        assert!(text.contains("state_dir = '/cache/state'\n"), "{text}");
    }
}
