//! Streams whose bytes are cut, broken, endless, or go on after their end.

use std::time::Duration;

use adapter_api::{AdapterError, SilencePhase};
use mock::wire::{Act, ScriptedEngine, body_end, stream_head};

use crate::{NO_SILENCE, client, end, good, hear, listen, open, raw, soon, text};

#[tokio::test]
async fn a_good_stream_gives_its_text_and_its_finish() {
    let (heard, finish) = hear(good(&[text("one"), text(""), text(" two")])).await;
    let finish = finish.unwrap();
    assert_eq!(heard, "one two");
    assert_eq!((finish.usage.generated, finish.invalid_utf8), (7, false));
}

// E03
#[tokio::test]
async fn a_clean_end_without_the_mark_of_an_end_is_a_loss() {
    let (heard, lost) = hear(vec![stream_head(), text("one"), body_end()]).await;
    assert_eq!((heard.as_str(), lost), ("one", Err(AdapterError::Lost)));
    // The same without even the end of the chunked body, as when the engine is killed.
    let (heard, lost) = hear(vec![stream_head(), text("one"), Act::Close]).await;
    assert_eq!((heard.as_str(), lost), ("one", Err(AdapterError::Lost)));
}

// E03
#[tokio::test]
async fn an_end_mark_that_is_cut_short_is_a_loss() {
    let script = vec![stream_head(), text("one"), Act::Chunk(b"data: end 7\n".to_vec()), body_end()];
    assert_eq!(hear(script).await, ("one".to_owned(), Err(AdapterError::Lost)));
}

// E10
#[tokio::test]
async fn garbage_inside_a_stream_ends_it_and_is_never_relayed() {
    let events = [
        (b"data: nonsense\n\n".to_vec(), true),
        (b"data: \"half a string\n\n".to_vec(), true),
        (b"data: \xFF\xFE\x00\n\n".to_vec(), true),
        // No fields at all: the standard says to skip such lines, so only the end is missed.
        (b"\x00\x01\x02\xFF garbage\r\n\n\r\r\n{\"a\":1}\n\n".to_vec(), false),
    ];
    for (garbage, is_event) in events {
        let (heard, error) = hear(vec![stream_head(), text("one"), Act::Chunk(garbage), body_end()]).await;
        assert_eq!(heard, "one");
        match error.unwrap_err() {
            AdapterError::Protocol { what } => assert!(is_event && !what.contains("nonsense"), "{what}"),
            error => assert!(!is_event && error == AdapterError::Lost, "{error:?}"),
        }
    }
}

// E10
#[tokio::test]
async fn broken_framing_below_the_events_is_a_loss() {
    let (heard, lost) = hear(vec![stream_head(), text("one"), Act::Send(b"zz\r\nboom\r\n".to_vec())]).await;
    assert_eq!((heard.as_str(), lost), ("one", Err(AdapterError::Lost)));
}

// E11
#[tokio::test]
async fn a_character_cut_between_two_events_arrives_whole() {
    let whole = "é日😀";
    for size in 1..whole.len() {
        let events: Vec<_> = whole.as_bytes().chunks(size).map(raw).collect();
        let (heard, finish) = hear(good(&events)).await;
        assert_eq!(heard, whole, "cut into {size} bytes");
        assert!(!finish.unwrap().invalid_utf8);
    }
}

// E11
#[tokio::test]
async fn a_stream_says_the_same_wherever_the_network_cuts_it() {
    let body = "data: \"é😀\"\r\n\r\n: ping\n\ndata: =日\n\ndata: end 3\n\n".as_bytes();
    for size in [1, 2, 3, 7, body.len()] {
        let chunks = body.chunks(size).map(|part| Act::Chunk(part.to_vec()));
        let script = std::iter::once(stream_head()).chain(chunks).chain([body_end()]).collect();
        let (heard, finish) = hear(script).await;
        assert_eq!((heard.as_str(), finish.unwrap().usage.generated), ("é😀日", 3), "chunks of {size}");
    }
}

// E12
#[tokio::test]
async fn bytes_that_are_no_character_are_replaced_and_told() {
    let cases: [(&[&[u8]], &str); 4] = [
        (&[b"a\xFFb"], "a\u{FFFD}b"),
        (&[b"a\xE6\x97", b"b"], "a\u{FFFD}b"),
        (&[b"a", b"\xF0\x9F\x98"], "a\u{FFFD}"),
        (&[b"\xC0\xAF"], "\u{FFFD}\u{FFFD}"),
    ];
    for (parts, wanted) in cases {
        let events: Vec<_> = parts.iter().map(|part| raw(part)).collect();
        let (heard, finish) = hear(good(&events)).await;
        assert_eq!(heard, wanted);
        assert!(finish.unwrap().invalid_utf8, "{wanted:?}");
    }
}

