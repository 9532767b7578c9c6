//! Reading JSON of which little matters, in one pass that copies nothing.
//!
//! A scanner never says that a text is no JSON. It takes JSON as it is nearly always written, and for anything else
//! says `None`: "not this way". Whoever asks then has the parser read the text again, which knows the rest of the
//! grammar and says what is wrong. So what is accepted, refused and understood is the parser's to say alone.
//!
//! Invariant: what a scanner takes, `serde_json` takes and reads the same. Not taken are texts and names with an
//! escape in them where they are read, and what is nested too deep; what is only skipped may hold any escape.

use std::str::FromStr;

/// Most strings end within so many words of eight bytes; behind them a long one is looked through in blocks.
const NEAR_WORDS: usize = 4;
/// How much of a long string is looked at in one go. Compilers make vector instructions of a block of this size.
const BLOCK: usize = 64;

/// A place in a JSON text.
#[derive(Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    /// What follows this place.
    rest: &'a [u8],
    /// How many arrays and objects may still be opened at this place.
    levels: usize,
}

/// The value of one member of an object, which is there once at most: a name that comes twice is refused by some
/// readers and means its last value to others.
#[derive(Debug)]
pub struct Member<T> {
    value: Option<T>,
    met: bool,
}

impl<'a> Scanner<'a> {
    /// How many arrays and objects may stand in one another.
    pub const DEPTH_MAX: usize = 64;

    /// Reads a whole text, which must be one value that `value` reads.
    pub fn read<T>(text: &'a str, value: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut scanner = Self { text, rest: text.as_bytes(), levels: Self::DEPTH_MAX };
        let read = value(&mut scanner)?;
        past_blanks(scanner.rest).is_empty().then_some(read)
    }

    /// Reads an object. `member` gets each name in turn, and must read the value that belongs to it.
    ///
    /// A name may come twice: whether that matters, and what it means, depends on what is read. [`Member`] refuses it.
    pub fn object(&mut self, mut member: impl FnMut(&'a str, &mut Self) -> Option<()>) -> Option<()> {
        self.enter(b'{')?;
        if let [b'}', rest @ ..] = self.rest {
            return self.leave(rest);
        }
        loop {
            let name = self.string_as_written()?;
            let [b':', rest @ ..] = past_blanks(self.rest) else { return None };
            self.rest = rest;
            member(name, self)?;
            match past_blanks(self.rest) {
                [b',', rest @ ..] => self.rest = rest,
                [b'}', rest @ ..] => return self.leave(rest),
                _ => return None,
            }
        }
    }

    /// Reads an array. `element` must read one value, and is called for each.
    pub fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.enter(b'[')?;
        if let [b']', rest @ ..] = self.rest {
            return self.leave(rest);
        }
        loop {
            element(self)?;
            match past_blanks(self.rest) {
                [b',', rest @ ..] => self.rest = rest,
                [b']', rest @ ..] => return self.leave(rest),
                _ => return None,
            }
        }
    }

    /// Skips one value of any kind.
    pub fn skip(&mut self) -> Option<()> {
        self.rest = past_value(self.rest, self.levels)?;
        Some(())
    }

    /// Reads one value of any kind as it is written.
    pub fn raw(&mut self) -> Option<&'a str> {
        let start = past_blanks(self.rest);
        self.rest = past_value(start, self.levels)?;
        self.between(start, self.rest)
    }

    /// Reads a string in which nothing is escaped.
    pub fn string_as_written(&mut self) -> Option<&'a str> {
        let [b'"', inside @ ..] = past_blanks(self.rest) else { return None };
        let end = from_special(inside);
        let [b'"', rest @ ..] = end else { return None };
        self.rest = rest;
        self.between(inside, end)
    }

    /// Reads a whole number.
    pub fn integer<T: FromStr>(&mut self) -> Option<T> {
        let written = self.raw()?;
        // To the parser this is a floating-point number, since whole ones have no negative zero.
        if written == "-0" {
            return None;
        }
        written.parse().ok()
    }

    /// Reads any number.
    pub fn float(&mut self) -> Option<f64> {
        // The parser's last digit may differ from the standard library's, so it is the one that is asked.
        serde_json::from_str(self.raw()?).ok()
    }

    /// What stands from the beginning of the one end of the text to that of the other.
    fn between(&self, start: &[u8], end: &[u8]) -> Option<&'a str> {
        let place = |rest: &[u8]| self.text.len().checked_sub(rest.len());
        self.text.get(place(start)?..place(end)?)
    }

    /// Goes into an array or object, up to whatever stands first in it.
    fn enter(&mut self, bracket: u8) -> Option<()> {
        let (first, rest) = past_blanks(self.rest).split_first()?;
        if *first != bracket {
            return None;
        }
        self.levels = self.levels.checked_sub(1)?;
        self.rest = past_blanks(rest);
        Some(())
    }

    fn leave(&mut self, rest: &'a [u8]) -> Option<()> {
        self.levels = self.levels.checked_add(1)?;
        self.rest = rest;
        Some(())
    }
}

impl<T> Default for Member<T> {
    fn default() -> Self {
        Self { value: None, met: false }
    }
}

impl<T> Member<T> {
    /// Reads the member's value. `None` when `value` does not take it, and when there was one already.
    pub fn read<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        value: impl FnOnce(&mut Scanner<'a>) -> Option<T>,
    ) -> Option<()> {
        if std::mem::replace(&mut self.met, true) {
            return None;
        }
        self.value = Some(value(scanner)?);
        Some(())
    }

