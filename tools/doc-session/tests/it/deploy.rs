//! The units for systemd: what systemd thinks of them, and whether the programs live with what they are given.
//!
//! No systemd runs where tests do, so the line of a unit is run by hand, with the unit's own environment, and what the
//! server asks of the kernel is held against the unit's filter.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::Duration,
};

use nix::{sys::signal, unistd::Pid};
use tempfile::TempDir;

use crate::pages::{programs, root};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A unit, with the places that it names moved into a folder of the test.
struct Unit {
    text: String,
    folder: TempDir,
}

impl Unit {
    fn of(name: &str) -> Self {
        let text = fs::read_to_string(root().join(format!("deploy/systemd/{name}.service"))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display().to_string();
        for credential in ["api-token", "token"] {
            fs::write(folder.path().join(credential), TOKEN).unwrap();
        }
        fs::write(folder.path().join("node.toml"), "orchestratord_url = \"http://127.0.0.1:1\"\n").unwrap();
        let text = text.replace("%S", &at).replace("%d", &at).replace("/etc/llama-orch", &at);
        let text = text.replace("/usr/local/bin", &programs().display().to_string());
        Self { text, folder }
    }

    fn values<'a>(&'a self, key: &str) -> Vec<&'a str> {
        let prefix = format!("{key}=");
        self.text.lines().filter_map(|line| line.strip_prefix(prefix.as_str())).collect()
    }

    /// Its `ExecStart` under the programs in `tracer`, with its own environment and a free port.
    fn start(&self, tracer: &[&str], addr_name: &str) -> (Child, String) {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let line = self.values("ExecStart").concat();
        let words: Vec<_> = tracer.iter().copied().chain(line.split(' ')).collect();
        let environment = self.values("Environment").into_iter().map(|pair| pair.split_once('=').unwrap());
        let child = Command::new(words[0])
            .args(&words[1..])
            .env_clear()
            .envs(environment)
            .env(addr_name, &addr)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        (child.unwrap(), addr)
    }
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-s", "-m", "20"]).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn until_there(child: &mut Child, url: &str) {
    for _ in 0..400 {
        if curl(&["-o", "/dev/null", "-w", "%{http_code}", url]) == "200" {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        sleep(Duration::from_millis(50));
    }
    child.kill().ok();
    panic!("{url} does not answer");
}

/// Tells the process to stop, and whether it ended well within the bound.
fn stops(child: &mut Child, pid: u32) -> bool {
    signal::kill(Pid::from_raw(pid.try_into().unwrap()), signal::SIGTERM).unwrap();
    for _ in 0..600 {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        sleep(Duration::from_millis(50));
    }
    child.kill().ok();
    false
}

fn is_there(program: &str, test: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("SKIPPED {test}: {program} is not installed");
    }
    found
}

