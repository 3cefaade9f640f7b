//! Tests of routes, other names of models, and what of them a program that runs takes over.

use super::*;
use crate::units::{ModelName, UpstreamName};

/// Two upstreams with keys of ours, and one to which clients bring their own.
const THREE: &str = "[[upstreams]]\nname = \"a\"\naccounts = [{ name = \"a\", keys = [{ key = \"x\" }] }]\n\
    [[upstreams]]\nname = \"b\"\naccounts = [{ name = \"b\", keys = [{ key = \"y\" }] }]\n\
    [[upstreams]]\nname = \"own\"\naccounts = []\n\
    [[routes]]\npath = \"/own\"\nupstream = \"own\"\n[[routes]]\nmodels = \"b-*\"\nupstream = \"b\"\n";

fn legs(settings: &Settings, model: &str) -> Vec<String> {
    let plan = settings.plan(&ModelName::new(model), &UpstreamName::new("a"));
    plan.legs.iter().map(|leg| format!("{} at {}", leg.model, leg.upstream)).collect()
}

#[test]
fn a_model_goes_where_its_other_name_says_else_where_a_route_leads_else_to_the_first() {
    let models = "[[models]]\nname = \"fast\"\nupstream = \"b\"\nmodel = \"m\"\n\
        [[models]]\nname = \"b-slow\"\nmodel = \"b-late\"\nfallback_on_wait = \"30s\"\n\
        fallbacks = [{ upstream = \"a\" }, { model = \"other\" }]\n\
        [[models]]\nname = \"gpt-*\"\nfallbacks = [{ upstream = \"b\" }]\n";
    let settings = Machine::with_file(&format!("{THREE}{models}")).loaded().settings;
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        ("x",      vec!["x at a"]),
        ("b-1",    vec!["b-1 at b"]),
        ("fast",   vec!["m at b"]),
        ("b-slow", vec!["b-late at b", "b-late at a", "other at b"]),
        ("gpt-5",  vec!["gpt-5 at a", "gpt-5 at b"]),
    ];
    for (model, expected) in cases {
        assert_eq!(legs(&settings, model), expected, "{model}");
    }
    let waits = |model: &str| settings.plan(&model.into(), &"a".into()).fallback_on_wait;
    assert_eq!((waits("b-slow"), waits("gpt-5")), (Some(Duration::from_secs(30)), None));
    let led = settings.route_of_path("/own/v1/models").expect("a route");
    assert_eq!((led.0.as_str(), led.1), ("own", "/v1/models"));
    assert_eq!(settings.route_of_path("/v1/own"), None);
}

#[test]
fn a_route_that_cannot_be_taken_or_leads_nowhere_is_told() {
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        ("[[routes]]\npath = \"/x\"\nupstream = \"c\"",             "no upstream has this name; there are \"a\", \"b\", \"own\""),
        ("[[routes]]\nupstream = \"b\"",                            "a route goes by `path` or by `models`"),
        ("[[routes]]\npath = \"/x\"\nmodels = \"*\"\nupstream = \"b\"", "not by both"),
        ("[[routes]]\npath = \"/own/v2\"\nupstream = \"b\"",        "an earlier one matches all that this one does"),
        ("[[routes]]\nmodels = \"b-1*\"\nupstream = \"b\"",         "an earlier one matches all that this one does"),
        ("[[routes]]\npath = \"/v1\"\nupstream = \"b\"",            "must be the front of a path"),
        ("[[routes]]\npath = \"/x/\"\nupstream = \"b\"",            "must be the front of a path"),
        ("[[routes]]\npath = \"/\"\nupstream = \"b\"",              "must be the front of a path"),
        ("[[routes]]\nmodels = \"x\"\nupstream = \"own\"",          "a client's key, meant for another provider"),
        ("[[models]]\nname = \"x\"",                                "a model has `model`, `upstream` or `fallbacks`"),
        ("[[models]]\nname = \"x\"\nupstream = \"own\"",            "a client's key, meant for another provider"),
        ("[[models]]\nname = \"x\"\nmodel = \"y\"\nfallback_on_wait = \"1s\"", "there are no `fallbacks`"),
        ("[[models]]\nname = \"x\"\nfallbacks = [{ model = \"y\" }, { model = \"y\" }]", "the request was there already"),
        ("[[models]]\nname = \"x\"\nupstream = \"b\"\nfallbacks = [{}]", "the request was there already"),
        ("[[models]]\nname = \"x*\"\nmodel = \"y\"\n[[models]]\nname = \"xy\"\nmodel = \"z\"", "an earlier one matches all that this one does"),
        ("[[upstreams]]\nname = \"d\"\naccounts = []",              "nothing leads there"),
    ];
    for (more, rule) in cases {
        let error = Machine::with_file(&format!("{THREE}{more}")).error();
        assert!(error.contains(rule), "{more}:\n{error}");
        assert!(!error.contains("problems"), "one mistake, several problems:\n{error}");
    }
}

