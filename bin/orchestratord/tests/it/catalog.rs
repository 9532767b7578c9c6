//! The catalog: models come in, are verified, are taken out of use, and decide what is placed.

use std::{fs, os::unix::fs::symlink, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use mock::wire::{Act, Ending, ScriptedEngine, completion};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::{net::TcpListener, time::timeout};

use crate::{
    daemon::Daemon,
    model_root::{Root, digest_of},
    support::{PATIENCE, TestApp, engine_task, mock_task},
};

const MODELS: &str = "/v2/catalog/models";

async fn register(app: &TestApp, model: &Value) -> Value {
    let (status, body) = ask(app, MODELS, model).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    body
}

async fn ask(app: &TestApp, path: &str, body: &Value) -> (StatusCode, Value) {
    let answer = app.post(path, body).await;
    (answer.status(), answer.json().await.unwrap())
}

/// Verifies a model, as often as it takes until the outcome is known.
async fn verify(app: &TestApp, id: &str) -> Value {
    let known = async {
        loop {
            let (status, body) = ask(app, &format!("{MODELS}/{id}/verify"), &json!({})).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{body}");
            if body["outcome"] != "running" {
                return body;
            }
        }
    };
    timeout(PATIENCE, known).await.expect("the outcome becomes known")
}

async fn retire(app: &TestApp, id: &str, deadline_ms: Option<u64>) -> StatusCode {
    let mut body = json!({"state": "Retired"});
    if let Some(deadline) = deadline_ms {
        body["deadline_ms"] = json!(deadline);
    }
    ask(app, &format!("{MODELS}/{id}/state"), &body).await.0
}

//= ORCH-3037 type=test
#[tokio::test]
async fn each_path_of_a_model_tells_how_it_is_asked() {
    use reqwest::Method;
    let app = TestApp::start().await;
    register(&app, &json!({"id": "org/m", "model_ref": "hf:org/m"})).await;
    let of_a_model = "GET,HEAD,DELETE";
    for (method, path, allowed) in [
        (Method::PUT, "org/m", of_a_model),
        (Method::POST, "org/m", of_a_model),
        (Method::PATCH, "org/m/state", "POST"),
        (Method::OPTIONS, "org/m/verify", "POST"),
    ] {
        let asked = app.client.request(method.clone(), app.url(&format!("{MODELS}/{path}")));
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(answer.headers()["allow"], allowed, "{method} {path}");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "METHOD_NOT_ALLOWED");
    }
}

async fn status_of(app: &TestApp, method: reqwest::Method, path: &str) -> StatusCode {
    app.client.request(method, app.url(path)).send().await.unwrap().status()
}

//= ORCH-3037 type=test
#[tokio::test]
async fn a_model_is_registered_read_listed_and_removed() {
    let app = TestApp::start().await;
    let model = json!({"id": "org/m", "model_ref": "hf:org/m", "ctx_max": 4096, "labels": {"team": "search"},
        "digest": digest_of(b"x"), "sbom": {"format": "spdx-json", "uri": "https://a.example/sbom"},
        "signatures": [{"kind": "gpg", "value": "abc", "check": "valid"}], "later": 1});
    let made = register(&app, &model).await;
    assert_eq!(
        (&made["id"], &made["model_ref"], &made["engine_model"]),
        (&json!("org/m"), &json!("hf:org/m"), &json!("org/m"))
    );
    assert_eq!(
        (&made["state"], &made["ctx_max"], &made["digest"]),
        (&json!("Active"), &json!(4096), &model["digest"])
    );
    // What a client says of a signature does not count.
    assert_eq!(made["signatures"], json!([{"kind": "gpg", "value": "abc", "check": "unchecked"}]));
    assert_eq!((&made["sbom"], &made["labels"]), (&model["sbom"], &model["labels"]));
    // Both ways of writing the slash lead to it.
    for path in ["org/m", "org%2Fm"] {
        assert_eq!(app.get_json(&format!("{MODELS}/{path}")).await, made, "{path}");
    }
    assert_eq!(register(&app, &model).await, made);
    let mut other = model.clone();
    other["ctx_max"] = json!(1);
    let (status, body) = ask(&app, MODELS, &other).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("MODEL_CONFLICT")));
    assert_eq!(body["retriable"], false);
    for id in ["c", "a", "b"] {
        register(&app, &json!({"id": id, "model_ref": id})).await;
    }
    let page = app.get_json(&format!("{MODELS}?limit=2")).await;
    assert_eq!((&page["models"][0]["id"], &page["models"][1]["id"]), (&json!("a"), &json!("b")));
    let page =
        app.get_json(&format!("{MODELS}?limit=2&after={}", page["next_after"].as_str().unwrap())).await;
    assert_eq!((&page["models"][0]["id"], &page["models"][1]), (&json!("c"), &made));
    assert_eq!(page["next_after"], json!(null));
    let path = format!("{MODELS}/org%2Fm");
    assert_eq!(status_of(&app, reqwest::Method::DELETE, &path).await, StatusCode::NO_CONTENT);
    assert_eq!(status_of(&app, reqwest::Method::DELETE, &path).await, StatusCode::NOT_FOUND);
    assert_eq!(status_of(&app, reqwest::Method::GET, &path).await, StatusCode::NOT_FOUND);
    app.finish().await;
}

