//! The API of `OpenAI` on a real engine, spoken by its own clients, and work that is not text.

use std::time::Duration;

use mock::wire::{Act, Ending, Persona, ScriptedEngine, Voice};
use serde_json::{Value, json};

use crate::{
    clients::Client,
    processes::{Engine, Model, Server, engine_with, events},
};

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/clients/tools.jinja");

/// Runs both clients' checks; each ends with a stream that it leaves, whose task must end, too.
async fn clients_are_content(server: &Server, model: &str) {
    for client in Client::ALL {
        let Some(said) = client.run("check", &[server.url(), model]).await else { continue };
        let job = said.trim().rsplit(' ').next().unwrap();
        server.until_state(job, "canceled").await;
    }
}

//= ORCH-3200 type=test
#[tokio::test]
async fn official_clients_are_content_with_the_mock() {
    let server = Server::start_env(&[]).await;
    clients_are_content(&server, "mock").await;
}

//= ORCH-3200 type=test
#[tokio::test]
async fn official_clients_are_content_with_a_real_engine_tools_and_shapes_included() {
    let flags = ["--embeddings", "--chat-template-file", TEMPLATE];
    let Some(engine) = engine_with(Model::SmolLm2, &flags).await else { return };
    let server = Server::start(&engine).await;
    clients_are_content(&server, engine.model_file()).await;
    engine.until_idle().await;
}

//= ORCH-3203 type=test
#[tokio::test]
async fn official_clients_come_back_when_they_are_told_to() {
    for client in Client::ALL {
        let engine = ScriptedEngine::start_as(Persona::openai()).await.unwrap();
        let file = format!("{}/one-slot-{}.toml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
        let pool = format!(
            "[admission]\ncapacity = 1\n[[pools]]\nid = \"default\"\nengine = \"openai\"\nendpoint = \"{}\"\nslots = 1\n",
            engine.url()
        );
        std::fs::write(&file, pool).unwrap();
        let server = Server::start_env(&[("ORCHD_CONFIG", &file)]).await;
        let slow = [Voice::OPENAI.begun(&["a"]), vec![Act::Pause(Duration::from_millis(1_500))]].concat();
        engine.push([slow, Voice::OPENAI.completion(&["b"], Ending::Eos)[1..].to_vec()].concat());
        let task = json!({"model_ref": "scripted", "prompt": "Count:"});
        let (first, second) = (server.submit(&task).await, server.submit(&task).await);
        let Some(said) = client.run("patience", &[server.url(), "scripted"]).await else { continue };
        assert!(said.contains(" ok"), "{said}");
        for job in [first, second] {
            server.until_state(&job, "completed").await;
        }
        let metrics = server.get_text("/metrics").await;
        let refused: Vec<_> =
            metrics.lines().filter(|line| line.starts_with("orchd_admission_rejected_total{")).collect();
        let refusals: u32 =
            refused.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum();
        println!("{client:?} was refused {refusals} times: {refused:?}");
        assert!((1..=3).contains(&refusals), "{refused:?}");
        std::fs::remove_file(file).unwrap();
    }
}

/// The engine's own answer to a call.
async fn own(engine: &Engine, path: &str, call: Value) -> Value {
    engine.post(path, &call).await
}

#[tokio::test]
async fn vectors_are_the_engines_own() {
    let Some(engine) = engine_with(Model::SmolLm2, &["--embeddings"]).await else { return };
    let server = Server::start(&engine).await;
    let inputs = ["the old river", "a bright door"];
    let id = server
        .submit(&json!({"model_ref": engine.model_file(), "workload": "embedding", "inputs": inputs}))
        .await;
    let (name, end) = events(&server.stream(&id, None).await).pop().unwrap();
    assert_eq!(name, "end");
    let own = own(&engine, "/v1/embeddings", json!({"input": inputs})).await;
    for (index, vector) in end["embeddings"].as_array().unwrap().iter().enumerate() {
        assert_eq!(*vector, own["data"][index]["embedding"]);
    }
    assert_eq!(end["tokens_in"], own["usage"]["prompt_tokens"]);
    println!("2 vectors of {} numbers", own["data"][0]["embedding"].as_array().unwrap().len());
}

#[tokio::test]
async fn rankings_are_the_engines_own() {
    let Some(engine) = engine_with(Model::SmolLm2, &["--embeddings", "--pooling", "rank"]).await else {
        return;
    };
    let server = Server::start(&engine).await;
    let documents = ["a bright door", "the old river", "an old river"];
    let task = json!({"model_ref": engine.model_file(), "workload": "rerank", "prompt": "the old river",
        "inputs": documents});
    let id = server.submit(&task).await;
    let (name, end) = events(&server.stream(&id, None).await).pop().unwrap();
    assert_eq!(name, "end", "{end}");
    let own = own(&engine, "/v1/rerank", json!({"query": "the old river", "documents": documents})).await;
    let scores = |list: &Value, score: &str| -> Vec<(u64, String)> {
        let rows = list.as_array().unwrap().iter();
        let mut rows: Vec<_> =
            rows.map(|row| (row["index"].as_u64().unwrap(), row[score].to_string())).collect();
        rows.sort();
        rows
    };
    assert_eq!(scores(&end["ranking"], "score"), scores(&own["results"], "relevance_score"));
    println!("{}", end["ranking"]);
}
