//! Downloads that break off and go on.

use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::{Arc, mpsc},
};

use model_fetch::{Digest, FetchError, Fetcher, Progress, Timing};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::server::{
    QUICK, Reply, Server, answer, anywhere, assert_whole, fetch, file, names, offset, proper, wanted,
};

const ONE_TRY: Timing = Timing { tries: 1, ..QUICK };

async fn fetch_once(url: &str, folder: &Path) -> Result<model_fetch::Fetched, FetchError> {
    let client = Fetcher::new(&[], ONE_TRY).unwrap();
    client.fetch(&wanted(url, folder, None), &anywhere(), &|_| {}, &CancellationToken::new()).await
}

//= ORCH-3417 type=test
#[tokio::test]
async fn a_dropped_download_goes_on_and_asks_only_for_the_rest() {
    let file = file(500_000);
    let server = Server::start(vec![
        proper(&file, "\"a\"", 100_001),
        proper(&file, "\"a\"", 200_000),
        proper(&file, "\"a\"", usize::MAX),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let request = wanted(&server.url("/m"), folder.path(), Some(Digest::of(&file)));
    assert_whole(&fetch(&request).await.unwrap(), folder.path(), &file);
    let heads = server.heads();
    assert_eq!(
        heads.iter().map(|head| offset(head)).collect::<Vec<_>>(),
        [None, Some(100_001), Some(300_001)]
    );
    assert!(heads[1].contains("if-range: \"a\"\r\n"), "{}", heads[1]);
}

//= ORCH-3417 type=test
#[tokio::test]
async fn a_later_download_goes_on_where_an_earlier_one_ended() {
    let file = file(500_000);
    let server = Server::start(vec![proper(&file, "\"a\"", 123_456), proper(&file, "\"a\"", usize::MAX)]);
    let folder = tempfile::tempdir().unwrap();
    let url = server.url("/m");
    let refusal = fetch_once(&url, folder.path()).await.unwrap_err();
    assert!(matches!(refusal, FetchError::Broken { .. }), "{refusal}");
    assert_whole(&fetch_once(&url, folder.path()).await.unwrap(), folder.path(), &file);
    assert_eq!(offset(&server.heads()[1]), Some(123_456));
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_begins_anew() {
    let file = file(300_000);
    let whole = |bytes: usize| {
        let head = format!("200 OK\r\netag: \"a\"\r\ncontent-length: {}", file.len());
        answer(&head, &file[..bytes])
    };
    let server = Server::start(vec![whole(100_000), whole(file.len())]);
    let folder = tempfile::tempdir().unwrap();
    let fetched = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap();
    assert_whole(&fetched, folder.path(), &file);
    assert_eq!(offset(&server.heads()[1]), Some(100_000));
}

//= ORCH-3417 type=test
#[tokio::test]
async fn a_file_that_changed_in_between_is_never_mixed() {
    let (old, new) = (file(300_000), Arc::new(vec![9; 200_000]));
    let server = Server::start(vec![proper(&old, "\"a\"", 100_000), proper(&new, "\"b\"", usize::MAX)]);
    let folder = tempfile::tempdir().unwrap();
    let fetched = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap();
    assert_whole(&fetched, folder.path(), &new);

    // The same from a server that heeds the range and not the tag.
    let careless = answer(
        "206 Partial Content\r\netag: \"b\"\r\ncontent-range: bytes 100000-199999/200000\r\ncontent-length: 100000",
        &new[100_000..],
    );
    let replies = vec![proper(&old, "\"a\"", 100_000), careless, proper(&new, "\"b\"", usize::MAX)];
    let server = Server::start(replies);
    let folder = tempfile::tempdir().unwrap();
    let fetched = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap();
    assert_whole(&fetched, folder.path(), &new);
    assert_eq!(offset(&server.heads()[2]), None);
}

#[tokio::test]
async fn without_a_strong_tag_nothing_is_continued() {
    let file = file(300_000);
    let server = Server::start(vec![proper(&file, "W/\"a\"", 100_000), proper(&file, "W/\"a\"", usize::MAX)]);
    let folder = tempfile::tempdir().unwrap();
    let fetched = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap();
    assert_whole(&fetched, folder.path(), &file);
    assert_eq!(offset(&server.heads()[1]), None);
}

#[tokio::test]
async fn a_length_that_never_comes_ends_the_download() {
    let liar = || answer("200 OK\r\netag: \"a\"\r\ncontent-length: 1000", b"only this");
    let rest = || {
        let head = "206 Partial Content\r\ncontent-range: bytes 9-999/1000\r\ncontent-length: 991";
        answer(head, b"")
    };
    let server = Server::start(vec![liar(), rest(), rest(), rest(), rest()]);
    let folder = tempfile::tempdir().unwrap();
    let refusal = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap_err();
    assert!(matches!(refusal, FetchError::Broken { .. }), "{refusal}");
    assert_eq!(server.heads().len(), 3);
}

#[tokio::test]
async fn a_part_that_ends_early_is_continued() {
    let file = file(300_000);
    let part = |from: usize, to: usize| {
        let last = to - 1;
        let head = format!(
            "206 Partial Content\r\ncontent-range: bytes {from}-{last}/300000\r\ncontent-length: {}",
            to - from
        );
        answer(&head, &file[from..to])
    };
    let replies = vec![proper(&file, "\"a\"", 100_000), part(100_000, 200_000), part(200_000, 300_000)];
    let server = Server::start(replies);
    let folder = tempfile::tempdir().unwrap();
    let fetched = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap();
    assert_whole(&fetched, folder.path(), &file);
}

#[tokio::test]
async fn a_server_that_always_begins_anew_does_not_keep_a_download_alive() {
    let file = file(2_000_000);
    // Each second answer says that the file changed, so what came before counts for nothing.
    let reply = |n: usize| match n % 2 {
        0 => proper(&file, &format!("\"{n}\""), 1_900_000),
        _ => answer("416 Range Not Satisfiable\r\ncontent-length: 0", b""),
    };
    let server = Server::start((0..20).map(reply).collect());
    let folder = tempfile::tempdir().unwrap();
    let refusal = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap_err();
    assert!(refusal.to_string().contains("127.0.0.1"), "{refusal}");
    assert_eq!(server.heads().len(), 3, "one that got far, and two that got no further");
}

#[tokio::test]
async fn a_file_that_is_all_here_is_finished() {
    let file = file(1000);
    let all = Server::start(vec![answer("416 No\r\ncontent-range: bytes */1000\r\ncontent-length: 0", b"")]);
    let folder = tempfile::tempdir().unwrap();
    let url = all.url("/m");
    leave_behind(folder.path(), &url, &file, r#"{"from":"","etag":"\"a\"","total":1000,"bytes":1000}"#);
    assert_whole(&fetch_once(&url, folder.path()).await.unwrap(), folder.path(), &file);
    assert_eq!(offset(&all.heads()[0]), Some(1000));
}

/// Puts what an earlier download may have left into the folder.
fn leave_behind(folder: &Path, url: &str, partial: &[u8], note: &str) {
    let key = Digest::of(url.as_bytes()).to_string().replace("sha256:", "");
    fs::write(folder.join(format!("{key}.partial")), partial).unwrap();
    fs::write(folder.join(format!("{key}.json")), note).unwrap();
}

//= ORCH-3417 type=test
#[tokio::test]
async fn bytes_that_were_not_noted_are_not_trusted() {
    let file = file(1000);
    let server = Server::start(vec![proper(&file, "\"a\"", usize::MAX)]);
    let folder = tempfile::tempdir().unwrap();
    let url = server.url("/m");
    // A loss of power may leave a length without the bytes.
    let partial = [&file[..300], &[0; 400]].concat();
    leave_behind(folder.path(), &url, &partial, r#"{"from":"","etag":"\"a\"","total":1000,"bytes":300}"#);
    assert_whole(&fetch_once(&url, folder.path()).await.unwrap(), folder.path(), &file);
    assert_eq!(offset(&server.heads()[0]), Some(300));
}

#[tokio::test]
async fn a_note_with_a_tag_that_promises_nothing_is_not_continued() {
    let file = file(1000);
    for tag in ["W/\\\"a\\\"", "a", "", "\\\"a\\r\\nx: y\\\""] {
        let server = Server::start(vec![proper(&file, "\"a\"", usize::MAX)]);
        let folder = tempfile::tempdir().unwrap();
        let url = server.url("/m");
        let note = format!("{{\"from\":\"\",\"etag\":\"{tag}\",\"total\":1000,\"bytes\":300}}");
        leave_behind(folder.path(), &url, &file[..300], &note);
        assert_whole(&fetch_once(&url, folder.path()).await.unwrap(), folder.path(), &file);
        assert_eq!(offset(&server.heads()[0]), None, "{tag}");
    }
}

#[tokio::test]
async fn a_cancelled_download_is_kept_for_the_next_time() {
    let file = file(4_000_000);
    let half = Arc::clone(&file);
    let stalls: Reply = Box::new(move |_, stream| {
        let head = "HTTP/1.1 200 OK\r\netag: \"a\"\r\ncontent-length: 4000000\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&half[..2_500_000]).ok();
        // Until the client is gone.
        std::io::copy(stream, &mut std::io::sink()).ok();
    });
    let server = Server::start(vec![stalls, proper(&file, "\"a\"", usize::MAX)]);
    let folder = tempfile::tempdir().unwrap();
    let request = wanted(&server.url("/m"), folder.path(), None);
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let progress = move |step: Progress| {
        if step.bytes >= 1_000_000 {
            stop.cancel();
        }
    };
    let client = Fetcher::new(&[], QUICK).unwrap();
    let ended = client.fetch(&request, &anywhere(), &progress, &cancel).await.unwrap_err();
    assert!(matches!(ended, FetchError::Cancelled), "{ended}");
    assert_whole(&fetch(&request).await.unwrap(), folder.path(), &file);
    assert!(offset(&server.heads()[1]).unwrap() >= 1_000_000);
}

#[tokio::test]
async fn one_download_of_a_url_runs_at_a_time() {
    let file = file(1000);
    let (go_on, wait) = mpsc::channel();
    let rest = Arc::clone(&file);
    let waits: Reply = Box::new(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").unwrap();
        wait.recv().unwrap();
        stream.write_all(&rest).unwrap();
    });
    let server = Server::start(vec![waits]);
    let folder = tempfile::tempdir().unwrap();
    let request = wanted(&server.url("/m"), folder.path(), None);
    let begun = CancellationToken::new();
    let told = begun.clone();
    let progress = move |_: Progress| told.cancel();
    let client = Fetcher::new(&[], QUICK).unwrap();
    let (policy, never) = (anywhere(), CancellationToken::new());
    let first = client.fetch(&request, &policy, &progress, &never);
    let second = async {
        begun.cancelled().await;
        let refusal = fetch(&request).await.unwrap_err();
        assert!(matches!(refusal, FetchError::InProgress), "{refusal}");
        go_on.send(()).unwrap();
    };
    let (fetched, ()) = tokio::join!(first, second);
    assert_whole(&fetched.unwrap(), folder.path(), &file);
}

#[test]
fn a_download_that_breaks_anywhere_sends_each_byte_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let file = file(50_000);
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(breaks in prop::collection::vec(1_usize..30_000, 0..4))| {
        let mut replies: Vec<_> = breaks.iter().map(|bytes| proper(&file, "\"a\"", *bytes)).collect();
        replies.push(proper(&file, "\"a\"", usize::MAX));
        let server = Server::start(replies);
        let folder = tempfile::tempdir().unwrap();
        let client = Fetcher::new(&[], Timing { tries: 9, ..QUICK }).unwrap();
        let request = wanted(&server.url("/m"), folder.path(), Some(Digest::of(&file)));
        let (policy, never) = (anywhere(), CancellationToken::new());
        let fetched = runtime.block_on(client.fetch(&request, &policy, &|_| {}, &never)).unwrap();
        assert_whole(&fetched, folder.path(), &file);
        let mut expected = 0;
        for (head, bytes) in server.heads().iter().zip(&breaks) {
            prop_assert_eq!(offset(head).unwrap_or(0), expected);
            expected += bytes;
        }
    });
}

#[test]
fn whatever_was_left_behind_the_file_comes_right() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let file = file(2000);
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let note =
        r#"\{"from":"x","etag":"(\\"a\\"|a|)","total":(null|[0-9]{1,4}),"bytes":-?[0-9]{1,21}\}|\PC{0,60}"#;
    proptest!(config, |(note in note, length in 0_usize..3000)| {
        let replies = (0..3).map(|_| proper(&file, "\"a\"", usize::MAX)).collect();
        let server = Server::start(replies);
        let folder = tempfile::tempdir().unwrap();
        let url = server.url("/m");
        // The noted bytes are those of the file, as far as it goes; what follows is not.
        let mut partial = file[..length.min(file.len())].to_vec();
        partial.resize(length, 0);
        leave_behind(folder.path(), &url, &partial, &note);
        let request = wanted(&url, folder.path(), Some(Digest::of(&file)));
        match runtime.block_on(fetch(&request)) {
            Ok(fetched) => assert_whole(&fetched, folder.path(), &file),
            Err(error) => {
                // A note that lies about the bytes is found out by the digest, and everything goes.
                prop_assert!(matches!(error, FetchError::DigestMismatch { .. }), "{}", error);
                prop_assert_eq!(names(folder.path()), Vec::<String>::new());
            }
        }
    });
}
