//! Where downloads go, and where they do not.

use std::sync::Mutex;

use model_fetch::{FetchError, Policy, Refused};

use crate::server::{
    Server, answer, anywhere, assert_whole, fetch, fetch_under, file, names, proper, wanted,
};

fn redirect(to: &str) -> crate::server::Reply {
    answer(&format!("302 Found\r\nlocation: {to}\r\ncontent-length: 0"), b"")
}

//= ORCH-3080 type=test
//= ORCH-3417 type=test
#[tokio::test]
async fn a_redirect_is_not_followed_and_its_host_is_named() {
    let elsewhere = Server::start(vec![proper(&file(10), "\"a\"", usize::MAX)]);
    let to = elsewhere.url("/m").replace("127.0.0.1", "localhost");
    for status in [301, 302, 303, 307, 308] {
        let head = format!("{status} Moved\r\nlocation: {to}\r\ncontent-length: 0");
        let server = Server::start(vec![answer(&head, b"")]);
        let folder = tempfile::tempdir().unwrap();
        let refusal = fetch(&wanted(&server.url("/m"), folder.path(), None)).await.unwrap_err();
        let sentence = "the server redirects to localhost, which is not among the allowed hosts";
        assert_eq!(refusal.to_string(), sentence);
    }
    assert_eq!(elsewhere.heads(), [""; 0]);
}

//= ORCH-3080 type=test
#[tokio::test]
async fn a_redirect_to_a_listed_host_is_followed_and_checked_again() {
    let file = file(1000);
    let elsewhere = Server::start(vec![proper(&file, "\"a\"", usize::MAX)]);
    let to = elsewhere.url("/m?signed=1").replace("127.0.0.1", "localhost");
    let server = Server::start(vec![redirect(&to), redirect(&to)]);
    let folder = tempfile::tempdir().unwrap();
    let hosts = ["localhost".to_owned()];
    let asked = Mutex::new(Vec::new());
    let url = |url: &url::Url| {
        asked.lock().unwrap().push(url.to_string());
        Ok(())
    };
    let policy = Policy { url: &url, redirect_hosts: &hosts, ..anywhere() };
    let request = wanted(&server.url("/m"), folder.path(), None);
    assert_whole(&fetch_under(&policy, &request).await.unwrap(), folder.path(), &file);
    assert_eq!(*asked.lock().unwrap(), [server.url("/m"), to.clone()]);

    // On the list, and refused all the same.
    let refuse = |url: &url::Url| match url.host_str() {
        Some("localhost") => Err(Refused("it is too near".to_owned())),
        _ => Ok(()),
    };
    let policy = Policy { url: &refuse, redirect_hosts: &hosts, ..anywhere() };
    let folder = tempfile::tempdir().unwrap();
    let request = wanted(&server.url("/m"), folder.path(), None);
    let refusal = fetch_under(&policy, &request).await.unwrap_err();
    assert_eq!(refusal.to_string(), "a download from localhost is not allowed: it is too near");
}

#[tokio::test]
async fn redirects_in_a_row_are_bounded() {
    let server = Server::start((0..9).map(|n| redirect(&format!("/hop/{n}"))).collect());
    let folder = tempfile::tempdir().unwrap();
    let hosts = ["127.0.0.1".to_owned()];
    let policy = Policy { redirect_hosts: &hosts, ..anywhere() };
    let request = wanted(&server.url("/m"), folder.path(), None);
    let refusal = fetch_under(&policy, &request).await.unwrap_err();
    assert!(matches!(refusal, FetchError::RedirectedTooOften { most: 3 }), "{refusal}");
    let paths: Vec<_> =
        server.heads().iter().map(|head| head[4..].split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(paths, ["/m", "/hop/0", "/hop/1", "/hop/2"]);
}

//= ORCH-3080 type=test
#[tokio::test]
async fn no_connection_is_made_to_an_address_that_is_refused() {
    let server = Server::start(vec![proper(&file(10), "\"a\"", usize::MAX)]);
    let folder = tempfile::tempdir().unwrap();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"] {
        let policy = Policy { address: &|addr| !addr.is_loopback(), ..anywhere() };
        let url = format!("http://{host}:{}/m", server.addr.port());
        let refusal = fetch_under(&policy, &wanted(&url, folder.path(), None)).await.unwrap_err();
        assert!(matches!(refusal, FetchError::Address { .. }), "{host}: {refusal}");
    }
    assert_eq!(server.heads(), [""; 0]);
}

//= ORCH-3080 type=test
#[tokio::test]
async fn what_the_policy_refuses_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let policy = Policy { url: &|_| Err(Refused("downloads are off".to_owned())), ..anywhere() };
    let request = wanted("https://models.test/m", folder.path(), None);
    let refusal = fetch_under(&policy, &request).await.unwrap_err();
    assert_eq!(refusal.to_string(), "a download from models.test is not allowed: downloads are off");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn plain_http_is_refused_unless_a_test_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let policy = Policy { transport: model_fetch::Transport::default(), ..anywhere() };
    let request = wanted("http://127.0.0.1:1/m", folder.path(), None);
    let refusal = fetch_under(&policy, &request).await.unwrap_err();
    assert!(matches!(refusal, FetchError::Url("must begin with https://")), "{refusal}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let gone = Server::start(Vec::new());
    let url = gone.url("/m");
    drop(gone);
    let folder = tempfile::tempdir().unwrap();
    let refusal = fetch(&wanted(&url, folder.path(), None)).await.unwrap_err();
    assert!(matches!(&refusal, FetchError::Connect { host, .. } if host == "127.0.0.1"), "{refusal}");
}
