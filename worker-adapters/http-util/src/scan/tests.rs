//! A scanner against the parser: whatever it takes, the parser takes and reads the same.

use proptest::prelude::*;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::*;

fn skipped(text: &str) -> Option<&str> {
    Scanner::read(text, Scanner::raw)
}

fn parsed(text: &str) -> Option<&str> {
    serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get)
}

/// The members of an object in their order, twins and all.
#[derive(Debug, PartialEq)]
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    pairs.push((name, value.get().to_owned()));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

fn pairs(text: &str) -> Option<Pairs> {
    let mut pairs = Vec::new();
    Scanner::read(text, |scanner| {
        scanner.object(|name, scanner| {
            pairs.push((name.to_owned(), scanner.raw()?.to_owned()));
            Some(())
        })
    })?;
    Some(Pairs(pairs))
}

fn elements(text: &str) -> Option<Vec<&str>> {
    let mut elements = Vec::new();
    Scanner::read(text, |scanner| {
        scanner.array(|scanner| {
            elements.push(scanner.raw()?);
            Some(())
        })
    })?;
    Some(elements)
}

/// How many bytes there are before the first one that ends an ordinary run.
fn ordinary(bytes: &[u8]) -> usize {
    bytes.len() - from_special(bytes).len()
}

/// The member `a`, as a number that may be `null`.
#[derive(Debug, PartialEq, Deserialize)]
struct Optional {
    a: Option<f64>,
}

fn optional(text: &str) -> Option<Optional> {
    let mut member = Member::default();
    Scanner::read(text, |scanner| {
        scanner.object(|name, scanner| match name {
            "a" => member.read_unless_null(scanner, Scanner::float),
            _ => scanner.skip(),
        })
    })?;
    Some(Optional { a: member.value() })
}

/// Each reader on this text gives what the parser gives, or nothing.
fn check(text: &str) {
    assert_eq!(skipped(text), parsed(text), "skipped: {text:?}");
    if let Some(read) = pairs(text) {
        assert_eq!(Some(read), serde_json::from_str(text).ok(), "{text:?}");
    }
    if let Some(read) = elements(text) {
        let parsed: Vec<&RawValue> = serde_json::from_str(text).unwrap();
        assert_eq!(read, parsed.into_iter().map(RawValue::get).collect::<Vec<_>>(), "{text:?}");
    }
    if let Some(read) = Scanner::read(text, Scanner::string_as_written) {
        assert_eq!(Some(read.to_owned()), serde_json::from_str(text).ok(), "{text:?}");
    }
    assert_eq!(Scanner::read(text, Scanner::integer::<u32>), serde_json::from_str(text).ok(), "{text:?}");
    assert_eq!(Scanner::read(text, Scanner::integer::<i64>), serde_json::from_str(text).ok(), "{text:?}");
    assert_eq!(Scanner::read(text, Scanner::float), serde_json::from_str(text).ok(), "{text:?}");
    if let Some(read) = optional(text) {
        assert_eq!(Some(read), serde_json::from_str(text).ok(), "{text:?}");
    }
}

#[test]
fn what_is_no_json_is_taken_by_neither() {
    let broken = [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\"\\\"",
        "{]",
        "[}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1",
        "tru",
        "truex",
        "nul",
        "nulll",
        "falsey",
        "True",
        "NaN",
        "-",
        "--1",
        "+1",
        "01",
        "-01",
        "1.",
        ".1",
        "1.e1",
        "1e",
        "1e+",
        "1e-",
        "0x1",
        "1 2",
        "{} {}",
        "[]]",
        "\"\n\"",
        "\"\u{0}\"",
        "\"\u{1f}\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u",
        "\"\\",
        "\u{feff}1",
        "\u{a0}1",
        "1\u{b}",
        "'a'",
        "/**/1",
        "\"a\" \"b\"",
    ];
    for text in broken {
        assert_eq!(skipped(text), None, "{text:?}");
        check(text);
        check(&format!("[{text}]"));
        check(&format!("{{\"a\":{text}}}"));
    }
}

#[test]
fn what_is_json_is_taken_as_it_is_written() {
    let good = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-0.0",
        "7",
        "4294967295",
        "4294967296",
        "-1",
        "1.0",
        "1e999",
        "1E+2",
        "12.50e-7",
        "9223372036854775807",
        "9223372036854775808",
        "0.1",
        "881.575080811049",
        "\"\"",
        "\"a\"",
        "\"日\"",
        "\"\\ud800\"",
        "\"\\u00e9\\n\\\"\"",
        "\"\u{7f}\"",
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[1]",
        "[1,[2,{\"a\":[]}]]",
        "{\"a\":1,\"a\":2}",
        "{\"\":null}",
        "{\"\\u0061\":1}",
        "{\"a\":\"]}\"}",
    ];
    for text in good {
        assert_eq!(skipped(text), Some(text));
        for around in [format!(" {text}"), format!("\n{text}\t"), format!("{text}\r\n ")] {
            assert_eq!(skipped(&around), Some(text));
            check(&around);
        }
        check(text);
        check(&format!("[{text} , {text}]"));
        check(&format!("{{\"a\": {text} ,\"b\":{text}}}"));
    }
}

