//! Streams that end early, whoever ends them and wherever, are settled by what came of them.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sluicegate::server::Running;
use sluicegate::simulate::engine::{Limits, Tally};
use sluicegate::simulate::{Config, Dialect, Faults, Latency, Outputs, Provider};

use crate::books::Books;
use crate::house::{one_account, proxy, settings};

/// How many tokens each answer would have; the mean of answers that do not vary.
const LENGTH: u64 = 400;
/// After how many hundredths of it the answer ends.
const PLACES: [u64; 3] = [30, 60, 95];

/// Who ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The client, which hangs up.
    Client,
    /// The provider, whose connection breaks.
    Provider,
    /// The proxy, for which the provider is silent for too long.
    Silence,
    /// The proxy, which stops.
    Stop,
    /// The client, after the proxy has read other limits.
    ClientAfterReload,
}

impl By {
    const ALL: [Self; 5] =
        [Self::Client, Self::Provider, Self::Silence, Self::Stop, Self::ClientAfterReload];

    /// How the ledger calls it.
    fn ending(self) -> &'static str {
        match self {
            Self::Client | Self::ClientAfterReload => "client_gone",
            Self::Provider | Self::Silence => "provider_cut",
            Self::Stop => "stopped",
        }
    }
}

/// An endpoint that streams.
#[derive(Debug, Clone, Copy)]
struct Streams {
    path: &'static str,
    body: fn() -> Ask,
    /// What stands once in each event that has a token.
    token: &'static str,
}

