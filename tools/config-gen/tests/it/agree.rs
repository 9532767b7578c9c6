//! What the loader takes, the schema takes.

use std::collections::BTreeSet;

use config_schema::{Form, Key};
use proptest::prelude::*;
use toml::{Table, Value};

use crate::{AGENT, PROGRAMS, Program, SERVER};

/// Dotted paths of all values; those in a list of tables count once.
fn paths(table: &Table, prefix: &str, found: &mut BTreeSet<String>) {
    for (name, value) in table {
        let path = format!("{prefix}{name}");
        match value {
            Value::Table(inner) => paths(inner, &format!("{path}."), found),
            Value::Array(items) if items.iter().all(Value::is_table) => {
                items.iter().filter_map(Value::as_table).for_each(|it| paths(it, &format!("{path}."), found));
            }
            _ => {}
        }
        found.insert(path);
    }
}

fn named(keys: &[Key], prefix: &str) -> Vec<String> {
    let mut all = Vec::new();
    for key in keys {
        let path = format!("{prefix}{}", key.name);
        if let Form::Table(inner) = key.form {
            all.extend(named(inner, &format!("{path}.")));
        }
        all.push(path);
    }
    all
}

//= ORCH-3325 type=test
#[test]
fn the_examples_are_taken_by_loader_and_schema() {
    for program in PROGRAMS {
        assert_eq!(program.verdicts(&program.example()), (Vec::new(), Vec::new()), "{}", program.example);
        assert_eq!(program.verdicts(&Table::new()), (Vec::new(), Vec::new()), "nothing at all");
    }
}

#[test]
fn the_examples_show_every_key() {
    for program in PROGRAMS {
        let mut shown = BTreeSet::new();
        paths(&program.example(), "", &mut shown);
        for (key, form) in (program.settings)() {
            // A token stands in the example's comments, since its file is there.
            assert!(
                shown.contains(key) || matches!(form, Form::Secret(_)),
                "{} lacks {key}",
                program.example
            );
            if let Form::Tables { keys, .. } = form {
                for path in named(keys, "pools.") {
                    assert!(shown.contains(&path), "{} lacks {path}", program.example);
                }
            }
        }
    }
}

/// Text as an operator could write it, right and wrong, for every kind of text that there is.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,20}",
        "[a-z0-9._-]{1,8}",
        "[A-Za-z0-9._-]{1,8}",
        "/[a-z./]{0,12}",
        "-?[a-z/]{1,8}",
        "[0-9]{1,3}\\.[0-9]{1,3}\\.0\\.1(:[0-9]{1,5})?(/[0-9]{1,2})?",
        "\\[[0-9a-f:]{1,9}(%[0-9])?\\](:[0-9]{1,5})?",
        "[0-9a-f:]{2,9}/[0-9]{1,3}",
        "[hH][tT][tT][pP][sS]?:/{0,3}[a-z0-9.:@-]{1,10}(/[a-z,@]{0,4})?[?#]?",
        "[a-z]{1,3}:[A-Za-z0-9+/=]{1,8}",
        "[0-9]{1,5}(,[0-9]{1,5}){0,2}",
        "[0-9]{1,11}(\\.[0-9]{1,7})?",
        "sha256:[0-9a-f]{63,65}",
        "[!-~]{30,40}",
        Just("cpu".to_owned()),
        Just("*".to_owned()),
        Just("::1".to_owned()),
        Just("default=mock, a=vllm+http://h:1".to_owned()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => text().prop_map(Value::String),
        1 => any::<i64>().prop_map(Value::Integer),
        1 => (0_i64..70_000).prop_map(Value::Integer),
        1 => (0.0..1e10).prop_map(Value::Float),
        1 => any::<bool>().prop_map(Value::Boolean),
        2 => prop::collection::vec(text().prop_map(Value::String), 0..3).prop_map(Value::Array),
    ]
}

/// One key of the file with some value, and nothing else but what it needs beside it.
fn alone(key: &str, value: Value) -> Table {
    let mut file = Table::new();
    // An address that others reach asks for a token, which is a rule of its own.
    if key != "api_token" {
        file.insert("api_token_file".to_owned(), "/api.tokens".into());
    }
    put(&mut file, key, value);
    file
}

fn put(file: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        Some((heading, key)) => {
            let inner = file.entry(heading).or_insert_with(|| Table::new().into());
            inner.as_table_mut().unwrap().insert(key.to_owned(), value);
        }
        None => drop(file.insert(path.to_owned(), value)),
    }
}

fn schema_takes_what_the_loader_takes(program: Program, file: &Table) -> Result<bool, TestCaseError> {
    let (faults, wrong) = program.verdicts(file);
    prop_assert!(!faults.is_empty() || wrong.is_empty(), "{file}{wrong:#?}");
    Ok(faults.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    //= ORCH-3325 type=test
    #[test]
    fn whatever_a_key_holds_the_schema_takes_what_the_loader_takes(value in value()) {
        for program in PROGRAMS {
            for (key, _) in (program.settings)() {
                schema_takes_what_the_loader_takes(program, &alone(key, value.clone()))?;
            }
        }
    }

    //= ORCH-3325 type=test
    #[test]
    fn whatever_a_key_of_a_pool_holds_the_schema_takes_what_the_loader_takes(value in value()) {
        for program in [SERVER, AGENT] {
            let example = program.example();
            for pool in example["pools"].as_array().unwrap() {
                for key in pool.as_table().unwrap().keys() {
                    let mut pool = pool.as_table().unwrap().clone();
                    pool.insert(key.clone(), value.clone());
                    let file = alone("pools", Value::Array(vec![pool.into()]));
                    schema_takes_what_the_loader_takes(program, &file)?;
                }
            }
        }
    }
}

/// The two tests above say nothing where the loader takes nothing.
#[test]
fn the_loader_takes_some_value_of_every_key() {
    for program in PROGRAMS {
        let example = program.example();
        for (key, _) in (program.settings)().iter().filter(|(_, form)| !matches!(form, Form::Secret(_))) {
            let mut place = &Value::Table(example.clone());
            for part in key.split('.') {
                place = &place[part];
            }
            let (faults, wrong) = program.verdicts(&alone(key, place.clone()));
            let lone =
                faults.iter().all(|fault| fault.contains("beside it") || fault.contains("the other of"));
            assert!(lone && wrong.is_empty(), "{key}: {faults:?} {wrong:?}");
        }
    }
}
