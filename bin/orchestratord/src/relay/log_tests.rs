//! Tests of the job log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
    thread,
};

use super::*;

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn tokens(texts: &[&str]) -> TokenBatch {
    let mut batch = TokenBatch::new();
    for text in texts {
        batch.push(text);
    }
    batch
}

fn last(name: &'static str) -> LastEvent {
    LastEvent { name, data: b"{}".to_vec(), verbose: None }
}

/// Reads until the log has nothing more now. True when the log is over.
fn drain(log: &JobLog, cursor: &mut Cursor, into: &mut Vec<u8>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match log.poll_read(cursor, &mut cx) {
            Poll::Ready(Some(bytes)) => into.extend_from_slice(&bytes),
            Poll::Ready(None) => return true,
            Poll::Pending => return false,
        }
    }
}

fn sample() -> JobLog {
    let log = JobLog::default();
    assert!(log.append("started", b"{}"));
    for text in ["a", "b", "c"] {
        assert!(log.append_tokens(&tokens(&[text, text])));
    }
    assert!(log.seal(&[last("metrics"), last("end")]));
    log
}

#[test]
fn ids_count_from_zero_without_a_gap() {
    let frames = sample().frames().unwrap();
    let text = std::str::from_utf8(&frames).unwrap();
    let ids: Vec<u32> =
        text.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect();
    assert_eq!(ids, (0..9).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_resumes_after_any_event_gets_exactly_the_rest() {
    let log = sample();
    let whole = log.frames().unwrap();
    for id in 0..9 {
        let mut cursor = log.open(Resume::After(id), Detail::Plain).unwrap();
        let mut rest = Vec::new();
        assert!(drain(&log, &mut cursor, &mut rest));
        assert!(whole.ends_with(&rest));
        let first = format!("id: {}\n", id + 1);
        assert!(
            rest.is_empty() == (id == 8) && (id == 8 || rest.starts_with(first.as_bytes())),
            "after {id}"
        );
    }
    assert_eq!(log.open(Resume::After(9), Detail::Plain).unwrap_err(), ResumeError::Future { last: Some(8) });
}

#[test]
fn nothing_is_appended_after_the_terminal_event() {
    let log = sample();
    let before = log.frames();
    assert!(!log.append_tokens(&tokens(&["late"])));
    assert!(!log.append("error", b"{}"));
    assert!(!log.seal(&[last("end")]));
    assert_eq!(log.frames(), before);
}

#[test]
fn readers_at_any_pace_see_the_same_bytes() {
    let log = JobLog::default();
    let (mut eager, mut lazy) = (
        log.open(Resume::FromStart, Detail::Plain).unwrap(),
        log.open(Resume::FromStart, Detail::Plain).unwrap(),
    );
    let (mut seen_eager, mut seen_lazy) = (Vec::new(), Vec::new());
    for round in 0..50 {
        log.append_tokens(&tokens(&["x", "yy"]));
        assert!(!drain(&log, &mut eager, &mut seen_eager));
        if round % 7 == 3 {
            assert!(!drain(&log, &mut lazy, &mut seen_lazy));
        }
    }
    log.seal(&[last("end")]);
    assert!(drain(&log, &mut eager, &mut seen_eager));
    assert!(drain(&log, &mut lazy, &mut seen_lazy));
    assert_eq!(seen_eager, seen_lazy);
    assert_eq!(seen_eager, log.frames().unwrap());
}

#[test]
fn a_waiting_reader_is_woken_once_by_each_append_and_keeps_one_waker() {
    let log = JobLog::default();
    let mut cursor = log.open(Resume::FromStart, Detail::Plain).unwrap();
    let count = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    for _ in 0..3 {
        assert!(log.poll_read(&mut cursor, &mut cx).is_pending());
    }
    assert_eq!(log.inner.lock().waiting.len(), 1);
    log.append_tokens(&tokens(&["a", "b"]));
    log.append_tokens(&tokens(&["c"]));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(log.poll_read(&mut cursor, &mut cx).is_ready());
    assert!(log.poll_read(&mut cursor, &mut cx).is_pending());
    log.close(&cursor);
    assert!(log.inner.lock().waiting.is_empty());
}

#[test]
fn an_expired_log_holds_nothing_and_says_so() {
    let log = sample();
    log.expire();
    assert_eq!(
        (log.len(), log.frames(), log.open(Resume::FromStart, Detail::Plain).unwrap_err()),
        (0, None, ResumeError::Expired)
    );
}

#[test]
fn a_writer_and_readers_on_other_threads_agree() {
    let log = Arc::new(JobLog::default());
    let reader = |log: Arc<JobLog>| {
        thread::spawn(move || {
            let (mut cursor, mut seen) = (log.open(Resume::FromStart, Detail::Plain).unwrap(), Vec::new());
            while !drain(&log, &mut cursor, &mut seen) {
                thread::yield_now();
            }
            seen
        })
    };
    let readers: Vec<_> = (0..3).map(|_| reader(Arc::clone(&log))).collect();
    for number in 0..2_000 {
        log.append_tokens(&tokens(&[&format!(" {number}")]));
    }
    log.seal(&[last("end")]);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), log.frames().unwrap());
    }
}

