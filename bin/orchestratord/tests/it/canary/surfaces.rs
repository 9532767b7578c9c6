//! What is asked of each route, with a canary in every place where a client, a node or an operator can put one.

use orchestratord::RouteFacts;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::search::Canaries;

/// Names that the server knows by the time when they are asked for.
pub(crate) struct Known {
    /// Tasks that have ended.
    pub(crate) tasks: Vec<String>,
    pub(crate) session: String,
    pub(crate) artifact: String,
    /// Where the node's engine listens.
    pub(crate) engine: String,
}

/// One thing to ask: the path, and the body where there is one.
pub(crate) type Ask = (String, Option<Value>);

/// What is asked of this route with the right token. A route that is added has to be added here.
pub(crate) fn asks(route: &RouteFacts, c: &Canaries, known: &Known) -> Vec<Ask> {
    let plain = || vec![(route.path.to_owned(), None)];
    let of_each = |ids: &[String]| ids.iter().map(|id| (route.path.replace("{id}", id), None)).collect();
    let with = |id: &str, body: Value| (route.path.replace("{*id}", id).replace("{id}", id), Some(body));
    match (route.method.as_str(), route.path) {
        (
            "GET",
            "/health"
            | "/ready"
            | "/metrics"
            | "/openapi.json"
            | "/docs"
            | "/v2/tasks"
            | "/v2/artifacts"
            | "/v2/pools"
            | "/v2/nodes"
            | "/v1/models"
            | "/v2/meta/capabilities"
            | "/v2/meta/version"
            | "/v2/catalog/availability"
            | "/v2/catalog/models",
        ) => plain(),
        ("GET", "/v2/tasks/{id}" | "/v2/tasks/{id}/events" | "/v2/tasks/{id}/explain")
        | ("POST", "/v2/tasks/{id}/cancel") => of_each(&known.tasks),
        ("GET" | "DELETE", "/v2/sessions/{id}") => of_each(std::slice::from_ref(&known.session)),
        ("GET", "/v2/artifacts/{id}") => of_each(std::slice::from_ref(&known.artifact)),
        ("GET", "/v2/pools/{id}/health") => of_each(&["default", "oai", "far"].map(str::to_owned)),
        ("GET" | "DELETE", "/v2/catalog/models/{*id}") => vec![(route.path.replace("{*id}", "m"), None)],
        ("GET", "/v1/models/{*id}") => vec![(route.path.replace("{*id}", "org/scripted"), None)],
        ("DELETE", "/v2/nodes/{id}") => vec![(route.path.replace("{id}", "gpu-1"), None)],
        ("POST", "/v2/tasks") => vec![(route.path.to_owned(), Some(task(c)))],
        ("POST", "/v2/artifacts") => vec![(
            route.path.to_owned(),
            Some(
                json!({"kind": "plan", "content": c.of("artifact"), "metadata": {"note": c.of("metadata")}}),
            ),
        )],
        ("POST", "/v2/pools/{id}/drain") => {
            vec![with("far", json!({"deadline_ms": 1, "metadata": c.of("metadata")}))]
        }
        ("POST", "/v2/pools/{id}/reload") => {
            let wanted =
                json!({"new_model_ref": format!("file:/outside/{}", c.of("model_path")), "deadline_ms": 1});
            vec![with("far", wanted.clone()), with("default", wanted)]
        }
        ("POST", "/v2/pools/{id}/purge") => {
            let models =
                json!({"purge_models": [format!("/outside/{}", c.of("model_path"))], "deadline_ms": 1});
            vec![with("far", models.clone()), with("default", models)]
        }
        ("POST", "/v2/pools/{id}/resume") => vec![(route.path.replace("{id}", "far"), Some(json!({})))],
        ("POST", "/v2/nodes/register") => registrations(c, &known.engine)
            .into_iter()
            .map(|body| (route.path.to_owned(), Some(body)))
            .collect(),
        ("POST", "/v2/nodes/{id}/heartbeat") => {
            heartbeats(c, &known.engine).into_iter().map(|body| with("gpu-1", body)).collect()
        }
        ("POST", "/v2/catalog/models") => models(c).into_iter().map(|body| with("", body)).collect(),
        ("POST", "/v2/catalog/models/{*id}") => vec![
            with("m/verify", json!({"metadata": c.of("metadata")})),
            with("m/state", json!({"state": "Active", "metadata": c.of("metadata")})),
        ],
        ("POST", "/v1/chat/completions") => vec![(route.path.to_owned(), Some(chat(c)))],
        ("POST", "/v1/completions") => vec![(route.path.to_owned(), Some(text(c)))],
        ("POST", "/v1/embeddings") => vec![(route.path.to_owned(), Some(inputs(c)))],
        (method, path) => panic!("{method} {path} is new: say here what is asked of it with canaries"),
    }
}

