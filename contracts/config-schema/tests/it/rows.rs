//! Every row of the table: a good value takes effect in each layer, a bad one is refused in each.

use std::collections::BTreeSet;

use config_schema::{Config, Form, Key, ManagerConfig, Preset, Reach, Rule, SETTINGS, Schema, Setting};

use crate::Written;

/// A row's key, a good value that is not the default, how the whole configuration then shows it, and a
/// bad value.
type Sample = (&'static str, &'static str, &'static str, &'static str);

const SAMPLES: &[Sample] = &[
    ("bind_addr", "[::1]:9000", "bind_addr: [::1]:9000", "localhost:8080"),
    ("metrics_port", "9090", "metrics_port: Some(9090)", "0"),
    ("pools", "a=llamacpp+http://127.0.0.1:81", "id: \"a\"", "a=llamacpp"),
    ("pool_managers", "http://gpu-1:9200", "host: Some(Domain(\"gpu-1\"))", "gpu-1:9200"),
    ("nodes.bind_addr", "127.0.0.1:9000", "bind_addr: Some(127.0.0.1:9000)", "9000"),
    ("nodes.offline_after_ms", "1000", "offline_after: 1s", "999"),
    ("nodes.networks", "10.0.0.0/8", "networks: [(10.0.0.0, 8)]", "10.0.0.0/33"),
    ("gpu_policy", "allow-cpu", "gpu_policy: AllowCpu", "cpu"),
    ("api_token", "0123456789abcdef0123456789abcdef", "api: [(hidden)]", "0123456789abcdef0123456789abcde"),
    ("api_token_file", "/token", "api: [(hidden)]", "/nowhere"),
    ("control_token", CONTROL, "control: [(hidden)]", "short"),
    ("control_token_file", "/token", "control: [(hidden)]", "/nowhere"),
    ("node_token", CONTROL, "node: [(hidden)]", "short"),
    ("node_token_file", "/token", "node: [(hidden)]", "/nowhere"),
    ("tls.cert_file", "/c.pem", "cert: \"/c.pem\"", " "),
    ("tls.key_file", "/k.pem", "key: \"/k.pem\"", " "),
    ("tls.client_ca_file", "/ca.pem", "client_ca: Some(\"/ca.pem\")", " "),
    ("shutdown_grace_ms", "0", "shutdown_grace: 0ns", "-1"),
    ("auth.optional", "true", "loopback: TokenOptional", "yes"),
    ("auth.trust_proxy", "true", "proxy: Given", "1"),
    ("admission.capacity", "1000000", "capacity: 1000000", "1000001"),
    ("admission.policy", "drop-lru", "policy: DropLru", "drop"),
    ("placement.strategy", "round-robin", "placement: RoundRobin", "random"),
    ("state_dir", "/var/lib/x", "folder: \"/var/lib/x\"", " "),
    ("repair", "true", "on_damage: Repair", "yes"),
    ("store.kind", "memory", "kind: Memory", "postgres"),
    ("store.commit_timeout_ms", "7", "commit_timeout: 7ms", "0"),
    ("catalog.roots", "/srv/a, /srv/b", "roots: [\"/srv/a\", \"/srv/b\"]", "models"),
    ("catalog.trust", "strict", "trust: Strict", "high"),
    ("catalog.keys", "ops:aGk=", "keys: [(\"ops\", \"aGk=\")]", "ops"),
    ("catalog.outbound", "allow", "outbound: Allow", "on"),
    ("catalog.hosts", "models.example:8443", "hosts: [\"models.example:8443\"]", "https://models.example"),
    ("artifacts.quota_bytes", "4096", "quota_bytes: 4096", "4095"),
    ("artifacts.bytes_max", "7", "bytes_max: 7,", "0"),
    ("artifacts.retention_ms", "7", "retention: 7ms", "0"),
    ("artifacts.transcripts", "on", "transcripts: On", "full"),
    ("jobs.max_attempts", "5", "max_attempts: 5", "6"),
    ("jobs.retention_ms", "1", "retention: 1ms", "0"),
    ("jobs.retained_max", "7", "retained_max: 7", "0"),
    ("jobs.retained_bytes_max", "65536", "retained_bytes_max: 65536", "65535"),
    ("sessions.ttl_ms", "7", "ttl: 7ms", "0"),
    ("sessions.turns_max", "20", "turns_max: 20", "0"),
    ("sessions.max", "9", "max: 9,", "0"),
    ("sessions.tokens_budget", "4000", "tokens_budget: Some(4000)", "0"),
    ("sessions.time_budget_ms", "4000", "time_budget: Some(4s)", "0"),
    ("sessions.cost_budget", "2.5", "cost_budget: Some(2500000)", "-1"),
    ("openai.extra_fields", "refuse", "extra_fields: Refuse", "ignore"),
    ("engine.connect_timeout_ms", "7", "connect_timeout: 7ms", "2s"),
    ("engine.first_token_timeout_ms", "7", "first_token_timeout: 7ms", "0"),
    ("engine.idle_timeout_ms", "7", "idle_timeout: 7ms", "0"),
    ("engine.wall_timeout_ms", "7", "wall_timeout: 7ms", "0"),
    ("engine.health_interval_ms", "50", "health_interval: 50ms", "49"),
    ("limits.body_bytes_max", "1024", "body_bytes_max: 1024", "1023"),
    ("limits.header_bytes_max", "8192", "header_bytes_max: 8192", "8191"),
    ("limits.header_timeout_ms", "7", "header_timeout: 7ms", "0"),
    ("limits.body_timeout_ms", "7", "body_timeout: 7ms", "0"),
    ("limits.connections_max", "1", "connections_max: 1,", "0"),
    ("limits.hosts", "llm.example.org", "hosts: Only([\"llm.example.org\"])", "llm.example.org:80"),
    ("traces.endpoint", "http://collector:4317", "host: Some(Domain(\"collector\"))", "collector:4317"),
    ("traces.sampler", "traceidratio", "sampler: Ratio", "some"),
    ("traces.sampler_arg", "0.25", "ratio: 0.25", "1.01"),
    ("log.filter", "warn", "filter: \"warn\"", " "),
    ("log.format", "json", "format: Some(Json)", "xml"),
];

