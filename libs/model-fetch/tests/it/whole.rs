//! Downloads in one go, and answers that bring no file.

use std::{fs, io::Write as _, os::unix::fs::symlink, sync::Mutex, time::Duration};

use model_fetch::{Digest, Fetch, FetchError, Fetcher, Progress, Timing};
use tokio_util::sync::CancellationToken;

use crate::server::{
    QUICK, Reply, Server, answer, anywhere, assert_whole, fetch, file, names, proper, send, wanted,
};

//= ORCH-3417 type=test
#[tokio::test]
async fn a_file_ends_under_the_name_of_its_digest() {
    let file = file(3_000_000);
    let server = Server::start(vec![proper(&file, "\"a\"", usize::MAX)]);
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("made/on/the/way");
    let request = wanted(&server.url("/models/m.gguf?x=1"), &into, Some(Digest::of(&file)));
    let seen = Mutex::new(Vec::new());
    let progress = |step: Progress| seen.lock().unwrap().push(step);
    let client = Fetcher::new(&[], QUICK).unwrap();
    let fetched = client.fetch(&request, &anywhere(), &progress, &CancellationToken::new()).await.unwrap();
    assert_whole(&fetched, &into, &file);

    let head = server.heads().remove(0);
    assert!(head.starts_with("get /models/m.gguf?x=1 http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", server.addr)), "{head}");
    assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
    assert!(!head.contains("range"), "{head}");
    let seen = seen.into_inner().unwrap();
    let total = Some(3_000_000);
    assert_eq!(seen.first(), Some(&Progress { bytes: 0, total }));
    assert_eq!(seen.last(), Some(&Progress { bytes: 3_000_000, total }));
    assert!(seen.len() > 2 && seen.is_sorted_by_key(|step| step.bytes), "{seen:?}");
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let server = Server::start(vec![answer("200 OK\r\ncontent-length: 0", b"")]);
    let folder = tempfile::tempdir().unwrap();
    let fetched = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap();
    assert_whole(&fetched, folder.path(), b"");
}

