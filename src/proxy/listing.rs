//! Lists the files and batches of all accounts as one; the models of all upstreams do `models`.
//!
//! Each account is asked as any client could ask it. Objects are merged by the time of their making; of
//! one time, those of the first account come first. `after` names an object of one account: that one goes
//! on behind it, and the others from where that object would stand among theirs.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, StatusCode, Uri, header, response};
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::answer::put_accounts;
use super::errand::{Errand, Opaque};
use super::vigil::Vigil;
use super::visit::Visit;
use super::{Proxy, serve};
use crate::config::Dialect;
use crate::relay::Body;
use crate::units::AccountName;

/// A list that is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// Of what lies in the accounts of an upstream.
    Objects(Pages),
    /// Of the models of all upstreams.
    Models,
}

/// How long pages are: OpenAI's OpenAPI specification 2.3.0,
/// <https://github.com/openai/openai-openapi>, read 2026-08-21.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pages {
    /// The length of a page, where the client does not say.
    usual: usize,
    /// The longest page.
    longest: usize,
}

/// What a client asks for.
struct Wanted {
    limit: usize,
    is_oldest_first: bool,
    after: Option<String>,
    /// All other parameters, as they came.
    rest: String,
}

/// The object behind which a page begins.
struct Start {
    id: String,
    created_at: u64,
    /// The number of its account.
    account: usize,
}

/// An object of a list.
struct Item {
    id: String,
    created_at: u64,
    json: Box<RawValue>,
}

/// What a page has, and whether there is another.
type Items = (Vec<Item>, bool);

/// What an account has of a page.
struct Part {
    head: response::Parts,
    items: Vec<Item>,
    has_more: bool,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct Object {
    id: String,
    created_at: u64,
}

/// The pages that it takes at most to get to where a page begins.
const MOST_PAGES: usize = 10_000;
/// The most that is read of one page: 10,000 files have about 3 MB.
const MOST_OF_A_PAGE: usize = 64 << 20;

/// An answer that is passed on instead of a list: an account cannot be asked, and a list without what it
/// has would look like the whole.
pub(super) type Instead = Box<Response<Body>>;

impl Listing {
    /// Tells whether a request is for a list of all accounts, or of all of `upstreams` upstreams.
    pub(super) fn of(
        visit: &Visit,
        wished: Option<&AccountName>,
        upstreams: usize,
    ) -> Option<Self> {
        let path = visit.head.uri.path();
        let asks = visit.head.method == Method::GET && wished.is_none();
        let found = match path.strip_prefix("/v1").unwrap_or(path) {
            "/files" => Pages { usual: 10_000, longest: 10_000 },
            "/batches" => Pages { usual: 20, longest: 100 },
            "/models" => {
                // Who speaks Anthropic's words would not understand the list.
                let is_merged = asks
                    && !visit.is_led
                    && upstreams > 1
                    && !visit.head.headers.contains_key("anthropic-version");
                return is_merged.then_some(Self::Models);
            }
            _ => return None,
        };
        let is_merged = asks
            // Its lists are paged in another way.
            && visit.site.address.dialect() != Dialect::Anthropic
            && visit.site.admission.account_names().len() > 1;
        // What is wrong with it is the provider's to say.
        let is_merged = is_merged && found.wanted(visit.head.uri.query()).is_some();
        is_merged.then_some(Self::Objects(found))
    }
}

impl Pages {
    /// Reads what a client asks for; `None` where the length of a page is none.
    fn wanted(self, query: Option<&str>) -> Option<Wanted> {
        let mut wanted =
            Wanted { limit: self.usual, is_oldest_first: false, after: None, rest: String::new() };
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("limit", limit)) => {
                    let limit = limit.parse().ok();
                    wanted.limit = limit.filter(|limit| (1..=self.longest).contains(limit))?;
                }
                Some(("after", id)) => wanted.after = Some(id.to_owned()),
                other => {
                    wanted.is_oldest_first |= other == Some(("order", "asc"));
                    wanted.rest.push_str(&format!("&{pair}"));
                }
            }
        }
        Some(wanted)
    }
}

