//! Secrets that the agent gets, and where they may not be: its log at the finest level, its answers, its metrics,
//! its command line and those of its engines, and its state folder.

use std::{fs, net::SocketAddr, path::Path};

use reqwest::{Method, header};
use serde_json::json;

use crate::{
    engine::left,
    node::{Daemon, Disk, pid_of, until},
};

/// Random enough not to be anywhere by chance, and the same in each run, so that a failure can be looked at.
const SECRETS: [(&str, &str); 10] = [
    ("the API's token", "5d1f0c9be7a24683b1c7e0f4a8d92b6355aa"),
    ("the node's token", "c40a7e62f5d948b09e1b3d7c6a58f20416bb"),
    ("a wrong token", "9e83b7d1460c4f2ca5e90b7f3d18c62a77cc"),
    ("the engine's key", "b7d2f6081ea94c35807f6e1d9a3c4b5288dd"),
    ("a variable of the engine", "0f9c3a5e7b1d48629d84c7e6f0a1b3d599ee"),
    ("a cookie", "6ab0d4e8c2f7415390fbe1a7c3d5829611ff"),
    ("a query", "e2c6a1f9b0d34e7785a3c9d1f7b046e822ab"),
    ("a body that is no JSON", "31f8d0b6a7c9421eb5e2f0a4d6c8971b33bc"),
    ("a value of the wrong type", "74c1e9a3f5b0486d92d7a8c0e6f3b15a44cd"),
    ("a header for a proxy", "a90e5d3b7f1c42688b6f4e0d2c9a7f1355de"),
];

fn secret(name: &str) -> &'static str {
    SECRETS.iter().find(|(known, _)| *known == name).unwrap().1
}

/// The names of the secrets that are found, written plainly, in hexadecimal or in base64.
fn found_in(bytes: &[u8]) -> Vec<&'static str> {
    let holds = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    let is_there = |word: &str| {
        let hex = word.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        holds(word.as_bytes())
            || holds(hex.as_bytes())
            || (0..3).any(|shift| holds(&base64_within(word, shift)))
    };
    SECRETS.iter().filter(|(_, word)| is_there(word)).map(|(name, _)| *name).collect()
}

/// The part of a base64 text that depends on the word alone when so many bytes stand before it.
fn base64_within(word: &str, before: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = &word.as_bytes()[(3 - before) % 3..];
    let groups = bytes.chunks_exact(3);
    let digits = |group: &[u8]| {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize])
    };
    groups.flat_map(digits).collect()
}

fn found_below(folder: &Path) -> Vec<(String, Vec<&'static str>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(found_below(&path));
        } else {
            all.push((path.display().to_string(), found_in(&fs::read(&path).unwrap())));
        }
    }
    all.retain(|(_, found)| !found.is_empty());
    all
}

fn command_line(pid: &str) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap()
}

/// Asks every route in good and in bad ways, and looks through the answers.
async fn ask_all(agent: &Daemon, token: &str) -> Vec<String> {
    let mut leaks = Vec::new();
    let (door, wrong) = (&agent.door, secret("a wrong token"));
    let pool =
        ["drain", "reload", "purge", "resume"].map(|what| (Method::POST, format!("/v2/pools/a/{what}")));
    let read = ["/health", "/ready", "/metrics", "/v2/pools", "/v2/pools/a/status", "/v2/nothing"];
    let read = read.map(|path| (Method::GET, path.to_owned()));
    let value = secret("a value of the wrong type");
    let bodies = [
        format!("{{\"deadline_ms\": {}", secret("a body that is no JSON")),
        format!("\"{}\"", secret("a body that is no JSON")),
        json!({"deadline_ms": value, "new_model_ref": {"a": value}, "purge_models": value}).to_string(),
        json!({"deadline_ms": {value: value}, "new_model_ref": [value], "purge_models": [[value]]})
            .to_string(),
    ];
    for (method, path) in read.into_iter().chain(pool) {
        for credential in [format!("Bearer {token}"), format!("Bearer {wrong}"), format!("Basic {wrong}")] {
            for body in &bodies {
                let url = door.url(&format!("{path}?key={}", secret("a query")));
                let request =
                    door.client.request(method.clone(), url).header(header::AUTHORIZATION, &credential);
                let request = request.header(header::COOKIE, secret("a cookie"));
                let request = request.header(header::PROXY_AUTHORIZATION, secret("a header for a proxy"));
                let request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
                let answer = request.send().await.unwrap();
                let mut all = format!("{} {:?}", answer.status(), answer.headers()).into_bytes();
                all.extend(answer.bytes().await.unwrap());
                let found = found_in(&all);
                if !found.is_empty() {
                    leaks.push(format!("{method} {path}: {found:?} in {}", String::from_utf8_lossy(&all)));
                }
            }
        }
    }
    leaks
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let word = secret("a query");
    assert_eq!(found_in(format!("x{word}x").as_bytes()), ["a query"]);
    assert_eq!(found_in(b"nothing"), Vec::<&str>::new());
    // "user:" and "us" before the word, as `base64` writes them.
    assert_eq!(base64_within("abcdef", 0), b"YWJjZGVm");
    assert_eq!(base64_within("abcdefg", 2), b"YmNkZWZn");
}

