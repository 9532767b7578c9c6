//! Where traces go, and which of them.
//!
//! The variables are the ones that every exporter of traces knows, so that what an operator has set for all
//! services holds here too.

use url::Url;

use crate::{fault::Problem, form::Text, kind::TraceSampler, value::shown};

pub(crate) static COLLECTOR: Text = Text::new(
    "URL",
    "an http:// or https:// URL without path, user, query and fragment",
    "^[hH][tT][tT][pP][sS]?:[^ ?#]+$",
);
pub(crate) static RATIO: Text = Text::new("RATIO", "a number from 0 to 1", "^[0-9.]+$");

/// Where traces go, and which of them.
#[derive(Debug, Clone, PartialEq)]
pub struct TracesConfig {
    /// The collector; without one there are no traces.
    pub endpoint: Option<Url>,
    /// Which traces are recorded.
    pub sampler: TraceSampler,
    /// Which part of them, from 0 to 1, where the sampler takes a part.
    pub ratio: f64,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self { endpoint: None, sampler: TraceSampler::ParentBasedAlwaysOn, ratio: 1.0 }
    }
}

/// The address of a collector. Messages never repeat it, because a password may have been written into it.
pub(crate) fn collector(text: &str) -> Result<Url, Problem> {
    let hint = "write it like http://collector:4317, which is where it speaks gRPC";
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Problem::new("holds a blank or a control character"));
    }
    let url = Url::parse(text).map_err(|error| Problem::new(format!("is not a URL: {error}")).hint(hint))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Problem::new("is not an http:// or https:// URL with a host").hint(hint));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let problem = Problem::new("holds a user or password");
        return Err(problem.hint("what proves who sends goes into OTEL_EXPORTER_OTLP_HEADERS"));
    }
    if url.query().is_some() || url.fragment().is_some() || url.path() != "/" {
        return Err(Problem::new("has a path, a query or a fragment").hint(hint));
    }
    Ok(url)
}

/// A part of the whole.
pub(crate) fn ratio(text: &str) -> Result<f64, Problem> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = text.parse().ok().filter(|number| plain && (0.0..=1.0).contains(number));
    number.ok_or_else(|| Problem::new(format!("{} is not a number from 0 to 1", shown(text))))
}
