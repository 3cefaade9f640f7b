//! Tests of what answers tell.

use std::time::Duration;

use super::{EventKind, answered_body, usage_of_event};
use crate::call::Endpoint;
use crate::units::{Served, Tokens, Usage};

fn usage(input: u64, cached: u64, output: u64, reasoning: u64) -> Usage {
    let [input, cached, output, reasoning] = [input, cached, output, reasoning].map(Tokens::new);
    Usage { input, cached, output, reasoning, ..Usage::default() }
}

#[test]
fn reads_every_shape_of_usage() {
    struct Case {
        name: &'static str,
        usage: &'static str,
        read: Option<Usage>,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { name: "chat", usage: r#"{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":5,"accepted_prediction_tokens":0}}"#, read: Some(usage(9, 4, 12, 5)) },
        Case { name: "responses", usage: r#"{"input_tokens":36,"input_tokens_details":{"cached_tokens":1},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":123}"#, read: Some(usage(36, 1, 87, 2)) },
        Case { name: "embeddings",      usage: r#"{"prompt_tokens":8,"total_tokens":8}"#,                 read: Some(usage(8, 0, 0, 0)) },
        Case { name: "another's cache", usage: r#"{"prompt_tokens":8,"prompt_cache_hit_tokens":6}"#,      read: Some(usage(8, 6, 0, 0)) },
        Case { name: "both spellings",  usage: r#"{"prompt_tokens":8,"input_tokens":0,"completion_tokens":2,"output_tokens":0}"#, read: Some(usage(8, 0, 2, 0)) },
        Case { name: "a key twice",     usage: r#"{"prompt_tokens":8,"x":1,"x":2,"completion_tokens":2}"#, read: Some(usage(8, 0, 2, 0)) },
        Case { name: "floats",          usage: r#"{"prompt_tokens":8.0,"completion_tokens":2.5}"#,        read: Some(usage(8, 0, 0, 0)) },
        Case { name: "huge",            usage: r#"{"prompt_tokens":8,"completion_tokens":99999999999999999999999}"#, read: Some(usage(8, 0, 0, 0)) },
        Case { name: "negative",        usage: r#"{"prompt_tokens":-8,"completion_tokens":2}"#,           read: Some(usage(0, 0, 2, 0)) },
        Case { name: "part above whole", usage: r#"{"prompt_tokens":8,"prompt_tokens_details":{"cached_tokens":9}}"#, read: Some(usage(8, 8, 0, 0)) },
        Case { name: "null details",    usage: r#"{"prompt_tokens":8,"prompt_tokens_details":null}"#,     read: Some(usage(8, 0, 0, 0)) },
        Case { name: "null",            usage: "null",                                                    read: None },
        Case { name: "empty",           usage: "{}",                                                      read: None },
        Case { name: "of another kind", usage: r#"{"type":"bytes","bytes":3}"#,                           read: None },
        Case { name: "seconds",         usage: r#"{"type":"duration","seconds":3.5}"#,                    read: Some(Usage { heard: Duration::from_millis(3_500), ..Usage::default() }) },
        Case { name: "sound",           usage: r#"{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":4,"audio_tokens":10},"output_tokens":5,"total_tokens":19}"#, read: Some(Usage { input_audio: Tokens::new(10), ..usage(14, 0, 5, 0) }) },
        Case { name: "images",          usage: r#"{"input_tokens":50,"output_tokens":272,"total_tokens":322,"input_tokens_details":{"text_tokens":10,"image_tokens":40},"output_tokens_details":{"image_tokens":272,"text_tokens":0}}"#, read: Some(Usage { input_image: Tokens::new(40), output_image: Tokens::new(272), ..usage(50, 0, 272, 0) }) },
        Case { name: "written to cache", usage: r#"{"input_tokens":9,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":7,"cache_write_tokens_details":{"ttl_30m_tokens":4,"ttl_12h_tokens":3}},"output_tokens":1}"#, read: Some(Usage { cache_write: Tokens::new(7), cache_write_long: Tokens::new(3), ..usage(9, 2, 1, 0) }) },
        Case { name: "realtime",        usage: r#"{"total_tokens":30,"input_tokens":20,"output_tokens":10,"input_token_details":{"text_tokens":5,"audio_tokens":15,"cached_tokens":6,"cached_tokens_details":{"audio_tokens":1,"image_tokens":9}},"output_token_details":{"text_tokens":2,"audio_tokens":8}}"#, read: Some(Usage { cached_audio: Tokens::new(1), input_audio: Tokens::new(15), output_audio: Tokens::new(8), ..usage(20, 6, 10, 0) }) },
        Case { name: "Anthropic's",     usage: r#"{"input_tokens":5,"cache_read_input_tokens":20,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":7,"server_tool_use":{"web_search_requests":2},"service_tier":"priority"}"#, read: Some(Usage { cache_write: Tokens::new(30), cache_write_long: Tokens::new(20), searches: 2, ..usage(55, 20, 7, 0) }) },
        Case { name: "texts",           usage: r#"{"prompt_tokens":"8"}"#,                                read: None },
    ];
    for case in cases {
        let body = format!(" {{\"id\":\"x\",\"usage\":{},\"tail\":[1]}}\n", case.usage);
        let read = answered_body(Endpoint::ChatCompletions, body.as_bytes()).usage;
        assert_eq!(read, case.read, "{}", case.name);
    }
}

#[test]
fn a_text_that_speaks_of_usage_is_not_usage() {
    let body = br#"{"choices":[{"message":{"content":"{\"usage\":{\"prompt_tokens\":1}}"}}]}"#;
    assert_eq!(answered_body(Endpoint::ChatCompletions, body).usage, None);
}

#[test]
fn tells_what_an_event_is_for() {
    struct Case {
        json: &'static str,
        event: Option<EventKind>,
    }
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Case { json: r#"{"choices":[],"usage":{"prompt_tokens":1}}"#,                 event: Some(EventKind::UsageOnly) },
        Case { json: r#"{"usage":{"prompt_tokens":1}}"#,                              event: Some(EventKind::UsageOnly) },
        Case { json: r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}"#,     event: Some(EventKind::Partial) },
        Case { json: r#"{"error":{"message":"x"},"usage":{"prompt_tokens":1}}"#,      event: Some(EventKind::Partial) },
        Case { json: r#"{"choices":[{"usage":{"prompt_tokens":1}}],"usage":null}"#,   event: None },
        Case { json: r#"{"type":"response.completed","response":{"usage":{"input_tokens":1}}}"#, event: Some(EventKind::Terminal) },
        Case { json: r#"{"type":"response.created","response":{"usage":null}}"#,      event: None },
        Case { json: r#"{"type":"x","item":{"usage":{"input_tokens":1}}}"#,           event: None },
        Case { json: r#"[{"usage":{"input_tokens":1}}]"#,                             event: None },
    ];
    for case in cases {
        let event = usage_of_event(case.json.as_bytes()).map(|found| found.event);
        assert_eq!(event, case.event, "{}", case.json);
    }
}

fn served(model: &str, tier: &str) -> Served {
    let mut served = Served::default();
    served.note("model", Some(model));
    served.note("service_tier", Some(tier));
    served
}

#[test]
fn anthropic_tells_in_its_usage_where_and_how_fast_it_answered() {
    let told = |usage: &str| {
        let body = format!(r#"{{"model":"m","usage":{{"input_tokens":1,{usage}}}}}"#);
        answered_body(Endpoint::Messages, body.as_bytes()).served
    };
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        (r#""service_tier":"standard","inference_geo":"global""#,                  "standard", false),
        (r#""service_tier":"standard","inference_geo":"us""#,                      "standard", true),
        (r#""service_tier":"standard","inference_geo":"not_available""#,           "standard", false),
        (r#""speed":"fast","service_tier":"standard""#,                            "fast",     false),
        (r#""service_tier":"standard","speed":"fast","inference_geo":"us""#,       "fast",     true),
        (r#""service_tier":"standard","speed":"standard""#,                        "standard", false),
    ];
    for (usage, tier, is_regional) in cases {
        assert_eq!(told(usage), Served { is_regional, ..served("m", tier) }, "{usage}");
    }
}

#[test]
fn an_answer_tells_as_what_it_was_served_at_its_ends() {
    let long = format!("[{}]", "0.125,".repeat(10_000) + "1");
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        ("chat",               r#"{"id":"x","model":"m-1","choices":[{"message":{"content":"\"model\":\"no\""}}],"usage":{"prompt_tokens":1},"service_tier":"flex","system_fingerprint":null}"#.to_owned(), served("m-1", "flex")),
        ("embeddings",         format!(r#"{{"object":"list","data":[{{"embedding":{long}}}],"model":"m-2","usage":{{"prompt_tokens":1}}}}"#), served("m-2", "")),
        ("model before data",  format!(r#"{{"id":"x","model":"m-3","data":[{{"embedding":{long}}}],"usage":{{"prompt_tokens":1}}}}"#), served("m-3", "")),
        ("usage before data",  format!(r#"{{"model":"m-4","usage":{{"prompt_tokens":1}},"data":[{{"embedding":{long}}}]}}"#), served("m-4", "")),
        ("what was asked for", r#"{"model":"m-5","usage":{"prompt_tokens":1},"service_tier":"auto"}"#.to_owned(), served("m-5", "")),
        ("Anthropic's",        r#"{"model":"m-6","content":[],"usage":{"input_tokens":1,"service_tier":"batch"}}"#.to_owned(), served("m-6", "batch")),
        ("nested only",        r#"{"choices":[{"model":"no","service_tier":"no"}],"usage":{"prompt_tokens":1}}"#.to_owned(), Served::default()),
        ("null",               r#"{"model":null,"usage":{"prompt_tokens":1},"service_tier":null}"#.to_owned(), Served::default()),
        ("no usage",           r#"{"model":"m-7","service_tier":"priority","choices":[]}"#.to_owned(), served("m-7", "priority")),
        ("too long a name",    format!(r#"{{"model":"{}","usage":{{"prompt_tokens":1}}}}"#, "m".repeat(300)), Served::default()),
        ("nothing",            String::new(), Served::default()),
    ];
    for (name, body, told) in cases {
        let answered = answered_body(Endpoint::ChatCompletions, body.as_bytes());
        assert_eq!(answered.served, told, "{name}");
    }
}

#[test]
fn only_searches_of_a_response_are_counted_as_such() {
    let body = br#"{"model":"m","output":[
        {"type":"web_search_call","action":{"type":"search","query":"web_search_call"}},
        {"type":"web_search_call","action":{"type":"open_page"}},
        {"type":"web_search_call"},
        {"type":"message","content":[{"type":"output_text","text":"web_search_call"}]}
    ],"usage":{"input_tokens":1},"service_tier":"default"}"#;
    let answered = answered_body(Endpoint::Responses, body);
    assert_eq!(answered.usage.map(|usage| usage.searches), Some(2));
    assert_eq!(answered.served, served("m", "default"));
}

#[test]
fn what_an_end_does_not_repeat_is_known_from_the_beginning() {
    let begin = br#"{"type":"message_start","message":{"model":"m","usage":{"input_tokens":5,"cache_read_input_tokens":20,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_1h_input_tokens":30},"output_tokens":1,"service_tier":"standard"}}}"#;
    let begin = usage_of_event(begin).expect("it tells of the input");
    let ends = [
        br#"{"type":"message_delta","delta":{},"usage":{"output_tokens":9,"server_tool_use":{"web_search_requests":1}}}"#.as_slice(),
        br#"{"type":"message_delta","delta":{},"usage":{"input_tokens":5,"cache_read_input_tokens":20,"cache_creation_input_tokens":30,"output_tokens":9,"server_tool_use":{"web_search_requests":1}}}"#,
    ];
    for end in ends {
        let whole = usage_of_event(end).expect("it tells of the output").after(Some(&begin));
        let thirty = Tokens::new(30);
        let told = Usage { cache_write: thirty, cache_write_long: thirty, ..usage(55, 20, 9, 0) };
        assert_eq!(whole.usage, Usage { searches: 1, ..told });
        assert_eq!(whole.served, served("m", "standard"));
    }
}
