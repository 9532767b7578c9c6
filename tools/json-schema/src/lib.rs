//! Whether a JSON value is as a JSON Schema says: the part of the language that the project's documents use.
//!
//! A full validator takes longer to build than the rest of the workspace, and passes over what it does not
//! know. Here an unknown keyword is a fault, so that nothing is left unchecked in silence. An object may
//! have no property that its schema does not name, unless the schema says that it may.
//!
//! Invariant: where the schema itself is wrong, the answer is never empty.
#![warn(missing_docs)]

use std::collections::BTreeSet;

use regex_lite::Regex;
use serde_json::{Map, Value};
use uuid::Uuid;

/// What is only told to people, or only holds of what a client sends.
const NOT_CHECKED: [&str; 12] = [
    "$schema",
    "$id",
    "$defs",
    "$ref",
    "description",
    "example",
    "examples",
    "default",
    "title",
    "readOnly",
    "writeOnly",
    "then",
];

/// The schemas of one document.
#[derive(Debug, Clone, Copy)]
pub struct Schemas<'a> {
    document: &'a Value,
}

/// What is wrong.
enum Wrong {
    WithValue(String),
    WithSchema(String),
}

/// Whether a schema names every property that there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    All,
    Some,
}

impl<'a> Schemas<'a> {
    /// The schemas to which references lead.
    pub fn new(document: &'a Value) -> Self {
        Self { document }
    }

    /// What is wrong with `value`, or with the schema, each with its place in the value.
    pub fn check(self, schema: &'a Value, value: &Value, at: &str) -> Vec<String> {
        let told = |wrong| match wrong {
            Wrong::WithValue(what) => what,
            Wrong::WithSchema(what) => format!("the schema: {what}"),
        };
        self.holds(schema, value, at).into_iter().map(told).collect()
    }

    /// As [`Schemas::check`]: every keyword, and no property that nobody named.
    fn holds(self, schema: &'a Value, value: &Value, at: &str) -> Vec<Wrong> {
        let mut wrong = self.keywords(schema, value, at);
        let mut names = BTreeSet::new();
        if let Some(members) = value.as_object()
            && self.names(schema, &mut names) == Names::All
            && !names.is_empty()
        {
            let strays = members.keys().filter(|name| !names.contains(name.as_str()));
            wrong.extend(strays.map(|name| Wrong::WithValue(format!("{at}.{name} is not documented"))));
        }
        wrong
    }

