//! Bodies as providers were seen to send them, 2023-2026.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::limit::QuotaKind;

fn read(status: u16, body: &str) -> Finding {
    let status = StatusCode::from_u16(status).expect("a status");
    classify(status, &HeaderMap::new(), body.as_bytes())
}

fn envelope(kind: &str, code: &str, message: &str) -> String {
    serde_json::json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
        .to_string()
}

const TPM: &str = "Rate limit reached for gpt-4o in organization org-X on tokens per min (TPM): \
    Limit 30000, Used 29500, Requested 1100. Please try again in 1.2s. Visit \
    https://platform.openai.com/account/rate-limits to learn more.";
const RPD: &str = "Rate limit reached for gpt-4o in organization org-X on requests per day (RPD): \
    Limit 200, Used 200, Requested 1. Please try again in 7m12s.";
const LARGE: &str = "Request too large for gpt-4o in organization org-X on tokens per min (TPM): \
    Limit 30000, Requested 40000. The input or output tokens must be reduced in order to run \
    successfully.";

const GROQ: &str = "Request too large for model `llama-3.1-8b-instant` in organization `org_x` service \
    tier `on_demand` on tokens per minute (TPM): Limit 6000, Requested 12328, please reduce your \
    message size and try again.";
const ANTHROPIC: &str = "This request would exceed the rate limit for your organization (x) of \
    20,000 input tokens per minute. Please reduce the prompt length or the maximum tokens \
    requested, or try again later.";

fn azure(what: &str, seconds: u64) -> String {
    let message = format!(
        "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-08-01 \
         have exceeded {what} rate limit of your current OpenAI S0 pricing tier. Please retry \
         after {seconds} seconds. Please go here if you would like to further increase the default \
         rate limit."
    );
    serde_json::json!({"error": {"code": "429", "message": message}}).to_string()
}

fn google(quota: &str, limit: u64) -> String {
    let message = format!(
        "You exceeded your current quota, please check your plan and billing details.\n* Quota \
         exceeded for metric: generativelanguage.googleapis.com/x, limit: {limit}\nPlease retry in \
         47.434392449s."
    );
    serde_json::json!([{"error": {
        "code": 429,
        "message": message,
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [
                {"quotaMetric": "generativelanguage.googleapis.com/x", "quotaId": quota},
            ]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "47.434s"},
        ],
    }}])
    .to_string()
}

