//! The bodies of the requests, and what the listening provider will answer to them.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sluicegate::simulate::engine::Limits;
use sluicegate::simulate::{Config, Latency, Outputs, Provider};
use tokio::task::JoinSet;

use crate::play::work::Job;

/// How long answers are, as [`Flow::chats`](crate::play::scenario::Flow::chats) has it.
pub(super) const OUTPUTS: Outputs = Outputs { mean: 143.0, sigma: 0.6 };

/// Writes a body for each job, asks a provider without limits what it answers, and puts the lengths into the
/// jobs. The same seed answers the same later.
pub(super) async fn scout(seed: u64, jobs: &mut [Job]) -> Vec<Bytes> {
    let config = Config {
        outputs: OUTPUTS,
        latency: Latency { first_token: FAST, per_token: FAST, jitter: 0.0 },
        seed,
        ..Config::single(KEY, Limits::default())
    };
    let provider = Provider::bind(config).await.expect("a port");
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let url = format!("{}/chat/completions", provider.base_url());
    let writings: Vec<Writing> = jobs.iter().map(Writing::of).collect();
    let mut asked = JoinSet::new();
    for (number, writing) in writings.iter().enumerate() {
        if asked.len() >= AT_ONCE {
            take(&mut asked, jobs).await;
        }
        let request = Request::post(&url)
            .header("authorization", format!("Bearer {KEY}"))
            .body(Full::from(writing.body(Form::Whole)))
            .expect("a request");
        let answer = client.request(request);
        asked.spawn(async move {
            let body = answer.await.expect("an answer").into_body();
            let body = body.collect().await.expect("a whole one").to_bytes();
            let answer: Value = serde_json::from_slice(&body).expect("JSON");
            let tokens = |name: &str| answer["usage"][name].as_u64().expect("usage");
            (number, tokens("prompt_tokens"), tokens("completion_tokens"))
        });
    }
    while !asked.is_empty() {
        take(&mut asked, jobs).await;
    }
    for (job, writing) in jobs.iter_mut().zip(&writings) {
        job.cost.characters = writing.characters();
    }
    let form = |job: &Job| if job.stream { Form::Stream } else { Form::Whole };
    jobs.iter().zip(&writings).map(|(job, writing)| writing.body(form(job)).into()).collect()
}

const KEY: &str = "sk-scout";
const FAST: Duration = Duration::from_nanos(1);
const AT_ONCE: usize = 64;

/// A job's number, and how many tokens its prompt and its answer have.
type Told = (usize, u64, u64);

/// Puts what one answer tells into its job.
async fn take(asked: &mut JoinSet<Told>, jobs: &mut [Job]) {
    let Some(told) = asked.join_next().await else { return };
    let (number, prompt, output) = told.expect("no task panics");
    let job = &mut jobs[number];
    let written = (job.total - job.first).div_f64(small(job.cost.output));
    (job.cost.prompt, job.cost.output) = (prompt, output);
    job.total = job.first + written.mul_f64(small(output));
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn small(count: u64) -> f64 {
    count as f64
}

/// How an answer is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    Stream,
}

/// What a client writes.
#[derive(Debug)]
struct Writing {
    text: String,
    bound: Option<u64>,
}

impl Writing {
    /// Writes a prompt of about the job's tokens and characters which no other job has.
    fn of(job: &Job) -> Self {
        let mut words = Vec::new();
        let mut rest = job.number;
        while rest > 0 || words.is_empty() {
            words.push(NAMES[rest % NAMES.len()]);
            rest /= NAMES.len();
        }
        // The role and the framing are 7 tokens.
        let count = usize::try_from(job.cost.prompt).unwrap_or(0).saturating_sub(7);
        let each = small(job.cost.characters) / small(job.cost.prompt.max(1));
        let mut owed = 0.0;
        while words.len() < count {
            // A blank and so many letters are one token.
            owed += each - 1.0;
            let word = if owed >= 4.5 { "about" } else { "for" };
            owed -= small(word.len() as u64);
            words.push(word);
        }
        Self { text: words.join(" "), bound: job.cost.bound }
    }

    /// Returns the characters that a provider sees: the role's and the text's.
    fn characters(&self) -> u64 {
        ("user".len() + self.text.len()) as u64
    }

    fn body(&self, form: Form) -> String {
        let mut body = json!({
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": self.text}],
        });
        if let Some(bound) = self.bound {
            body["max_tokens"] = bound.into();
        }
        if form == Form::Stream {
            body["stream"] = true.into();
        }
        body.to_string()
    }
}

/// Words of one token each, as digits of a job's number.
const NAMES: [&str; 16] = [
    "red", "blue", "green", "black", "white", "stone", "river", "house", "tree", "bird", "king",
    "road", "moon", "fire", "wind", "snow",
];
