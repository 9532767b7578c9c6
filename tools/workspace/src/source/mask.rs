//! Splits Rust text into code and comments, so that brackets and words can be trusted.
//!
//! Both halves keep every line break, so a line number means the same in each of them and in the file.

/// The two halves of a text.
pub(super) struct Masked {
    /// Comments are blanks; the inside of a text or character literal is `~`.
    pub(super) code: String,
    /// All but comments are blanks.
    pub(super) comments: String,
}

/// Splits `text`; broken text is split as far as it makes sense, since the compiler complains about it anyway.
pub(super) fn mask(text: &str) -> Masked {
    let mut masker = Masker {
        chars: text.chars().collect(),
        at: 0,
        masked: Masked {
            code: String::with_capacity(text.len()),
            comments: String::with_capacity(text.len()),
        },
    };
    while masker.at < masker.chars.len() {
        masker.step();
    }
    masker.masked
}

#[derive(Clone, Copy)]
enum Part {
    Code,
    Literal,
    Comment,
}

struct Masker {
    chars: Vec<char>,
    at: usize,
    masked: Masked,
}

impl Masker {
    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            (Some('/'), Some('/')) => self.line_comment(),
            (Some('/'), Some('*')) => self.block_comment(),
            (Some('"'), _) => self.string(),
            (Some('\''), _) => self.character_or_lifetime(),
            (Some('r'), Some('"' | '#')) if self.starts_word() => self.raw_string(),
            _ => self.take(Part::Code),
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Whether no longer identifier ends here; `br` and `cr` begin raw texts as `r` does.
    fn starts_word(&self) -> bool {
        let is_word = |back: usize| {
            self.at
                .checked_sub(back)
                .is_some_and(|at| self.chars[at].is_alphanumeric() || self.chars[at] == '_')
        };
        if !is_word(1) {
            return true;
        }
        matches!(self.chars[self.at - 1], 'b' | 'c') && !is_word(2)
    }

    fn take(&mut self, part: Part) {
        let Some(c) = self.peek(0) else { return };
        self.at += 1;
        let (code, comment) = match part {
            _ if c == '\n' => ('\n', '\n'),
            Part::Code => (c, ' '),
            Part::Literal => ('~', ' '),
            Part::Comment => (' ', c),
        };
        self.masked.code.push(code);
        self.masked.comments.push(comment);
    }

    fn take_many(&mut self, count: usize, part: Part) {
        for _ in 0..count {
            self.take(part);
        }
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.take(Part::Comment);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (Some(_), _) => {
                    self.take(Part::Comment);
                    continue;
                }
                (None, _) => return,
            }
            self.take_many(2, Part::Comment);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.take(Part::Code);
        while let Some(c) = self.peek(0) {
            match c {
                '"' => return self.take(Part::Code),
                '\\' => self.take_many(2, Part::Literal),
                _ => self.take(Part::Literal),
            }
        }
    }

    fn raw_string(&mut self) {
        let mut hashes = 0;
        while self.peek(1 + hashes) == Some('#') {
            hashes += 1;
        }
        if self.peek(1 + hashes) != Some('"') {
            // A raw identifier such as `r#type`.
            return self.take(Part::Code);
        }
        self.take_many(2 + hashes, Part::Code);
        while self.peek(0).is_some() {
            if self.peek(0) == Some('"') && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                return self.take_many(1 + hashes, Part::Code);
            }
            self.take(Part::Literal);
        }
    }

    fn character_or_lifetime(&mut self) {
        self.take(Part::Code);
        if self.peek(0) == Some('\\') {
            self.take_many(2, Part::Literal);
            while self.peek(0).is_some_and(|c| c != '\'') {
                self.take(Part::Literal);
            }
            self.take(Part::Code);
        } else if self.peek(1) == Some('\'') {
            self.take(Part::Literal);
            self.take(Part::Code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        mask(text).code
    }

    #[test]
    fn comments_leave_the_code_and_are_kept_apart() {
        let masked = mask("a(); // b {\n/* c /* d */ { */ e();");
        assert_eq!(masked.code, "a();       \n                  e();");
        assert_eq!(masked.comments, "     // b {\n/* c /* d */ { */     ");
    }

    #[test]
    fn brackets_in_texts_are_not_code() {
        assert_eq!(code(r#"f("{ \" }");"#), r#"f("~~~~~~");"#);
        assert_eq!(code("f(br#\"{ \" }\"#); g"), "f(br#\"~~~~~\"#); g");
        assert_eq!(code("f(b\"{\")"), "f(b\"~\")");
    }

    #[test]
    fn raw_identifier_is_not_a_text() {
        assert_eq!(code("r#type { var\"x\" }"), "r#type { var\"~\" }");
    }

    #[test]
    fn characters_are_told_from_lifetimes() {
        assert_eq!(code("'{' '\\'' '\\u{7d}' &'a str"), "'~' '~~' '~~~~~~' &'a str");
    }

    #[test]
    fn text_over_several_lines_keeps_its_line_breaks() {
        assert_eq!(code("\"a\nb\" // c"), "\"~\n~\"     ");
    }
}
