//! The names of a call's members.

use api_types::ErrorCode;

use super::{super::body::is_name, members::Members};
use crate::error::ApiError;

/// Members of these names are the server's own to write.
pub(super) const RESERVED: [&str; 4] = ["model", "stream", "stream_options", "sse_ping_interval"];
/// What the API's documents name, in the order of its bytes.
const KNOWN: [&str; 42] = [
    "audio",
    "best_of",
    "dimensions",
    "echo",
    "encoding_format",
    "frequency_penalty",
    "function_call",
    "functions",
    "input",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "suffix",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

/// Refuses a call with a member that the API's documents do not name.
pub(super) fn check_known(members: &Members<'_>) -> Result<(), ApiError> {
    let Some(name) = members.other_than(&KNOWN) else { return Ok(()) };
    let problem = "is not known here, and unknown fields are refused";
    if is_name(name) {
        return Err(ApiError::invalid(name, problem));
    }
    Err(ApiError::new(ErrorCode::InvalidParams, format!("the body has a field that {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_stands_in_order_so_that_each_is_found() {
        assert!(KNOWN.is_sorted_by(|a, b| a < b));
        assert!(KNOWN.iter().all(|name| KNOWN.binary_search(name).is_ok()));
        assert!(
            RESERVED.iter().filter(|name| **name != "sse_ping_interval").all(|name| KNOWN.contains(name))
        );
    }
}
