//! Precedence, faults all at once, suggestions, and the rules over several settings.

use proptest::prelude::*;

use crate::Written;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

//= ORCH-3320 type=test
#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let capacity = |written: &Written| written.config().admission.capacity;
    let mut written = Written::default();
    assert_eq!(capacity(&written), 100);
    written = written.toml("admission.capacity = 1");
    assert_eq!(capacity(&written), 1);
    written = written.env("ORCHD_ADMISSION_CAPACITY", "2");
    assert_eq!(capacity(&written), 2);
    written = written.flag("admission-capacity", "3");
    assert_eq!(capacity(&written), 3);
}

//= ORCH-3321 type=test
#[test]
fn a_bad_value_is_a_fault_even_when_it_is_overridden() {
    let written = Written::default().toml("admission.capacity = 0").flag("admission-capacity", "3");
    assert!(written.fault().starts_with("file key admission.capacity: "));
}

//= ORCH-3322 type=test
#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_layers() {
    let faults = Written::default()
        .toml("bind_adr = 'x'\n[admission]\npolicy = 'dorp-lru'\n[limits]\nbody_bytes_max = 5")
        .env("ORCHD_GPU_POLICY", "allow")
        .env("ORCHD_ADMISION_CAPACITY", "7")
        .flag("jobs-max-attempts", "9")
        .flag("bind-addr", "0.0.0.0:80")
        .faults();
    let starts = [
        "file key admission.policy: `dorp-lru` is not one of reject, drop-lru; did you mean drop-lru?",
        "file key bind_adr: is not a setting; did you mean bind_addr?",
        "file key limits.body_bytes_max: `5` is not a whole number from 1024 to 1073741824",
        "environment ORCHD_GPU_POLICY: `allow` is not one of",
        "environment ORCHD_ADMISION_CAPACITY: is not a setting; did you mean ORCHD_ADMISSION_CAPACITY?",
        "flag --jobs-max-attempts: `9` is not a whole number from 1 to 5",
        "flag --bind-addr: 0.0.0.0:80 can be reached from other machines, and no token is set",
    ];
    assert_eq!(faults.len(), starts.len(), "{faults:#?}");
    for start in starts {
        assert!(faults.iter().any(|fault| fault.starts_with(start)), "{start} in {faults:#?}");
    }
    assert!(faults[..3].iter().all(|fault| fault.starts_with("file")), "{faults:#?}");
    assert!(faults[6].starts_with("flag --bind-addr"), "{faults:#?}");
}

//= ORCH-3323 type=test
#[test]
fn unknown_names_are_refused_with_the_nearest_one() {
    let cases = [
        (
            Written::default().toml("capacity = 5"),
            "file key capacity: is not a setting; did you mean admission.capacity?",
        ),
        (Written::default().toml("[admision]\ncapacity = 5"), "did you mean admission?"),
        (
            Written::default().toml("[log.format]\nx = 1"),
            "file key log.format: is not one value; write json|pretty",
        ),
        (Written::default().toml("admission = 5"), "file key admission: is a heading; write [admission]"),
        (
            Written::default().toml("'admission.capacity' = 5"),
            "file key admission.capacity: is a name with a dot in it, which no setting has; write the key without quotes",
        ),
        (Written::default().toml("config = 'x'"), "file key config: is not a setting"),
        (
            Written::default().toml("colour = 'red'"),
            "file key colour: is not a setting; --help lists the settings",
        ),
        (Written::default().flag("admission-capcity", "5"), "did you mean --admission-capacity?"),
        (Written::default().env("ORCHD_POOL", "a=mock"), "did you mean ORCHD_POOLS?"),
    ];
    for (written, expected) in cases {
        let fault = written.fault();
        assert!(fault.contains(expected), "{expected} in {fault}");
    }
}

#[test]
fn the_rest_of_the_environment_is_none_of_our_business() {
    let written =
        Written::default().env("PATH", "/bin").env("ORCHESTRATOR", "x").env("LLORCH_CACHE_DIR", "/c");
    assert_eq!(written.config().admission.capacity, 100);
}

#[test]
fn an_empty_variable_is_unset_but_an_empty_token_is_not() {
    let config = Written::default().env("ORCHD_ADMISSION_CAPACITY", "").env("ORCHD_CONFIG", "").config();
    assert_eq!(config.admission.capacity, 100);
    assert!(Written::default().env("LLORCH_API_TOKEN", "").fault().contains("is empty"));
    assert!(Written::default().env("LLORCH_API_TOKEN_FILE", "").fault().contains("is empty"));
}

#[test]
fn a_file_that_is_not_there_or_not_toml_is_told_with_its_place() {
    let absent = Written::default().flag("config", "/nowhere.toml").fault();
    assert!(absent.starts_with("flag --config: the file cannot be read: "), "{absent}");
    let broken = Written::default().toml("bind_addr = '127.0.0.1:1'\nlog = {").fault();
    assert!(broken.starts_with("file line 2, column "), "{broken}");
}

#[test]
fn the_flag_chooses_the_file_over_the_environment() {
    let written = Written::default()
        .toml("admission.capacity = 9")
        .env("ORCHD_CONFIG", "/nowhere")
        .flag("config", "/c.toml");
    assert_eq!(written.config().admission.capacity, 9);
}

//= AUTH-1004 type=test
#[test]
fn an_address_that_others_reach_needs_a_token() {
    for open in ["0.0.0.0:8080", "[::]:8080", "192.168.1.9:80"] {
        let written = Written::default().env("ORCHD_BIND_ADDR", open);
        let fault = written.fault();
        assert!(
            fault.starts_with("environment ORCHD_BIND_ADDR: ") && fault.contains("LLORCH_API_TOKEN"),
            "{fault}"
        );
        let config = written.env("LLORCH_API_TOKEN", TOKEN).config();
        assert_eq!(config.bind_addr.to_string(), open);
    }
}

