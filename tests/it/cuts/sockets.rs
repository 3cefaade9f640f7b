//! Answers on websockets that end early.

use serde_json::{Value, json};
use sluicegate::simulate::{Config, Dialect, Language};

use super::{By, LENGTH, PLACES, Provider, between, booked, cut_short, part, proxy, usual};
use crate::sockets::{Socket, connect, say, until};

/// Who can end it: a websocket may be silent for as long as it likes.
const BY: [By; 3] = [By::Client, By::Provider, By::Stop];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Talk {
    Responses,
    Realtime,
}

impl Talk {
    async fn ask(self, socket: &mut Socket) {
        let words = json!([{"type": "input_text", "text": "tell me a long story"}]);
        let item = json!({"type": "message", "role": "user", "content": words});
        match self {
            Self::Responses => {
                say(socket, json!({"type": "response.create", "model": "gpt-4o", "input": [item]}))
                    .await;
            }
            Self::Realtime => {
                say(socket, json!({"type": "conversation.item.create", "item": item})).await;
                say(socket, json!({"type": "response.create"})).await;
            }
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Responses => "/v1/responses",
            Self::Realtime => "/v1/realtime?model=gpt-realtime",
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_on_a_websocket_is_settled_by_what_was_written() {
    for by in BY {
        for place in PLACES {
            for talk in [Talk::Responses, Talk::Realtime] {
                settles(talk, Language::Words, by, place).await;
            }
        }
    }
}

#[tokio::test]
async fn it_is_so_in_whatever_language() {
    for language in [Language::Chinese, Language::Emoji, Language::Code] {
        for talk in [Talk::Responses, Talk::Realtime] {
            settles(talk, language, By::Provider, 60).await;
        }
    }
}

async fn settles(talk: Talk, language: Language, by: By, place: u64) {
    let case = format!("{talk:?} in {language:?}, cut by {by:?} at {place} %");
    let mut config = Config { dialect: Dialect::OpenAi, language, ..usual() };
    config.faults.share = Some(part(place));
    if by == By::Provider {
        config.faults.cut = 1.0;
    } else {
        config.faults.hang = 1.0;
    }
    let (provider, books, toml) = between(config, by).await;
    let running = proxy(&toml).await;
    let proxy = running.proxy().clone();
    let mut socket = connect(&running, talk.path()).await.expect("a websocket");
    talk.ask(&mut socket).await;
    until(&mut socket, "response.output_item.added").await;
    if language == Language::Words {
        for _ in 0..LENGTH * place / 100 {
            until(&mut socket, "response.output_text.delta").await;
        }
    }
    let mut left = None;
    match by {
        By::Stop => assert_eq!(running.stop().await, 0, "{case}: it is closed in time"),
        By::Client => {
            drop(socket);
            left = Some(running);
        }
        _ => {
            ends(socket).await;
            left = Some(running);
        }
    }
    let written = cut(&provider).await;
    proxy.under_way().over().await;
    if let Some(running) = left {
        running.stop().await;
    }
    let booked = booked(&books, &toml, &case).await;
    let expected = (by.ending().to_owned(), "approximate".to_owned());
    assert_eq!((booked.ending, booked.method), expected, "{case}");
    assert_eq!(booked.input, booked.estimated.0, "{case}");
    let output = booked.output;
    assert!(written >= LENGTH * place / 100 * 9 / 10, "{case}: {written} written");
    assert!(output.abs_diff(written) * 20 <= written, "{case}: {output} of {written}");
}

async fn cut(provider: &Provider) -> u64 {
    cut_short(provider).await.cut_output
}

/// Reads to the end, which comes without a word, and hangs up.
async fn ends(mut socket: Socket) {
    use futures_util::StreamExt as _;
    while let Some(Ok(message)) = socket.next().await {
        let said: Value = serde_json::from_slice(&message.into_data()).expect("an event");
        assert_ne!(said.get("type"), Some(&"response.completed".into()), "it was to be cut");
    }
}
