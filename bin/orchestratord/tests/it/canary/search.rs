//! Random words that are looked for, in every spelling in which they could hide.

use std::{collections::HashMap, fs, path::Path};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use uuid::Uuid;

/// The first bytes of a spelling, by which it is found.
const HEAD: usize = 8;

/// One word for each purpose, by its name.
pub(crate) struct Canaries {
    words: Vec<(&'static str, String)>,
    spellings: Vec<(&'static str, &'static str, Vec<u8>)>,
    by_head: HashMap<[u8; HEAD], Vec<usize>>,
}

/// A word that was found where it may not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leak {
    pub(crate) canary: &'static str,
    pub(crate) spelling: &'static str,
    /// What stands around it.
    pub(crate) around: String,
}

impl Canaries {
    /// A fresh word for each of these purposes: 64 hexadecimal digits, so that it may be a token.
    pub(crate) fn hatch(names: &[&'static str]) -> Self {
        let word = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let words: Vec<_> = names.iter().map(|name| (*name, word())).collect();
        let mut spellings = Vec::new();
        for (name, word) in &words {
            spellings.extend(spellings_of(word).into_iter().map(|(how, bytes)| (*name, how, bytes)));
        }
        let mut by_head: HashMap<_, Vec<_>> = HashMap::new();
        for (index, (_, _, bytes)) in spellings.iter().enumerate() {
            by_head.entry(head(bytes)).or_default().push(index);
        }
        Self { words, spellings, by_head }
    }

    /// The word for this purpose.
    pub(crate) fn of(&self, name: &str) -> &str {
        let known = self.words.iter().find(|(known, _)| *known == name);
        &known.unwrap_or_else(|| panic!("no canary is called {name}")).1
    }

    /// Every word in these bytes, in whatever spelling.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Vec<Leak> {
        let mut leaks = Vec::new();
        for (at, window) in bytes.windows(HEAD).enumerate() {
            let Some(candidates) = self.by_head.get(window) else { continue };
            for (canary, spelling, wanted) in candidates.iter().map(|index| &self.spellings[*index]) {
                if bytes[at..].starts_with(wanted) {
                    let around = &bytes[at.saturating_sub(300)..bytes.len().min(at + wanted.len() + 60)];
                    let around = String::from_utf8_lossy(around).into_owned();
                    leaks.push(Leak { canary, spelling, around });
                }
            }
        }
        leaks
    }

    /// Every word in the files below a folder, and in their names, with the file.
    pub(crate) fn found_below(&self, folder: &Path) -> Vec<(String, Leak)> {
        let mut leaks = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let shown = path.display().to_string();
            leaks.extend(self.found_in(shown.as_bytes()).into_iter().map(|leak| (shown.clone(), leak)));
            if path.is_dir() {
                leaks.extend(self.found_below(&path));
            } else {
                let bytes = fs::read(&path).unwrap();
                leaks.extend(self.found_in(&bytes).into_iter().map(|leak| (shown.clone(), leak)));
            }
        }
        leaks
    }
}

fn head(bytes: &[u8]) -> [u8; HEAD] {
    bytes[..HEAD].try_into().unwrap()
}

/// How a word may be written. What is cut off at the ends of a base64 text depends on its neighbours.
fn spellings_of(word: &str) -> Vec<(&'static str, Vec<u8>)> {
    let each = |form: fn(u8) -> String| word.bytes().map(form).collect::<String>().into_bytes();
    let numbers: Vec<_> = word.bytes().map(|byte| byte.to_string()).collect();
    let mut all = vec![
        ("plain", word.as_bytes().to_vec()),
        ("upper case", word.to_uppercase().into_bytes()),
        ("percent-encoded", each(|byte| format!("%{byte:02x}"))),
        ("hexadecimal", each(|byte| format!("{byte:02x}"))),
        ("escaped for JSON", each(|byte| format!("\\u{byte:04x}"))),
        ("a list of numbers", numbers.join(", ").into_bytes()),
        ("UTF-16", word.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ];
    for before in 0..3 {
        let bytes = [&b"  "[..before], word.as_bytes()].concat();
        // The first and the last group hold bits of what stands beside the word.
        let whole = |text: String| text.as_bytes()[4..text.len() - 4].to_vec();
        all.push(("base64", whole(STANDARD_NO_PAD.encode(&bytes))));
        all.push(("base64 for URLs", whole(URL_SAFE_NO_PAD.encode(&bytes))));
    }
    all.sort_by(|(_, a), (_, b)| a.cmp(b));
    all.dedup_by(|(_, a), (_, b)| a == b);
    all
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn spelling_in(canaries: &Canaries, text: &str) -> Vec<&'static str> {
        canaries.found_in(text.as_bytes()).into_iter().map(|leak| leak.spelling).collect()
    }

    //= AUTH-1007 type=test
    #[test]
    fn the_search_finds_a_word_in_each_of_its_spellings() {
        let canaries = Canaries::hatch(&["a", "b"]);
        let word = canaries.of("a");
        let percent: String = word.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
        let escaped: String = word.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        assert_eq!(spelling_in(&canaries, &format!("x{word}x")), ["plain"]);
        assert_eq!(spelling_in(&canaries, &word.to_uppercase()), ["upper case"]);
        assert_eq!(spelling_in(&canaries, &percent), ["percent-encoded"]);
        assert_eq!(spelling_in(&canaries, &hex), ["hexadecimal"]);
        assert_eq!(spelling_in(&canaries, &format!("{{\"a\":\"{escaped}\"}}")), ["escaped for JSON"]);
        assert_eq!(spelling_in(&canaries, &format!("{:?}", word.as_bytes())), ["a list of numbers"]);
        for before in ["", "u", "us", "user:"] {
            let encoded = STANDARD.encode(format!("{before}{word}:after"));
            assert_eq!(spelling_in(&canaries, &encoded), ["base64"], "{before}");
        }
    }

    #[test]
    fn what_holds_no_word_is_clean_and_a_leak_says_which_word_and_where() {
        let canaries = Canaries::hatch(&["a", "b"]);
        assert_eq!(canaries.found_in(&canaries.of("a").as_bytes()[1..]), []);
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("deep/file"), format!("\0\0key={}\0", canaries.of("b"))).unwrap();
        let found = canaries.found_below(folder.path());
        assert_eq!((found.len(), found[0].1.canary), (1, "b"));
        assert!(found[0].0.ends_with("deep/file") && found[0].1.around.contains("key="), "{found:?}");
    }

    /// A server that said a token in a log line would be found out.
    #[test]
    fn a_log_line_that_tells_a_secret_is_found_out() {
        use std::sync::Arc;
        use tracing_subscriber::layer::SubscriberExt as _;

        let canaries = Canaries::hatch(&["token"]);
        let log = tempfile::NamedTempFile::new().unwrap();
        let layer = telemetry::JsonLayer::new(Arc::new(log.reopen().unwrap()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(header = ?("authorization", canaries.of("token")), "a request came");
        });
        let found = canaries.found_in(&fs::read(log.path()).unwrap());
        assert_eq!((found.len(), found[0].canary), (1, "token"), "{found:?}");
    }
}
