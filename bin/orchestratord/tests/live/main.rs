//! The product against a real llama.cpp server with real models, as processes of their own.
//!
//! `cargo xtask setup` gets the engine. Where it cannot be had, each test says SKIPPED and why.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "a test measures real time and ends its own tasks")]
#![expect(clippy::format_collect, reason = "an expected text is read here, not made fast")]

mod chat;
mod clients;
mod crowd;
mod openai;
mod processes;
mod vllm;

mod live {
    //! The tests, under the name by which the runner finds them.

    use std::time::{Duration, Instant};

    use reqwest::StatusCode;
    use serde_json::{Value, json};
    use tokio::time::sleep;

    use crate::processes::{Engine, Model, Server, engine_or_skip, events, text_of};

    /// The small real model: one prompt, one seed, one answer.
    #[tokio::test]
    async fn a_task_streams_the_engines_own_answer() {
        let Some(engine) = engine_or_skip(Model::SmolLm2).await else { return };
        let server = Server::start(&engine).await;
        let prompt = "<|im_start|>user\nName three primary colours.<|im_end|>\n<|im_start|>assistant\n";
        for (seed, temperature) in [(7, 0.0), (42, 0.9)] {
            let own = engine
                .post(
                    "/completion",
                    &json!({"prompt": prompt, "n_predict": 24, "seed": seed,
                    "temperature": temperature, "stream": false}),
                )
                .await;
            let task = json!({"model_ref": engine.model_file(), "prompt": prompt, "max_tokens": 24,
                "seed": seed, "temperature": temperature});
            let id = server.submit(&task).await;
            let stream = server.stream(&id, None).await;
            assert_eq!(text_of(&stream), own["content"].as_str().unwrap(), "seed {seed}");
            let end = events(&stream).pop().unwrap();
            assert_eq!(end.0, "end");
            assert_eq!(end.1["tokens_out"], own["tokens_predicted"]);
            assert_eq!(end.1["tokens_in"], own["tokens_evaluated"]);
            let view = server.get_json(&format!("/v2/tasks/{id}")).await;
            assert_eq!(view["text"], own["content"]);
            println!("seed {seed}: {:?}", own["content"].as_str().unwrap());
        }
    }

    /// The engine's own template shapes a conversation.
    #[tokio::test]
    async fn a_conversation_gets_the_engines_own_answer() {
        let Some(engine) = engine_or_skip(Model::SmolLm2).await else { return };
        let server = Server::start(&engine).await;
        let messages = json!([{"role": "user", "content": "Name three primary colours."}]);
        let own = engine
            .post(
                "/v1/chat/completions",
                &json!({"messages": messages, "max_tokens": 24, "seed": 7, "temperature": 0}),
            )
            .await;
        let task = json!({"model_ref": engine.model_file(), "messages": messages, "max_tokens": 24, "seed": 7, "temperature": 0});
        let id = server.submit(&task).await;
        assert_eq!(
            text_of(&server.stream(&id, None).await),
            own["choices"][0]["message"]["content"].as_str().unwrap()
        );
    }

    /// One number is one token, so that a lost, doubled or reordered one shows.
    #[tokio::test]
    async fn no_token_is_lost_doubled_or_reordered() {
        let Some(engine) = engine_or_skip(Model::TinyCounter).await else { return };
        let server = Server::start(&engine).await;
        let task = json!({"model_ref": engine.model_file(), "prompt": "Count:", "max_tokens": 400, "temperature": 0});
        let mut ids = Vec::new();
        for _ in 0..8 {
            ids.push(server.submit(&task).await);
        }
        let expected: String = (0..400).map(|number| format!(" {number}")).collect();
        for id in ids {
            assert_eq!(text_of(&server.stream(&id, None).await), expected);
        }
    }

    /// Two dialects of one engine: the answer and its counts must not depend on which is spoken.
    #[tokio::test]
    async fn the_same_engine_says_the_same_in_openais_dialect() {
        let Some(engine) = engine_or_skip(Model::TinyCounter).await else { return };
        let task = json!({"model_ref": engine.model_file(), "prompt": "Count:", "max_tokens": 200,
            "temperature": 0, "stop": [" 150"]});
        let mut answers = Vec::new();
        for kind in ["llamacpp", "openai"] {
            let server = Server::start_with(&engine, kind).await;
            let id = server.submit(&task).await;
            let stream = server.stream(&id, None).await;
            let (name, end) = events(&stream).pop().unwrap();
            assert_eq!((name.as_str(), &end["finish_reason"]), ("end", &json!("stop")), "{kind}: {end}");
            answers.push((text_of(&stream), end["tokens_in"].clone(), end["tokens_out"].clone()));
        }
        let expected: String = (0..150).map(|number| format!(" {number}")).collect();
        assert_eq!(answers[0].0, expected);
        assert_eq!(answers[0], answers[1]);
    }

