//! JSON Schemas (2020-12) of the files.
//!
//! A TOML file is checked as the JSON value that it stands for. Rules that need more than the file, such as
//! a token beside an address that others reach, are left to the loader: the token may be a variable.

use std::collections::BTreeMap;

use config_schema::{
    Config, Form, Key, ManagerConfig, Presence, Preset, Rule, Schema as Settings, Setting, Text,
};
use schemars::{Schema, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use crate::words::of_text;

/// Where references of a file to the table of its pools lead.
const POOL: &str = "pool";

/// The schema of the server's file.
pub fn for_server() -> Value {
    of_file::<Config>("The configuration file of orchestratord")
}

/// The schema of the agent's file.
pub fn for_agent() -> Value {
    of_file::<ManagerConfig>("The configuration file of pool-managerd")
}

//= ORCH-3325
//= ORCH-3326
fn of_file<C: Settings>(title: &str) -> Value {
    let mut root = closed(properties::<C>());
    root.insert("title".to_owned(), title.into());
    root.insert("dependentSchemas".to_owned(), one_place_of_each_token::<C>());
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let pools = C::settings().iter().find_map(|setting| match setting.form {
        Form::Tables { keys, rules, .. } => Some((keys, rules)),
        _ => None,
    });
    generator
        .definitions_mut()
        .extend(pools.map(|(keys, rules)| (POOL.to_owned(), table(keys, rules).into())));
    root.insert("$schema".to_owned(), generator.settings().meta_schema.as_deref().into());
    root.insert("$defs".to_owned(), generator.take_definitions(true).into());
    Schema::from(root).to_value()
}

/// The keys at the top, and a table for each heading.
fn properties<C: Settings>() -> Map<String, Value> {
    let mut top = Map::new();
    let mut headings: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for setting in C::settings().iter().filter(|setting| setting.is_in_file()) {
        let described = of_setting(setting).to_value();
        let (table, key) = match setting.key.split_once('.') {
            Some((heading, key)) => (headings.entry(heading).or_default(), key),
            None => (&mut top, setting.key),
        };
        table.insert(key.to_owned(), described);
    }
    top.extend(headings.into_iter().map(|(heading, keys)| (heading.to_owned(), closed(keys).into())));
    top
}

/// A table with these keys and no others.
fn closed(properties: Map<String, Value>) -> Map<String, Value> {
    let parts = [
        ("type", "object".into()),
        ("properties", properties.into()),
        ("additionalProperties", false.into()),
    ];
    parts.map(|(name, part): (&str, Value)| (name.to_owned(), part)).into_iter().collect()
}

/// A token stands in the file or in a file of its own, not in both.
fn one_place_of_each_token<C: Settings>() -> Value {
    let files = C::settings().iter().filter_map(|setting| setting.key.strip_suffix("_token_file"));
    files
        .map(|whose| {
            let other = format!("{whose}_token_file");
            (format!("{whose}_token"), json!({"properties": {other: false}}))
        })
        .collect::<Map<_, _>>()
        .into()
}

fn of_setting<C>(setting: &Setting<C>) -> Schema {
    let mut schema = of_form(&setting.form);
    let names = [
        (!setting.env.is_empty()).then(|| format!("variable {}", setting.env)),
        setting.flag().map(|flag| format!("flag --{flag}")),
    ];
    let names: Vec<_> = names.into_iter().flatten().collect();
    describe(&mut schema, &setting.form, setting.meaning, Some(setting.preset));
    if let (false, Some(Value::String(said))) = (names.is_empty(), schema.get_mut("description")) {
        *said = format!("{said} Also: {}.", names.join(", "));
    }
    schema
}

/// A table of a list.
fn table(keys: &[Key], rules: &[Rule]) -> Schema {
    let mut properties = Map::new();
    for key in keys {
        let mut schema = of_form(&key.form);
        let preset = match key.presence {
            Presence::Needed => None,
            Presence::Optional(preset) => Some(preset),
        };
        describe(&mut schema, &key.form, key.meaning, preset);
        properties.insert(key.name.to_owned(), schema.to_value());
    }
    let mut table = closed(properties);
    let needed = keys.iter().filter(|key| key.presence == Presence::Needed).map(|key| key.name);
    table.insert("required".to_owned(), needed.collect::<Vec<_>>().into());
    if !rules.is_empty() {
        table.insert("allOf".to_owned(), rules.iter().map(of_rule).collect::<Vec<_>>().into());
    }
    table.into()
}

fn of_rule(rule: &Rule) -> Value {
    let excluded = rule.excludes.iter().map(|key| ((*key).to_owned(), false.into()));
    let then = [
        (!rule.needs.is_empty()).then(|| ("required".to_owned(), rule.needs.into())),
        (!rule.excludes.is_empty())
            .then(|| ("properties".to_owned(), excluded.collect::<Map<_, _>>().into())),
    ];
    json!({
        "if": {"properties": {rule.key: {"const": rule.word}}, "required": [rule.key]},
        "then": then.into_iter().flatten().collect::<Map<_, _>>(),
    })
}

/// What is told to whoever writes the file.
fn describe(schema: &mut Schema, form: &Form, meaning: &str, preset: Option<Preset>) {
    let mut said = format!("{meaning}.");
    match form {
        Form::Text(text) | Form::Secret(text) => said = format!("{said} Value: {}.", of_text(text)),
        Form::List(text) => said = format!("{said} Each: {}.", of_text(text)),
        Form::Whole { unit, .. } => {
            if let Some(word) = unit.word() {
                schema.insert("x-unit".to_owned(), word.into());
                said = format!("{said} Value: {word}.");
            }
        }
        _ => {}
    }
    match preset {
        None => said.push_str(" It must be there."),
        Some(Preset::Derived(without)) => said = format!("{said} Default: {without}."),
        Some(Preset::Value(text)) => drop(schema.insert("default".to_owned(), typed(form, text))),
    }
    schema.insert("description".to_owned(), said.into());
}

/// A default as a value of the file.
fn typed(form: &Form, text: &str) -> Value {
    let parsed = match form {
        Form::Whole { .. } => text.parse::<u64>().ok().map(Value::from),
        Form::Truth => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    parsed.unwrap_or_else(|| text.into())
}

fn of_form(form: &Form) -> Schema {
    match form {
        Form::Whole { min, max, .. } => json_schema!({"type": "integer", "minimum": min, "maximum": max}),
        Form::Amount { below } => json_schema!({
            "type": ["number", "string"],
            "minimum": 0,
            "exclusiveMaximum": below,
            "pattern": r"^[0-9]+(\.[0-9]{1,6})?$",
        }),
        Form::Truth => json_schema!({"type": "boolean"}),
        Form::Word(words) => json_schema!({"type": "string", "enum": words}),
        Form::Text(text) => text_schema(text),
        Form::Secret(text) => {
            let mut schema = text_schema(text);
            schema.insert("writeOnly".to_owned(), true.into());
            schema
        }
        // A keyword says nothing of values of other types, so each of these is about one of the two.
        Form::List(text) => json_schema!({
            "type": ["array", "string"],
            "minLength": 1,
            "minItems": 1,
            "items": text_schema(text),
        }),
        Form::Strings => json_schema!({"type": "array", "items": {"type": "string"}}),
        Form::Command => json_schema!({
            "type": ["array", "string"],
            "minLength": 1,
            "minItems": 1,
            "items": {"type": "string"},
        }),
        Form::Variables => json_schema!({
            "type": "object",
            "propertyNames": {"pattern": "^[^=]+$"},
            "additionalProperties": {"type": "string"},
        }),
        Form::Table(keys) => table(keys, &[]),
        Form::Tables { inline, .. } => {
            let mut schema = inline.map_or_else(Schema::default, text_schema);
            let types: &[&str] = if inline.is_some() { &["array", "string"] } else { &["array"] };
            schema.insert("type".to_owned(), types.into());
            schema.insert("items".to_owned(), json!({"$ref": format!("#/$defs/{POOL}")}));
            schema
        }
    }
}

fn text_schema(text: &Text) -> Schema {
    let mut schema = json_schema!({"type": "string", "minLength": text.chars_min, "pattern": text.pattern});
    if let Some(most) = text.chars_max {
        schema.insert("maxLength".to_owned(), most.into());
    }
    schema
}
