//! Files of the scenario's folder: what is laid there for a program, and what a program has left.

use std::{fs, path::PathBuf};

use crate::{
    model_root::Root,
    phrases::{Phrase, phrase},
    said::Said,
    world::World,
};

/// A bit is flipped in each part of this many bytes.
const PART: usize = 100;

pub(super) const PHRASES: &[Phrase] = &[
    phrase!(r#"^the file "(.*)" with$"#, write),
    phrase!(r#"^a small model in "(.*)"$"#, model),
    phrase!(r#"^there is a file "(.*)"$"#, is_there),
    phrase!(r#"^every part of the file "(.*)" is damaged$"#, damage),
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
    world.names.insert("digest".to_owned(), root.digest());
    fs::write(path, &root.bytes).expect("the file is written");
}

async fn is_there(world: &mut World, said: Said) {
    let path = path(world, &said);
    assert!(path.is_file(), "{}", path.display());
}

async fn damage(world: &mut World, said: Said) {
    let path = path(world, &said);
    let log = path.with_extension("db-wal");
    for file in [path, log].into_iter().filter(|file| file.is_file()) {
        let mut bytes = fs::read(&file).expect("the file can be read");
        bytes.iter_mut().step_by(PART).for_each(|byte| *byte ^= 1);
        fs::write(file, bytes).expect("the file is written");
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
