//! Every kind of mistake, in every key, is found by loader and schema alike.

use config_schema::{Form, Key, Text};
use toml::{Table, Value};

use crate::{PROGRAMS, Program};

/// Values that do not fit: of another type, or out of range.
fn misfits(form: &Form) -> Vec<Value> {
    match form {
        Form::Whole { min, max, .. } => {
            let (below, above) = (i64::try_from(*min).unwrap() - 1, i64::try_from(*max).unwrap() + 1);
            vec![below.into(), above.into(), min.to_string().into(), 1.5.into(), true.into()]
        }
        Form::Amount { below } => {
            vec![i64::try_from(*below).unwrap().into(), (-1).into(), "1,5".into(), true.into()]
        }
        Form::Truth => vec!["true".into(), 1.into()],
        Form::Word(_) => vec!["no-such-word".into(), 1.into(), true.into(), "".into()],
        Form::Text(text) | Form::Secret(text) => {
            let mut wrong = vec![1.into(), true.into(), Value::Array(vec!["a".into()])];
            wrong.extend(bad_lengths(text));
            wrong
        }
        Form::List(_) => vec![1.into(), Value::Array(vec![1.into()]), Value::Array(Vec::new()), "".into()],
        Form::Strings => vec!["a".into(), Value::Array(vec![1.into()])],
        Form::Command => vec![1.into(), Value::Array(vec![1.into()]), Value::Array(Vec::new())],
        Form::Variables => vec![1.into(), Table::from_iter([("A".to_owned(), Value::from(1))]).into()],
        Form::Table(_) => vec![1.into(), "a".into()],
        Form::Tables { .. } => vec![1.into(), Value::Array(vec![1.into()]), Table::new().into()],
    }
}

fn bad_lengths(text: &Text) -> impl Iterator<Item = Value> {
    let most = text.chars_max.filter(|most| *most != text.chars_min).map(|most| most + 1);
    [Some(text.chars_min - 1), most].into_iter().flatten().map(|chars| "a".repeat(chars).into())
}

/// A place in a file: names of keys, and numbers of tables in a list.
#[derive(Clone)]
struct Place(Vec<Result<String, usize>>);

impl Place {
    fn of(dotted: &str) -> Self {
        Self(dotted.split('.').map(|name| Ok(name.to_owned())).collect())
    }

    fn then(&self, part: Result<String, usize>) -> Self {
        let mut parts = self.0.clone();
        parts.push(part);
        Self(parts)
    }

    /// As the loader tells it.
    fn told(&self) -> String {
        let each = self.0.iter().map(|part| match part {
            Ok(name) => format!(".{name}"),
            Err(index) => format!("[{index}]"),
        });
        each.collect::<Vec<_>>().concat().trim_start_matches('.').to_owned()
    }

    /// The table that holds the place, and the name in it.
    fn within<'a>(&self, file: &'a mut Table) -> Option<(&'a mut Table, String)> {
        let (last, before) = self.0.split_last()?;
        let mut table = file;
        let mut parts = before.iter();
        while let Some(Ok(name)) = parts.next() {
            table = match table.get_mut(name)? {
                Value::Array(items) => items.get_mut(*parts.next()?.as_ref().err()?)?.as_table_mut()?,
                value => value.as_table_mut()?,
            };
        }
        Some((table, last.clone().ok()?))
    }
}

/// Every place of the example that has a form.
fn places(program: Program, example: &Table) -> Vec<(Place, Form)> {
    let mut all = Vec::new();
    for (key, form) in (program.settings)() {
        let place = Place::of(key);
        if let Form::Tables { keys, .. } = form {
            for (index, pool) in example["pools"].as_array().unwrap().iter().enumerate() {
                add(&mut all, &place.then(Err(index)), keys, pool.as_table().unwrap());
            }
        }
        all.push((place, form));
    }
    all
}

fn add(all: &mut Vec<(Place, Form)>, at: &Place, keys: &[Key], table: &Table) {
    for key in keys {
        let place = at.then(Ok(key.name.to_owned()));
        if let (Form::Table(inner), Some(Value::Table(table))) = (key.form, table.get(key.name)) {
            add(all, &place, inner, table);
        }
        if table.contains_key(key.name) {
            all.push((place, key.form));
        }
    }
}

