//! Files of the scenario's folder: what is laid there for a program, and what a program has left.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use crate::{
    model_root::Root,
    phrases::{Phrase, phrase},
    said::Said,
    support::{LOOK, PATIENCE},
    world::World,
};

/// A bit is flipped in each part of this many bytes.
const PART: usize = 100;

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r#"^the file "(.*)" with$"#, write),
    phrase!(r#"^a small model in "(.*)"$"#, model),
    phrase!(r#"^there is a file "(.*)"$"#, is_there),
    phrase!(r#"^every part of the file "(.*)" is damaged$"#, damage),
    phrase!(r#"^every file below "(.*)" is damaged$"#, damage_below),
    phrase!(r#"^no file below "(.*)" soon holds "(.*)"$"#, soon_holds_none),
    phrase!(r#"^a link "(.*)" to "(.*)"$"#, link),
    phrase!(r#"^a newer version has written the file "(.*)"$"#, make_newer),
    phrase!(r#"^the file "(.*)" is as it was$"#, is_as_it_was),
];

fn path(world: &mut World, said: &Said) -> PathBuf {
    let name = world.fill(said.word(0));
    world.folder.path().join(name)
}

async fn write(world: &mut World, said: Said) {
    let path = path(world, &said);
    let text = world.fill(said.text.as_deref().expect("a file has a text below its step"));
    fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
    fs::write(path, text + "\n").expect("the file is written");
}

async fn model(world: &mut World, said: Said) {
    let (path, root) = (path(world, &said), Root::new());
    let key = SigningKey::from_bytes(&[7; 32]);
    let signature = key.sign(&Sha256::digest(&root.bytes));
    for (name, value) in [
        ("digest", root.digest()),
        ("key", STANDARD.encode(key.verifying_key().as_bytes())),
        ("signature", STANDARD.encode(signature.to_bytes())),
    ] {
        world.names.insert(name.to_owned(), value);
    }
    fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
    fs::write(path, &root.bytes).expect("the file is written");
}

async fn link(world: &mut World, said: Said) {
    symlink(said.word(1), path(world, &said)).expect("the link is made");
}

async fn is_there(world: &mut World, said: Said) {
    let path = path(world, &said);
    assert!(path.is_file(), "{}", path.display());
}

async fn damage(world: &mut World, said: Said) {
    let path = path(world, &said);
    let log = path.with_extension("db-wal");
    [path, log].iter().filter(|file| file.is_file()).for_each(|file| flip(file));
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).expect("the file can be read");
    bytes.iter_mut().step_by(PART).for_each(|byte| *byte ^= 1);
    fs::write(file, bytes).expect("the file is written");
}

async fn damage_below(world: &mut World, said: Said) {
    let mut folders = vec![path(world, &said)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { flip(&path) }
        }
    }
}

async fn make_newer(world: &mut World, said: Said) {
    let path = path(world, &said);
    let newer = rusqlite::Connection::open(&path).expect("the store can be opened");
    newer
        .execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE);")
        .expect("its version can be changed");
    drop(newer);
    world.kept = fs::read(path).expect("the file can be read");
}

async fn is_as_it_was(world: &mut World, said: Said) {
    let path = path(world, &said);
    assert!(fs::read(path).expect("the file can be read") == world.kept, "it was written to");
}

/// Whether a file below a folder holds these bytes.
fn holds(folder: &Path, words: &[u8]) -> bool {
    fs::read_dir(folder).expect("the folder is there").flatten().map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return holds(&path, words);
        }
        // A file may go while it is looked for.
        fs::read(path).is_ok_and(|bytes| bytes.windows(words.len()).any(|window| window == words))
    })
}

async fn soon_holds_none(world: &mut World, said: Said) {
    let folder = path(world, &said);
    let began = Instant::now();
    while holds(&folder, said.word(1).as_bytes()) {
        assert!(began.elapsed() < PATIENCE, "`{}` stays below {}", said.word(1), folder.display());
        sleep(LOOK * 20).await;
    }
}
