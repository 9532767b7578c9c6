//! What is read from headers, and what is refused there.

use catalog_core::{ModelFormat, ModelMeta, TypeShare, UnreadableHeader, read_header};
use proptest::prelude::*;

use crate::files::{Gguf, LIST, STRING, U32, list, safetensors, small_gguf, small_safetensors, text};

fn read(file: &[u8]) -> Result<ModelMeta, UnreadableHeader> {
    read_header(file, file.len() as u64)
}

fn share(type_name: &str, bytes: u64) -> TypeShare {
    TypeShare { type_name: type_name.to_owned(), bytes }
}

//= ORCH-3415 type=test
#[test]
fn a_gguf_header_tells_the_shape_of_its_model() {
    let meta = read(&small_gguf().write()).unwrap();
    let expected = ModelMeta {
        format: ModelFormat::Gguf,
        architecture: Some("llama".to_owned()),
        parameters: 256 + 16,
        tensor_bytes: 144 + 64,
        quantization: vec![share("Q4_0", 144), share("F32", 64)],
        layers: Some(2),
        heads: Some(4),
        kv_heads: Some(2),
        kv_heads_total: Some(4),
        key_length: Some(16),
        value_length: Some(16),
        embedding: Some(64),
        ctx_max: Some(2048),
        vocab: Some(3),
    };
    assert_eq!(meta, expected);
}

#[test]
fn version_2_is_read_and_others_are_not() {
    assert!(read(&Gguf::new(2).write()).is_ok());
    for version in [0, 1, 4, 3_u32.swap_bytes()] {
        assert_eq!(read(&Gguf::new(version).write()), Err(UnreadableHeader::Version(version)));
    }
}

#[test]
fn heads_may_differ_from_layer_to_layer_and_keys_from_values() {
    let heads = [4_u32, 0, 2].map(|heads| heads.to_le_bytes().to_vec());
    let file = Gguf::new(3)
        // The architecture may be told behind what depends on it.
        .number("m.block_count", 3)
        .key("m.attention.head_count_kv", LIST, &list(U32, &heads))
        .number("m.attention.key_length", 192)
        .number("m.attention.value_length", 128)
        .number("other.block_count", 99)
        .key("general.architecture", STRING, &text("m"));
    let meta = read(&file.write()).unwrap();
    assert_eq!((meta.layers, meta.kv_heads, meta.kv_heads_total), (Some(3), Some(4), Some(6)));
    assert_eq!((meta.key_length, meta.value_length), (Some(192), Some(128)));
}

#[test]
fn what_a_header_does_not_tell_is_unknown() {
    let negative = (-1_i32).to_le_bytes();
    let file = Gguf::new(3)
        .key("general.architecture", STRING, &text("m"))
        .key("m.block_count", 5, &negative)
        .number("m.attention.head_count", 0)
        .number("m.embedding_length", 64)
        .key("m.context_length", STRING, &text("2048"));
    let meta = read(&file.write()).unwrap();
    assert_eq!((meta.layers, meta.ctx_max, meta.key_length, meta.vocab), (None, None, None, None));
    assert_eq!(meta.kv_heads_total, None);
}

#[test]
fn every_type_of_value_is_passed_over() {
    let mut file = Gguf::new(3);
    for (value_type, bytes) in
        [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4), (7, 1), (10, 8), (11, 8), (12, 8)]
    {
        let value = vec![1; bytes];
        file = file.key("x.one", value_type, &value);
        file = file.key("x.many", LIST, &list(value_type, &[value.clone(), value]));
    }
    let nested = list(LIST, &[list(STRING, &[text("a")]), list(U32, &[])]);
    file = file.key("x.nested", LIST, &nested).number("y.block_count", 7);
    file = file.key("general.architecture", STRING, &text("y"));
    assert_eq!(read(&file.write()).unwrap().layers, Some(7));
    for unknown in [13, u32::MAX] {
        let refused = UnreadableHeader::ValueType(unknown);
        assert_eq!(read(&Gguf::new(3).key("x", unknown, &[0; 8]).write()), Err(refused.clone()));
        assert_eq!(read(&Gguf::new(3).key("x", LIST, &list(unknown, &[])).write()), Err(refused));
    }
}