#[test]
fn a_verbose_reader_gets_the_longer_event_under_the_same_id_wherever_it_starts() {
    let log = JobLog::default();
    log.append("started", b"{}");
    log.append_tokens(&tokens(&["a"]));
    let metrics = LastEvent { name: "metrics", data: b"1".to_vec(), verbose: Some(b"12345".to_vec()) };
    log.seal(&[metrics, last("end")]);
    let plain = String::from_utf8(log.frames().unwrap().to_vec()).unwrap();
    let verbose = plain.replace("data: 1\n", "data: 12345\n");
    assert_ne!(plain, verbose);
    for resume in [Resume::FromStart, Resume::After(0), Resume::After(1), Resume::After(2), Resume::After(3)]
    {
        let mut cursor = log.open(resume, Detail::Verbose).unwrap();
        let mut seen = Vec::new();
        assert!(drain(&log, &mut cursor, &mut seen));
        let seen = String::from_utf8(seen).unwrap();
        assert!(verbose.ends_with(&seen), "{resume:?}: {seen}");
        let mut cursor = log.open(resume, Detail::Plain).unwrap();
        let mut short = Vec::new();
        assert!(drain(&log, &mut cursor, &mut short));
        assert_eq!(seen.matches("id: ").count(), String::from_utf8(short).unwrap().matches("id: ").count());
    }
}

#[test]
fn a_text_that_starts_anew_is_told_without_the_old_one_and_its_tokens_count_from_0() {
    let log = JobLog::default();
    log.append("started", b"{}");
    log.append_tokens(&tokens(&["old", " text"]));
    assert_eq!(log.said(), Some(Said { text: "old text".to_owned(), tokens: 2 }));
    log.restart("started", |id| format!("{{\"discard_before_id\":{id}}}").into_bytes());
    assert_eq!(log.said(), Some(Said { text: String::new(), tokens: 0 }));
    log.append_tokens(&tokens(&["new"]));
    assert_eq!(log.said(), Some(Said { text: "new".to_owned(), tokens: 1 }));
    let frames = String::from_utf8(log.frames().unwrap().to_vec()).unwrap();
    let expected = "id: 3\nevent: started\ndata: {\"discard_before_id\":3}\n\n\
        id: 4\nevent: token\ndata: {\"t\":\"new\",\"i\":0}\n\n";
    assert!(frames.ends_with(expected), "{frames}");
}

/// A log of a job that survives the process.
fn kept() -> JobLog {
    JobLog::new(Framing::Events, Shown::WhenKept)
}

fn names(frames: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(frames);
    text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect()
}

//= ORCH-3405 type=test
#[test]
fn nothing_is_shown_before_it_is_kept_and_the_last_events_come_last() {
    let log = kept();
    let mut cursor = log.open(Resume::FromStart, Detail::Plain).unwrap();
    let mut seen = Vec::new();
    log.append("started", b"{}");
    log.append_tokens(&tokens(&["a", "b"]));
    assert!(!drain(&log, &mut cursor, &mut seen));
    assert!(seen.is_empty());
    // A reader cannot resume behind what nobody can have seen.
    assert_eq!(log.open(Resume::After(0), Detail::Plain).unwrap_err(), ResumeError::Future { last: None });
    log.show(1);
    assert!(!drain(&log, &mut cursor, &mut seen));
    assert_eq!(names(&seen), ["started"]);
    let future = log.open(Resume::After(1), Detail::Plain).unwrap_err();
    assert_eq!(future, ResumeError::Future { last: Some(0) });
    log.show_all();
    assert!(!drain(&log, &mut cursor, &mut seen));
    assert_eq!(names(&seen), ["started", "token", "token"]);
    assert!(log.seal(&[last("metrics"), last("end")]));
    assert!(!drain(&log, &mut cursor, &mut seen), "the end is held back");
    assert_eq!(names(&seen).len(), 3);
    log.release();
    assert!(drain(&log, &mut cursor, &mut seen));
    assert_eq!(names(&seen), ["started", "token", "token", "metrics", "end"]);
    assert_eq!(seen, log.frames().unwrap());
}

#[test]
fn an_end_before_anything_was_shown_is_held_back_too() {
    let log = kept();
    let mut cursor = log.open(Resume::FromStart, Detail::Plain).unwrap();
    let mut seen = Vec::new();
    assert!(log.seal(&[last("metrics"), last("error")]));
    assert!(!drain(&log, &mut cursor, &mut seen));
    log.release();
    assert!(drain(&log, &mut cursor, &mut seen));
    assert_eq!(names(&seen), ["metrics", "error"]);
}

