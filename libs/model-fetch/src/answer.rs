//! What the head of an answer means for a download.

use http::{HeaderMap, HeaderName, header};

/// The most characters of an entity tag that is remembered.
const ETAG_CHARS_MAX: usize = 256;

/// What is known of the file whose beginning is already here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// A strong entity tag: the same tag means the same bytes.
    pub(crate) etag: String,
    /// The length of the whole file.
    pub(crate) total: Option<u64>,
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// The whole file.
    Whole,
    /// What follows the first `offset` bytes of a known file.
    Rest { offset: u64, known: &'a Known },
}

/// What the answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The whole file follows.
    Whole { total: Option<u64>, etag: Option<String> },
    /// The rest that was asked for follows.
    Rest { total: Option<u64> },
    /// There is no rest: all of it is here.
    Complete,
    /// What is here cannot be continued.
    StartOver,
    /// It is elsewhere.
    Redirect(String),
    /// It comes in an encoding that was not asked for.
    Encoded(String),
    /// It does not come.
    Refused,
}

/// Reads the head of an answer.
//= ORCH-3417
pub(crate) fn read(status: u16, headers: &HeaderMap, asked: Asked<'_>) -> Answer {
    match (status, asked) {
        (200 | 206, _) if is_encoded(headers) => {
            Answer::Encoded(text(headers, &header::CONTENT_ENCODING).unwrap_or("?").to_owned())
        }
        (200, _) => Answer::Whole {
            total: text(headers, &header::CONTENT_LENGTH).and_then(number),
            etag: strong_etag(headers),
        },
        (206, Asked::Rest { offset, known }) => rest(headers, offset, known),
        (416, Asked::Rest { offset, known }) => {
            let total =
                text(headers, &header::CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes */"));
            let is_complete = total.and_then(number) == Some(offset) && known.total == Some(offset);
            if is_complete { Answer::Complete } else { Answer::StartOver }
        }
        (301 | 302 | 303 | 307 | 308, _) => match text(headers, &header::LOCATION) {
            Some(location) => Answer::Redirect(location.to_owned()),
            None => Answer::Refused,
        },
        _ => Answer::Refused,
    }
}

fn rest(headers: &HeaderMap, offset: u64, known: &Known) -> Answer {
    let Some((first, last, total)) = text(headers, &header::CONTENT_RANGE).and_then(content_range) else {
        return Answer::StartOver;
    };
    // A server that sends no tag with the part has compared ours before.
    let same_tag = !headers.contains_key(header::ETAG) || strong_etag(headers).as_ref() == Some(&known.etag);
    let same_total = known.total.is_none() || total.is_none() || known.total == total;
    let is_inside = first == offset && last >= first && total.is_none_or(|total| last < total);
    if same_tag && same_total && is_inside {
        Answer::Rest { total: known.total.or(total) }
    } else {
        Answer::StartOver
    }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Digits only: `parse` alone would also take a sign.
fn number(text: &str) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits { text.parse().ok() } else { None }
}

/// `bytes first-last/total`, where the total may be `*`.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(number(total)?) };
    Some((number(first)?, number(last)?, total))
}

/// The entity tag, if it promises the same bytes and not only the same meaning.
fn strong_etag(headers: &HeaderMap) -> Option<String> {
    let tag = text(headers, &header::ETAG)?;
    is_strong(tag).then(|| tag.to_owned())
}

