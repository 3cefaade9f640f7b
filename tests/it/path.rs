//! The whole path with keys and accounts that fail: what is tried again, and what clients see.

use sluicegate::simulate::engine::{Key, KeyState, LimitRule, Limits, Organisation};
use sluicegate::simulate::{Config, Faults, Latency, Provider};

use crate::house::{App, one_account, proxy};
use crate::recorder::{Recorder, Reply};

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const HELLO: &str =
    r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"max_tokens":8}"#;
pub(crate) const SAID: &str = r#"{"id":"c1","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}"#;
const RATE_LIMITED: &str = r#"{"error":{"message":"Rate limit reached for gpt-4o","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
const NO_QUOTA: &str = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
const BAD_KEY: &str = r#"{"error":{"message":"Incorrect API key provided: sk-x.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;
const BROKEN: &str =
    r#"{"error":{"message":"oops","type":"server_error","param":null,"code":null}}"#;

fn organisation(name: &str, keys: Vec<Key>) -> Organisation {
    let limits = Limits { tokens_per_minute: Some(100_000), ..Limits::default() };
    let rule = LimitRule { models: "*".into(), shared: false, limits };
    Organisation { name: name.into(), keys, rules: vec![rule] }
}

fn key(secret: &str, state: KeyState) -> Key {
    Key { state, ..Key::valid(secret) }
}

async fn provider(organisations: Vec<Organisation>) -> Provider {
    let mut config = Config::default();
    config.rules.organisations = organisations;
    config.latency = Latency {
        first_token: std::time::Duration::ZERO,
        per_token: std::time::Duration::ZERO,
        jitter: 0.0,
    };
    Provider::bind(config).await.expect("a provider")
}

/// The name of an account, and its keys.
type Account<'a> = (&'a str, &'a [&'a str]);

/// Returns a configuration of accounts with their keys, labelled by their secrets.
pub(crate) fn accounts(base_url: &str, accounts: &[Account<'_>]) -> String {
    let mut toml = format!("[[upstreams]]\nbase_url = \"{base_url}\"\n");
    for (name, keys) in accounts {
        toml.push_str(&format!("[[upstreams.accounts]]\nname = \"{name}\"\n"));
        for key in *keys {
            toml.push_str(&format!(
                "[[upstreams.accounts.keys]]\nkey = \"{key}\"\nlabel = \"label-{key}\"\n"
            ));
        }
    }
    toml
}

#[tokio::test]
async fn a_rejected_key_is_taken_out_and_the_client_sees_nothing_of_it() {
    let keys = vec![key("sk-bad", KeyState::Invalid), key("sk-good", KeyState::Valid)];
    let provider = provider(vec![organisation("org", keys)]).await;
    let proxy = proxy(&accounts(&provider.base_url(), &[("main", &["sk-bad", "sk-good"])])).await;
    let app = App::new(proxy.listen(), "notebook");
    for _ in 0..5 {
        let answer = app.post(CHAT, HELLO).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("x-sluicegate-key"), Some("label-sk-good"));
    }
    assert_eq!(provider.stats().denied.invalid_key, 1, "the key is asked once");
}

#[tokio::test]
async fn the_last_key_stays_in_use_although_it_was_refused() {
    let recorder = Recorder::start(|n, _| match n {
        0 => Reply::Json(401, BAD_KEY),
        _ => Reply::Json(200, SAID),
    })
    .await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-only", "")).await;
    let app = App::new(proxy.listen(), "notebook");
    let answer = app.post(CHAT, HELLO).await;
    assert_eq!(answer.status(), 502, "{}", answer.text());
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200, "the only key was taken out");
}

#[tokio::test]
async fn an_account_without_quota_makes_room_for_another() {
    let provider = provider(vec![
        organisation("poor", vec![key("sk-poor", KeyState::OutOfQuota)]),
        organisation("rich", vec![key("sk-rich", KeyState::Valid)]),
    ])
    .await;
    let names: [Account<'_>; 2] = [("poor", &["sk-poor"]), ("rich", &["sk-rich"])];
    let proxy = proxy(&accounts(&provider.base_url(), &names)).await;
    let app = App::new(proxy.listen(), "notebook");
    for _ in 0..5 {
        let answer = app.post(CHAT, HELLO).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("x-sluicegate-account"), Some("rich"));
    }
    assert_eq!(provider.stats().denied.out_of_quota, 1);
}

