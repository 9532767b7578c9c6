//! Whether what a task's clients were told is what its stream and its view say at the end.

use serde_json::Value;

use super::{
    engine,
    frames::Frame,
    task::{Breach, Cancel, Task},
};

/// How many ids each life of a task has, from a start of the server to its end.
pub(crate) const IDS_PER_LIFE: u32 = 1 << 21;

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    Canceled,
    Failed,
}

/// Judges a whole stream of a task that has ended, and its view.
pub(crate) fn judge(task: &Task, stream: &[Frame], view: &Value) -> Result<Ending, Breach> {
    let breach = |what: String| {
        let ids: Vec<_> = stream.iter().map(|frame| frame.id).collect();
        let last = stream.last().map(Frame::shown).unwrap_or_default();
        let Breach(told) = task.breach(&what);
        Breach(format!(
            "{told}\n  ids kept {}, the last event {last}\n  view {view}",
            super::task::spans(&ids)
        ))
    };
    let last = is_one_stream(stream).map_err(breach)?;
    nothing_was_lost(task, stream, last).map_err(breach)?;
    let ending = ending(task, last, view).map_err(breach)?;
    text_is_whole(task, stream, (ending, view)).map_err(breach)?;
    Ok(ending)
}

/// Ids rise without a gap inside each life, and the one terminal event is the last.
fn is_one_stream(stream: &[Frame]) -> Result<&Frame, String> {
    let mut next = 0;
    for frame in stream {
        if frame.id != next && (frame.id < next || frame.id % IDS_PER_LIFE != 0) {
            return Err(format!("event {} stands where {next} should", frame.id));
        }
        next = frame.id + 1;
    }
    let terminals = stream.iter().filter(|frame| frame.is_terminal()).count();
    match stream.last() {
        Some(last) if last.is_terminal() && terminals == 1 => Ok(last),
        _ => Err(format!("it has {terminals} terminal events, and its last event is not the only one")),
    }
}

/// What readers saw is there, but for what a crash took behind the last event of an earlier life.
fn nothing_was_lost(task: &Task, stream: &[Frame], last: &Frame) -> Result<(), String> {
    if let Some(terminal) = task.terminal.filter(|terminal| *terminal != last.id) {
        return Err(format!("a reader saw the terminal event {terminal}, and now it is {}", last.id));
    }
    for (&id, bytes) in &task.seen {
        if let Ok(at) = stream.binary_search_by_key(&id, |frame| frame.id) {
            if stream[at].bytes != *bytes {
                return Err(format!("event {id} has other bytes than a reader saw: {}", stream[at].shown()));
            }
            continue;
        }
        let life = id / IDS_PER_LIFE;
        let kept = stream.iter().rev().find(|frame| frame.id / IDS_PER_LIFE == life);
        if life >= last.id / IDS_PER_LIFE || kept.is_some_and(|kept| kept.id > id) {
            return Err(format!("event {id} was seen and is not there, and no crash explains it"));
        }
    }
    Ok(())
}

/// The last event, the view, and what a cancel was told agree.
fn ending(task: &Task, last: &Frame, view: &Value) -> Result<Ending, String> {
    let canceled = last.data()["finish_reason"] == "canceled";
    let (ending, state) = match (last.name(), canceled) {
        ("end", false) => (Ending::Completed, "completed"),
        ("end", true) => (Ending::Canceled, "canceled"),
        _ => (Ending::Failed, "failed"),
    };
    if view["state"] != state || task.over.as_deref().is_some_and(|over| over != state) {
        return Err(format!("its stream says that it is {state}, and its view does not"));
    }
    match task.cancel {
        Cancel::Done if ending != Ending::Canceled => {
            Err("a cancel was answered with 204, and it ended otherwise".to_owned())
        }
        Cancel::TooLate if ending == Ending::Canceled => {
            Err("a cancel was answered with 409, and it is canceled".to_owned())
        }
        _ => Ok(ending),
    }
}

