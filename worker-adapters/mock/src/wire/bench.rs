//! What the tests of all adapters do alike: an order, its answer to the end, and what the engine saw.

use std::sync::Arc;

use adapter_api::{
    AdapterError, Finish, Generate, Input, Message, Progress, Role, Sampling, TokenBatch, Work, WorkOrder,
    WorkerAdapter, next,
};
use serde_json::{Value, json};

use super::{ScriptedEngine, Seen};

/// An order that leaves all that can be left to the engine.
pub fn plain_order(input: Input) -> WorkOrder {
    order_of(Work::Generate(Generate::from(input, 5)))
}

/// An order for this work.
pub fn order_of(work: Work) -> WorkOrder {
    WorkOrder { request_id: "r-1".into(), model: "scripted".into(), work, trace: None }
}

/// Submits an order and takes its answer to the end: its pieces, joined, and how it ended.
///
/// # Errors
/// As the adapter's.
pub async fn run_order(
    adapter: &dyn WorkerAdapter,
    order: WorkOrder,
) -> Result<(String, Finish), AdapterError> {
    let mut stream = adapter.submit(Arc::new(order)).await?;
    let (mut text, mut batch) = (String::new(), TokenBatch::new());
    loop {
        batch.clear();
        let progress = next(stream.as_mut(), &mut batch).await?;
        text.extend(batch.pieces().map(|piece| piece.text));
        if let Progress::Ended(finish) = progress {
            return Ok((text, finish));
        }
    }
}

/// What the engine saw of an order, after a look at it.
///
/// # Errors
/// As the adapter's.
pub async fn seen_of(
    engine: &ScriptedEngine,
    adapter: &dyn WorkerAdapter,
    order: WorkOrder,
) -> Result<Seen, AdapterError> {
    adapter.probe().await?;
    run_order(adapter, order).await?;
    engine.seen().pop().ok_or(AdapterError::Lost)
}

/// An order for text with these wishes.
pub fn wishing(input: Input, sampling: Sampling) -> WorkOrder {
    order_of(Work::Generate(Generate { sampling, ..Generate::from(input, 5) }))
}

/// Every wish that there is, each with a value that binary fractions hold exactly.
pub fn every_wish() -> Sampling {
    Sampling {
        seed: Some(7),
        temperature: Some(0.5),
        top_p: Some(0.25),
        top_k: Some(40),
        min_p: Some(0.125),
        presence_penalty: Some(0.75),
        frequency_penalty: Some(-0.5),
        repeat_penalty: Some(1.25),
        stop: vec![" 4".to_owned(), "\n\"".to_owned()],
    }
}

/// A conversation of every role, and the same as most engines want it.
pub fn conversation() -> (Input, Value) {
    let turns = [
        (Role::System, "be brief"),
        (Role::User, "hi \"you\""),
        (Role::Assistant, "yes?"),
        (Role::Tool, "42"),
    ];
    let wire = turns.iter().map(|(role, text)| json!({"role": role.as_str(), "content": text})).collect();
    (Input::Chat(turns.into_iter().map(|(role, text)| Message::new(role, text)).collect()), wire)
}
