//! What an answer's status, headers and error body mean.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::hint;
use super::message::{SERVER_BUSY, Words};
use crate::limit::{QuotaKind, RefusalHint};

/// What became of a request, as far as its key and account are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was answered.
    Fine,
    /// It was answered, but would have been without quota, too.
    Accepted,
    /// The request itself was at fault; says nothing of key and account.
    BadRequest,
    /// The provider, or the account, does not have the model.
    NoSuchModel,
    /// The provider does not accept the key.
    KeyRejected,
    /// The account has no money or quota left: waiting does not help.
    OutOfQuota,
    /// A rate limit refused it: waiting helps.
    RateLimited,
    /// The account raised its traffic too fast: the provider wants it slower.
    SlowDown,
    /// It is larger than the limit: waiting does not help.
    TooLarge,
    /// The provider has too much to do.
    Overloaded,
    /// The provider failed.
    ServerError,
    /// No answer came.
    Unreachable,
}

impl Verdict {
    /// Tells whether others than the one who asked have to know.
    const fn is_trouble(self) -> bool {
        matches!(
            self,
            Self::KeyRejected
                | Self::OutOfQuota
                | Self::SlowDown
                | Self::Overloaded
                | Self::ServerError
        )
    }
}

/// What an answer tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What became of the request.
    pub verdict: Verdict,
    /// The provider's own arithmetic, where the error's message has it.
    pub refusal: Option<RefusalHint>,
    /// Which limit refused, where the error says so.
    pub quota: Option<QuotaKind>,
    /// When the provider says to come back: by header, else by the error's message.
    pub retry_after: Option<Duration>,
    /// What was said of a key that is not accepted, or of an account or a provider that cannot serve.
    pub said: Option<Box<str>>,
}

impl Finding {
    /// Creates a finding that is a verdict and nothing else.
    pub const fn of(verdict: Verdict) -> Self {
        Self { verdict, refusal: None, quota: None, retry_after: None, said: None }
    }
}

/// Reads an answer; `body` may be empty, cut off, or no JSON at all, and is only looked at for a
/// status of 400 and above, the first 64 KiB of it.
pub fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Finding {
    if status.as_u16() < 400 {
        return Finding::of(Verdict::Fine);
    }
    let words = Words::read(body);
    let verdict = match status.as_u16() {
        400 | 404 if is_about_a_model(status, &words) => Verdict::NoSuchModel,
        400 if says(&words, &DEAD_KEY_WORDS) => Verdict::KeyRejected,
        400 if says(&words, &NO_CREDIT_WORDS) => Verdict::OutOfQuota,
        401 if is_about_permission(&words) => Verdict::BadRequest,
        401 => Verdict::KeyRejected,
        402 => Verdict::OutOfQuota,
        403 if DEAD_KEY.contains(&words.code.as_str()) => Verdict::KeyRejected,
        // Groq's status for what can never fit.
        413 if words.code == "rate_limit_exceeded" => Verdict::TooLarge,
        429 => of_too_many_requests(&words),
        // Groq's own status for a lack of flex capacity.
        498 => Verdict::Overloaded,
        501 | 505 => Verdict::BadRequest,
        503 if says(&words, &[SERVER_BUSY]) => Verdict::RateLimited,
        503 | 529 => Verdict::Overloaded,
        500..=599 if is_overload(&words) => Verdict::Overloaded,
        500..=599 => Verdict::ServerError,
        _ => Verdict::BadRequest,
    };
    let by_limit = matches!(verdict, Verdict::RateLimited | Verdict::TooLarge);
    let (refusal, quota) = if by_limit { (words.refusal(), words.quota()) } else { (None, None) };
    let retry_after = hint::retry_after(headers).or_else(|| words.retry_after());
    let said = verdict.is_trouble().then(|| words.said(status).into());
    Finding { verdict, refusal, quota, retry_after, said }
}

