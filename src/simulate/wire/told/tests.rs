//! Every dialect's words for everything that happens, read as its clients do.

use std::time::Duration;

use crate::simulate::engine::{Refusal, Refused429};

use super::*;

fn refused(metric: Metric) -> Refused429 {
    let shown = Vec::new();
    Refused429 { organisation: "org-sim".into(), metric, limit: 30_000, requested: 500, shown }
}

fn error(refusal: Refusal) -> WireError {
    WireError::refusal(refusal, "sk-sim-1", "some-model")
}

fn over_limit(metric: Metric) -> WireError {
    let wait = Duration::from_millis(1_200);
    error(Refusal::RateLimited { lane: refused(metric), used: 29_900, wait })
}

#[test]
fn anthropic_says_the_same_of_what_is_over_the_limit_now_and_of_what_always_will_be() {
    let large = error(Refusal::TooLarge { lane: refused(Metric::InputPerMinute) });
    for error in [over_limit(Metric::InputPerMinute), large] {
        let Told { status, body } = error.told(Dialect::Anthropic, "req_1");
        assert_eq!((status, &body["type"]), (StatusCode::TOO_MANY_REQUESTS, &json!("error")));
        assert_eq!(body["error"]["type"], "rate_limit_error");
        assert_eq!((body["error"].get("code"), &body["request_id"]), (None, &json!("req_1")));
        let words = body["error"]["message"].as_str().expect("words");
        assert!(words.contains("rate limit of 30,000 input tokens per minute"), "{words}");
    }
    let mut headers = HeaderMap::new();
    over_limit(Metric::RequestsPerMinute).add_retry_after(Dialect::Anthropic, &mut headers);
    assert_eq!(headers.len(), 1, "{headers:?}");
    assert_eq!(headers["retry-after"], "2");
}

#[test]
fn what_is_over_a_limit_is_told_in_each_vendors_words() {
    #[rustfmt::skip] // One case a line: dialect, status, where the message stands, what it says.
    let cases = [
        (Dialect::OpenAi,     429, "/error/message",   "on tokens per min (TPM): Limit 30000, Used 29900, Requested 500. Please try again in 1.2s."),
        (Dialect::Azure,      429, "/error/message",   "have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 2 seconds."),
        (Dialect::Anthropic,  429, "/error/message",   "rate limit of 30,000 tokens per minute"),
        (Dialect::Groq,       429, "/error/message",   "service tier `on_demand` on tokens per minute (TPM): Limit 30000, Used 29900, Requested 500. Please try again in 1.2s."),
        (Dialect::Mistral,    429, "/message",         "Rate limit exceeded"),
        (Dialect::Together,   429, "/error/message",   "The maximum rate limit for this model is 30000 tokens per second"),
        (Dialect::Cerebras,   429, "/message",         "Tokens per minute limit exceeded - too many tokens processed."),
        (Dialect::SambaNova,  429, "/error/message",   "Rate limit reached"),
        (Dialect::Fireworks,  429, "/error",           "Too Many Requests"),
        (Dialect::OpenRouter, 429, "/error/message",   "Rate limit exceeded: free-models-per-min."),
        (Dialect::DeepSeek,   429, "/error/message",   "Rate limit reached"),
        (Dialect::Gemini,     429, "/0/error/message", "Please retry in 1.2s."),
        (Dialect::Vllm,       429, "/message",         "Rate limit reached"),
        (Dialect::Ollama,     429, "/error/message",   "Rate limit reached"),
    ];
    for (dialect, status, place, words) in cases {
        let told = over_limit(Metric::TokensPerMinute).told(dialect, "req_1");
        let message = told.body.pointer(place).and_then(Value::as_str).unwrap_or_default();
        assert!(message.contains(words), "{dialect:?}: {}", told.body);
        assert_eq!(told.status.as_u16(), status, "{dialect:?}");
    }
}

#[test]
fn what_else_goes_wrong_has_the_vendors_status() {
    let key = || error(Refusal::InvalidKey);
    let money = || error(Refusal::OutOfQuota { organisation: "org-sim".into() });
    let large = || error(Refusal::TooLarge { lane: refused(Metric::TokensPerMinute) });
    let overload = || WireError::server_error(true);
    #[rustfmt::skip] // One case a line: key, money, model, larger than a limit, overload.
    let cases = [
        (Dialect::OpenAi,     [401, 429, 404, 429, 503]),
        (Dialect::Azure,      [401, 429, 404, 429, 429]),
        (Dialect::Anthropic,  [401, 400, 404, 429, 529]),
        (Dialect::Groq,       [401, 429, 404, 413, 503]),
        (Dialect::Mistral,    [401, 429, 404, 429, 429]),
        (Dialect::Cerebras,   [401, 429, 404, 429, 429]),
        (Dialect::OpenRouter, [401, 402, 400, 429, 503]),
        (Dialect::DeepSeek,   [401, 402, 400, 429, 503]),
        (Dialect::Gemini,     [400, 429, 404, 429, 503]),
        (Dialect::Vllm,       [401, 429, 404, 429, 503]),
    ];
    for (dialect, expected) in cases {
        let errors = [key(), money(), WireError::no_model("x"), large(), overload()];
        let told = errors.map(|error| error.told(dialect, "req_1").status.as_u16());
        assert_eq!(told, expected, "{dialect:?}");
    }
}