    #[tokio::test]
    async fn a_conversation_gets_the_same_answer_in_both_dialects() {
        let Some(engine) = engine_or_skip(Model::SmolLm2).await else { return };
        crate::chat::says_the_same_in_both_dialects(&engine).await;
    }

    #[tokio::test]
    async fn every_reader_gets_the_same_bytes_early_late_or_resumed() {
        let Some(engine) = engine_or_skip(Model::TinyCounter).await else { return };
        let server = Server::start(&engine).await;
        let task = json!({"model_ref": engine.model_file(), "prompt": "Count:", "max_tokens": 500, "temperature": 0});
        let id = server.submit(&task).await;
        let (first, second) = tokio::join!(server.stream(&id, None), server.stream(&id, None));
        assert_eq!(first, second);
        let last = events(&first).len() as u64 - 1;
        for after in [0, 1, 17, last - 1, last] {
            let rest = server.stream(&id, Some(after)).await;
            assert!(first.ends_with(&rest), "resumed after {after}");
            assert_eq!(events(&rest).len() as u64, last - after);
        }
    }

    //= ORCH-3017 type=test
    //= ORCH-3026 type=test
    #[tokio::test]
    async fn a_cancel_stops_the_engine_and_no_token_follows_it() {
        let Some(engine) = engine_or_skip(Model::SmolLm2).await else { return };
        let server = Server::start(&engine).await;
        let task =
            json!({"model_ref": engine.model_file(), "prompt": "Once upon a time", "max_tokens": 1500});
        let id = server.submit(&task).await;
        server.until_tokens(&id).await;
        assert!(engine.busy_slots().await > 0);
        assert_eq!(server.post(&format!("/v2/tasks/{id}/cancel"), &json!({})).await, StatusCode::NO_CONTENT);
        let at_cancel = server.stream(&id, None).await;
        let (name, end) = events(&at_cancel).pop().unwrap();
        assert_eq!((name.as_str(), &end["finish_reason"]), ("end", &json!("canceled")));
        println!("the engine's slot was free {:?} after the cancel", engine.until_idle().await);
        sleep(Duration::from_millis(300)).await;
        assert_eq!(server.stream(&id, None).await, at_cancel);
    }

    #[tokio::test]
    async fn an_engine_killed_mid_stream_gives_one_error_and_the_server_lives() {
        let Some(mut engine) = engine_or_skip(Model::SmolLm2).await else { return };
        let server = Server::start(&engine).await;
        let task =
            json!({"model_ref": engine.model_file(), "prompt": "Once upon a time", "max_tokens": 1500});
        let id = server.submit(&task).await;
        server.until_tokens(&id).await;
        engine.kill();
        let killed = Instant::now();
        let all = events(&server.stream(&id, None).await);
        println!("the stream ended {:?} after the kill", killed.elapsed());
        let errors: Vec<&Value> =
            all.iter().filter(|(name, _)| name == "error").map(|(_, data)| data).collect();
        assert_eq!(errors.len(), 1);
        assert_eq!((&errors[0]["code"], &errors[0]["retriable"]), (&json!("WORKER_RESET"), &json!(true)));
        let tokens = all.iter().filter(|(name, _)| name == "token").count();
        assert_eq!(errors[0]["tokens_out"], tokens);
        assert!(!all.iter().any(|(name, _)| name == "end"));
        assert_eq!(server.get_json("/health").await["status"], "ok");
        let view = server.get_json(&format!("/v2/tasks/{id}")).await;
        assert_eq!(view["state"], "failed");
    }

    //= ORCH-3014 type=test
    //= ORCH-3016 type=test
    #[tokio::test]
    async fn a_prompt_beyond_the_engines_context_is_refused_before_it_waits() {
        let Some(engine) = engine_or_skip(Model::TinyCounter).await else { return };
        let server = Server::start(&engine).await;
        let health = server.get_json("/v2/pools/default/health").await;
        assert_eq!(health["replicas"][0]["ctx_max"], Engine::CONTEXT_PER_SLOT);
        let task =
            json!({"model_ref": engine.model_file(), "prompt": " 1 2 3 4".repeat(4_000), "max_tokens": 10});
        let (status, body) = server.try_submit(&task).await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMS")));
        assert!(body["message"].as_str().unwrap().contains(&Engine::CONTEXT_PER_SLOT.to_string()), "{body}");
        assert_eq!(engine.busy_slots().await, 0);
        // Within our estimate, and still too long by the engine's own count: it refuses, once.
        let task = json!({"model_ref": engine.model_file(), "prompt": "a b c d e f ".repeat(1_250), "max_tokens": 10});
        let id = server.submit(&task).await;
        let (name, error) = events(&server.stream(&id, None).await).pop().unwrap();
        assert_eq!((name.as_str(), &error["code"]), ("error", &json!("INVALID_PARAMS")), "{error}");
        assert_eq!((&error["attempts"], &error["retriable"]), (&json!(1), &json!(false)));
    }
}
