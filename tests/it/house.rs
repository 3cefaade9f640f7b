//! A proxy and what it needs around it, in this process, on free ports.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use sluicegate::config::{self, FileText, Flags, Outside, Settings};
use sluicegate::server::{self, Running};
use sluicegate::upstream::NetworkEnvironment;

/// Returns the settings that `toml` describes, on free ports, with nothing from this machine.
pub(crate) fn settings(toml: &str) -> Settings {
    let text = format!("{toml}\n[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n");
    let outside = Outside {
        env: &|_| None,
        read: &|_: &Path| Ok(FileText { text: text.clone(), open_to_others: false }),
        config_dir: None,
        data_dir: None,
    };
    let flags = Flags { config: Some("test.toml".into()), ..Flags::default() };
    config::load(&flags, &outside).expect("settings that hold together").settings
}

/// Returns the account and key that most tests need, at `base_url`, followed by `more`.
pub(crate) fn one_account(base_url: &str, key: &str, more: &str) -> String {
    format!(
        "[[upstreams]]\nbase_url = \"{base_url}\"\n[[upstreams.accounts]]\nname = \"main\"\n\
         [[upstreams.accounts.keys]]\nkey = \"{key}\"\nlabel = \"first\"\n{more}"
    )
}

/// Starts a proxy.
pub(crate) async fn proxy(toml: &str) -> Running {
    let environment = NetworkEnvironment::read(|_| None);
    server::start(settings(toml), environment).await.expect("a proxy that runs")
}

/// A client of one program.
#[derive(Clone)]
pub(crate) struct App {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    key: &'static str,
}

impl App {
    pub(crate) fn new(address: SocketAddr, key: &'static str) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), address, key }
    }

    /// Sends `body` to `path` and returns the head and the whole body of the answer.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let request = Request::post(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(Full::from(body.to_owned()))
            .expect("a request");
        self.send(request).await
    }

    /// The same, where the proxy may go away meanwhile.
    pub(crate) async fn try_post(&self, path: &str, body: &str) -> Option<Answer> {
        let request = Request::post(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(Full::from(body.to_owned()))
            .expect("a request");
        let (head, body) = self.client.request(request).await.ok()?.into_parts();
        Some(Answer(Response::from_parts(head, body.collect().await.ok()?.to_bytes())))
    }

    /// Sends `body` to `path` and returns the answer as soon as its head is there.
    pub(crate) async fn open(&self, path: &str, body: &str) -> Response<Incoming> {
        let request = Request::post(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(Full::from(body.to_owned()))
            .expect("a request");
        self.client.request(request).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = Request::get(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {}", self.key))
            .body(Full::default())
            .expect("a request");
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let answer = self.client.request(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer(Response::from_parts(head, body))
    }
}

/// An answer, all of it.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) Response<Bytes>);

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.0.body()).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(self.0.body()).expect("a JSON body")
    }
}
