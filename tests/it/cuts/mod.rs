//! Streams that end early, whoever ends them and wherever, are settled by what came of them.
//!
//! | endpoint | whole | before its usage | behind it | in other forms |
//! |---|---|---|---|---|
//! | chat, completions, responses, messages | [`endpoints`](crate::endpoints), [`messages`](crate::messages) | here | here | here: choices, calls, thoughts, languages |
//! | transcriptions, speech | [`endpoints`](crate::endpoints), [`forms`](crate::forms) | here | here | here: Chinese |
//! | images, edits | [`endpoints`](crate::endpoints) | here: keeps its estimate | | |
//! | websockets of responses and realtime | [`sockets`](crate::sockets) | [`sockets`] | ends the answer | [`sockets`]: languages |
//! | compact, embeddings, moderations, translations, videos, decisions | [`endpoints`](crate::endpoints), [`forms`](crate::forms) | no streams | | |

mod rows;
mod sockets;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use sluicegate::server::Running;
use sluicegate::simulate::engine::{Limits, Tally};
use sluicegate::simulate::{Config, Dialect, Frames, Latency, Outputs, Provider};
use tokio::time::timeout;

use self::rows::{Ask, ENDPOINTS, ODD, PICTURES, Streams};
use crate::books::Books;
use crate::house::{one_account, proxy, settings};

/// How many tokens each answer would have; the mean of answers that do not vary.
const LENGTH: u64 = 400;
/// After how many hundredths of it the answer ends.
const PLACES: [u64; 3] = [0, 30, 95];

/// Who ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
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
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Client | Self::ClientAfterReload => "client_gone",
            Self::Provider | Self::Silence => "provider_cut",
            Self::Stop => "stopped",
        }
    }
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

#[tokio::test]
async fn what_a_client_hung_up_on_is_settled_by_all_that_it_said_in_whatever_form() {
    settles_odd(By::Client).await;
}

#[tokio::test]
async fn what_the_provider_broke_off_is_settled_by_all_that_it_said_in_whatever_form() {
    settles_odd(By::Provider).await;
}

#[tokio::test]
async fn what_the_end_of_the_program_cut_is_settled_by_all_that_it_said_in_whatever_form() {
    settles_odd(By::Stop).await;
}

/// Whoever ends it behind that.
#[tokio::test]
async fn a_stream_that_has_told_its_usage_is_settled_by_that_to_the_token() {
    for by in By::ALL {
        for streams in ENDPOINTS {
            let case = format!("{}, cut by {by:?} behind its usage", streams.path);
            // Anthropic tells it twice.
            let told = if streams.dialect == Dialect::Anthropic { 2 } else { 1 };
            let usage = |text: &str| text.matches("\"usage\":{").count();
            let ask = asking_for_usage((streams.body)());
            let cut =
                Cut::begin((streams, ask), by, (1.0, Frames::Whole), (usage, told), &case).await;
            let lanes = cut.provider.stats().lanes;
            let lane = lanes.iter().find(|lane| lane.tally.output > 0).expect(&case);
            let written = (lane.tally.prompt, lane.tally.output);
            assert_eq!((lane.tally.cut, written.1), (0, LENGTH), "{case}");
            let booked = cut.end(&case).await;
            let expected = ("complete".to_owned(), "exact".to_owned());
            assert_eq!((booked.ending, booked.method), expected, "{case}");
            assert_eq!((booked.input, booked.output), written, "{case}");
        }
    }
}

/// What was seen of a picture does not tell what it takes.
#[tokio::test]
async fn a_picture_that_is_cut_keeps_its_estimate_and_says_so() {
    for (streams, by) in PICTURES.into_iter().flat_map(|it| By::ALL.map(|by| (it, by))) {
        let case = format!("{}, cut by {by:?}", streams.path);
        let seen = |text: &str| streams.outputs_in(text);
        let ask = (streams.body)();
        let cut = Cut::begin((streams, ask), by, (0.5, Frames::Whole), (seen, 2), &case).await;
        let booked = cut.end(&case).await;
        let expected = (by.ending().to_owned(), "assumed".to_owned());
        assert_eq!((booked.ending, booked.method), expected, "{case}");
        assert_eq!((booked.input, booked.output), booked.estimated, "{case}");
    }
}

