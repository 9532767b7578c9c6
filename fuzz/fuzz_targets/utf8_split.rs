//! Text that was cut inside its characters arrives as the whole would, and no stop text gets through.
#![no_main]

use adapter_api::TokenBatch;
use http_util::{HoldBack, TextSink, Utf8Joiner};
use libfuzzer_sys::fuzz_target;
use orchestratord_fuzz::{parts, seeded};

fuzz_target!(|data: &[u8]| {
    let Some((seed, text)) = seeded(data) else { return };
    let pieces = parts(seed, text);
    joined_is_the_whole(&pieces, text);
    let stops = stops(seed, text);
    let before = held_back(&pieces, &stops, HoldBack::release);
    assert_eq!(before, String::from_utf8_lossy(text), "what was held was lost");
    let longest = stops
        .iter()
        .filter(|stop| !stop.is_empty() && text.ends_with(stop.as_bytes()))
        .map(String::len)
        .max();
    let left = &text[..text.len() - longest.unwrap_or(0)];
    assert_eq!(held_back(&pieces, &stops, HoldBack::cut), String::from_utf8_lossy(left), "stops {stops:?}");
});

fn joined_is_the_whole(pieces: &[&[u8]], text: &[u8]) {
    let (mut joiner, mut batch) = (Utf8Joiner::default(), TokenBatch::new());
    for piece in pieces {
        joiner.push(piece, &mut batch);
    }
    joiner.finish(&mut batch);
    assert!(batch.pieces().all(|piece| !piece.text.is_empty()));
    assert_eq!(
        joiner.has_replaced(),
        std::str::from_utf8(text).is_err(),
        "replaced and not told, or the reverse"
    );
    let text_got: String = batch.pieces().map(|piece| piece.text).collect();
    assert_eq!(text_got, String::from_utf8_lossy(text));
    for piece in batch.pieces().filter(|piece| piece.plain) {
        // Plain text is copied into JSON as it stands, and must come back as it was.
        let json = format!("\"{}\"", piece.text);
        assert_eq!(serde_json::from_str::<String>(&json).ok().as_deref(), Some(piece.text));
    }
}

/// Up to three stop texts that the text itself may hold, at its end or before.
fn stops(seed: u64, text: &[u8]) -> Vec<String> {
    let number = |shift: u32| usize::try_from(seed >> shift & 0xF).unwrap_or(0);
    let end = |length: usize| &text[text.len() - length.min(text.len())..];
    let middle = text.get(number(4)..number(4) + number(8)).unwrap_or_default();
    let all = [end(number(12)), middle, end(number(16))];
    all.iter().filter_map(|stop| std::str::from_utf8(stop).ok()).map(str::to_owned).collect()
}

fn held_back(pieces: &[&[u8]], stops: &[String], end: fn(&mut HoldBack, &mut TextSink<'_>)) -> String {
    let (mut joiner, mut batch, mut hold) = (Utf8Joiner::default(), TokenBatch::new(), HoldBack::new(stops));
    for piece in pieces {
        hold.text(piece, &mut TextSink::new(&mut batch, &mut joiner));
    }
    end(&mut hold, &mut TextSink::new(&mut batch, &mut joiner));
    joiner.finish(&mut batch);
    batch.pieces().map(|piece| piece.text).collect()
}
