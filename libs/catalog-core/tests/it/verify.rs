//! Verification of real files, also of files that change while they are read.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use catalog_core::{
    CHUNK_BYTES, Canceled, Catalog, CatalogSettings, Declared, Digest, FailReason, FileFacts, Outcome,
    Progress, Roots, TrustPolicy, Untrusted, Verified, WarnReason, verify,
};
use sha2::{Digest as _, Sha256};

use crate::{
    files::{small_gguf, small_safetensors},
    folder::Folder,
};

static GO_ON: AtomicBool = AtomicBool::new(false);

type Change<'a> = &'a dyn Fn(&Path);

fn digest(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

fn verified(path: &Path, expected: Option<Digest>) -> Verified {
    verify(&File::open(path).unwrap(), expected, &mut |_| {}, &GO_ON).unwrap()
}

//= ORCH-3413 type=test
#[test]
fn the_right_file_passes_with_its_facts_and_its_header() {
    let folder = Folder::new("verify-pass");
    for (name, bytes) in [("gguf", small_gguf().write()), ("safetensors", small_safetensors())] {
        let path = folder.write(name, &bytes);
        let found = verified(&path, Some(digest(&bytes)));
        assert_eq!(found.outcome, Outcome::Pass);
        assert_eq!(found.digest, Some(digest(&bytes)));
        assert!(found.meta.is_some_and(|meta| meta.tensor_bytes > 0));
        let now = FileFacts::of(&File::open(&path).unwrap()).unwrap();
        assert_eq!(now.size_bytes, bytes.len() as u64);
        assert_eq!(found.facts, Some(now));
    }
}

//= ORCH-3413 type=test
#[test]
fn each_thing_that_is_wrong_has_its_outcome() {
    let folder = Folder::new("verify-wrong");
    let model = small_gguf().write();
    let path = folder.write("model", &model);
    let expected = Digest::new([1; 32]);
    let found = verified(&path, Some(expected));
    let mismatch = FailReason::Mismatch { expected, found: digest(&model) };
    assert_eq!((found.outcome, found.meta), (Outcome::Fail(mismatch), None));
    let found = verified(&path, None);
    assert_eq!(found.outcome, Outcome::Warn(WarnReason::NoDigest));
    assert_eq!((found.digest, found.meta.is_some()), (Some(digest(&model)), true));
    let text = folder.write("text", b"just some text");
    let found = verified(&text, Some(digest(b"just some text")));
    assert!(matches!(found.outcome, Outcome::Warn(WarnReason::UnreadableHeader { .. })), "{found:?}");
    let cut = &model[..model.len() - 1];
    let found = verified(&folder.write("cut", cut), Some(digest(cut)));
    assert_eq!(found.outcome, Outcome::Fail(FailReason::Truncated));
    // A folder opens but cannot be read.
    let found = verified(&folder.path(""), None);
    assert!(matches!(found.outcome, Outcome::Fail(FailReason::Io { .. })), "{found:?}");
    let roots = Roots::new(&[folder.path("")]).unwrap();
    let missing = format!("file:{}", folder.path("missing").display()).parse().unwrap();
    let found: Verified = roots.open(&missing).unwrap_err().into();
    assert_eq!(found.outcome, Outcome::Fail(FailReason::Missing));
}

#[test]
fn a_long_file_is_read_in_chunks_from_its_beginning_wherever_it_stands() {
    let folder = Folder::new("verify-chunks");
    let bytes: Vec<u8> = (0..2 * CHUNK_BYTES + 5).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut file = File::open(folder.write("long", &bytes)).unwrap();
    file.seek(SeekFrom::Start(7)).unwrap();
    let mut seen = Vec::new();
    let found = verify(&file, Some(digest(&bytes)), &mut |progress| seen.push(progress), &GO_ON).unwrap();
    assert_eq!(found.digest, Some(digest(&bytes)));
    let total_bytes = bytes.len() as u64;
    let expected = [CHUNK_BYTES, 2 * CHUNK_BYTES, total_bytes];
    assert_eq!(seen, expected.map(|done_bytes| Progress { done_bytes, total_bytes }));
    let mut next = [0];
    file.read_exact(&mut next).unwrap();
    assert_eq!(next, [7]);
}

//= ORCH-3413 type=test
#[test]
fn a_file_that_changes_while_it_is_read_fails() {
    let folder = Folder::new("verify-changes");
    let bytes = vec![7; 3 << 20];
    let write = |path: &Path| fs::OpenOptions::new().write(true).open(path).unwrap();
    let cases: [(&str, Change<'_>); 3] = [
        ("grown", &|path| write(path).write_all_at(b"x", 3 << 20).unwrap()),
        ("cut", &|path| write(path).set_len(1 << 20).unwrap()),
        ("touched", &|path| write(path).set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap()),
    ];
    for (name, change) in cases {
        let path = folder.write(name, &bytes);
        let mut calls = 0;
        let found = verify(
            &File::open(&path).unwrap(),
            Some(digest(&bytes)),
            &mut |_| {
                calls += 1;
                if calls == 1 {
                    change(&path);
                }
            },
            &GO_ON,
        );
        assert_eq!(found.unwrap().outcome, Outcome::Fail(FailReason::ChangedWhileRead), "{name}");
    }
}

//= ORCH-3413 type=test
#[test]
fn a_file_that_grows_as_fast_as_it_is_read_does_not_keep_its_reader_forever() {
    let folder = Folder::new("verify-endless");
    let path = folder.write("log", &[0; 100]);
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut calls = 0;
    let found = verify(
        &file,
        None,
        &mut |progress| {
            calls += 1;
            file.write_all_at(&[0; 200], progress.done_bytes).unwrap();
        },
        &GO_ON,
    );
    assert_eq!(found.unwrap().outcome, Outcome::Fail(FailReason::ChangedWhileRead));
    assert!(calls <= 3, "{calls}");
}

//= ORCH-3413 type=test
#[test]
fn a_canceled_verification_stops_at_the_next_chunk_and_tells_nothing() {
    let folder = Folder::new("verify-cancel");
    let file = File::open(folder.write("long", &vec![0; 3 << 20])).unwrap();
    let cancel = AtomicBool::new(false);
    let mut calls = 0;
    let found = verify(
        &file,
        None,
        &mut |_| {
            calls += 1;
            cancel.store(true, Ordering::Relaxed);
        },
        &cancel,
    );
    assert_eq!((found, calls), (Err(Canceled), 1));
}

//= ORCH-3413 type=test
#[test]
fn a_pass_is_stale_once_the_file_is_replaced() {
    let folder = Folder::new("verify-stale");
    let bytes = small_gguf().write();
    let path = folder.write("model", &bytes);
    let source = format!("file:{}", path.display()).parse().unwrap();
    let roots = Roots::new(&[folder.path("")]).unwrap();
    let declared = Declared { digest: Some(digest(&bytes)), ..Declared::new("m".parse().unwrap(), source) };
    let settings = CatalogSettings { policy: TrustPolicy::Strict, ..CatalogSettings::default() };
    let mut catalog = Catalog::new(settings);
    catalog.register(declared.clone()).unwrap();
    let opened = roots.open(&declared.source).unwrap();
    let found = verify(&opened.file, declared.digest, &mut |_| {}, &GO_ON).unwrap();
    let model = catalog.record(&declared, found, 1).unwrap().clone();
    let made = model.verification.clone().unwrap();
    assert!(made.is_current(opened.facts));
    // The same bytes in another file are another file.
    fs::rename(folder.write("other", &bytes), &path).unwrap();
    let now = roots.open(&declared.source).unwrap().facts;
    assert!(!made.is_current(now));
    // This model is not signed, which the strict policy finds first.
    assert_eq!(catalog.placeable(&model, Some(now)), Err(Untrusted::Unsigned));
}