async fn settles(by: By) {
    for streams in ENDPOINTS {
        for place in PLACES {
            let case = format!("{}, cut by {by:?} at {place} %", streams.path);
            let written = LENGTH * place / 100;
            let seen = |text: &str| streams.outputs_in(text);
            let (share, wanted) = (part(place), usize::try_from(written).expect("few"));
            let ask = (streams.body)();
            let cut =
                Cut::begin((streams, ask), by, (share, Frames::Whole), (seen, wanted), &case).await;
            let tally = cut_short(&cut.provider).await;
            assert_eq!(tally.cut_output, written, "{case}: {tally:?}");
            settled_by(cut, (&tally, by), &case).await;
        }
    }
}

/// The bytes come in pieces that end anywhere, and the last of them in the middle of an event.
async fn settles_odd(by: By) {
    for streams in ODD {
        let case = format!("{} in {:?}, cut by {by:?}", streams.path, streams.language);
        let seen = |text: &str| streams.outputs_in(text);
        let ask = (streams.body)();
        let torn = Frames::Torn(NonZeroUsize::new(61).expect("some"));
        let wanted = outputs_of(&streams).await * 6 / 10 - 4;
        let cut = Cut::begin((streams, ask), by, (0.6, torn), (seen, wanted), &case).await;
        let tally = cut_short(&cut.provider).await;
        assert!(tally.cut_output >= 100, "{case}: {tally:?}");
        settled_by(cut, (&tally, by), &case).await;
    }
}

/// Checks that what was cut is booked with what the provider wrote.
async fn settled_by(cut: Cut, (tally, by): (&Tally, By), case: &str) {
    let is_anthropics = cut.streams.dialect == Dialect::Anthropic;
    let booked = cut.end(case).await;
    let expected = (by.ending().to_owned(), "approximate".to_owned());
    assert_eq!((booked.ending, booked.method), expected, "{case}");
    // Anthropic tells at the beginning what it has read.
    let input = if is_anthropics { tally.cut_prompt } else { booked.estimated.0 };
    assert_eq!(booked.input, input, "{case}");
    // And that a token was written, before one is.
    let (output, written) = (booked.output, tally.cut_output.max(u64::from(is_anthropics)));
    assert!(output.abs_diff(written) * 20 <= written, "{case}: {output} of {written}");
}

/// Returns how many outputs a whole stream has.
async fn outputs_of(streams: &Streams) -> usize {
    let provider = Provider::bind(answering(streams)).await.expect("a provider");
    let answer = send(provider.addr(), "sk-sim", (streams.path, (streams.body)())).await;
    let body = answer.collect().await.expect("a whole answer").to_bytes();
    streams.outputs_in(std::str::from_utf8(&body).expect("text"))
}

fn part(hundredths: u64) -> f64 {
    f64::from(u32::try_from(hundredths).expect("small")) / 100.0
}

fn asking_for_usage((kind, body): Ask) -> Ask {
    let body = String::from_utf8_lossy(&body).into_owned();
    let is_told_to_who_asks = body.contains("\"messages\"") && body.contains("gpt")
        || body.contains("gpt-3.5-turbo-instruct");
    let asking = "{\"stream_options\":{\"include_usage\":true},";
    let body = if is_told_to_who_asks { body.replacen('{', asking, 1) } else { body };
    (kind, body.into_bytes())
}

/// A stream that has ended early.
struct Cut {
    streams: Streams,
    provider: Provider,
    running: Option<Running>,
    books: Books,
    toml: String,
}

/// What the ledger says of it.
pub(crate) struct Booked {
    pub(crate) ending: String,
    pub(crate) method: String,
    pub(crate) input: u64,
    pub(crate) output: u64,
    /// The same, as it was estimated; an output without a bound counts as none.
    pub(crate) estimated: (u64, u64),
}