/// The kind of a body, and the body.
type Ask = (&'static str, Vec<u8>);

const ENDPOINTS: [Streams; 6] = [
    Streams {
        path: "/v1/chat/completions",
        body: || plain(&json!({"model": "gpt-4o", "messages": said(), "max_tokens": 1_000})),
        token: "\"delta\":{\"content\":\"",
    },
    Streams {
        path: "/v1/completions",
        body: || {
            plain(&json!({"model": "gpt-3.5-turbo-instruct", "prompt": "hi", "max_tokens": 1_000}))
        },
        token: "\"text\":\"",
    },
    Streams {
        path: "/v1/responses",
        body: || plain(&json!({"model": "gpt-4o", "input": "hi", "max_output_tokens": 1_000})),
        token: "\"type\":\"response.output_text.delta\"",
    },
    Streams {
        path: "/v1/messages",
        body: || {
            plain(&json!({"model": "claude-sonnet-4-5", "messages": said(), "max_tokens": 1_000}))
        },
        token: "\"type\":\"text_delta\"",
    },
    Streams {
        path: "/v1/audio/transcriptions",
        body: recording,
        token: "\"type\":\"transcript.text.delta\"",
    },
    Streams {
        path: "/v1/audio/speech",
        body: || {
            let ask = json!({"model": "gpt-4o-mini-tts", "input": "hello there", "voice": "alloy",
                             "stream_format": "sse"});
            ("application/json", ask.to_string().into_bytes())
        },
        token: "\"type\":\"speech.audio.delta\"",
    },
];

fn said() -> Value {
    json!([{"role": "user", "content": "tell me a story"}])
}

fn plain(ask: &Value) -> Ask {
    let body = ask.to_string().replacen('{', "{\"stream\":true,", 1);
    ("application/json", body.into_bytes())
}

fn recording() -> Ask {
    let part = |head: &str, content: &[u8]| -> Vec<u8> {
        let head = format!("--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n");
        [head.as_bytes(), content, b"\r\n"].concat()
    };
    let parts = [
        part("name=\"model\"", b"gpt-4o-transcribe"),
        part("name=\"stream\"", b"true"),
        part("name=\"file\"; filename=\"a.mp3\"", &[7; 5_000]),
        b"--edge--\r\n".to_vec(),
    ];
    ("multipart/form-data; boundary=edge", parts.concat())
}

#[tokio::test]
async fn what_a_client_hung_up_on_is_settled_by_what_was_written() {
    settles(By::Client).await;
}

#[tokio::test]
async fn what_the_provider_broke_off_is_settled_by_what_was_written() {
    settles(By::Provider).await;
}

#[tokio::test]
async fn what_fell_silent_is_settled_by_what_was_written() {
    settles(By::Silence).await;
}

#[tokio::test]
async fn what_the_end_of_the_program_cut_is_settled_by_what_was_written() {
    settles(By::Stop).await;
}

#[tokio::test]
async fn what_was_cut_after_other_limits_were_read_is_settled_by_what_was_written() {
    settles(By::ClientAfterReload).await;
}

/// What was seen of a picture does not tell what it takes.
#[tokio::test]
async fn a_picture_that_is_cut_keeps_its_estimate_and_says_so() {
    let picture = Streams {
        path: "/v1/images/generations",
        body: || {
            plain(&json!({"model": "gpt-image-1", "prompt": "a cat", "partial_images": 2,
                          "size": "1024x1024", "quality": "low"}))
        },
        token: "\"partial_image_index\":",
    };
    for by in By::ALL {
        let case = format!("a picture, cut by {by:?}");
        let cut = Cut::begin(picture, by, 50, 2, &case).await;
        let booked = cut.end(&case).await;
        let expected = (by.ending().to_owned(), "assumed".to_owned());
        assert_eq!((booked.ending, booked.method), expected, "{case}");
        assert_eq!((booked.input, booked.output), booked.estimated, "{case}");
    }
}

async fn settles(by: By) {
    for streams in ENDPOINTS {
        for place in PLACES {
            settles_one(streams, by, place).await;
        }
    }
}

async fn settles_one(streams: Streams, by: By, place: u64) {
    let case = format!("{}, cut by {by:?} at {place} %", streams.path);
    let written = LENGTH * place / 100;
    let cut = Cut::begin(streams, by, place, written, &case).await;
    let tally = cut_short(&cut.provider).await;
    assert_eq!(tally.cut_output, written, "{case}: {tally:?}");
    let booked = cut.end(&case).await;
    let expected = (by.ending().to_owned(), "approximate".to_owned());
    assert_eq!((booked.ending, booked.method), expected, "{case}");
    // Anthropic tells at the beginning what it has read.
    let is_told = streams.path == "/v1/messages";
    let input = if is_told { tally.cut_prompt } else { booked.estimated.0 };
    assert_eq!(booked.input, input, "{case}");
    let output = booked.output;
    assert!(output.abs_diff(written) * 20 <= written, "{case}: {output} of {written}");
}

/// A stream that has ended early.
struct Cut {
    provider: Provider,
    running: Option<Running>,
    books: Books,
    toml: String,
}

/// What the ledger says of it.
struct Booked {
    ending: String,
    method: String,
    input: u64,
    output: u64,
    /// The same, as it was estimated; an output without a bound counts as none.
    estimated: (u64, u64),
}

impl Cut {
    /// Reads so many events with a token, and lets the stream end there.
    async fn begin(streams: Streams, by: By, place: u64, events: u64, case: &str) -> Self {
        let (provider, books, toml) = between(streams, by, place).await;
        let running = proxy(&toml).await;
        let proxy = running.proxy().clone();
        let mut answer = open(&running, streams).await;
        read_tokens(&mut answer, (streams.token, events), case).await;
        let mut left = None;
        match by {
            By::Client => left = Some(running),
            By::ClientAfterReload => {
                let limit = "[[upstreams.limits]]\nmodels = \"*\"\nrequests_per_minute = 77\n";
                let other = settings(&format!("{toml}{limit}"));
                running.renew(other).await.expect("other limits");
                left = Some(running);
            }
            By::Provider | By::Silence => {
                while let Some(frame) = answer.frame().await {
                    if frame.is_err() {
                        break;
                    }
                }
                left = Some(running);
            }
            By::Stop => assert_eq!(running.stop().await, 1, "{case}: the stream was to be cut"),
        }
        drop(answer);
        proxy.under_way().over().await;
        Self { provider, running: left, books, toml }
    }

    /// Returns the only entry, once it is booked.
    async fn entry(&self, case: &str) -> Option<Vec<Value>> {
        let entries = "SELECT ending, method, input, output, est_input, est_output FROM entries \
                       WHERE booked_ms IS NOT NULL";
        let mut rows = self.books.rows(entries).await;
        assert!(rows.len() <= 1, "{case}");
        rows.pop()
    }

    /// Ends the program, and returns what it has booked.
    async fn end(mut self, case: &str) -> Booked {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        let mut booked = self.entry(case).await;
        if booked.is_none() {
            // The disk was slow: it lies in the spill file, which the next start reads.
            let next = proxy(&self.toml).await;
            while booked.is_none() {
                booked = self.entry(case).await;
            }
            next.stop().await;
        }
        let row = booked.expect("booked");
        let text = |at: usize| row.get(at).and_then(Value::as_str).expect("a word").to_owned();
        let count = |at: usize| row.get(at).and_then(Value::as_u64).unwrap_or(0);
        Booked {
            ending: text(0),
            method: text(1),
            input: count(2),
            output: count(3),
            estimated: (count(4), count(5)),
        }
    }
}

/// Waits until the provider knows that its answer ended early.
pub(crate) async fn cut_short(provider: &Provider) -> Tally {
    loop {
        let lanes = provider.stats().lanes;
        if let Some(lane) = lanes.into_iter().find(|lane| lane.tally.cut > 0) {
            return lane.tally;
        }
        tokio::task::yield_now().await;
    }
}

/// Starts a provider whose answers end early; returns the configuration of a proxy before it, and its folder.
async fn between(streams: Streams, by: By, place: u64) -> (Provider, Books, String) {
    let (cut, hang) = if by == By::Provider { (1.0, 0.0) } else { (0.0, 1.0) };
    let anthropic = streams.path == "/v1/messages";
    let config = Config {
        dialect: if anthropic { Dialect::Anthropic } else { Dialect::OpenAi },
        outputs: Outputs { mean: 400.0, sigma: 0.0 },
        latency: Latency { first_token: Duration::ZERO, per_token: Duration::ZERO, jitter: 0.0 },
        faults: Faults {
            cut,
            hang,
            share: Some(f64::from(u32::try_from(place).expect("small")) / 100.0),
            ..Faults::default()
        },
        ..Config::single("sk-sim", Limits::default())
    };
    let provider = Provider::bind(config).await.expect("a provider");
    let dialect = if anthropic { "anthropic" } else { "openai" };
    let upstream = one_account(&provider.base_url(), "sk-sim", "").replacen(
        "[[upstreams]]",
        &format!("[[upstreams]]\ndialect = \"{dialect}\""),
        1,
    );
    let timeouts = match by {
        By::Silence => "[timeouts]\nidle = \"200ms\"\n",
        By::Stop => "[timeouts]\ndrain = \"50ms\"\n",
        By::Client | By::Provider | By::ClientAfterReload => "",
    };
    let books = Books::new().await;
    let toml = format!("{}{timeouts}{upstream}", books.settings());
    (provider, books, toml)
}

async fn open(running: &Running, streams: Streams) -> Incoming {
    let (kind, body) = (streams.body)();
    let request = Request::post(format!("http://{}{}", running.listen(), streams.path))
        .header("authorization", "Bearer notebook")
        .header("anthropic-version", "2023-06-01")
        .header("content-type", kind)
        .body(Full::<Bytes>::from(body))
        .expect("a request");
    // A client of its own: when the answer is dropped, its connection closes.
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    client.request(request).await.expect("a head").into_body()
}

/// Reads until so many events with a token have come.
async fn read_tokens(answer: &mut Incoming, (token, count): (&str, u64), case: &str) {
    let mut text = String::new();
    while (text.matches(token).count() as u64) < count {
        let frame = answer.frame().await.unwrap_or_else(|| panic!("{case}: it ended:\n{text}"));
        let frame = frame.unwrap_or_else(|error| panic!("{case}: {error} behind\n{text}"));
        text.push_str(&String::from_utf8_lossy(frame.data_ref().expect("data")));
    }
}
