//! Tests of what is heard.

use serde_json::json;

use super::{Heard, RAW_LIMIT, TEXT_LIMIT, Texts};

/// The texts of an answer, in the order of their channels.
fn texts(read: impl FnOnce(&mut Texts)) -> Vec<String> {
    let mut texts = Texts::default();
    read(&mut texts);
    texts.channels.into_values().collect()
}

#[test]
fn joins_the_deltas_of_a_text_and_keeps_texts_apart() {
    let events = [
        json!({"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}),
        json!({"choices":[{"index":0,"delta":{"content":"Hel"}},{"index":1,"delta":{"content":"Wor"}}]}),
        json!({"choices":[{"index":1,"delta":{"content":"ld"}}]}),
        json!({"choices":[{"index":0,"delta":{"content":"lo","reasoning_content":"hm"}}]}),
        json!({"choices":[{"index":0,"delta":{"refusal":"no"}}]}),
        json!({"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"name":"f","arguments":""}}]}}]}),
        json!({"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}}]}),
        json!({"choices":[],"usage":null}),
        json!({"error":{"message":"broken"}}),
    ];
    let stream: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let stream = stream + ": comment\n\ndata: [DONE]\n\ndata: {\"choices\":[{\"del";
    let heard = texts(|texts| texts.read_events(stream.as_bytes()));
    assert_eq!(heard, ["Hello", "no", "hm", "f", "{}", "World"]);
}

#[test]
fn reads_the_deltas_of_completions_and_responses() {
    let completions = "data: {\"choices\":[{\"index\":0,\"text\":\"a\"}]}\r\n\r\n\
                       data: {\"choices\":[{\"index\":0,\"text\":\"b\"}]}\r\n\r\n";
    assert_eq!(texts(|texts| texts.read_events(completions.as_bytes())), ["ab"]);

    let events = [
        json!({"type":"response.created","response":{"output":[]}}),
        json!({"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"Hi"}),
        json!({"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"!"}),
        json!({"type":"response.function_call_arguments.delta","output_index":2,"delta":"{}"}),
        json!({"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"hm"}),
        json!({"type":"response.output_audio.delta","output_index":1,"delta":"AAAA"}),
        json!({"type":"response.output_text.done","output_index":1,"text":"Hi!"}),
    ];
    let stream: String =
        events.iter().map(|event| format!("event: x\ndata: {event}\n\n")).collect();
    assert_eq!(texts(|texts| texts.read_events(stream.as_bytes())), ["hm", "Hi!", "{}"]);
}

#[test]
fn reads_the_deltas_of_runs_and_whether_they_go_on() {
    let run = |status: &str| json!({"object":"thread.run","id":"run_1","status":status});
    let events = [
        run("queued"),
        json!({"object":"thread.run.step","id":"step_1","usage":{"prompt_tokens":3}}),
        json!({"object":"thread.run.step.delta","delta":{"step_details":{"tool_calls":[
            {"index":0,"function":{"name":"f","arguments":""}}]}}}),
        json!({"object":"thread.run.step.delta","delta":{"step_details":{"tool_calls":[
            {"index":0,"function":{"arguments":"{}"}},{"index":1,"code_interpreter":{"input":"1+1"}}]}}}),
        json!({"object":"thread.message.delta","delta":{"content":[
            {"index":0,"type":"text","text":{"value":"Hel"}}]}}),
        json!({"object":"thread.message.delta","delta":{"content":[
            {"index":0,"type":"text","text":{"value":"lo"}}]}}),
        json!({"object":"thread.message","content":[{"type":"text","text":{"value":"Hello"}}]}),
    ];
    for (status, goes_on) in [("requires_action", Some("run_1")), ("completed", None)] {
        let events = events.iter().cloned().chain([run(status)]);
        let mut heard = Heard::default();
        events.for_each(|event| heard.hear(format!("event: x\ndata: {event}\n\n").as_bytes()));
        assert_eq!(heard.unfinished_run(), goes_on, "{status}");
        let texts: Vec<_> = heard.texts.channels.into_values().collect();
        assert_eq!(texts, ["Hello", "f", "{}", "1+1"]);
    }
}

#[test]
fn reads_whole_answers() {
    let chat = json!({"choices":[{"index":0,"message":{"content":"Hi","tool_calls":[
        {"function":{"name":"f","arguments":"{}"}},{"custom":{"name":"g","input":"x"}}]}}]});
    assert_eq!(texts(|texts| texts.read(&chat)), ["Hi", "f", "{}", "g", "x"]);
    let parts = json!({"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]});
    assert_eq!(texts(|texts| texts.read(&parts)), ["ab"]);
    let responses = json!({"output":[
        {"type":"reasoning","summary":[{"text":"hm"}]},
        {"type":"message","content":[{"type":"output_text","text":"Hi"}]},
        {"type":"function_call","name":"f","arguments":"{}"}]});
    assert_eq!(texts(|texts| texts.read(&responses)), ["hm", "Hi", "f", "{}"]);
}

#[test]
fn a_long_stream_is_heard_in_little_memory() {
    let mut heard = Heard::default();
    let event = format!(
        "data: {}\n\n",
        json!({"choices":[{"delta":{"content":"word "}}],"pad":"x".repeat(200)})
    );
    let count = 3 * RAW_LIMIT / event.len();
    for piece in event.repeat(count).as_bytes().chunks(97) {
        heard.hear(piece);
        assert!(heard.raw.len() <= RAW_LIMIT, "{} raw bytes", heard.raw.len());
    }
    heard.texts.read_events(&heard.raw);
    let text = "word ".repeat(count);
    assert_eq!(heard.texts.channels.into_values().collect::<Vec<_>>(), [text]);
}

#[test]
fn text_beyond_the_limit_is_estimated() {
    let mut texts = Texts::default();
    let long = json!({"choices":[{"text":"x".repeat(TEXT_LIMIT / 2)}]});
    for _ in 0..4 {
        texts.read(&long);
    }
    let held: usize = texts.channels.values().map(String::len).sum();
    assert!(held <= TEXT_LIMIT, "{held} bytes are held");
    let left = 2 * TEXT_LIMIT - held;
    assert_eq!(texts.estimated, u64::try_from(left / 4).expect("it fits"));
}

#[test]
fn a_line_that_never_ends_is_not_held_for_ever() {
    let mut heard = Heard::default();
    let piece = "x".repeat(RAW_LIMIT / 10);
    for _ in 0..100 {
        heard.hear(piece.as_bytes());
        assert!(heard.raw.len() <= RAW_LIMIT, "{} raw bytes", heard.raw.len());
    }
}

#[test]
fn a_stream_that_is_cut_has_told_as_what_it_is_served() {
    let chat =
        r#"{"model":"m","service_tier":"flex","choices":[{"index":0,"delta":{"content":"a"}}]}"#;
    let response = r#"{"type":"response.created","response":{"model":"m","service_tier":"flex"}}"#;
    for event in [chat, response] {
        let mut texts = Texts::default();
        texts.read_events(format!("data: {event}\n\n").as_bytes());
        let told = |name: Option<&str>| name.map(str::to_owned);
        let model = told(texts.served.model.as_ref().map(|model| model.as_str()));
        let tier = told(texts.served.tier.as_ref().map(|tier| tier.as_str()));
        assert_eq!((model.as_deref(), tier.as_deref()), (Some("m"), Some("flex")), "{event}");
    }
}