//= ORCH-3413 type=test
#[test]
fn a_file_that_was_cut_anywhere_is_found_out() {
    let file = small_gguf().write();
    for length in 8..file.len() {
        assert_eq!(read(&file[..length]), Err(UnreadableHeader::Truncated), "{length}");
        // So is one that is cut after its length was taken, unless only data is lost, which is not read.
        let cut = read_header(&file[..length], file.len() as u64);
        assert!(matches!(cut, Ok(_) | Err(UnreadableHeader::Truncated)), "{length}: {cut:?}");
    }
    let file = small_safetensors();
    for length in 9..file.len() {
        assert_eq!(read(&file[..length]), Err(UnreadableHeader::Truncated), "{length}");
    }
    for length in 0..=8 {
        assert_eq!(read(&file[..length]), Err(UnreadableHeader::UnknownFormat), "{length}");
    }
}

#[test]
fn no_count_of_a_gguf_header_is_believed() {
    let with = |at: usize, value: u64| {
        let mut file = small_gguf().write();
        file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        read(&file)
    };
    let too_many = |what, count, max| Err(UnreadableHeader::TooMany { what, count, max });
    assert_eq!(with(8, 1_000_001), too_many("tensors", 1_000_001, 1_000_000));
    assert_eq!(with(8, 1_000_000), Err(UnreadableHeader::Truncated));
    assert_eq!(with(16, 65_537), too_many("keys", 65_537, 65_536));
    assert_eq!(with(16, 65_536), Err(UnreadableHeader::Truncated));
    assert_eq!(with(24, u64::MAX), too_many("bytes of a key", u64::MAX, 65_535));
    assert_eq!(with(24, 65_535), Err(UnreadableHeader::Truncated));
    for count in [u64::MAX, u64::MAX / 8, 1 << 40] {
        for value_type in [0, 10, STRING, LIST] {
            let head = [&value_type.to_le_bytes()[..], &count.to_le_bytes()].concat();
            for key in ["x", "x.attention.head_count_kv", "tokenizer.ggml.tokens"] {
                let file = Gguf::new(3).key(key, LIST, &head).write();
                assert_eq!(read(&file), Err(UnreadableHeader::Truncated), "{key} {value_type} {count}");
            }
        }
        let long = Gguf::new(3).key("x", STRING, &count.to_le_bytes()).write();
        assert_eq!(read(&long), Err(UnreadableHeader::Truncated));
    }
    // A file may be longer than a header may be.
    let endless = Gguf::new(3).key("x", STRING, &(65_u64 << 20).to_le_bytes()).write();
    assert_eq!(read_header(&endless[..], 1 << 40), Err(UnreadableHeader::TooLarge));
}

#[test]
fn lists_in_lists_end_somewhere() {
    let nested = |depth: usize| (0..depth).fold(list(U32, &[]), |inner, _| list(LIST, &[inner]));
    assert!(read(&Gguf::new(3).key("x", LIST, &nested(4)).write()).is_ok());
    assert_eq!(read(&Gguf::new(3).key("x", LIST, &nested(5)).write()), Err(UnreadableHeader::Nesting));
    assert_eq!(read(&Gguf::new(3).key("x", LIST, &nested(10_000)).write()), Err(UnreadableHeader::Nesting));
}

#[test]
fn a_tensor_that_contradicts_itself_is_refused() {
    let tensor = |dimensions: &[u64], kind, offset| {
        read(&Gguf::new(3).tensor(dimensions, kind, offset).data(256).write())
    };
    assert_eq!(tensor(&[64], 0, 0).unwrap().tensor_bytes, 256);
    assert_eq!(tensor(&[65], 0, 0), Err(UnreadableHeader::Truncated));
    assert_eq!(tensor(&[64], 0, 32), Err(UnreadableHeader::Truncated));
    assert_eq!(tensor(&[1], 0, u64::MAX - 31), Err(UnreadableHeader::Truncated));
    assert_eq!(tensor(&[64], 5, 0), Err(UnreadableHeader::TensorType("5".to_owned())));
    let blocks = "has rows that are no whole blocks of its type";
    for (dimensions, kind, offset, reason) in [
        (&[33][..], 2, 0, blocks),
        (&[32, 256], 12, 0, blocks),
        (&[64], 0, 1, "is not aligned"),
        (&[u64::MAX, 2], 0, 0, "is larger than any file"),
        (&[u64::MAX], 0, 0, "is larger than any file"),
        (&[1 << 32, 1 << 31, 1, 2], 24, 0, "is larger than any file"),
    ] {
        assert_eq!(tensor(dimensions, kind, offset), Err(UnreadableHeader::Tensor(reason)), "{dimensions:?}");
    }
    let five = UnreadableHeader::TooMany { what: "dimensions", count: 5, max: 4 };
    assert_eq!(tensor(&[1; 5], 0, 0), Err(five));
    let twice = Gguf::new(3).tensor(&[64], 0, 0).tensor(&[64], 0, 0).data(256).write();
    assert_eq!(read(&twice), Err(UnreadableHeader::Tensor("lies over another one")));
}