//= ORCH-3037 type=test
#[tokio::test]
async fn every_wrong_field_of_a_model_is_refused_by_name() {
    let app = TestApp::start().await;
    let cases = [
        ("id", json!("")),
        ("id", json!("../etc")),
        ("id", json!("A")),
        ("model_ref", json!("http://host/m")),
        ("model_ref", json!("file:relative")),
        ("digest", json!("sha256:00")),
        ("digest", json!("../../etc/passwd")),
        ("ctx_max", json!(0)),
        ("ctx_max", json!("long")),
        ("signatures", json!(vec![json!({"kind": "gpg", "value": "x"}); 17])),
        ("signatures.value", json!([{"kind": "gpg", "value": ""}])),
        ("sbom.digest", json!({"format": "spdx-json", "digest": "x"})),
        ("labels", json!({"a b": "c"})),
    ];
    for (field, value) in cases {
        let mut model = json!({"id": "m", "model_ref": "m"});
        model[field.split('.').next().unwrap()] = value;
        let (status, body) = ask(&app, MODELS, &model).await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMS")), "{model}");
        assert!(body["message"].as_str().unwrap().contains(field), "{field}: {body}");
    }
    register(&app, &json!({"id": "m", "model_ref": "m"})).await;
    for (field, body) in [
        ("state", json!({})),
        ("state", json!({"state": "active"})),
        ("state", json!({"state": "Deleted"})),
        ("deadline_ms", json!({"state": "Retired", "deadline_ms": -1})),
        ("deadline_ms", json!({"state": "Active", "deadline_ms": 1})),
    ] {
        let (status, answer) = ask(&app, &format!("{MODELS}/m/state"), &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer["message"].as_str().unwrap().contains(field), "{body}: {answer}");
    }
    for path in ["?limit=0", "?limit=201", "?after=..%2F", "?limit=x"] {
        let answer = app.get(&format!("{MODELS}{path}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
    }
    app.finish().await;
}

//= ORCH-3413 type=test
//= ORCH-3415 type=test
//= ORCH-3091 type=test
#[tokio::test]
async fn a_file_below_a_root_is_verified_and_tells_its_need() {
    let root = Root::new();
    let app = TestApp::over(&root).await;
    let model = json!({"id": "m", "model_ref": root.model_ref(), "digest": root.digest()});
    assert_eq!(register(&app, &model).await.get("verification"), None);
    let found = verify(&app, "m").await;
    assert_eq!((&found["outcome"], &found["reason"]), (&json!("warn"), &json!("unsigned")), "{found}");
    let view = app.get_json(&format!("{MODELS}/m")).await;
    assert_eq!(view["size_bytes"], json!(root.bytes.len()));
    assert_eq!(view["verification"]["digest"], json!(root.digest()));
    assert_eq!((&view["header"]["format"], &view["header"]["layers"]), (&json!("gguf"), &json!(2)));
    // 2 layers, 2048 tokens, 2 heads of 16 numbers, keys and values, 2 bytes each.
    assert_eq!(view["vram"]["kv_bytes"], json!(2 * 2048 * 2 * 16 * 2 * 2));
    assert_eq!((&view["vram"]["weights_bytes"], &view["vram"]["ctx"]), (&json!(208), &json!(2048)));
    assert_eq!(view.get("verifying"), None);
    // Without a digest the file's own is recorded.
    register(&app, &json!({"id": "n", "model_ref": root.model_ref()})).await;
    assert_eq!(verify(&app, "n").await["reason"], "no_digest");
    assert_eq!(app.get_json(&format!("{MODELS}/n")).await["digest"], json!(root.digest()));
    let metrics = app.get("/metrics").await.text().await.unwrap();
    let bytes = format!("orchd_catalog_verify_bytes_total {}", 2 * root.bytes.len());
    assert!(metrics.contains(&bytes), "{metrics}");
    assert!(metrics.contains("orchd_catalog_verifications_total{outcome=\"warn\"} 2"), "{metrics}");
    app.finish().await;
}

//= ORCH-3091 type=test
#[tokio::test]
async fn what_lies_outside_of_the_roots_or_behind_a_link_fails_and_is_not_read() {
    let (root, outside) = (Root::new(), Root::new());
    let link = root.folder.path().join("link.gguf");
    symlink(outside.folder.path().join("m.gguf"), &link).unwrap();
    let app = TestApp::over(&root).await;
    for (id, model_ref, reason) in [
        ("outside", outside.model_ref(), "outside_roots"),
        ("link", format!("file:{}", link.display()), "symlink"),
        ("missing", format!("file:{}/none.gguf", root.path()), "missing"),
        ("folder", format!("file:{}", root.path()), "not_a_file"),
        ("passwd", "file:/etc/passwd".to_owned(), "outside_roots"),
    ] {
        register(&app, &json!({"id": id, "model_ref": model_ref})).await;
        let found = verify(&app, id).await;
        assert_eq!((&found["outcome"], &found["reason"]), (&json!("fail"), &json!(reason)), "{found}");
    }
    let metrics = app.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("orchd_catalog_verify_bytes_total 0"), "{metrics}");
    app.finish().await;
}

/// A server with one scripted engine, and a catalog.
async fn with_engine(engine: &ScriptedEngine, settings: &[(&str, &str)]) -> TestApp {
    let pools = format!("default=llamacpp+{}", engine.url());
    let mut all = vec![("ORCHD_POOLS", pools.as_str())];
    all.extend(settings);
    TestApp::with(&all).await
}

fn calls(engine: &ScriptedEngine) -> usize {
    engine.seen().iter().filter(|seen| seen.head.starts_with("POST")).count()
}

fn task_for(model: &str) -> Value {
    let mut task = engine_task();
    task["model_ref"] = json!(model);
    task
}

//= ORCH-3413 type=test
//= ORCH-3097 type=test
#[tokio::test]
async fn a_model_whose_file_is_another_one_is_never_placed() {
    // N14
    let (root, engine) = (Root::new(), ScriptedEngine::start(1).await.unwrap());
    let app = with_engine(&engine, &[("ORCHD_MODEL_ROOTS", root.path())]).await;
    register(&app, &json!({"id": "m", "model_ref": root.model_ref(), "digest": digest_of(b"another")})).await;
    let found = verify(&app, "m").await;
    assert_eq!((&found["outcome"], &found["reason"]), (&json!("fail"), &json!("mismatch")));
    for name in ["m", &root.model_ref(), &format!("{}/m.gguf", root.path())] {
        let (status, body) = ask(&app, "/v2/tasks", &task_for(name)).await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::BAD_REQUEST, &json!("UNTRUSTED_ARTIFACT")),
            "{name}"
        );
        assert_eq!(body["retriable"], false);
        let call = json!({"model": name, "messages": [{"role": "user", "content": "x"}]});
        let (status, body) = ask(&app, "/v1/chat/completions", &call).await;
        assert_eq!((status, &body["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("untrusted_artifact")));
        assert_eq!(body["error"]["param"], "model");
    }
    assert_eq!(calls(&engine), 0);
    app.finish().await;
}

//= ORCH-3413 type=test
#[tokio::test]
async fn a_file_that_changes_after_its_verification_is_read_again_when_it_is_asked_for() {
    let (root, engine) = (Root::new(), ScriptedEngine::start(1).await.unwrap());
    let app = with_engine(&engine, &[("ORCHD_MODEL_ROOTS", root.path())]).await;
    register(&app, &json!({"id": "m", "model_ref": root.model_ref(), "digest": root.digest()})).await;
    assert_eq!(verify(&app, "m").await["outcome"], "warn");
    fs::write(root.folder.path().join("m.gguf"), b"GGUF of somebody else").unwrap();
    let refused = async {
        loop {
            let (_, body) = ask(&app, "/v2/tasks", &task_for("m")).await;
            if body["code"] == "UNTRUSTED_ARTIFACT" {
                return;
            }
        }
    };
    timeout(PATIENCE, refused).await.expect("the model is found to be another one");
    assert_eq!(app.get_json(&format!("{MODELS}/m")).await["verification"]["reason"], "mismatch");
    // The right file again makes it the right model again.
    fs::write(root.folder.path().join("m.gguf"), &root.bytes).unwrap();
    assert_eq!(verify(&app, "m").await["outcome"], "warn");
    app.finish().await;
}

//= ORCH-3037 type=test
#[tokio::test]
async fn a_task_may_name_the_id_of_a_model_and_a_retired_one_is_refused() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let app = with_engine(&engine, &[]).await;
    register(&app, &json!({"id": "ours", "model_ref": "scripted"})).await;
    for name in ["ours", "scripted"] {
        engine.push(completion(&[" ok"], Ending::Eos));
        let mut task = task_for(name);
        task["task_id"] = json!(if name == "ours" {
            "0192f0c0-0000-7000-8000-000000000001"
        } else {
            "0192f0c0-0000-7000-8000-000000000002"
        });
        let id = app.submit(&task).await;
        let view = app.until_state(&id, "completed").await;
        assert_eq!((&view["text"], &view["model_ref"]), (&json!(" ok"), &json!(name)));
    }
    // Far in the future, then in the past.
    for (deadline, expected) in [
        (Some(9_999_999_999_999), StatusCode::ACCEPTED),
        (Some(1), StatusCode::SERVICE_UNAVAILABLE),
        (None, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        assert_eq!(retire(&app, "ours", deadline).await, StatusCode::ACCEPTED);
        if expected == StatusCode::ACCEPTED {
            engine.push(completion(&[" ok"], Ending::Eos));
        }
        let before = calls(&engine);
        let (status, body) = ask(&app, "/v2/tasks", &task_for("ours")).await;
        assert_eq!(status, expected, "{body}");
        if status == StatusCode::ACCEPTED {
            app.until_state(body["job_id"].as_str().unwrap(), "completed").await;
        } else {
            assert_eq!((&body["code"], &body["retriable"]), (&json!("MODEL_NOT_AVAILABLE"), &json!(false)));
            assert_eq!(calls(&engine), before);
        }
    }
    // What was accepted before is not refused when it is asked for again.
    let mut task = task_for("ours");
    task["task_id"] = json!("0192f0c0-0000-7000-8000-000000000001");
    assert_eq!(app.post("/v2/tasks", &task).await.status(), StatusCode::OK);
    engine.push(completion(&[" ok"], Ending::Eos));
    assert_eq!(
        ask(&app, &format!("{MODELS}/ours/state"), &json!({"state": "Active"})).await.0,
        StatusCode::ACCEPTED
    );
    let id = app.submit(&task_for("ours")).await;
    app.until_state(&id, "completed").await;
    app.finish().await;
}

//= ORCH-3037 type=test
#[tokio::test]
async fn a_call_of_openai_may_name_the_id_of_a_model_and_a_retired_one_is_refused() {
    let app = TestApp::start().await;
    register(&app, &json!({"id": "ours", "model_ref": "mock"})).await;
    let call = json!({"model": "ours", "prompt": "x", "max_tokens": 4});
    let (status, body) = ask(&app, "/v1/completions", &call).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(retire(&app, "ours", None).await, StatusCode::ACCEPTED);
    let (status, body) = ask(&app, "/v1/completions", &call).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!("model_not_found")),
        "{body}"
    );
    app.finish().await;
}

