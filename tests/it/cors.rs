//! Web pages: those of configured origins are let in, and no others.

use sluicegate::server::{self, Running};
use sluicegate::upstream::NetworkEnvironment;

use crate::house::{one_account, settings};
use crate::path::{CHAT, HELLO, SAID};
use crate::wire::{Message, Provider, Says, Wire, json};

const CHAT_PAGE: &str = "https://chat.example";

/// A provider that lets every page read its answers, as many do.
async fn house() -> (Provider, Running) {
    let provider = Provider::start(|_, _| {
        let open = "access-control-allow-origin: *\r\naccess-control-expose-headers: x-request-id\r\n\
                    vary: accept-encoding\r\n";
        Says::all(json("200 OK", open, SAID))
    })
    .await;
    let mut settings = settings(&one_account(&provider.base_url(), "sk-1", ""));
    settings.server.cors_origins = vec![CHAT_PAGE.into()];
    let environment = NetworkEnvironment::read(|_| None);
    (provider, server::start(settings, environment).await.expect("a proxy"))
}

async fn ask(proxy: &Running, method: &str, headers: &str, body: &str) -> Message {
    let mut wire = Wire::to(proxy.listen()).await;
    let length = body.len();
    let head = format!("{method} {CHAT} HTTP/1.1\r\nhost: localhost:8484\r\n{headers}");
    wire.say(format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}")).await;
    wire.answer().await
}

fn asks_first(origin: &str) -> String {
    format!(
        "origin: {origin}\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: authorization,content-type,x-stainless-lang\r\n\
         access-control-request-private-network: true\r\n"
    )
}

#[tokio::test]
async fn a_page_of_a_configured_origin_may_ask_and_read_answers() {
    let (provider, proxy) = house().await;
    let permit = ask(&proxy, "OPTIONS", &asks_first(CHAT_PAGE), "").await;
    assert_eq!(permit.status(), 204, "{}", permit.head);
    assert_eq!(permit.header("access-control-allow-origin"), Some(CHAT_PAGE));
    assert_eq!(permit.header("access-control-allow-methods"), Some("POST"));
    let wanted = Some("authorization,content-type,x-stainless-lang");
    assert_eq!(permit.header("access-control-allow-headers"), wanted);
    assert_eq!(permit.header("access-control-allow-private-network"), Some("true"));
    assert!(provider.heard().is_empty(), "the provider is not asked");
    let origin = format!("origin: {CHAT_PAGE}\r\n");
    for (body, status) in [(HELLO, 200), ("{", 400)] {
        let answer = ask(&proxy, "POST", &origin, body).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(CHAT_PAGE));
        assert_eq!(answer.header("access-control-expose-headers"), Some("*"));
        assert!(answer.head.contains("vary: origin\r\n"), "{}", answer.head);
    }
}

#[tokio::test]
async fn no_other_page_may_whatever_the_provider_says() {
    let (provider, proxy) = house().await;
    for origin in
        ["https://evil.example", "https://chat.example.evil", "null", "http://localhost:3000"]
    {
        let refused = ask(&proxy, "OPTIONS", &asks_first(origin), "").await;
        assert_eq!(refused.status(), 403, "{origin}");
        assert_eq!(refused.header("access-control-allow-origin"), None, "{origin}");
    }
    let foreign = ask(&proxy, "POST", "origin: https://evil.example\r\n", HELLO).await;
    assert_eq!(foreign.status(), 403);
    let two = format!("origin: {CHAT_PAGE}\r\norigin: https://evil.example\r\n");
    assert_eq!(ask(&proxy, "POST", &two, HELLO).await.status(), 403);
    assert!(provider.heard().is_empty());
    // A program on this machine may name an origin; no page can read what it gets.
    for headers in ["origin: http://localhost:3000\r\n", ""] {
        let answer = ask(&proxy, "POST", headers, HELLO).await;
        assert_eq!(answer.status(), 200);
        let told = |name: &String| name.starts_with("access-control-");
        assert!(!answer.names().iter().any(told), "{}", answer.head);
        assert_eq!(answer.header("vary"), Some("accept-encoding"));
    }
}

#[tokio::test]
async fn options_without_a_browsers_question_go_to_the_provider() {
    let (provider, proxy) = house().await;
    assert_eq!(ask(&proxy, "OPTIONS", "", "").await.status(), 200);
    assert!(provider.heard()[0].head.starts_with("OPTIONS /v1/chat/completions HTTP/1.1\r\n"));
}
