//! Every moment that is to be narrated, brought about at a running server, and what is said of each.

use std::time::Duration;

use mock::wire::open_ended;
use narration_core::{Capture, HUMAN_CHARS_MAX, Narration};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    model_root::Root,
    node::Node,
    support::{PATIENCE, TestApp, engine_task},
};

/// Who does what to what, and how the sentence begins.
const MOMENTS: &[(&str, &str, &str, &str)] = &[
    ("node", "register", "node", "A node registers."),
    ("node", "return", "node", "A node is heard of"),
    ("admission", "accept", "job", "Admission accepts an interactive job with "),
    ("admission", "refuse", "job", "Admission refuses a job because no GPU has the memory."),
    ("placement", "place", "job", "Placement gives a job a slot after "),
    ("engine", "start", "stream", "The engine sends its first text "),
    ("engine", "end", "stream", "The stream ends because the engine is done, after "),
    ("client", "cancel", "job", "A client cancels a job that is running."),
    ("operator", "drain", "pool", "The pool takes nothing new; what it runs ends within "),
    ("operator", "drain_end", "pool", "The pool is drained and takes nothing new."),
    ("operator", "resume", "pool", "The pool takes work again."),
    ("operator", "reload", "pool", "The pool changes to another model"),
    ("operator", "purge", "pool", "The pool stops its engines"),
    ("node", "leave", "node", "A node leaves"),
    ("server", "drain_start", "pools", "The server drains "),
    ("server", "drain_end", "pools", "The server is empty after "),
];

/// Words that tell of another time than now.
const OTHER_TENSES: &[&str] = &["was", "were", "had", "been", "will", "did", "would"];

const NODE: &str = "node-7483920165";
const POOL: &str = "pool-5829104736";
const PROMPT: &str = "zebra quartz 9182736450";

async fn ask(app: &TestApp, path: &str, body: &Value) -> (StatusCode, Value) {
    let answer = app.post(path, body).await;
    (answer.status(), answer.json().await.unwrap_or_default())
}

async fn done(app: &TestApp, what: &str) {
    let reached = async {
        loop {
            let health = app.get_json(&format!("/v2/pools/{POOL}/health")).await;
            if health["operation"]["operation"] == what && health["operation"]["state"] == "succeeded" {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("the {what} succeeds"));
}

/// A model of the catalog that no GPU of the node has the memory for.
async fn too_large(app: &TestApp, root: &Root) {
    let model = json!({"id": "mine/m", "model_ref": root.model_ref()});
    assert_eq!(app.post("/v2/catalog/models", &model).await.status(), StatusCode::CREATED);
    app.post("/v2/catalog/models/mine/m/verify", &json!({})).await;
    let read = async {
        while app.get_json("/v2/catalog/models/mine/m").await["vram"].is_null() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, read).await.expect("the model is read");
}

/// Brings all of it about, and returns every id that came up.
async fn live(app: &TestApp, root: &Root) -> Vec<String> {
    let base = app.url("");
    let node = Node::start(NODE, POOL, 1).await;
    node.join(&base).await;
    let mut task = engine_task();
    task["prompt"] = json!(PROMPT);
    let first = app.submit(&task).await;
    app.until_state(&first, "completed").await;
    node.engine.push(open_ended(&[" on"]));
    let second = app.submit(&task).await;
    app.until_state(&second, "running").await;
    assert_eq!(app.cancel(&second).await, StatusCode::NO_CONTENT);
    too_large(app, root).await;
    node.says("model_id", root.model_ref());
    node.says("vram_free_bytes", 100 << 20);
    node.says("vram_total_bytes", 200 << 20);
    node.is_heard(&base).await;
    node.until(&base, |replica| replica["vram_total_bytes"] == 200 << 20).await;
    let mut large = task.clone();
    large["model_ref"] = json!("mine/m");
    let (status, body) = ask(app, "/v2/tasks", &large).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("POOL_UNAVAILABLE")),
        "{body}"
    );
    let pool = |what: &str| format!("/v2/pools/{POOL}/{what}");
    assert_eq!(ask(app, &pool("drain"), &json!({"deadline_ms": 5_000})).await.0, StatusCode::ACCEPTED);
    done(app, "drain").await;
    assert_eq!(ask(app, &pool("resume"), &json!({})).await.0, StatusCode::NO_CONTENT);
    node.is_heard(&base).await;
    let wanted = json!({"new_model_ref": "qwen-next", "deadline_ms": 5_000});
    let (status, body) = ask(app, &pool("reload"), &wanted).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    done(app, "reload").await;
    assert_eq!(ask(app, &pool("purge"), &json!({"force": true})).await.0, StatusCode::ACCEPTED);
    done(app, "purge").await;
    let left = app.client.delete(app.url(&format!("/v2/nodes/{NODE}"))).send().await.unwrap();
    assert_eq!(left.status(), StatusCode::NO_CONTENT);
    vec![first, second]
}

fn check(told: &Narration, ids: &[String]) {
    let human = told.human();
    assert!(human.chars().count() <= HUMAN_CHARS_MAX, "{human}");
    assert!(human.ends_with('.') && human.starts_with(char::is_uppercase), "{human}");
    let words: Vec<_> = human.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).collect();
    assert!(!words.iter().any(|word| OTHER_TENSES.contains(&word.as_str())), "{human}");
    for id in ids.iter().map(String::as_str).chain([NODE, POOL, "mine/m", "qwen-next"]) {
        assert!(!human.contains(id), "{human} holds {id}");
        let digits: Vec<_> =
            id.split(|c: char| !c.is_ascii_hexdigit()).filter(|part| part.len() >= 8).collect();
        assert!(!digits.iter().any(|part| human.contains(part)), "{human} holds a part of {id}");
    }
    assert!(!PROMPT.split(' ').any(|word| human.contains(word)), "{human}");
    assert!(!told.actor().is_empty() && !told.action().is_empty() && !told.target().is_empty());
}

//= ORCH-3300 type=test
//= ORCH-3302 type=test
//= ORCH-3303 type=test
//= ORCH-3304 type=test
//= ORCH-3307 type=test
//= ORCH-3308 type=test
//= ORCH-3309 type=test
//= ORCH-3310 type=test
//= ORCH-3311 type=test
//= ORCH-3312 type=test
//= ORCH-3351 type=test
#[tokio::test]
async fn each_moment_is_narrated_when_it_happens_at_a_running_server() {
    let capture = Capture::start();
    let root = Root::new();
    let mut app = TestApp::with(&[("ORCHD_MODEL_ROOTS", root.path())]).await;
    let ids = live(&app, &root).await;
    app.stop().await;
    let seen = capture.seen();
    for told in &seen {
        check(told, &ids);
    }
    for (actor, action, target, sentence) in MOMENTS {
        let is =
            |told: &&Narration| (told.actor(), told.action(), told.target()) == (*actor, *action, *target);
        let told: Vec<_> = seen.iter().filter(is).map(Narration::human).collect();
        assert!(
            told.iter().any(|human| human.starts_with(sentence)),
            "{actor} {action} {target}: {told:?} of {seen:#?}"
        );
    }
}
