//! Conversations, straight through the adapters: two dialects of one engine.

use std::{sync::Arc, time::Duration};

use adapter_api::{
    Finish, Generate, Input, Message, Progress, Role, Sampling, TokenBatch, Work, WorkOrder, WorkerAdapter,
    next,
};
use http_util::{EngineHttp, HttpTimeouts};
use llamacpp_http::LlamaCpp;
use openai_http::OpenAi;

use crate::processes::Engine;

fn http(engine: &Engine) -> EngineHttp {
    let patience = Duration::from_mins(1);
    let timeouts = HttpTimeouts { connect: patience, question: patience, silence: patience };
    EngineHttp::new(engine.url().parse().unwrap(), None, timeouts).unwrap()
}

async fn answer(adapter: &dyn WorkerAdapter, order: &Arc<WorkOrder>) -> (String, Finish) {
    adapter.probe().await.unwrap();
    let mut stream = adapter.submit(Arc::clone(order)).await.unwrap();
    let (mut text, mut batch) = (String::new(), TokenBatch::new());
    loop {
        batch.clear();
        let progress = next(stream.as_mut(), &mut batch).await.unwrap();
        text.extend(batch.pieces().map(|piece| piece.text));
        if let Progress::Ended(finish) = progress {
            return (text, finish);
        }
    }
}

/// Asks the engine the same in its own dialect and in the common one, and compares what came.
pub(crate) async fn says_the_same_in_both_dialects(engine: &Engine) {
    let messages = vec![
        Message::new(Role::System, "You are brief."),
        Message::new(Role::User, "Name three primary colours."),
    ];
    let sampling = Sampling { seed: Some(7), temperature: Some(0.0), ..Sampling::default() };
    let order = Arc::new(WorkOrder {
        request_id: "r-1".into(),
        model: engine.model_file().into(),
        work: Work::Generate(Generate { sampling, ..Generate::from(Input::Chat(messages), 16) }),
        trace: None,
    });
    let (own, own_finish) = answer(&LlamaCpp::new(http(engine)), &order).await;
    let (shared, finish) = answer(&OpenAi::new(http(engine)), &order).await;
    assert!(!own.is_empty());
    assert_eq!(shared, own);
    assert_eq!((finish.reason, finish.usage.prompt), (own_finish.reason, own_finish.usage.prompt));
    assert_eq!(finish.usage.generated, own_finish.usage.generated);
    println!("{own:?}");
}
