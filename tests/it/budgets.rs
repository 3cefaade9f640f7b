//! Money by periods: who may spend it, who waits for what others have reserved, and what the others are told.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sluicegate::server::Running;
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::books::Books;
use crate::endpoints::provider;
use crate::house::{Answer, App, one_account, proxy, settings};
use crate::ledger::SOON;
use crate::path::{CHAT, HELLO};
use crate::recorder::{End, Recorder, Reply};
use crate::sockets::{connect, say, until};

/// What `HELLO` may cost at most, as it may have eight tokens of output: 8 x 2.50 and 8 x 10.00 USD for a million
/// are 0.0001 USD. So much it costs here.
const ALL_OF_IT: &str = r#"{"id":"c1","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"length"}],"usage":{"prompt_tokens":8,"completion_tokens":8,"total_tokens":16}}"#;

/// Starts a provider whose answers cost all that they may, and a proxy with these budgets.
async fn with_budgets(budgets: &str) -> (Recorder, Running) {
    let recorder = Recorder::start(|_, _| Reply::Json(200, ALL_OF_IT)).await;
    let proxy = proxy(&one_account(&recorder.base_url(), "sk-1", budgets)).await;
    (recorder, proxy)
}

fn error(answer: &Answer) -> Value {
    let body: Value = serde_json::from_str(&answer.text()).expect("an error in OpenAI's shape");
    body.get("error").cloned().unwrap_or_default()
}

#[tokio::test]
async fn two_hundred_at_once_spend_what_there_is_and_no_more() {
    let budget = "[[budgets]]\nname = \"all\"\nusd = 0.005\nper = \"total\"\nstrict = true\n";
    let (recorder, proxy) = with_budgets(budget).await;
    let app = App::new(proxy.listen(), "notebook");
    let answers = join_all((0..200).map(|_| app.post(CHAT, HELLO))).await;
    let served = answers.iter().filter(|answer| answer.status() == 200).count();
    assert_eq!(served, 50, "0.0001 USD each");
    assert_eq!(recorder.seen().len(), 50, "who has no money is not sent");
    for refused in answers.iter().filter(|answer| answer.status() != 200) {
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.header("x-should-retry"), Some("false"));
        assert_eq!(refused.header("x-sluicegate-budget"), Some("all red"));
        let error = error(refused);
        assert_eq!(error["code"], "insufficient_quota");
        let message = error["message"].as_str().expect("words");
        assert!(
            message.contains("`all` has not enough left: 0.005000 of 0.005000 USD are spent"),
            "{message}"
        );
    }
    proxy.stop().await;
}

#[tokio::test]
async fn whose_money_it_is_decides_who_is_refused() {
    let budgets = "[[budgets]]\nname = \"one\"\napps = [\"one\"]\nusd = 0.0001\nper = \"day\"\n";
    let (_recorder, proxy) = with_budgets(budgets).await;
    let [one, other] = ["one", "other"].map(|name| App::new(proxy.listen(), name));
    assert_eq!(one.post(CHAT, HELLO).await.status(), 200);
    let refused = one.post(CHAT, HELLO).await;
    assert_eq!(refused.status(), 429);
    let message = error(&refused)["message"].to_string();
    assert!(message.contains("there is money again at 2"), "{message}");
    assert_eq!(other.post(CHAT, HELLO).await.status(), 200, "it has no budget");
    assert_eq!(one.get("/v1/models").await.status(), 200, "what costs nothing passes");
    proxy.stop().await;
}

#[tokio::test]
async fn a_yellow_budget_asks_a_cheaper_model_and_says_so() {
    let budgets = "[[budgets]]\nname = \"all\"\nusd = 0.001\nper = \"month\"\nyellow = 10\n\
                   on_yellow = [\"step_down\"]\n[budgets.step_down]\n\"gpt-4o\" = \"gpt-4o-mini\"\n";
    let (recorder, proxy) = with_budgets(budgets).await;
    let app = App::new(proxy.listen(), "notebook");
    let first = app.post(CHAT, HELLO).await;
    assert_eq!(first.header("x-sluicegate-budget"), None, "green");
    let second = app.post(CHAT, HELLO).await;
    assert_eq!(second.header("x-sluicegate-budget"), Some("all yellow"));
    assert_eq!(second.header("x-sluicegate-model"), Some("gpt-4o-mini"));
    let asked: Vec<bool> =
        recorder.seen().iter().map(|seen| seen.text().contains("\"gpt-4o-mini\"")).collect();
    assert_eq!(asked, [false, true]);
    proxy.stop().await;
}

