//! What the provider cannot have seen costs nothing, whoever ends it.

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::books::Books;
use crate::house::{App, one_account, proxy};
use crate::ledger::{until, until_stored};
use crate::path::CHAT;

const ASKS: &str =
    r#"{"model":"gpt-4o","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}"#;
const BUDGET: &str = "[[budgets]]\nname = \"all\"\nusd = 1.0\nper = \"total\"\n";
const LINES: &str =
    "SELECT ending, status, input, output, cost_pico, est_output FROM entries ORDER BY seq";

/// Accepts a connection and says nothing; returns it with what came first.
async fn silent(listener: &TcpListener) -> (TcpStream, usize) {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut bytes = [0; 4096];
    let some = stream.read(&mut bytes).await.expect("something is said");
    (stream, some)
}

/// Sends a request to a provider that never answers, hangs up when it has heard from it, and returns what is booked.
async fn hung_up(scheme: &str) -> (Vec<Vec<Value>>, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("{scheme}://{}/v1", listener.local_addr().expect("an address"));
    let books = Books::new().await;
    let toml = format!("{}{}{BUDGET}", books.settings(), one_account(&base_url, "sk-1", ""));
    let proxy = proxy(&toml).await;
    let (app, admin) = (App::new(proxy.listen(), "notebook"), App::new(proxy.admin(), ""));
    let asking = tokio::spawn(async move { app.try_post(CHAT, ASKS).await.is_some() });
    let (stream, some) = silent(&listener).await;
    assert!(some > 0);
    asking.abort();
    assert!(asking.await.expect_err("it hung up").is_cancelled());
    until(&admin, |state| state["open"] == 0).await;
    until_stored(&admin).await;
    drop(stream);
    (books.rows(LINES).await, admin.get("/budgets").await.json())
}

#[tokio::test]
async fn who_hangs_up_before_there_is_a_connection_is_booked_as_unsent_and_pays_nothing() {
    // The encryption is never agreed upon.
    let (lines, budgets) = hung_up("https").await;
    assert_eq!(lines, [[json!("unsent"), json!(0), json!(0), json!(0), json!(0), json!(50)]]);
    let budget = &budgets["budgets"][0];
    let dollars = |name: &str| budget[name].as_str().and_then(|text| text.parse::<f64>().ok());
    assert_eq!(dollars("booked_usd"), Some(0.0), "{budgets}");
    assert_eq!(dollars("reserved_usd"), Some(0.0), "{budgets}");
}

#[tokio::test]
async fn who_hangs_up_when_the_provider_has_the_request_pays_what_was_expected() {
    let (lines, _) = hung_up("http").await;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0][0], "client_gone");
    assert_eq!((&lines[0][3], &lines[0][5]), (&json!(50), &json!(50)));
    assert!(lines[0][4].as_i64() > Some(0));
}

#[tokio::test]
async fn a_connection_that_takes_too_long_is_booked_as_unsent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("https://{}/v1", listener.local_addr().expect("an address"));
    let books = Books::new().await;
    for timeouts in ["connect = \"50ms\"", "response = \"50ms\""] {
        let account = one_account(&base_url, "sk-1", "");
        let toml = format!("{}{account}[timeouts]\n{timeouts}\n", books.settings());
        let proxy = proxy(&toml).await;
        let (app, admin) = (App::new(proxy.listen(), "notebook"), App::new(proxy.admin(), ""));
        let answer = app.post(CHAT, ASKS).await;
        assert!(answer.status().is_server_error(), "{}", answer.text());
        until_stored(&admin).await;
        proxy.stop().await;
    }
    let lines = books.rows(LINES).await;
    assert!(lines.len() >= 2);
    for line in lines {
        assert_eq!(line[0], "unsent", "{line:?}");
        assert_eq!(line[2..5], [0, 0, 0], "{line:?}");
    }
}