#[tokio::test]
async fn a_file_that_is_there_already_is_not_asked_for() {
    let file = file(1000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(Digest::of(&file).file_name());
    fs::write(&path, &*file).unwrap();
    let request = wanted("http://127.0.0.1:1/nobody", folder.path(), Some(Digest::of(&file)));
    assert_whole(&fetch(&request).await.unwrap(), folder.path(), &file);

    // One that was changed does not count.
    fs::write(&path, b"changed").unwrap();
    let server = Server::start(vec![proper(&file, "\"a\"", usize::MAX)]);
    let request = wanted(&server.url("/m"), folder.path(), Some(Digest::of(&file)));
    assert_whole(&fetch(&request).await.unwrap(), folder.path(), &file);
    assert_eq!(server.heads().len(), 1);
}

//= ORCH-3417 type=test
#[tokio::test]
async fn a_file_of_another_digest_is_removed() {
    let file = file(1000);
    let server = Server::start(vec![proper(&file, "\"a\"", usize::MAX)]);
    let folder = tempfile::tempdir().unwrap();
    let expected = Digest::of(b"something else");
    let refusal = fetch(&wanted(&server.url("/m"), folder.path(), Some(expected))).await.unwrap_err();
    match refusal {
        FetchError::DigestMismatch { expected: named, found } => {
            assert_eq!((named, found), (expected, Digest::of(&file)));
        }
        other => panic!("{other}"),
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

//= ORCH-3417 type=test
#[tokio::test]
async fn a_file_that_says_it_is_too_large_is_not_begun() {
    let server = Server::start(vec![answer("200 OK\r\netag: \"a\"\r\ncontent-length: 1001", b"")]);
    let folder = tempfile::tempdir().unwrap();
    let request = Fetch { bytes_max: 1000, ..wanted(&server.url("/m"), folder.path(), None) };
    let refusal = fetch(&request).await.unwrap_err();
    assert_eq!(refusal.to_string(), "the file has 1001 bytes or more, and at most 1000 are allowed");
    assert_eq!(names(folder.path()), [""; 0]);
}

//= ORCH-3417 type=test
#[tokio::test]
async fn a_file_without_end_ends_at_the_bound() {
    let endless: Reply = Box::new(|_, stream| {
        send(stream, "200 OK\r\ntransfer-encoding: chunked", b"");
        let chunk = [b"10000\r\n", &vec![7; 0x1_0000][..], b"\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {}
    });
    let server = Server::start(vec![endless]);
    let folder = tempfile::tempdir().unwrap();
    let expected = Some(Digest::of(b"never"));
    let request = Fetch { bytes_max: 5_000_000, ..wanted(&server.url("/m"), folder.path(), expected) };
    let refusal = fetch(&request).await.unwrap_err();
    assert!(matches!(refusal, FetchError::TooLarge { most: 5_000_000, .. }), "{refusal}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn a_file_of_exactly_the_bound_comes() {
    let file = file(1000);
    let server = Server::start(vec![proper(&file, "\"a\"", usize::MAX)]);
    let folder = tempfile::tempdir().unwrap();
    let request = Fetch { bytes_max: 1000, ..wanted(&server.url("/m"), folder.path(), None) };
    assert_whole(&fetch(&request).await.unwrap(), folder.path(), &file);
}

#[tokio::test]
async fn a_file_without_a_length_needs_a_digest() {
    let file = file(1000);
    let until_close = || answer("200 OK", &file);
    let server = Server::start(vec![until_close(), until_close()]);
    let folder = tempfile::tempdir().unwrap();
    let refusal = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap_err();
    assert!(matches!(refusal, FetchError::NoLength), "{refusal}");
    let request = wanted(&server.url("/n"), folder.path(), Some(Digest::of(&file)));
    let fetched = fetch(&request).await.unwrap();
    assert_eq!(fetched.digest, Digest::of(&file));
}

#[tokio::test]
async fn a_packed_file_is_refused() {
    let server = Server::start(vec![answer("200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1", b"x")]);
    let folder = tempfile::tempdir().unwrap();
    let refusal = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap_err();
    assert!(matches!(&refusal, FetchError::Encoded(coding) if coding == "gzip"), "{refusal}");
}

#[tokio::test]
async fn a_refusal_is_told_and_not_asked_again() {
    for status in [204, 304, 401, 403, 404] {
        let refused = || answer(&format!("{status} No\r\ncontent-length: 0"), b"");
        let server = Server::start(vec![refused(), refused()]);
        let folder = tempfile::tempdir().unwrap();
        let refusal = fetch(&wanted(&server.url("/secret?token=x"), folder.path(), None)).await.unwrap_err();
        assert_eq!(refusal.to_string(), format!("127.0.0.1 answers with status {status}"));
        assert_eq!(server.heads().len(), 1);
        assert_eq!(names(folder.path()), [""; 0]);
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again_a_bounded_number_of_times() {
    let file = file(1000);
    let busy = || answer("503 Busy\r\ncontent-length: 0", b"");
    let server = Server::start(vec![busy(), busy(), proper(&file, "\"a\"", usize::MAX)]);
    let folder = tempfile::tempdir().unwrap();
    let request = wanted(&server.url("/m"), folder.path(), None);
    assert_whole(&fetch(&request).await.unwrap(), folder.path(), &file);

    let server = Server::start((0..9).map(|_| busy()).collect());
    let refusal = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap_err();
    assert!(matches!(refusal, FetchError::Status { status: 503, .. }), "{refusal}");
    assert_eq!(server.heads().len(), 3);
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let silent: Reply = Box::new(|_, stream| {
        // Until the client has had enough.
        std::io::copy(stream, &mut std::io::sink()).ok();
    });
    let server = Server::start(vec![silent]);
    let folder = tempfile::tempdir().unwrap();
    let timing = Timing { idle: Duration::from_millis(20), tries: 1, ..QUICK };
    let client = Fetcher::new(&[], timing).unwrap();
    let request = wanted(&server.url("/m"), folder.path(), None);
    let ended = client.fetch(&request, &anywhere(), &|_| {}, &CancellationToken::new()).await;
    let refusal = ended.unwrap_err();
    assert_eq!(refusal.to_string(), "127.0.0.1 was silent for 20 ms");
}

#[tokio::test]
async fn rubbish_is_no_answer() {
    let rubbish = || -> Reply {
        Box::new(|_, stream| {
            stream.write_all(b"220 mail.test ESMTP ready\r\n").ok();
        })
    };
    let server = Server::start((0..3).map(|_| rubbish()).collect());
    let folder = tempfile::tempdir().unwrap();
    let refusal = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap_err();
    assert!(matches!(refusal, FetchError::Broken { .. }), "{refusal}");
}

#[tokio::test]
async fn a_link_in_the_place_of_the_partial_file_is_not_followed() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = outside.path().join("target");
    fs::write(&target, b"precious").unwrap();
    let url = "http://127.0.0.1:1/m";
    let key = Digest::of(url.as_bytes()).to_string().replace("sha256:", "");
    symlink(&target, folder.path().join(format!("{key}.partial"))).unwrap();
    let refusal = fetch(&wanted(url, folder.path(), None)).await.unwrap_err();
    assert!(matches!(refusal, FetchError::Io { .. }), "{refusal}");
    assert_eq!(fs::read(target).unwrap(), b"precious");
}