/// What the tokens say, read as a client must read them, is the answer or its beginning.
fn text_is_whole(task: &Task, stream: &[Frame], (ending, view): (Ending, &Value)) -> Result<(), String> {
    let (mut text, mut tokens) = (String::new(), 0_u64);
    for frame in stream {
        let data = frame.data();
        match frame.name() {
            "token" => {
                if data["i"] != tokens {
                    return Err(format!("token {tokens} is {}", frame.shown()));
                }
                text.push_str(data["t"].as_str().unwrap_or_default());
                tokens += 1;
            }
            "started" if data.get("discard_before_id").is_some() => (text, tokens) = (String::new(), 0),
            _ => {}
        }
    }
    let whole = engine::text(task.asked.salt, task.asked.tokens);
    if !whole.starts_with(&text) || (ending == Ending::Completed && text != whole) {
        return Err(format!("its text is {text:?}"));
    }
    if view["text"] != text {
        return Err(format!("its text is {text:?}, and its view has another"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chaos::{dice::Dice, task::Asked};

    const LIFE: u32 = IDS_PER_LIFE;

    /// A task of three tokens.
    fn task() -> Task {
        let mut asked = Asked::new(&mut Dice::new(1));
        (asked.salt, asked.tokens) = (7, 3);
        Task::new(asked)
    }

    fn event(id: u32, name: &str, data: &Value) -> Frame {
        let bytes = format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into_bytes().into();
        Frame { id, bytes }
    }

    fn token(id: u32, number: u32) -> Frame {
        event(id, "token", &json!({ "t": format!(" 7.{number}"), "i": number }))
    }

    fn completed() -> (Vec<Frame>, Value) {
        let stream = vec![
            event(0, "started", &json!({})),
            token(1, 0),
            token(2, 1),
            token(3, 2),
            event(4, "metrics", &json!({})),
            event(5, "end", &json!({ "finish_reason": "length" })),
        ];
        (stream, json!({ "state": "completed", "text": " 7.0 7.1 7.2" }))
    }

    fn told(task: &Task, (stream, view): &(Vec<Frame>, Value)) -> String {
        judge(task, stream, view).unwrap_err().0
    }

    #[test]
    fn a_whole_stream_passes() {
        let (stream, view) = completed();
        assert_eq!(judge(&task(), &stream, &view), Ok(Ending::Completed));
    }

    #[test]
    fn what_a_crash_took_may_be_missing_and_nothing_else_may() {
        // The first life kept its first token, and the second one started anew.
        let stream = vec![
            event(0, "started", &json!({})),
            token(1, 0),
            event(LIFE, "started", &json!({ "discard_before_id": LIFE })),
            token(LIFE + 1, 0),
            token(LIFE + 2, 1),
            token(LIFE + 3, 2),
            event(LIFE + 4, "end", &json!({ "finish_reason": "length" })),
        ];
        let whole = (stream, json!({ "state": "completed", "text": " 7.0 7.1 7.2" }));
        let mut task = task();
        task.saw(None, &token(2, 1)).unwrap();
        assert_eq!(judge(&task, &whole.0, &whole.1), Ok(Ending::Completed));
        let mut holed = whole.clone();
        holed.0.remove(1);
        task.saw(None, &token(1, 0)).unwrap();
        assert_eq!(judge(&task, &holed.0, &holed.1), Ok(Ending::Completed), "it may have taken both");
        task.saw(None, &token(LIFE + 9, 8)).unwrap();
        assert!(told(&task, &whole).contains("no crash explains it"));
    }

    #[test]
    fn an_event_with_other_bytes_is_a_breach() {
        let mut task = task();
        task.saw(None, &event(4, "metrics", &json!({ "other": 1 }))).unwrap();
        assert!(told(&task, &completed()).contains("other bytes"));
    }

    #[test]
    fn a_gap_a_second_end_and_a_missing_end_are_breaches() {
        let (stream, view) = completed();
        let without = |at: usize| {
            let mut stream = stream.clone();
            stream.remove(at);
            (stream, view.clone())
        };
        assert!(told(&task(), &without(2)).contains("stands where 2 should"));
        assert!(told(&task(), &without(5)).contains("0 terminal events"));
        let mut twice = stream.clone();
        twice.push(event(6, "end", &json!({})));
        assert!(told(&task(), &(twice, view.clone())).contains("2 terminal events"));
        assert!(told(&task(), &(Vec::new(), view)).contains("0 terminal events"));
    }

    #[test]
    fn another_end_than_the_one_that_was_seen_or_told_is_a_breach() {
        let mut seen = task();
        seen.terminal = Some(9);
        assert!(told(&seen, &completed()).contains("saw the terminal event 9"));
        let canceled = Task { cancel: Cancel::Done, ..task() };
        assert!(told(&canceled, &completed()).contains("204"));
        let shown = Task { over: Some("failed".to_owned()), ..task() };
        assert!(told(&shown, &completed()).contains("its view does not"));
        let (mut stream, _) = completed();
        stream[5] = event(5, "end", &json!({ "finish_reason": "canceled" }));
        let whole = (stream, json!({ "state": "canceled", "text": " 7.0 7.1 7.2" }));
        assert_eq!(judge(&canceled, &whole.0, &whole.1), Ok(Ending::Canceled));
        let refused = Task { cancel: Cancel::TooLate, ..task() };
        assert!(told(&refused, &whole).contains("409"));
    }

    #[test]
    fn a_lost_token_of_a_completed_task_is_a_breach() {
        let (mut stream, view) = completed();
        stream.truncate(3);
        stream.push(event(3, "end", &json!({ "finish_reason": "length" })));
        assert!(told(&task(), &(stream, view)).contains("its text is"));
        let (stream, _) = completed();
        let view = json!({ "state": "completed", "text": " 7.0" });
        assert!(told(&task(), &(stream, view)).contains("its view has another"));
    }
}
