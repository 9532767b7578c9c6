//! Which trace something belongs to, and which span caused it, as the W3C headers say it.
//!
//! What comes from outside is taken by the letter of the standard or not at all: a wrong `traceparent` begins no
//! trace and breaks no request.

use std::{fmt::Write, sync::Arc};

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{SpanId, TraceId};

/// The header that names trace and span.
pub const TRACEPARENT: &str = "traceparent";
/// The header in which tracing systems hand themselves something on.
pub const TRACESTATE: &str = "tracestate";

/// What a version without extensions is long.
const LENGTH: usize = 55;
/// The least that every system has to hand on.
const STATE_BYTES_MAX: usize = 512;
const STATE_MEMBERS_MAX: usize = 32;
const SAMPLED: u8 = 0x01;

/// A place in a trace: whoever gets it is caused by this span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    flags: u8,
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// Reads the headers of a request; as [`Self::of_headers`].
    pub fn of_request(headers: &HeaderMap) -> Option<Self> {
        let all = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
        Self::of_headers(all(TRACEPARENT), all(TRACESTATE))
    }

    /// Reads headers, each in the order in which it came.
    ///
    /// `None` without exactly one sound `traceparent`. A `tracestate` that is unsound is left out.
    pub fn of_headers<'a>(
        mut traceparent: impl Iterator<Item = &'a [u8]>,
        tracestate: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Self> {
        let context = Self::parse(traceparent.next()?)?;
        if traceparent.next().is_some() {
            return None;
        }
        Some(context.with_state(state_of(tracestate)))
    }

    /// Reads one `traceparent`. A later version is taken by the four fields that it shares with this one.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(LENGTH)?;
        let hyphens = [2, 35, 52].iter().all(|at| head[*at] == b'-');
        let version = hex(&head[..2])?;
        let extended = version != 0 && rest.first().is_none_or(|byte| *byte == b'-');
        if !hyphens || version == 0xff || !(rest.is_empty() || extended) {
            return None;
        }
        let trace_id = TraceId::from(hex(&head[3..35])?);
        let span_id = SpanId::from(u64::try_from(hex(&head[36..52])?).ok()?);
        let flags = u8::try_from(hex(&head[53..])?).ok()?;
        // Of a version that is not known, this flag alone is.
        let flags = if version == 0 { flags } else { flags & SAMPLED };
        let sound = trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
        sound.then_some(Self { trace_id, span_id, flags, state: None })
    }

    /// The same place, with what tracing systems hand themselves on.
    #[must_use]
    pub fn with_state(self, state: Option<Arc<str>>) -> Self {
        Self { state, ..self }
    }

    /// A place in the same trace.
    pub(crate) fn at(&self, span_id: SpanId) -> Self {
        Self { span_id, ..self.clone() }
    }

    /// The first place of a trace.
    pub(crate) fn first(trace_id: TraceId, span_id: SpanId) -> Self {
        Self { trace_id, span_id, flags: 0, state: None }
    }

    /// The same place, recorded or not.
    pub(crate) fn with_sampled(self, sampled: Sampled) -> Self {
        let flags = match sampled {
            Sampled::Yes => self.flags | SAMPLED,
            Sampled::No => self.flags & !SAMPLED,
        };
        Self { flags, ..self }
    }

    /// The `traceparent` to send.
    pub fn traceparent(&self) -> String {
        let mut text = String::with_capacity(LENGTH);
        // Writing to a string cannot fail.
        write!(text, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags).ok();
        text
    }

    /// The `tracestate` to send beside it.
    pub fn tracestate(&self) -> Option<&Arc<str>> {
        self.state.as_ref()
    }

    /// The trace; shown in 32 hexadecimal digits.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span; shown in 16 hexadecimal digits.
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    pub(crate) fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// Whether a trace is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sampled {
    Yes,
    No,
}

/// Lower case only: the standard knows no other.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u128::from(value))
    })
}

