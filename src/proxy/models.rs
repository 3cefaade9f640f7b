//! Lists the models of all upstreams as one: those that a client can ask for by what the list says.
//!
//! Each upstream is asked for its own list. A model stands there once, by the upstream that a request for it
//! goes to first; other names of the configuration stand behind. An upstream that does not answer is named in a
//! header and in the log.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Response, StatusCode, header, response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::listing::{Instead, nothing, whole};
use super::visit::Visit;
use super::{Proxy, Site};
use crate::config::{Dialect, Plan};
use crate::relay::Body;
use crate::units::ModelName;
use crate::upstream::ANTHROPIC_VERSION;

/// Names the upstreams whose models are not in the list.
const UNLISTED: HeaderName = HeaderName::from_static("x-sluicegate-unlisted");

#[derive(Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
}

/// A model of a list, in OpenAI's words or in Anthropic's
/// (<https://docs.claude.com/en/api/models-list>, read 2026-11-21).
#[derive(Deserialize)]
struct Told {
    id: String,
    object: Option<String>,
    created_at: Option<String>,
}

/// A model in OpenAI's words.
#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'a str,
}

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<Box<RawValue>>,
}

/// What an upstream answers.
type Listed = Result<(response::Parts, Vec<Named>), Instead>;

/// A model and its name.
type Named = (String, Box<RawValue>);

impl Proxy {
    /// Answers with the models of all upstreams.
    pub(super) async fn models(&self, visit: &Visit) -> Response<Body> {
        let first = self.inner.sites.first();
        let terms = self.terms();
        // A client's own key is for the first upstream alone.
        let has_keys = |site: &Site| terms.upstream(site).is_some_and(|it| !it.accounts.is_empty());
        let asked: Vec<_> =
            self.sites().filter(|site| site.name == first.name || has_keys(site)).collect();
        let answers = join_all(asked.iter().map(|site| self.models_of(visit, site))).await;
        let (mut head, mut instead) = (None, None);
        let (mut list, mut known, mut unlisted) = (Vec::new(), HashSet::new(), Vec::new());
        for (site, answer) in asked.into_iter().zip(answers) {
            match answer {
                Ok((told, models)) => {
                    head.get_or_insert(told);
                    let own = models.into_iter().filter(|(id, _)| {
                        let plan = terms.settings.plan(&ModelName::new(id.as_str()), &first.name);
                        let leg = plan.legs.first();
                        let is_own = leg.is_some_and(|leg| {
                            leg.upstream == site.name && leg.model.as_str() == id
                        });
                        is_own && known.insert(id.clone())
                    });
                    list.extend(own.map(|(_, model)| model));
                }
                Err(answer) => {
                    tracing::warn!(upstream = %site.name, "cannot list the models of an upstream");
                    unlisted.push(site.name.as_str().to_owned());
                    instead.get_or_insert(answer);
                }
            }
        }
        let Some(head) = head else {
            return *instead.unwrap_or_else(|| nothing(StatusCode::BAD_GATEWAY));
        };
        let names = terms.settings.models.iter().map(|model| model.name.as_str());
        let names = names.filter(|name| !name.contains('*') && known.insert((*name).to_owned()));
        list.extend(names.filter_map(|name| written(name, 0, "sluicegate")));
        answer(head, list, &unlisted)
    }

    /// Asks one upstream.
    async fn models_of(&self, visit: &Visit, site: &Arc<Site>) -> Listed {
        let mut part = visit.clone();
        part.site = Arc::clone(site);
        part.plan = Plan::only(site.name.clone(), ModelName::new(""));
        let mut target = "/v1/models".to_owned();
        if site.address.dialect() == Dialect::Anthropic {
            // Its pages are short, where nobody says otherwise.
            target.push_str("?limit=1000");
            let mut head = (*visit.head).clone();
            head.headers.insert("anthropic-version", ANTHROPIC_VERSION);
            part.head = Arc::new(head);
        }
        let (head, body) = self.fetch(&part, None, target).await?;
        let models = serde_json::from_slice::<Page>(&body).ok().and_then(|page| {
            page.data.into_iter().map(|model| in_openais_words(model, site)).collect()
        });
        match models {
            Some(models) => Ok((head, models)),
            None => Err(whole(head, body)),
        }
    }
}

/// Returns a model with its id; `None` where it has none.
fn in_openais_words(model: Box<RawValue>, site: &Site) -> Option<Named> {
    let Told { id, object, created_at } = serde_json::from_str(model.get()).ok()?;
    if object.is_some() {
        return Some((id, model));
    }
    let made = created_at.and_then(|date| date.parse::<jiff::Timestamp>().ok());
    let made = made.map_or(0, jiff::Timestamp::as_second);
    written(&id, made, site.name.as_str()).map(|model| (id, model))
}

fn written(id: &str, created: i64, owned_by: &str) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(&Model { id, object: "model", created, owned_by }).ok()
}

fn answer(
    mut head: response::Parts,
    data: Vec<Box<RawValue>>,
    unlisted: &[String],
) -> Response<Body> {
    // Texts and what was JSON before cannot fail to be written.
    let json = serde_json::to_vec(&List { object: "list", data }).unwrap_or_default();
    for name in [header::CONTENT_LENGTH, header::ETAG] {
        head.headers.remove(name);
    }
    if !unlisted.is_empty()
        && let Ok(names) = HeaderValue::from_str(&unlisted.join(", "))
    {
        head.headers.insert(UNLISTED, names);
    }
    let mut answer = Response::new(Body::full(json));
    *answer.headers_mut() = head.headers;
    answer
}
