//! The models that an engine serves, and by which name it is asked for one.

use std::sync::Mutex;

use serde::Deserialize;

/// `GET /v1/models`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Models {
    /// All that are served.
    #[serde(default)]
    pub data: Vec<Model>,
}

/// One served model.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Model {
    /// The name that a request must give.
    pub id: String,
    /// Where its files are, by vLLM's word.
    pub root: Option<String>,
    /// Its context, by vLLM's word.
    pub max_model_len: Option<u32>,
    /// llama.cpp's further words.
    pub meta: Option<ModelMeta>,
    /// Further names, by llama.cpp's word.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// What llama.cpp adds to a model.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ModelMeta {
    /// The context of one slot.
    pub n_ctx: Option<u32>,
}

impl Model {
    /// Its context in tokens, where the engine tells.
    pub fn context(&self) -> Option<u32> {
        self.max_model_len.or(self.meta.as_ref().and_then(|meta| meta.n_ctx))
    }

    /// Every name by which a client may ask for it: id, aliases, path, and the last part of each.
    fn names(&self) -> impl Iterator<Item = &str> {
        let whole = std::iter::once(&self.id).chain(&self.aliases).chain(&self.root);
        whole.flat_map(|name| [name.as_str(), name.rsplit('/').next().unwrap_or_default()])
    }
}

/// All names of all models, each once.
pub fn model_names(models: &Models) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in models.data.iter().flat_map(Model::names) {
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// What was learnt last, for the orders that come between two looks.
#[derive(Debug, Default)]
pub struct ServedModels {
    known: Mutex<Vec<Model>>,
}

impl ServedModels {
    /// Keeps what the engine said.
    pub fn learn(&self, models: &Models) {
        if let Ok(mut known) = self.known.lock() {
            known.clone_from(&models.data);
        }
    }

    /// The engine's own name for what a client asked for.
    pub fn id_for(&self, asked: &str) -> String {
        let Ok(known) = self.known.lock() else { return asked.to_owned() };
        let by_id = known.iter().find(|model| model.id == asked);
        let named = by_id.or_else(|| known.iter().find(|model| model.names().any(|name| name == asked)));
        // A lone model is meant whatever it was called: the operator may have named it.
        let meant = named.or_else(|| known.first().filter(|_| known.len() == 1));
        meant.map_or_else(|| asked.to_owned(), |model| model.id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(text: &str) -> Models {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_model_answers_to_each_of_its_names_once() {
        let told =
            models(r#"{"data":[{"id":"org/tiny","root":"/m/tiny","aliases":["small"]},{"id":"big"}]}"#);
        assert_eq!(model_names(&told), ["org/tiny", "tiny", "small", "/m/tiny", "big"]);
    }

    #[test]
    fn the_engine_is_asked_by_its_own_name() {
        let served = ServedModels::default();
        assert_eq!(served.id_for("x"), "x");
        served.learn(&models(r#"{"data":[{"id":"/m/a.gguf"},{"id":"b"}]}"#));
        assert_eq!(["a.gguf", "b", "x"].map(|asked| served.id_for(asked)), ["/m/a.gguf", "b", "x"]);
        served.learn(&models(r#"{"data":[{"id":"only"}]}"#));
        assert_eq!(served.id_for("the-operators-name"), "only");
    }

    #[test]
    fn a_context_is_read_in_either_engines_words() {
        let told = models(
            r#"{"data":[{"id":"a","max_model_len":4096},{"id":"b","meta":{"n_ctx":8192}},{"id":"c"}]}"#,
        );
        let contexts: Vec<_> = told.data.iter().map(Model::context).collect();
        assert_eq!(contexts, [Some(4_096), Some(8_192), None]);
    }
}
