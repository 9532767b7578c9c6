//! Whether a value is as a schema of the documents says: the part of JSON Schema that they use.
//!
//! A keyword that is not known here is an error, so that nothing is left unchecked in silence. An object may
//! have no property that its schema does not name, unless the schema says that it may.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

/// What is only told to people, or only holds of what a client sends.
const NOT_CHECKED: [&str; 7] =
    ["description", "example", "examples", "default", "title", "pattern", "readOnly"];

/// The schemas of one document.
pub(crate) struct Schemas<'a> {
    pub(crate) document: &'a Value,
}

impl<'a> Schemas<'a> {
    /// What is wrong with `value`, each with its place.
    pub(crate) fn check(&self, schema: &'a Value, value: &Value, at: &str) -> Vec<String> {
        let mut wrong = self.holds(schema, value, at);
        let mut names = BTreeSet::new();
        if let Some(members) = value.as_object()
            && self.names(schema, &mut names) == Names::All
            && !names.is_empty()
        {
            let strays = members.keys().filter(|name| !names.contains(name.as_str()));
            wrong.extend(strays.map(|name| format!("{at}.{name} is not documented")));
        }
        wrong
    }

    /// Follows a reference.
    pub(crate) fn resolve(&self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(place) => {
                let found = self.document.pointer(place.trim_start_matches('#'));
                found.unwrap_or_else(|| panic!("{place} leads nowhere"))
            }
            None => schema,
        }
    }

    fn holds(&self, schema: &'a Value, value: &Value, at: &str) -> Vec<String> {
        let schema = self.resolve(schema);
        let mut wrong = Vec::new();
        for (keyword, wanted) in schema.as_object().unwrap_or_else(|| panic!("{at}: no schema: {schema}")) {
            match keyword.as_str() {
                "allOf" => wrong.extend(list(wanted).flat_map(|part| self.holds(part, value, at))),
                "oneOf" | "anyOf" => {
                    let each: Vec<_> = list(wanted).map(|part| self.check(part, value, at)).collect();
                    let fitting = each.iter().filter(|wrong| wrong.is_empty()).count();
                    if fitting == 0 || (fitting > 1 && keyword == "oneOf") {
                        wrong.push(format!("{at} fits {fitting} of {keyword}: {each:?}"));
                    }
                }
                "properties" => {
                    for (name, part) in wanted.as_object().unwrap() {
                        if let Some(member) = value.get(name) {
                            wrong.extend(self.check(part, member, &format!("{at}.{name}")));
                        }
                    }
                }
                "additionalProperties" if wanted.is_object() => {
                    for (name, member) in value.as_object().into_iter().flatten() {
                        wrong.extend(self.check(wanted, member, &format!("{at}.{name}")));
                    }
                }
                "additionalProperties" | "propertyNames" => {}
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        wrong.extend(self.check(wanted, item, &format!("{at}[{index}]")));
                    }
                }
                other if NOT_CHECKED.contains(&other) => {}
                other if !fits(other, wanted, value) => {
                    wrong.push(format!("{at}: {value} is not {other} {wanted}"));
                }
                _ => {}
            }
        }
        wrong
    }

    /// Collects the properties that a schema names, over all of its parts.
    fn names(&self, schema: &'a Value, names: &mut BTreeSet<&'a str>) -> Names {
        let schema = self.resolve(schema);
        let open = ["additionalProperties", "oneOf", "anyOf"];
        if open.iter().any(|keyword| schema.get(keyword).is_some()) {
            return Names::Some;
        }
        names.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()));
        let parts = schema["allOf"].as_array().into_iter().flatten();
        if parts.into_iter().all(|part| self.names(part, names) == Names::All) {
            Names::All
        } else {
            Names::Some
        }
    }
}

/// Whether a schema names every property that there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    All,
    Some,
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether one keyword holds of a value. Of a value of another type it says nothing.
fn fits(keyword: &str, wanted: &Value, value: &Value) -> bool {
    let length = value.as_str().map(|text| text.chars().count() as u64);
    let items = value.as_array().map(|items| items.len() as u64);
    let bound = wanted.as_u64();
    match keyword {
        "type" => match wanted {
            Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
            kind => is(kind, value),
        },
        "enum" => list(wanted).any(|one| one == value),
        "required" => list(wanted)
            .all(|name| value.as_object().is_none_or(|it| it.contains_key(name.as_str().unwrap()))),
        "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
        "minLength" => length.is_none_or(|length| Some(length) >= bound),
        "maxLength" => length.is_none_or(|length| Some(length) <= bound),
        "minItems" => items.is_none_or(|items| Some(items) >= bound),
        "maxProperties" => {
            value.as_object().map(|it| it.len() as u64).is_none_or(|count| Some(count) <= bound)
        }
        "maxItems" => items.is_none_or(|items| Some(items) <= bound),
        "format" if wanted == "uuid" => value.as_str().is_none_or(|text| Uuid::try_parse(text).is_ok()),
        "format" => true,
        other => panic!("the keyword {other} is not known to this checker"),
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known to this checker"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(schema: &Value, value: &Value) -> usize {
        let document =
            json!({"s": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}});
        Schemas { document: &document }.check(schema, value, "it").len()
    }

    #[test]
    fn the_checker_finds_each_kind_of_mistake() {
        let object = json!({"$ref": "#/s"});
        let with_b = json!({"allOf": [{"$ref": "#/s"}, {"properties": {"b": {"enum": ["x"]}}}]});
        let either = json!({"oneOf": [{"type": "null"}, {"type": "integer", "minimum": 1}]});
        for (schema, good, bad) in [
            (&object, json!({"a": 1}), json!({"a": "1"})),
            (&object, json!({"a": 1}), json!({})),
            (&object, json!({"a": 1}), json!({"a": 1, "c": 1})),
            (&object, json!({"a": 1}), json!([])),
            (&with_b, json!({"a": 1, "b": "x"}), json!({"a": 1, "b": "y"})),
            (&with_b, json!({"a": 1}), json!({"a": 1, "c": 1})),
            (&either, json!(null), json!(0)),
            (&json!({"type": ["string", "null"]}), json!(null), json!(1)),
            (&json!({"items": {"type": "string"}}), json!(["a"]), json!(["a", 1])),
            (&json!({"additionalProperties": {"type": "string"}}), json!({"a": "b"}), json!({"a": 1})),
            (&json!({"maxProperties": 1}), json!({"a": 1}), json!({"a": 1, "b": 2})),
            (&json!({"format": "uuid"}), json!("00000000-0000-4000-8000-000000000001"), json!("1")),
        ] {
            assert_eq!(wrong(schema, &good), 0, "{schema} {good}");
            assert_ne!(wrong(schema, &bad), 0, "{schema} {bad}");
        }
    }
}