/// The code decides; the type only where the code is unknown, because the type may stay
/// `insufficient_quota` with any code (OpenAI's error guide,
/// <https://platform.openai.com/docs/guides/error-codes>, read 2026-11-21).
fn of_too_many_requests(words: &Words) -> Verdict {
    match words.code.as_str() {
        code if OUT_OF_QUOTA.contains(&code) => return Verdict::OutOfQuota,
        "slow_down" => return Verdict::SlowDown,
        "rate_limit_exceeded" if words.is_too_large() => return Verdict::TooLarge,
        "rate_limit_exceeded" => return Verdict::RateLimited,
        _ => {}
    }
    if words.kind == "insufficient_quota" {
        Verdict::OutOfQuota
    } else if words.is_too_large() {
        Verdict::TooLarge
    } else if is_overload(words) {
        Verdict::Overloaded
    } else {
        Verdict::RateLimited
    }
}

/// Tells whether the key is accepted, but not for this: restricted keys get a 401 or 403 with such
/// a message.
fn is_about_permission(words: &Words) -> bool {
    let is_dead = DEAD_KEY.contains(&words.code.as_str());
    !is_dead && says(words, &PERMISSION)
}

/// Tells whether it is the model that is not there, and not the path.
fn is_about_a_model(status: StatusCode, words: &Words) -> bool {
    let said = words.message.to_ascii_lowercase();
    let is_missing = MISSING.iter().any(|mark| said.contains(mark));
    NO_MODEL_CODES.contains(&words.code.as_str())
        || says(words, &NO_MODEL_WORDS)
        || status == StatusCode::NOT_FOUND
            && (words.kind == "not_found_error" && said.starts_with("model:")
                || said.contains("model") && is_missing)
}

fn is_overload(words: &Words) -> bool {
    OVERLOAD_CODES.iter().any(|mark| words.code == *mark || words.kind == *mark)
        || says(words, &OVERLOAD_WORDS)
}

fn says(words: &Words, marks: &[&str]) -> bool {
    marks.iter().any(|mark| words.message.contains(mark))
}

/// Codes of 429 that no waiting cures: OpenAI's rate limit and error guides (the first five),
/// captures of the older ones, and Anthropic's spend cap; all read 2026-11-21.
const OUT_OF_QUOTA: [&str; 8] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
    "enforced_spend_limit_reached",
];
/// OpenAI's and Groq's, and Azure's (<https://github.com/gethouston/houston/pull/1438>); read 2026-11-22.
const NO_MODEL_CODES: [&str; 2] = ["model_not_found", "DeploymentNotFound"];
/// DeepSeek's, which come with status 400 (<https://github.com/deepwn/addi/issues/13>, read 2026-11-22).
const NO_MODEL_WORDS: [&str; 1] = ["Model Not Exist"];
/// How a 404 says of a model that it is missing: vLLM's and Ollama's words, and Google's. Anthropic names the
/// model and nothing else (<https://github.com/mattermost/mattermost-plugin-agents/issues/257>, read 2026-11-22).
const MISSING: [&str; 2] = ["does not exist", "not found"];
const DEAD_KEY: [&str; 2] = ["invalid_api_key", "account_deactivated"];
/// Google's, which come with status 400; read 2026-11-22.
const DEAD_KEY_WORDS: [&str; 2] = ["API key not valid", "API key expired"];
/// Anthropic's, which come with status 400
/// (<https://github.com/anthropics/claude-code/issues/66314>, read 2026-11-22).
const NO_CREDIT_WORDS: [&str; 1] = ["credit balance is too low"];
const PERMISSION: [&str; 2] = ["insufficient permissions", "Missing scopes"];
/// OpenAI's, Anthropic's, that of flex processing, and Cerebras'.
const OVERLOAD_CODES: [&str; 4] =
    ["server_is_overloaded", "overloaded_error", "resource_unavailable", "queue_exceeded"];
/// Azure's words for a lack of capacity, which is no quota of the account's, flex processing's, and
/// Mistral's (<https://github.com/continuedev/continue/issues/6185>); read 2026-11-22.
const OVERLOAD_WORDS: [&str; 4] = [
    "temporarily unable to process",
    "high demand",
    "Resource Unavailable",
    "Service tier capacity exceeded",
];

#[cfg(test)]
mod tests;
