//! Ids of models and digests are what their grammars say, read by hand, and nothing that leads out of a folder.
#![no_main]

use std::path::{Component, Path};

use catalog_core::{Digest, ModelId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let id = text.parse::<ModelId>();
    assert_eq!(id.is_ok(), is_id(text), "{text:?}: {id:?}");
    if let Ok(id) = &id {
        assert_eq!((id.as_str(), id.to_string().as_str()), (text, text));
        let normal = Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
        assert!(normal, "{text:?} leads elsewhere");
    }
    let digest = text.parse::<Digest>();
    assert_eq!(digest.is_ok(), is_digest(text), "{text:?}: {digest:?}");
    if let Ok(digest) = digest {
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::new(*digest.as_bytes()), digest);
    }
    let json = serde_json::to_string(text).expect("a text");
    assert_eq!(serde_json::from_str::<ModelId>(&json).ok(), id.ok());
    assert_eq!(serde_json::from_str::<Digest>(&json).ok(), digest.ok());
});

/// `[a-z0-9][a-z0-9._-]{0,127}`, several of them with slashes between, 256 bytes in all.
fn is_id(text: &str) -> bool {
    let mut length_of_part = 0;
    for byte in text.bytes() {
        length_of_part = match (byte, length_of_part) {
            (b'/', 0) => return false,
            (b'/', _) => 0,
            (b'a'..=b'z' | b'0'..=b'9', length) | (b'.' | b'_' | b'-', length @ 1..) => length + 1,
            _ => return false,
        };
        if length_of_part > 128 {
            return false;
        }
    }
    length_of_part > 0 && text.len() <= 256
}

fn is_digest(text: &str) -> bool {
    text.len() == 71
        && text.starts_with("sha256:")
        && text.bytes().skip(7).all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