/// Several headers are one list.
fn state_of<'a>(headers: impl Iterator<Item = &'a [u8]>) -> Option<Arc<str>> {
    let (mut whole, mut members) = (String::new(), 0);
    for header in headers {
        let text = std::str::from_utf8(header).ok()?;
        for member in text.split(',').map(|member| member.trim_matches([' ', '\t'])) {
            // The standard allows empty ones; there is nothing in them to hand on.
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            let sound = !key.is_empty() && !value.is_empty() && !value.contains('=');
            members += 1;
            if !sound
                || members > STATE_MEMBERS_MAX
                || !member.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            {
                return None;
            }
            if !whole.is_empty() {
                whole.push(',');
            }
            whole.push_str(member);
            if whole.len() > STATE_BYTES_MAX {
                return None;
            }
        }
    }
    (!whole.is_empty()).then(|| whole.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parsed(text: &str) -> Option<TraceContext> {
        TraceContext::parse(text.as_bytes())
    }

    fn state(headers: &[&str]) -> Option<String> {
        state_of(headers.iter().map(|header| header.as_bytes())).map(|state| state.to_string())
    }

    //= ORCH-3331 type=test
    #[test]
    fn a_sound_traceparent_is_sent_as_it_came() {
        for text in
            [SOUND, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", &SOUND.replace("-01", "-03")]
        {
            let context = parsed(text).unwrap();
            assert_eq!(context.traceparent(), text);
            assert_eq!(context.is_sampled(), !text.ends_with("00"));
        }
        let context = parsed(SOUND).unwrap();
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
    }

    //= ORCH-3331 type=test
    #[test]
    fn what_the_standard_calls_invalid_is_none() {
        let zeros = SOUND.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let no_parent = SOUND.replace("b7ad6b7169203331", &"0".repeat(16));
        let upper = SOUND.replace('f', "F");
        let cut = &SOUND[..54];
        for text in [
            "",
            "00",
            cut,
            &zeros,
            &no_parent,
            &upper,
            &SOUND.replacen("00", "ff", 1),
            &SOUND.replacen("00", "0G", 1),
            &SOUND.replacen("00", "0A", 1),
            &format!("{SOUND}-x"),
            &format!("{SOUND}x"),
            &format!(" {SOUND}"),
            &SOUND.replace('-', "_"),
            &SOUND.replace("b7ad", "b7é"),
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    //= ORCH-3331 type=test
    #[test]
    fn a_later_version_is_taken_by_its_first_four_fields() {
        for text in [
            SOUND.replacen("00", "01", 1),
            SOUND.replacen("00", "fe", 1) + "-more",
            SOUND.replacen("00", "cc", 1).replace("-01", "-ff"),
        ] {
            assert_eq!(parsed(&text).unwrap().traceparent(), SOUND, "{text}");
        }
        assert_eq!(parsed(&(SOUND.replacen("00", "01", 1) + "more")), None);
    }

    #[test]
    fn two_parents_are_none() {
        let of = |parents: &[&str], states: &[&str]| {
            let bytes = |all: &[&str]| all.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
            let (parents, states) = (bytes(parents), bytes(states));
            TraceContext::of_headers(parents.iter().map(Vec::as_slice), states.iter().map(Vec::as_slice))
        };
        assert_eq!(of(&[], &["a=1"]), None);
        assert_eq!(of(&[SOUND, SOUND], &[]), None);
        assert_eq!(of(&[SOUND], &["a=1", "b=2"]).unwrap().tracestate().map(|it| &**it), Some("a=1,b=2"));
        // A state that is unsound does not take the trace along.
        assert_eq!(of(&[SOUND], &["a"]).unwrap().tracestate(), None);
    }

    //= ORCH-3331 type=test
    #[test]
    fn a_tracestate_is_kept_within_its_bounds_or_left_out() {
        assert_eq!(
            state(&["rojo=00f067, congo=t61rcWkgMzE ,,"]).as_deref(),
            Some("rojo=00f067,congo=t61rcWkgMzE")
        );
        let many = |count| (0..count).map(|index| format!("k{index}=v")).collect::<Vec<_>>().join(",");
        assert!(state(&[&many(32)]).is_some());
        for unsound in [
            &*many(33),
            &format!("k={}", "v".repeat(511)),
            "k=é",
            "k=\u{1}",
            "k",
            "=v",
            "k=",
            "k=a=b",
            "",
            ",",
        ] {
            assert_eq!(state(&[unsound]), None, "{unsound}");
        }
        assert!(state(&[&format!("k={}", "v".repeat(510))]).is_some());
    }
}
