//! A scripted engine as the harness of the seam's suite, so that an adapter's test is a few lines.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use adapter_api::{
    WorkerAdapter,
    conformance::{Behaviour, Harness},
};
use async_trait::async_trait;

use super::{Act, Ending, Persona, Script, ScriptedEngine, Seen, Voice, body_end, lock};

/// Makes an adapter for the engine at a URL.
type Make = Box<dyn Fn(&str) -> Arc<dyn WorkerAdapter> + Send + Sync>;
/// What the engine sends when it refuses: to be told apart by the behaviour.
type Refusal = fn(Behaviour) -> Script;

/// An engine of one persona that behaves as the suite asks.
pub struct WireHarness {
    persona: Persona,
    refusal: Refusal,
    make: Make,
    /// All that were started; one answer each.
    engines: Mutex<Vec<Arc<ScriptedEngine>>>,
}

impl fmt::Debug for WireHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireHarness").field("persona", &self.persona).finish_non_exhaustive()
    }
}

impl WireHarness {
    /// A harness for the adapters that `make` makes, whose engine says no as `refusal` does.
    pub fn new(
        persona: Persona,
        refusal: Refusal,
        make: impl Fn(&str) -> Arc<dyn WorkerAdapter> + Send + Sync + 'static,
    ) -> Self {
        Self { persona, refusal, make: Box::new(make), engines: Mutex::default() }
    }

    /// How many engines were started.
    pub fn engines(&self) -> usize {
        lock(&self.engines).len()
    }

    /// All requests for work that came to any of them.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.engines).iter().flat_map(|engine| engine.seen()).collect()
    }

    fn script(&self, behaviour: Behaviour) -> Script {
        let (voice, texts) = (self.persona.voice(), quoted(behaviour.texts()));
        let then = |acts: Vec<Act>| [voice.begun(&texts), acts].concat();
        match behaviour {
            Behaviour::Good | Behaviour::Escapes => voice.completion(&texts, Ending::Eos),
            Behaviour::Limit => voice.completion(&texts, Ending::Limit),
            Behaviour::CutCharacters => cut_characters(voice),
            Behaviour::TalksOn => then(vec![
                voice.end(Ending::Eos, texts.len()),
                voice.token(" four", texts.len() + 1),
                voice.end(Ending::Limit, texts.len() + 1),
                body_end(),
            ]),
            // What was sent must arrive before the reset overtakes it.
            Behaviour::DiesBeforeFirstToken | Behaviour::DiesAfterTokens => {
                then(vec![Act::Pause(Duration::from_millis(100)), Act::Reset])
            }
            Behaviour::EndsWithoutMarker => then(vec![body_end()]),
            Behaviour::Garbage => {
                then(vec![Act::Chunk(b"data: {\"index\":0,]\n\n".to_vec()), Act::UntilGone])
            }
            Behaviour::EndlessLine => {
                let part = [b"10000\r\n".as_slice(), &vec![b'x'; 0x10000], b"\r\n"].concat();
                then(vec![Act::Repeat(part, 1_000)])
            }
            Behaviour::Stalls => then(vec![Act::UntilGone]),
            Behaviour::Refuses | Behaviour::Busy | Behaviour::Loading => (self.refusal)(behaviour),
        }
    }
}

/// An event for each part of a text that is cut inside its characters. Only the first counts a token,
/// since an engine counts what it made, not what it could show.
fn cut_characters(voice: Voice) -> Script {
    let texts = Behaviour::CutCharacters.texts();
    let mut script = voice.begun::<&str>(&[]);
    for (index, text) in texts.iter().enumerate() {
        script.extend(text.as_bytes().chunks(2).map(|part| voice.token(part, index + 1)));
    }
    script.extend([voice.end(Ending::Eos, texts.len()), body_end()]);
    script
}

/// Texts as they stand inside a JSON string.
fn quoted(texts: &[&str]) -> Vec<String> {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if u32::from(c) < 0x20 => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    texts.iter().map(|text| text.chars().map(escaped).collect()).collect()
}

#[async_trait]
impl Harness for WireHarness {
    #[expect(clippy::expect_used, reason = "a test double that cannot start has nothing to show")]
    async fn adapter(&self, behaviour: Behaviour) -> Arc<dyn WorkerAdapter> {
        let engine =
            ScriptedEngine::start_as(self.persona.clone()).await.expect("loopback can be listened on");
        engine.push(self.script(behaviour));
        let adapter = (self.make)(&engine.url());
        lock(&self.engines).push(Arc::new(engine));
        adapter
    }

    fn can_show(&self, _: Behaviour) -> bool {
        true
    }

    async fn is_generating(&self) -> bool {
        lock(&self.engines).last().is_some_and(|engine| engine.completions() > 0)
    }
}