/// The example, with this in that place.
fn changed(example: &Table, place: &Place, value: Value) -> Table {
    let mut file = example.clone();
    let (table, name) = place.within(&mut file).unwrap();
    // A token excludes its file.
    if name.ends_with("_token") {
        table.remove(&format!("{name}_file"));
    }
    table.insert(name, value);
    file
}

//= ORCH-3325 type=test
#[test]
fn a_value_of_another_type_or_out_of_range_is_refused_by_both() {
    for program in PROGRAMS {
        let example = program.example();
        for (place, form) in places(program, &example) {
            for value in misfits(&form) {
                let (faults, wrong) = program.verdicts(&changed(&example, &place, value.clone()));
                let told = place.told();
                assert!(faults.iter().any(|fault| fault.contains(&told)), "{told} = {value}: {faults:#?}");
                assert!(wrong.iter().any(|wrong| wrong.contains(&told)), "{told} = {value}: {wrong:#?}");
                assert!(wrong.iter().all(|wrong| !wrong.starts_with("the schema")), "{wrong:#?}");
            }
        }
    }
}

//= ORCH-3323 type=test
//= ORCH-3325 type=test
#[test]
fn a_key_with_a_slip_of_the_finger_is_refused_by_both_and_the_right_one_is_named() {
    for program in PROGRAMS {
        let example = program.example();
        for (place, _) in places(program, &example) {
            let mut file = example.clone();
            let (table, name) = place.within(&mut file).unwrap();
            // Tokens are not in the example.
            let value = table.get(&name).cloned().unwrap_or_else(|| crate::TOKEN.into());
            table.insert(format!("{name}x"), value);
            let (faults, wrong) = program.verdicts(&file);
            let told = format!("{}x", place.told());
            assert_eq!((faults.len(), wrong.len()), (1, 1), "{told}: {faults:#?} {wrong:#?}");
            assert!(faults[0].starts_with(&format!("file key {told}: ")), "{faults:#?}");
            assert!(faults[0].contains("did you mean "), "{faults:#?}");
            assert!(wrong[0].contains(&told), "{wrong:#?}");
        }
    }
}

#[test]
fn what_must_be_there_and_what_must_not_is_known_to_both() {
    for program in PROGRAMS {
        let example = program.example();
        let tables = (program.settings)().into_iter().find_map(|(_, form)| match form {
            Form::Tables { keys, rules, .. } => Some((keys, rules)),
            _ => None,
        });
        let (keys, rules) = tables.unwrap();
        for (index, pool) in example["pools"].as_array().unwrap().iter().enumerate() {
            let pool = pool.as_table().unwrap();
            let with = |pool: Table| {
                let mut file = example.clone();
                file["pools"].as_array_mut().unwrap()[index] = pool.into();
                let (faults, wrong) = program.verdicts(&file);
                assert!(!faults.is_empty() && !wrong.is_empty(), "{file}: {faults:?} {wrong:?}");
            };
            for key in ["id", "engine"] {
                let mut pool = pool.clone();
                pool.remove(key).unwrap();
                with(pool);
            }
            for rule in rules.iter().filter(|rule| pool[rule.key].as_str() == Some(rule.word)) {
                for key in rule.needs {
                    let mut pool = pool.clone();
                    pool.remove(*key).unwrap();
                    with(pool);
                }
                for key in rule.excludes {
                    let mut pool = pool.clone();
                    assert!(keys.iter().any(|known| known.name == *key), "{key}");
                    pool.insert((*key).to_owned(), "a".into());
                    with(pool);
                }
            }
        }
    }
}

#[test]
fn a_token_beside_its_file_is_refused_by_both() {
    for program in PROGRAMS {
        let mut file = program.example();
        file.insert("node_token".to_owned(), crate::TOKEN.into());
        let (faults, wrong) = program.verdicts(&file);
        assert_eq!((faults.len(), wrong.len()), (1, 1), "{faults:#?} {wrong:#?}");
    }
}
