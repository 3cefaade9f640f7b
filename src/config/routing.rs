//! Reads routes and other names of models, and checks that each can be taken and leads somewhere.

use std::time::Duration;

use super::pattern::ModelPattern;
use super::problem::{Origin, Problem};
use super::routes::{ModelSettings, RouteBy, RouteSettings, Target};
use super::section::{Check, Located, Section};
use super::upstreams::{Addressed, sections, value};
use super::values::{Label, PathPrefix};
use crate::units::{ModelName, UpstreamName};

/// What requests go by.
pub(super) struct Routing {
    /// Which requests go where.
    pub(super) routes: Vec<RouteSettings>,
    /// Other names of models.
    pub(super) models: Vec<ModelSettings>,
}

/// Reads `[[routes]]` and `[[models]]`, which lead to `upstreams`.
pub(super) fn routing(
    root: &mut Section,
    upstreams: &[Addressed],
    check: &mut Check<'_>,
) -> Routing {
    let mut known = Known { upstreams, led_to: vec![false; upstreams.len()] };
    let routes = routes(root, &mut known, check);
    let models = models(root, &mut known, check);
    known.tell_unreachable(check);
    Routing { routes, models }
}

/// The upstreams that there are, and which of them something leads to.
struct Known<'a> {
    upstreams: &'a [Addressed],
    led_to: Vec<bool>,
}

/// How a request comes to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its client named the upstream, by the path.
    Chosen,
    /// Its model, or that it could not be served elsewhere.
    Led,
}

impl Known<'_> {
    /// Returns the upstream that a text names, if there is one.
    fn find(
        &mut self,
        name: Located<Label>,
        key: String,
        way: Way,
        check: &mut Check<'_>,
    ) -> Option<UpstreamName> {
        let Located { value: Label(name), origin } = name;
        let named = |upstream: &Addressed| upstream.settings.name.as_str() == name;
        let Some(place) = self.upstreams.iter().position(named) else {
            let names: Vec<String> =
                self.upstreams.iter().map(|known| format!("{:?}", known.settings.name)).collect();
            check.problem(Problem::Value {
                origin,
                key,
                found: format!("{name:?}"),
                rule: format!("no upstream has this name; there are {}", names.join(", ")).into(),
            });
            return None;
        };
        if let Some(led_to) = self.led_to.get_mut(place) {
            *led_to = true;
        }
        let upstream = self.upstreams.get(place)?;
        // The first gets the keys of all who say nothing else.
        if way == Way::Led && place > 0 && upstream.settings.accounts.is_empty() {
            let rule = "it has no key of its own, and a client's key, meant for another provider, \
                        would be sent there: give it an account, or lead to it by a path";
            check.problem(value(&origin, key, format!("{name:?}"), rule));
        }
        Some(upstream.settings.name.clone())
    }

    /// Tells of every upstream that nothing leads to; to the first goes all that is led nowhere.
    fn tell_unreachable(self, check: &mut Check<'_>) {
        let [first, others @ ..] = self.upstreams else { return };
        for (upstream, led_to) in others.iter().zip(self.led_to.into_iter().skip(1)) {
            // Of two with one name, that is told.
            if led_to || upstream.settings.name == first.settings.name {
                continue;
            }
            let found = format!("{:?}", upstream.settings.name);
            let rule = "nothing leads there: name it in `[[routes]]` or `[[models]]`";
            check.problem(value(&upstream.name.origin, "upstreams.name".to_owned(), found, rule));
        }
    }

    /// Tells whether clients bring their own keys to the upstream where all goes.
    fn first_is_clients_own(&self) -> bool {
        self.upstreams.first().is_some_and(|first| first.settings.accounts.is_empty())
    }

    fn is_first(&self, name: &UpstreamName) -> bool {
        self.upstreams.first().is_some_and(|first| first.settings.name == *name)
    }
}

fn routes(root: &mut Section, known: &mut Known<'_>, check: &mut Check<'_>) -> Vec<RouteSettings> {
    let mut routes: Vec<RouteSettings> = Vec::new();
    for mut section in sections(root, "routes", check) {
        let origin = section.origin().clone();
        let is_empty = !section.has("path") && !section.has("models");
        let path = section.take::<PathPrefix>("path", check);
        let models = section.take::<ModelPattern>("models", check);
        let upstream = section.require::<Label>("upstream", check);
        let (key, place) = (section.path_of("upstream"), section.path_of("path"));
        section.finish(check);
        let by = match (path, models) {
            (Some(path), None) => Some((RouteBy::Path(path.value.0), path.origin, Way::Chosen)),
            (None, Some(models)) => Some((RouteBy::Models(models.value), models.origin, Way::Led)),
            (Some(_), Some(models)) => {
                let rule = "a route goes by `path` or by `models`, not by both";
                check.problem(value(&models.origin, place.clone(), "beside `models`".into(), rule));
                None
            }
            (None, None) if is_empty => {
                missing(&origin, place.clone(), "a route goes by `path` or by `models`", check);
                None
            }
            (None, None) => None,
        };
        let way = by.as_ref().map_or(Way::Chosen, |(_, _, way)| *way);
        let upstream = upstream.and_then(|name| known.find(name, key, way, check));
        let Some((by, origin, _)) = by else { continue };
        if routes.iter().any(|earlier| earlier.by.covers(&by)) {
            let (key, found) = match &by {
                RouteBy::Path(path) => (place, format!("{path:?}")),
                RouteBy::Models(models) => (section_key(&place), format!("{:?}", models.as_str())),
            };
            check.problem(value(&origin, key, found, NEVER));
        }
        routes.extend(upstream.map(|upstream| RouteSettings { by, upstream }));
    }
    routes
}

