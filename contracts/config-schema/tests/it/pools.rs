//! Pools from the comma list and from the file's tables.

use config_schema::{EngineKind, PoolConfig};

use crate::Written;

fn list(text: &str) -> Written {
    Written::default().env("ORCHD_POOLS", text)
}

fn one(table: &str) -> Written {
    Written::default().toml(&format!("[[pools]]\n{table}"))
}

#[test]
fn a_list_names_id_engine_and_url() {
    let pools = list("default=llamacpp+http://127.0.0.1:8081, toy=mock").config().pools;
    let shown: Vec<_> = pools
        .iter()
        .map(|pool| (pool.id.as_str(), pool.engine, pool.endpoint.as_ref().map(ToString::to_string)))
        .collect();
    assert_eq!(
        shown,
        [
            ("default", EngineKind::Llamacpp, Some("http://127.0.0.1:8081/".to_owned())),
            ("toy", EngineKind::Mock, None)
        ]
    );
}

#[test]
fn a_table_takes_every_key() {
    let config = one(
        "id = 'big.gpu-0'\nengine = 'llamacpp'\nendpoint = 'http://10.0.0.9:8081/base'\nmodel = 'm.gguf'\n\
         slots = 4\nctx_max = 8192\ndevice = '0,1'\napi_key = 'sesame'\nprice_per_mtok = 0.5",
    )
    .config();
    let PoolConfig { id, engine, endpoint, model, slots, ctx_max, device, api_key, price } = &config.pools[0];
    assert_eq!(*price, Some(500_000));
    assert_eq!((id.as_str(), *engine), ("big.gpu-0", EngineKind::Llamacpp));
    assert_eq!(endpoint.as_ref().unwrap().as_str(), "http://10.0.0.9:8081/base");
    assert_eq!(
        (model.as_deref(), *slots, *ctx_max, device.as_deref()),
        (Some("m.gguf"), Some(4), Some(8192), Some("0,1"))
    );
    assert_eq!(api_key.as_ref().unwrap().reveal(), "sesame");
    assert!(!config.mock_by_default);
}

#[test]
fn without_any_pool_there_is_one_mock_and_the_configuration_says_so() {
    for written in [Written::default(), Written::default().toml("pools = []"), list("")] {
        let config = written.config();
        assert!(config.mock_by_default);
        let [pool] = config.pools.as_slice() else { panic!("{:?}", config.pools) };
        assert_eq!(
            (pool.id.as_str(), pool.engine, pool.model.as_deref()),
            ("default", EngineKind::Mock, Some("mock"))
        );
    }
    assert!(!list("toy=mock").config().mock_by_default);
}

//= ORCH-3320 type=test
#[test]
fn a_higher_layer_replaces_the_whole_list() {
    let pools = one("id = 'a'\nengine = 'mock'").env("ORCHD_POOLS", "b=mock").config().pools;
    assert_eq!(pools.iter().map(|pool| pool.id.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_wrong_item_is_named_by_its_number() {
    let cases = [
        ("a", "pool 1 has no = after its id"),
        ("a=mock,", "pool 2 has no = after its id"),
        ("a=mock,B=mock", "pool 2 `B` is not a pool id"),
        ("a=mock,a=mock", "pool 2 has the id `a` of another pool"),
        (
            "a=lamacpp+http://h",
            "pool 1 `lamacpp` is not one of llamacpp, vllm, tgi, openai, mock; did you mean llamacpp?",
        ),
        ("a=http://h:1", "pool 1 names no engine before its URL"),
        ("a=llamacpp", "pool 1 lacks the URL of its engine"),
        ("a=mock+http://h", "pool 1 takes no URL"),
        ("a=llamacpp+https://h", "pool 1 endpoint is not an http:// URL"),
        ("a=llamacpp+h:80", "pool 1 endpoint is not an http:// URL"),
        ("a=llamacpp+http://", "pool 1 endpoint is not a URL"),
        ("a=llamacpp+http://u@h", "pool 1 endpoint holds a user or password"),
        ("a=llamacpp+http://h/?q", "pool 1 endpoint has a query or a fragment"),
        ("a=llamacpp+http://h/#f", "pool 1 endpoint has a query or a fragment"),
        ("a=llamacpp+http://h\t1", "pool 1 endpoint holds a blank"),
    ];
    for (text, expected) in cases {
        let fault = list(text).fault();
        assert!(fault.starts_with(&format!("environment ORCHD_POOLS: {expected}")), "{text}: {fault}");
    }
}

#[test]
fn a_wrong_key_of_a_table_is_named_by_its_path() {
    let mock = "id = 'a'\nengine = 'mock'\n";
    let cases = [
        ("engine = 'mock'".to_owned(), "pools[0].id: is missing"),
        ("id = 'a'".to_owned(), "pools[0].engine: is missing"),
        (
            "id = 'a'\nengine = 'llamacpp'".to_owned(),
            "pools[0].endpoint: is missing; engine = \"llamacpp\" needs it",
        ),
        (format!("{mock}endpoint = 'http://h'"), "pools[0].endpoint: does not go with engine = \"mock\""),
        (format!("{mock}slot = 4"), "pools[0].slot: is not a key of a pool; did you mean slots?"),
        (format!("{mock}slots = 0"), "pools[0].slots: `0` is not a whole number from 1 to 65536"),
        (format!("{mock}slots = -1"), "pools[0].slots: `-1` is not a whole number"),
        (format!("{mock}slots = '4'"), "pools[0].slots: is a string; write the number without quotes"),
        (format!("{mock}ctx_max = 0"), "pools[0].ctx_max: `0`"),
        (format!("{mock}model = ''"), "pools[0].model: is empty"),
        (format!("{mock}model = 5"), "pools[0].model: is not a string"),
        (format!("{mock}device = 'CPU'"), "pools[0].device: `CPU` is neither cpu nor"),
        (format!("{mock}device = '0,'"), "pools[0].device: `0,` is neither"),
        (format!("{mock}api_key = 'k'"), "pools[0].api_key: does not go with engine = \"mock\""),
        (format!("{mock}[[pools]]\n{mock}"), "pools[1].id: has the id `a` of another pool"),
    ];
    for (table, expected) in cases {
        let fault = one(&table).fault();
        assert!(fault.starts_with(&format!("file key {expected}")), "{table}: {fault}");
    }
    assert!(Written::default().toml("pools = [5]").fault().starts_with("file key pools[0]: is not a table"));
}

//= ORCH-3322 type=test
#[test]
fn all_faults_of_all_pools_are_told_at_once() {
    let faults = one("id = 'A'\nslots = 0\n[[pools]]\nid = 'b'\nengine = 'vllm'\ndevice = 'gpu'").faults();
    assert_eq!(faults.len(), 5, "{faults:#?}");
}

#[test]
fn an_id_has_1_to_64_plain_characters() {
    let longest = "a".repeat(64);
    for good in ["a", "0", "a.b_c-d", longest.as_str()] {
        assert_eq!(list(&format!("{good}=mock")).config().pools[0].id, good);
    }
    let too_long = "a".repeat(65);
    for bad in ["", "-a", ".a", "_a", "a b", "é", "a/b", too_long.as_str()] {
        assert!(list(&format!("{bad}=mock")).fault().contains("is not a pool id"), "{bad:?}");
    }
}
