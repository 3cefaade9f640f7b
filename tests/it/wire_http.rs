//! HTTP as it stands on the wire, on both sides of the proxy.

use std::fmt::Write as _;

use sluicegate::server::Running;

use crate::house::{one_account, proxy};
use crate::path::{CHAT, HELLO, SAID};
use crate::wire::{Message, Provider, Says, Silent, Then, Wire, json};

async fn house(
    script: impl Fn(usize, &Message) -> Says + Send + Sync + 'static,
) -> (Provider, Running) {
    let provider = Provider::start(script).await;
    let proxy = proxy(&one_account(&provider.base_url(), "sk-1", "")).await;
    (provider, proxy)
}

/// A provider that answers everything.
async fn kind_house() -> (Provider, Running) {
    house(|_, _| Says::all(json("200 OK", "", SAID))).await
}

/// Returns a request with a body, and `more` headers, each with its line's end.
fn post(path: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{more}\r\n{body}"
    )
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n")
}

#[tokio::test]
async fn nothing_goes_up_but_what_the_client_said_and_the_readme_states() {
    let (provider, proxy) = kind_house().await;
    let mut wire = Wire::to(proxy.listen()).await;
    let said = "User-Agent: x/1\r\nX-Client-Request-Id: mine-1\r\nx-request-id: mine-2\r\n\
                X-Stainless-Retry-Count: 0\r\nX-Odd: a\r\nX-Odd: b \r\nauthorization: Bearer notebook\r\n\
                connection: keep-alive, x-hop\r\nX-Hop: 1\r\nkeep-alive: timeout=5\r\n\
                proxy-connection: keep-alive\r\nupgrade: h2c\r\nx-sluicegate-class: batch\r\n\
                cookie: a=1\r\n";
    wire.say(post(CHAT, said, HELLO)).await;
    assert_eq!(wire.answer().await.status(), 200);
    wire.say(get("/v1/models?a=%2f&b=", said)).await;
    assert_eq!(wire.answer().await.status(), 200);
    let heard = provider.heard();
    let kept = ["user-agent", "x-client-request-id", "x-odd", "x-odd", "x-request-id"];
    let sent = |more: &[&str]| {
        let mut names: Vec<String> = kept.iter().chain(more).map(ToString::to_string).collect();
        names.push("x-stainless-retry-count".into());
        names.sort();
        names
    };
    let call = sent(&["authorization", "content-length", "content-type", "host"]);
    assert_eq!(heard[0].names(), call, "{}", heard[0].head);
    assert_eq!(heard[1].names(), sent(&["authorization", "host"]), "{}", heard[1].head);
    for message in &heard {
        assert_eq!(message.header("authorization"), Some("Bearer sk-1"));
        assert_eq!(message.header("x-client-request-id"), Some("mine-1"));
        assert!(message.header("host").is_some_and(|host| provider.base_url().contains(host)));
    }
    assert!(heard[1].head.starts_with("GET /v1/models?a=%2f&b= HTTP/1.1\r\n"), "{}", heard[1].head);
}