    /// Reads the member's value, which may be `null`: then it is as good as absent.
    pub fn read_unless_null<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        value: impl FnOnce(&mut Scanner<'a>) -> Option<T>,
    ) -> Option<()> {
        let [b'n', rest @ ..] = past_blanks(scanner.rest) else { return self.read(scanner, value) };
        scanner.rest = rest.strip_prefix(b"ull")?;
        (!std::mem::replace(&mut self.met, true)).then_some(())
    }

    /// What was read. `None` when there was no such member, or `null`.
    pub fn value(self) -> Option<T> {
        self.value
    }
}

/// What follows a value, in which no more than so many arrays and objects may stand in one another.
fn past_value(bytes: &[u8], levels: usize) -> Option<&[u8]> {
    let bytes = past_blanks(bytes);
    match bytes {
        [b'"', inside @ ..] => past_string(inside),
        [b'{', inside @ ..] => past_members(inside, levels.checked_sub(1)?),
        [b'[', inside @ ..] => past_elements(inside, levels.checked_sub(1)?),
        [b'-', number @ ..] => past_number(number),
        [b'0'..=b'9', ..] => past_number(bytes),
        [b't', rest @ ..] => rest.strip_prefix(b"rue"),
        [b'f', rest @ ..] => rest.strip_prefix(b"alse"),
        [b'n', rest @ ..] => rest.strip_prefix(b"ull"),
        _ => None,
    }
}

/// What follows an object, of which the bracket has been read.
fn past_members(bytes: &[u8], levels: usize) -> Option<&[u8]> {
    let mut bytes = past_blanks(bytes);
    if let [b'}', rest @ ..] = bytes {
        return Some(rest);
    }
    loop {
        let [b'"', name @ ..] = past_blanks(bytes) else { return None };
        let [b':', value @ ..] = past_blanks(past_string(name)?) else { return None };
        match past_blanks(past_value(value, levels)?) {
            [b',', rest @ ..] => bytes = rest,
            [b'}', rest @ ..] => return Some(rest),
            _ => return None,
        }
    }
}

/// What follows an array, of which the bracket has been read.
fn past_elements(bytes: &[u8], levels: usize) -> Option<&[u8]> {
    let mut bytes = past_blanks(bytes);
    if let [b']', rest @ ..] = bytes {
        return Some(rest);
    }
    loop {
        match past_blanks(past_value(bytes, levels)?) {
            [b',', rest @ ..] => bytes = rest,
            [b']', rest @ ..] => return Some(rest),
            _ => return None,
        }
    }
}

/// What follows a string, of which the first quote has been read.
fn past_string(bytes: &[u8]) -> Option<&[u8]> {
    let mut bytes = bytes;
    loop {
        bytes = match from_special(bytes) {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b'u', rest @ ..] => {
                let (digits, rest) = rest.split_first_chunk::<4>()?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                rest
            }
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => rest,
            // Another escape, a control character, or the end.
            _ => return None,
        }
    }
}

/// What follows a number, of which the sign has been read.
fn past_number(bytes: &[u8]) -> Option<&[u8]> {
    // After a zero no digit may follow; what does follow is for the next one to look at.
    let mut rest = match bytes {
        [b'0', rest @ ..] => rest,
        _ => past_digits(bytes)?,
    };
    if let [b'.', fraction @ ..] = rest {
        rest = past_digits(fraction)?;
    }
    match rest {
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => past_digits(exponent),
        _ => Some(rest),
    }
}

/// What follows digits, of which there must be one.
fn past_digits(bytes: &[u8]) -> Option<&[u8]> {
    let [b'0'..=b'9', rest @ ..] = bytes else { return None };
    let mut rest = rest;
    while let [b'0'..=b'9', more @ ..] = rest {
        rest = more;
    }
    Some(rest)
}

fn past_blanks(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    // Nearly always there are none, which a single comparison tells.
    while let [byte @ ..=b' ', rest @ ..] = bytes
        && matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
    {
        bytes = rest;
    }
    bytes
}

/// What there is from the first quote, backslash or control character on.
fn from_special(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    for _ in 0..NEAR_WORDS {
        let Some((word, behind)) = rest.split_first_chunk::<8>() else { break };
        if let Some(at) = first_special(*word) {
            return rest.get(at..).unwrap_or_default();
        }
        rest = behind;
    }
    while let Some((block, behind)) = rest.split_first_chunk::<BLOCK>()
        && !has_special(block)
    {
        rest = behind;
    }
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        if let Some(at) = first_special(*word) {
            return rest.get(at..).unwrap_or_default();
        }
        rest = behind;
    }
    while let [byte, behind @ ..] = rest
        && !is_special(*byte)
    {
        rest = behind;
    }
    rest
}

/// Where the first of these bytes is that ends an ordinary run. By Alan Mycroft's way to find a byte in a word: of
/// the bytes that it marks the lowest is always right.
fn first_special(word: [u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let word = u64::from_le_bytes(word);
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let quote = below(word ^ (ONES * u64::from(b'"')), 1);
    let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
    let marks = (below(word, b' ') | quote | backslash) & (ONES << 7);
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}

fn has_special(block: &[u8; BLOCK]) -> bool {
    // Without a way out in the middle, so that it becomes vector instructions.
    block.iter().fold(false, |special, byte| special | is_special(*byte))
}

fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests;