impl Proxy {
    /// Answers with the list of all accounts. Each account's part leaves a log line.
    pub(super) async fn list(&self, mut vigil: Vigil, listing: Listing) -> Response<Body> {
        vigil.end();
        let visit = &vigil.visit;
        let listing = match listing {
            Listing::Objects(pages) => pages,
            Listing::Models => return self.models(visit).await,
        };
        let Some(wanted) = listing.wanted(visit.head.uri.query()) else {
            return *nothing(StatusCode::BAD_REQUEST);
        };
        let accounts = visit.site.admission.account_names();
        let start = match &wanted.after {
            None => None,
            Some(id) => match self.start(visit, &accounts, id).await {
                Ok(start) => Some(start),
                Err(answer) => return *answer,
            },
        };
        let parts = (0..accounts.len())
            .map(|number| self.part(visit, &accounts, number, (&wanted, listing, start.as_ref())));
        let parts: Result<Vec<Part>, Instead> = join_all(parts).await.into_iter().collect();
        match parts {
            Ok(parts) => merged(parts, &wanted, &accounts),
            Err(answer) => *answer,
        }
    }

    /// Finds the object behind which a page begins; nobody's is refused by the first account.
    async fn start(
        &self,
        visit: &Visit,
        accounts: &[AccountName],
        id: &str,
    ) -> Result<Start, Instead> {
        let now = self.inner.clock.since_epoch(Instant::now());
        let pinned = self.inner.pins.find(visit.site.name.as_str(), id, now).await.ok().flatten();
        let is_pinned = |name: &AccountName| pinned.as_deref() == Some(name.as_str());
        let first = accounts.iter().position(is_pinned);
        let others = (0..accounts.len()).filter(|number| Some(*number) != first);
        let mut refused = None;
        for account in first.into_iter().chain(others) {
            let path = format!("{}/{id}", visit.head.uri.path());
            let (head, body) = match self.fetch(visit, accounts.get(account), path).await {
                Ok(answer) => answer,
                Err(answer) if answer.status() == StatusCode::NOT_FOUND => {
                    refused = refused.or(Some(answer));
                    continue;
                }
                Err(answer) => return Err(answer),
            };
            return match serde_json::from_slice::<Object>(&body) {
                Ok(Object { created_at, id }) => Ok(Start { id, created_at, account }),
                Err(_) => Err(whole(head, body)),
            };
        }
        Err(refused.unwrap_or_else(|| nothing(StatusCode::NOT_FOUND)))
    }

    /// Reads what the account of that number has of the page, and one object more where it has one.
    async fn part(
        &self,
        visit: &Visit,
        accounts: &[AccountName],
        number: usize,
        (wanted, listing, start): (&Wanted, Pages, Option<&Start>),
    ) -> Result<Part, Instead> {
        let own = start.filter(|start| start.account == number);
        let others = start.filter(|start| start.account != number);
        let mut after = own.map(|start| start.id.clone());
        let limit = if others.is_some() { listing.longest } else { wanted.limit };
        let mut items = Vec::new();
        for _ in 0..MOST_PAGES {
            let Wanted { rest, .. } = wanted;
            let behind = after.as_ref().map(|id| format!("&after={id}")).unwrap_or_default();
            let path = format!("{}?limit={limit}{behind}{rest}", visit.head.uri.path());
            let (head, body) = self.fetch(visit, accounts.get(number), path).await?;
            let Some((page, has_more)) = read(&body) else { return Err(whole(head, body)) };
            after = page.last().map(|item| item.id.clone());
            let is_last = !has_more || page.is_empty();
            items.extend(page.into_iter().filter(|item| {
                others.is_none_or(|start| start.is_before(item, number, wanted.is_oldest_first))
            }));
            if is_last || items.len() >= wanted.limit {
                return Ok(Part { head, items, has_more: !is_last });
            }
        }
        Err(nothing(StatusCode::BAD_GATEWAY))
    }

