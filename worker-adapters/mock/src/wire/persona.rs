//! Which engine a scripted server looks like: where it takes work, and what it says of itself.

use super::{Voice, answer};

/// The outside of one kind of engine.
#[derive(Debug, Clone)]
pub struct Persona {
    work: &'static [&'static str],
    answers: Vec<(&'static str, String)>,
    unknown: &'static str,
    voice: Voice,
}

impl Default for Persona {
    fn default() -> Self {
        Self::llamacpp(1)
    }
}

impl Persona {
    /// A llama.cpp server with so many slots.
    pub fn llamacpp(slots: u32) -> Self {
        let props = format!(
            r#"{{"default_generation_settings":{{"n_ctx":4096}},"total_slots":{slots},"model_alias":"scripted","model_path":"/models/scripted.gguf","build_info":"b1-script"}}"#
        );
        Self {
            work: &["/completion"],
            answers: vec![
                ("/health", r#"{"status":"ok"}"#.to_owned()),
                ("/props", props),
                (
                    "/v1/models",
                    r#"{"object":"list","data":[{"id":"scripted","aliases":["scripted"]}]}"#.to_owned(),
                ),
                ("/slots", r#"[{"id":0,"n_ctx":4096,"is_processing":false}]"#.to_owned()),
                ("/apply-template", r#"{"prompt":"<user>hi</user><assistant>"}"#.to_owned()),
            ],
            unknown: r#"{"error":{"message":"File Not Found","type":"not_found_error","code":404}}"#,
            voice: Voice::LLAMACPP,
        }
    }

    /// A server that speaks `OpenAI`'s dialect and knows nothing else.
    pub fn openai() -> Self {
        Self {
            work: &["/v1/completions", "/v1/chat/completions"],
            answers: vec![(
                "/v1/models",
                r#"{"object":"list","data":[{"id":"org/scripted","object":"model"}]}"#.to_owned(),
            )],
            unknown: r#"{"detail":"Not Found"}"#,
            voice: Voice::OPENAI,
        }
    }

    /// A vLLM server.
    pub fn vllm() -> Self {
        let models = r#"{"object":"list","data":[{"id":"scripted","object":"model","root":"/models/scripted-hf","max_model_len":4096}]}"#;
        let metrics = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"0\"} 1.0\nvllm:num_requests_waiting{engine=\"0\"} 2.0\n";
        Self {
            answers: vec![
                ("/health", String::new()),
                ("/version", r#"{"version":"0.32.0"}"#.to_owned()),
                ("/v1/models", models.to_owned()),
                ("/metrics", metrics.to_owned()),
            ],
            ..Self::openai()
        }
    }

    /// A TGI server.
    pub fn tgi() -> Self {
        let info = r#"{"model_id":"org/scripted","max_concurrent_requests":128,"max_total_tokens":2048,"version":"3.3.6"}"#;
        Self {
            work: &["/generate_stream", "/v1/chat/completions"],
            answers: vec![("/health", String::new()), ("/info", info.to_owned())],
            unknown: "",
            voice: Voice::TGI,
        }
    }

    /// The same, with another answer to a question.
    #[must_use]
    pub fn saying(mut self, path: &'static str, body: &str) -> Self {
        self.answers.retain(|(known, _)| *known != path);
        self.answers.push((path, body.to_owned()));
        self
    }

    /// The same, not knowing a question.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.answers.retain(|(known, _)| *known != path);
        self
    }

    /// How it writes its answers.
    pub fn voice(&self) -> Voice {
        self.voice
    }

    pub(super) fn works_on(&self, head: &str) -> bool {
        head.starts_with("POST ") && self.work.contains(&path(head))
    }

    pub(super) fn answer(&self, head: &str) -> String {
        match self.answers.iter().find(|(known, _)| *known == path(head)) {
            Some((_, body)) => answer("200 OK", body),
            None => answer("404 Not Found", self.unknown),
        }
    }
}

/// The path that a request's head asks for.
fn path(head: &str) -> &str {
    let target = head.split(' ').nth(1).unwrap_or_default();
    target.split('?').next().unwrap_or_default()
}
