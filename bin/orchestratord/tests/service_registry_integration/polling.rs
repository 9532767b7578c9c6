//! Agents that the operator has named, and that are asked.

use serde_json::json;

use crate::{
    node::Node,
    support::{TestApp, engine_task},
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn an_agent_that_is_named_is_asked_counted_and_told() {
    let node = Node::start("unused", "p", 1).await;
    let url = format!("http://{}", node.addr);
    let settings =
        [("ORCHD_POOL_MANAGERS", url.as_str()), ("LLORCH_API_TOKEN", TOKEN), ("AUTH_OPTIONAL", "true")];
    let app = TestApp::with(&settings).await;
    let id = app.submit(&engine_task()).await;
    let task = app.until_state(&id, "completed").await;
    let name = format!("127.0.0.1-{}/p", node.addr.port());
    assert_eq!(task["placement"]["replica_id"], name.as_str(), "{task}");
    let pools = app.get_json("/v2/pools").await;
    assert_eq!(pools["pools"].as_array().unwrap().len(), 1, "no mock stands in beside it: {pools}");
    let metrics = app.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("orchd_pool_health_checks_total{pool_id=\"p\",outcome=\"ok\"}"), "{metrics}");
    assert_eq!(node.agent.state.lock().authorization.as_deref(), Some(&*format!("Bearer {TOKEN}")));
    let answer = app.post("/v2/pools/p/drain", &json!({"deadline_ms": 1_000})).await;
    assert_eq!(answer.status(), 202);
    while node.asked() != ["drain"] {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(node.agent.state.lock().asked[0].1["deadline_ms"], 1_000);
    app.finish().await;
}
