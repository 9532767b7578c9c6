//! The log line that carries a narration, and the capture.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use narration_core::{Capture, Narration, Phase, narrate};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//= ORCH-3305 type=test
#[test]
fn one_line_carries_the_fields_and_the_sentence() {
    let page = Page::default();
    let writer = page.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let placed = Narration::placement_decided(1, Duration::from_millis(45));
        narrate!(placed, target: "orchestratord::dispatch", latency_ms = 45_u64, "task {}", "dispatched");
    });
    let written = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    assert_eq!(written.lines().count(), 1, "{written}");
    for part in [
        "INFO orchestratord::dispatch: task dispatched",
        "actor=\"placement\"",
        "action=\"place\"",
        "target_kind=\"job\"",
        "human=Placement gives a job a slot after 45 ms of waiting.",
        "latency_ms=45",
    ] {
        assert!(written.contains(part), "{part} in {written}");
    }
}

//= ORCH-3306 type=test
#[test]
fn a_capture_sees_its_thread_while_it_lives_and_no_other() {
    let queued = Narration::job_canceled(Phase::Queued);
    let running = Narration::job_canceled(Phase::Running);
    narrate!(queued, "before");
    let outer = Capture::start();
    narrate!(queued, "first");
    {
        let inner = Capture::start();
        narrate!(running, "second");
        std::thread::spawn(move || narrate!(queued, "elsewhere")).join().unwrap();
        assert_eq!(inner.seen(), [running]);
    }
    narrate!(queued, "third");
    assert_eq!(outer.seen(), [queued, running, queued]);
}
