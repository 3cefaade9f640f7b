//! What becomes of each sort of refusal: another try, or the provider's own words at once, and
//! nobody else waits for what is too large.

use crate::house::{App, one_account, proxy};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{Recorder, Reply};

/// A first answer, and what is to come of it.
struct Case {
    name: &'static str,
    status: u16,
    body: &'static str,
    /// How often the provider is asked.
    tries: usize,
    /// What the client gets.
    answered: u16,
}

#[tokio::test]
async fn each_sort_of_refusal_is_dealt_with_in_its_way() {
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { name: "short",       status: 429, tries: 2, answered: 200, body: r#"{"error":{"message":"Rate limit reached on tokens per min (TPM)","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"# },
        Case { name: "anthropic's", status: 429, tries: 2, answered: 200, body: r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed the rate limit of 20,000 input tokens per minute."}}"# },
        Case { name: "google's",    status: 429, tries: 2, answered: 200, body: r#"[{"error":{"code":429,"message":"Resource has been exhausted","status":"RESOURCE_EXHAUSTED"}}]"# },
        Case { name: "ramp",        status: 429, tries: 2, answered: 200, body: r#"{"error":{"message":"Slow down","type":"rate_limit_error","param":null,"code":"slow_down"}}"# },
        Case { name: "overloaded",  status: 529, tries: 2, answered: 200, body: r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"# },
        Case { name: "too large",   status: 429, tries: 1, answered: 429, body: r#"{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"# },
        Case { name: "groq's",      status: 413, tries: 1, answered: 413, body: r#"{"error":{"message":"Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 12328","type":"tokens","code":"rate_limit_exceeded"}}"# },
        Case { name: "azure's",     status: 429, tries: 1, answered: 429, body: r#"{"error":{"code":"429","message":"Requests have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 86400 seconds."}}"# },
        Case { name: "no quota",    status: 429, tries: 1, answered: 429, body: r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"# },
        Case { name: "spend cap",   status: 429, tries: 1, answered: 429, body: r#"{"type":"error","error":{"type":"rate_limit_error","error_code":"enforced_spend_limit_reached","message":"x"}}"# },
        Case { name: "no credit",   status: 402, tries: 1, answered: 402, body: r#"{"error":{"message":"Insufficient Balance","code":402}}"# },
        Case { name: "dead key",    status: 401, tries: 1, answered: 502, body: r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"# },
    ];
    for Case { name, status, body, tries, answered } in cases {
        let recorder = Recorder::start(move |number, _| match number {
            0 => Reply::With(status, body, vec![("retry-after-ms", "30")]),
            _ => Reply::Json(200, SAID),
        })
        .await;
        let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
        let app = App::new(proxy.listen(), "notebook");
        let answer = app.post(CHAT, HELLO).await;
        assert_eq!(answer.status(), answered, "{name}: {}", answer.text());
        assert_eq!(recorder.seen().len(), tries, "{name}");
        let next = app.post(CHAT, HELLO).await;
        assert_eq!(next.status(), 200, "{name}: the next");
        let queued = next.header("x-sluicegate-queued-ms").and_then(|queued| queued.parse().ok());
        assert!(queued.is_some_and(|queued: u64| queued < 400), "{name}: the next had to wait");
        proxy.stop().await;
    }
}
