//! Fields of answers, as scenarios name and judge them.
//!
//! A dot leads into a field. In a list the next name is that of an element, by its number or its id; any other name
//! is looked for in all elements, and one that fits is enough.

use serde_json::{Map, Value};

/// Characters of a document that are shown when it is not as it should be.
const SHOWN: usize = 2_000;

/// What a document has under a name: nothing, one value, or one of each element of a list.
fn found<'a>(document: &'a Value, field: &str) -> Vec<&'a Value> {
    field.split('.').fold(vec![document], |places, part| {
        places.into_iter().flat_map(|place| step_into(place, part)).collect()
    })
}

fn step_into<'a>(place: &'a Value, part: &str) -> Vec<&'a Value> {
    match place {
        Value::Array(elements) => {
            if let Ok(number) = part.parse::<usize>() {
                return elements.get(number).into_iter().collect();
            }
            let called: Vec<_> = elements.iter().filter(|element| is_called(element, part)).collect();
            if called.is_empty() {
                elements.iter().flat_map(|it| step_into(it, part)).collect()
            } else {
                called
            }
        }
        other => other.get(part).into_iter().collect(),
    }
}

fn is_called(element: &Value, name: &str) -> bool {
    let Some(fields) = element.as_object() else { return false };
    fields.iter().any(|(key, value)| (key == "id" || key.ends_with("_id")) && value == name)
}

/// Checks that the document is as the cell says; otherwise tells what it has.
pub(crate) fn check(document: &Value, field: &str, cell: &str) -> Result<(), String> {
    let found = found(document, field);
    let is_there = found.iter().any(|value| !value.is_null() && *value != "");
    let fits = match cell {
        "none" => !is_there,
        "any" => is_there,
        _ => match cell.strip_prefix("not ") {
            Some(other) => is_there && !found.iter().any(|value| fits(value, other)),
            None => found.iter().any(|value| fits(value, cell)),
        },
    };
    if fits {
        return Ok(());
    }
    let document: String = document.to_string().chars().take(SHOWN).collect();
    Err(format!("{field} is not {cell}, but {found:?}\nin {document}"))
}

fn fits(found: &Value, cell: &str) -> bool {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let compared = |prefix: &str| Some((found.as_f64()?, number(cell.strip_prefix(prefix)?)?));
    let text = || found.as_str().map_or_else(|| found.to_string(), str::to_owned);
    if let Some((found, bound)) = compared("at least ") {
        found >= bound
    } else if let Some((found, bound)) = compared("at most ") {
        found <= bound
    } else if let Some((found, bound)) = compared("above ") {
        found > bound
    } else if let Some(part) = cell.strip_prefix("contains ") {
        text().contains(part)
    } else if let Some(start) = cell.strip_prefix("starts with ") {
        text().starts_with(start)
    } else if let Some(count) = cell.strip_suffix(" of them") {
        found.as_array().is_some_and(|all| count.parse() == Ok(all.len()))
    } else {
        let wanted = value(cell);
        let alike = found.as_f64().is_some() && found.as_f64() == wanted.as_f64();
        *found == wanted || alike || found.as_str() == Some(cell)
    }
}

/// A cell as JSON: what reads as JSON is that, all else is a text.
pub(crate) fn value(cell: &str) -> Value {
    serde_json::from_str(cell).unwrap_or_else(|_| Value::String(cell.to_owned()))
}

/// Sets a field of a document; a dot leads into the field before it.
pub(crate) fn set(document: &mut Value, field: &str, value: Value) {
    let mut place = document;
    for part in field.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[part];
    }
    *place = value;
}
