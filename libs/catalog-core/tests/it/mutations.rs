//! Ten thousand broken models: each differs from a good one in a single byte.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    sync::atomic::AtomicBool,
};

use catalog_core::{
    Catalog, CatalogSettings, Declared, Digest, FailReason, Outcome, TrustPolicy, Untrusted, Verified,
    WarnReason, placeable, read_header, verify,
};
use sha2::{Digest as _, Sha256};

use crate::{
    files::{small_gguf, small_safetensors},
    folder::Folder,
};

const MUTATIONS: usize = 10_000;
const POLICIES: [TrustPolicy; 2] = [TrustPolicy::Strict, TrustPolicy::Permissive];

/// Xorshift: the same changes in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }

    /// A place in a file, and what to add to the byte there, which is never nothing.
    fn change(&mut self, length: usize) -> (usize, u8) {
        (self.throw(length), u8::try_from(1 + self.throw(255)).unwrap())
    }
}

fn verified(file: &File, expected: Digest) -> Verified {
    verify(file, Some(expected), &mut |_| {}, &AtomicBool::new(false)).unwrap()
}

/// Changes one byte of the file, asks, and changes it back.
fn with_change(file: &File, bytes: &[u8], (at, by): (usize, u8), ask: impl FnOnce()) {
    file.write_all_at(&[bytes[at].wrapping_add(by)], at as u64).unwrap();
    ask();
    file.write_all_at(&[bytes[at]], at as u64).unwrap();
}

//= ORCH-3413 type=test
#[test]
fn ten_thousand_files_with_one_wrong_byte_are_all_found_out_and_none_is_placeable() {
    let folder = Folder::new("mutations");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for (name, bytes) in [("m.gguf", small_gguf().write()), ("m.safetensors", small_safetensors())] {
        let path = folder.write(name, &bytes);
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let expected = Digest::new(Sha256::digest(&bytes).into());
        let source = format!("file:{}", path.display()).parse().unwrap();
        let declared = Declared { digest: Some(expected), ..Declared::new("m".parse().unwrap(), source) };
        let mut catalog = Catalog::new(CatalogSettings::default());
        catalog.register(declared.clone()).unwrap();
        for _ in 0..MUTATIONS / 2 {
            let change = dice.change(bytes.len());
            with_change(&file, &bytes, change, || {
                let found = verified(&file, expected);
                assert!(matches!(found.outcome, Outcome::Fail(FailReason::Mismatch { .. })), "{change:?}");
                let facts = found.facts;
                let model = catalog.record(&declared, found, 1).unwrap();
                for policy in POLICIES {
                    let refused = placeable(model, policy, facts);
                    assert!(matches!(refused, Err(Untrusted::Failed(_))), "{change:?} {refused:?}");
                }
            });
        }
        // The good file is placeable again, so the test can tell the two apart.
        let found = verified(&file, expected);
        let facts = found.facts;
        let model = catalog.record(&declared, found, 2).unwrap();
        assert_eq!(model.verification.as_ref().unwrap().outcome, Outcome::Warn(WarnReason::Unsigned));
        assert_eq!(placeable(model, TrustPolicy::Permissive, facts), Ok(()));
    }
}

#[test]
fn no_header_with_one_wrong_byte_panics_or_promises_more_than_its_file_holds() {
    for mut bytes in [small_gguf().write(), small_safetensors()] {
        let (size, mut refused) = (bytes.len() as u64, 0);
        for at in 0..bytes.len() {
            let good = bytes[at];
            for bad in 0..=u8::MAX {
                bytes[at] = bad;
                match read_header(&bytes[..], size) {
                    Ok(meta) => assert!(meta.tensor_bytes <= size, "{at} {bad}"),
                    Err(_) => refused += 1,
                }
            }
            bytes[at] = good;
        }
        assert!(refused > 1000, "{refused}");
    }
}
