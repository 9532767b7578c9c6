//! The command line and the files, as an operator meets them.

use std::{fs, path::Path};

use config_schema::{Fault, Preset, SETTINGS};

use super::*;

/// The least that a process has.
fn home() -> [(String, String); 1] {
    [("HOME".to_owned(), "/home/o".to_owned())]
}

fn args(list: &[&str]) -> Vec<OsString> {
    list.iter().map(OsString::from).collect()
}

fn faults(list: &[&str]) -> Vec<String> {
    match load(args(list), home()) {
        Err(ConfigError::Faults(faults)) => faults.iter().map(Fault::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn answer(list: &[&str]) -> String {
    match load(args(list), home()) {
        Err(ConfigError::Answer(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn flags_are_read_with_a_blank_or_an_equals_sign() {
    let config = load(args(&["--admission-capacity", "7", "--bind-addr=127.0.0.1:0"]), home()).unwrap();
    assert_eq!(config.admission.capacity, 7);
    assert_eq!(config.bind_addr.port(), 0);
}

#[test]
fn nothing_at_all_is_a_configuration() {
    assert!(load(args(&[]), home()).unwrap().mock_by_default);
}

#[test]
fn the_help_names_every_setting_with_its_variable_and_default() {
    let help = answer(&["--help"]);
    for setting in SETTINGS {
        assert!(help.contains(setting.env), "{}", setting.env);
        assert!(help.contains(setting.meaning), "{}", setting.meaning);
        if let Some(flag) = setting.flag() {
            let (plain, optional) = (
                format!("--{flag} <{}>", setting.form.syntax()),
                format!("--{flag} [<{}>]", setting.form.syntax()),
            );
            assert!(help.contains(&plain) || help.contains(&optional), "{flag}");
        }
        if let Preset::Value(default) = setting.preset {
            assert!(
                help.contains(&format!("[default: {default}] [env: {}]", setting.env)),
                "{}",
                setting.key
            );
        }
    }
    assert!(help.contains("admission settings:"), "{help}");
}

#[test]
fn the_help_comes_even_with_a_wrong_flag_beside_it() {
    assert!(answer(&["--colour", "red", "--help"]).contains("Usage"));
    assert_eq!(answer(&["--version"]).trim(), concat!("orchestratord ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn all_unknown_flags_are_told_at_once_and_beside_other_faults() {
    let told = faults(&["--bind-adr", "x", "--colour=red", "--admission-capacity", "0", "--gpu-policy", "x"]);
    assert_eq!(told.len(), 4, "{told:#?}");
    assert_eq!(told[0], "flag --bind-adr: is not a flag; did you mean --bind-addr?");
    assert_eq!(told[1], "flag --colour: is not a flag; --help lists the settings");
}

#[test]
fn what_is_not_a_flag_is_refused_without_being_repeated() {
    let told = faults(&["hunter2"]);
    assert_eq!(told, ["command line: has an argument that is not a flag; --help lists the settings"]);
    let told = faults(&["--api-token", "hunter2"]);
    assert!(
        told.len() == 1 && told[0].contains("LLORCH_API_TOKEN") && !told[0].contains("hunter2"),
        "{told:?}"
    );
}

#[test]
fn a_flag_without_value_or_given_twice_is_named() {
    assert_eq!(faults(&["--bind-addr"]), ["flag --bind-addr: needs a value; --help lists the settings"]);
    let twice = faults(&["--log-filter", "a", "--log-filter", "b"]);
    assert_eq!(twice, ["flag --log-filter: is given twice; --help lists the settings"]);
    let followed = faults(&["--bind-addr", "--colour"]);
    assert_eq!(followed.len(), 2, "{followed:?}");
}

#[test]
fn a_negative_number_is_out_of_range_and_not_unexpected() {
    let told = faults(&["--shutdown-grace-ms", "-1"]);
    assert!(told[0].starts_with("flag --shutdown-grace-ms: `-1` is not a whole number from 0"), "{told:?}");
}

#[test]
fn the_error_shows_one_fault_per_line() {
    let error = load(args(&["--a", "--b"]), home()).unwrap_err();
    assert_eq!(error.to_string().lines().count(), 2, "{error}");
}

#[test]
fn the_file_and_the_token_file_are_read_from_the_disk() {
    let folder = env::temp_dir().join(format!("orchestratord-config-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (file, token, big) = (folder.join("c.toml"), folder.join("token"), folder.join("big.toml"));
    fs::write(&token, format!("{}\n", "t".repeat(32))).unwrap();
    fs::write(&file, format!("api_token_file = '{}'\n[admission]\ncapacity = 9\n", token.display())).unwrap();
    fs::write(&big, "#".repeat(1024 * 1024 + 1)).unwrap();
    let env = |path: &Path| {
        let [home] = home();
        [home, ("ORCHD_CONFIG".to_owned(), path.display().to_string())]
    };
    let config = load(args(&[]), env(&file));
    let too_big = load(args(&[]), env(&big));
    fs::remove_dir_all(&folder).unwrap();
    let config = config.unwrap();
    assert_eq!((config.admission.capacity, config.auth.api[0].reveal().len()), (9, 32));
    assert!(too_big.unwrap_err().to_string().contains("larger than 1 MiB"));
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_not_utf_8_is_a_fault() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(vec![b'x', 0xff]);
    let error = load([OsString::from("--log-filter"), odd], home()).unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
}

#[test]
fn a_yes_or_no_needs_no_word_to_say_yes() {
    let on_damage = |list: &[&str]| load(args(list), home()).unwrap().store.on_damage;
    assert_eq!(on_damage(&["--repair"]), config_schema::OnDamage::Repair);
    assert_eq!(on_damage(&["--repair=false"]), config_schema::OnDamage::Refuse);
    assert_eq!(on_damage(&[]), config_schema::OnDamage::Refuse);
}