//= ORCH-3414 type=test
#[tokio::test]
async fn the_strict_policy_places_what_is_registered_verified_and_signed_and_nothing_else() {
    let (root, engine) = (Root::new(), ScriptedEngine::start(1).await.unwrap());
    let key = SigningKey::from_bytes(&[7; 32]);
    let keys = format!("ops:{}", STANDARD.encode(key.verifying_key().as_bytes()));
    let settings = [
        ("ORCHD_MODEL_ROOTS", root.path()),
        ("ORCHD_CATALOG_TRUST", "strict"),
        ("ORCHD_CATALOG_KEYS", &keys),
    ];
    let app = with_engine(&engine, &settings).await;
    let refused = async |name: &str| {
        let (status, body) = ask(&app, "/v2/tasks", &task_for(name)).await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::BAD_REQUEST, &json!("UNTRUSTED_ARTIFACT")),
            "{body}"
        );
        body["message"].as_str().unwrap().to_owned()
    };
    assert!(refused("scripted").await.contains("not in the catalog"));
    let signed: [u8; 32] = Sha256::digest(&root.bytes).into();
    let signature = STANDARD.encode(key.sign(&signed).to_bytes());
    let mut model = json!({"id": "unsigned", "model_ref": root.model_ref(), "digest": root.digest()});
    register(&app, &model).await;
    assert!(refused("unsigned").await.contains("not verified"));
    assert_eq!(verify(&app, "unsigned").await["outcome"], "pass");
    assert!(refused("unsigned").await.contains("signature"));
    model["id"] = json!("signed");
    model["signatures"] = json!([{"kind": "ed25519", "key_id": "ops", "value": signature}]);
    let made = register(&app, &model).await;
    assert_eq!(made["signatures"][0]["check"], "valid");
    assert_eq!(verify(&app, "signed").await["outcome"], "pass");
    // It is let through, and then no engine has a model of this name.
    let (status, body) = ask(&app, "/v2/tasks", &task_for("signed")).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("MODEL_NOT_AVAILABLE")),
        "{body}"
    );
    // A byte more, and it is not proven any more.
    fs::write(root.folder.path().join("m.gguf"), [&root.bytes[..], b"x"].concat()).unwrap();
    refused("signed").await;
    assert_eq!(calls(&engine), 0);
    app.finish().await;
}

