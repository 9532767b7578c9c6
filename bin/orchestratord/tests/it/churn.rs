//! Readers that drop and resume ten thousand times, on real connections, while the engine speaks and after.

use std::{net::SocketAddr, time::Duration};

use mock::wire::{Act, Ending, Script, ScriptedEngine, body_end, last, stream_head, token};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{TestApp, engine_task, parse, text_of};

const JOBS: u64 = 16;
const TOKENS: usize = 800;
/// Together with [`JOBS`] and one to eight readers per job, these are more than ten thousand.
const DROPS_PER_READER: u32 = 240;

/// Numbers that differ from one seed to the next and not from one run to the next.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 32) % bound
    }
}

fn script() -> Script {
    let mut script = vec![stream_head()];
    for number in 0..TOKENS {
        script.push(token(&format!(" {number}é"), number + 1));
        if number % 20 == 0 {
            script.push(Act::Pause(Duration::from_millis(10)));
        }
    }
    script.extend([last(Ending::Eos, TOKENS), body_end()]);
    script
}

/// Reads one stream on connections that it drops at random, some of them with a reset.
async fn read_with_drops(addr: SocketAddr, job: String, mut random: Random) -> (Vec<u8>, u32) {
    let (mut seen, mut drops): (Vec<u8>, u32) = (Vec::new(), 0);
    loop {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        let resume = match last_id(&seen) {
            Some(id) => format!("Last-Event-ID: {id}\r\n"),
            None => String::new(),
        };
        // The body of an answer in HTTP/1.0 has no frames of its own: it ends with the connection.
        let head = format!("GET /v2/tasks/{job}/events HTTP/1.0\r\nHost: {addr}\r\n{resume}\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let patience = if drops < DROPS_PER_READER { 1 + random.below(250) } else { u64::MAX };
        let ended = read_some(&mut socket, &mut seen, patience).await;
        if ended {
            return (seen, drops);
        }
        drops += 1;
        // What came of an event that is not whole is forgotten, as a browser does.
        let whole = seen.windows(2).rposition(|pair| pair == b"\n\n").map_or(0, |at| at + 2);
        seen.truncate(whole);
        if random.below(2) == 0 {
            socket.set_zero_linger().unwrap();
        }
    }
}

/// Reads up to so many bytes of a body. True when it came to its end.
async fn read_some(socket: &mut TcpStream, seen: &mut Vec<u8>, bytes: u64) -> bool {
    let mut answer = Vec::new();
    let mut buffer = [0; 128];
    let mut body_at = None;
    loop {
        let read = socket.read(&mut buffer).await.unwrap();
        answer.extend_from_slice(&buffer[..read]);
        if body_at.is_none() {
            body_at = answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        }
        let body = body_at.map_or(&[][..], |at| &answer[at..]);
        if read == 0 {
            assert!(answer.starts_with(b"HTTP/1.0 200 "), "{}", String::from_utf8_lossy(&answer));
            seen.extend_from_slice(body);
            return true;
        }
        if body.len() as u64 >= bytes {
            seen.extend_from_slice(body);
            return false;
        }
    }
}

fn last_id(seen: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(seen).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("id: ")).next_back()?.parse().ok()
}

// H02, H05
#[tokio::test]
async fn ten_thousand_drops_and_resumes_leave_every_reader_with_the_same_bytes() {
    let engine = ScriptedEngine::start(2).await.unwrap();
    let pools = format!("default=llamacpp+{}", engine.url());
    let app = TestApp::with(&[("ORCHD_POOLS", &pools)]).await;
    let mut task = engine_task();
    task["max_tokens"] = json!(TOKENS);
    let mut drops = 0;
    for job in 0..JOBS {
        engine.push(script());
        let id = app.submit(&task).await;
        let readers = 1 + job % 8;
        let steady = app.stream(&id, None);
        let dropping: JoinSet<_> = (0..readers)
            .map(|reader| read_with_drops(app.addr, id.clone(), Random(job * 8 + reader)))
            .collect();
        let (steady, dropped) = tokio::join!(steady, dropping.join_all());
        assert_eq!(text_of(&parse(&steady)).matches('é').count(), TOKENS);
        for (seen, its_drops) in dropped {
            assert!(seen == steady.as_bytes(), "a reader of job {job} saw other bytes");
            drops += its_drops;
        }
    }
    assert!(drops >= 10_000, "{drops} drops");
    println!("{drops} drops and resumes");
    app.finish().await;
}
