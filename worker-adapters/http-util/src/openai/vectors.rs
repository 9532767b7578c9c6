//! Work that yields no tokens: vectors by `OpenAI`'s route, rankings by the route that engines share.

use adapter_api::{AdapterError, Finish, Prompt, Usage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::relay::one_line;
use crate::whole::WholeReader;

/// The body of `/v1/embeddings`. Numbers are asked for, not their base64.
pub fn embedding_body(texts: &[Prompt], model: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Call<'a> {
        model: &'a str,
        input: Vec<&'a str>,
        encoding_format: &'static str,
    }
    let input = texts.iter().map(Prompt::expose).collect();
    serde_json::to_vec(&Call { model, input, encoding_format: "float" }).unwrap_or_default()
}

/// The body of `/v1/rerank`.
pub fn rerank_body(query: &Prompt, documents: &[Prompt], model: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Call<'a> {
        model: &'a str,
        query: &'a str,
        documents: Vec<&'a str>,
        top_n: usize,
    }
    let documents: Vec<_> = documents.iter().map(Prompt::expose).collect();
    let call = Call { model, query: query.expose(), top_n: documents.len(), documents };
    serde_json::to_vec(&call).unwrap_or_default()
}

/// Token counts, as these routes tell them.
#[derive(Debug, Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u32,
    /// Some tell only the sum, which is the prompt's.
    #[serde(default)]
    total_tokens: u32,
}

fn finish(counts: Option<Counts>) -> Finish {
    let prompt = counts.map_or(0, |counts| counts.prompt_tokens.max(counts.total_tokens));
    Finish { usage: Usage { prompt, ..Usage::default() }, ..Finish::default() }
}

fn misfit(_json: serde_json::Error) -> AdapterError {
    AdapterError::Protocol { what: "its answer is not JSON that fits".to_owned() }
}

fn wrong(what: &str) -> AdapterError {
    AdapterError::Protocol { what: what.to_owned() }
}

/// Reads vectors: as many as there were texts, in their order.
#[derive(Debug)]
pub struct EmbeddingReader {
    /// How many texts there were.
    pub texts: usize,
}

#[derive(Deserialize)]
struct Embeddings<'a> {
    #[serde(borrow)]
    data: Vec<Embedding<'a>>,
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Embedding<'a> {
    #[serde(default)]
    index: Option<usize>,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

impl WholeReader for EmbeddingReader {
    fn read(&mut self, document: &[u8]) -> Result<(String, Finish), AdapterError> {
        let answer: Embeddings<'_> = serde_json::from_slice(document).map_err(misfit)?;
        let mut vectors: Vec<Option<&RawValue>> = vec![None; self.texts];
        for (place, one) in answer.data.iter().enumerate() {
            let slot = vectors.get_mut(one.index.unwrap_or(place));
            let slot = slot.ok_or_else(|| wrong("a vector belongs to no text"))?;
            // A vector with anything but numbers in it is no vector; llama.cpp writes null for NaN.
            serde_json::from_str::<Vec<f64>>(one.embedding.get()).map_err(misfit)?;
            *slot = Some(one.embedding);
        }
        let vectors: Option<Vec<_>> = vectors.into_iter().collect();
        let vectors = vectors.ok_or_else(|| wrong("a text has no vector"))?;
        let piece = serde_json::to_vec(&vectors).map_err(misfit)?;
        Ok((one_line(&piece).into_owned(), finish(answer.usage)))
    }
}

/// Reads a ranking: each text once.
#[derive(Debug)]
pub struct RerankReader {
    /// How many texts there were.
    pub texts: usize,
}

#[derive(Deserialize)]
struct Ranking {
    results: Vec<Ranked>,
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Ranked {
    index: usize,
    relevance_score: f64,
}

impl WholeReader for RerankReader {
    fn read(&mut self, document: &[u8]) -> Result<(String, Finish), AdapterError> {
        #[derive(Serialize)]
        struct Placed {
            index: usize,
            score: f64,
        }
        let mut answer: Ranking = serde_json::from_slice(document).map_err(misfit)?;
        let mut seen = vec![false; self.texts];
        for ranked in &answer.results {
            match seen.get_mut(ranked.index) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(wrong("a rank belongs to no text, or to one that has a rank")),
            }
        }
        if seen.contains(&false) {
            return Err(wrong("a text has no rank"));
        }
        answer
            .results
            .sort_by(|a, b| b.relevance_score.total_cmp(&a.relevance_score).then(a.index.cmp(&b.index)));
        let placed = answer.results.iter().map(|it| Placed { index: it.index, score: it.relevance_score });
        let piece = serde_json::to_string(&placed.collect::<Vec<_>>()).map_err(misfit)?;
        Ok((piece, finish(answer.usage)))
    }
}

/// Hands a document on as it is, and reads only what was counted.
#[derive(Debug)]
pub struct DocumentReader;

impl WholeReader for DocumentReader {
    fn read(&mut self, document: &[u8]) -> Result<(String, Finish), AdapterError> {
        #[derive(Deserialize)]
        struct Answer {
            usage: Option<Counts>,
        }
        let answer: Answer = serde_json::from_slice(document).map_err(misfit)?;
        Ok((one_line(document).into_owned(), finish(answer.usage)))
    }
}
