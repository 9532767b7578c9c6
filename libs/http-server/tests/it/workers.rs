//! Connections on threads of their own.

use std::{collections::HashMap, net::SocketAddr, num::NonZeroUsize, thread, time::Duration};

use axum::{Router, routing::get};
use http_server::{Limits, Server, Workers, listen};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Asks once, and returns the last line of the answer with the connection.
async fn ask(addr: SocketAddr) -> (String, TcpStream) {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1_024];
    let length = socket.read(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer[..length].to_vec()).unwrap();
    (answer.lines().last().unwrap_or_default().to_owned(), socket)
}

#[tokio::test]
async fn connections_are_spread_over_the_threads_and_each_stays_on_its_own() {
    let workers = Workers::start(NonZeroUsize::new(2).unwrap()).unwrap();
    let name = || async { thread::current().name().unwrap_or_default().to_owned() };
    let limits =
        Limits { header_bytes_max: 16 * 1024, header_timeout: Duration::from_secs(5), connections_max: 10 };
    let (tracker, closing) = (TaskTracker::new(), CancellationToken::new());
    let router = Router::new().route("/", get(name));
    let server = Server::new(router, limits, tracker.clone(), closing.clone()).on(&workers);
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    tracker.spawn(server.run(listener));
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut open = Vec::new();
    for _ in 0..6 {
        let (name, socket) = ask(addr).await;
        *seen.entry(name).or_default() += 1;
        open.push(socket);
    }
    let expected = [("connections-0".to_owned(), 3), ("connections-1".to_owned(), 3)];
    assert_eq!(seen, HashMap::from(expected));
    closing.cancel();
    tracker.close();
    tracker.wait().await;
    workers.stop();
}
