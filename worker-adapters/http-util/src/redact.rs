//! Making an engine's words safe to repeat.

use bytes::Bytes;

/// How much of an engine's answer may appear in a message or a log line.
const EXCERPT_BYTES_MAX: usize = 512;

/// The beginning of what an engine said, on one line and free of control characters.
pub fn excerpt(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(EXCERPT_BYTES_MAX)];
    let mut text: String =
        String::from_utf8_lossy(cut).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if bytes.len() > EXCERPT_BYTES_MAX {
        text.push('…');
    }
    text
}

/// The same bytes with three dots wherever the secret stood.
pub(crate) fn without(secret: &[u8], said: Bytes) -> Bytes {
    if secret.is_empty() || !said.windows(secret.len()).any(|window| window == secret) {
        return said;
    }
    let mut kept = Vec::with_capacity(said.len());
    let mut rest = &said[..];
    while let Some((first, behind)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(secret) {
            kept.extend_from_slice(b"...");
            rest = behind;
        } else {
            kept.push(*first);
            rest = behind;
        }
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    //= AUTH-1007 type=test
    #[test]
    fn a_secret_is_taken_out_wherever_it_stands() {
        let said = |text: &'static str| without(b"sk-1", Bytes::from_static(text.as_bytes()));
        assert_eq!(said("sk-1sk-1 is no key: sk-1"), "...... is no key: ...");
        assert_eq!(said("sk- is short, sk-2 another"), "sk- is short, sk-2 another");
        assert_eq!(without(b"", Bytes::from_static(b"all")), "all");
    }

    #[test]
    fn an_excerpt_is_short_and_stays_on_one_line() {
        let long = [b"a\r\n{\"level\":\"error\"}\x1b[31m".as_slice(), &[b'x'; 2_000]].concat();
        let shown = excerpt(&long);
        assert!(shown.chars().count() <= 513);
        assert!(!shown.chars().any(char::is_control));
        assert!(shown.starts_with("a  {\"level\""));
    }
}
