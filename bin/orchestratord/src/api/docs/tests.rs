//! The documents and the route table are held against each other.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::api::route_table;

fn named(method: &impl ToString, path: &str) -> String {
    format!("{} {path}", method.to_string().to_uppercase())
}

//= ORCH-3096 type=test
#[test]
fn every_route_is_described_and_every_description_has_a_route() {
    let routes: BTreeSet<_> = route_table().iter().map(|route| named(&route.method, route.path)).collect();
    let all = Document::ALL.into_iter().flat_map(Document::operations);
    let described: BTreeSet<_> = all.map(|operation| named(&operation.method, operation.route)).collect();
    assert_eq!(routes.difference(&described).collect::<Vec<_>>(), Vec::<&String>::new(), "undocumented");
    assert_eq!(described.difference(&routes).collect::<Vec<_>>(), Vec::<&String>::new(), "without a route");
}

#[test]
fn names_of_operations_are_unique_and_every_operation_says_what_it_does() {
    let all: Vec<_> = Document::ALL.into_iter().flat_map(Document::operations).collect();
    let names: BTreeSet<_> = all.iter().map(|operation| operation.id).collect();
    assert_eq!(names.len(), all.len());
    assert!(all.iter().all(|operation| !operation.summary.is_empty() && !operation.answers.is_empty()));
}

fn walk(value: &Value, seen: &mut impl FnMut(&Value)) {
    seen(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, seen)),
        Value::Object(members) => members.values().for_each(|member| walk(member, seen)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_response_is_described() {
    let all = Document::ALL.map(openapi).into_iter().chain([openapi_of_all()]);
    for document in all.map(|document| serde_json::to_value(document).unwrap()) {
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], api_types::API_VERSION);
        walk(&document, &mut |value| {
            if let Some(at) = value["$ref"].as_str() {
                let found = document.pointer(at.trim_start_matches('#'));
                assert!(found.is_some(), "{at} leads nowhere");
            }
        });
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let described = response["description"].as_str().is_some_and(|text| !text.is_empty());
                    assert!(described, "{status} of {}", operation["operationId"]);
                }
            }
        }
    }
}

#[test]
fn the_page_shows_every_operation_and_fetches_nothing() {
    let page = page::page(&openapi_of_all());
    for operation in Document::ALL.into_iter().flat_map(Document::operations) {
        assert!(page.contains(&named(&operation.method, &operation.path)), "{}", operation.id);
    }
    for word in ["<script", "src=", "<link", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
}
