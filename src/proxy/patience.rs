//! How long a request may wait, and how long a retry stays away.

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};
use tokio::time::Instant;

/// Returns how long a request may wait in line: `longest`, or less where its client would give up before
/// an answer that is expected to take `needed` more.
///
/// openai-python says in `x-stainless-read-timeout` how many seconds it waits between bytes,
/// openai-node in `x-stainless-timeout` how long in all, if it was set. Node's HTTP stack gives up
/// after 300 s whatever the SDK says, and so may clients that we do not know (measured 2026-11-21
/// with openai-python 1.109, 2.54, 3.54 and openai-node 4.104, 5.23, 6.49).
pub(super) fn patience(headers: &HeaderMap, longest: Duration, needed: Duration) -> Duration {
    let client = silence(headers);
    // Half of all answers take far less than most do: a client with less patience than that gets a
    // try, too.
    longest.min(client - needed.min(client / 5 * 4))
}

/// Returns how long a client hears nothing and stays.
pub(super) fn silence(headers: &HeaderMap) -> Duration {
    let said = STAINLESS
        .iter()
        .filter_map(|name| headers.get(name)?.to_str().ok()?.parse::<f64>().ok())
        .filter_map(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|said| !said.is_zero())
        .min();
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let waits_long = agent.is_some_and(|agent| agent.contains("OpenAI/Python"));
    let stack = if waits_long { Duration::MAX } else { SILENCE };
    // Some of it is needed for the answer itself, and for the refusal to arrive before they leave.
    let own = said.map_or(Duration::MAX, |said| said - SPARE.min(said / 5));
    own.min(stack)
}

/// Where the SDKs say how long they wait.
static STAINLESS: [HeaderName; 2] = [
    HeaderName::from_static("x-stainless-read-timeout"),
    HeaderName::from_static("x-stainless-timeout"),
];

/// What undici, Node's HTTP stack, endures in silence: 300 s, less what the answer needs.
const SILENCE: Duration = Duration::from_secs(290);

const SPARE: Duration = Duration::from_secs(5);

/// How often a request failed, and how long it stays away after that.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    refusals: u32,
    /// How often it is sent in all while the provider fails.
    tries: u32,
    /// From then on nothing is tried again.
    deadline: Instant,
}

impl Backoff {
    /// Creates the backoff of a request that did not fail yet, is of use until `deadline`, and is sent
    /// at most `tries` times in all while the provider fails.
    pub(super) const fn new(deadline: Instant, tries: u32) -> Self {
        Self { failures: 0, refusals: 0, tries, deadline }
    }

    /// Returns how long to stay away where another key or account can be asked: not at all.
    pub(super) fn elsewhere(&self) -> Option<Duration> {
        self.in_time(Duration::ZERO)
    }

    /// Counts a failure of the provider, and returns how long to stay away; `None` when it failed
    /// too often. `jitter` is random in 0..1.
    pub(super) fn after_failure(&mut self, jitter: f64) -> Option<Duration> {
        self.failures += 1;
        let wait = jittered(self.failures, jitter);
        self.in_time(wait).filter(|_| self.failures < self.tries)
    }

    /// Counts a refusal for a limit, and returns how long to stay away. The first one goes back into
    /// the line at once: the lane knows when there is room. `None` when the time is up.
    pub(super) fn after_refusal(&mut self, jitter: f64) -> Option<Duration> {
        self.refusals += 1;
        let first = self.refusals == 1;
        self.in_time(if first { Duration::ZERO } else { jittered(self.refusals, jitter) })
    }

    fn in_time(&self, wait: Duration) -> Option<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        (wait < left).then_some(wait)
    }
}

/// Full jitter up to 0.1 s × 2^n, at most 5 s.
fn jittered(count: u32, jitter: f64) -> Duration {
    let ceiling = Duration::from_millis(100 << count.min(6)).min(Duration::from_secs(5));
    ceiling.mul_f64(jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_waits_no_longer_than_its_client() {
        struct Case {
            name: &'static str,
            headers: &'static [(&'static str, &'static str)],
            needed: u64,
            seconds: u64,
        }
        const PYTHON: (&str, &str) = ("user-agent", "AsyncOpenAI/Python 3.54.0");
        const NODE: (&str, &str) = ("user-agent", "OpenAI/JS 6.49.0");
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            Case { name: "nobody said anything",   headers: &[],                                             needed: 0,   seconds: 290 },
            Case { name: "python's default",       headers: &[PYTHON, ("x-stainless-read-timeout", "600")],  needed: 0,   seconds: 595 },
            Case { name: "an impatient one",       headers: &[PYTHON, ("x-stainless-read-timeout", "10")],   needed: 0,   seconds: 8 },
            Case { name: "node",                   headers: &[NODE, ("x-stainless-timeout", "600")],         needed: 0,   seconds: 290 },
            Case { name: "nonsense",               headers: &[PYTHON, ("x-stainless-read-timeout", "soon")], needed: 60,  seconds: 900 },
            Case { name: "less than nothing",      headers: &[PYTHON, ("x-stainless-read-timeout", "-1")],   needed: 0,   seconds: 900 },
            Case { name: "a slow model",           headers: &[NODE],                                         needed: 40,  seconds: 250 },
            Case { name: "slow for an impatient",  headers: &[PYTHON, ("x-stainless-read-timeout", "65")],   needed: 20,  seconds: 40 },
            Case { name: "slower than its client", headers: &[PYTHON, ("x-stainless-read-timeout", "65")],   needed: 300, seconds: 12 },
            Case { name: "patience to spare",      headers: &[PYTHON, ("x-stainless-read-timeout", "2000")], needed: 600, seconds: 900 },
        ];
        for case in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in case.headers {
                headers.insert(*name, value.parse().expect("a header value"));
            }
            let needed = Duration::from_secs(case.needed);
            let waits = patience(&headers, Duration::from_secs(900), needed);
            assert_eq!(waits.as_secs(), case.seconds, "{}", case.name);
        }
    }

    #[test]
    fn failures_are_repeated_a_few_times_and_refusals_stay_away_longer_and_longer() {
        let deadline = Instant::now() + Duration::from_secs(600);
        let mut backoff = Backoff::new(deadline, 4);
        let tries = std::iter::from_fn(|| backoff.after_failure(1.0)).count();
        assert_eq!(tries, 3);
        let mut backoff = Backoff::new(deadline, 4);
        let waits = (0..8).map(|_| backoff.after_refusal(1.0).expect("in time").as_millis());
        assert_eq!(waits.collect::<Vec<_>>(), [0, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    }

    #[test]
    fn nothing_is_tried_again_when_its_time_is_up() {
        let mut backoff = Backoff::new(Instant::now(), 4);
        assert_eq!(backoff.elsewhere(), None);
        assert_eq!(backoff.after_refusal(0.5), None);
        assert_eq!(backoff.after_failure(0.5), None);
    }
}
