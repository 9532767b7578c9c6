//! The last step of every answer of this surface.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    Json,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use tower::{Layer, Service};

use crate::error::{ApiError, in_openai_words};

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Says an error again in this surface's dialect, with the headers that its clients obey.
#[derive(Debug, Clone, Copy)]
pub(super) struct InOpenAiWords;

impl<S> Layer<S> for InOpenAiWords {
    type Service = Worded<S>;

    fn layer(&self, inner: S) -> Worded<S> {
        Worded(inner)
    }
}

/// What answers in our words.
#[derive(Debug, Clone)]
pub(super) struct Worded<S>(S);

impl<S> Service<Request> for Worded<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Unpin>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Wording<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Wording(self.0.call(request))
    }
}

/// An answer that is still to come.
#[derive(Debug)]
pub(super) struct Wording<F>(F);

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Future for Wording<F> {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(response) = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(Ok(in_our_words(response)))
    }
}

//= ORCH-3203
fn in_our_words(mut response: Response) -> Response {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return response };
    let (status, body) = in_openai_words(error.body(), error.field());
    let mut said = (status, Json(body)).into_response();
    let retry = if error.body().retriable { "true" } else { "false" };
    said.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static(retry));
    if let Some(wait) = error.body().retry_after_ms {
        said.headers_mut().insert(RETRY_AFTER_MS, HeaderValue::from(wait));
    }
    for (name, value) in response.headers() {
        if ![header::CONTENT_LENGTH, header::CONTENT_TYPE].contains(name) {
            said.headers_mut().insert(name.clone(), value.clone());
        }
    }
    said
}
