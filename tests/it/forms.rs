//! Forms with files through the proxy: their bytes go on as they came, whatever their size and order.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::endpoints::{charged, provider, proxy_of};
use crate::house::{Answer, App, one_account, proxy};
use crate::recorder::{Recorder, Reply};

const KIND: &str = "multipart/form-data; boundary=frontier";
const HEARD: &str = r#"{"text":"hello","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":4,"audio_tokens":10},"output_tokens":5,"total_tokens":19}}"#;

/// Returns a part of a form, up to the next delimiter.
fn part(head: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--frontier\r\nContent-Disposition: form-data; {head}\r\n\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

fn sound(size: usize) -> Vec<u8> {
    let noise: Vec<u8> = (0..size).map(|n| u8::try_from(n * 7 % 251).expect("a byte")).collect();
    part("name=\"file\"; filename=\"a.mp3\"", &noise)
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [&parts.concat()[..], b"--frontier--\r\n"].concat()
}

fn model() -> Vec<u8> {
    part("name=\"model\"", b"gpt-4o-transcribe")
}

async fn send(app: &App, address: std::net::SocketAddr, path: &str, form: Vec<u8>) -> Answer {
    let request = Request::post(format!("http://{address}{path}"))
        .header("authorization", "Bearer notebook")
        .header("content-type", KIND)
        .body(Full::from(form))
        .expect("a request");
    app.send(request).await
}

#[tokio::test]
async fn a_form_goes_on_byte_for_byte_in_either_order() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, HEARD)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let data =
        format!("data_dir = {:?}\n{}", folder.path(), one_account(&recorder.base_url(), "k", ""));
    let proxy = proxy(&data).await;
    let app = App::new(proxy.listen(), "notebook");
    let forms = [
        form(&[model(), sound(20_000)]),
        form(&[sound(20_000), model()]),
        form(&[model(), sound(5_000_000)]),
        form(&[sound(5_000_000), model()]),
    ];
    for (n, form) in forms.into_iter().enumerate() {
        let answer = send(&app, proxy.listen(), "/v1/audio/transcriptions", form.clone()).await;
        assert_eq!((answer.status().as_u16(), answer.text().as_str()), (200, HEARD), "form {n}");
        let seen = recorder.seen().pop().expect("a request");
        assert!(seen.body == form, "form {n} was changed");
        assert_eq!(seen.header("content-length"), Some(form.len().to_string().as_str()));
        assert_eq!(seen.header("content-type"), Some(KIND));
        assert_eq!(answer.header("x-sluicegate-count"), Some("assumed"));
        let told: u64 =
            answer.header("x-sluicegate-estimated-tokens").expect("told").parse().unwrap();
        let tokens = if n < 2 { 25 } else { 6_250 };
        assert!((tokens..tokens + 20).contains(&told), "form {n} was taken for {told} tokens");
    }
    assert_eq!(proxy.proxy().metrics().totals().settled.count(), 4 * 19);
}

/// A translation does not tell what it used.
#[tokio::test]
async fn what_was_heard_is_settled_by_what_is_told_or_by_what_was_written() {
    for path in ["/v1/audio/translations", "/v1/audio/transcriptions"] {
        let provider = provider().await;
        let proxy = proxy_of(&provider).await;
        let app = App::new(proxy.listen(), "notebook");
        let answer = send(&app, proxy.listen(), path, form(&[model(), sound(80_000)])).await;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        let settled = proxy.proxy().metrics().totals().settled.count();
        assert_eq!(settled, charged(&provider), "{path}");
        assert!(settled > 100, "{path}: {settled}");
    }
}

#[tokio::test]
async fn a_model_behind_more_than_can_be_kept_is_asked_for_in_front() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, HEARD)).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "k", "")).await;
    let app = App::new(proxy.listen(), "notebook");
    let form = form(&[sound(70_000_000), model()]);
    let answer = send(&app, proxy.listen(), "/v1/audio/transcriptions", form).await;
    assert_eq!(answer.status(), 413);
    let error = &answer.json()["error"];
    assert_eq!(error["param"], "model");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("before the file"), "{message}");
    assert!(recorder.seen().is_empty());
}