const CONTROL: &str = "fedcba9876543210fedcba9876543210";
const TOKEN: &str = "a token file of an operator has no blanks";

fn setting(key: &str) -> &'static Setting {
    SETTINGS.iter().find(|setting| setting.key == key).unwrap()
}

fn written() -> Written {
    Written::default().token(&TOKEN.replace(' ', "-"))
}

/// Nothing but what `key` needs beside it.
fn beside(key: &str) -> Written {
    let files = [("tls.cert_file", "ORCHD_TLS_CERT_FILE"), ("tls.key_file", "ORCHD_TLS_KEY_FILE")];
    let others = files.iter().filter(|(other, _)| key.starts_with("tls.") && *other != key);
    others.fold(written(), |written, (_, env)| written.env(env, "/other.pem"))
}

/// A value as the file has it: numbers and truth values are no strings there. What is neither is a string, as
/// somebody may write it by mistake.
fn in_toml(form: &Form, value: &str) -> String {
    let bare = match form {
        Form::Whole { .. } => value.parse::<i64>().is_ok(),
        Form::Truth => matches!(value, "true" | "false"),
        _ => false,
    };
    if bare { value.to_owned() } else { format!("'{value}'") }
}

/// The three ways to write `value`, as far as the setting has them.
fn ways(setting: &Setting, value: &str) -> Vec<Written> {
    let written = || beside(setting.key);
    let mut ways = vec![written().env(setting.env, value)];
    if setting.reach != Reach::NoFile {
        ways.push(written().toml(&format!("{} = {}", setting.key, in_toml(&setting.form, value))));
    }
    ways.extend(setting.flag().map(|flag| written().flag(&flag, value)));
    ways
}

#[test]
fn every_row_has_a_sample() {
    let sampled: BTreeSet<_> = SAMPLES.iter().map(|sample| sample.0).collect();
    let rows: BTreeSet<_> = SETTINGS.iter().map(|row| row.key).filter(|key| *key != "config").collect();
    assert_eq!(sampled, rows);
}

