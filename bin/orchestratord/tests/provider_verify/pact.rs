//! Asks the server, and holds each answer against the document that it serves.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use tools_json_schema::Schemas;

use crate::support::{TestApp, parse};

/// What is documented, and what of it was seen.
pub(crate) struct Pact {
    pub(crate) document: Value,
    /// Operations that were answered with a success.
    seen: Mutex<BTreeSet<String>>,
}

impl Pact {
    /// The document of a server that runs.
    pub(crate) async fn of(app: &TestApp) -> Arc<Self> {
        Arc::new(Self { document: app.get_json("/openapi.json").await, seen: Mutex::default() })
    }

    /// Operations that no request has met with success.
    pub(crate) fn unseen(&self) -> Vec<String> {
        let seen = self.seen.lock();
        let all = self.operations().into_iter().map(|(_, _, operation)| id_of(operation));
        all.filter(|id| !seen.contains(id)).collect()
    }

    /// Method, path and description of each operation.
    pub(crate) fn operations(&self) -> Vec<(Method, &str, &Value)> {
        let paths = self.document["paths"].as_object().unwrap();
        let each = paths.iter().flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, operation)| {
                (method.to_uppercase().parse().unwrap(), path.as_str(), operation)
            })
        });
        each.collect()
    }

    /// The operation that a request is, the most special one first.
    fn operation(&self, method: &Method, path: &str) -> &Value {
        let path = path.split('?').next().unwrap();
        let mut found: Vec<_> = self
            .operations()
            .into_iter()
            .filter(|(known, template, _)| known == method && matches(template, path))
            .collect();
        found.sort_by_key(|(_, template, _)| std::cmp::Reverse(template.replace("{id}", "").len()));
        found.first().unwrap_or_else(|| panic!("{method} {path} is not documented")).2
    }

    /// Asks, checks the answer, which must have this status, and returns its body.
    pub(crate) async fn expect(
        &self,
        status: StatusCode,
        app: &TestApp,
        (method, path): (Method, &str),
        body: Option<Value>,
    ) -> Value {
        let mut request = app.client.request(method, app.url(path));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let (answered, body) = self.send(request).await;
        assert_eq!(answered, status, "{path}: {body}");
        body
    }

    /// Sends a request, checks the answer, and returns its status and body.
    pub(crate) async fn send(&self, request: RequestBuilder) -> (StatusCode, Value) {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let operation = self.operation(&method, &path);
        let sent = request.body().and_then(|body| body.as_bytes()).map(<[u8]>::to_vec);
        let response = client.execute(request).await.unwrap();
        let status = response.status();
        let at = format!("{method} {path}: {status}");
        let described = &operation["responses"][status.as_str()];
        assert!(!described.is_null(), "{at} is not documented");
        if status.is_success() {
            self.seen.lock().insert(id_of(operation));
            self.check_sent(operation, sent.as_deref(), &at);
        }
        self.check_headers(described, &response, &at);
        (status, self.check_body(described, response, &at).await)
    }

    fn schemas(&self) -> Schemas<'_> {
        Schemas::new(&self.document)
    }

    /// What was accepted is what the document says that may be sent.
    fn check_sent<'a>(&'a self, operation: &'a Value, sent: Option<&[u8]>, at: &str) {
        let schema = operation.pointer("/requestBody/content/application~1json/schema");
        if let (Some(schema), Some(sent)) = (schema, sent) {
            let sent: Value = serde_json::from_slice(sent).unwrap();
            let wrong = self.schemas().check(schema, &sent, "request");
            assert_eq!(wrong, Vec::<String>::new(), "{at}");
        }
    }

    fn check_headers<'a>(&'a self, described: &'a Value, response: &Response, at: &str) {
        assert!(response.headers().contains_key("x-correlation-id"), "{at}");
        for (name, header) in described["headers"].as_object().unwrap() {
            let place = header["$ref"].as_str().unwrap();
            let header = self.document.pointer(place.trim_start_matches('#')).unwrap();
            if let Some(value) = response.headers().get(name) {
                let text = value.to_str().unwrap();
                let is_number = ["integer", "number"].iter().any(|kind| header["schema"]["type"] == *kind);
                let value = if is_number { serde_json::from_str(text).unwrap() } else { json!(text) };
                let wrong = self.schemas().check(&header["schema"], &value, name);
                assert_eq!(wrong, Vec::<String>::new(), "{at}");
            }
        }
        for name in ["location", "retry-after", "x-backoff-ms", "x-should-retry", "x-request-id"] {
            let told =
                described["headers"].as_object().unwrap().keys().any(|it| it.eq_ignore_ascii_case(name));
            assert!(told || !response.headers().contains_key(name), "{at}: {name} is not documented");
        }
    }

    async fn check_body<'a>(&'a self, described: &'a Value, response: Response, at: &str) -> Value {
        let media = response.headers().get(header::CONTENT_TYPE).map(|it| it.to_str().unwrap().to_owned());
        let text = response.text().await.unwrap();
        let Some(content) = described["content"].as_object() else {
            assert_eq!(text, "", "{at}: no body is documented");
            return Value::Null;
        };
        let media = media.unwrap_or_default();
        let media = media.split(';').next().unwrap();
        let schema =
            &content.get(media).unwrap_or_else(|| panic!("{at}: {media} is not documented"))["schema"];
        let values = match media {
            "application/json" => vec![serde_json::from_str(&text).unwrap()],
            "text/event-stream" if schema["$ref"].is_null() => documents(&text),
            "text/event-stream" => parse(&text)
                .into_iter()
                .map(|event| json!({"id": event.id, "event": event.name, "data": event.data}))
                .collect(),
            _ => vec![json!(text)],
        };
        for value in &values {
            assert_eq!(self.schemas().check(schema, value, "answer"), Vec::<String>::new(), "{at}: {value}");
        }
        if values.len() == 1 { values.into_iter().next().unwrap() } else { Value::Array(values) }
    }
}

/// The documents of a stream in `OpenAI`'s dialect.
fn documents(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|it| *it != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn id_of(operation: &Value) -> String {
    operation["operationId"].as_str().unwrap().to_owned()
}

/// Whether a path is one of the template's: an id may hold slashes where models are named.
fn matches(template: &str, path: &str) -> bool {
    let Some((before, after)) = template.split_once("{id}") else { return template == path };
    let id = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    id.is_some_and(|id| !id.is_empty() && (before.ends_with("/models/") || !id.contains('/')))
}