/// A task with a canary in each text.
pub(crate) fn task(c: &Canaries) -> Value {
    json!({"model_ref": "scripted", "max_tokens": 8, "session_id": Uuid::new_v4().to_string(), "ctx": 4000,
        "messages": [{"role": "system", "content": c.of("system_prompt")},
            {"role": "user", "content": format!("say\n\"{}\"", c.of("message"))}],
        "stop": [c.of("stop")], "metadata": {"secret": c.of("metadata"), "deep": [c.of("metadata")]},
        "seed": 7, "temperature": 0.5, "priority": "interactive", "placement": {"mode": "auto"},
        "sampler_profile_version": "v1", "deadline_ms": 600_000})
}

fn chat(c: &Canaries) -> Value {
    let image = format!("data:image/png;base64,{}", c.of("image"));
    json!({"model": "org/scripted", "max_tokens": 4, "stream": true, "stop": c.of("stop"),
        "messages": [{"role": "system", "content": c.of("system_prompt")},
            {"role": "user", "content": [{"type": "text", "text": c.of("message")},
                {"type": "image_url", "image_url": {"url": image}}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function",
                "function": {"name": "look", "arguments": json!({"key": c.of("tool_argument")}).to_string()}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": c.of("tool_result")}],
        "tools": [{"type": "function", "function": {"name": "look", "description": c.of("tool_argument"),
            "parameters": {"type": "object", "properties": {"key": {"type": "string"}}}}}],
        "metadata": {"secret": c.of("metadata")}})
}

fn text(c: &Canaries) -> Value {
    json!({"model": "org/scripted", "prompt": c.of("prompt"), "max_tokens": 4, "stop": [c.of("stop")],
        "user": c.of("metadata"), "suffix": c.of("message")})
}

/// The engine knows no such route: few are sent, so that its circuit does not keep them waiting.
fn inputs(c: &Canaries) -> Value {
    json!({"model": "org/scripted", "input": [c.of("input")], "user": c.of("metadata")})
}

fn registrations(c: &Canaries, engine: &str) -> Vec<Value> {
    let place = engine.trim_start_matches("http://");
    let node = |address: String| {
        json!({"node_id": "gpu-1", "machine_id": "gpu-1", "address": address, "pools": ["far"],
            "capabilities": {"gpus": []}, "version": "0.1.0", "metadata": {"secret": c.of("heartbeat")}})
    };
    let user = c.of("url_password");
    vec![
        node(place.to_owned()),
        node(format!("http://user:{user}@{place}")),
        node(format!("ftp://user:{user}@{place}/{user}")),
        node(format!("http://{place}/?key={user}")),
    ]
}

fn heartbeats(c: &Canaries, engine: &str) -> Vec<Value> {
    let place = engine.trim_start_matches("http://");
    let beat = |endpoint: String| {
        json!({"timestamp": format!("2026-01-01T00:00:00Z {}", c.of("heartbeat")),
            "metadata": c.of("heartbeat"),
            "pools": [{"pool_id": "far", "ready": true, "slots_free": 1, "slots_total": 1,
                "vram_free_bytes": 1_u64 << 33, "vram_total_bytes": 1_u64 << 34, "engine": "llamacpp",
                "engine_version": "b1", "endpoint": endpoint, "model_id": "scripted", "device_mask": "0",
                "ctx_max": 4096, "secret": c.of("heartbeat")}]})
    };
    let user = c.of("url_password");
    vec![
        beat(format!("http://user:{user}@{place}")),
        beat(format!("http://{place}/?key={user}")),
        beat(format!("http://169.254.169.254/{user}")),
        beat(engine.to_owned()),
    ]
}

fn models(c: &Canaries) -> Vec<Value> {
    let user = c.of("url_password");
    vec![
        json!({"id": "m", "model_ref": format!("file:/outside/{}", c.of("model_path")), "ctx_max": 4096,
            "metadata": c.of("metadata"), "digest": format!("sha256:{}", "0".repeat(64))}),
        json!({"id": "n", "model_ref": format!("https://user:{user}@models.example/m.gguf")}),
        json!({"id": "o", "model_ref": format!("https://models.example/m.gguf?token={}", c.of("url_query"))}),
    ]
}

/// The same body, once with each of its members made into something that it may not be.
pub(crate) fn spoiled(body: &Value, word: &str) -> Vec<Value> {
    let mut all = vec![json!([word]), json!(word), json!({ word: word })];
    for (name, value) in body.as_object().into_iter().flatten() {
        let mut wrong = vec![json!({ word: word }), json!([{ word: word }])];
        if !value.is_string() {
            wrong.push(json!(word));
        }
        all.extend(wrong.into_iter().map(|wrong| {
            let mut body = body.clone();
            body[name] = wrong;
            body
        }));
    }
    all
}

/// Methods that the path has not.
pub(crate) fn wrong_methods(route: &RouteFacts, all: &[RouteFacts]) -> Vec<Method> {
    let has = |method: &Method| all.iter().any(|one| one.path == route.path && one.method == *method);
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    methods.into_iter().filter(|method| !has(method)).collect()
}