#[tokio::test]
async fn a_429_goes_back_into_the_line_and_the_client_gets_its_answer() {
    let recorder = Recorder::start(|n, _| match n {
        0 => Reply::With(429, RATE_LIMITED, vec![("retry-after-ms", "20")]),
        _ => Reply::Json(200, SAID),
    })
    .await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    let answer = App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await;
    assert_eq!((answer.status().as_u16(), answer.text().as_str()), (200, SAID));
    assert_eq!(recorder.seen().len(), 2);
    assert_eq!(proxy.proxy().metrics().totals().provider_refusals, 1);
}

#[tokio::test]
async fn a_429_is_passed_on_when_the_clients_time_is_up() {
    let recorder = Recorder::start(|_, _| Reply::Json(429, RATE_LIMITED)).await;
    let limit = "[line]\nmax_wait = \"200ms\"\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", limit)).await;
    let answer = App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await;
    assert_eq!(answer.status(), 429);
}

#[tokio::test]
async fn a_failure_is_tried_on_another_account_and_at_last_passed_on() {
    let recorder = Recorder::start(|_, _| Reply::Json(500, BROKEN)).await;
    let names: [Account<'_>; 2] = [("a", &["sk-a"]), ("b", &["sk-b"])];
    let proxy = proxy(&accounts(&recorder.base_url(), &names)).await;
    let answer = App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await;
    assert_eq!((answer.status().as_u16(), answer.text().as_str()), (500, BROKEN));
    let seen = recorder.seen();
    assert_eq!(seen.len(), 4, "so often is it tried");
    let first_two: Vec<_> = seen.iter().take(2).filter_map(|s| s.header("authorization")).collect();
    assert_ne!(first_two.first(), first_two.last(), "the second try asked the same account");
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_tried_again() {
    let recorder = Recorder::start(|n, _| match n {
        0 => Reply::Reset,
        _ => Reply::Json(200, SAID),
    })
    .await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    let answer = App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(recorder.seen().len(), 2);
}

#[tokio::test]
async fn a_response_that_may_have_been_stored_is_not_asked_for_twice() {
    let recorder = Recorder::start(|_, _| Reply::Reset).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", "")).await;
    let body = r#"{"model":"gpt-4o","input":"hi"}"#;
    let answer = App::new(proxy.listen(), "notebook").post("/v1/responses", body).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(recorder.seen().len(), 1);
    let code = answer.json().pointer("/error/code").cloned();
    assert_eq!(code, Some("upstream_unreachable".into()));
}

/// Nothing of a JSON answer goes to the client before all of it is there.
#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again_where_that_is_harmless() {
    let mut config = Config::single("sk-1", Limits::default());
    config.faults = Faults { cut: 1.0, ..Faults::default() };
    config.latency.first_token = std::time::Duration::ZERO;
    config.latency.per_token = std::time::Duration::ZERO;
    let provider = Provider::bind(config).await.expect("a provider");
    let proxy = proxy(&one_account(&provider.base_url(), "sk-1", "")).await;
    let app = App::new(proxy.listen(), "notebook");
    let cut = || provider.stats().lanes.first().map(|lane| lane.tally.cut);
    let answer = app.post(CHAT, HELLO).await;
    assert_eq!(answer.status(), 502);
    let code = answer.json().pointer("/error/code").cloned();
    assert_eq!(code, Some("upstream_cut".into()), "the word of the log");
    assert_eq!(cut(), Some(4), "so often is it tried");
    let body = r#"{"model":"gpt-4o","input":"hi"}"#;
    assert_eq!(app.post("/v1/responses", body).await.status(), 502);
    assert_eq!(cut(), Some(5), "a response that may have been stored is not asked for twice");
}

#[tokio::test]
async fn a_faulty_provider_is_smoothed_over() {
    let mut config =
        Config::single("sk-1", Limits { tokens_per_minute: Some(1_000_000), ..Limits::default() });
    config.faults = Faults { server_error: 0.1, reset: 0.05, cut: 0.05, ..Faults::default() };
    config.latency.first_token = std::time::Duration::ZERO;
    config.latency.per_token = std::time::Duration::ZERO;
    let provider = Provider::bind(config).await.expect("a provider");
    let proxy = proxy(&one_account(&provider.base_url(), "sk-1", "")).await;
    let app = App::new(proxy.listen(), "notebook");
    let mut served = 0;
    for _ in 0..40 {
        served += u32::from(app.post(CHAT, HELLO).await.status() == 200);
    }
    assert!(served >= 38, "{served} of 40 with a fifth of all tries failing");
    let open: usize = proxy.proxy().admission().snapshot().lanes.iter().map(|lane| lane.open).sum();
    assert_eq!(open, 0, "every try is closed");
}

fn own_keys(base_url: &str) -> String {
    format!("[[upstreams]]\nbase_url = \"{base_url}\"\naccounts = []\n")
}

#[tokio::test]
async fn without_keys_each_client_uses_its_own_and_never_anothers() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, SAID)).await;
    let proxy = proxy(&own_keys(&recorder.base_url())).await;
    for key in ["sk-anna", "sk-bert", "sk-anna"] {
        let answer = App::new(proxy.listen(), key).post(CHAT, HELLO).await;
        assert_eq!(answer.status(), 200);
    }
    let sent: Vec<String> = recorder
        .seen()
        .iter()
        .filter_map(|seen| seen.header("authorization").map(Into::into))
        .collect();
    assert_eq!(sent, ["Bearer sk-anna", "Bearer sk-bert", "Bearer sk-anna"]);
    let accounts = proxy.proxy().admission().snapshot().lanes.len();
    assert_eq!(accounts, 2, "each key is an account of its own");
}