#[tokio::test]
async fn a_form_that_says_another_name_is_told_the_real_one() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, HEARD)).await;
    let alias = "[[models]]\nname = \"ears\"\nmodel = \"gpt-4o-transcribe\"\n";
    let proxy = proxy(&one_account(&recorder.base_url(), "k", alias)).await;
    let app = App::new(proxy.listen(), "notebook");
    let asked = form(&[part("name=\"model\"", b"ears"), sound(500)]);
    let answer = send(&app, proxy.listen(), "/v1/audio/transcriptions", asked).await;
    let told = |answer: &Answer| {
        let error = &answer.json()["error"];
        let message = error["message"].as_str().unwrap_or_default().to_owned();
        (answer.status().as_u16(), error["param"] == "model", message.contains("gpt-4o-transcribe"))
    };
    assert_eq!(told(&answer), (400, true, true), "{}", answer.text());
    assert_eq!(recorder.seen().len(), 0, "nothing of it was sent");
}

#[tokio::test]
async fn only_a_small_form_is_sent_again() {
    let recorder = Recorder::start(|_, _| Reply::Reset).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "k", "")).await;
    let app = App::new(proxy.listen(), "notebook");
    let path = "/v1/audio/transcriptions";
    let small = send(&app, proxy.listen(), path, form(&[sound(20_000), model()])).await;
    assert_eq!(small.status(), 502);
    let tries = recorder.seen().len();
    assert_eq!(tries, 4, "so often is a small one tried");
    let large = send(&app, proxy.listen(), path, form(&[model(), sound(3_000_000)])).await;
    assert_eq!(large.status(), 502);
    assert_eq!(recorder.seen().len() - tries, 1, "a large one was sent twice");
}

#[tokio::test]
async fn a_form_without_a_length_is_read_and_sent_on_as_it_comes() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, HEARD)).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "k", "")).await;
    let form = form(&[model(), sound(2_000_000)]);
    let pieces: Vec<_> = form
        .chunks(10_007)
        .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let url = format!("http://{}/v1/audio/transcriptions", proxy.listen());
    let request = Request::post(url)
        .header("content-type", KIND)
        .body(StreamBody::new(stream::iter(pieces)))
        .expect("a request");
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let _whole = answer.into_body().collect().await.expect("a body");
    let seen = recorder.seen().pop().expect("a request");
    assert!(seen.body == form, "it was changed");
    assert_eq!(seen.header("transfer-encoding"), Some("chunked"));
}

#[tokio::test]
async fn what_forms_ask_for_is_settled_to_the_token() {
    let text = |name: &str, value: &str| part(&format!("name=\"{name}\""), value.as_bytes());
    let image = || part("name=\"image[]\"; filename=\"a.png\"", b"no image");
    let drawn = || text("model", "gpt-image-1.5");
    let cases = [
        ("/v1/audio/transcriptions", form(&[sound(9_000), model()])),
        ("/v1/audio/transcriptions", form(&[sound(9_000), model(), text("stream", "true")])),
        (
            "/v1/images/edits",
            form(&[image(), image(), drawn(), text("prompt", "a boat"), text("n", "2")]),
        ),
        (
            "/v1/images/edits",
            form(&[drawn(), text("prompt", "a boat"), text("stream", "true"), image()]),
        ),
    ];
    for (n, (path, form)) in cases.into_iter().enumerate() {
        let provider = provider().await;
        let proxy = proxy_of(&provider).await;
        let app = App::new(proxy.listen(), "notebook");
        let answer = send(&app, proxy.listen(), path, form).await;
        assert_eq!(answer.status(), 200, "case {n}: {}", answer.text());
        let settled = proxy.proxy().metrics().totals().settled.count();
        assert_eq!(settled, charged(&provider), "case {n}: {}", answer.text());
        assert!(settled > 0, "case {n}");
    }
}

#[tokio::test]
async fn a_transcription_as_text_is_counted_and_seconds_are_no_tokens() {
    let provider = provider().await;
    let proxy = proxy_of(&provider).await;
    let app = App::new(proxy.listen(), "notebook");
    let text = part("name=\"response_format\"", b"text");
    let path = "/v1/audio/transcriptions";
    let answer = send(&app, proxy.listen(), path, form(&[sound(800), model(), text])).await;
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let settled = proxy.proxy().metrics().totals().settled.count();
    let charged = charged(&provider);
    assert!(settled.abs_diff(charged) <= 5, "{settled} settled of {charged}");
    let whisper = part("name=\"model\"", b"whisper-1");
    let answer = send(&app, proxy.listen(), path, form(&[sound(16_000), whisper])).await;
    assert_eq!(answer.json()["usage"]["seconds"], 2);
    assert_eq!(answer.header("x-sluicegate-charged-tokens"), Some("0"));
}
