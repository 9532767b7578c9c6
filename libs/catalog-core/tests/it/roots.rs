//! Nothing outside of the roots is ever opened.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::{
        fd::AsRawFd,
        unix::{fs::symlink, net::UnixListener},
    },
    path::Path,
};

use catalog_core::{CannotOpen, FileFacts, ModelFile, ModelRef, Roots, UnusableRoot};
use nix::{sys::stat::Mode, unistd::mkfifo};

use crate::folder::Folder;

fn reference(path: &Path) -> ModelRef {
    format!("file:{}", path.display()).parse().unwrap()
}

fn open(roots: &Roots, path: &Path) -> Result<ModelFile, CannotOpen> {
    roots.open(&reference(path))
}

fn content(opened: Result<ModelFile, CannotOpen>) -> Result<String, CannotOpen> {
    let mut text = String::new();
    opened?.file.read_to_string(&mut text).unwrap();
    Ok(text)
}

//= ORCH-3091 type=test
#[test]
fn a_regular_file_below_a_root_is_opened_with_its_facts() {
    let folder = Folder::new("roots-regular");
    let path = folder.write("models/org/m.gguf", b"weights");
    fs::hard_link(&path, folder.path("models/linked.gguf")).unwrap();
    let roots = Roots::new(&[folder.path("models")]).unwrap();
    let opened = open(&roots, &path).unwrap();
    assert_eq!(opened.facts.size_bytes, 7);
    assert_eq!(opened.facts, FileFacts::of(&opened.file).unwrap());
    assert_eq!(content(Ok(opened)).as_deref(), Ok("weights"));
    // Another name of the same file is as good as the first.
    assert_eq!(content(open(&roots, &folder.path("models/linked.gguf"))).as_deref(), Ok("weights"));
}

//= ORCH-3091 type=test
#[test]
fn what_lies_outside_of_the_roots_is_not_opened() {
    let folder = Folder::new("roots-outside");
    let secret = folder.write("secret", b"secret");
    folder.write("models/m", b"weights");
    folder.write("models-too/m", b"secret");
    let roots = Roots::new(&[folder.path("models")]).unwrap();
    for path in
        [Path::new("/etc/passwd"), Path::new("/proc/self/environ"), &secret, &folder.path("models-too/m")]
    {
        assert_eq!(open(&roots, path).err(), Some(CannotOpen::OutsideRoots), "{}", path.display());
    }
    let uppercase = folder.path("MODELS/m");
    assert_eq!(open(&roots, &uppercase).err(), Some(CannotOpen::OutsideRoots));
    assert_eq!(open(&Roots::default(), &folder.path("models/m")).err(), Some(CannotOpen::OutsideRoots));
    // A path that climbs is no reference at all, and an escaped one climbs nowhere.
    assert!(format!("file:{}/../secret", folder.path("models").display()).parse::<ModelRef>().is_err());
    for escaped in ["%2e%2e/secret", "..%2fsecret", ".../secret", "m/x", "m/./x"] {
        let path = folder.path("models").join(escaped);
        assert_eq!(open(&roots, &path).err(), Some(CannotOpen::Missing), "{escaped}");
    }
}

//= ORCH-3091 type=test
#[test]
fn no_symbolic_link_is_followed_below_a_root() {
    let folder = Folder::new("roots-links");
    let secret = folder.write("outside/secret", b"secret");
    folder.write("models/real/m", b"weights");
    let models = folder.path("models");
    symlink(&secret, models.join("file")).unwrap();
    symlink(folder.path("outside"), models.join("folder")).unwrap();
    symlink("../outside", models.join("relative")).unwrap();
    symlink("real", models.join("inside")).unwrap();
    symlink("nowhere", models.join("dangling")).unwrap();
    symlink("circle", models.join("circle")).unwrap();
    symlink("/", models.join("real/slash")).unwrap();
    let roots = Roots::new(std::slice::from_ref(&models)).unwrap();
    for name in [
        "file",
        "folder/secret",
        "relative/secret",
        "inside/m",
        "dangling",
        "circle",
        "circle/m",
        "real/slash/etc/passwd",
    ] {
        assert_eq!(open(&roots, &models.join(name)).err(), Some(CannotOpen::Symlink), "{name}");
    }
    assert_eq!(content(open(&roots, &models.join("real/m"))).as_deref(), Ok("weights"));
}