#[test]
fn a_bad_token_is_one_fault_and_not_two() {
    let written = Written::default().env("ORCHD_BIND_ADDR", "0.0.0.0:1").env("LLORCH_API_TOKEN", "short");
    assert!(written.fault().contains("has 5 characters"));
    let written = Written::default().toml("bind_addr = '0.0.0.0:1'\napi_token = 12345");
    assert!(written.fault().contains("is not a string"));
}

#[test]
fn a_token_file_is_read_without_its_line_end_and_the_higher_layer_wins() {
    let base = || Written::default().token(&format!("{TOKEN}\n")).toml("api_token_file = '/token'");
    assert_eq!(base().config().auth.api[0].reveal(), TOKEN);
    let other = "f".repeat(32);
    let config = base().env("LLORCH_API_TOKEN", &other).config();
    assert_eq!(config.auth.api[0].reveal(), other);
}

#[test]
fn two_places_of_a_token_in_one_layer_are_one_too_many() {
    for name in ["API", "CONTROL", "NODE"] {
        let (env, key) = (format!("LLORCH_{name}_TOKEN"), format!("{}_token", name.to_lowercase()));
        let both = Written::default().token(TOKEN).env(&env, TOKEN).env(&format!("{env}_FILE"), "/token");
        assert!(both.fault().contains("one of the two must go"));
        let text = format!("{key} = '{TOKEN}'\n{key}_file = '/token'");
        assert!(Written::default().token(TOKEN).toml(&text).fault().contains("one of the two must go"));
    }
}

//= ORCH-3329 type=test
#[test]
fn a_token_file_may_hold_several_tokens_and_a_bad_one_is_named_by_its_line() {
    let of = |text: &str| Written::default().token(text).env("LLORCH_NODE_TOKEN_FILE", "/token");
    let config = of(&format!("{TOKEN}\n{}\n", "f".repeat(32))).config();
    assert_eq!((config.auth.node.len(), config.auth.api.len()), (2, 0));
    let fault = of(&format!("{TOKEN}\nshort\n")).fault();
    let expected = "environment LLORCH_NODE_TOKEN_FILE: line 2 has 5 characters";
    assert!(fault.starts_with(expected), "{fault}");
}

#[test]
fn tokens_of_other_planes_do_not_open_an_address_to_other_machines() {
    let partly = Written::default()
        .env("ORCHD_BIND_ADDR", "0.0.0.0:1")
        .env("LLORCH_CONTROL_TOKEN", TOKEN)
        .env("LLORCH_NODE_TOKEN", TOKEN);
    assert!(partly.fault().contains("no token is set"));
}

#[test]
fn certificate_and_key_come_together_or_not_at_all() {
    let (cert, key, ca) = ("ORCHD_TLS_CERT_FILE", "ORCHD_TLS_KEY_FILE", "ORCHD_TLS_CLIENT_CA_FILE");
    assert!(Written::default().config().tls.is_none());
    assert!(Written::default().env(cert, "/c").env(key, "/k").config().tls.is_some());
    let alone = |name: &str| Written::default().env(name, "/x").fault();
    assert_eq!(alone(cert), format!("environment {cert}: needs tls.key_file beside it"));
    assert_eq!(alone(key), format!("environment {key}: needs tls.cert_file beside it"));
    assert_eq!(alone(ca), format!("environment {ca}: needs tls.cert_file and tls.key_file beside it"));
}

#[test]
fn a_host_list_may_be_a_list() {
    let config = Written::default().toml("limits.hosts = ['a.example', '[::1]']").config();
    assert!(config.limits.hosts.permits("A.example:1") && !config.limits.hosts.permits("localhost"));
    let fault = Written::default().toml("limits.hosts = ['a', 5]").fault();
    assert!(fault.contains("something other than strings"), "{fault}");
    let fault = Written::default().toml("admission.capacity = [5]").fault();
    assert!(fault.contains("is not one value"), "{fault}");
}

proptest! {
    #[test]
    fn whatever_is_written_a_fault_is_one_short_line(name in ".{0,200}", value in ".{0,200}", toml in ".{0,200}") {
        let written = Written::default()
            .toml(&toml)
            .flag(&name, &value)
            .env(&format!("ORCHD_{name}"), &value)
            .env("ORCHD_POOLS", &value)
            .env("ORCHD_LIMITS_HOSTS", &value)
            .env("ORCHD_BIND_ADDR", &value);
        if let Err(faults) = written.resolve() {
            for fault in faults {
                let line = fault.to_string();
                prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
}

#[test]
fn the_state_folder_is_that_of_the_user_unless_one_is_named() {
    let folder = |written: &Written| written.resolve().unwrap().store.folder.display().to_string();
    assert_eq!(folder(&Written::default()), "/home/o/.local/state/orchestratord");
    assert_eq!(folder(&Written::default().env("XDG_STATE_HOME", "/x")), "/x/orchestratord");
    // The standard says that a relative one does not count.
    let relative = Written::default().env("XDG_STATE_HOME", "x");
    assert_eq!(folder(&relative), "/home/o/.local/state/orchestratord");
    assert_eq!(folder(&Written::default().flag("state-dir", "s").env("ORCHD_STATE_DIR", "/t")), "s");
    let homeless = Written::default().env("HOME", "");
    let faults = homeless.resolve().unwrap_err();
    assert!(faults[0].to_string().starts_with("default of state_dir: has no default"), "{}", faults[0]);
    homeless.env("ORCHD_STORE_KIND", "memory").resolve().unwrap();
}