#[tokio::test]
async fn refusals_of_a_clients_own_key_are_passed_on_as_they_came() {
    let recorder = Recorder::start(|_, seen| match seen.header("authorization") {
        Some("Bearer sk-dead") => Reply::Json(401, BAD_KEY),
        Some("Bearer sk-poor") => Reply::Json(429, NO_QUOTA),
        _ => Reply::Json(200, SAID),
    })
    .await;
    let proxy = proxy(&own_keys(&recorder.base_url())).await;
    for _ in 0..2 {
        let dead = App::new(proxy.listen(), "sk-dead").post(CHAT, HELLO).await;
        assert_eq!((dead.status().as_u16(), dead.text().as_str()), (401, BAD_KEY));
        let poor = App::new(proxy.listen(), "sk-poor").post(CHAT, HELLO).await;
        assert_eq!((poor.status().as_u16(), poor.text().as_str()), (429, NO_QUOTA));
        let good = App::new(proxy.listen(), "sk-good").post(CHAT, HELLO).await;
        assert_eq!(good.status(), 200, "another's refusal took it out");
    }
    assert_eq!(recorder.seen().len(), 6, "nothing was repeated");
}

#[tokio::test]
async fn limits_that_nobody_gave_are_taken_from_the_first_answers() {
    let limits = Limits {
        requests_per_minute: Some(77),
        tokens_per_minute: Some(5000),
        ..Limits::default()
    };
    let provider = Provider::bind(Config::single("sk-1", limits)).await.expect("a provider");
    let proxy = proxy(&one_account(&provider.base_url(), "sk-1", "")).await;
    let app = App::new(proxy.listen(), "notebook");
    let answer = app.post(CHAT, HELLO).await;
    assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("77"));
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), Some("5000"));
    let too_large = HELLO.replace("\"max_tokens\":8", "\"max_tokens\":6000");
    // Where output is charged when it is known it would fit, and one answer does not tell that it is not:
    // one finds out for all that come after it.
    for _ in 0..3 {
        let refused = app.post(CHAT, &too_large).await;
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.header("x-should-retry"), Some("false"));
        let message = refused.text();
        assert!(message.contains("Limit 5000"), "it must name the limit: {message}");
    }
    assert_eq!(provider.stats().lanes[0].tally.refused.total(), 1, "they were sent all the same");
}