//= ORCH-3091 type=test
#[test]
fn only_regular_files_are_opened_and_no_pipe_blocks() {
    let folder = Folder::new("roots-kinds");
    folder.write("models/folder/m", b"weights");
    let models = folder.path("models");
    mkfifo(&models.join("pipe"), Mode::S_IRWXU).unwrap();
    // The path of a socket must be short, so it leads through the descriptor of its folder.
    let handle = File::open(&models).unwrap();
    let socket = format!("/proc/self/fd/{}/socket", handle.as_raw_fd());
    let listener = UnixListener::bind(socket).unwrap();
    let roots = Roots::new(std::slice::from_ref(&models)).unwrap();
    for name in ["folder", "pipe", "socket", ""] {
        assert_eq!(open(&roots, &models.join(name)).err(), Some(CannotOpen::NotAFile), "{name}");
    }
    drop(listener);
    let devices = Roots::new(&["/dev".into()]).unwrap();
    assert_eq!(open(&devices, Path::new("/dev/null")).err(), Some(CannotOpen::NotAFile));
    assert_eq!(open(&devices, Path::new("/dev/zero")).err(), Some(CannotOpen::NotAFile));
}

#[test]
fn a_missing_file_and_a_name_that_no_file_can_have_are_missing() {
    let folder = Folder::new("roots-missing");
    folder.write("models/m", b"weights");
    let models = folder.path("models");
    let roots = Roots::new(std::slice::from_ref(&models)).unwrap();
    for name in ["n", "n/m", "m/n", &"x".repeat(256), &format!("{}/m", "x".repeat(256))] {
        assert_eq!(open(&roots, &models.join(name)).err(), Some(CannotOpen::Missing), "{name}");
    }
}

#[test]
fn only_file_references_name_local_files() {
    let folder = Folder::new("roots-references");
    let path = folder.write("models/m", b"weights");
    let roots = Roots::new(&[folder.path("models")]).unwrap();
    for text in [path.to_str().unwrap(), "models/m", "hf:models/m", "https://models/m", "s3://models/m"] {
        let refused = roots.open(&text.parse().unwrap()).err();
        assert_eq!(refused, Some(CannotOpen::NotAFileRef), "{text}");
    }
}

//= ORCH-3091 type=test
#[test]
fn a_root_that_is_a_link_is_followed_once_and_never_again() {
    let folder = Folder::new("roots-resolved");
    folder.write("first/m", b"first");
    folder.write("second/m", b"second");
    symlink("first", folder.path("link")).unwrap();
    let roots = Roots::new(&[folder.path("link")]).unwrap();
    for root in ["link", "first"] {
        assert_eq!(content(open(&roots, &folder.path(root).join("m"))).as_deref(), Ok("first"), "{root}");
    }
    fs::remove_file(folder.path("link")).unwrap();
    symlink("second", folder.path("link")).unwrap();
    assert_eq!(content(open(&roots, &folder.path("link/m"))).as_deref(), Ok("first"));
}

#[test]
fn the_nearest_of_nested_roots_counts() {
    let folder = Folder::new("roots-nested");
    folder.write("elsewhere/m", b"weights");
    fs::create_dir(folder.path("models")).unwrap();
    symlink("../elsewhere", folder.path("models/inner")).unwrap();
    let roots = Roots::new(&[folder.path("models"), folder.path("models/inner")]).unwrap();
    assert_eq!(content(open(&roots, &folder.path("models/inner/m"))).as_deref(), Ok("weights"));
}

//= ORCH-3091 type=test
#[test]
fn a_root_is_an_absolute_path_to_a_folder() {
    let folder = Folder::new("roots-unusable");
    let file = folder.write("file", b"");
    for path in ["models", "../models", "/tmp/../etc", ""] {
        let refused = Roots::new(&[path.into()]);
        assert!(
            matches!(refused, Err(UnusableRoot::NotAbsolute(named)) if named == Path::new(path)),
            "{path}"
        );
    }
    for (path, kind) in
        [(file, io::ErrorKind::NotADirectory), (folder.path("missing"), io::ErrorKind::NotFound)]
    {
        let refused = Roots::new(&[path]);
        assert!(matches!(refused, Err(UnusableRoot::Unreadable { source, .. }) if source.kind() == kind));
    }
    let refused = Roots::new(&vec!["/".into(); 65]);
    assert!(matches!(refused, Err(UnusableRoot::TooMany(65))));
}