#[test]
fn the_code_decides_before_the_type() {
    struct Case {
        name: &'static str,
        status: u16,
        body: String,
        verdict: Verdict,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { name: "tokens",             status: 429, body: envelope("tokens", "rate_limit_exceeded", TPM), verdict: Verdict::RateLimited },
        Case { name: "requests a day",     status: 429, body: envelope("requests", "rate_limit_exceeded", RPD), verdict: Verdict::RateLimited },
        Case { name: "too large",          status: 429, body: envelope("tokens", "rate_limit_exceeded", LARGE), verdict: Verdict::TooLarge },
        Case { name: "larger than limit",  status: 429, body: envelope("tokens", "rate_limit_exceeded", "Limit 3, Used 0, Requested 4."), verdict: Verdict::TooLarge },
        Case { name: "ramp",               status: 429, body: envelope("rate_limit_error", "slow_down", "Slow down."), verdict: Verdict::SlowDown },
        Case { name: "older no quota",     status: 429, body: envelope("insufficient_quota", "insufficient_quota", "You exceeded your current quota."), verdict: Verdict::OutOfQuota },
        Case { name: "no credit",          status: 429, body: envelope("insufficient_quota", "credit_balance_exhausted", ""), verdict: Verdict::OutOfQuota },
        Case { name: "spend limit",        status: 429, body: envelope("billing", "project_spend_limit_exceeded", ""), verdict: Verdict::OutOfQuota },
        Case { name: "code over type",     status: 429, body: envelope("insufficient_quota", "rate_limit_exceeded", TPM), verdict: Verdict::RateLimited },
        Case { name: "type, no known code", status: 429, body: envelope("insufficient_quota", "brand_new_code", ""), verdict: Verdict::OutOfQuota },
        Case { name: "flex",               status: 429, body: envelope("invalid_request_error", "resource_unavailable", "429 Resource Unavailable"), verdict: Verdict::Overloaded },
        Case { name: "azure capacity",     status: 429, body: "The service is temporarily unable to process your request.".into(), verdict: Verdict::Overloaded },
        Case { name: "gemini",             status: 429, body: r#"[{"error":{"code":429,"message":"Resource has been exhausted","status":"RESOURCE_EXHAUSTED"}}]"#.into(), verdict: Verdict::RateLimited },
        Case { name: "no body",            status: 429, body: String::new(), verdict: Verdict::RateLimited },
        Case { name: "html",               status: 429, body: "<html>Too many</html>".into(), verdict: Verdict::RateLimited },
        Case { name: "cut off",            status: 429, body: format!("{{\"error\":{{\"message\":\"{LARGE}"), verdict: Verdict::TooLarge },
        Case { name: "bad key",            status: 401, body: envelope("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-x."), verdict: Verdict::KeyRejected },
        Case { name: "restricted key",     status: 401, body: envelope("invalid_request_error", "", "You have insufficient permissions for this operation. Missing scopes: api.model.read."), verdict: Verdict::BadRequest },
        Case { name: "no balance",         status: 402, body: r#"{"error":{"message":"Insufficient Balance"}}"#.into(), verdict: Verdict::OutOfQuota },
        Case { name: "country",            status: 403, body: envelope("invalid_request_error", "unsupported_country_region_territory", ""), verdict: Verdict::BadRequest },
        Case { name: "deactivated",        status: 403, body: envelope("invalid_request_error", "account_deactivated", ""), verdict: Verdict::KeyRejected },
        Case { name: "no model",           status: 404, body: envelope("invalid_request_error", "model_not_found", ""), verdict: Verdict::NoSuchModel },
        Case { name: "error is a text",    status: 400, body: r#"{"error":"nope"}"#.into(), verdict: Verdict::BadRequest },
        Case { name: "code is a number",   status: 502, body: r#"{"error":{"code":502,"message":"upstream"}}"#.into(), verdict: Verdict::ServerError },
        Case { name: "overloaded",         status: 503, body: envelope("service_unavailable_error", "server_is_overloaded", ""), verdict: Verdict::Overloaded },
        Case { name: "anthropic",          status: 529, body: r#"{"type":"error","error":{"type":"overloaded_error"}}"#.into(), verdict: Verdict::Overloaded },
        Case { name: "server error",       status: 500, body: envelope("server_error", "server_error", ""), verdict: Verdict::ServerError },
        Case { name: "azure tokens",       status: 429, body: azure("token", 9), verdict: Verdict::RateLimited },
        Case { name: "azure calls",        status: 429, body: azure("call", 26), verdict: Verdict::RateLimited },
        Case { name: "azure, for ever",    status: 429, body: azure("token", 86_400), verdict: Verdict::TooLarge },
        Case { name: "azure demand",       status: 429, body: envelope("", "429", "We are currently experiencing high demand."), verdict: Verdict::Overloaded },
        Case { name: "anthropic limit",    status: 429, body: envelope("invalid_request_error", "rate_limit_error", ANTHROPIC), verdict: Verdict::RateLimited },
        Case { name: "anthropic spend",    status: 429, body: r#"{"type":"error","error":{"type":"rate_limit_error","error_code":"enforced_spend_limit_reached","message":"x"}}"#.into(), verdict: Verdict::OutOfQuota },
        Case { name: "anthropic credit",   status: 400, body: envelope("invalid_request_error", "", "Your credit balance is too low to access the Anthropic API."), verdict: Verdict::OutOfQuota },
        Case { name: "groq too large",     status: 413, body: envelope("tokens", "rate_limit_exceeded", GROQ), verdict: Verdict::TooLarge },
        Case { name: "body too large",     status: 413, body: "<html>Payload Too Large</html>".into(), verdict: Verdict::BadRequest },
        Case { name: "groq flex",          status: 498, body: envelope("", "capacity_exceeded", "Flex tier capacity exceeded."), verdict: Verdict::Overloaded },
        Case { name: "mistral",            status: 429, body: r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}"#.into(), verdict: Verdict::RateLimited },
        Case { name: "mistral capacity",   status: 429, body: r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"invalid_request_error","param":null,"code":null}"#.into(), verdict: Verdict::Overloaded },
        Case { name: "cerebras",           status: 429, body: r#"{"message":"Requests per minute limit exceeded - too many requests sent.","type":"too_many_requests_error","param":"quota","code":"request_quota_exceeded"}"#.into(), verdict: Verdict::RateLimited },
        Case { name: "openrouter",         status: 429, body: r#"{"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"50","X-RateLimit-Remaining":"0"}}}}"#.into(), verdict: Verdict::RateLimited },
        Case { name: "openrouter credit",  status: 402, body: r#"{"error":{"message":"This request requires more credits, or fewer max_tokens.","code":402,"metadata":{"provider_name":null}}}"#.into(), verdict: Verdict::OutOfQuota },
        Case { name: "google details",     status: 429, body: google("GenerateContentPaidTierInputTokensPerModelPerMinute", 4_000_000), verdict: Verdict::RateLimited },
        Case { name: "google, no quota",   status: 429, body: google("GenerateRequestsPerDayPerProjectPerModel-FreeTier", 0), verdict: Verdict::TooLarge },
        Case { name: "google's dead key",  status: 400, body: r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#.into(), verdict: Verdict::KeyRejected },
        Case { name: "ollama's line",      status: 503, body: r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#.into(), verdict: Verdict::RateLimited },
        Case { name: "answered",           status: 200, body: envelope("tokens", "rate_limit_exceeded", TPM), verdict: Verdict::Fine },
    ];
    for case in cases {
        assert_eq!(read(case.status, &case.body).verdict, case.verdict, "{}", case.name);
    }
}

#[test]
fn a_model_that_is_not_there_is_told_from_other_things_that_are_not() {
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("no model, vLLM", 404, r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}"#.into(), Verdict::NoSuchModel),
        ("no model, Anthropic", 404, r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}"#.into(), Verdict::NoSuchModel),
        ("no deployment", 404, r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#.into(), Verdict::NoSuchModel),
        ("no model, DeepSeek", 400, envelope("invalid_request_error", "invalid_request_error", "Model Not Exist"), Verdict::NoSuchModel),
        ("no path", 404, r#"{"detail":"Not Found"}"#.into(), Verdict::BadRequest),
        ("no file", 404, envelope("invalid_request_error", "", "No such File object: file-1"), Verdict::BadRequest),
    ];
    for (name, status, body, verdict) in cases {
        assert_eq!(read(status, &body).verdict, verdict, "{name}");
    }
}

#[test]
fn the_providers_arithmetic_is_read() {
    let finding = read(429, &envelope("tokens", "rate_limit_exceeded", TPM));
    let refusal = RefusalHint {
        quota: Some(QuotaKind::TokensPerMinute),
        limit: 30_000,
        used: Some(29_500),
        requested: 1_100,
    };
    assert_eq!(finding.refusal, Some(refusal));
    assert_eq!(finding.retry_after, Some(Duration::from_millis(1_200)));
    let large = read(429, &envelope("tokens", "rate_limit_exceeded", LARGE)).refusal;
    assert_eq!(large.map(|refusal| (refusal.used, refusal.requested)), Some((None, 40_000)));
    let day = read(429, &envelope("requests", "rate_limit_exceeded", RPD)).refusal;
    assert_eq!(day.and_then(|refusal| refusal.quota), Some(QuotaKind::RequestsPerDay));
    let groq = read(413, &envelope("tokens", "rate_limit_exceeded", GROQ)).refusal;
    assert_eq!(groq.map(|refusal| (refusal.limit, refusal.requested)), Some((6_000, 12_328)));
}

#[test]
fn the_limit_that_refused_is_named_in_many_ways() {
    #[rustfmt::skip] // One case a line.
    let cases = [
        (envelope("tokens", "rate_limit_exceeded", TPM),        Some(QuotaKind::TokensPerMinute), Some(1_200)),
        (envelope("requests", "rate_limit_exceeded", RPD),      Some(QuotaKind::RequestsPerDay), Some(432_000)),
        (envelope("", "rate_limit_error", ANTHROPIC),           Some(QuotaKind::InputTokensPerMinute), None),
        (azure("token", 9),                                     Some(QuotaKind::TokensPerMinute), Some(9_000)),
        (azure("call", 26),                                     Some(QuotaKind::RequestsPerMinute), Some(26_000)),
        (envelope("", "1300", "Requests rate limit exceeded"),  Some(QuotaKind::RequestsPerMinute), None),
        (envelope("", "", "Rate limit exceeded: free-models-per-day. Add 10"), Some(QuotaKind::RequestsPerDay), None),
        (envelope("", "", "Tokens per minute limit exceeded"),  Some(QuotaKind::TokensPerMinute), None),
        (google("GenerateContentPaidTierInputTokensPerModelPerMinute", 9), Some(QuotaKind::InputTokensPerMinute), Some(47_434)),
        (google("GenerateRequestsPerDayPerProjectPerModel-FreeTier", 9), Some(QuotaKind::RequestsPerDay), Some(47_434)),
        (google("Anything", 9),                                 None, Some(47_434)),
        (envelope("", "", "Number of concurrent connections has exceeded your rate limit."), Some(QuotaKind::Concurrency), None),
        (envelope("", "", "Too many requests"),                 None, None),
    ];
    for (body, quota, millis) in cases {
        let finding = read(429, &body);
        let wait = finding.retry_after.map(|wait| wait.as_millis());
        assert_eq!((finding.quota, wait), (quota, millis), "{body}");
    }
    let capacity = envelope("", "slow_down", "Please slow down your requests per minute.");
    assert_eq!(read(429, &capacity).quota, None, "a ramp is no limit of ours");
}

#[test]
fn a_header_goes_before_the_message() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("3"));
    let body = envelope("tokens", "rate_limit_exceeded", TPM);
    let finding = classify(StatusCode::TOO_MANY_REQUESTS, &headers, body.as_bytes());
    assert_eq!(finding.retry_after, Some(Duration::from_secs(3)));
}

proptest! {
    #[test]
    fn no_body_panics(
        status in 100_u16..1000,
        body in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let status = StatusCode::from_u16(status).expect("in range");
        let _finding = classify(status, &HeaderMap::new(), &body);
    }

    #[test]
    fn nothing_like_a_message_panics(
        text in "(Limit|Used|Requested|try again in |retry after |[0-9]{0,25}|[,:. µé{}\"]){0,12}",
    ) {
        let body = envelope("tokens", "rate_limit_exceeded", &text);
        let _finding = read(429, &body);
    }
}
