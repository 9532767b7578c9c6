//! An engine that speaks llama.cpp's wire and misbehaves as the words in its model's file say.
//!
//! It is this very test program, started again through a script: whatever flags an engine is given reach it as
//! one variable. Beside its model it leaves files that say who it is and what it did.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::Duration,
};

const ARGS: &str = "FAKE_ENGINE_ARGS";

/// Writes the script that starts an engine into `folder`; `first` is what the shell does before.
pub(crate) fn script(folder: &Path, name: &str, first: &str) -> PathBuf {
    let program = env::current_exe().unwrap();
    let text = format!(
        "#!/bin/sh\n{first}\n{ARGS}=\"$*\" exec '{}' engine::plays_the_engine_of_other_tests --exact --ignored --nocapture\n",
        program.display()
    );
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A file beside the model.
pub(crate) fn beside(model: &Path, what: &str) -> PathBuf {
    PathBuf::from(format!("{}.{what}", model.display()))
}

/// What an engine left beside its model.
pub(crate) fn left(model: &Path, what: &str) -> Option<String> {
    fs::read_to_string(beside(model, what)).ok()
}

fn leave(model: &Path, what: &str, text: &str) {
    let new = beside(model, "new");
    fs::write(&new, text).unwrap();
    fs::rename(new, beside(model, what)).unwrap();
}

#[test]
#[ignore = "other tests start it as their engine"]
fn plays_the_engine_of_other_tests() {
    play_if_asked();
}

/// Is the engine when this process was started as one, and false when it was not.
pub(crate) fn play_if_asked() -> bool {
    let Ok(args) = env::var(ARGS) else { return false };
    let args: Vec<&str> = args.split(' ').collect();
    let value = |flag: &str| args.iter().skip_while(|arg| **arg != flag).nth(1).copied();
    let model = PathBuf::from(value("-m").unwrap());
    leave(&model, "pid", &process::id().to_string());
    leave(&model, "args", &args.join(" "));
    let variables: Vec<String> = env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    leave(&model, "env", &(variables.join("\n") + "\n"));
    let words = fs::read_to_string(&model).unwrap();
    let is = |word: &str| words.split_whitespace().any(|it| it == word);
    if is("exits") {
        std::io::stderr().write_all(b"bad magic in the model\n").unwrap();
        end(3);
    }
    if is("forks") {
        fork(&model);
    }
    let listener = TcpListener::bind(("127.0.0.1", value("--port").unwrap().parse().unwrap())).unwrap();
    let slots = value("--parallel").unwrap_or("1").to_owned();
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    for socket in listener.incoming().flatten() {
        let (model, slots, words) = (model.clone(), slots.clone(), words.clone());
        // A client that leaves is no concern of the engine's.
        thread::spawn(move || drop(answer(&socket, &model, &slots, &words)));
    }
    true
}

#[expect(clippy::exit, reason = "an engine ends as engines do")]
fn end(code: i32) {
    process::exit(code);
}

#[expect(clippy::zombie_processes, reason = "that nobody waits for it is what is tested")]
fn fork(model: &Path) {
    let child = Command::new("sleep").arg("600").spawn().unwrap();
    leave(model, "child", &child.id().to_string());
}

fn answer(socket: &TcpStream, model: &Path, slots: &str, words: &[String]) -> std::io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut from = BufReader::new(socket);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if from.read_line(&mut first)? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        let path = first.split(' ').nth(1).unwrap_or_default();
        let (status, media, body) = say(path, model, slots, words);
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        (&*socket).write_all(head.as_bytes())?;
    }
}

fn say(path: &str, model: &Path, slots: &str, words: &[String]) -> (&'static str, &'static str, String) {
    let is = |word: &str| words.iter().any(|it| it == word);
    let json = "application/json";
    let name = model.display();
    match path {
        "/health" if is("slow") && left(model, "go").is_none() => {
            ("503 Service Unavailable", json, r#"{"error":{"message":"Loading model"}}"#.to_owned())
        }
        "/health" => ("200 OK", json, r#"{"status":"ok"}"#.to_owned()),
        "/props" => {
            let body = format!(
                r#"{{"default_generation_settings":{{"n_ctx":512}},"total_slots":{slots},"model_path":"{name}","build_info":"b1-fake"}}"#
            );
            ("200 OK", json, body)
        }
        "/v1/models" => ("200 OK", json, format!(r#"{{"data":[{{"id":"{name}"}}]}}"#)),
        "/slots" => {
            let busy = left(model, "busy").and_then(|text| text.trim().parse().ok()).unwrap_or(0_u32);
            let slot = |index| format!(r#"{{"id":{index},"is_processing":{}}}"#, index < busy);
            let all: Vec<String> = (0..slots.parse().unwrap_or(1)).map(slot).collect();
            ("200 OK", json, format!("[{}]", all.join(",")))
        }
        "/completion" if is("mute") => (
            "500 Internal Server Error",
            json,
            r#"{"error":{"message":"no kernel for this device"}}"#.to_owned(),
        ),
        "/completion" => {
            let count = left(model, "completions").and_then(|text| text.parse().ok()).unwrap_or(0_u32);
            leave(model, "completions", &(count + 1).to_string());
            let token = r#"{"index":0,"content":"a","tokens":[1],"stop":false,"tokens_predicted":1,"tokens_evaluated":1}"#;
            let last = r#"{"index":0,"content":"","tokens":[],"stop":true,"stop_type":"limit","tokens_predicted":1,"tokens_evaluated":1}"#;
            ("200 OK", "text/event-stream", format!("data: {token}\n\ndata: {last}\n\n"))
        }
        _ => ("404 Not Found", json, r#"{"error":{"message":"not found"}}"#.to_owned()),
    }
}