#[test]
fn each_event_is_handed_on_once_and_all_parts_are_the_log() {
    let log = kept();
    let mut parts = Vec::new();
    for round in 0..5 {
        log.append_tokens(&tokens(&vec!["x"; round]));
        log.keep(|part| parts.push(part));
    }
    assert!(log.seal(&[last("metrics"), last("end")]));
    log.keep_all(|part| parts.push(part));
    log.keep_all(|_| panic!("there is nothing new"));
    assert_eq!(parts.iter().map(|part| part.first_id).collect::<Vec<_>>(), [0, 1, 3, 6, 10]);
    let again = JobLog::whole_of(&parts).unwrap();
    assert_eq!((again.frames(), again.tokens()), (log.frames(), log.tokens()));
    assert_eq!(again.said(), log.said());
}

//= ORCH-3406 type=test
#[test]
fn a_further_life_goes_on_at_its_own_ids_and_a_reader_finds_its_place() {
    let log = kept();
    log.append("started", b"{}");
    log.append_tokens(&tokens(&["a", "b"]));
    let mut parts = Vec::new();
    log.keep(|part| parts.push(part));
    // This one was read, and a crash took it.
    log.append_tokens(&tokens(&["c"]));
    let again = JobLog::restored(&parts, 1 << 21).unwrap();
    assert_eq!((again.tokens(), again.last_id()), (2, Some(2)));
    let mut cursor = again.open(Resume::After(3), Detail::Plain).unwrap();
    again.append("started", b"{\"attempt\":2}");
    again.keep(|part| parts.push(part));
    again.show_all();
    let mut seen = Vec::new();
    assert!(!drain(&again, &mut cursor, &mut seen));
    assert_eq!(seen, b"id: 2097152\nevent: started\ndata: {\"attempt\":2}\n\n");
    let third = JobLog::restored(&parts, 2 << 21).unwrap();
    assert_eq!((third.frames(), third.last_id()), (again.frames(), Some(1 << 21)));
}

// H06
#[test]
fn a_reader_of_the_future_is_refused_also_before_the_first_word_of_a_further_life() {
    let log = kept();
    log.append("started", b"{}");
    log.append_tokens(&tokens(&["a"]));
    let mut parts = Vec::new();
    log.keep(|part| parts.push(part));
    let again = JobLog::restored(&parts, 1 << 21).unwrap();
    for id in [1 << 21, u32::MAX] {
        let refused = again.open(Resume::After(id), Detail::Plain).map(|_| ());
        assert_eq!(refused, Err(ResumeError::Future { last: Some(1) }), "{id}");
    }
}

//= ORCH-3402 type=test
#[test]
fn a_log_with_a_hole_in_it_is_not_taken_for_whole() {
    let log = sample();
    let mut parts = Vec::new();
    log.keep(|part| parts.push(part));
    let whole = parts.pop().unwrap();
    let half = whole.frames.len() / 2;
    for broken in [
        Part { first_id: 1, ..whole.clone() },
        Part { events: whole.events + 1, ..whole.clone() },
        Part { events: whole.events - 1, ..whole.clone() },
        Part { frames: whole.frames.slice(..half), ..whole.clone() },
        Part { frames: whole.frames.slice(half..), ..whole.clone() },
    ] {
        assert!(JobLog::whole_of(std::slice::from_ref(&broken)).is_err(), "{broken:?}");
    }
    assert!(JobLog::whole_of(&[whole.clone(), whole]).is_err());
}

#[test]
fn a_suspended_log_sends_its_readers_away_without_an_end() {
    let log = kept();
    log.append("started", b"{}");
    log.show_all();
    let mut cursor = log.open(Resume::FromStart, Detail::Plain).unwrap();
    log.suspend();
    let mut seen = Vec::new();
    assert!(drain(&log, &mut cursor, &mut seen));
    assert_eq!(names(&seen), ["started"]);
    assert!(!log.append("late", b"{}"));
}

//= ORCH-3405 type=test
#[test]
fn the_last_events_wait_for_the_end_of_their_job_to_be_kept() {
    let log = JobLog::new(Framing::Events, Shown::WhenKept);
    log.append_tokens(&tokens(&["a", "b"]));
    log.seal(&[last("metrics"), last("end")]);
    let mut parts = Vec::new();
    log.keep(|part| parts.push(part));
    log.keep(|part| panic!("{part:?} is kept without the end"));
    log.keep_all(|part| parts.push(part));
    log.keep_all(|part| panic!("{part:?} is kept twice"));
    let told: Vec<_> = parts.iter().map(|part| (part.first_id, part.events)).collect();
    assert_eq!(told, [(0, 2), (2, 2)]);
    assert_eq!([&parts[0].frames[..], &parts[1].frames[..]].concat(), log.frames().unwrap());
    assert!(parts[1].frames.starts_with(b"id: 2\nevent: metrics\n"));
}
