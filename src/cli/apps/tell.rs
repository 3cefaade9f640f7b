//! Tells the program that runs with a store that its apps have changed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::time::timeout;

use crate::config::Settings;

/// What became of telling it.
enum Told {
    /// It goes by the apps of this place.
    Serves(Served),
    /// It did not take them over; its own words.
    Failed(String),
    /// Nobody is there, or somebody else.
    Nobody,
}

#[derive(Deserialize)]
struct Served {
    store: Option<String>,
    count: bool,
}

/// Tells the program at the admin address of `settings` that the apps in `place` have changed, and the user what came
/// of it.
pub(super) async fn changed(settings: &Settings, place: &str) {
    let address = reachable(settings.server.admin);
    let told = timeout(PATIENCE, ask(address)).await.unwrap_or(Told::Nobody);
    match told {
        Told::Serves(Served { store: Some(other), count: false }) if other == place => eprintln!(
            "the program at http://{address} knows it, but every program brings its provider's key there, and apps \
             do not count: it needs a key of its own, such as OPENAI_API_KEY"
        ),
        Told::Serves(Served { store: Some(other), .. }) if other == place => {
            eprintln!("the program at http://{address} goes by it now");
        }
        Told::Serves(Served { store: other, .. }) => {
            let other = other.unwrap_or_else(|| "nowhere".to_owned());
            eprintln!(
                "the program at http://{address} does not: its apps are kept in {other}, these in {place}"
            );
        }
        Told::Failed(why) => {
            eprintln!(
                "the program at http://{address} does not go by it yet, and tries again: {}",
                why.trim()
            );
        }
        Told::Nobody => {
            eprintln!(
                "no program answers at http://{address}; any that uses {place} goes by it within 2 s"
            );
        }
    }
}

async fn ask(address: SocketAddr) -> Told {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::post(format!("http://{address}/apps/changed")).body(Full::default());
    let Ok(request) = request else { return Told::Nobody };
    let Ok(answer) = client.request(request).await else { return Told::Nobody };
    let (head, body) = answer.into_parts();
    let Ok(body) = Limited::new(body, MOST).collect().await else { return Told::Nobody };
    let body = body.to_bytes();
    match head.status {
        StatusCode::OK => match serde_json::from_slice::<Served>(&body) {
            Ok(served) => Told::Serves(served),
            Err(_) => Told::Nobody,
        },
        StatusCode::SERVICE_UNAVAILABLE => {
            Told::Failed(String::from_utf8_lossy(&body).into_owned())
        }
        _ => Told::Nobody,
    }
}

/// Returns where a listener can be reached that listens on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(6);
/// The longest answer that is read.
const MOST: usize = 64 << 10;