fn analyze(arguments: &[&str], unit: &Path) -> (bool, String) {
    let Output { status, stdout, stderr } =
        Command::new("systemd-analyze").args(arguments).arg(unit).output().unwrap();
    (status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn systemd_takes_the_units_and_finds_little_left_open() {
    if !is_there("systemd-analyze", "systemd_takes_the_units_and_finds_little_left_open") {
        return;
    }
    // An agent starts whatever computes, so more is open to it.
    for (name, threshold) in [("orchestratord", "20"), ("pool-managerd", "50")] {
        let unit = Unit::of(name);
        let file = unit.folder.path().join(format!("{name}.service"));
        fs::write(&file, &unit.text).unwrap();
        let (taken, said) = analyze(&["verify", "--man=no"], &file);
        assert!(taken && said.is_empty(), "{name}: {said}");
        let threshold = format!("--threshold={threshold}");
        let (closed, said) = analyze(&["security", "--offline=true", "--no-pager", &threshold], &file);
        assert!(closed, "{name}: {said}");
    }
}

#[test]
fn unit_of_the_server_starts_it_with_its_token_and_its_folder() {
    let unit = Unit::of("orchestratord");
    let (mut child, addr) = unit.start(&[], "ORCHD_BIND_ADDR");
    until_there(&mut child, &format!("http://{addr}/ready"));
    let pools = format!("http://{addr}/v2/pools");
    let status = ["-o", "/dev/null", "-w", "%{http_code}"];
    assert_eq!(curl(&[&status[..], &[&pools]].concat()), "401");
    let token = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(curl(&[&status[..], &["-H", &token, &pools]].concat()), "200");
    assert!(unit.folder.path().join("orchestratord/jobs.db").exists());
    let pid = child.id();
    assert!(stops(&mut child, pid));
}

#[test]
fn unit_of_the_agent_starts_it_with_its_file_and_its_folder() {
    let unit = Unit::of("pool-managerd");
    let (mut child, addr) = unit.start(&[], "POOL_MANAGERD_BIND_ADDR");
    until_there(&mut child, &format!("http://{addr}/health"));
    let pid = child.id();
    assert!(stops(&mut child, pid));
}

/// The calls that the unit's filters leave, as systemd reads its groups.
fn allowed(unit: &Unit) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for filter in unit.values("SystemCallFilter") {
        let group = filter.trim_start_matches('~');
        for call in calls_of(group) {
            if filter.starts_with('~') {
                allowed.remove(&call);
            } else {
                allowed.insert(call);
            }
        }
    }
    allowed
}

fn calls_of(group: &str) -> Vec<String> {
    let output = Command::new("systemd-analyze").args(["syscall-filter", group]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut calls = Vec::new();
    for line in lines {
        if line.starts_with('@') {
            calls.extend(calls_of(line));
        } else {
            calls.push(line.to_owned());
        }
    }
    calls
}

#[test]
fn server_asks_the_kernel_for_nothing_that_its_unit_refuses() {
    let name = "server_asks_the_kernel_for_nothing_that_its_unit_refuses";
    if !is_there("systemd-analyze", name) || !is_there("strace", name) {
        return;
    }
    let unit = Unit::of("orchestratord");
    let trace = unit.folder.path().join("trace");
    let tracer = ["strace", "-f", "-qq", "-o", trace.to_str().unwrap()];
    let (mut child, addr) = unit.start(&tracer, "ORCHD_BIND_ADDR");
    until_there(&mut child, &format!("http://{addr}/ready"));
    let (token, json) = (format!("Authorization: Bearer {TOKEN}"), "Content-Type: application/json");
    let task = r#"{"task_id":"00000000-0000-4000-8000-000000000001","model_ref":"mock","prompt":"a","max_tokens":9}"#;
    let tasks = format!("http://{addr}/v2/tasks");
    assert!(curl(&["-H", &token, "-H", json, "-d", task, &tasks]).contains("job_id"));
    let stream = format!("{tasks}/00000000-0000-4000-8000-000000000001/events");
    assert!(curl(&["-H", &token, "-N", &stream]).contains("event: end"));
    // The first process of the trace is the server; strace passes no signal on.
    let begun = fs::read_to_string(&trace).unwrap();
    let pid = begun.split(' ').next().unwrap().parse().unwrap();
    assert!(stops(&mut child, pid));

    let text = fs::read_to_string(&trace).unwrap();
    let calls: BTreeSet<_> = text.lines().filter_map(call).collect();
    assert!(calls.contains("fsync") && calls.contains("accept4"), "{calls:?}");
    let allowed = allowed(&unit);
    assert!(allowed.contains("read") && !allowed.contains("mount"));
    // SQLite calls `fchown` as root alone, which a dynamic user is not.
    let refused: Vec<_> =
        calls.iter().filter(|call| !allowed.contains(**call) && **call != "fchown").collect();
    assert!(refused.is_empty(), "{refused:?}");
    let both = text.lines().find(|line| line.contains("PROT_WRITE|PROT_EXEC"));
    assert_eq!(both, None, "MemoryDenyWriteExecute");
}

/// The name of the call in a line of a trace.
fn call(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(' ')?;
    let (name, _) = rest.trim_start().split_once('(')?;
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(name)
}