#[test]
fn a_value_is_skipped_as_deep_as_the_bound_and_no_deeper() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(skipped(&nested(Scanner::DEPTH_MAX)).is_some());
    assert!(skipped(&nested(Scanner::DEPTH_MAX + 1)).is_none());
    assert!(skipped(&nested(100_000)).is_none());
    let inside = |levels: usize| format!("{{\"a\":{}}}", nested(levels));
    assert!(pairs(&inside(Scanner::DEPTH_MAX - 1)).is_some());
    assert!(pairs(&inside(Scanner::DEPTH_MAX)).is_none(), "what is around a value counts, too");
    let beside = format!("[{}]", vec!["[{}]"; 100].join(","));
    assert_eq!(skipped(&beside), Some(beside.as_str()), "what stands beside one another is not deep");
}

#[test]
fn a_name_or_a_text_with_an_escape_is_left_to_the_parser() {
    assert_eq!(pairs(r#"{"\u0061":1}"#), None);
    assert_eq!(pairs(r#"{"a":{"\u0061":1}}"#).map(|it| it.0.len()), Some(1));
    assert_eq!(Scanner::read(r#""a\n""#, Scanner::string_as_written), None);
}

#[test]
fn a_member_may_be_absent_or_null_where_that_is_said_and_never_there_twice() {
    let a = |text| optional(text).map(|it| it.a);
    for (text, read) in [
        ("{}", Some(None)),
        (r#"{"b":1}"#, Some(None)),
        (r#"{"a":null}"#, Some(None)),
        (r#"{"a": 1.5}"#, Some(Some(1.5))),
        (r#"{"a":1,"a":1}"#, None),
        (r#"{"a":null,"a":1}"#, None),
        (r#"{"a":1,"a":null}"#, None),
        (r#"{"a":nul}"#, None),
        (r#"{"a":"1"}"#, None),
    ] {
        assert_eq!(a(text), read, "{text}");
        assert_eq!(serde_json::from_str::<Optional>(text).ok().map(|it| it.a), read, "{text}");
    }
    let required = Scanner::read("null", |scanner| Member::default().read(scanner, Scanner::float));
    assert_eq!(required, None);
}

#[test]
fn the_end_of_the_ordinary_is_found_at_every_place_and_by_every_byte() {
    for length in 0..300_usize {
        let mut text = "é".repeat(length.div_ceil(2)).into_bytes();
        assert_eq!(ordinary(&text), text.len());
        for special in [b'"', b'\\', 0, b'\n', 0x1f] {
            let at = length.min(text.len().saturating_sub(1));
            let Some(byte) = text.get_mut(at) else { continue };
            let before = std::mem::replace(byte, special);
            assert_eq!(ordinary(&text), at, "{special} at {at} of {}", text.len());
            text[at] = before;
        }
    }
}

/// JSON with blanks anywhere they may be.
fn json() -> impl Strategy<Value = String> {
    let blank = || prop::sample::select(vec!["", "", "", " ", "\n", "\t \r"]);
    let text = prop_oneof![
        "[a-d]{0,3}",
        any::<String>().prop_map(|text| {
            let quoted = Value::from(text).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }),
        "(a|\\\\n|\\\\u00e9|\\\\ud834|é| ){0,60}",
    ];
    let text = text.prop_map(|inside| format!("\"{inside}\"")).boxed();
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,11})(\\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?",
        text.clone(),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let inner = (blank(), inner, blank()).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        let member = (blank(), text.clone(), blank(), inner.clone())
            .prop_map(|(a, name, b, value)| format!("{a}{name}{b}:{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn json_is_taken_and_read_as_the_parser_reads_it(text in json()) {
        prop_assert!(skipped(&text).is_some());
        check(&text);
    }

    /// A byte that is another one, lost or put in: both refuse it, or both take it and read the same.
    #[test]
    fn json_with_a_fault_is_judged_as_the_parser_judges_it(
        text in json(),
        place in any::<prop::sample::Index>(),
        put in prop::sample::select(" \n\"\\{}[]:,0-.eEnu\u{1}é".chars().collect::<Vec<_>>()),
        lose in 0..2_usize,
    ) {
        let mut faulty: Vec<char> = text.chars().collect();
        let at = place.index(faulty.len());
        faulty.splice(at..(at + lose), [put]);
        check(&faulty.iter().collect::<String>());
        faulty.remove(at);
        check(&faulty.iter().collect::<String>());
        check(&faulty[..at].iter().collect::<String>());
    }

    #[test]
    fn anything_is_judged_as_the_parser_judges_it(
        text in "[ \n\"\\\\{}\\[\\]:,019.eE+ntrufalsé-]{0,40}"
    ) {
        check(&text);
    }

    #[test]
    fn the_ordinary_ends_where_a_look_at_each_byte_ends_it(
        bytes in prop::collection::vec(
            prop_oneof![30 => b' '..=b'~', 30 => 0x80..=0xFF_u8, 1 => any::<u8>()], 0..400
        )
    ) {
        let slowly = bytes.iter().take_while(|byte| !is_special(**byte)).count();
        prop_assert_eq!(ordinary(&bytes), slowly);
    }
}
