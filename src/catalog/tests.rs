use super::table::Listed;
use super::*;
use crate::units::{PicoUsd, Served, Usage};

fn facts(model: &str) -> ModelFacts {
    Catalog::embedded().facts(model)
}

#[test]
fn a_name_finds_its_encoding() {
    use Encoding::{Cl100k, O200k};
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        ("gpt-4o",                              O200k,  true),
        ("gpt-4o-2024-08-06",                   O200k,  true),
        ("gpt-4o-2031-01-01",                   O200k,  true),
        ("gpt-4o-some-edition",                 O200k,  true),
        ("gpt-4.1-nano",                        O200k,  true),
        ("gpt-4",                               Cl100k, true),
        ("gpt-4-0613",                          Cl100k, true),
        ("gpt-4-32k",                           Cl100k, true),
        ("gpt-3.5-turbo-0301",                  Cl100k, true),
        ("gpt-35-turbo",                        Cl100k, true),
        ("text-embedding-3-small",              Cl100k, true),
        ("text-embedding-ada-002-v2",           Cl100k, true),
        ("o3-mini",                             O200k,  true),
        ("o1-preview",                          O200k,  true),
        ("gpt-5.1",                             O200k,  true),
        ("openai/gpt-4",                        Cl100k, true),
        ("ft:gpt-4.1-2025-04-14:org:name:id",   O200k,  true),
        ("ft:gpt-4o-mini-2024-07-18:org::id",   O200k,  true),
        ("ft:gpt-4-0613:org::id",               Cl100k, true),
        ("ft:gpt-3.5-turbo-0125:org::id",       Cl100k, true),
        ("gpt-6-astra",                         O200k,  false),
        ("llama-3.3-70b",                       O200k,  false),
        ("",                                    O200k,  false),
        ("-",                                   O200k,  false),
        ("ft:",                                 O200k,  false),
    ];
    for (model, encoding, known) in cases {
        let found = facts(model);
        assert_eq!((found.encoding, found.known), (encoding, known), "{model}");
    }
}

#[test]
fn an_edition_has_the_figures_of_its_model_and_a_relative_has_not() {
    assert_eq!(facts("gpt-4o-2031-01-01"), facts("gpt-4o"));
    let relative = facts("gpt-4-32k");
    assert_eq!((relative.context_window, relative.max_output), (None, None));
    assert!(PriceList::embedded().find("gpt-4-32k").is_none());
    assert_eq!(facts("gpt-4").context_window, Some(Tokens::new(8192)));
}

#[test]
fn a_tuned_model_never_has_the_prices_of_its_base() {
    let list = PriceList::embedded();
    let input = |model| {
        let (_, prices) = list.find(model)?;
        Some(prices.rate(Kind::Input, Tier::Standard, 0)?.to_string())
    };
    assert_eq!(input("ft:gpt-4o-2024-08-06:org:name:id").as_deref(), Some("3.75"));
    assert_eq!(input("gpt-4o").as_deref(), Some("2.5"));
    assert_eq!(input("ft:gpt-4o-2031-01-01:org:name:id"), None);
    assert_eq!(facts("ft:gpt-4o-2031-01-01:org:name:id").max_output, facts("gpt-4o").max_output);
}

#[test]
fn every_price_of_the_table_can_be_read_and_has_a_date_and_a_source() {
    let table = Table::embedded();
    let prices = table.prices().expect("prices");
    assert!(prices.len() > 150, "the table has lost most of its prices");
    for (name, Listed { prices, list }) in prices {
        let source = table.price_lists.get(&list).expect("a source");
        assert!(source.source.contains("https://"), "{name}: no address in its source");
        let digits: Vec<_> = source.as_of.split('-').map(str::len).collect();
        assert_eq!(digits, [4, 2, 2], "{name}: no date");
        assert!(!prices.is_empty(), "{name}: no prices");
    }
}

#[test]
fn what_the_user_wrote_counts_before_a_newer_list_and_that_before_the_programs() {
    let prices = |dollars| {
        let mut prices = Prices::default();
        let rate = Rate::per_million(dollars).expect("a rate");
        prices.set((Kind::Input, Tier::Standard, 0), rate);
        prices
    };
    let models = HashMap::from([
        ("gpt-4o".to_owned(), prices("7")),
        ("new".to_owned(), prices("8")),
        ("groq/fast".to_owned(), prices("6")),
    ]);
    let newer = NewerList { origin: "a file".to_owned(), models };
    let own = HashMap::from([("mine".to_owned(), prices("9")), ("new".to_owned(), prices("10"))]);
    let list = PriceList::embedded().with_newer(newer).with_own(own);
    let cost = |asked, served: Option<&str>| {
        let mut told = Served::default();
        told.note("model", served);
        let usage = Usage { input: Tokens::new(1_000_000), ..Usage::default() };
        let bought = Bought {
            upstream: Some("groq"),
            model: asked,
            served: &told,
            tier: Tier::Standard,
            is_regional: false,
            usage: &usage,
            form: None,
        };
        list.cost(&bought)
    };
    let dollars = |count: u64| Cost::Known(PicoUsd::new(count * 1_000_000_000_000));
    #[rustfmt::skip] // One case a line: the table is read by columns.
    let cases = [
        ("gpt-4o",      None,                       dollars(7)),
        ("new",         None,                       dollars(10)),
        ("mine",        Some("gpt-4o"),             dollars(9)),  // A deployment whose price somebody wrote.
        ("else",        Some("new-2031-01-01"),     dollars(10)), // An edition of what somebody wrote.
        ("mine",        Some("new"),                dollars(10)),
        ("gpt-4",       Some("gpt-4o-2031-01-01"),  dollars(7)),  // What answered counts.
        ("gpt-4o",      Some("gpt-7"),              Cost::Unknown(Missing::Model)),
        ("fast",        None,                       dollars(6)),  // As that upstream has it.
        ("openai/gpt-4", None,                      dollars(30)),
    ];
    for (asked, served, expected) in cases {
        assert_eq!(cost(asked, served), expected, "{asked} {served:?}");
    }
    assert_eq!(list.origin("new"), PriceOrigin::Own);
    assert_eq!(list.origin("gpt-4o"), PriceOrigin::Newer("a file"));
    assert!(matches!(list.origin("gpt-4"), PriceOrigin::Embedded(_)));
    assert_eq!(list.iter().filter(|(name, _)| *name == "new").count(), 1, "it is listed once");
}
