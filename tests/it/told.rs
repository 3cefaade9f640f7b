//! What clients and people are told of limits.

use serde_json::{Value, json};

use crate::house::{App, one_account, proxy};
use crate::path::{CHAT, HELLO, SAID};
use crate::recorder::{Recorder, Reply};

#[tokio::test]
async fn who_is_refused_in_line_sees_what_the_lane_has_left() {
    let recorder = Recorder::start(|_, _| Reply::Silence).await;
    let one = "[line]\nmax_wait = \"200ms\"\n[timeouts]\ndrain = \"50ms\"\n\
               [[upstreams.limits]]\nmodels = \"*\"\nconcurrency = 1\ntokens_per_minute = 1000\n\
               requests_per_minute = 10\ncounting = \"sliding\"\ncharging = \"refund\"\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", one)).await;
    let app = App::new(proxy.listen(), "notebook");
    let under_way = {
        let app = app.clone();
        tokio::spawn(async move { app.post(CHAT, HELLO).await })
    };
    recorder.asked(1).await;
    let refused = app.post(CHAT, HELLO).await;
    assert_eq!(refused.status(), 429, "{}", refused.text());
    let header = |name| refused.header(name).unwrap_or_default();
    assert_eq!(header("x-ratelimit-limit-tokens"), "1000");
    assert_eq!(header("x-ratelimit-remaining-tokens"), "984", "8 and a bound of 8 are under way");
    assert_eq!(header("x-ratelimit-limit-requests"), "10");
    assert_eq!(header("x-ratelimit-remaining-requests"), "9");
    assert!(header("x-ratelimit-reset-tokens").ends_with('s'), "a duration as Go writes it");
    under_way.abort();
}

#[tokio::test]
async fn people_see_what_is_believed_of_each_quota() {
    let told = vec![
        ("x-ratelimit-limit-requests", "1000"),
        ("x-ratelimit-remaining-requests", "999"),
        ("x-ratelimit-reset-requests", "60ms"),
        ("x-ratelimit-limit-tokens", "30000"),
        ("x-ratelimit-remaining-tokens", "29984"),
        ("x-ratelimit-reset-tokens", "32ms"),
    ];
    let recorder = Recorder::start(move |_, _| Reply::With(200, SAID, told.clone())).await;
    let limits = "[[upstreams.limits]]\nmodels = \"*\"\nrequests_per_minute = 2000\n\
                  counting = \"bucket\"\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", limits)).await;
    for _ in 0..2 {
        assert_eq!(App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await.status(), 200);
        let page = App::new(proxy.admin(), "").get("/line").await.json();
        let told = |quota: &Value| quota["believed"]["told_limit"] == 30_000;
        let quotas = page["lanes"][0]["quotas"].as_array().expect("quotas");
        assert!(quotas.iter().any(told), "the first answer told the limit: {page}");
    }
    let metrics = App::new(proxy.admin(), "").get("/metrics").await.text();
    let limit = "sluicegate_limit{upstream=\"openai\",account=\"main\",group=\"gpt-4o\",quota=\"tpm\"} 30000\n";
    assert!(metrics.contains(limit), "{metrics}");
    let page = App::new(proxy.admin(), "").get("/line").await.json();
    let quotas = page["lanes"][0]["quotas"].as_array().expect("quotas");
    let believed = |name: &str| {
        let quota = quotas.iter().find(|quota| quota["quota"] == name);
        &quota.unwrap_or_else(|| panic!("no {name}: {page}"))["believed"]
    };
    let requests = believed("rpm");
    assert_eq!(requests["counting"], "bucket", "{page}");
    assert_eq!(requests["charging"], json!(null));
    assert_eq!(requests["sure"], "configured");
    assert_eq!(requests["answers"], 2);
    assert_eq!(requests["configured_limit"], 2000);
    assert_eq!(requests["told_limit"], 1000);
    let tokens = believed("tpm");
    assert_eq!((&tokens["counting"], &tokens["charging"]), (&json!("bucket"), &json!("refund")));
    assert_eq!(tokens["configured_limit"], json!(null));
    assert_eq!(tokens["sure"], "assumed", "two answers are few: {tokens}");
    let others = tokens["or"].as_array().expect("others");
    let max = json!({"counting": "bucket", "charging": "max"});
    assert!(others.contains(&max), "few answers cannot tell them apart: {tokens}");
}
