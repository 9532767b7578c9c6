//! The document as a page for people: plain HTML, nothing to run and nothing to fetch.

use std::fmt::Write;

use serde_json::{Map, Value};
use utoipa::openapi::OpenApi;

use super::Document;

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    code{font-size:.95em}summary{cursor:pointer}details{margin:.5rem 0}dd p{margin:0}h3{margin-top:2rem}";

/// The page of this document.
pub(super) fn page(document: &OpenApi) -> String {
    let document = serde_json::to_value(document).unwrap_or_default();
    let (title, version) = (text(&document["info"]["title"]), text(&document["info"]["version"]));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title} {version}</title><style>{STYLE}</style>\n\
         <h1>{title} {version}</h1>\n<p>{}\n<p>For programs: <a href=\"/openapi.json\">/openapi.json</a>.\n",
        paragraphs(text(&document["info"]["description"]))
    );
    for part in Document::ALL {
        add(&mut out, format_args!("<h2>{}</h2>\n", escaped(part.title())));
        for (path, item) in members(&document["paths"]) {
            for (method, operation) in members(item) {
                if operation["tags"][0] == part.name() {
                    write_operation(&mut out, method, path, operation);
                }
            }
        }
    }
    out.push_str("<h2>Schemas</h2>\n");
    for (name, schema) in members(&document["components"]["schemas"]) {
        add(&mut out, format_args!("<h3 id=\"{name}\">{name}</h3>\n"));
        write_schema(&mut out, schema);
    }
    out
}

fn write_operation(out: &mut String, method: &str, path: &str, operation: &Value) {
    let method = method.to_uppercase();
    let summary = escaped(text(&operation["summary"]));
    add(out, format_args!("<details><summary><code>{method} {}</code> {summary}</summary>\n", escaped(path)));
    if let Some(description) = operation["description"].as_str() {
        add(out, format_args!("<p>{}\n", paragraphs(description)));
    }
    let scheme = operation["security"][0].as_object().and_then(|schemes| schemes.keys().next());
    let needed = scheme.map_or("none", String::as_str);
    add(out, format_args!("<p>Token: <code>{needed}</code>\n<dl>\n"));
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        if let Some(name) = parameter["name"].as_str() {
            let (place, kind) = (text(&parameter["in"]), kind(&parameter["schema"]));
            let meant = escaped(text(&parameter["description"]));
            add(out, format_args!("<dt><code>{name}</code> in {place}: {kind}<dd><p>{meant}\n"));
        }
    }
    for (_, content) in members(&operation["requestBody"]["content"]) {
        add(out, format_args!("<dt>Body<dd><p>{}\n", kind(&content["schema"])));
    }
    for (status, response) in members(&operation["responses"]) {
        let meant = escaped(text(&response["description"]));
        add(out, format_args!("<dt><code>{status}</code><dd><p>{meant}\n"));
        for (media, content) in members(&response["content"]) {
            add(out, format_args!("<p><code>{media}</code>: {}\n", kind(&content["schema"])));
        }
    }
    out.push_str("</dl></details>\n");
}

fn write_schema(out: &mut String, schema: &Value) {
    if let Some(description) = schema["description"].as_str() {
        add(out, format_args!("<p>{}\n", paragraphs(description)));
    }
    let properties = members(&schema["properties"]);
    if properties.is_empty() {
        add(out, format_args!("<p>{}\n", kind(schema)));
        return;
    }
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().map(text).collect();
    out.push_str("<dl>\n");
    for (name, property) in properties {
        let must = if required.contains(&name.as_str()) { ", required" } else { "" };
        let meant = escaped(text(&property["description"]));
        add(out, format_args!("<dt><code>{name}</code>: {}{must}<dd><p>{meant}\n", kind(property)));
    }
    out.push_str("</dl>\n");
}

/// What may stand where this schema does, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|at| at.rsplit('/').next()) {
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    for (word, joint) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " with ")] {
        if let Some(parts) = schema[word].as_array() {
            return parts.iter().map(kind).collect::<Vec<_>>().join(joint);
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> =
            words.iter().map(|word| format!("<code>{}</code>", escaped(text(word)))).collect();
        return words.join(", ");
    }
    let mut said = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        Value::String(one) => one.clone(),
        _ => "any".to_owned(),
    };
    if !schema["items"].is_null() {
        said = format!("{said} of {}", kind(&schema["items"]));
    }
    let inner: Vec<_> = members(&schema["properties"])
        .iter()
        .map(|(name, property)| format!("<code>{name}</code>: {}", kind(property)))
        .collect();
    if !inner.is_empty() {
        said = format!("{said} {{ {} }}", inner.join("; "));
    }
    for (word, meant) in [("minimum", "from"), ("maximum", "to"), ("pattern", "like")] {
        if !schema[word].is_null() {
            said = format!("{said} {meant} {}", escaped(schema[word].to_string().trim_matches('"')));
        }
    }
    said
}

fn members(value: &Value) -> Vec<(&String, &Value)> {
    value.as_object().map(Map::iter).into_iter().flatten().collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn paragraphs(text: &str) -> String {
    escaped(text).replace("\n\n", "\n<p>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Writing into a text cannot fail.
fn add(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).ok();
}
