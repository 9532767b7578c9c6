//! Reading JSON of which little matters, in one pass that copies nothing.
//!
//! A scanner never says that a text is no JSON. It takes JSON as it is nearly always written, and for anything else
//! says `None`: "not this way". Whoever asks then has the parser read the text again, which knows the rest of the
//! grammar and says what is wrong. So what is accepted, refused and understood is the parser's to say alone.
//!
//! Invariant: what a scanner takes, `serde_json` takes and reads the same. Not taken are texts and names with an
//! escape in them where they are read, and what is nested too deep; what is only skipped may hold any escape.

use std::str::FromStr;

/// Most strings end within so many bytes; behind them a long one is looked through in blocks.
const NEAR: usize = 32;
/// How much of a long string is looked at in one go. Compilers make vector instructions of a block of this size.
const BLOCK: usize = 64;

/// A place in a JSON text.
#[derive(Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Arrays and objects that are open at this place.
    open: usize,
}

/// The value of one member of an object, which is there once at most: a name that comes twice is refused by some
/// readers and means its last value to others.
#[derive(Debug)]
pub struct Member<T> {
    value: Option<T>,
    met: bool,
}

/// A string, as it is written.
struct Written<'a> {
    /// What stands between its quotes.
    inside: &'a str,
    /// Whether it reads as it is written.
    plain: bool,
}

impl<'a> Scanner<'a> {
    /// How many arrays and objects may stand in one another.
    pub const DEPTH_MAX: usize = 64;

    /// Reads a whole text, which must be one value that `value` reads.
    pub fn read<T>(text: &'a str, value: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut scanner = Self { text, at: 0, open: 0 };
        let read = value(&mut scanner)?;
        scanner.blank();
        (scanner.at == text.len()).then_some(read)
    }

    /// Reads an object. `member` gets each name in turn, and must read the value that belongs to it.
    ///
    /// A name may come twice: whether that matters, and what it means, depends on what is read. [`Member`] refuses it.
    pub fn object(&mut self, mut member: impl FnMut(&'a str, &mut Self) -> Option<()>) -> Option<()> {
        self.members(|name, scanner| if name.plain { member(name.inside, scanner) } else { None })
    }

    /// Reads an array. `element` must read one value, and is called for each.
    pub fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.enter(b'[')?;
        if self.take_if(b']') {
            return self.leave();
        }
        loop {
            element(self)?;
            self.blank();
            match self.next()? {
                b',' => {}
                b']' => return self.leave(),
                _ => return None,
            }
        }
    }

    /// Skips one value of any kind.
    pub fn skip(&mut self) -> Option<()> {
        self.blank();
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' => self.members(|_, scanner| scanner.skip()),
            b'[' => self.array(Self::skip),
            b'-' | b'0'..=b'9' => self.numeral(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            _ => self.word("null"),
        }
    }

    /// Reads one value of any kind as it is written.
    pub fn raw(&mut self) -> Option<&'a str> {
        self.blank();
        let start = self.at;
        self.skip()?;
        self.text.get(start..self.at)
    }

    /// Reads a string in which nothing is escaped.
    pub fn string_as_written(&mut self) -> Option<&'a str> {
        self.blank();
        let written = self.string()?;
        written.plain.then_some(written.inside)
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

    fn is_null(&mut self) -> bool {
        self.blank();
        self.peek() == Some(b'n')
    }

    fn members(&mut self, mut member: impl FnMut(Written<'a>, &mut Self) -> Option<()>) -> Option<()> {
        self.enter(b'{')?;
        if self.take_if(b'}') {
            return self.leave();
        }
        loop {
            self.blank();
            let name = self.string()?;
            self.blank();
            self.take(b':')?;
            member(name, self)?;
            self.blank();
            match self.next()? {
                b',' => {}
                b'}' => return self.leave(),
                _ => return None,
            }
        }
    }

    /// Goes into an array or object, up to whatever stands first in it.
    fn enter(&mut self, bracket: u8) -> Option<()> {
        self.blank();
        self.take(bracket)?;
        if self.open == Self::DEPTH_MAX {
            return None;
        }
        self.open += 1;
        self.blank();
        Some(())
    }

    fn leave(&mut self) -> Option<()> {
        self.open = self.open.checked_sub(1)?;
        Some(())
    }

    fn string(&mut self) -> Option<Written<'a>> {
        self.take(b'"')?;
        let start = self.at;
        let mut plain = true;
        loop {
            self.at += ordinary(self.rest());
            match self.next()? {
                b'"' => break,
                b'\\' => self.escape()?,
                // A control character, which no string may hold as it is.
                _ => return None,
            }
            plain = false;
        }
        let inside = self.text.get(start..self.at - 1)?;
        Some(Written { inside, plain })
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.rest().first_chunk::<4>()?;
                self.at += digits.len();
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    fn numeral(&mut self) -> Option<()> {
        self.take_if(b'-');
        // After a zero no digit may follow; what does follow is for the next one to look at.
        if !self.take_if(b'0') {
            self.digits()?;
        }
        if self.take_if(b'.') {
            self.digits()?;
        }
        if self.take_if(b'e') || self.take_if(b'E') {
            if !self.take_if(b'+') {
                self.take_if(b'-');
            }
            self.digits()?;
        }
        Some(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Option<()> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let starts = self.rest().starts_with(word.as_bytes());
        self.at += word.len();
        starts.then_some(())
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.take_if(byte).then_some(())
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
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
        if !scanner.is_null() {
            return self.read(scanner, value);
        }
        scanner.word("null")?;
        (!std::mem::replace(&mut self.met, true)).then_some(())
    }

    /// What was read. `None` when there was no such member, or `null`.
    pub fn value(self) -> Option<T> {
        self.value
    }
}

/// How many bytes there are before the next quote, backslash or control character.
fn ordinary(bytes: &[u8]) -> usize {
    let (near, far) = bytes.split_at(bytes.len().min(NEAR));
    let within = ordinary_by_words(near);
    if within < NEAR {
        return within;
    }
    let (blocks, _) = far.as_chunks::<BLOCK>();
    let passed = NEAR + BLOCK * blocks.iter().take_while(|block| is_ordinary(block)).count();
    passed + bytes.get(passed..).map_or(0, ordinary_by_words)
}

/// The same, eight bytes at a time. By Alan Mycroft's way to find a byte in a word: of the bytes that it marks the
/// lowest is always right.
fn ordinary_by_words(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let marks = (below(word, b' ') | quote | backslash) & (ONES << 7);
        if marks != 0 {
            return index * 8 + marks.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8 + tail.iter().take_while(|byte| !is_special(**byte)).count()
}

fn is_ordinary(block: &[u8; BLOCK]) -> bool {
    // Without a way out in the middle, so that it becomes vector instructions.
    !block.iter().fold(false, |special, byte| special | is_special(*byte))
}

fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests;
