//! Real clients hear the same through the proxy as from the provider itself.
//!
//! Each plays its cases three times, each time against a fresh simulated provider of the same
//! seed: directly, through a proxy that holds the provider's key, and through one that passes the
//! client's own key on. The three whole transcripts are compared, with the headers where the client shows
//! them. The SDKs of `OpenAI` play those of `cases.json`, all others what their scripts have.
//!
//! `tests/run clients` installs the clients and names their folder to this binary; `cargo test`
//! alone leaves it out.

#![expect(clippy::expect_used, reason = "a test binary: helpers outside test functions fail so")]

use serde_json::Value;

mod client;
mod headers;
mod process;
mod transcript;

use client::{Client, Runtime, cases};
use headers::without_more_quotas;
use process::{Dialect, Provider, Proxy};
use transcript::{differences, missing, unplayed};

#[test]
fn openai_python_1_hears_the_same_through_the_proxy() {
    sdk_hears_the_same(openai_python(1));
}

#[test]
fn openai_python_2_hears_the_same_through_the_proxy() {
    sdk_hears_the_same(openai_python(2));
}

#[test]
fn openai_python_3_hears_the_same_through_the_proxy() {
    sdk_hears_the_same(openai_python(3));
}

#[test]
fn openai_node_4_hears_the_same_through_the_proxy() {
    sdk_hears_the_same(openai_node(4));
}

#[test]
fn openai_node_6_hears_the_same_through_the_proxy() {
    sdk_hears_the_same(openai_node(6));
}

#[test]
fn openai_node_7_hears_the_same_through_the_proxy() {
    sdk_hears_the_same(openai_node(7));
}

#[test]
fn curl_hears_the_same_through_the_proxy() {
    hears_the_same(&Client::python("curl", "play_curl.py"));
}

#[test]
fn llm_hears_the_same_through_the_proxy() {
    hears_the_same(&Client::python("llm", "play_llm.py"));
}

#[test]
fn langchain_hears_the_same_through_the_proxy() {
    hears_the_same(&Client::python("langchain", "play_langchain.py"));
}

#[test]
fn pydantic_ai_hears_the_same_through_the_proxy() {
    hears_the_same(&Client::python("pydantic-ai", "play_pydantic_ai.py"));
}

#[test]
fn instructor_hears_the_same_through_the_proxy() {
    hears_the_same(&Client::python("instructor", "play_instructor.py"));
}

#[test]
fn vercels_ai_sdk_hears_the_same_through_the_proxy() {
    hears_the_same(&Client::node(Runtime::Pinned, "ai-sdk", "play_ai_sdk.cjs"));
}

#[test]
fn vercels_ai_sdk_hears_the_same_of_anthropic_through_the_proxy() {
    let sdk = Client::node(Runtime::Pinned, "ai-sdk", "play_ai_sdk.cjs");
    hears_the_same(&sdk.speaking(Dialect::Anthropic));
}

#[test]
fn anthropics_sdk_hears_the_same_through_the_proxy() {
    let sdk = Client::python("anthropic", "play_anthropic.py");
    hears_the_same(&sdk.speaking(Dialect::Anthropic));
}

#[test]
fn openai_pythons_client_of_azure_hears_the_same_through_the_proxy() {
    let sdk = Client::python("openai-python-2", "play_azure.py");
    hears_the_same(&sdk.speaking(Dialect::Azure));
}

#[test]
fn openai_python_1_skips_what_keeps_its_streams_alive() {
    skips_what_keeps_streams_alive(openai_python(1));
}

#[test]
fn openai_python_2_skips_what_keeps_its_streams_alive() {
    skips_what_keeps_streams_alive(openai_python(2));
}

#[test]
fn openai_python_3_skips_what_keeps_its_streams_alive() {
    skips_what_keeps_streams_alive(openai_python(3));
}

#[test]
fn openai_node_4_skips_what_keeps_its_streams_alive() {
    skips_what_keeps_streams_alive(openai_node(4));
}

#[test]
fn openai_node_6_skips_what_keeps_its_streams_alive() {
    skips_what_keeps_streams_alive(openai_node(6));
}

#[test]
fn openai_node_7_skips_what_keeps_its_streams_alive() {
    skips_what_keeps_streams_alive(openai_node(7));
}

#[test]
fn openai_python_1_hangs_up_in_mid_stream() {
    hangs_up_in_mid_stream(openai_python(1));
}

#[test]
fn openai_python_2_hangs_up_in_mid_stream() {
    hangs_up_in_mid_stream(openai_python(2));
}

#[test]
fn openai_python_3_hangs_up_in_mid_stream() {
    hangs_up_in_mid_stream(openai_python(3));
}

#[test]
fn openai_node_4_hangs_up_in_mid_stream() {
    hangs_up_in_mid_stream(openai_node(4));
}

#[test]
fn openai_node_6_hangs_up_in_mid_stream() {
    hangs_up_in_mid_stream(openai_node(6));
}

#[test]
fn openai_node_7_hangs_up_in_mid_stream() {
    hangs_up_in_mid_stream(openai_node(7));
}

fn openai_python(major: u8) -> Client {
    Client::python(&format!("openai-python-{major}"), "play.py")
}

fn openai_node(major: u8) -> Client {
    let runtime = if major < 7 { Runtime::Installed } else { Runtime::Pinned };
    Client::node(runtime, &format!("openai-node-{major}"), "play.cjs")
}

