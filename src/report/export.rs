//! What a provider says was used: the pages of OpenAI's usage and costs of an organisation.
//!
//! `GET /v1/organization/usage/completions` (`embeddings`, `moderations`, `images`, `audio_speeches`,
//! `audio_transcriptions`) and `GET /v1/organization/costs` answer with pages of buckets, which say from when
//! until when, with results (<https://developers.openai.com/api/reference/resources/admin/subresources/organization/subresources/usage>,
//! <https://cookbook.openai.com/examples/completions_usage_api>, both read 2026-11-22). A file may hold one page,
//! a list of pages or of buckets, or several of these one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::range::Range;
use crate::units::scaled;

/// What a provider says was used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Export {
    /// What was used when, in order; no two are of the same time.
    pub buckets: Vec<Bucket>,
    /// Whether the provider has more pages than the file.
    pub is_cut: bool,
}

/// What was used in some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// From when until when.
    pub range: Range,
    /// What was used by kind of use and model; of no model: of all of them together.
    pub used: BTreeMap<UsedFor, Told>,
    /// What that cost in pico-dollars, where the file tells: credits are below zero.
    pub cost: Option<i128>,
}

/// For what something was used, and by which model.
pub type UsedFor = (Use, Option<Arc<str>>);

/// For what something was used, as the provider counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Answers of language models, whatever the endpoint.
    Completions,
    /// Embeddings.
    Embeddings,
    /// Moderations.
    Moderations,
    /// Images.
    Images,
    /// Texts read aloud.
    Speeches,
    /// Sound written down.
    Transcriptions,
}

/// What the provider tells; `None` of what it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Requests.
    pub requests: Option<u64>,
    /// Tokens of input, cached ones included.
    pub input: Option<u64>,
    /// Cached ones.
    pub cached: Option<u64>,
    /// Tokens of output.
    pub output: Option<u64>,
    /// Images.
    pub images: Option<u64>,
    /// Characters read aloud.
    pub characters: Option<u64>,
    /// Seconds of sound.
    pub seconds: Option<u64>,
}

