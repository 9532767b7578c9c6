//! The short answers of the cheap engine: health, properties, slots, models, errors.
//!
//! They hold the fields that a control plane reads from a real llama.cpp server, and only true ones.

/// What the engine says it has loaded; its file name is the model to ask for.
pub(crate) const MODEL_PATH: &str = "/models/cheap-counter.gguf";

pub(crate) fn health() -> Vec<u8> {
    ok(r#"{"status":"ok"}"#)
}

pub(crate) fn props(slots: usize) -> Vec<u8> {
    ok(&format!(
        "{{\"default_generation_settings\":{{\"params\":{{\"n_predict\":-1}},\"n_ctx\":{ctx}}},\
         \"total_slots\":{slots},\"model_alias\":\"{MODEL_PATH}\",\"model_path\":\"{MODEL_PATH}\",\
         \"modalities\":{{\"vision\":false,\"audio\":false}},\"endpoint_slots\":true,\
         \"endpoint_props\":false,\"endpoint_metrics\":false,\"build_info\":\"cheap-engine\",\
         \"is_sleeping\":false}}",
        ctx = super::CTX,
    ))
}

pub(crate) fn slots(total: usize, busy: usize) -> Vec<u8> {
    let slot = |id| {
        let (ctx, busy) = (super::CTX, id < busy);
        format!("{{\"id\":{id},\"n_ctx\":{ctx},\"speculative\":false,\"is_processing\":{busy}}}")
    };
    ok(&format!("[{}]", (0..total).map(slot).collect::<Vec<_>>().join(",")))
}

pub(crate) fn models() -> Vec<u8> {
    ok(&format!(
        "{{\"object\":\"list\",\"data\":[{{\"id\":\"{MODEL_PATH}\",\"aliases\":[\"{MODEL_PATH}\"],\
         \"object\":\"model\",\"owned_by\":\"llamacpp\",\"meta\":{{\"n_ctx\":{ctx},\"n_ctx_train\":{ctx}}}}}]}}",
        ctx = super::CTX,
    ))
}

/// An error, after which the connection closes, as it does at the real one.
pub(crate) fn error(status: u16, kind: &str, message: &str) -> Vec<u8> {
    let body = format!("{{\"error\":{{\"code\":{status},\"message\":\"{message}\",\"type\":\"{kind}\"}}}}");
    let reason = match status {
        400 => "Bad Request",
        404 => "Not Found",
        501 => "Not Implemented",
        _ => "Service Unavailable",
    };
    json(&format!("{status} {reason}"), "Connection: close\r\n", &body)
}

fn ok(body: &str) -> Vec<u8> {
    json("200 OK", "", body)
}

fn json(status: &str, header: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nServer: llama.cpp\r\nContent-Type: application/json; charset=utf-8\r\n\
         Content-Length: {}\r\n{header}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn body(answer: &[u8]) -> Value {
        let (head, body) = str::from_utf8(answer).unwrap().split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn answers_are_json_with_the_fields_that_are_read() {
        assert_eq!(body(&health())["status"], "ok");
        assert_eq!(body(&props(7))["total_slots"], 7);
        assert_eq!(body(&props(7))["default_generation_settings"]["n_ctx"], 32_768);
        assert_eq!(body(&models())["data"][0]["id"], MODEL_PATH);
        assert_eq!(body(&error(404, "not_found_error", "File Not Found"))["error"]["code"], 404);
    }

    #[test]
    fn busy_slots_are_shown_as_processing() {
        let slots = body(&slots(3, 2));
        let busy: Vec<_> =
            slots.as_array().unwrap().iter().map(|slot| slot["is_processing"].clone()).collect();
        assert_eq!(busy, [true, true, false]);
    }
}