    /// Follows a reference.
    fn resolve(self, schema: &'a Value) -> Result<&'a Value, Wrong> {
        let Some(place) = schema["$ref"].as_str() else { return Ok(schema) };
        let found = self.document.pointer(place.trim_start_matches('#'));
        found.ok_or_else(|| Wrong::WithSchema(format!("{place} leads nowhere")))
    }

    fn keywords(self, schema: &'a Value, value: &Value, at: &str) -> Vec<Wrong> {
        let schema = match self.resolve(schema) {
            Ok(schema) => schema,
            Err(wrong) => return vec![wrong],
        };
        match schema {
            Value::Object(keywords) => {
                let each = keywords.iter();
                each.flat_map(|(keyword, wanted)| self.keyword(keywords, (keyword, wanted), value, at))
                    .collect()
            }
            Value::Bool(true) => Vec::new(),
            Value::Bool(false) => vec![Wrong::WithValue(format!("{at} may not be there"))],
            _ => vec![Wrong::WithSchema(format!("for {at} stands {schema}"))],
        }
    }

    fn keyword(
        self,
        schema: &'a Map<String, Value>,
        (keyword, wanted): (&'a str, &'a Value),
        value: &Value,
        at: &str,
    ) -> Vec<Wrong> {
        let members = || value.as_object().into_iter().flatten();
        match keyword {
            "allOf" => list(wanted).flat_map(|part| self.keywords(part, value, at)).collect(),
            "oneOf" | "anyOf" => self.some_fit(keyword, wanted, value, at),
            "if" => {
                let wrong = self.keywords(wanted, value, at);
                if wrong.is_empty() {
                    return schema.get("then").map_or_else(Vec::new, |then| self.keywords(then, value, at));
                }
                wrong.into_iter().filter(|wrong| matches!(wrong, Wrong::WithSchema(_))).collect()
            }
            "properties" => {
                let given = wanted.as_object().into_iter().flatten();
                let given = given.filter_map(|(name, part)| Some((name, part, value.get(name)?)));
                given.flat_map(|(name, part, it)| self.holds(part, it, &format!("{at}.{name}"))).collect()
            }
            "dependentSchemas" => {
                let given = wanted.as_object().into_iter().flatten();
                let given = given.filter(|(name, _)| value.get(name.as_str()).is_some());
                given.flat_map(|(_, part)| self.keywords(part, value, at)).collect()
            }
            "additionalProperties" => {
                let named = |name: &str| schema.get("properties").is_some_and(|it| it.get(name).is_some());
                let others = members().filter(|(name, _)| !named(name));
                others.flat_map(|(name, it)| self.holds(wanted, it, &format!("{at}.{name}"))).collect()
            }
            "propertyNames" => {
                let names = members().map(|(name, _)| Value::String(name.clone()));
                names.flat_map(|name| self.holds(wanted, &name, &format!("{at}, the name {name},"))).collect()
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                items.flat_map(|(index, item)| self.holds(wanted, item, &format!("{at}[{index}]"))).collect()
            }
            other if NOT_CHECKED.contains(&other) || other.starts_with("x-") => Vec::new(),
            other => match fits(other, wanted, value) {
                Some(true) => Vec::new(),
                Some(false) => vec![Wrong::WithValue(format!("{at}: {value} is not {other} {wanted}"))],
                None => vec![Wrong::WithSchema(format!("{other} {wanted} is not known to this checker"))],
            },
        }
    }

    fn some_fit(self, keyword: &str, wanted: &'a Value, value: &Value, at: &str) -> Vec<Wrong> {
        let mut each: Vec<_> = list(wanted).map(|part| self.holds(part, value, at)).collect();
        let fitting = each.iter().filter(|wrong| wrong.is_empty()).count();
        let broken = |wrong: &mut Wrong| matches!(wrong, Wrong::WithSchema(_));
        let mut wrong: Vec<_> = each.iter_mut().flat_map(|each| each.extract_if(.., broken)).collect();
        if fitting == 0 || (fitting > 1 && keyword == "oneOf") {
            wrong.push(Wrong::WithValue(format!("{at}: {value} fits {fitting} of {keyword} {wanted}")));
        }
        wrong
    }

    /// Collects the properties that a schema names, over all of its parts.
    fn names(self, schema: &'a Value, names: &mut BTreeSet<&'a str>) -> Names {
        let Ok(schema) = self.resolve(schema) else { return Names::Some };
        let open = ["additionalProperties", "oneOf", "anyOf"];
        if open.iter().any(|keyword| schema.get(keyword).is_some()) {
            return Names::Some;
        }
        names.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()));
        if list(&schema["allOf"]).all(|part| self.names(part, names) == Names::All) {
            Names::All
        } else {
            Names::Some
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether one keyword holds of a value; none when the keyword is not known. Of a value of another type it
/// says nothing.
fn fits(keyword: &str, wanted: &Value, value: &Value) -> Option<bool> {
    let length = value.as_str().map(|text| text.chars().count() as u64);
    let items = value.as_array().map(|items| items.len() as u64);
    let number = value.as_f64();
    Some(match keyword {
        "type" => match wanted {
            Value::Array(kinds) => {
                kinds.iter().map(|kind| is(kind, value)).collect::<Option<Vec<_>>>()?.contains(&true)
            }
            kind => is(kind, value)?,
        },
        "enum" => list(wanted).any(|one| one == value),
        "const" => wanted == value,
        "required" => list(wanted).all(|name| {
            value.as_object().is_none_or(|it| name.as_str().is_some_and(|name| it.contains_key(name)))
        }),
        "minimum" => number.is_none_or(|number| wanted.as_f64().is_some_and(|least| number >= least)),
        "maximum" => number.is_none_or(|number| wanted.as_f64().is_some_and(|most| number <= most)),
        "exclusiveMaximum" => number.is_none_or(|number| wanted.as_f64().is_some_and(|end| number < end)),
        "minLength" => length.is_none_or(|length| wanted.as_u64().is_some_and(|least| length >= least)),
        "maxLength" => length.is_none_or(|length| wanted.as_u64().is_some_and(|most| length <= most)),
        "minItems" => items.is_none_or(|items| wanted.as_u64().is_some_and(|least| items >= least)),
        "maxItems" => items.is_none_or(|items| wanted.as_u64().is_some_and(|most| items <= most)),
        "maxProperties" => {
            let count = value.as_object().map(|members| members.len() as u64);
            count.is_none_or(|count| wanted.as_u64().is_some_and(|most| count <= most))
        }
        "pattern" => {
            let pattern = Regex::new(wanted.as_str()?).ok()?;
            value.as_str().is_none_or(|text| pattern.is_match(text))
        }
        "format" if wanted == "uuid" => value.as_str().is_none_or(|text| Uuid::try_parse(text).is_ok()),
        "format" => true,
        _ => return None,
    })
}

fn is(kind: &Value, value: &Value) -> Option<bool> {
    Some(match kind.as_str()? {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(schema: &Value, value: &Value) -> usize {
        let document =
            json!({"s": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}});
        Schemas::new(&document).check(schema, value, "it").len()
    }

    #[test]
    fn the_checker_finds_each_kind_of_mistake() {
        let object = json!({"$ref": "#/s"});
        let with_b = json!({"allOf": [{"$ref": "#/s"}, {"properties": {"b": {"enum": ["x"]}}}]});
        let either = json!({"oneOf": [{"type": "null"}, {"type": "integer", "minimum": 1}]});
        let closed = json!({"properties": {"a": {}}, "additionalProperties": false});
        let depends = json!({"properties": {"a": {}, "b": {}}, "dependentSchemas": {"a": {"properties": {"b": false}}}});
        let rule = json!({"if": {"properties": {"a": {"const": 1}}, "required": ["a"]}, "then": {"required": ["b"]}});
        for (schema, good, bad) in [
            (&object, json!({"a": 1}), json!({"a": "1"})),
            (&object, json!({"a": 1}), json!({})),
            (&object, json!({"a": 1}), json!({"a": 1, "c": 1})),
            (&object, json!({"a": 1}), json!([])),
            (&with_b, json!({"a": 1, "b": "x"}), json!({"a": 1, "b": "y"})),
            (&with_b, json!({"a": 1}), json!({"a": 1, "c": 1})),
            (&either, json!(null), json!(0)),
            (&closed, json!({"a": 1}), json!({"b": 1})),
            (&depends, json!({"a": 1}), json!({"a": 1, "b": 1})),
            (&rule, json!({"a": 2}), json!({"a": 1})),
            (&json!({"type": ["string", "null"]}), json!(null), json!(1)),
            (&json!({"items": {"type": "string"}}), json!(["a"]), json!(["a", 1])),
            (&json!({"additionalProperties": {"type": "string"}}), json!({"a": "b"}), json!({"a": 1})),
            (&json!({"maxProperties": 1}), json!({"a": 1}), json!({"a": 1, "b": 2})),
            (&json!({"propertyNames": {"maxLength": 1}}), json!({"a": 1}), json!({"ab": 1})),
            (&json!({"maximum": 2, "exclusiveMaximum": 2}), json!(1.5), json!(2)),
            (&json!({"minLength": 2, "pattern": "^a"}), json!("ab"), json!("ba")),
            (&json!({"format": "uuid"}), json!("00000000-0000-4000-8000-000000000001"), json!("1")),
        ] {
            assert_eq!(wrong(schema, &good), 0, "{schema} {good}");
            assert_ne!(wrong(schema, &bad), 0, "{schema} {bad}");
        }
    }

    #[test]
    fn a_schema_that_is_wrong_fits_no_value() {
        let broken = json!({"uniqueItems": true});
        for schema in [
            &broken,
            &json!({"$ref": "#/nowhere"}),
            &json!({"type": "text"}),
            &json!({"pattern": "("}),
            &json!({"minLength": "1", "type": "string"}),
            &json!({"anyOf": [broken, {"type": "string"}]}),
            &json!({"if": broken, "then": {"type": "null"}}),
            &json!({"items": 5}),
        ] {
            let value = if schema.get("items").is_some() { json!(["a"]) } else { json!("a") };
            assert_ne!(wrong(schema, &value), 0, "{schema}");
        }
    }
}