#[test]
fn a_good_value_takes_effect_in_each_layer() {
    let default = format!("{:?}", Written::default().config());
    for (key, good, shown, _) in SAMPLES {
        assert!(!default.contains(shown), "{key}: {good} is the default");
        for way in ways(setting(key), good) {
            let config = format!("{:?}", way.config());
            assert!(config.contains(shown), "{key}: {way:?} gives {config}");
        }
    }
}

//= ORCH-3321 type=test
#[test]
fn a_bad_value_is_refused_in_each_layer_and_its_place_is_named() {
    for (key, _, _, bad) in SAMPLES {
        let setting = setting(key);
        for way in ways(setting, bad) {
            let fault = way.fault();
            let places = [
                format!("environment {}: ", setting.env),
                format!("file key {key}: "),
                format!("flag --{}: ", setting.flag().unwrap_or_default()),
            ];
            assert!(places.iter().any(|place| fault.starts_with(place)), "{fault}");
        }
    }
}

//= ORCH-3327 type=test
#[test]
fn in_the_file_a_value_has_the_type_of_its_row() {
    let config = Written::default().toml("admission.capacity = 4_000\nauth.optional = true").config();
    assert_eq!(config.admission.capacity, 4_000);
    assert_eq!(
        Written::default().toml("sessions.cost_budget = 2.5").config().sessions.cost_budget,
        Some(2_500_000)
    );
    for (text, expected) in [
        ("admission.capacity = '100'", "admission.capacity: is a string; write the number without quotes"),
        ("admission.capacity = 1.5", "admission.capacity: is not a whole number"),
        ("admission.capacity = true", "admission.capacity: is not a whole number"),
        ("auth.optional = 'true'", "auth.optional: is a string; write true or false without quotes"),
        ("auth.optional = 1", "auth.optional: is neither true nor false"),
        ("state_dir = 5", "state_dir: is not a string; write it in quotes"),
        ("log.filter = true", "log.filter: is not a string"),
        ("sessions.cost_budget = true", "sessions.cost_budget: is not an amount"),
        ("admission.policy = ['reject']", "admission.policy: is not one value; write reject|drop-lru"),
        ("limits.hosts = ['a,b']", "limits.hosts: has an item with a comma in it"),
        ("limits.hosts = [' a']", "limits.hosts: has an item with a comma in it, or with blanks around it"),
        ("limits.hosts = 5", "limits.hosts: is not a string"),
    ] {
        let fault = Written::default().toml(text).fault();
        assert!(fault.starts_with(&format!("file key {expected}")), "{text}: {fault}");
    }
}

/// A range is data, so both of its ends can be tried wherever there is one.
#[test]
fn both_ends_of_each_range_are_taken_and_what_lies_outside_is_refused() {
    for setting in SETTINGS {
        let Form::Whole { min, max, .. } = setting.form else { continue };
        let written = |value: u64| Written::default().env(setting.env, &value.to_string());
        for good in [min, max] {
            written(good).config();
        }
        for bad in [min.checked_sub(1), Some(max + 1)].into_iter().flatten() {
            let expected = format!("`{bad}` is not a whole number from {min} to {max}");
            assert!(written(bad).fault().ends_with(&expected), "{}", setting.key);
        }
    }
}

#[test]
fn each_word_of_a_row_is_taken() {
    for setting in SETTINGS {
        let words = match setting.form {
            Form::Word(words) => words,
            Form::Truth => &["true", "false"],
            _ => continue,
        };
        for word in words {
            Written::default().env(setting.env, word).config();
        }
    }
}

#[test]
fn the_defaults_of_the_table_are_those_that_the_operator_was_promised() {
    let config = Written::default().config();
    assert_eq!(config.bind_addr.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admission.capacity, 100);
    assert!(config.auth.api.is_empty());
    assert_eq!(config.log.filter, "info");
    assert_eq!(config.limits.body_bytes_max, 2_097_152);
    assert_eq!(config.jobs.max_attempts, 2);
    assert_eq!(config.engine.first_token_timeout.as_secs(), 120);
    // The frame under the defaults is all zeros, so a zero is a row that is missing.
    let shown = format!("{config:?}");
    assert!(!shown.contains(": 0ns") && !shown.contains(": 0,") && !shown.contains(": 0 "), "{shown}");
}

