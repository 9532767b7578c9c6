//! The page on errors tells of every code, of no other, and tells the truth.

use std::collections::BTreeMap;

use api_types::{ErrorBody, ErrorCode};
use utoipa::PartialSchema;

use super::{is_retriable, status};

const PAGE: &str = include_str!("../../../../docs/ERRORS.md");

/// The closed list, as the API's documents have it.
fn codes() -> Vec<ErrorCode> {
    let schema = serde_json::to_value(ErrorCode::schema()).unwrap();
    serde_json::from_value(schema["enum"].clone()).unwrap()
}

/// What the page says of a code.
struct Told<'a> {
    /// What stands in parentheses behind its name.
    facts: &'a str,
    example: ErrorBody,
}

/// Each paragraph begins with its code in bold, and an example follows it.
fn page() -> BTreeMap<&'static str, Told<'static>> {
    let mut told = BTreeMap::new();
    for part in PAGE.split("\n**").skip(1) {
        let (code, rest) = part.split_once("** (").unwrap();
        let (facts, rest) = rest.split_once(").").unwrap();
        let (_, example) = rest.split_once("```json\n").unwrap_or_else(|| panic!("{code} has no example"));
        let (example, _) = example.split_once("```").unwrap();
        let example = serde_json::from_str(example).unwrap_or_else(|error| panic!("{code}: {error}"));
        assert!(told.insert(code, Told { facts, example }).is_none(), "{code} has two paragraphs");
    }
    told
}

#[test]
fn every_code_has_a_paragraph_with_its_status_and_an_example_and_no_other_has() {
    let mut page = page();
    let codes = codes();
    assert!(codes.len() > 30, "{codes:?}");
    for code in codes {
        let name = code.as_str();
        let told = page.remove(name).unwrap_or_else(|| panic!("docs/ERRORS.md has no paragraph for {name}"));
        assert!(told.facts.contains(status(code).as_str()), "{name}: {}", told.facts);
        let (first, last) = told.facts.rsplit_once("; ").unwrap_or_else(|| panic!("{name}: {}", told.facts));
        assert!(!first.is_empty());
        assert_eq!(last, if is_retriable(code) { "retriable" } else { "not retriable" }, "{name}");
        assert_eq!((told.example.code, told.example.retriable), (code, is_retriable(code)), "{name}");
    }
    assert!(page.is_empty(), "docs/ERRORS.md tells of what there is not: {:?}", page.keys());
}
