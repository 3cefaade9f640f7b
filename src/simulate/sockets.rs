//! Websockets: responses one after the other, and realtime conversations in text.
//!
//! Events: OpenAI's realtime guide and API reference as openai-python 3.54.0 types them, read 2026-11-22.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use super::engine::{Caller, Cost, Outcome};
use super::plan::{Fault, Plan};
use super::shared::{Admitted, Shared};
use super::talk::{Body, share_of, whole};
use super::wire::{self, Ask, Attached, Draft, Endpoint, WireError, add};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Who speaks, and with what model where each request does not name its own.
struct Speaker {
    key: String,
    caller: Caller,
    model: Option<String>,
    /// Tokens of a realtime conversation so far.
    history: u64,
}

/// Tells whether a request is one for a websocket.
pub(super) fn wanted<B>(request: &Request<B>) -> bool {
    let wanted = request.headers().get(UPGRADE);
    wanted.is_some_and(|wanted| wanted.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers a request for a websocket; `None` for a path that has none.
pub(super) fn open(
    shared: &Arc<Shared>,
    request: &mut Request<Incoming>,
    (key, caller): (&str, &Caller),
) -> Option<Response<Body>> {
    let path = request.uri().path();
    let realtime = match path.strip_prefix("/v1").unwrap_or(path) {
        "/realtime" => true,
        "/responses" => false,
        _ => return None,
    };
    let accept = derive_accept_key(request.headers().get(SEC_WEBSOCKET_KEY)?.as_bytes());
    let query = request.uri().query().unwrap_or_default();
    let model = query.split('&').find_map(|pair| pair.strip_prefix("model="));
    let speaker = Speaker {
        key: key.to_owned(),
        caller: caller.clone(),
        model: model.filter(|_| realtime).map(str::to_owned),
        history: 0,
    };
    let (upgrade, shared) = (hyper::upgrade::on(request), Arc::clone(shared));
    tokio::spawn(speak(upgrade, shared, speaker));
    let mut response = Response::new(whole(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    add(headers, SEC_WEBSOCKET_ACCEPT.as_str(), &accept);
    Some(response)
}

/// Serves a websocket to its end; a client that breaks off ends it.
async fn speak(upgrade: OnUpgrade, shared: Arc<Shared>, mut speaker: Speaker) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    if let Some(model) = &speaker.model {
        let session = json!({"type": "realtime", "object": "realtime.session", "model": model});
        let created = json!({"type": "session.created", "session": session});
        if say(&mut socket, &created).await.is_none() {
            return;
        }
    }
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let Ok(event) = serde_json::from_str::<Value>(&text) else { continue };
        let served = match event.get("type").and_then(Value::as_str) {
            Some("response.create") => respond(&shared, &mut socket, &mut speaker, event).await,
            Some("conversation.item.create") => {
                let item = event.get("item").cloned().unwrap_or_default();
                speaker.history += wire::tokens_of_item(&shared.reader.counts, &item);
                let done = json!({"type": "conversation.item.done", "item": item});
                say(&mut socket, &done).await
            }
            _ => Some(()),
        };
        if served.is_none() {
            return;
        }
    }
}

async fn say(socket: &mut Socket, event: &Value) -> Option<()> {
    socket.send(Message::text(event.to_string())).await.ok()
}

/// Answers one request; `None` when the client has gone.
async fn respond(
    shared: &Arc<Shared>,
    socket: &mut Socket,
    speaker: &mut Speaker,
    event: Value,
) -> Option<()> {
    match admit(shared, speaker, event).await {
        Ok(admitted) => write(socket, speaker, admitted).await,
        Err(error) => {
            let status = error.status.as_u16();
            let mut told = error.envelope();
            wire::put(&mut told, "type", "error");
            wire::put(&mut told, "status", status);
            say(socket, &told).await
        }
    }
}

/// Who was admitted, and what it will get.
struct Going {
    ask: Ask,
    draft: Draft,
    plan: Plan,
    admitted: Admitted,
}

async fn admit(shared: &Arc<Shared>, speaker: &Speaker, event: Value) -> Result<Going, WireError> {
    let mut body = match (&speaker.model, event.get("response")) {
        (Some(_), Some(response)) => response.clone(),
        (Some(_), None) => json!({}),
        (None, _) => event,
    };
    if let Some(model) = &speaker.model {
        wire::put(&mut body, "model", model.as_str());
        if body.get("input").is_none() {
            wire::put(&mut body, "input", json!([]));
        }
        if body.get("max_output_tokens").is_some_and(Value::is_string) {
            wire::put(&mut body, "max_output_tokens", Value::Null);
        }
    }
    let ask = shared.reader.understand(Endpoint::Responses, (body, Attached::default()))?;
    shared.goes_on(&ask)?;
    let mut ask = shared.recall(ask);
    ask.prompt.tokens = ask.prompt.tokens.saturating_add(speaker.history);
    let number = shared.arrival();
    let plan = shared.planner.plan(&ask, number);
    let draft = Draft::new(&ask, &plan.lengths, (number, shared.date()));
    let cost = Cost {
        prompt: ask.prompt.tokens,
        characters: ask.prompt.characters,
        bound: ask.bound,
        generations: ask.generations,
        model_max: ask.model_max,
        output: draft.tokens(),
    };
    let caller = (speaker.key.as_str(), &speaker.caller);
    match shared.admit(caller, &ask.model, &cost).await {
        Ok(admitted) => {
            shared.remember(&ask, &draft);
            Ok(Going { ask, draft, plan, admitted })
        }
        Err(refusal) => Err(WireError::refusal(refusal, &speaker.key, &ask.model)),
    }
}

/// Writes an answer, an event a message.
async fn write(
    socket: &mut Socket,
    speaker: &mut Speaker,
    Going { ask, draft, plan, admitted }: Going,
) -> Option<()> {
    let pace = plan.pace;
    let cut = match plan.fault {
        Some(Fault::Cut(cut)) => Some((share_of(draft.len(), cut.share), cut.hangs)),
        _ => None,
    };
    let (begin, tokens) = (Instant::now(), draft.tokens());
    let Admitted { mut work, .. } = admitted;
    let script = wire::script(&ask, draft);
    let realtime = speaker.model.is_some();
    send_all(socket, &script.preface, realtime).await?;
    sleep_until(begin + pace.until(0)).await;
    send_all(socket, &script.opening, realtime).await?;
    for piece in 0..script.draft.len() {
        if let Some((_, hangs)) = cut.filter(|(place, _)| *place == piece) {
            break_off(socket, hangs).await;
            return None;
        }
        sleep_until(begin + pace.until(piece)).await;
        let mut out = Vec::new();
        script.append(piece, &mut out);
        work.note(script.draft.tokens_of(piece + 1));
        send_all(socket, &out, realtime).await?;
    }
    work.done(Outcome::Answered { output: tokens });
    speaker.history = if realtime { ask.prompt.tokens + tokens } else { 0 };
    send_all(socket, &script.closing, realtime).await
}

/// Waits until the client has gone, where it hangs; else it ends at once, without a word.
async fn break_off(socket: &mut Socket, hangs: bool) {
    while hangs && matches!(socket.next().await, Some(Ok(_))) {}
}

/// Sends server-sent events as messages; in a realtime conversation the last is named otherwise.
async fn send_all(socket: &mut Socket, events: &[u8], realtime: bool) -> Option<()> {
    let text = String::from_utf8_lossy(events);
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let named = ["response.completed", "response.incomplete"]
            .into_iter()
            .find(|name| realtime && data.contains(&format!("\"type\":\"{name}\"")));
        let data = match named {
            Some(name) => {
                data.replace(&format!("\"type\":\"{name}\""), "\"type\":\"response.done\"")
            }
            None => data.to_owned(),
        };
        socket.send(Message::text(data)).await.ok()?;
    }
    Some(())
}