#[tokio::test]
async fn a_model_without_prices_needs_one_under_a_budget() {
    const UNKNOWN: &str =
        r#"{"model":"my-own","messages":[{"role":"user","content":"hi"}],"max_tokens":8}"#;
    let budget = "[[budgets]]\nname = \"all\"\nusd = 1\nper = \"day\"\n";
    let (recorder, proxy) = with_budgets(budget).await;
    let refused = App::new(proxy.listen(), "notebook").post(CHAT, UNKNOWN).await;
    assert_eq!(refused.status(), 400);
    let error = error(&refused);
    assert_eq!(error["code"], "unknown_price");
    let message = error["message"].as_str().expect("words");
    assert!(message.contains("`[[prices]]` with `model = \"my-own\"`"), "{message}");
    assert_eq!(recorder.seen().len(), 0);
    proxy.stop().await;

    let (_recorder, proxy) = with_budgets(&format!("{budget}unknown_price = 10\n")).await;
    assert_eq!(App::new(proxy.listen(), "notebook").post(CHAT, UNKNOWN).await.status(), 200);
    proxy.stop().await;
}

#[tokio::test]
async fn what_was_reserved_and_not_spent_is_there_for_others() {
    // The first reserves all that there is and costs a fifth of it.
    const LONG: &str =
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"max_tokens":48}"#;
    let budget = "[[budgets]]\nname = \"all\"\nusd = 0.0005\nper = \"total\"\nstrict = true\n";
    let (recorder, proxy) = with_budgets(budget).await;
    let app = App::new(proxy.listen(), "notebook");
    let first = tokio::spawn({
        let app = app.clone();
        async move { app.post(CHAT, LONG).await }
    });
    recorder.asked(1).await;
    let (second, first) = (app.post(CHAT, HELLO).await, first.await.expect("an answer"));
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    assert_eq!(recorder.seen().len(), 2, "one after the other");
    proxy.stop().await;
}

#[tokio::test]
async fn images_reserve_what_their_number_costs() {
    // An image of this quality and size is 0.167 USD.
    let ask = |n: u32| {
        let texts = r#""model":"gpt-image-1","prompt":"a cat","quality":"high","size":"1024x1024""#;
        format!("{{{texts},\"n\":{n}}}")
    };
    let budget = "[[budgets]]\nname = \"all\"\nusd = 0.2\nper = \"day\"\nstrict = true\n";
    let (_recorder, proxy) = with_budgets(budget).await;
    let app = App::new(proxy.listen(), "notebook");
    let refused = app.post("/v1/images/generations", &ask(2)).await;
    let message = error(&refused)["message"].to_string();
    assert!(message.contains("may cost 0.334"), "{message}");
    assert_eq!(app.post("/v1/images/generations", &ask(1)).await.status(), 200);
    proxy.stop().await;
}

#[tokio::test]
async fn what_is_asked_on_a_websocket_is_booked() {
    let provider = provider().await;
    let budget = "[[budgets]]\nname = \"all\"\nusd = 0.0001\nper = \"day\"\n";
    let proxy = proxy(&one_account(&provider.base_url(), "sk-sim", budget)).await;
    let mut socket = connect(&proxy, "/v1/responses").await.expect("it costs nothing to open");
    let ask = json!({"type": "response.create", "model": "gpt-4o", "input": "tell me a story"});
    say(&mut socket, ask).await;
    until(&mut socket, "response.completed").await;
    // The money is spent: nothing more is asked on it.
    let closed = async { while let Some(Ok(_)) = socket.next().await {} };
    tokio::time::timeout(SOON, closed).await.expect("it is closed");
    let refused = App::new(proxy.listen(), "notebook").post(CHAT, HELLO).await;
    assert_eq!(refused.status(), 429, "{}", refused.text());
    proxy.stop().await;
}

