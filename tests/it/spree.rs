//! Two hundred requests at once spend a budget that has room for fifty: what they spend beyond it is bounded.
//!
//! `SLUICEGATE_SPREES` says how often; twice of each kind if it does not.

use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sluicegate::simulate::engine::Limits;
use sluicegate::simulate::{Config, Latency, Outputs, Provider};

use crate::books::Books;
use crate::cli::Serving;
use crate::house::{Answer, App};
use crate::ledger::until_stored;
use crate::path::CHAT;

const REQUESTS: usize = 200;
/// Output tokens that each is allowed, and has in the mean.
const BOUND: u32 = 20;
const MEAN: f64 = 8.0;
/// What fifty cost in the mean: about 8 of input at 2.50 and 8 of output at 10.00 USD for a million each.
const USD: &str = "0.00525";
const PICO: i64 = 5_250_000_000;
/// What the input of one costs at least.
const INPUT_PICO: i64 = 25_000_000;

/// How a budget reserves, and which of the requests say what they may cost at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Strict,
    Usual,
}

fn sprees() -> u64 {
    let told = std::env::var("SLUICEGATE_SPREES").ok().and_then(|text| text.parse().ok());
    told.unwrap_or(2)
}

async fn provider(seed: u64) -> Provider {
    let mut config = Config::single("sk-sim", Limits::default());
    config.seed = seed;
    config.outputs = Outputs { mean: MEAN, sigma: 0.6 };
    let (first_token, per_token) = (Duration::from_millis(5), Duration::from_millis(1));
    config.latency = Latency { first_token, per_token, jitter: 0.5 };
    Provider::bind(config).await.expect("a provider")
}

fn body(random: &mut StdRng) -> String {
    // How long its answer is depends on the prompt.
    let content = format!("hello {}", random.random_range(100..1_000));
    let mut body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": content}]});
    for (name, value) in [("max_tokens", json!(BOUND)), ("stream", json!(true))] {
        if random.random()
            && let Some(fields) = body.as_object_mut()
        {
            fields.insert(name.to_owned(), value);
        }
    }
    body.to_string()
}

/// What became of a spree: the answers with what was asked, and what is booked.
struct Spree {
    answers: Vec<(String, Answer)>,
    /// When each was let go at the earliest, when it was sent and booked, and what it cost.
    entries: Vec<[i64; 4]>,
}

impl Spree {
    async fn of(kind: Kind, seed: u64) -> Self {
        let (provider, books) = (provider(seed).await, Books::new().await);
        let settings = format!(
            "{}[[upstreams]]\naccounts = [{{ name = \"main\", keys = [{{ key = \"sk-sim\" }}] }}]\n\
             [[budgets]]\nname = \"all\"\nusd = {USD}\nper = \"total\"\nstrict = {}\n",
            books.settings(),
            kind == Kind::Strict
        );
        let file = books.path().join("test.toml");
        std::fs::write(&file, settings).expect("written");
        let base_url = provider.base_url();
        let args = ["--config", file.to_str().expect("a plain path"), "--upstream", &base_url];
        let program = Serving::start(&args, &books.home);
        let mut random = StdRng::seed_from_u64(seed);
        let app = App::new(program.listen.parse().expect("an address"), "notebook");
        let answers = join_all((0..REQUESTS).map(|_| {
            let (app, body) = (app.clone(), body(&mut random));
            async move {
                let answer = app.post(CHAT, &body).await;
                (body, answer)
            }
        }))
        .await;
        until_stored(&App::new(program.admin.parse().expect("an address"), "")).await;
        let sql = "SELECT booked_ms - total_ms + queued_ms, sent_ms, booked_ms, cost_pico \
                   FROM entries WHERE booked_ms > 0 ORDER BY booked_ms, seq";
        let entries = books.rows(sql).await.into_iter().map(|row| {
            let number = |value: &Value| value.as_i64().expect("a number");
            let [free, sent, booked, cost] = &row[..] else { panic!("four columns") };
            [free, sent, booked, cost].map(number)
        });
        let spree = Self { answers, entries: entries.collect() };
        program.kill();
        spree
    }

    fn spent(&self) -> i64 {
        self.entries.iter().map(|[.., cost]| cost).sum()
    }

    /// Checks that each was served or told that the money is spent.
    fn is_served_or_refused(&self, seed: u64) -> usize {
        let mut served = 0;
        for (_, answer) in &self.answers {
            match answer.status().as_u16() {
                200 => served += 1,
                429 => {
                    let told: Value = answer.json();
                    let code = told.pointer("/error/code").and_then(Value::as_str);
                    assert_eq!(code, Some("insufficient_quota"), "{seed}: {told}");
                }
                _ => panic!("{seed}: {}", answer.text()),
            }
        }
        assert_eq!(served, self.entries.len(), "{seed}: each that was served is booked");
        served
    }

    /// Returns what those cost that were under way when the last one was let go.
    fn under_way_at_the_last(&self) -> Vec<i64> {
        // A busy machine sends it a while later.
        let last = self.entries.iter().map(|[free, ..]| *free).max().unwrap_or_default();
        let under_way = self.entries.iter().filter(|[_, _, booked, _]| *booked >= last);
        under_way.map(|[.., cost]| *cost).collect()
    }

    /// Checks that nothing was sent after the entry was settled that used the budget up.
    fn nothing_follows_the_last_cent(&self, seed: u64) {
        let mut sum = 0;
        let crossed = self.entries.iter().find(|[.., cost]| {
            sum += cost;
            sum >= PICO
        });
        let Some([_, _, at, _]) = crossed else { return };
        let late = self.entries.iter().filter(|[_, sent, ..]| sent > at).count();
        assert_eq!(late, 0, "{seed}: sent after the budget was spent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_budgets_are_never_exceeded_by_what_says_its_bound() {
    for seed in 0..sprees() {
        let spree = Spree::of(Kind::Strict, seed).await;
        let served = spree.is_served_or_refused(seed);
        let spent = spree.spent();
        assert!(spent <= PICO, "{seed}: {spent} of {PICO}");
        // Those without a bound may cost all that the model can write, which the budget never has.
        let unbounded = spree.answers.iter().filter(|(body, _)| !body.contains("max_tokens"));
        assert!(unbounded.into_iter().all(|(_, answer)| answer.status() == 429), "{seed}");
        assert!(served > 30, "{seed}: {served}");
        spree.nothing_follows_the_last_cent(seed);
        println!("strict {seed}: {served} served, {spent} of {PICO} spent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_budgets_are_exceeded_by_what_is_under_way_at_most() {
    for seed in 0..sprees() {
        let spree = Spree::of(Kind::Usual, seed).await;
        let served = spree.is_served_or_refused(seed);
        spree.nothing_follows_the_last_cent(seed);
        // Then all that was expected had room: what came on top is what these cost beyond that, which was at least
        // their input.
        let under_way = spree.under_way_at_the_last();
        let more: i64 = under_way.iter().map(|cost| cost - INPUT_PICO).sum();
        assert!(spree.spent() - PICO <= more, "{seed}: {} by {}", spree.spent(), under_way.len());
        assert!((30..=120).contains(&served), "{seed}: {served}");
        println!("usual {seed}: {served} served, {} of {PICO} spent", spree.spent());
    }
}
