//! The reference `docs/CONFIGURATION.md`: the words of a template, and the tables of settings between them.
//!
//! A number that stands in the template would be a second place for a bound, so the template has names in
//! double braces, and an unknown name or one that is left over is an error.

use anyhow::{Result, bail};
use command_line::{EXIT_CONFIG, FILE_BYTES_MAX};
use config_schema::{
    Config, Form, Key, ManagerConfig, Presence, Preset, Rule, Schema as Settings, Setting, TOKENS_MAX, Unit,
};

use crate::words::{self, of_text};

const HEAD: &str = "| Key | Flag, variable | Value | Default | Meaning |\n|---|---|---|---|---|\n";
const TEMPLATE: &str = include_str!("configuration.md.in");

/// The page, with the two example files in it.
///
/// # Errors
/// The template names something that there is not.
pub(crate) fn reference(server_example: &str, agent_example: &str) -> Result<String> {
    filled(TEMPLATE, |name| {
        Some(match name {
            "orchestratord settings" => settings::<Config>(),
            "orchestratord pools" => pools::<Config>(),
            "orchestratord example" => example("orchestratord", server_example),
            "pool-managerd settings" => settings::<ManagerConfig>(),
            "pool-managerd pools" => pools::<ManagerConfig>(),
            "pool-managerd example" => example("pool-managerd", agent_example),
            "token" => token::<Config>()?,
            "tokens of a file" => TOKENS_MAX.to_string(),
            "file bytes" => words::short(FILE_BYTES_MAX, Unit::Bytes),
            "exit code" => EXIT_CONFIG.to_string(),
            _ => return None,
        })
    })
}

/// Puts something in the place of each name in double braces.
fn filled(template: &str, of: impl Fn(&str) -> Option<String>) -> Result<String> {
    let mut page = String::new();
    let mut parts = template.split("{{");
    page.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let Some((name, rest)) = part.split_once("}}") else {
            bail!("`{{{{` without `}}}}` before `{part}`")
        };
        let Some(text) = of(name) else { bail!("the template names `{name}`, which there is not") };
        page.push_str(text.trim_end());
        page.push_str(rest);
    }
    Ok(page)
}

fn example(program: &str, text: &str) -> String {
    format!("<!-- config of: {program} -->\n```toml\n{}\n```", text.trim_end())
}

fn token<C: Settings>() -> Option<String> {
    let setting = C::settings().iter().find(|setting| setting.key == "api_token")?;
    Some(looks(&setting.form))
}

/// A table per heading of the file, in the order in which the help comes to it first.
fn settings<C: Settings>() -> String {
    let mut groups: Vec<(&str, String)> = Vec::new();
    for setting in C::settings() {
        let heading = setting.key.split_once('.').map_or("", |(heading, _)| heading);
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, rows)) => rows.push_str(&row(setting)),
            None => groups.push((heading, row(setting))),
        }
    }
    let titled = groups.into_iter().map(|(heading, rows)| {
        let title =
            if heading.is_empty() { "At the top of the file".to_owned() } else { format!("`[{heading}]`") };
        format!("### {title}\n\n{HEAD}{rows}\n")
    });
    titled.collect::<Vec<_>>().concat()
}

fn row<C>(setting: &Setting<C>) -> String {
    let key = if setting.is_in_file() { code(setting.key) } else { "none".to_owned() };
    let names = [setting.flag().map(|flag| format!("--{flag}")), Some(setting.env.to_owned())];
    let names: Vec<_> =
        names.iter().flatten().filter(|name| !name.is_empty()).map(|name| code(name)).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let (looks, preset) = (looks(&setting.form), default(&setting.form, setting.preset));
    format!("| {key} | {names} | {looks} | {preset} | {} |\n", setting.meaning)
}

/// The keys of the tables under `pools`, and what one asks of another.
fn pools<C: Settings>() -> String {
    let mut page = String::from("| Key | Value | Default | Meaning |\n|---|---|---|---|\n");
    let tables = C::settings().iter().filter_map(|setting| match setting.form {
        Form::Tables { keys, rules, .. } => Some((keys, rules)),
        _ => None,
    });
    for (keys, rules) in tables {
        page.push_str(&keys.iter().map(|key| key_rows(key, "")).collect::<Vec<_>>().concat());
        page.push('\n');
        page.push_str(&rules.iter().map(rule).collect::<Vec<_>>().concat());
    }
    page
}

fn key_rows(key: &Key, prefix: &str) -> String {
    let name = format!("{prefix}{}", key.name);
    let preset = match key.presence {
        Presence::Needed => "needed".to_owned(),
        Presence::Optional(preset) => default(&key.form, preset),
    };
    let own = format!("| {} | {} | {preset} | {} |\n", code(&name), looks(&key.form), key.meaning);
    match key.form {
        Form::Table(keys) => {
            own + &keys.iter().map(|key| key_rows(key, &format!("{name}."))).collect::<Vec<_>>().concat()
        }
        _ => own,
    }
}

fn rule(rule: &Rule) -> String {
    let list = |names: &[&str]| names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
    let needs = (!rule.needs.is_empty()).then(|| format!("needs {}", list(rule.needs)));
    let excludes = (!rule.excludes.is_empty()).then(|| format!("excludes {}", list(rule.excludes)));
    let parts: Vec<_> = [needs, excludes].into_iter().flatten().collect();
    format!("- {} {}.\n", code(&rule.condition()), parts.join(" and "))
}

fn default(form: &Form, preset: Preset) -> String {
    match (preset, form) {
        (Preset::Derived(said), _) => said.to_owned(),
        (Preset::Value(text), Form::Whole { unit, .. }) => words::value(text, *unit),
        (Preset::Value(text), _) => code(text),
    }
}

/// What a value looks like, in words.
fn looks(form: &Form) -> String {
    match form {
        Form::Whole { min, max, unit } => words::range(*min, *max, *unit),
        Form::Amount { below } => format!("a number from 0 to less than {below}, with up to six decimals"),
        Form::Truth => "`true` or `false`".to_owned(),
        Form::Word(words) => words.iter().map(|word| code(word)).collect::<Vec<_>>().join(", "),
        Form::Text(text) | Form::Secret(text) => of_text(text),
        Form::List(text) => format!("a list of: {}", of_text(text)),
        Form::Strings => "a list of strings".to_owned(),
        Form::Command => "a string, or a list of strings".to_owned(),
        Form::Variables => "a table of strings".to_owned(),
        Form::Table(_) => "a table".to_owned(),
        Form::Tables { inline: None, .. } => "tables, see below".to_owned(),
        Form::Tables { inline: Some(text), .. } => format!("tables, see below; or a list of: {}", text.said),
    }
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_there_is_not_stops_the_page() {
        let of = |name: &str| (name == "a").then(|| "1\n".to_owned());
        assert_eq!(filled("x {{a}}, y", of).unwrap(), "x 1, y");
        assert!(filled("{{b}}", of).unwrap_err().to_string().contains("`b`"));
        assert!(filled("{{a", of).is_err());
    }

    #[test]
    fn no_cell_of_a_table_breaks_its_row() {
        for page in [settings::<Config>(), settings::<ManagerConfig>()] {
            for row in page.lines().filter(|line| line.starts_with("| `")) {
                assert_eq!(row.matches('|').count(), 6, "{row}");
            }
        }
        for page in [pools::<Config>(), pools::<ManagerConfig>()] {
            for row in page.lines().filter(|line| line.starts_with("| `")) {
                assert_eq!(row.matches('|').count(), 5, "{row}");
            }
        }
    }
}