#[test]
fn names_are_unique_and_follow_one_pattern() {
    let unique = |names: Vec<String>| {
        let set: BTreeSet<_> = names.iter().cloned().collect();
        assert_eq!(set.len(), names.len(), "{names:?}");
    };
    unique(SETTINGS.iter().map(|row| row.key.to_owned()).collect());
    unique(SETTINGS.iter().map(|row| row.env.to_owned()).collect());
    unique(SETTINGS.iter().filter_map(Setting::flag).collect());
    for row in SETTINGS {
        assert!(row.meaning.len() <= 90 && !row.meaning.ends_with('.'), "{}", row.meaning);
        if let Preset::Value(text) = row.preset {
            assert!(!text.is_empty(), "{}", row.key);
        }
    }
}

/// The tables of pools of both programs.
fn tables() -> impl Iterator<Item = (&'static [Key], &'static [Rule])> {
    let forms = SETTINGS.iter().map(|setting| setting.form);
    let forms = forms.chain(ManagerConfig::settings().iter().map(|setting| setting.form));
    forms.filter_map(|form| match form {
        Form::Tables { keys, rules, .. } => Some((keys, rules)),
        _ => None,
    })
}

#[test]
fn a_rule_speaks_of_keys_and_words_that_there_are_and_leaves_no_word_out() {
    assert_eq!(tables().count(), 2);
    for (keys, rules) in tables() {
        let key = |name: &str| keys.iter().find(|key| key.name == name).unwrap_or_else(|| panic!("{name}"));
        for rule in rules {
            rule.needs.iter().chain(rule.excludes).for_each(|name| assert!(!key(name).meaning.is_empty()));
            let Form::Word(words) = key(rule.key).form else { panic!("{}", rule.key) };
            assert!(words.contains(&rule.word), "{}", rule.word);
            for word in words {
                assert!(rules.iter().any(|rule| rule.word == *word), "no rule for {word}");
            }
        }
    }
}

//= AUTH-1007 type=test
//= ORCH-3324 type=test
#[test]
fn a_secret_has_no_flag_and_is_never_repeated() {
    let (token, flag) = (setting("api_token"), "api-token");
    assert_eq!(token.flag(), None);
    let secret = "hunter2hunter2";
    let attempts = [
        written().flag(flag, secret),
        written().env(token.env, secret),
        written().env(token.env, &format!("{secret}\u{e9}{}", "a".repeat(32))),
        written().toml(&format!("api_token = '{secret}'")),
        written().toml(&format!("api_token = '{secret}\n")),
        written().toml(&format!("api_token = {secret}")),
        written().toml(&format!("api_token = ['{secret}']")),
        written()
            .toml(&format!("[[pools]]\nid = 'a'\nengine = 'llamacpp'\nendpoint = 'http://u:{secret}@h'")),
        written().toml(&format!("[[pools]]\nid = 'a'\nengine = 'mock'\napi_key = '{secret}'")),
        written().env("ORCHD_POOLS", &format!("a=llamacpp+http://u:{secret}@h:1")),
        written().env("ORCHD_POOLS", &format!("a=http://u:{secret}@h:1")),
        written().token(secret).env("LLORCH_API_TOKEN_FILE", "/token"),
    ];
    for attempt in attempts {
        let faults = attempt.faults().join("\n");
        assert!(!faults.contains(secret), "{faults}");
    }
    let fault = written().flag(flag, secret).fault();
    assert!(fault.contains("LLORCH_API_TOKEN"), "{fault}");
    let config: Config = written().env(token.env, &"s".repeat(40)).config();
    assert!(!format!("{config:#?}").contains("sss"));
    assert_eq!(config.auth.api[0].reveal(), "s".repeat(40));
}