/// Whether this is an entity tag that can be sent back to continue a file.
pub(crate) fn is_strong(tag: &str) -> bool {
    let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let is_plain = |inner: &str| inner.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    tag.len() <= ETAG_CHARS_MAX && inner.is_some_and(is_plain)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn known() -> Known {
        Known { etag: "\"a\"".to_owned(), total: Some(10) }
    }

    fn resumed(status: u16, pairs: &[(&str, &str)]) -> Answer {
        read(status, &headers(pairs), Asked::Rest { offset: 4, known: &known() })
    }

    //= ORCH-3417 type=test
    #[test]
    fn only_the_very_rest_of_the_very_file_continues_it() {
        let rest = Answer::Rest { total: Some(10) };
        assert_eq!(resumed(206, &[("content-range", "bytes 4-9/10"), ("etag", "\"a\"")]), rest);
        assert_eq!(resumed(206, &[("content-range", "bytes 4-9/10")]), rest);
        assert_eq!(resumed(206, &[("content-range", "bytes 4-6/*")]), rest);
        for range in [
            "bytes 3-9/10",
            "bytes 5-9/10",
            "bytes 4-9/11",
            "bytes 4-10/10",
            "bytes 4-3/10",
            "bytes 4-/10",
            "bytes +4-9/10",
            "items 4-9/10",
            "bytes 4-9",
            "bytes */10",
            "",
        ] {
            assert_eq!(resumed(206, &[("content-range", range)]), Answer::StartOver, "{range}");
        }
        let changed = [("content-range", "bytes 4-9/10"), ("etag", "\"b\"")];
        assert_eq!(resumed(206, &changed), Answer::StartOver);
        let weak = [("content-range", "bytes 4-9/10"), ("etag", "W/\"a\"")];
        assert_eq!(resumed(206, &weak), Answer::StartOver);
        assert_eq!(resumed(206, &[]), Answer::StartOver);
    }

    #[test]
    fn a_part_that_nobody_asked_for_is_refused() {
        let part = headers(&[("content-range", "bytes 0-9/10")]);
        assert_eq!(read(206, &part, Asked::Whole), Answer::Refused);
        assert_eq!(read(416, &headers(&[("content-range", "bytes */0")]), Asked::Whole), Answer::Refused);
    }

    #[test]
    fn a_range_beyond_the_end_means_complete_only_if_all_lengths_agree() {
        let of = |offset, total| {
            let known = Known { total: Some(total), ..known() };
            read(416, &headers(&[("content-range", "bytes */10")]), Asked::Rest { offset, known: &known })
        };
        assert_eq!(of(10, 10), Answer::Complete);
        assert_eq!(of(9, 10), Answer::StartOver);
        assert_eq!(of(10, 11), Answer::StartOver);
        assert_eq!(resumed(416, &[]), Answer::StartOver);
    }

    #[test]
    fn a_whole_file_is_remembered_by_a_strong_tag_only() {
        let whole = |etag: &str| match read(200, &headers(&[("etag", etag)]), Asked::Whole) {
            Answer::Whole { total: None, etag } => etag,
            other => panic!("{other:?}"),
        };
        assert_eq!(whole("\"a\"").as_deref(), Some("\"a\""));
        for bad in ["W/\"a\"", "a", "\"", "\"a\"b\"", "\"a b\"", &format!("\"{}\"", "x".repeat(255))] {
            assert_eq!(whole(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_encoding_is_refused_and_identity_is_none() {
        let of = |coding| resumed(200, &[("content-encoding", coding), ("content-length", "10")]);
        assert_eq!(of("gzip"), Answer::Encoded("gzip".to_owned()));
        assert_eq!(of("Identity"), Answer::Whole { total: Some(10), etag: None });
    }

    #[test]
    fn other_answers_bring_no_file() {
        for status in [100, 204, 300, 304, 400, 404, 500] {
            assert_eq!(resumed(status, &[("location", "/x")]), Answer::Refused, "{status}");
        }
        assert_eq!(resumed(302, &[("location", "/x")]), Answer::Redirect("/x".to_owned()));
        assert_eq!(resumed(302, &[]), Answer::Refused);
    }

    proptest! {
        #[test]
        fn no_head_makes_it_panic_or_continue_elsewhere(
            status in prop_oneof![Just(206_u16), Just(416), 100_u16..600],
            range in "bytes [0-9]{0,20}-[0-9]{0,20}/[0-9*]{0,20}|\\PC{0,40}",
            offset: u64,
        ) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(range.as_bytes()) {
                headers.insert(header::CONTENT_RANGE, value);
            }
            let known = known();
            if let Answer::Rest { .. } = read(status, &headers, Asked::Rest { offset, known: &known }) {
                let expected = format!("bytes {offset}-");
                let (first, _, _) = content_range(&range).unwrap();
                prop_assert!(first == offset, "{} {}", range, expected);
            }
        }
    }
}