#[tokio::test]
async fn an_answer_keeps_what_the_provider_said_but_for_what_belongs_to_its_connection() {
    let (_provider, proxy) = house(|_, _| {
        let more = "x-request-id: req_1\r\nopenai-version: 2020-10-01\r\nset-cookie: a=1\r\n\
                    set-cookie: b=2\r\nkeep-alive: timeout=5\r\nconnection: keep-alive, x-hop\r\n\
                    x-hop: 1\r\ndate: Sun, 22 Nov 2026 10:00:00 GMT\r\n";
        Says::all(json("200 Fine", more, SAID))
    })
    .await;
    let mut wire = Wire::to(proxy.listen()).await;
    wire.say(get("/v1/models", "")).await;
    let answer = wire.answer().await;
    assert_eq!(answer.header("x-request-id"), Some("req_1"));
    assert_eq!(answer.header("date"), Some("Sun, 22 Nov 2026 10:00:00 GMT"));
    let own = |name: &String| name.starts_with("x-sluicegate-");
    let names: Vec<_> = answer.names().into_iter().filter(|name| !own(name)).collect();
    let expected = [
        "content-length",
        "content-type",
        "date",
        "openai-version",
        "set-cookie",
        "set-cookie",
        "x-request-id",
    ];
    assert_eq!(names, expected, "{}", answer.head);
    assert_eq!(answer.text(), SAID);
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_their_order() {
    let (provider, proxy) = house(|_, message| {
        let number = message.header("x-number").unwrap_or_default().to_owned();
        Says::all(json("200 OK", &format!("x-number: {number}\r\n"), SAID))
    })
    .await;
    let mut wire = Wire::to(proxy.listen()).await;
    let mut all = String::new();
    for number in 0..20 {
        all.push_str(&post(CHAT, &format!("x-number: {number}\r\n"), HELLO));
    }
    wire.say(all).await;
    for number in 0..20 {
        let answer = wire.answer().await;
        assert_eq!(answer.header("x-number"), Some(number.to_string().as_str()));
        assert_eq!(answer.text(), SAID);
    }
    assert_eq!(provider.heard().len(), 20);
    let connections = provider.heard().iter().map(|message| message.connection).max();
    assert_eq!(connections, Some(0), "the connection to the provider is kept");
}

#[tokio::test]
async fn connections_are_kept_after_errors_on_both_sides() {
    let (provider, proxy) = house(|number, _| match number % 3 {
        0 => Says::all(json("404 Not Found", "", "{\"error\":{\"message\":\"no\"}}")),
        1 => Says::all(json("400 Bad Request", "", "{}")),
        _ => Says::all(json("200 OK", "", SAID)),
    })
    .await;
    let mut wire = Wire::to(proxy.listen()).await;
    let mut told = Vec::new();
    for body in [HELLO, "{\"broken", HELLO, HELLO] {
        wire.say(post(CHAT, "", body)).await;
        told.push(wire.answer().await.status());
    }
    assert_eq!(told, [404, 400, 400, 200], "the second is the proxy's own");
    assert!(provider.heard().iter().all(|message| message.connection == 0));
}

#[tokio::test]
async fn a_connection_that_the_provider_closed_meanwhile_costs_nobody_an_answer() {
    let (provider, proxy) = house(|_, _| Says::last(json("200 OK", "", SAID))).await;
    let mut wire = Wire::to(proxy.listen()).await;
    for _ in 0..20 {
        wire.say(post(CHAT, "", HELLO)).await;
        assert_eq!(wire.answer().await.status(), 200);
    }
    assert_eq!(provider.heard().len(), 20);
}

#[tokio::test]
async fn a_chunked_upload_is_read_whatever_its_chunks() {
    let (provider, proxy) = kind_house().await;
    let mut wire = Wire::to(proxy.listen()).await;
    for size in [1, 7, HELLO.len()] {
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        wire.say(head).await;
        for chunk in HELLO.as_bytes().chunks(size) {
            let text = String::from_utf8_lossy(chunk);
            wire.say(format!("{:X};ext=\"1\"\r\n{text}\r\n", chunk.len())).await;
        }
        wire.say("0\r\n\r\n").await;
        let answer = wire.answer().await;
        assert_eq!(answer.header("x-sluicegate-estimated-tokens"), Some("16"), "it was counted");
    }
    for message in provider.heard() {
        assert_eq!(message.text(), HELLO);
        assert_eq!(message.header("content-length"), Some(HELLO.len().to_string().as_str()));
        assert_eq!(message.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn a_chunked_upload_to_another_path_stays_chunked_with_its_trailers() {
    let (provider, proxy) = kind_house().await;
    let mut wire = Wire::to(proxy.listen()).await;
    wire.say(
        "POST /v1/files HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\
         trailer: x-sum\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n",
    )
    .await;
    assert_eq!(wire.answer().await.status(), 200);
    let heard = provider.heard();
    assert_eq!((heard[0].text().as_str(), heard[0].trailers.as_str()), ("abcde", "x-sum: 5\n"));
    assert_eq!(heard[0].header("content-length"), None);
}

const TRAILED: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntrailer: x-sum\r\n\
                       transfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn trailers_of_an_answer_reach_the_client_that_takes_them() {
    let (provider, proxy) = house(|_, _| {
        Says::all(format!("{TRAILED}{:x}\r\n{SAID}\r\n0\r\nx-sum: 7\r\n\r\n", SAID.len()))
    })
    .await;
    let mut wire = Wire::to(proxy.listen()).await;
    let takes = "te: trailers\r\nconnection: te\r\n";
    for request in [get("/v1/files/f1/content", takes), post(CHAT, takes, HELLO)] {
        wire.say(request).await;
        let answer = wire.answer().await;
        assert_eq!(answer.text(), SAID);
        assert_eq!(answer.trailers, "x-sum: 7\n", "{}", answer.head);
    }
    for message in provider.heard() {
        assert_eq!(message.header("te"), Some("trailers"), "the provider is told of it");
        assert_eq!(message.header("connection"), Some("te"));
    }
}

#[tokio::test]
async fn interim_answers_of_the_provider_are_passed_over() {
    let (_provider, proxy) = house(|_, _| {
        let mut answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                           HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
            .to_vec();
        answer.extend(json("200 OK", "", SAID));
        Says::all(answer)
    })
    .await;
    let mut wire = Wire::to(proxy.listen()).await;
    for request in [get("/v1/models", ""), post(CHAT, "", HELLO)] {
        wire.say(request).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, SAID));
    }
}

#[tokio::test]
async fn who_expects_100_sends_its_body_only_when_it_is_wanted() {
    let (provider, proxy) = kind_house().await;
    let head = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
             content-length: {length}\r\n\r\n"
        )
    };
    for path in [CHAT, "/v1/files"] {
        let mut wire = Wire::to(proxy.listen()).await;
        wire.say(head(path, HELLO.len())).await;
        assert_eq!(wire.bare_answer().await.head, "HTTP/1.1 100 Continue\r\n\r\n", "{path}");
        wire.say(HELLO).await;
        assert_eq!(wire.answer().await.status(), 200, "{path}");
    }
    // One that is too large is refused before it is sent.
    let mut wire = Wire::to(proxy.listen()).await;
    wire.say(head(CHAT, 1 << 40)).await;
    let refused = wire.answer().await;
    assert_eq!(refused.status(), 413, "{}", refused.head);
    for message in provider.heard() {
        assert_eq!(message.header("expect"), None, "it is between client and proxy");
        assert_eq!(message.text(), HELLO);
    }
}

