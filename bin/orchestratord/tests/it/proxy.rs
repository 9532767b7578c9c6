//! nginx before the server, with the very file that `deploy/` has.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use mock::wire::{Act, ScriptedEngine, stream_head, token};
use reqwest::StatusCode;
use tokio::{
    io::AsyncReadExt,
    time::{Duration, sleep, timeout},
};

use crate::support::{PATIENCE, TestApp, engine_task};

const NAME: &str = "llm.example.org";
const SITE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/nginx/orchestratord.conf"));

/// nginx, which ends with this value.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().try_into().unwrap());
        // Its worker goes with it when it is told, and not when it is killed.
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).ok();
        drop(self.0.wait());
    }
}

impl Nginx {
    fn start(folder: &Path, behind: SocketAddr) -> (Self, SocketAddr) {
        let key = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        fs::write(folder.join("server.pem"), key.cert.pem()).unwrap();
        fs::write(folder.join("server.key"), key.signing_key.serialize_pem()).unwrap();
        let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at = folder.display().to_string();
        let site = SITE.replace("listen 443 ssl", &format!("listen {own} ssl"));
        let site = site.replace("127.0.0.1:8080", &behind.to_string()).replace("/etc/llama-orch", &at);
        // Started by root, its worker would become a user who may not enter the folder.
        let user = if fs::metadata(folder).unwrap().uid() == 0 { "user root;" } else { "" };
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
            .concat();
        let whole = format!(
            "{user} daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;\n\
             events {{}}\nhttp {{ access_log off; {temp}\n{site}}}\n"
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, whole).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(file);
        (Self(command.stdin(Stdio::null()).spawn().unwrap()), own)
    }
}

/// curl, which reaches nginx under the public name and believes its certificate.
fn curl(folder: &Path, own: SocketAddr, arguments: &[&str], path: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("curl");
    command.args(["-sN", "-m", "20", "--resolve"]).arg(format!("{NAME}:{}:127.0.0.1", own.port()));
    command.arg("--cacert").arg(folder.join("server.pem")).args(["-H", "Content-Type: application/json"]);
    command.args(arguments).arg(format!("https://{NAME}:{}{path}", own.port())).kill_on_drop(true);
    command
}

#[tokio::test]
async fn a_stream_passes_nginx_token_by_token_under_the_public_name() {
    for program in ["nginx", "curl"] {
        if Command::new(program).arg("-V").stderr(Stdio::null()).output().is_err() {
            println!("SKIPPED a_stream_passes_nginx: {program} is not installed");
            return;
        }
    }
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(vec![stream_head(), token(" first", 1), Act::UntilGone]);
    let pools = format!("default=llamacpp+{}", engine.url());
    // The test itself asks under the address, beside nginx.
    let hosts = format!("{NAME},127.0.0.1");
    let app = TestApp::with(&[("ORCHD_POOLS", &pools), ("ORCHD_LIMITS_HOSTS", &hosts)]).await;
    let folder = tempfile::tempdir().unwrap();
    let (nginx, own) = Nginx::start(folder.path(), app.addr);
    let ask = async |arguments: &[&str], path: &str| {
        let output = curl(folder.path(), own, arguments, path).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let up = async {
        while ask(&[], "/health").await != r#"{"status":"ok"}"# {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, up).await.expect("nginx comes up");

    let task = engine_task().to_string();
    let admitted: serde_json::Value = serde_json::from_str(&ask(&["-d", &task], "/v2/tasks").await).unwrap();
    let id = admitted["job_id"].as_str().unwrap().to_owned();
    // The engine says no more than one token and does not end: whatever buffers would hold it back.
    let mut reader = curl(folder.path(), own, &[], &format!("/v2/tasks/{id}/events"));
    let mut reader = reader.stdout(Stdio::piped()).spawn().unwrap();
    let (mut out, mut seen) = (reader.stdout.take().unwrap(), Vec::new());
    let first = async {
        while !String::from_utf8_lossy(&seen).contains(" first") {
            assert!(out.read_buf(&mut seen).await.unwrap() > 0, "the stream goes on");
        }
    };
    timeout(PATIENCE, first).await.expect("the token comes");
    assert_eq!(app.cancel(&id).await, StatusCode::NO_CONTENT);
    assert!(timeout(PATIENCE, reader.wait()).await.expect("the stream ends").unwrap().success());

    // What is not meant for the public is shut, and a large body is refused in the server's words.
    let status = ["-o", "/dev/null", "-w", "%{http_code}"];
    assert_eq!(ask(&status, "/metrics").await, "403");
    assert_eq!(ask(&status, "/v2/nodes").await, "403");
    let body = folder.path().join("large");
    fs::write(&body, vec![b'a'; 3 << 20]).unwrap();
    let large =
        ask(&["-w", " %{http_code}", "--data-binary", &format!("@{}", body.display())], "/v2/tasks").await;
    assert!(large.contains("PAYLOAD_TOO_LARGE") && large.ends_with(" 413"), "{large}");
    drop(nginx);
    app.finish().await;
}