fn sdk_hears_the_same(sdk: Client) {
    let direct = hears_the_same(&sdk.with_cases("cases.json"));
    let cases = cases("cases.json");
    let unplayed = unplayed(&direct, &cases);
    assert!(unplayed.is_empty(), "not played in three ways: {unplayed:?}");
}

/// Returns what the client heard of the provider itself.
fn hears_the_same(client: &Client) -> Vec<Value> {
    let direct = direct(client);
    let missing = missing(&direct);
    assert!(missing.is_empty(), "of the provider itself:\n{}", missing.join("\n"));

    let with_key_of_proxy = {
        let provider = Provider::start(client.dialect());
        let proxy = Proxy::start(&provider, Some(provider.key()));
        client.play(&proxy.base_url(), "what-the-client-says-does-not-matter")
    };
    // A proxy that holds a key uses that one, whatever key the client says.
    let any_key = |heard: &[Value]| -> Vec<Value> {
        heard.iter().filter(|one| !one["case"].to_string().contains("wrong key")).cloned().collect()
    };
    let found = compared(&any_key(&direct), any_key(&with_key_of_proxy));
    assert!(found.is_empty(), "through a proxy with a key:\n{}", found.join("\n"));

    let with_key_of_client = {
        let provider = Provider::start(client.dialect());
        let proxy = Proxy::start(&provider, None);
        client.play(&proxy.base_url(), provider.key())
    };
    let found = compared(&direct, with_key_of_client);
    assert!(found.is_empty(), "through a proxy without a key:\n{}", found.join("\n"));
    direct
}

fn compared(direct: &[Value], proxied: Vec<Value>) -> Vec<String> {
    differences(direct, &without_more_quotas(direct, proxied))
}

fn direct(client: &Client) -> Vec<Value> {
    let provider = Provider::start(client.dialect());
    client.play(&provider.base_url(), provider.key())
}

/// Plays through a proxy with a single slot, so that all that is asked at once waits, and streams
/// wait among comments.
fn skips_what_keeps_streams_alive(sdk: Client) {
    let sdk = sdk.with_cases("cases.json");
    let direct = direct(&sdk);
    let provider = Provider::taking(sdk.dialect(), "20ms", "0ms");
    let proxy = Proxy::configured(&provider, None, ONE_AT_A_TIME);
    let waited = sdk.play(&proxy.base_url(), provider.key());

    // A stream whose head has left hears of its failure in the stream.
    let is_late = |one: &Value| {
        let case = one["case"].as_str().unwrap_or_default();
        case.starts_with(['a', 'p']) && case.ends_with("model, streamed")
    };
    let split = |heard: Vec<Value>| heard.into_iter().partition::<Vec<Value>, _>(is_late);
    let ((failed, direct), (failed_late, waited)) = (split(direct), split(waited));
    let found = compared(&direct, waited);
    assert!(found.is_empty(), "among comments:\n{}", found.join("\n"));
    assert_eq!(failed.len(), 2, "{failed:?}");
    for (early, late) in failed.iter().zip(&failed_late) {
        let (early, late) = (&early["said"], &late["said"]);
        // Which of those that are asked at once finds the slot free is chance: that one hears it at once.
        if !late["status"].is_null() {
            assert_eq!(late, early);
            continue;
        }
        assert_eq!((&late["code"], &late["type"]), (&early["code"], &early["type"]), "{late}");
        assert!(late["error"].is_string(), "{late}");
    }
    let kept = proxy.metric("sluicegate_kept_alive_total");
    assert!(kept >= 6.0, "only {kept} streams were kept alive");
}

const ONE_AT_A_TIME: &str = r#"
[[upstreams.limits]]
models = "*"
shared = true
concurrency = 1
[line]
keep_alive = "10ms"
"#;

/// Takes the first events of streams that go on for seconds, and hangs up.
fn hangs_up_in_mid_stream(sdk: Client) {
    let sdk = sdk.with_cases("cancelled.json");
    let provider = Provider::taking(sdk.dialect(), "0ms", SLOWLY);
    let direct = sdk.play(&provider.base_url(), provider.key());
    let streams = cases("cancelled.json").len() * 3;
    wait_for_cuts(&provider, streams);

    let provider = Provider::taking(sdk.dialect(), "0ms", SLOWLY);
    let proxy = Proxy::start(&provider, None);
    let proxied = sdk.play(&proxy.base_url(), provider.key());
    let found = compared(&direct, proxied);
    assert!(found.is_empty(), "until it hung up:\n{}", found.join("\n"));
    wait_for_cuts(&provider, streams);
}

/// Waits until the provider has heard of so many hang-ups.
///
/// Streams that nobody hung up on would come to their ends, and never count as cut.
fn wait_for_cuts(provider: &Provider, streams: usize) {
    let streams = u64::try_from(streams).expect("a small number");
    loop {
        // In this order: one that ends in between is counted as cut.
        let (under_way, cut) = (provider.total("in_flight"), provider.total("cut"));
        if cut == streams {
            return;
        }
        assert!(under_way > 0, "only {cut} of {streams} streams were cut");
        std::thread::yield_now();
    }
}

/// A few events come within half a second, and an answer of 100 tokens takes far longer than any
/// client needs to hang up.
const SLOWLY: &str = "250ms";