impl Cut {
    /// Reads until so much is counted in the stream, and lets that end there; the provider ends after `share`.
    async fn begin(
        (streams, ask): (Streams, Ask),
        by: By,
        (share, frames): (f64, Frames),
        wanted: (impl Fn(&str) -> usize, usize),
        case: &str,
    ) -> Self {
        let mut config = answering(&streams);
        config.faults.share = Some(share);
        config.frames = frames;
        if by == By::Provider {
            config.faults.cut = 1.0;
        } else {
            config.faults.hang = 1.0;
        }
        let (provider, books, toml) = between(config, by).await;
        let running = proxy(&toml).await;
        let proxy = running.proxy().clone();
        let mut answer = send(running.listen(), "notebook", (streams.path, ask)).await;
        read_until(&mut answer, wanted, case).await;
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
            By::Stop => {
                let cut = running.stop().await;
                assert!(cut == 1 || share >= 1.0, "{case}: the stream was to be cut");
            }
        }
        drop(answer);
        proxy.under_way().over().await;
        Self { streams, provider, running: left, books, toml }
    }

    /// Ends the program, and returns what it has booked.
    async fn end(mut self, case: &str) -> Booked {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        booked(&self.books, &self.toml, case).await
    }
}

/// Returns the only entry of something that was counted, of a program that has ended.
pub(crate) async fn booked(books: &Books, toml: &str, case: &str) -> Booked {
    // On a slow disk the program may have ended before it had made its database.
    books.store().update().await.expect("a database");
    let mut row = entry(books, case).await;
    if row.is_none() {
        // The disk was slow: it lies in the spill file, which the next start reads.
        let next = proxy(toml).await;
        let late = timeout(LATEST, async {
            while row.is_none() {
                row = entry(books, case).await;
            }
        });
        assert!(late.await.is_ok(), "{case}: it was never booked, nor read from the spill file");
        next.stop().await;
    }
    let row = row.expect("booked");
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

/// Far longer than the start of a program takes to read what was spilled.
const LATEST: Duration = Duration::from_secs(60);

async fn entry(books: &Books, case: &str) -> Option<Vec<Value>> {
    let entries = "SELECT ending, method, input, output, est_input, est_output FROM entries \
                   WHERE booked_ms IS NOT NULL AND est_input > 0";
    let mut rows = books.rows(entries).await;
    assert!(rows.len() <= 1, "{case}: {rows:?}");
    rows.pop()
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

/// A provider of answers of that length.
fn answering(streams: &Streams) -> Config {
    Config { dialect: streams.dialect, language: streams.language, ..usual() }
}

pub(crate) fn usual() -> Config {
    Config {
        outputs: Outputs { mean: 400.0, sigma: 0.0 },
        latency: Latency { first_token: Duration::ZERO, per_token: Duration::ZERO, jitter: 0.0 },
        ..Config::single("sk-sim", Limits::default())
    }
}

/// Starts a provider; returns the configuration of a proxy before it, and its folder.
pub(crate) async fn between(config: Config, by: By) -> (Provider, Books, String) {
    let dialect = config.dialect.name();
    let provider = Provider::bind(config).await.expect("a provider");
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

async fn send(at: SocketAddr, key: &str, (path, (kind, body)): (&str, Ask)) -> Incoming {
    let request = Request::post(format!("http://{at}{path}"))
        .header("authorization", format!("Bearer {key}"))
        .header("anthropic-version", "2023-06-01")
        .header("content-type", kind)
        .body(Full::<Bytes>::from(body))
        .expect("a request");
    // A client of its own: when the answer is dropped, its connection closes.
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await.expect("a head");
    assert_eq!(answer.status(), 200, "{path}");
    answer.into_body()
}

/// Reads until so much is counted in whole lines of the stream.
async fn read_until(
    answer: &mut Incoming,
    (count, wanted): (impl Fn(&str) -> usize, usize),
    case: &str,
) {
    let (mut seen, mut line) = (0, Vec::new());
    while seen < wanted {
        let frame = answer.frame().await.unwrap_or_else(|| panic!("{case}: it ended at {seen}"));
        let frame = frame.unwrap_or_else(|error| panic!("{case}: {error} at {seen}"));
        line.extend_from_slice(frame.data_ref().expect("data"));
        if let Some(end) = line.iter().rposition(|byte| *byte == b'\n') {
            let whole = line.drain(..=end).collect();
            seen += count(&String::from_utf8(whole).expect("text"));
        }
    }
}
