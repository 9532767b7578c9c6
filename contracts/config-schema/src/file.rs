//! Reading the file: TOML text to keys and values, with every key known or refused.
//!
//! A key that nobody reads is a wish that is not met; the operator finds out in the worst moment. So
//! an unknown key stops the start, whatever it says.

use toml::{Table, Value};

use crate::{
    draft::Draft,
    fault::{Problem, Source},
    form::Form,
    schema::Rules,
    suggest::nearest,
};

/// Says to `draft` what the file says.
pub(crate) fn read<C: Rules>(draft: &mut Draft<C>, text: &str) {
    match text.parse::<Table>() {
        Ok(table) => {
            walk(draft, &table, "");
            refuse_two_tokens(draft, &table);
        }
        Err(error) => {
            let (line, column) = position(text, error.span().map_or(0, |span| span.start));
            // The parser's full text quotes the line, and the line may hold the token.
            let what = error.message().lines().next().unwrap_or("is not TOML").to_owned();
            draft.fault(Source::FileText { line, column }, Problem::new(what));
        }
    }
}

fn walk<C: Rules>(draft: &mut Draft<C>, table: &Table, prefix: &str) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        let source = Source::File(key.clone());
        if name.contains('.') {
            let problem = Problem::new("is a name with a dot in it, which no setting has");
            draft.fault(source, problem.hint("write the key without quotes"));
            continue;
        }
        let setting = C::settings().iter().find(|setting| setting.is_in_file() && setting.key == key);
        match (setting, value) {
            (Some(setting), Value::Array(pools)) if setting.key == "pools" => {
                draft.say_pools(pools, source);
            }
            (Some(setting), _) => match as_text(&setting.form, value) {
                Ok(text) => draft.say(setting, &text, source),
                Err(problem) => draft.refuse(setting, source, problem),
            },
            (None, Value::Table(inner)) if is_heading::<C>(&key) => walk(draft, inner, &format!("{key}.")),
            (None, _) => draft.fault(source, unknown::<C>(&key)),
        }
    }
}

fn is_heading<C: Rules>(key: &str) -> bool {
    C::settings().iter().any(|setting| setting.key.split_once('.').is_some_and(|(heading, _)| heading == key))
}

/// The value as text, if it is of the kind that the row asks for.
//= ORCH-3327
pub(crate) fn as_text(form: &Form, value: &Value) -> Result<String, Problem> {
    match (form, value) {
        (Form::Whole { .. } | Form::Amount { .. }, Value::Integer(number)) => Ok(number.to_string()),
        (Form::Amount { .. }, Value::Float(number)) => Ok(number.to_string()),
        (Form::Truth, Value::Boolean(truth)) => Ok(truth.to_string()),
        (Form::Whole { .. }, Value::String(_)) => {
            Err(Problem::new("is a string; write the number without quotes"))
        }
        (Form::Truth, Value::String(_)) => {
            Err(Problem::new("is a string; write true or false without quotes"))
        }
        (Form::Tables { inline: Some(_), .. }, Value::String(text)) => Ok(text.clone()),
        (Form::Tables { .. }, _) => {
            Err(Problem::new("is not a list of tables").hint("begin each pool with [[pools]]"))
        }
        (_, Value::String(text)) => Ok(text.clone()),
        (Form::List(_), Value::Array(items)) => list_as_text(items),
        (_, Value::Array(_) | Value::Table(_) | Value::Datetime(_)) => {
            Err(Problem::new(format!("is not one value; write {}", form.syntax())))
        }
        (Form::Whole { .. }, _) => Err(Problem::new("is not a whole number")),
        (Form::Amount { .. }, _) => Err(Problem::new("is not an amount")),
        (Form::Truth, _) => Err(Problem::new("is neither true nor false")),
        _ => Err(Problem::new("is not a string; write it in quotes")),
    }
}

/// Commas separate items outside of the file, so none can hold one.
fn list_as_text(items: &[Value]) -> Result<String, Problem> {
    let items = items.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
    let items = items.ok_or_else(|| Problem::new("is a list with something other than strings in it"))?;
    if items.iter().any(|item| item.contains(',') || item.trim() != *item) {
        return Err(Problem::new("has an item with a comma in it, or with blanks around it"));
    }
    Ok(items.join(","))
}

//= ORCH-3323
fn unknown<C: Rules>(key: &str) -> Problem {
    if is_heading::<C>(key) {
        return Problem::new(format!("is a heading; write [{key}] and its settings below"));
    }
    let problem = Problem::new("is not a setting");
    let keys = C::settings().iter().filter(|setting| setting.is_in_file()).map(|setting| setting.key);
    let headings =
        C::settings().iter().filter_map(|setting| setting.key.split_once('.')).map(|(heading, _)| heading);
    match nearest(key, keys.chain(headings)) {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem.hint("--help lists the settings"),
    }
}

fn refuse_two_tokens<C: Rules>(draft: &mut Draft<C>, table: &Table) {
    for [token, file] in C::token_pairs() {
        if table.contains_key(token.key) && table.contains_key(file.key) {
            let problem = Problem::new(format!("is given beside {}; one of the two must go", token.key));
            draft.fault(Source::File(file.key.to_owned()), problem);
        }
    }
}

/// Line and column of a byte, both from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}
