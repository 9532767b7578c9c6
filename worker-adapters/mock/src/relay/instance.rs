//! A value that fits a JSON schema: the smallest one that comes to mind.

use serde_json::{Map, Value, json};

/// Schemas are followed no deeper.
const DEPTH_MAX: u32 = 16;

/// A value for `schema`.
pub(super) fn instance(schema: &Value) -> Value {
    value(schema, 0)
}

fn value(schema: &Value, depth: u32) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(only) = schema.get("const") {
        return only.clone();
    }
    if let Some(first) = schema.get("enum").and_then(Value::as_array).and_then(|all| all.first()) {
        return first.clone();
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or_default(),
        _ if schema.get("properties").is_some() => "object",
        _ => "",
    };
    match kind {
        "object" => object(schema, depth),
        "array" => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0).min(64);
            let item = schema.get("items").map_or(Value::Null, |items| value(items, depth + 1));
            (0..least).map(|_| item.clone()).collect()
        }
        "string" => {
            let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0).min(256);
            let text: String =
                "mock".chars().cycle().take(usize::try_from(least).unwrap_or(0).max(4)).collect();
            json!(text)
        }
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(0)),
        "boolean" => json!(true),
        _ => Value::Null,
    }
}

/// All of its required properties, in the order in which the schema has them.
fn object(schema: &Value, depth: u32) -> Value {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let required = schema.get("required").and_then(Value::as_array);
    let wanted = |name: &String| required.is_some_and(|all| all.iter().any(|one| one == name));
    let members = properties.iter().filter(|(name, _)| wanted(name));
    Value::Object(members.map(|(name, schema)| (name.clone(), value(schema, depth + 1))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_is_there_and_fits() {
        let schema = json!({"type": "object", "required": ["city", "days", "tags"], "properties": {
            "city": {"type": "string", "enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 2},
            "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1}, "spare": {"type": "string"}}});
        assert_eq!(instance(&schema), json!({"city": "Paris", "days": 2, "tags": [true]}));
    }
}