/// Why an export cannot be read.
#[derive(Debug, Error)]
pub enum ExportError {
    /// It is not JSON, or not of this form.
    #[error("it is no page of OpenAI's usage or costs")]
    Form(#[from] serde_json::Error),
    /// A bucket makes no sense.
    #[error("the bucket that begins at {start} {what}")]
    Bucket {
        /// Where it begins, in seconds since 1970-01-01 UTC.
        start: i64,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing is in it.
    #[error("there are no buckets in it")]
    Empty,
}

impl Export {
    /// Reads an export.
    ///
    /// # Errors
    ///
    /// Returns an [`ExportError`] that says what is wrong, and where.
    pub fn read(text: &str) -> Result<Self, ExportError> {
        let mut export = Self::default();
        let mut buckets = BTreeMap::new();
        for value in serde_json::Deserializer::from_str(text).into_iter::<Box<RawValue>>() {
            export.take(value?.get(), &mut buckets)?;
        }
        if buckets.is_empty() {
            return Err(ExportError::Empty);
        }
        export.buckets = buckets.into_values().collect();
        let ends = export.buckets.iter().map(|bucket| bucket.range.end);
        let begins = export.buckets.iter().skip(1);
        if let Some((_, late)) = ends.zip(begins).find(|(end, next)| next.range.begin < *end) {
            let start = i64::try_from(late.range.begin.as_secs()).unwrap_or(i64::MAX);
            let what = "begins before the one before it ends".to_owned();
            return Err(ExportError::Bucket { start, what });
        }
        Ok(export)
    }

    /// Takes in a page, a bucket, or a list of such.
    fn take(&mut self, text: &str, buckets: &mut Buckets) -> Result<(), ExportError> {
        if text.trim_start().starts_with('[') {
            let list: Vec<&RawValue> = serde_json::from_str(text)?;
            return list.into_iter().try_for_each(|one| self.take(one.get(), buckets));
        }
        let Object { object } = serde_json::from_str(text)?;
        if object == "bucket" {
            return add(serde_json::from_str(text)?, buckets);
        }
        let page: RawPage = serde_json::from_str(text)?;
        // Pages follow each other: whether there are more stands on the last.
        self.is_cut = page.has_more;
        page.data.into_iter().try_for_each(|bucket| add(bucket, buckets))
    }
}

type Buckets = BTreeMap<Duration, Bucket>;

/// Adds a bucket to what is known of its time.
fn add(raw: RawBucket, buckets: &mut Buckets) -> Result<(), ExportError> {
    let RawBucket { start_time: start, end_time, results, result } = raw;
    let wrong = |what: String| ExportError::Bucket { start, what };
    let second = |at: i64| u64::try_from(at).ok().filter(|at| *at <= Range::ALL.end.as_secs());
    let ends = second(start).zip(second(end_time)).filter(|(begin, end)| begin < end);
    let (begin, end) = ends.ok_or_else(|| wrong(format!("ends at {end_time}")))?;
    let range = Range { begin: Duration::from_secs(begin), end: Duration::from_secs(end) };
    let fresh = Bucket { range, used: BTreeMap::new(), cost: None };
    let bucket = buckets.entry(range.begin).or_insert(fresh);
    if bucket.range != range {
        return Err(wrong("stands there twice, of different lengths".to_owned()));
    }
    for result in results.into_iter().chain(result) {
        let kind = result.object.clone();
        if kind == COSTS {
            let amount =
                result.amount.ok_or_else(|| wrong("has costs without an amount".to_owned()))?;
            let pico = amount.pico().map_err(wrong)?;
            bucket.cost = Some(bucket.cost.unwrap_or_default().saturating_add(pico));
        } else if let Some(what) = Use::of(&kind) {
            let key = (what, result.model.clone().map(Arc::from));
            bucket.used.entry(key).or_default().add(&result);
        } else {
            return Err(wrong(format!(
                "has results of the kind `{kind}`, which is not known here"
            )));
        }
    }
    Ok(())
}

impl Use {
    /// Returns the use that results of this kind tell of.
    fn of(object: &str) -> Option<Self> {
        let name = object.strip_prefix("organization.usage.")?.strip_suffix(".result")?;
        Some(match name {
            "completions" => Self::Completions,
            "embeddings" => Self::Embeddings,
            "moderations" => Self::Moderations,
            "images" => Self::Images,
            "audio_speeches" => Self::Speeches,
            "audio_transcriptions" => Self::Transcriptions,
            _ => return None,
        })
    }

    /// Returns for what a request to this endpoint uses something.
    pub(super) fn at(endpoint: &str) -> Self {
        match endpoint {
            "/embeddings" => Self::Embeddings,
            "/moderations" => Self::Moderations,
            "/audio/speech" => Self::Speeches,
            "/audio/transcriptions" | "/audio/translations" => Self::Transcriptions,
            path if path.starts_with("/images") => Self::Images,
            _ => Self::Completions,
        }
    }
}

impl Told {
    fn add(&mut self, more: &RawResult) {
        let add = |sum: &mut Option<u64>, more: Option<u64>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or_default().saturating_add(more));
            }
        };
        add(&mut self.requests, more.num_model_requests);
        add(&mut self.input, more.input_tokens);
        add(&mut self.cached, more.input_cached_tokens);
        add(&mut self.output, more.output_tokens);
        add(&mut self.images, more.images);
        add(&mut self.characters, more.characters);
        add(&mut self.seconds, more.seconds);
    }
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    object: String,
}

#[derive(Deserialize)]
struct RawPage {
    data: Vec<RawBucket>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct RawBucket {
    start_time: i64,
    end_time: i64,
    #[serde(default)]
    results: Vec<RawResult>,
    /// Some descriptions of the format name it so.
    #[serde(default)]
    result: Vec<RawResult>,
}

#[derive(Deserialize)]
struct RawResult {
    object: String,
    model: Option<String>,
    num_model_requests: Option<u64>,
    input_tokens: Option<u64>,
    input_cached_tokens: Option<u64>,
    output_tokens: Option<u64>,
    images: Option<u64>,
    characters: Option<u64>,
    seconds: Option<u64>,
    amount: Option<RawAmount>,
}

#[derive(Deserialize)]
struct RawAmount {
    value: Box<RawValue>,
    #[serde(default)]
    currency: Option<String>,
}

impl RawAmount {
    /// Returns the amount in pico-dollars, rounded half up.
    fn pico(&self) -> Result<i128, String> {
        let currency = self.currency.as_deref().unwrap_or("usd");
        if !currency.eq_ignore_ascii_case("usd") {
            return Err(format!("has an amount in `{currency}`, not in US dollars"));
        }
        let text = self.value.get().trim_matches('"');
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let pico = scaled(digits, PICO_DIGITS).map(|(pico, _)| sign * i128::from(pico));
        pico.ok_or_else(|| format!("has `{text}` for an amount"))
    }
}

/// How results tell that they are of costs.
const COSTS: &str = "organization.costs.result";
/// A dollar has ten to this power of pico-dollars.
const PICO_DIGITS: i32 = 12;
