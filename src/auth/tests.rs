use proptest::prelude::*;

use super::*;
use crate::config::{Flags, Outside, load};
use crate::units::Class;

/// A day, as time since 1970-01-01.
const NOW: Duration = Duration::from_secs(20_000 * 86_400);

/// The name and the value of a header.
type Header<'a> = (&'static str, &'a str);

/// An app, or why there is none.
type Known<'a> = Result<&'a str, AuthError>;

/// What is sent, and what comes of it.
type Case<'a, T> = (&'a [Header<'a>], T);

/// Returns the gate of a configuration with these variables.
fn gate(text: &str, key: Option<&str>) -> Gate {
    let read = |_: &std::path::Path| {
        Ok(crate::config::FileText { text: text.to_owned(), open_to_others: false })
    };
    let env = |name: &str| key.filter(|_| name == "OPENAI_API_KEY").map(Into::into);
    let folder = Some("/folder".into());
    let outside = Outside { env: &env, read: &read, config_dir: folder.clone(), data_dir: folder };
    let loaded = load(&Flags::default(), &outside).expect("a valid configuration");
    Gate::new(&loaded.settings)
}

fn two_apps() -> Gate {
    let text = "apps = [{ name = \"a\", key = \"keyofa\" }, { name = \"b\", key = \"keyofb\" }]";
    gate(text, Some("sk-ours"))
}

fn who(gate: &Gate, headers: &[Header<'_>]) -> Result<String, AuthError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().expect("a header value"));
    }
    gate.authenticate(&map, IpAddr::from([127, 0, 0, 1]), NOW).map(|client| client.app.to_string())
}

/// What a request looks like, and what app, class and weight it gets.
struct Asks<'a> {
    key: &'a str,
    looks: Looks<'a>,
    gets: (&'a str, Class, u32),
}

fn check_all(gate: &Gate, cases: &[Asks<'_>]) {
    for Asks { key, looks, gets } in cases {
        let bearer = format!("Bearer {key}").parse().expect("a header value");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
        let client = gate.authenticate(&headers, IpAddr::from([127, 0, 0, 1]), NOW);
        let party = gate.party(&client.expect("let in"), looks);
        let (app, class, weight) = gets;
        assert_eq!(
            (party.app.as_str(), party.class, party.weight),
            (*app, *class, *weight),
            "{key} {looks:?}"
        );
    }
}

fn looks<'a>(path: &'a str, model: Option<&'a str>, asked: Option<Class>) -> Looks<'a> {
    Looks { path, model, user_agent: Some("notes/2.1"), asked }
}

#[test]
fn a_header_lowers_a_class_and_never_lifts_it_above_the_keys() {
    let text = "apps = [{ name = \"a\", key = \"ka\" }, \
                { name = \"b\", key = \"kb\", class = \"batch\", max_class = \"interactive\", weight = 300 }]";
    let gate = gate(text, Some("sk-ours"));
    use Class::{Batch, Interactive, Standard};
    let ask = |asked| looks("/v1/x", None, asked);
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Asks { key: "ka", looks: ask(None),              gets: ("a", Standard, 100) },
        Asks { key: "ka", looks: ask(Some(Batch)),       gets: ("a", Batch, 100) },
        Asks { key: "ka", looks: ask(Some(Interactive)), gets: ("a", Standard, 100) },
        Asks { key: "kb", looks: ask(None),              gets: ("b", Batch, 300) },
        Asks { key: "kb", looks: ask(Some(Interactive)), gets: ("b", Interactive, 300) },
    ];
    check_all(&gate, &cases);
}

#[test]
fn without_any_configuration_a_program_here_has_the_class_that_it_asks_for() {
    let gate = gate("", Some("sk-ours"));
    for class in Class::ALL {
        let wish = looks("/v1/x", None, Some(class));
        check_all(&gate, &[Asks { key: "notebook", looks: wish, gets: ("notebook", class, 100) }]);
    }
    let silent =
        Asks { key: "n", looks: looks("/v1/x", None, None), gets: ("n", Class::Standard, 100) };
    check_all(&gate, &[silent]);
}

#[test]
fn the_first_rule_that_matches_sets_app_and_class() {
    let text = "rules = [{ path = \"/v1/emb*\", class = \"batch\" }, \
                { user_agent = \"notes/*\", model = \"gpt-*\", app = \"notes\", class = \"standard\" }, \
                { model = \"*\", class = \"interactive\" }]";
    let gate = gate(text, Some("sk-ours"));
    use Class::{Batch, Interactive, Standard};
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Asks { key: "k", looks: looks("/v1/embeddings", Some("gpt-x"), None),                gets: ("k", Batch, 100) },
        Asks { key: "k", looks: looks("/embeddings", Some("gpt-x"), Some(Interactive)),      gets: ("k", Batch, 100) },
        Asks { key: "k", looks: looks("/v1/chat/completions", Some("gpt-x"), None),          gets: ("notes", Standard, 100) },
        Asks { key: "k", looks: looks("/v1/chat/completions", Some("gpt-x"), Some(Batch)),   gets: ("notes", Batch, 100) },
        Asks { key: "k", looks: looks("/v1/chat/completions", Some("o3"), None),             gets: ("k", Interactive, 100) },
        Asks { key: "k", looks: looks("/v1/files", None, Some(Interactive)),                 gets: ("k", Interactive, 100) },
        Asks { key: "k", looks: looks("/v1/files", None, None),                              gets: ("k", Standard, 100) },
    ];
    check_all(&gate, &cases);
}

