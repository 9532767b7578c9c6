//! Who is let in.

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{TestApp, mock_task};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

async fn ask(app: &TestApp, headers: &[(&'static str, String)]) -> (StatusCode, Value) {
    let mut request = app.client.post(app.url("/v2/tasks")).json(&mock_task());
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let response = request.send().await.unwrap();
    assert!(response.headers().contains_key("x-correlation-id"));
    (response.status(), response.json().await.unwrap())
}

//= AUTH-1005 type=test
#[tokio::test]
async fn only_the_right_bearer_token_opens_the_guarded_routes() {
    let app = TestApp::with(&[("LLORCH_API_TOKEN", TOKEN)]).await;
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let (status, body) = ask(&app, &[]).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::UNAUTHORIZED, Some("MISSING_TOKEN")));
    let wrong = [
        bearer("fedcba9876543210fedcba9876543210"),
        bearer(&TOKEN[1..]),
        bearer(&format!("{TOKEN}0")),
        ("authorization", format!("bearer {TOKEN}")),
        ("authorization", format!("Basic {TOKEN}")),
        ("authorization", TOKEN.to_owned()),
    ];
    for header in wrong {
        let (status, body) = ask(&app, std::slice::from_ref(&header)).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (StatusCode::UNAUTHORIZED, Some("BAD_TOKEN")),
            "{header:?}"
        );
        assert!(!body.to_string().contains(TOKEN), "no answer repeats a token");
    }
    assert_eq!(ask(&app, &[bearer(TOKEN)]).await.0, StatusCode::ACCEPTED);
    for open in ["/health", "/ready", "/metrics", "/openapi.json", "/docs"] {
        assert_eq!(app.get(open).await.status(), StatusCode::OK, "{open}");
    }
    for guarded in [
        "/v2/pools",
        "/v2/meta/capabilities",
        "/v2/meta/version",
        "/v2/tasks",
        "/v2/tasks/x",
        "/v2/tasks/x/events",
        "/v2/pools/x/health",
    ] {
        assert_eq!(app.get(guarded).await.status(), StatusCode::UNAUTHORIZED, "{guarded}");
    }
}

//= AUTH-1003 type=test
#[tokio::test]
async fn a_peer_on_this_machine_may_leave_the_token_out_only_when_told_so_and_not_through_a_proxy() {
    let app = TestApp::with(&[("LLORCH_API_TOKEN", TOKEN), ("AUTH_OPTIONAL", "true")]).await;
    assert_eq!(ask(&app, &[]).await.0, StatusCode::ACCEPTED);
    for name in ["forwarded", "x-forwarded-for"] {
        assert_eq!(ask(&app, &[(name, "10.0.0.1".to_owned())]).await.0, StatusCode::UNAUTHORIZED, "{name}");
    }
    let wrong = [("authorization", "Bearer nope".to_owned())];
    assert_eq!(ask(&app, &wrong).await.0, StatusCode::UNAUTHORIZED);
    app.finish().await;
}