/// Returns the key of a route's models, beside its path's.
fn section_key(path: &str) -> String {
    path.replace(".path", ".models")
}

fn models(root: &mut Section, known: &mut Known<'_>, check: &mut Check<'_>) -> Vec<ModelSettings> {
    let mut models: Vec<ModelSettings> = Vec::new();
    for section in sections(root, "models", check) {
        let origin = section.origin().clone();
        let key = section.path_of("name");
        let Some(model) = model(section, known, check) else { continue };
        if models.iter().any(|earlier| earlier.name.covers(&model.name)) {
            check.problem(value(&origin, key, format!("{:?}", model.name.as_str()), NEVER));
        }
        models.push(model);
    }
    models
}

fn model(
    mut section: Section,
    known: &mut Known<'_>,
    check: &mut Check<'_>,
) -> Option<ModelSettings> {
    let origin = section.origin().clone();
    let name = section.require::<ModelPattern>("name", check);
    let first = target(&mut section, known, check);
    let wait = section.take::<Duration>("fallback_on_wait", check);
    let mut fallbacks: Vec<Target> = Vec::new();
    for mut below in sections(&mut section, "fallbacks", check) {
        let (place, key) = (below.origin().clone(), below.path_of("upstream"));
        let fallback = target(&mut below, known, check);
        below.finish(check);
        check_fallback(&fallback, (&first, &fallbacks), (known, &place, key), check);
        fallbacks.push(fallback);
    }
    let key = section.path_of("model");
    if let (Some(wait), true) = (&wait, fallbacks.is_empty()) {
        let rule = "there are no `fallbacks` to go to";
        let found = format!("{:?}", wait.value);
        check.problem(value(&wait.origin, section.path_of("fallback_on_wait"), found, rule));
    }
    section.finish(check);
    if first == Target::default() && fallbacks.is_empty() {
        missing(&origin, key, "a model has `model`, `upstream` or `fallbacks`", check);
    }
    let fallback_on_wait = wait.map(|wait| wait.value);
    Some(ModelSettings { name: name?.value, first, fallbacks, fallback_on_wait })
}

fn target(section: &mut Section, known: &mut Known<'_>, check: &mut Check<'_>) -> Target {
    let upstream = section.take::<Label>("upstream", check);
    let key = section.path_of("upstream");
    let upstream = upstream.and_then(|name| known.find(name, key, Way::Led, check));
    let model = section.take::<String>("model", check);
    Target { upstream, model: model.map(|model| ModelName::new(model.value)) }
}

/// Checks that a fallback leads elsewhere, and that no client's key goes where it was not meant to.
fn check_fallback(
    fallback: &Target,
    (first, earlier): (&Target, &[Target]),
    (known, origin, key): (&Known<'_>, &Origin, String),
    check: &mut Check<'_>,
) {
    let filled = |target: &Target| Target {
        upstream: target.upstream.clone().or_else(|| first.upstream.clone()),
        model: target.model.clone().or_else(|| first.model.clone()),
    };
    let own = filled(fallback);
    if std::iter::once(first).chain(earlier).any(|other| filled(other) == own) {
        let rule = "the request was there already: name another `upstream` or `model`";
        check.problem(value(origin, key, "the same as above".to_owned(), rule));
        return;
    }
    let leads_back = own.upstream.as_ref().is_some_and(|name| known.is_first(name));
    if leads_back && known.first_is_clients_own() && first.upstream != own.upstream {
        let found = own.upstream.map(|name| format!("{name:?}")).unwrap_or_default();
        let rule = "clients bring their own keys there, and one that was served elsewhere need not";
        check.problem(value(origin, key, found, rule));
    }
}

fn missing(origin: &Origin, key: String, rule: &'static str, check: &mut Check<'_>) {
    check.problem(Problem::Missing { origin: origin.clone(), key, rule: rule.into() });
}

const NEVER: &str =
    "an earlier one matches all that this one does, and the first that matches counts";
