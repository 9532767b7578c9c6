//! Taking a job back, in every state.

use std::time::Duration;

use mock::wire::{Ending, ScriptedEngine, completion, open_ended};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{TestApp, engine_task, parse, text_of};

async fn with_engine(slots: u32) -> (TestApp, ScriptedEngine) {
    let engine = ScriptedEngine::start(slots).await.unwrap();
    let pools = format!("default=llamacpp+{}", engine.url());
    (TestApp::with(&[("ORCHD_POOLS", &pools)]).await, engine)
}

//= ORCH-3017 type=test
//= ORCH-3026 type=test
#[tokio::test]
async fn canceling_a_running_job_ends_every_stream_and_closes_the_engines_connection() {
    let (app, engine) = with_engine(1).await;
    engine.push(open_ended(&[" a", " b"]));
    let id = app.submit(&engine_task()).await;
    app.until_state(&id, "running").await;
    let readers = tokio::join!(app.stream(&id, None), app.stream(&id, None), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(app.cancel(&id).await, StatusCode::NO_CONTENT);
        app.stream(&id, None).await
    });
    assert_eq!(readers.0, readers.1);
    assert_eq!(readers.0, readers.2);
    let events = parse(&readers.0);
    assert_eq!(text_of(&events), " a b");
    let end = events.last().unwrap();
    assert_eq!(end.name, "end");
    assert_eq!((&end.data["finish_reason"], &end.data["canceled"]), (&json!("canceled"), &json!(true)));
    assert_eq!(end.data["tokens_out"], 2);
    assert_eq!(app.cancel(&id).await, StatusCode::NO_CONTENT, "canceling again changes nothing");
    assert_eq!(app.get_json(&format!("/v2/tasks/{id}")).await["state"], "canceled");
    app.finish().await;
    assert_eq!(engine.gone(), 1);
}

#[tokio::test]
async fn canceling_a_waiting_job_means_that_it_never_runs() {
    let (app, engine) = with_engine(1).await;
    engine.push(open_ended(&[" a"]));
    let running = app.submit(&engine_task()).await;
    app.until_state(&running, "running").await;
    let waiting = app.submit(&engine_task()).await;
    assert_eq!(app.cancel(&waiting).await, StatusCode::NO_CONTENT);
    let events = app.events(&waiting).await;
    assert_eq!(text_of(&events), "");
    assert_eq!(events.last().unwrap().data["finish_reason"], "canceled");
    app.cancel(&running).await;
    app.finish().await;
    assert_eq!(engine.seen().len(), 1);
}

// H09
#[tokio::test]
async fn canceling_an_ended_job_is_a_conflict_and_changes_nothing() {
    let (app, engine) = with_engine(1).await;
    engine.push(completion(&[" a"], Ending::Eos));
    let id = app.submit(&engine_task()).await;
    app.until_state(&id, "completed").await;
    let before = app.stream(&id, None).await;
    assert_eq!(app.cancel(&id).await, StatusCode::CONFLICT);
    assert_eq!(app.stream(&id, None).await, before);
    app.finish().await;
}

/// Cancel races with the engine's own end; whoever wins, everyone agrees.
// H08
#[tokio::test]
async fn a_cancel_that_races_with_the_end_has_one_winner() {
    let (app, engine) = with_engine(4).await;
    let mut canceled = 0;
    for round in 0..60_u64 {
        engine.push(completion(&[" a", " b", " c"], Ending::Eos));
        let id = app.submit(&engine_task()).await;
        tokio::time::sleep(Duration::from_micros(round * 40)).await;
        let status = app.cancel(&id).await;
        let events = app.events(&id).await;
        text_of(&events);
        let reason = events.last().unwrap().data["finish_reason"].clone();
        match status {
            StatusCode::NO_CONTENT => {
                canceled += 1;
                assert_eq!(reason, "canceled");
            }
            StatusCode::CONFLICT => assert_eq!(reason, "stop"),
            other => panic!("a cancel is answered {other}"),
        }
    }
    println!("{canceled} of 60 cancels won");
    app.finish().await;
}