//= AUTH-1007 type=test
// X05
#[tokio::test]
async fn the_agent_tells_none_of_its_secrets() {
    let keys = format!(
        "api_key = \"{}\"\nenv = {{ HF_TOKEN = \"{}\" }}",
        secret("the engine's key"),
        secret("a variable of the engine")
    );
    let (disk, model) = Disk::with_pool("good", &keys);
    let log = disk.path("log");
    let (api, node) = (secret("the API's token"), secret("the node's token"));
    // Nobody listens there: the agent tries to register, and fails.
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9)).to_string();
    let plane = format!("http://{nobody}");
    let env = [
        ("LLORCH_API_TOKEN", api),
        ("LLORCH_NODE_TOKEN", node),
        ("ORCHESTRATORD_URL", plane.as_str()),
        ("RUST_LOG", "trace,hyper=trace,reqwest=trace"),
    ];
    let agent = Daemon::start_into(&disk, &env, &log).await;
    until("the pool is ready", || left(&model, "completions").is_some()).await;
    let mut leaks = ask_all(&agent, node).await;
    for pid in [agent.child.id().to_string(), pid_of(&model)] {
        let found = found_in(&command_line(&pid));
        if !found.is_empty() {
            leaks.push(format!("the command line of {pid}: {found:?}"));
        }
    }
    drop(agent);
    let text = fs::read(&log).unwrap();
    assert!(text.len() > 10_000, "the log is not that of everything");
    for line in text.split(|byte| *byte == b'\n').filter(|line| !found_in(line).is_empty()) {
        leaks.push(format!("the log: {}", String::from_utf8_lossy(line)));
    }
    leaks.extend(found_below(&disk.path("state")).iter().map(|found| format!("{found:?}")));
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

//= ORCH-3316 type=test
#[tokio::test]
async fn the_agents_log_tells_people_what_becomes_of_its_engines() {
    let (disk, model) = Disk::with_pool("good", "");
    let log = disk.path("log");
    let agent = Daemon::start_into(&disk, &[("RUST_LOG", "info")], &log).await;
    agent.door.until_ready().await;
    let (_, answer) = agent.door.post("drain", &json!({"deadline_ms": 10})).await;
    assert_eq!(answer["operation"], "drain", "{answer}");
    crate::node::kill(&pid_of(&model));
    let said = || fs::read_to_string(&log).unwrap();
    let sentences = [
        ("agent", "start", "engine", "The agent starts an engine."),
        ("agent", "ready", "engine", "The engine is ready and takes work."),
        ("operator", "drain", "pool", "The pool takes nothing new; what it runs ends within 10 ms."),
        ("agent", "lose", "engine", "The engine ends by itself"),
    ];
    for (actor, action, target, human) in sentences {
        let wanted = [
            format!("\"actor\":\"{actor}\""),
            format!("\"action\":\"{action}\""),
            format!("\"target_kind\":\"{target}\""),
            format!("\"human\":\"{human}"),
        ];
        until(human, || said().lines().any(|line| wanted.iter().all(|part| line.contains(part)))).await;
    }
}
