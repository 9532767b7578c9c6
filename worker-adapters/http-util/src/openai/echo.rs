//! Whose answer an answer is, where the engine tells.
//!
//! An engine that is asked under a name may write it into its events. Whether it does is learnt from its
//! answers, since what stands between us and it may write names of its own. Once it was seen to echo, an answer
//! under another name is another job's, and none of it may reach a reader.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use adapter_api::{AdapterError, Finish};
use serde::Deserialize;

use crate::{
    scan::{Member, Scanner},
    stream::{Dialect, TextSink},
};

/// Whether one engine writes a request's name into its answers.
#[derive(Debug, Default)]
pub struct Echo {
    heard: AtomicBool,
}

/// A dialect whose first event is held against the name of its request.
#[derive(Debug)]
pub(super) struct Named<D> {
    inner: D,
    expected: Option<(Arc<Echo>, Arc<str>)>,
}

impl<D> Named<D> {
    /// With no echo, nothing is held against anything.
    pub(super) fn new(inner: D, echo: Option<&Arc<Echo>>, request_id: &Arc<str>) -> Self {
        Self { inner, expected: echo.map(|echo| (Arc::clone(echo), Arc::clone(request_id))) }
    }
}

impl<D: Dialect> Dialect for Named<D> {
    // E21
    fn event(&mut self, data: &[u8], sink: &mut TextSink<'_>) -> Result<Option<Finish>, AdapterError> {
        if let Some((echo, request_id)) = self.expected.take() {
            echo.check(&request_id, data)?;
        }
        self.inner.event(data, sink)
    }
}

impl Echo {
    /// Looks at the first event of the answer to the request of this name.
    fn check(&self, request_id: &str, event: &[u8]) -> Result<(), AdapterError> {
        match id_of(event) {
            Some(id) if id.contains(request_id) => {
                self.heard.store(true, Ordering::Relaxed);
                Ok(())
            }
            Some(_) if self.heard.load(Ordering::Relaxed) => {
                Err(AdapterError::Protocol { what: "the answer belongs to another job".to_owned() })
            }
            _ => Ok(()),
        }
    }
}

/// The name that an event has, if it is an object that has one.
fn id_of(event: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Tagged<'a> {
        #[serde(borrow)]
        id: Option<Cow<'a, str>>,
    }
    let mut id = Member::default();
    let scanned = std::str::from_utf8(event).ok().and_then(|event| {
        Scanner::read(event, |scanner| {
            scanner.object(|name, scanner| match name {
                "id" => id.read_unless_null(scanner, Scanner::string_as_written),
                _ => scanner.skip(),
            })
        })
    });
    match scanned {
        Some(()) => id.value().map(Cow::Borrowed),
        None => serde_json::from_slice::<Tagged<'_>>(event).ok().and_then(|tagged| tagged.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_however_it_is_written_and_only_one_that_is_a_text_in_an_object() {
        for (event, id) in [
            (r#"{"id":"cmpl-1","choices":[]}"#, Some("cmpl-1")),
            (r#"{"choices":[{"id":"b"}], "id": "a"}"#, Some("a")),
            (r#"{"\u0069d":"a"}"#, Some("a")),
            (r#"{"id":"\u0061"}"#, Some("a")),
            (r#"{"id":null}"#, None),
            (r#"{"id":7}"#, None),
            (r#"{"id":"a","id":"b"}"#, None),
            (r#"{"id":"a""#, None),
            ("null", None),
            ("[DONE]", None),
        ] {
            assert_eq!(id_of(event.as_bytes()).as_deref(), id, "{event}");
        }
        let broken_elsewhere = [b"{\"x\":\"\xFF\",".as_slice(), br#""id":"a"}"#].concat();
        assert_eq!(id_of(&broken_elsewhere).as_deref(), Some("a"));
    }
}
