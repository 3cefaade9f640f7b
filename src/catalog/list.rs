//! The prices of all models, and which of them a request is charged by.
//!
//! # Invariants
//!
//! 1. What the user wrote counts before the list, and a newer list before the one in the program.
//! 2. The model and the service tier that answered count, not those that were asked for.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use super::bill::{Bill, Cost, Missing};
use super::names;
use super::newer::NewerList;
use super::prices::Prices;
use super::rate::Tier;
use super::table::{PriceSource, Table};
use crate::units::{PicoUsd, Served, Usage};

/// What is charged for.
#[derive(Debug, Clone, Copy)]
pub struct Bought<'a> {
    /// The upstream that served it: prices under `UPSTREAM/MODEL` count before those under `MODEL`.
    pub upstream: Option<&'a str>,
    /// The model that was asked for upstream; counts where the answer does not name one, or one that only
    /// the user's own name has prices of.
    pub model: &'a str,
    /// As what it was served.
    pub served: &'a Served,
    /// The tier that an answer is charged by which does not tell one.
    pub tier: Tier,
    /// Whether it was sent to where requests are bound to one region.
    pub is_regional: bool,
    /// What was used.
    pub usage: &'a Usage,
    /// Which images were made, such as `high/1024x1024`.
    pub form: Option<&'a str>,
}

/// The prices of all models. Cloning it shares the list in the program.
#[derive(Clone)]
pub struct PriceList {
    /// As the user wrote them.
    own: HashMap<String, Prices>,
    /// A newer list.
    newer: Arc<NewerList>,
    embedded: Arc<Embedded>,
}

/// The list in the program.
#[derive(Debug)]
struct Embedded {
    prices: HashMap<String, Prices>,
    /// From which list those of each model are.
    lists: HashMap<String, String>,
    sources: HashMap<String, PriceSource>,
}

impl PriceList {
    /// Returns the list in the program.
    pub fn embedded() -> Self {
        static EMBEDDED: LazyLock<Arc<Embedded>> = LazyLock::new(|| Arc::new(Embedded::read()));
        let embedded = Arc::clone(&EMBEDDED);
        Self { own: HashMap::new(), newer: Arc::default(), embedded }
    }

    /// Lets a newer list count before the one in the program.
    #[must_use]
    pub fn with_newer(self, newer: NewerList) -> Self {
        Self { newer: Arc::new(newer), ..self }
    }

    /// Lets what the user wrote count before all lists.
    #[must_use]
    pub fn with_own(self, own: HashMap<String, Prices>) -> Self {
        Self { own, ..self }
    }

    /// Leaves out what the user wrote.
    #[must_use]
    pub fn without_own(&self) -> Self {
        Self { own: HashMap::new(), ..self.clone() }
    }

    /// Returns the newer list; it is empty if there is none.
    pub fn newer(&self) -> &NewerList {
        &self.newer
    }

    /// Returns the prices of `model` with the name under which they stand; `None` where neither it nor a model of
    /// which it is an edition has any.
    pub fn find(&self, model: &str) -> Option<(&str, &Prices)> {
        let lists = [&self.own, &self.newer.models, &self.embedded.prices];
        lists.into_iter().find_map(|list| find(list, model))
    }

    /// Returns every model with prices, by its name, and what counts of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Prices)> {
        let embedded = self.embedded.prices.iter();
        let embedded = embedded.filter(|(name, _)| !self.newer.models.contains_key(*name));
        let listed = self.newer.models.iter().chain(embedded);
        let listed = listed.filter(|(name, _)| !self.own.contains_key(*name));
        self.own.iter().chain(listed).map(|(name, prices)| (name.as_str(), prices))
    }

    /// Returns where the prices under this name are from.
    pub fn origin(&self, name: &str) -> PriceOrigin<'_> {
        if self.own.contains_key(name) {
            return PriceOrigin::Own;
        }
        if self.newer.models.contains_key(name) {
            return PriceOrigin::Newer(&self.newer.origin);
        }
        let list = self.embedded.lists.get(name);
        let source = list.and_then(|list| self.embedded.sources.get(list));
        source.map_or(PriceOrigin::Own, PriceOrigin::Embedded)
    }

    /// Returns the bill of what was bought.
    ///
    /// # Errors
    ///
    /// Returns what is missing where there is none.
    pub fn bill(&self, bought: &Bought<'_>) -> Result<Bill, Missing> {
        let (_, prices) = self.row(bought).ok_or(Missing::Model)?;
        let tier = match &bought.served.tier {
            Some(word) => Tier::of(word.as_str()).ok_or(Missing::Tier)?,
            None => bought.tier,
        };
        if !prices.has(tier) {
            return Err(Missing::Tier);
        }
        Ok(Bill::new(prices, bought, tier))
    }

    /// Returns the prices that what was bought is charged by, with the name under which they stand; `None` where
    /// there are none.
    pub fn row(&self, bought: &Bought<'_>) -> Option<(&str, &Prices)> {
        let served = bought.served.model.as_ref().map(|model| model.as_str());
        let own = |model| find_at(&self.own, bought.upstream, model);
        let listed = |model| {
            let newer = find_at(&self.newer.models, bought.upstream, model);
            newer.or_else(|| find(&self.embedded.prices, model))
        };
        match served {
            Some(served) => own(served).or_else(|| own(bought.model)).or_else(|| listed(served)),
            None => own(bought.model).or_else(|| listed(bought.model)),
        }
    }

    /// Returns what was bought costs.
    pub fn cost(&self, bought: &Bought<'_>) -> Cost {
        if *bought.usage == Usage::NONE {
            return Cost::Known(PicoUsd::ZERO);
        }
        self.bill(bought).map_or_else(Cost::Unknown, |bill| bill.cost())
    }
}

/// Where prices are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceOrigin<'a> {
    /// The user's configuration.
    Own,
    /// A newer list, which the user had read: from where and when, in words.
    Newer(&'a str),
    /// The list in the program, from this source.
    Embedded(&'a PriceSource),
}

impl fmt::Debug for PriceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PriceList").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Embedded {
    #[expect(clippy::expect_used, reason = "the table is a constant, and a test reads it")]
    fn read() -> Self {
        let table = Table::embedded();
        let priced = table.prices().expect("config/catalog.json has valid prices");
        let lists = priced.iter().map(|(name, it)| (name.clone(), it.list.clone())).collect();
        let prices = priced.into_iter().map(|(name, it)| (name, it.prices)).collect();
        Self { prices, lists, sources: table.price_lists }
    }
}

/// Returns the row of `model` at an upstream in a list, or that of `model` wherever it is.
fn find_at<'a>(
    list: &'a HashMap<String, Prices>,
    upstream: Option<&str>,
    model: &str,
) -> Option<(&'a str, &'a Prices)> {
    let upstream = upstream.filter(|_| !list.is_empty());
    let there = upstream.and_then(|upstream| find(list, &format!("{upstream}/{model}")));
    there.or_else(|| find(list, model))
}

/// Returns the row of `model` in a list, or of the model of which it is a dated edition. A tuned model
/// (`ft:BASE:org:name:id`) has a row of its own base, and never the prices of that base.
fn find<'a>(list: &'a HashMap<String, Prices>, model: &str) -> Option<(&'a str, &'a Prices)> {
    if list.is_empty() {
        return None;
    }
    let model = model.strip_prefix("openai/").unwrap_or(model);
    let row = names::tuned_base(model).unwrap_or(model);
    let found = |name| list.get_key_value(name).map(|(name, prices)| (name.as_str(), prices));
    found(model).or_else(|| found(row)).or_else(|| names::editions_of(row).find_map(found))
}
