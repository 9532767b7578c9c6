//! What makes two requests alike for an engine.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use adapter_api::{Generate, Work, WorkOrder};

/// The same for orders with the same model, input and parameters. Neither seed nor session counts.
pub(super) fn likeness(key: &RandomState, order: &WorkOrder) -> u64 {
    let mut hasher = key.build_hasher();
    (&order.model, order.work.workload()).hash(&mut hasher);
    match &order.work {
        Work::Generate(generate) => hash(generate, &mut hasher),
        Work::Embed(documents) => documents.hash(&mut hasher),
        Work::Rerank { query, documents } => (query, documents).hash(&mut hasher),
        Work::Relay(relay) => (relay.route, &relay.members).hash(&mut hasher),
    }
    hasher.finish()
}

fn hash(generate: &Generate, hasher: &mut impl Hasher) {
    let sampling = &generate.sampling;
    (&generate.input, generate.max_tokens, generate.shape).hash(hasher);
    (sampling.top_k, &sampling.stop).hash(hasher);
    let numbers = [
        sampling.temperature,
        sampling.top_p,
        sampling.min_p,
        sampling.presence_penalty,
        sampling.frequency_penalty,
        sampling.repeat_penalty,
    ];
    numbers.map(|number| number.map(f64::to_bits)).hash(hasher);
}

#[cfg(test)]
mod tests {
    use adapter_api::{Input, Prompt};

    use super::*;

    fn alike(left: &Work, right: &Work) -> bool {
        let key = RandomState::new();
        let of = |work: &Work| {
            let order =
                WorkOrder { request_id: "r".into(), model: "m".into(), work: work.clone(), trace: None };
            likeness(&key, &order)
        };
        of(left) == of(right)
    }

    fn generate(prompt: &str, change: impl FnOnce(&mut Generate)) -> Work {
        let mut generate = Generate::from(Input::text(prompt), 8);
        change(&mut generate);
        Work::Generate(generate)
    }

    #[test]
    fn a_seed_makes_no_other_request_and_a_parameter_does() {
        let one = generate("p", |_| {});
        assert!(alike(&one, &generate("p", |it| it.sampling.seed = Some(7))));
        assert!(!alike(&one, &generate("q", |_| {})));
        assert!(!alike(&one, &generate("p", |it| it.sampling.min_p = Some(0.5))));
        assert!(!alike(&one, &generate("p", |it| it.sampling.stop = vec!["x".to_owned()])));
    }

    #[test]
    fn texts_that_are_cut_elsewhere_are_other_requests() {
        let embed = |texts: &[&str]| Work::Embed(texts.iter().map(|text| Prompt::new(*text)).collect());
        assert!(alike(&embed(&["a", "b"]), &embed(&["a", "b"])));
        assert!(!alike(&embed(&["ab"]), &embed(&["a", "b"])));
        let rerank = Work::Rerank { query: Prompt::new("a"), documents: vec![Prompt::new("b")] };
        assert!(!alike(&rerank, &embed(&["a", "b"])));
    }
}