//= ORCH-3037 type=test
#[tokio::test]
async fn the_catalog_survives_a_kill() {
    let (state, root) = (TempDir::new().unwrap(), Root::new());
    let settings = [("ORCHD_MODEL_ROOTS", root.path())];
    let server = Daemon::start(state.path(), &settings).await;
    let wrong = digest_of(b"another");
    for (id, digest) in
        [("good", root.digest()), ("bad", wrong), ("gone", root.digest()), ("old", root.digest())]
    {
        let model = json!({"id": id, "model_ref": root.model_ref(), "digest": digest});
        assert_eq!(server.post(MODELS, &model).await.0, StatusCode::CREATED);
    }
    let mut outcomes = Vec::new();
    for id in ["good", "bad"] {
        let known = async {
            loop {
                let (_, found) = server.post(&format!("{MODELS}/{id}/verify"), &json!({})).await;
                if found["outcome"] != "running" {
                    return found["outcome"].clone();
                }
            }
        };
        outcomes.push(timeout(PATIENCE, known).await.unwrap());
    }
    assert_eq!(outcomes, [json!("warn"), json!("fail")]);
    let removed = server.client.delete(server.url(&format!("{MODELS}/gone"))).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let (retired, _) = server.post(&format!("{MODELS}/old/state"), &json!({"state": "Retired"})).await;
    assert_eq!(retired, StatusCode::ACCEPTED);
    let before = server.get_json(MODELS).await;
    server.kill();
    let server = Daemon::start(state.path(), &settings).await;
    assert_eq!(server.get_json(MODELS).await, before);
    assert_eq!(before["models"].as_array().unwrap().len(), 3);
    let (status, body) = server.post("/v2/tasks", &task_for("bad")).await;
    assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("UNTRUSTED_ARTIFACT")));
    server.stop().await;
}

