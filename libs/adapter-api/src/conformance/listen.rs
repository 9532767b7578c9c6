//! Taking a stream to its end, and noting all that came.
//!
//! The rules that hold at every step of every stream are checked on the way.

use crate::{AdapterError, Finish, Progress, TokenBatch, TokenStream, next};

use super::{Behaviour, check::rule};

/// More steps than any answer of the suite can need.
const STEPS_MAX: usize = 10_000;

/// What one stream said, from its beginning to its one end.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) text: String,
    pub(super) end: Result<Finish, AdapterError>,
}

/// Takes all steps of a stream that ends by itself.
pub(super) async fn to_the_end(stream: &mut dyn TokenStream, behaviour: Behaviour) -> Heard {
    let (mut text, mut batch) = (String::new(), TokenBatch::new());
    for _ in 0..STEPS_MAX {
        match step(stream, &mut batch, &mut text, behaviour).await {
            Ok(Progress::More) => {}
            Ok(Progress::Ended(finish)) => return Heard { text, end: Ok(finish) },
            Err(error) => return Heard { text, end: Err(error) },
        }
    }
    rule(false, "a stream must come to an end", behaviour, &text);
    Heard { text, end: Err(AdapterError::Lost) }
}

/// Takes steps until `length` bytes of text came, or the stream ended.
pub(super) async fn until(stream: &mut dyn TokenStream, length: usize, behaviour: Behaviour) -> String {
    let (mut text, mut batch) = (String::new(), TokenBatch::new());
    while text.len() < length {
        let progress = step(stream, &mut batch, &mut text, behaviour).await;
        if progress != Ok(Progress::More) {
            rule(text.len() >= length, "a stream must not end before its texts came", behaviour, &progress);
            break;
        }
    }
    text
}

/// One step. What an error leaves in the batch came before it, and counts.
async fn step(
    stream: &mut dyn TokenStream,
    batch: &mut TokenBatch,
    text: &mut String,
    behaviour: Behaviour,
) -> Result<Progress, AdapterError> {
    batch.clear();
    let progress = next(stream, batch).await;
    let grew = !batch.is_empty() || progress != Ok(Progress::More);
    rule(grew, "a stream that says there is more must have added a piece", behaviour, &progress);
    for piece in batch.pieces() {
        rule(!piece.text.is_empty(), "a piece must not be empty", behaviour, &piece);
        text.push_str(piece.text);
    }
    progress
}