/// How a stream ends that costs eighty times what [`HELLO`] may.
const TOO_MUCH: &[&str] = &[
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":800}}\n\n",
    "data: [DONE]\n\n",
];
const BEGUN: &[&str] = &["data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n"];

/// Lets one request be under way and another wait in line behind it, both within the budgets; then the first is
/// answered, and costs too much. Returns the answer to the second, and how many were sent.
async fn crossed_while_one_waits(
    budgets: &str,
    between: impl AsyncFnOnce(&Running),
) -> (Answer, usize) {
    let go_on = Arc::new(Notify::new());
    let end = End::Later(Arc::clone(&go_on), TOO_MUCH);
    let recorder = Recorder::start(move |turn, _| match turn {
        0 => Reply::Events(BEGUN, end.clone()),
        _ => Reply::Json(200, ALL_OF_IT),
    })
    .await;
    let limits = "[[upstreams.limits]]\nmodels = \"*\"\nconcurrency = 1\n";
    let proxy =
        proxy(&one_account(&recorder.base_url(), "sk-1", &format!("{limits}{budgets}"))).await;
    let app = App::new(proxy.listen(), "notebook");
    let post = || {
        tokio::spawn({
            let app = app.clone();
            async move { app.post(CHAT, HELLO).await }
        })
    };
    let first = post();
    recorder.asked(1).await;
    let second = post();
    let line = App::new(proxy.admin(), "-");
    while line.get("/line").await.json().get("waiting") != Some(&1.into()) {
        tokio::task::yield_now().await;
    }
    between(&proxy).await;
    go_on.notify_one();
    assert_eq!(first.await.expect("an answer").status(), 200);
    let second = second.await.expect("an answer");
    proxy.stop().await;
    (second, recorder.seen().len())
}

#[tokio::test]
async fn who_waits_in_line_when_a_budget_comes_to_its_mark_is_treated_by_it() {
    let red = "[[budgets]]\nname = \"all\"\nusd = 0.005\nper = \"total\"\n";
    let (refused, sent) = crossed_while_one_waits(red, async |_| {}).await;
    assert_eq!((refused.status().as_u16(), sent), (429, 1), "{}", refused.text());
    assert_eq!(error(&refused)["code"], "insufficient_quota");

    let yellow = "[[budgets]]\nname = \"all\"\nusd = 0.5\nyellow = 1\nper = \"day\"\n\
                  on_yellow = [\"step_down\"]\n[budgets.step_down]\n\"gpt-4o\" = \"gpt-4o-mini\"\n";
    let (cheaper, sent) = crossed_while_one_waits(yellow, async |_| {}).await;
    assert_eq!((cheaper.status().as_u16(), sent), (200, 2), "{}", cheaper.text());
    assert_eq!(cheaper.header("x-sluicegate-model"), Some("gpt-4o-mini"));
}

#[tokio::test]
async fn a_budget_that_comes_while_one_waits_holds_for_it() {
    let comes = async |proxy: &Running| {
        let budget = "[[upstreams.limits]]\nmodels = \"*\"\nconcurrency = 1\n\
                      [[budgets]]\nname = \"late\"\nusd = 0.00005\nper = \"week\"\n";
        proxy
            .renew(settings(&one_account("http://127.0.0.1:1/v1", "sk-1", budget)))
            .await
            .expect("taken over");
    };
    let (refused, sent) = crossed_while_one_waits("", comes).await;
    assert_eq!((refused.status().as_u16(), sent), (429, 1), "{}", refused.text());
    assert!(refused.text().contains("`late`"), "{}", refused.text());
}