#[test]
fn no_fallback_takes_a_client_that_brought_a_name_to_where_its_key_is_asked_for() {
    let upstreams = "[[upstreams]]\nname = \"own\"\naccounts = []\n[[upstreams]]\nname = \"b\"\n\
        accounts = [{ name = \"b\", keys = [{ key = \"y\" }] }]\n";
    let fallback =
        "[[models]]\nname = \"x\"\nupstream = \"b\"\nfallbacks = [{ upstream = \"own\" }]";
    let error = Machine::with_file(&format!("{upstreams}{fallback}")).error();
    assert!(error.contains("clients bring their own keys there"), "{error}");
    let here = "[[models]]\nname = \"x\"\nmodel = \"y\"\nfallbacks = [{ upstream = \"b\" }]";
    Machine::with_file(&format!("{upstreams}{here}")).loaded();
}

#[test]
fn a_program_that_runs_keeps_its_upstreams_and_takes_over_what_is_within_them() {
    let settings = |text: &str| Machine::with_file(text).loaded().settings;
    let running = settings(THREE);
    let limits = "[[upstreams.limits]]\nmodels = \"*\"\ntokens_per_minute = 7\n";
    let other = THREE.replace(
        "[[upstreams]]\nname = \"own\"",
        &format!("{limits}[[upstreams]]\nname = \"own\""),
    );
    let renewed = running.renewed(settings(&other)).expect("taken over");
    assert_eq!(renewed.left, Vec::<&str>::new());
    assert_eq!(renewed.settings.upstreams[1].limits.len(), 1);

    let more =
        "[[upstreams]]\nname = \"c\"\naccounts = []\n[[routes]]\npath = \"/c\"\nupstream = \"c\"";
    let refused = running.renewed(settings(&format!("{THREE}{more}"))).expect_err("a new upstream");
    assert!(refused.to_string().contains("after a restart"), "{refused}");

    let one =
        "[[upstreams]]\nname = \"a\"\naccounts = [{ name = \"a\", keys = [{ key = \"z\" }] }]\n";
    let renewed = running.renewed(settings(one)).expect("taken over");
    assert_eq!(renewed.left, ["upstreams"]);
    assert_eq!(renewed.settings.upstreams.len(), 3, "they go with a restart");
    assert!(renewed.settings.routes.is_empty(), "and nothing leads to them meanwhile");

    let refused =
        running.renewed(settings(&one.replace("\"a\"", "\"z\""))).expect_err("another first");
    assert!(refused.to_string().contains("`z`"), "{refused}");
}

#[test]
fn what_only_azures_paths_need_is_told_where_it_does_not_belong() {
    let upstream = |url: &str, more: &str| format!("[[upstreams]]\nbase_url = \"{url}\"\n{more}");
    let (azure, dated) = ("https://x.openai.azure.com/openai", "api_version = \"2024-10-21\"");
    Machine::with_file(&upstream(azure, dated)).loaded();
    let deployments = "deployments = [{ model = \"m\", name = \"d\" }]";
    #[rustfmt::skip] // One case a line.
    let cases = [
        ("https://a.b/v1",             dated,       "only Azure has such"),
        ("https://a.b/v1",             deployments, "only Azure has such"),
        (&*format!("{azure}/v1"),      dated,       "of the shape that needs none"),
        (azure, "deployments = [{ model = \"m\", name = \"d\" }, { model = \"m\", name = \"e\" }]", "they must differ"),
    ];
    for (url, more, rule) in cases {
        let error = Machine::with_file(&upstream(url, more)).error();
        assert!(error.contains(rule), "{more}:\n{error}");
    }
}
