//! Reads what only Azure's paths need.

use super::dialect::Dialect;
use super::section::{Check, Located, Section};
use super::settings::{AzureSettings, Deployment};
use super::upstreams::{Unique, sections, value};
use super::values::{BaseUrl, Label};
use crate::units::ModelName;

/// Reads `deployments` and `api_version` of an upstream.
pub(super) fn azure(
    section: &mut Section,
    dialect: Option<Dialect>,
    url: Option<&Located<BaseUrl>>,
    check: &mut Check<'_>,
) -> AzureSettings {
    let mut models = Unique::default();
    let mut deployments = Vec::new();
    for mut section in sections(section, "deployments", check) {
        let model = section.require::<String>("model", check);
        let name = section.require::<Label>("name", check);
        if let Some(model) = &model {
            models.add(&model.value, &section.path_of("model"), &model.origin, check);
        }
        check_dialect(dialect, &section, "model", model.as_ref().map(|it| &*it.value), check);
        section.finish(check);
        let (Some(model), Some(name)) = (model, name) else { continue };
        deployments.push(Deployment { model: ModelName::new(model.value), name: name.value.0 });
    }
    let version = section.take::<Label>("api_version", check);
    let said = version.as_ref().map(|version| &*version.value.0);
    check_dialect(dialect, section, "api_version", said, check);
    let is_new_shape = url.is_some_and(|url| url.value.0.path().ends_with("/v1"));
    if let (Some(version), true) = (&version, is_new_shape) {
        let rule = "the `base_url` is of the shape that needs none: leave it out, or let `base_url` end with `/openai`";
        let found = format!("{:?}", version.value.0);
        check.problem(value(&version.origin, section.path_of("api_version"), found, rule));
    }
    AzureSettings { deployments, api_version: version.map(|version| version.value.0) }
}

/// Checks that what only Azure needs stands at an upstream of that dialect.
fn check_dialect(
    dialect: Option<Dialect>,
    section: &Section,
    key: &str,
    said: Option<&str>,
    check: &mut Check<'_>,
) {
    if let (Some(said), true) = (said, dialect.is_some_and(|dialect| dialect != Dialect::Azure)) {
        let rule = "only Azure has such: set `dialect = \"azure\"` or leave it out";
        let (origin, found) = (section.origin(), format!("{said:?}"));
        check.problem(value(origin, section.path_of(key), found, rule));
    }
}