// E13
#[tokio::test]
async fn endless_lines_and_endless_events_are_refused_and_the_engine_is_let_go() {
    let block = |line: &[u8]| {
        let body = line.repeat(64 * 1024 / line.len());
        [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n"].concat()
    };
    let endless = [
        // One data line of 10 MB that does end, at last.
        vec![Act::Chunk(b"data: ".to_vec()), Act::Repeat(block(b"x"), 160), Act::Chunk(b"\n\n".to_vec())],
        // A gigabyte without a line's end.
        vec![Act::Repeat(block(b"x"), 16_384)],
        // A gigabyte of lines without an event's end.
        vec![Act::Repeat(block(b"data: x\n"), 16_384)],
        // The same at the end of a long comment.
        vec![Act::Chunk(b": ".to_vec()), Act::Repeat(block(b"x"), 16_384)],
    ];
    for acts in endless {
        let engine = ScriptedEngine::start(1).await.unwrap();
        engine.push([vec![stream_head(), text("one")], acts].concat());
        let mut stream = open(&client(&engine.url(), NO_SILENCE)).await.unwrap();
        let (heard, error) = listen(&mut stream).await;
        assert_eq!(heard, "one");
        assert!(matches!(error, Err(AdapterError::Protocol { .. })), "{error:?}");
        drop(stream);
        soon(Duration::from_secs(2), "the engine's connection is closed", || engine.completions() == 0).await;
    }
}

// E13
#[tokio::test]
async fn a_line_just_below_the_cap_is_taken_whole() {
    let long = "y".repeat(250 * 1024);
    let (heard, finish) = hear(good(&[text(&long)])).await;
    assert!(heard == long && finish.is_ok());
}

// E15
#[tokio::test]
async fn characters_that_break_lines_survive_byte_for_byte() {
    let nasty = ["\r", "\n", "\r\n", "\0", "\u{2028}\u{2029}", "data: x\n\n", "\u{FEFF}", "\\\"\u{7f}\u{85}"];
    let (heard, finish) = hear(good(&nasty.map(text))).await;
    assert_eq!(heard, nasty.concat());
    assert!(!finish.unwrap().invalid_utf8);
}

// E18
#[tokio::test]
async fn the_first_end_wins_and_nothing_comes_after_it() {
    let tail = [text("late"), end(9), Act::Chunk(b"data: nonsense\n\n".to_vec()), body_end()];
    let apart = [vec![stream_head(), text("one"), end(7)], tail.to_vec()].concat();
    // All events in one read of the socket.
    let bytes =
        b"data: \"one\"\n\ndata: end 7\n\ndata: \"late\"\n\ndata: end 9\n\ndata: nonsense\n\n".to_vec();
    for script in [apart, vec![stream_head(), Act::Chunk(bytes), body_end()]] {
        let (heard, finish) = hear(script).await;
        assert_eq!((heard.as_str(), finish.unwrap().usage.generated), ("one", 7));
    }
}

// E18
#[tokio::test]
async fn an_endless_line_after_the_end_takes_nothing_back() {
    // Much text at first, so that the transport reads in large strokes: end and line come in one of them.
    let much = "y".repeat(200 * 1024);
    let before = vec![text(&much); 12];
    let bytes = [b"data: end 7\n\n".as_slice(), &vec![b'x'; 300 * 1024]].concat();
    let pause = Act::Pause(Duration::from_millis(50));
    let script = [vec![stream_head()], before, vec![pause, Act::Chunk(bytes), body_end()]].concat();
    let (heard, finish) = hear(script).await;
    assert_eq!(heard.len(), 12 * much.len());
    assert_eq!(finish.map(|finish| finish.usage.generated), Ok(7));
}

// E18
#[tokio::test]
async fn an_engine_that_never_stops_talking_after_its_end_is_let_go() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    let noise = [b"10000\r\n".as_slice(), b": x\n".repeat(16 * 1024).as_slice(), b"\r\n"].concat();
    engine.push(vec![stream_head(), text("one"), end(7), Act::Repeat(noise, usize::MAX)]);
    let mut stream = open(&client(&engine.url(), NO_SILENCE)).await.unwrap();
    let (heard, finish) = listen(&mut stream).await;
    assert_eq!((heard.as_str(), finish.unwrap().usage.generated), ("one", 7));
    // Even though the stream itself is still held.
    soon(Duration::from_secs(2), "the engine's connection is closed", || engine.completions() == 0).await;
    drop(stream);
}

// E18
#[tokio::test]
async fn an_engine_that_never_ends_its_body_does_not_hold_up_the_end() {
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(vec![stream_head(), text("one"), end(7), Act::UntilGone]);
    let mut stream = open(&client(&engine.url(), NO_SILENCE)).await.unwrap();
    let (heard, finish) = listen(&mut stream).await;
    assert_eq!((heard.as_str(), finish.is_ok()), ("one", true));
    soon(Duration::from_secs(2), "the engine's connection is closed", || engine.gone() == 1).await;
    drop(stream);
}

// E05
#[tokio::test]
async fn an_engine_that_says_nothing_more_is_called_silent() {
    let silence = Duration::from_millis(200);
    for events in [vec![], vec![text("one")]] {
        let engine = ScriptedEngine::start(1).await.unwrap();
        engine.push([vec![stream_head()], events.clone(), vec![Act::UntilGone]].concat());
        let mut stream = open(&client(&engine.url(), silence)).await.unwrap();
        let (heard, error) = listen(&mut stream).await;
        assert_eq!(heard.is_empty(), events.is_empty());
        let wanted = AdapterError::Silent { waited: silence, phase: SilencePhase::BetweenTokens };
        assert_eq!(error, Err(wanted));
        drop(stream);
        soon(Duration::from_secs(2), "the engine's connection is closed", || engine.gone() == 1).await;
    }
}

// Signs of life are no tokens, but they are no silence either.
#[tokio::test]
async fn an_engine_that_only_pings_is_not_silent() {
    let ping = [Act::Pause(Duration::from_millis(200)), Act::Chunk(b":\n\n".to_vec())];
    let pings: Vec<Act> = ping.iter().cycle().take(20).cloned().collect();
    let engine = ScriptedEngine::start(1).await.unwrap();
    engine.push(good(&[pings, vec![text("late")]].concat()));
    let mut stream = open(&client(&engine.url(), Duration::from_millis(1_500))).await.unwrap();
    let (heard, finish) = listen(&mut stream).await;
    assert_eq!((heard.as_str(), finish.is_ok()), ("late", true));
}