#[tokio::test]
async fn a_restart_gives_no_second_period_of_money() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, ALL_OF_IT)).await;
    let books = Books::new().await;
    let account = one_account(&recorder.base_url(), "sk-1", "");
    let settings = format!(
        "{}{account}\n[[budgets]]\nname = \"one\"\napps = [\"one\"]\nusd = 0.0002\nper = \"total\"\n",
        books.settings()
    );
    for (name, statuses) in [("one", [200, 200]), ("other", [200, 200]), ("one", [429, 429])] {
        let proxy = proxy(&settings).await;
        let app = App::new(proxy.listen(), name);
        for status in statuses {
            assert_eq!(app.post(CHAT, HELLO).await.status(), status, "{name}");
        }
        proxy.stop().await;
    }
}

#[tokio::test]
async fn budgets_are_changed_while_it_runs_and_new_ones_know_what_was_spent_before() {
    let recorder = Recorder::start(|_, _| Reply::Json(200, ALL_OF_IT)).await;
    let books = Books::new().await;
    let account = one_account(&recorder.base_url(), "sk-1", "");
    let with = |budgets: &str| format!("{}{account}\n{budgets}", books.settings());
    let proxy = proxy(&with("")).await;
    let app = App::new(proxy.listen(), "notebook");
    for _ in 0..2 {
        assert_eq!(app.post(CHAT, HELLO).await.status(), 200);
    }
    let budget = |usd: &str| format!("[[budgets]]\nname = \"all\"\nusd = {usd}\nper = \"month\"\n");
    let left = proxy.renew(settings(&with(&budget("0.0002")))).await.expect("taken over");
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(app.post(CHAT, HELLO).await.status(), 429, "it is spent already");
    let page = App::new(proxy.admin(), "-").get("/budgets").await;
    let page: Value = serde_json::from_str(&page.text()).expect("JSON");
    assert_eq!(page["budgets"][0]["booked_usd"], "0.0002");
    assert_eq!(page["budgets"][0]["color"], "red");
    proxy.renew(settings(&with(&budget("0.0003")))).await.expect("taken over");
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200, "there is more");
    let metrics = App::new(proxy.admin(), "-").get("/metrics").await.text();
    let booked = "sluicegate_budget_booked_usd{budget=\"all\"} 0.0003";
    assert!(metrics.contains(booked), "{metrics}");
    proxy.renew(settings(&with(""))).await.expect("taken over");
    assert_eq!(app.post(CHAT, HELLO).await.status(), 200, "there is none any more");
    proxy.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_webhook_and_a_command_are_told_once_of_each_color() {
    let hook = Recorder::start(|_, _| Reply::Json(200, "{}")).await;
    let home = TempDir::new().expect("a folder");
    let file = home.path().join("told");
    let script = format!(
        "echo $SLUICEGATE_BUDGET $SLUICEGATE_COLOR $SLUICEGATE_BOOKED_USD >> '{}'",
        file.display()
    );
    let budget = format!(
        "[[budgets]]\nname = \"all\"\nusd = 0.0004\nper = \"total\"\nyellow = 25\non_yellow = [\"warn\"]\n\
         on_red = [\"warn\"]\nwebhook = \"{}/hook?token=hidden\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\n",
        hook.base_url()
    );
    let (_recorder, proxy) = with_budgets(&budget).await;
    let app = App::new(proxy.listen(), "notebook");
    for _ in 0..6 {
        assert_eq!(app.post(CHAT, HELLO).await.status(), 200, "it only warns");
    }
    hook.asked(2).await;
    let told: Vec<Value> =
        hook.seen().iter().map(|seen| serde_json::from_str(&seen.text()).expect("JSON")).collect();
    let colors: Vec<&str> = told.iter().filter_map(|told| told["color"].as_str()).collect();
    assert_eq!(colors, ["yellow", "red"]);
    assert_eq!(told[1]["booked_usd"], "0.0004");
    let whole = "all yellow 0.0001\nall red 0.0004\n";
    while std::fs::read_to_string(&file).unwrap_or_default() != whole {
        tokio::task::yield_now().await;
    }
    proxy.stop().await;
}