/// What hostile clients put where a name belongs.
const HOSTILE: &[&str] = &[
    "..",
    "../..",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "..%2F..%2Fetc%2Fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "....//....//etc/passwd",
    "..%5c..%5cwindows%5cwin.ini",
    "%252e%252e%252fetc%252fpasswd",
    "..%c0%af..%c0%afetc/passwd",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "etc/passwd%00",
    "a/%2e%2e/%2e%2e/b",
    "a%2f..%2f..%2fb",
    ".",
    "./a",
    ".hidden",
    "~root",
    "a//b",
    "a%00b",
    "a%0ab",
    "a%0d%0ab",
    "A",
    "-rf",
    "$(id)",
    "%60id%60",
    "sha256:..%2f..%2fetc%2fpasswd",
    "file:%2f%2f%2fetc%2fpasswd",
    "%ef%bc%8fetc%ef%bc%8fpasswd",
    "%e2%88%95etc",
    "%ff%fe",
    "con",
    "nul.",
    "a%2f",
    "%2fa",
];

//= ORCH-3412 type=test
#[tokio::test]
async fn no_id_climbs_out_of_anything() {
    // X01
    let root = Root::new();
    let app = TestApp::over(&root).await;
    for hostile in HOSTILE {
        for prefix in [MODELS, "/v2/sessions", "/v2/tasks"] {
            // As raw bytes: a client library would tidy the path first.
            let host = app.addr;
            let asked =
                format!("GET {prefix}/{hostile} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = app.raw(asked.as_bytes()).await;
            let status = answer.split(' ').nth(1).unwrap();
            assert!(["400", "404"].contains(&status), "{prefix}/{hostile}: {answer}");
            assert!(!answer.contains("root:"), "{answer}");
        }
        let spelled = hostile.replace("%2f", "/").replace("%2F", "/").replace("%00", "\0");
        for field in ["id", "digest"] {
            if field == "id" && ["con", "nul."].contains(hostile) {
                continue;
            }
            let mut model = json!({"id": "m", "model_ref": "m"});
            model[field] = json!(spelled);
            let (status, body) = ask(&app, MODELS, &model).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{field} {spelled:?}: {body}");
        }
        let mut task = mock_task();
        task["session_id"] = json!(spelled);
        assert_eq!(app.post("/v2/tasks", &task).await.status(), StatusCode::BAD_REQUEST, "{spelled:?}");
    }
    assert_eq!(app.get_json(MODELS).await["models"], json!([]));
    app.finish().await;
}

/// References that would open a connection to `port` of this machine, if anything did.
fn references(port: u16) -> Vec<String> {
    let hosts = [
        "127.0.0.1",
        "localhost",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "127.0.0.1.nip.example",
        "169.254.169.254",
        "metadata.internal",
    ];
    let mut all = Vec::new();
    for host in hosts {
        for path in ["m.gguf", "a/b", "..%2fm", "m?x=1"] {
            all.push(format!("https://{host}:{port}/{path}"));
            all.push(format!("http://{host}:{port}/{path}"));
            all.push(format!("oci://{host}:{port}/{path}"));
            all.push(format!("s3://{host}:{port}/{path}"));
            all.push(format!("ftp://{host}:{port}/{path}"));
        }
    }
    all.push(format!("hf:127.0.0.1:{port}/m"));
    all.push(format!("gopher://127.0.0.1:{port}/_"));
    all
}

//= ORCH-3080 type=test
#[tokio::test]
async fn no_reference_opens_a_connection_that_the_operator_did_not_allow() {
    // X02
    let state = TempDir::new().unwrap();
    let allowed = [
        ("ORCHD_STATE_DIR", state.path().to_str().unwrap()),
        ("ORCHD_CATALOG_OUTBOUND", "allow"),
        ("ORCHD_CATALOG_HOSTS", "models.example"),
    ];
    for settings in [&[][..], &allowed] {
        let sink = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = TestApp::with(settings).await;
        let all = references(sink.local_addr().unwrap().port());
        assert!(all.len() >= 200, "{}", all.len());
        let mut registered = 0;
        for (index, reference) in all.iter().enumerate() {
            let id = format!("m{index}");
            let (status, body) = ask(&app, MODELS, &json!({"id": id, "model_ref": reference})).await;
            if status == StatusCode::CREATED {
                registered += 1;
                let found = verify(&app, &id).await;
                let said = (&found["outcome"], &found["reason"]);
                assert_eq!(said, (&json!("warn"), &json!("not_fetched")), "{reference}: {found}");
            } else {
                assert_eq!(status, StatusCode::BAD_REQUEST, "{reference}: {body}");
            }
            let mut task = mock_task();
            task["model_ref"] = json!(reference);
            assert!(!app.post("/v2/tasks", &task).await.status().is_success(), "{reference}");
        }
        assert!(registered > 50, "{registered}");
        // Nobody stands in the line of connections.
        let nobody = timeout(Duration::from_millis(50), sink.accept()).await;
        assert!(nobody.is_err(), "somebody connected");
        app.finish().await;
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used_end_the_start() {
    let state = TempDir::new().unwrap();
    for (name, value, said) in [
        ("ORCHD_MODEL_ROOTS", "/nowhere/at/all", "catalog.roots"),
        ("ORCHD_CATALOG_KEYS", "ops:AAAA", "catalog.keys"),
    ] {
        let (code, told) = Daemon::refuses(state.path(), &[(name, value)]).await;
        assert_eq!(code, Some(78), "{told}");
        assert!(told.contains(said), "{told}");
    }
    let outbound = ("ORCHD_CATALOG_OUTBOUND", "allow");
    for (other, said) in [
        (("ORCHD_CATALOG_HOSTS", "models.example:443"), "catalog.hosts"),
        (("ORCHD_STORE_KIND", "memory"), "catalog.outbound"),
    ] {
        let (code, told) = Daemon::refuses(state.path(), &[outbound, other]).await;
        assert_eq!(code, Some(78), "{told}");
        assert!(told.contains(said), "{told}");
    }
}

//= ORCH-3413 type=test
#[tokio::test]
async fn a_task_that_waits_while_its_model_is_retired_does_not_run_on_it() {
    // N14
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(vec![Act::UntilGone]);
    let pools = format!("default=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let registered = app.post(MODELS, &json!({"id": "mine", "model_ref": "scripted"})).await;
    assert_eq!(registered.status(), StatusCode::CREATED);
    let running = app.submit(&engine_task()).await;
    app.until_state(&running, "running").await;
    let waiting = app.submit(&engine_task()).await;
    let retired = app.post(&format!("{MODELS}/mine/state"), &json!({"state": "Retired"})).await;
    assert_eq!(retired.status(), StatusCode::ACCEPTED);
    assert_eq!(app.cancel(&running).await, StatusCode::NO_CONTENT);
    let view = app.until_state(&waiting, "failed").await;
    assert_eq!(view["error"]["code"], "MODEL_NOT_AVAILABLE", "{view}");
    assert_eq!(app.events(&waiting).await.last().unwrap().data["code"], "MODEL_NOT_AVAILABLE");
    assert_eq!(engine.seen().iter().filter(|seen| seen.head.starts_with("POST")).count(), 1);
    app.finish().await;
}
