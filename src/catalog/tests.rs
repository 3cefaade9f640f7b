use super::*;

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
    assert_eq!((relative.context_window, relative.input_price), (None, None));
    assert_eq!(facts("gpt-4").context_window, Some(Tokens::new(8192)));
}

#[test]
fn a_tuned_model_never_has_the_prices_of_its_base() {
    let tuned = facts("ft:gpt-4o-2024-08-06:org:name:id");
    assert_eq!(tuned.input_price, Some(PicoUsd::new(3_750_000)));
    assert_eq!(facts("gpt-4o").input_price, Some(PicoUsd::new(2_500_000)));
    let unpriced = facts("ft:gpt-4o-2031-01-01:org:name:id");
    assert_eq!((unpriced.input_price, unpriced.max_output), (None, facts("gpt-4o").max_output));
}

#[test]
fn a_price_is_the_sum_of_its_parts() {
    let usage = Usage {
        input: Tokens::new(1000),
        cached: Tokens::new(400),
        output: Tokens::new(50),
        reasoning: Tokens::new(20),
        ..Usage::default()
    };
    let gpt_4o = facts("gpt-4o");
    // 600 x $2.50 + 400 x $1.25 + 50 x $10 per million tokens.
    assert_eq!(price(&gpt_4o, &usage), Some(PicoUsd::new(2_500_000_000)));
    let no_discount = ModelFacts { cached_price: None, ..gpt_4o };
    assert_eq!(price(&no_discount, &usage), Some(PicoUsd::new(3_000_000_000)));
    assert_eq!(price(&ModelFacts::UNKNOWN, &usage), None);
    assert_eq!(price(&ModelFacts::UNKNOWN, &Usage::default()), Some(PicoUsd::ZERO));
}

#[test]
fn an_embedding_needs_no_price_of_output() {
    let usage = Usage { input: Tokens::new(1_000_000), ..Usage::default() };
    let price = price(&facts("text-embedding-3-small"), &usage).unwrap();
    assert_eq!(price.to_string(), "0.020000");
}