#[tokio::test]
async fn a_head_request_gets_the_head_and_no_body() {
    let (provider, proxy) = house(|_, message| match message.head.starts_with("HEAD") {
        true => Says::all("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\netag: \"e\"\r\n\r\n"),
        false => Says::all(json("200 OK", "", SAID)),
    })
    .await;
    let mut wire = Wire::to(proxy.listen()).await;
    for _ in 0..2 {
        wire.say("HEAD /v1/files/f1/content HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let answer = wire.bare_answer().await;
        assert_eq!(answer.header("content-length"), Some("1234"), "{}", answer.head);
        assert_eq!(answer.header("etag"), Some("\"e\""));
    }
    wire.say(get("/v1/models", "")).await;
    assert_eq!(wire.answer().await.text(), SAID, "the connection goes on");
    assert_eq!(provider.heard().len(), 3);
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    let (_provider, proxy) = house(|number, _| match number {
        0 => Says::all("HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n"),
        _ => Says::all("HTTP/1.1 304 Not Modified\r\netag: \"e\"\r\n\r\n"),
    })
    .await;
    let mut wire = Wire::to(proxy.listen()).await;
    for status in [204, 304, 304] {
        wire.say(get("/v1/models", "")).await;
        let answer = wire.bare_answer().await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.header("transfer-encoding"), None, "{}", answer.head);
    }
}

