//! Making an engine's words safe to repeat.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_stays_on_one_line() {
        let long = [b"a\r\n{\"level\":\"error\"}\x1b[31m".as_slice(), &[b'x'; 2_000]].concat();
        let shown = excerpt(&long);
        assert!(shown.chars().count() <= 513);
        assert!(!shown.chars().any(char::is_control));
        assert!(shown.starts_with("a  {\"level\""));
    }
}