#[test]
fn a_rule_gives_another_apps_weight_and_stays_below_the_keys_class() {
    let text = "apps = [{ name = \"low\", key = \"kl\" }, \
                { name = \"high\", key = \"kh\", class = \"interactive\", weight = 7 }]\n\
                rules = [{ model = \"m\", app = \"high\" }, { path = \"/fast\", class = \"interactive\" }]";
    let gate = gate(text, Some("sk-ours"));
    use Class::{Interactive, Standard};
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        Asks { key: "kl", looks: looks("/x", Some("m"), None),                gets: ("high", Standard, 7) },
        Asks { key: "kl", looks: looks("/x", Some("m"), Some(Interactive)),   gets: ("high", Standard, 7) },
        Asks { key: "kl", looks: looks("/fast", None, None),                  gets: ("low", Standard, 100) },
        Asks { key: "kh", looks: looks("/fast", None, None),                  gets: ("high", Interactive, 7) },
    ];
    check_all(&gate, &cases);
}

#[test]
fn an_app_is_known_by_its_key_alone() {
    let gate = two_apps();
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases: &[Case<'_, Known<'_>>] = &[
        (&[("authorization", "Bearer keyofa")], Ok("a")),
        (&[("authorization", "bearer  keyofb")], Ok("b")),
        (&[("x-api-key", "keyofb")], Ok("b")),
        (&[("api-key", "keyofb")], Ok("b")),
        (&[("authorization", "Bearer keyofa"), ("x-sluicegate-app", "b")], Ok("a")),
        (&[("authorization", "Bearer keyof")], Err(AuthError::WrongKey)),
        (&[("authorization", "Bearer keyofaa")], Err(AuthError::WrongKey)),
        (&[("authorization", "Bearer sk-ours")], Err(AuthError::WrongKey)),
        (&[("authorization", "Bearer a")], Err(AuthError::WrongKey)),
        (&[("authorization", "Basic keyofa")], Err(AuthError::NoKey)),
        (&[("authorization", "keyofa")], Err(AuthError::NoKey)),
        (&[("authorization", "Bearer ")], Err(AuthError::NoKey)),
        (&[("x-sluicegate-app", "a")], Err(AuthError::NoKey)),
        (&[], Err(AuthError::NoKey)),
    ];
    for (headers, expected) in cases {
        let found = who(&gate, headers);
        assert_eq!(found.as_deref().map_err(|error| *error), *expected, "{headers:?}");
    }
}

