//! Says which upstream a request goes to, under which model, and where else it may go.

use std::time::Duration;

use thiserror::Error;

use super::pattern::ModelPattern;
use super::settings::Settings;
use crate::units::{ModelName, UpstreamName};

/// Leads requests to an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSettings {
    /// Which requests.
    pub by: RouteBy,
    /// The upstream that they go to.
    pub upstream: UpstreamName,
}

/// What a route goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteBy {
    /// The front of the path, in whole segments. It is taken away.
    Path(String),
    /// The model.
    Models(ModelPattern),
}

impl RouteBy {
    /// Tells whether every request that `other` matches is matched by this one, too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(own), Self::Path(other)) => below(own, other).is_some(),
            (Self::Models(own), Self::Models(other)) => own.covers(other),
            _ => false,
        }
    }
}

/// What becomes of requests for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSettings {
    /// The model as clients name it.
    pub name: ModelPattern,
    /// Where such requests go; left out is what the routes say, or as it was asked for.
    pub first: Target,
    /// Where they go instead, one after the other; left out is what the first has.
    pub fallbacks: Vec<Target>,
    /// How long they may wait before they go elsewhere; `None`: as long as the line lets them.
    pub fallback_on_wait: Option<Duration>,
}

/// Where requests for a model go, and under which name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The upstream.
    pub upstream: Option<UpstreamName>,
    /// The model as the upstream knows it.
    pub model: Option<ModelName>,
}

/// Where a request goes, and where else, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The upstreams with the models that they are asked for; at least one.
    pub legs: Vec<Leg>,
    /// How long it may wait before it goes elsewhere.
    pub fallback_on_wait: Option<Duration>,
}

impl Plan {
    /// Returns the plan of what goes nowhere else.
    pub fn only(upstream: UpstreamName, model: ModelName) -> Self {
        Self { legs: vec![Leg { upstream, model }], fallback_on_wait: None }
    }

    /// Asks the place of this number for another model.
    pub fn ask_instead(&mut self, at: usize, model: ModelName) {
        if let Some(leg) = self.legs.get_mut(at) {
            leg.model = model;
        }
    }

    /// Leaves only places where `model` has that name, for a request in which it cannot be changed.
    ///
    /// # Errors
    ///
    /// Returns [`OtherName`] where it has another one everywhere.
    pub fn keep_name(&mut self, model: &ModelName) -> Result<(), OtherName> {
        let first = self.legs.first().map(|leg| leg.model.clone());
        self.legs.retain(|leg| leg.model == *model);
        match first {
            Some(real) if self.legs.is_empty() => Err(OtherName { model: model.clone(), real }),
            _ => Ok(()),
        }
    }
}

/// A name of the configuration's for a model, in a request in which it cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("in a form or a query `{model}` cannot be changed to `{real}`: ask for `{real}` itself")]
pub struct OtherName {
    /// The name that the request has.
    pub model: ModelName,
    /// The name that the upstream knows.
    pub real: ModelName,
}

/// One place that a request may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// The upstream.
    pub upstream: UpstreamName,
    /// The model that it is asked for.
    pub model: ModelName,
}

impl Settings {
    /// Returns the upstream that `path` leads to, and what is left of the path for it.
    pub fn route_of_path<'a>(&self, path: &'a str) -> Option<(&UpstreamName, &'a str)> {
        self.routes.iter().find_map(|route| match &route.by {
            RouteBy::Path(front) => Some((&route.upstream, below(front, path)?)),
            RouteBy::Models(_) => None,
        })
    }

    /// Returns every upstream that a route or a model names.
    pub(super) fn upstreams_led_to(&self) -> impl Iterator<Item = &UpstreamName> {
        let targets = self
            .models
            .iter()
            .flat_map(|model| std::iter::once(&model.first).chain(&model.fallbacks));
        let routed = self.routes.iter().map(|route| &route.upstream);
        routed.chain(targets.filter_map(|target| target.upstream.as_ref()))
    }

    /// Returns where a request for `model` goes whose path leads nowhere special; `usual` is where
    /// all else goes.
    pub fn plan(&self, model: &ModelName, usual: &UpstreamName) -> Plan {
        let known = self.models.iter().find(|known| known.name.matches(model.as_str()));
        let routed = || {
            let route = self.routes.iter().find(|route| match &route.by {
                RouteBy::Path(_) => false,
                RouteBy::Models(models) => models.matches(model.as_str()),
            });
            route.map_or(usual, |route| &route.upstream).clone()
        };
        let Some(known) = known else {
            return Plan::only(routed(), model.clone());
        };
        let first = Leg {
            upstream: known.first.upstream.clone().unwrap_or_else(routed),
            model: known.first.model.clone().unwrap_or_else(|| model.clone()),
        };
        let others = known.fallbacks.iter().map(|target| Leg {
            upstream: target.upstream.clone().unwrap_or_else(|| first.upstream.clone()),
            model: target.model.clone().unwrap_or_else(|| first.model.clone()),
        });
        let legs = std::iter::once(first.clone()).chain(others).collect();
        Plan { legs, fallback_on_wait: known.fallback_on_wait }
    }
}

/// Returns what follows `front` in `path`, from the `/` on; `None` where it does not begin so.
fn below<'a>(front: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(front).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_away_in_whole_segments() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("/groq", "/groq/v1/chat/completions", Some("/v1/chat/completions")),
            ("/groq", "/groq",                     Some("")),
            ("/groq", "/groqqy/v1",                None),
            ("/groq", "/v1/groq",                  None),
            ("/a/b",  "/a/b/c",                    Some("/c")),
            ("/a/b",  "/a",                        None),
        ];
        for (front, path, rest) in cases {
            assert_eq!(below(front, path), rest, "{front} of {path}");
        }
    }

    #[test]
    fn an_earlier_route_covers_what_a_later_one_asks_for() {
        let path = |text: &str| RouteBy::Path(text.into());
        let models = |text: &str| RouteBy::Models(ModelPattern::new(text));
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            (path("/a"),       path("/a/b"),         true),  (path("/a/b"),    path("/a"),      false),
            (models("gpt-*"),  models("gpt-4*"),     true),  (models("gpt-4*"), models("gpt-*"), false),
            (models("*"),      models("a*b"),        true),  (models("*-mini"), models("*mini"), false),
            (models("a*c"),    models("abc"),        true),  (models("*"),      path("/a"),      false),
        ];
        for (own, other, covers) in cases {
            assert_eq!(own.covers(&other), covers, "{own:?} {other:?}");
        }
    }
}
