//! The log under every order in which a writer, a cancel and readers may meet.
//!
//! Run with `cargo test -p orchestratord --features shuttle --lib interleavings`. A wake-up that is
//! lost shows as a deadlock, which the tester reports with the schedule that leads to it.

#![cfg(test)]

use std::{future::poll_fn, sync::Arc};

use adapter_api::TokenBatch;
use shuttle::{check_pct, check_random, future::block_on, thread};

use super::log::{Detail, Framing, JobLog, LastEvent, Resume, Shown};

fn check(scenario: impl Fn() + Send + Sync + Clone + 'static) {
    check_random(scenario.clone(), 3_000);
    check_pct(scenario, 3_000, 3);
}

fn append(log: &JobLog, text: &str) -> bool {
    let mut batch = TokenBatch::new();
    batch.push(text);
    log.append_tokens(&batch)
}

fn seal(log: &JobLog, why: &'static str) -> bool {
    log.seal(&[LastEvent { name: why, data: b"{}".to_vec(), verbose: None }])
}

/// Reads until the end, or until so many reads have brought something.
fn read(log: &JobLog, resume: Resume, reads_max: usize) -> String {
    let mut cursor = log.open(resume, Detail::Plain).expect("the reader starts at an event that is there");
    let mut seen = Vec::new();
    for _ in 0..reads_max {
        match block_on(poll_fn(|cx| log.poll_read(&mut cursor, cx))) {
            Some(bytes) => seen.extend_from_slice(&bytes),
            None => break,
        }
    }
    log.close(&cursor);
    String::from_utf8(seen).expect("frames are text")
}

fn last_id(seen: &str) -> Option<u32> {
    seen.lines().filter_map(|line| line.strip_prefix("id: ")).next_back()?.parse().ok()
}

//= ORCH-3026 type=test
#[test]
fn an_end_a_cancel_and_readers_agree_whatever_their_order() {
    check(|| {
        let log = Arc::new(JobLog::default());
        let attempt = {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                let tokens = ["a", "b", "c"].iter().filter(|text| append(&log, text)).count();
                (tokens, seal(&log, "end"))
            })
        };
        let cancel = {
            let log = Arc::clone(&log);
            thread::spawn(move || seal(&log, "canceled"))
        };
        let steady = {
            let log = Arc::clone(&log);
            thread::spawn(move || read(&log, Resume::FromStart, usize::MAX))
        };
        let resumed = {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                let mut seen = read(&log, Resume::FromStart, 1);
                if let Some(last) = last_id(&seen) {
                    seen += &read(&log, Resume::After(last), usize::MAX);
                }
                seen
            })
        };
        let (tokens, ended) = attempt.join().unwrap();
        let canceled = cancel.join().unwrap();
        let (steady, resumed) = (steady.join().unwrap(), resumed.join().unwrap());
        assert!(ended != canceled, "one of the two wins");
        assert_eq!(steady, resumed);
        assert_eq!(steady.as_bytes(), log.frames().unwrap());
        assert_eq!(steady.matches("event: token").count(), tokens);
        let terminal = if ended { "event: end\n" } else { "event: canceled\n" };
        assert!(steady.ends_with(&format!("{terminal}data: {{}}\n\n")), "{steady}");
    });
}

//= ORCH-3030 type=test
#[test]
fn a_lost_engine_a_second_attempt_a_cancel_and_readers_agree_whatever_their_order() {
    check(|| {
        let log = Arc::new(JobLog::default());
        let attempts = {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                append(&log, "lost");
                // The first engine is gone; the second attempt has the log to itself.
                let anew =
                    log.restart("started", |id| format!("{{\"discard_before_id\":{id}}}").into_bytes());
                let tokens = ["a", "b"].iter().filter(|text| append(&log, text)).count();
                (anew, tokens, seal(&log, "end"))
            })
        };
        let cancel = {
            let log = Arc::clone(&log);
            thread::spawn(move || seal(&log, "canceled"))
        };
        let late = {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                let mut seen = read(&log, Resume::FromStart, 1);
                if let Some(last) = last_id(&seen) {
                    seen += &read(&log, Resume::After(last), usize::MAX);
                }
                seen
            })
        };
        let (anew, tokens, ended) = attempts.join().unwrap();
        let (canceled, seen) = (cancel.join().unwrap(), late.join().unwrap());
        assert!(ended != canceled, "one of the two wins");
        assert_eq!(seen.as_bytes(), log.frames().unwrap());
        let text = seen.split("event: started").last().unwrap();
        assert_eq!(anew, seen.contains("discard_before_id"));
        if anew {
            assert_eq!(text.matches("event: token").count(), tokens);
            assert_eq!(log.said().unwrap().text, ["", "a", "ab"][tokens]);
        }
    });
}

#[test]
fn a_reader_of_a_log_that_is_given_up_comes_to_an_end() {
    check(|| {
        let log = Arc::new(JobLog::default());
        append(&log, "a");
        let reader = {
            let log = Arc::clone(&log);
            let cursor = log.open(Resume::FromStart, Detail::Plain).unwrap();
            thread::spawn(move || {
                let mut cursor = cursor;
                while block_on(poll_fn(|cx| log.poll_read(&mut cursor, cx))).is_some() {}
            })
        };
        seal(&log, "end");
        log.expire();
        reader.join().unwrap();
        assert!(log.frames().is_none());
    });
}

/// Whatever is kept when, a reader gets the log from its start and to its end, and no wake-up is lost.
//= ORCH-3405 type=test
#[test]
fn a_reader_of_a_log_that_is_kept_gets_all_of_it_whatever_the_order() {
    check(|| {
        let log = Arc::new(JobLog::new(Framing::Events, Shown::WhenKept));
        let writer = {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                append(&log, "a");
                append(&log, "b");
                seal(&log, "end");
                log.release();
            })
        };
        let keeper = {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                log.show(1);
                log.show_all();
            })
        };
        let seen = read(&log, Resume::FromStart, usize::MAX);
        writer.join().expect("the writer ends");
        keeper.join().expect("the keeper ends");
        assert_eq!(last_id(&seen), Some(2));
        assert_eq!(seen.matches("id: ").count(), 3);
    });
}