#[test]
fn without_apps_a_program_names_itself() {
    let gate = gate("", Some("sk-ours"));
    let long = "0123456789abcdef0123456789abcdef";
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases: &[Case<'_, &str>] = &[
        (&[], "anonymous"),
        (&[("authorization", "Bearer indexer")], "indexer"),
        (&[("authorization", "Bearer indexer"), ("x-sluicegate-app", "other")], "other"),
        (&[("authorization", "Bearer in dex\ter")], "in_dex_er"),
        (&[("x-sluicegate-app", "  ")], "anonymous"),
        (&[("user-agent", "curl/8.5.0")], "curl"),
        (&[("user-agent", "OpenAI/Python 1.52.0")], "OpenAI/Python"),
        (&[("user-agent", "notes (x11)"), ("authorization", "Bearer indexer")], "indexer"),
        (&[("user-agent", "notes (x11)")], "notes"),
        (&[("user-agent", "/8 ")], "anonymous"),
        // As `printf %s sk-ours | sha256sum` tells.
        (&[("authorization", "Bearer sk-ours")], "key-cf6cf22d"),
        (&[("authorization", &format!("Bearer {long}"))], "key-3eb1bd43"),
    ];
    for (headers, expected) in cases {
        assert_eq!(who(&gate, headers).expect("let in"), *expected, "{headers:?}");
    }
    let name = who(&gate, &[("x-sluicegate-app", &"x".repeat(900))]).expect("let in");
    assert_eq!(name.len(), 64);
}

#[test]
fn a_key_that_is_passed_on_is_never_a_name() {
    let gate = gate("", None);
    let name = who(&gate, &[("authorization", "Bearer short")]).expect("let in");
    assert!(name.starts_with("key-") && !name.contains("short"), "{name}");
}

#[test]
fn the_key_of_an_app_never_goes_to_a_provider() {
    let own = gate("", None);
    let key = "sg-0123456789abcdef0123456789abcdef";
    let bearer = format!("Bearer {key}");
    for header in [("authorization", bearer.as_str()), ("x-api-key", key), ("api-key", key)] {
        let headers = [("authorization", "Bearer sk-mine"), header];
        assert_eq!(who(&own, &headers), Err(AuthError::NotForwarded), "{header:?}");
    }
    let name = who(&gate("", Some("sk-ours")), &[("authorization", &bearer)]).expect("let in");
    assert!(!name.contains("0123"), "a key is no name: {name}");
}

#[test]
fn without_apps_nobody_from_elsewhere_gets_in() {
    let gate = gate("", Some("sk-ours"));
    let from = |peer: &str| {
        gate.authenticate(&HeaderMap::new(), peer.parse().expect("an address"), NOW).err()
    };
    assert_eq!(from("192.0.2.1"), Some(AuthError::NotHere));
    assert_eq!(from("2001:db8::1"), Some(AuthError::NotHere));
    assert_eq!(from("::1"), None);
    assert_eq!(from("::ffff:127.0.0.1"), None);
}

proptest! {
    #[test]
    fn only_the_very_key_opens_the_gate(key in "[!-~]{1,20}") {
        let found = who(&two_apps(), &[("authorization", &format!("Bearer {key}"))]);
        let expected = match key.as_str() {
            "keyofa" => Ok("a"),
            "keyofb" => Ok("b"),
            _ => Err(AuthError::WrongKey),
        };
        prop_assert_eq!(found.as_deref().map_err(|error| *error), expected);
    }

    #[test]
    fn any_header_makes_a_name_that_can_be_printed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let gate = gate("", Some("sk-ours"));
        for header in ["authorization", "x-sluicegate-app", "x-api-key"] {
            let Ok(value) = http::HeaderValue::from_bytes(&bytes) else { continue };
            let headers = HeaderMap::from_iter([(HeaderName::from_static(header), value)]);
            let client = gate.authenticate(&headers, IpAddr::from([127, 0, 0, 1]), NOW).expect("let in");
            let name = client.app.as_str();
            prop_assert!((1..=64).contains(&name.len()), "{name}");
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
        }
    }
}