#[tokio::test]
async fn an_old_client_gets_an_answer_that_ends_with_the_connection() {
    const EVENTS: &str = "data: {\"choices\":[]}\n\ndata: [DONE]\n\n";
    let (provider, proxy) = house(|number, _| match number {
        0 => Says::all(json("200 OK", "", SAID)),
        _ => Says::all(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
             {:x}\r\n{EVENTS}\r\n0\r\n\r\n",
            EVENTS.len()
        )),
    })
    .await;
    let streamed =
        HELLO.replace('{', "{\"stream\":true,").replacen("{\"stream\":true,\"role", "{\"role", 1);
    for (body, said) in [(HELLO, SAID), (&streamed, EVENTS)] {
        let mut wire = Wire::to(proxy.listen()).await;
        let length = body.len();
        wire.say(format!("POST {CHAT} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}")).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("transfer-encoding"), None, "{}", answer.head);
        assert_eq!(answer.text(), said);
        assert!(wire.is_closed().await);
    }
    assert!(provider.heard()[0].head.contains(" HTTP/1.1\r\n"), "upstream it is HTTP/1.1");
}

#[tokio::test]
async fn an_old_provider_is_understood() {
    let (_provider, proxy) = house(|_, _| {
        let head = "HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n";
        Says::last(format!("{head}{SAID}"))
    })
    .await;
    let mut wire = Wire::to(proxy.listen()).await;
    for request in [post(CHAT, "", HELLO), get("/v1/models", ""), post(CHAT, "", HELLO)] {
        wire.say(request).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, SAID));
    }
}

#[tokio::test]
async fn long_headers_and_many_go_both_ways() {
    let long = "v".repeat(60_000);
    let mut more = format!("x-long: {long}\r\n");
    for number in 0..80 {
        write!(more, "x-many-{number}: {number}\r\n").expect("written");
    }
    let echoed = more.clone();
    let (provider, proxy) = house(move |_, _| Says::all(json("200 OK", &echoed, SAID))).await;
    let mut wire = Wire::to(proxy.listen()).await;
    for request in [get("/v1/models", &more), post(CHAT, &more, HELLO)] {
        wire.say(request).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("x-long"), Some(long.as_str()));
        assert_eq!(answer.header("x-many-79"), Some("79"));
    }
    for message in provider.heard() {
        assert_eq!(message.header("x-long"), Some(long.as_str()));
        assert_eq!(message.header("x-many-79"), Some("79"));
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_counts_as_gone() {
    let (provider, proxy) = house(|_, _| Says { pieces: Vec::new(), then: Then::Waits }).await;
    let mut wire = Wire::to(proxy.listen()).await;
    wire.say(post(CHAT, "", HELLO)).await;
    while provider.heard().is_empty() {
        tokio::task::yield_now().await;
    }
    wire.finish().await;
    provider.left().await;
    assert!(wire.is_closed().await, "nobody can tell it from one that hung up");
}

#[tokio::test]
async fn a_provider_that_answers_before_the_upload_ends_is_heard() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}/v1", listener.local_addr().expect("bound"));
    let proxy = proxy(&one_account(&base, "sk-1", "")).await;
    let mut wire = Wire::to(proxy.listen()).await;
    wire.say("POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\nabc")
        .await;
    let (stream, _) = listener.accept().await.expect("a connection");
    let mut provider = Wire::of(stream);
    provider.heard_head().await;
    provider.say(json("413 Payload Too Large", "connection: close\r\n", "{\"error\":{}}")).await;
    provider.finish().await;
    let answer = wire.answer().await;
    assert_eq!((answer.status(), answer.text().as_str()), (413, "{\"error\":{}}"));
}

#[tokio::test]
async fn two_lengths_are_never_sent_on() {
    let (provider, proxy) = kind_house().await;
    let length = HELLO.len();
    let doubtful = [
        format!("content-length: {length}\r\ncontent-length: {}\r\n", length + 1),
        format!("content-length: {length}\r\ntransfer-encoding: gzip\r\n"),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "content-length: +5\r\n".to_owned(),
    ];
    for headers in doubtful {
        let mut wire = Wire::to(proxy.listen()).await;
        wire.say(format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n{HELLO}")).await;
        let answer = wire.hear(Silent::ToTheEnd).await;
        assert!(answer.is_none_or(|answer| answer.status() == 400), "{headers}");
    }
    assert!(provider.heard().is_empty());
}