    /// Asks one account, or the first that can be used.
    pub(super) async fn fetch(
        &self,
        visit: &Visit,
        account: Option<&AccountName>,
        path: String,
    ) -> Result<(response::Parts, Bytes), Instead> {
        let mut part = visit.clone();
        let mut head = (*visit.head).clone();
        // What is left of a path and a query is one.
        let target = PathAndQuery::try_from(path).ok().map(Uri::from);
        head.uri = target.unwrap_or_else(|| visit.head.uri.clone());
        head.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        part.head = Arc::new(head);
        part.account = account.cloned();
        let vigil = Vigil::new(self.clone(), Box::new(part));
        let answer = serve(vigil, Errand::Opaque(Opaque::bare()), None).await;
        if answer.status() != StatusCode::OK {
            return Err(Box::new(answer));
        }
        let (head, body) = answer.into_parts();
        match Limited::new(body, MOST_OF_A_PAGE).collect().await {
            Ok(body) => Ok((head, body.to_bytes())),
            Err(_) => Err(nothing(StatusCode::BAD_GATEWAY)),
        }
    }
}

impl Start {
    /// Tells whether an object of the account of that number stands behind this one.
    fn is_before(&self, item: &Item, account: usize, is_oldest_first: bool) -> bool {
        if item.created_at == self.created_at {
            return account > self.account;
        }
        (item.created_at > self.created_at) == is_oldest_first
    }
}

/// Reads a page of a list, and whether there is another; `None` where it is none.
fn read(body: &[u8]) -> Option<Items> {
    let Page { data, has_more } = serde_json::from_slice(body).ok()?;
    let item = |json: Box<RawValue>| {
        let Object { id, created_at } = serde_json::from_str(json.get()).ok()?;
        Some(Item { id, created_at, json })
    };
    Some((data.into_iter().map(item).collect::<Option<_>>()?, has_more))
}

/// Makes one page of the parts of all accounts.
fn merged(parts: Vec<Part>, wanted: &Wanted, accounts: &[AccountName]) -> Response<Body> {
    let mut has_more = parts.iter().any(|part| part.has_more);
    let mut head = None;
    let mut queues = Vec::with_capacity(parts.len());
    for part in parts {
        head = head.or(Some(part.head));
        queues.push(part.items.into_iter().peekable());
    }
    let mut data = Vec::new();
    while data.len() < wanted.limit {
        let fronts = queues.iter_mut().enumerate();
        let fronts = fronts.filter_map(|(at, queue)| Some((queue.peek()?.created_at, at)));
        // Of one time, the first account's goes first.
        let next = if wanted.is_oldest_first {
            fronts.min_by_key(|(created_at, at)| (*created_at, *at))
        } else {
            fronts.max_by_key(|(created_at, at)| (*created_at, std::cmp::Reverse(*at)))
        };
        let Some((_, at)) = next else { break };
        data.extend(queues.get_mut(at).and_then(Iterator::next));
    }
    has_more |= queues.iter_mut().any(|queue| queue.peek().is_some());
    let list = List {
        object: "list",
        first_id: data.first().map(|item| &item.id),
        last_id: data.last().map(|item| &item.id),
        data: data.iter().map(|item| &*item.json).collect(),
        has_more,
    };
    // Texts and what was JSON before cannot fail to be written.
    let json = serde_json::to_vec(&list).unwrap_or_default();
    let mut answer = Response::new(Body::full(json));
    if let Some(mut head) = head {
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.remove(header::ETAG);
        put_accounts(&mut head.headers, accounts);
        *answer.headers_mut() = head.headers;
    }
    answer
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<&'a RawValue>,
    first_id: Option<&'a String>,
    last_id: Option<&'a String>,
    has_more: bool,
}

/// Returns an answer that was read, as it came.
pub(super) fn whole(head: response::Parts, body: Bytes) -> Instead {
    Box::new(Response::from_parts(head, Body::full(body)))
}

pub(super) fn nothing(status: StatusCode) -> Instead {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    Box::new(answer)
}