#[test]
fn an_alignment_is_a_power_of_two() {
    for (alignment, fits) in [(0_u32, false), (3, false), (48, false), (1, true), (64, true), (1 << 31, true)]
    {
        let read = read(&Gguf::new(3).number("general.alignment", alignment).write());
        let refused = UnreadableHeader::Alignment(alignment.into());
        assert_eq!(read.is_ok(), fits, "{alignment}");
        assert!(fits || read == Err(refused), "{alignment}");
    }
}

#[test]
fn a_safetensors_header_tells_its_tensors() {
    let meta = read(&small_safetensors()).unwrap();
    assert_eq!((meta.format, meta.parameters, meta.tensor_bytes), (ModelFormat::Safetensors, 12, 20));
    assert_eq!(meta.quantization, [share("F16", 16), share("I8", 4)]);
    assert_eq!((meta.architecture, meta.layers, meta.kv_heads_total), (None, None, None));
    assert_eq!(read(&safetensors("{}", 0)).unwrap().tensor_bytes, 0);
    // Two numbers of four bits share a byte.
    let packed = r#"{"a":{"dtype":"F4","shape":[3,2],"data_offsets":[0,3]}}"#;
    assert_eq!(read(&safetensors(packed, 3)).unwrap().parameters, 6);
}

#[test]
fn a_safetensors_table_that_contradicts_its_data_is_refused() {
    let row = |dtype: &str, shape: &str, from: u64, to: u64| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let one = |row: &str| read(&safetensors(&format!(r#"{{"a":{row}}}"#), 8));
    assert!(one(&row("F32", "[2]", 0, 8)).is_ok());
    assert!(one(&row("F64", "[]", 0, 8)).is_ok());
    assert_eq!(one(&row("F32", "[3]", 0, 12)), Err(UnreadableHeader::Truncated));
    assert_eq!(one(&row("F99", "[2]", 0, 8)), Err(UnreadableHeader::TensorType("F99".to_owned())));
    let (size, gap) =
        ("has other bytes than its shape needs", "leaves a gap to another one, or lies over it");
    for (row, reason) in [
        (row("F32", "[2]", 0, 7), size),
        (row("F32", "[2]", 8, 0), gap),
        (row("F32", "[2,2]", 0, 8), size),
        (row("F4", "[15]", 0, 7), size),
        (row("F32", "[1]", 4, 8), gap),
        (row("F32", "[1]", 0, 4), "is missing: data is left over"),
        (row("F64", "[18446744073709551615]", 0, 8), "is larger than any file"),
    ] {
        assert_eq!(one(&row), Err(UnreadableHeader::Tensor(reason)), "{row}");
    }
    let same = row("F32", "[2]", 0, 8);
    let twice = read(&safetensors(&format!(r#"{{"a":{same},"a":{same}}}"#), 8));
    assert_eq!(twice, Err(UnreadableHeader::Tensor(gap)));
    for table in [
        "{ ",
        "{]",
        "{}x",
        r#"{"a":1}"#,
        r#"{"a":{}}"#,
        r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}}"#,
        &format!(r#"{{"__metadata__":{}}}"#, "[".repeat(100_000)),
    ] {
        let refused = read(&safetensors(table, 8)).unwrap_err();
        assert!(matches!(refused, UnreadableHeader::Table(_)), "{refused:?}");
    }
}

#[test]
fn other_files_are_of_no_known_format() {
    for file in [&b""[..], b"GGUF", b"hello, world", b"#!/bin/sh\nexit 0\n", &[0; 64], &[0xff; 64]] {
        assert_eq!(read(file), Err(UnreadableHeader::UnknownFormat), "{file:?}");
    }
    assert_eq!(read(&safetensors("[]", 0)), Err(UnreadableHeader::UnknownFormat));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..256), kind in 0..3_usize) {
        let head: &[u8] = [&b""[..], b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0", b"\x40\0\0\0\0\0\0\0{\""][kind];
        let file = [head, &bytes].concat();
        let read = read(&file);
        // Random bytes behind a head are hardly ever a model; if they are one, it fits into its file.
        prop_assert!(read.is_err() || read.is_ok_and(|meta| meta.tensor_bytes <= file.len() as u64));
    }

    #[test]
    fn no_change_of_a_few_bytes_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        for mut file in [small_gguf().write(), small_safetensors()] {
            for (index, byte) in &changes {
                let at = index.index(file.len());
                file[at] = *byte;
            }
            let read = read(&file);
            prop_assert!(read.is_err() || read.is_ok_and(|meta| meta.tensor_bytes <= file.len() as u64));
        }
    }
}
