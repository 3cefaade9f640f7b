//! `sluicegate catalog`: what models cost, and newer price lists.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::Value;
use thiserror::Error;

use super::exit::{CliError, Exit};
use super::{outside, print};
use crate::catalog::{
    Change, CommonList, CommonListError, NEWER_PRICES, NewerList, PriceList, PriceOrigin, What,
};
use crate::clock::WallClock;
use crate::config::{DataDir, Flags, Keys, Loaded};

/// What to do with the catalog.
#[derive(Debug, Args)]
pub(super) struct CatalogArgs {
    #[command(subcommand)]
    command: CatalogCommand,
    /// The configuration [default: as for `serve`]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where a newer price list is kept [default: as for `serve`]
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<String>,
}

#[derive(Debug, Subcommand)]
enum CatalogCommand {
    /// List the models whose prices are known, with those of input and output.
    List {
        /// Only models with this in their names.
        part: Option<String>,
    },
    /// Show all prices of a model, and where they are from.
    Show {
        /// The model, as it is asked for or as an answer names it.
        model: String,
    },
    /// Take over a newer price list. It counts from the next start or reload on.
    Update {
        /// A file in the common format, such as LiteLLM's `model_prices_and_context_window.json`.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Only tell what it would change.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Why a catalog cannot be shown or changed.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The list cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Its file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The list is not taken; nothing has changed.
    #[error("{} is not taken, and nothing has changed", path.display())]
    List {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: CommonListError,
    },
    /// Nothing is kept.
    #[error("there is no folder to keep a price list in: `data_dir` is empty")]
    Nowhere,
    /// The list cannot be kept; the one before holds.
    #[error("cannot write {}", path.display())]
    Write {
        /// Its file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Nothing is known of the model.
    #[error(
        "no prices of `{model}` are known{}; `[[prices]]` in the configuration gives it some",
        meant.as_ref().map(|it| format!(" (did you mean `{it}`?)")).unwrap_or_default()
    )]
    Unknown {
        /// The model.
        model: String,
        /// The one that was probably meant.
        meant: Option<String>,
    },
}

/// Does what was asked for.
pub(super) fn run(args: &CatalogArgs) -> Result<Exit, CliError> {
    let flags = Flags {
        config: args.config.clone(),
        data_dir: args.data_dir.clone(),
        keys: Keys::Unused,
        ..Flags::default()
    };
    let loaded = outside::load(&flags)?;
    super::serve::warn(&loaded);
    let prices = &loaded.settings.prices;
    let text = match &args.command {
        CatalogCommand::List { part } => listing(prices, part.as_deref().unwrap_or_default()),
        CatalogCommand::Show { model } => {
            let unknown =
                || CatalogError::Unknown { model: model.clone(), meant: closest(prices, model) };
            shown(prices, model).ok_or_else(unknown)?
        }
        CatalogCommand::Update { from, dry_run } => update(&loaded, from, *dry_run)?,
    };
    Ok(print(&text, Exit::Done))
}

/// Lists models in columns.
fn listing(prices: &PriceList, part: &str) -> String {
    let rows: BTreeMap<_, _> = prices.iter().filter(|(name, _)| name.contains(part)).collect();
    let widest = rows.keys().map(|name| name.len()).max().unwrap_or_default();
    let mut text =
        format!("{:widest$}  {:>10}  {:>10}  dollars for a million\n", "", "input", "output");
    for (name, prices) in rows {
        let prices = prices.to_json();
        let price = |kind: &str| prices.get(kind).map_or_else(|| "-".to_owned(), Value::to_string);
        let (input, output) = (price("input"), price("output"));
        // Writing to a text cannot fail.
        writeln!(text, "{name:widest$}  {input:>10}  {output:>10}").unwrap_or_default();
    }
    text
}

/// Shows all prices of a model; `None` where none are known.
fn shown(prices: &PriceList, model: &str) -> Option<String> {
    let (name, known) = prices.find(model)?;
    let origin = match prices.origin(name) {
        PriceOrigin::Own => "your configuration, `[[prices]]`".to_owned(),
        PriceOrigin::Newer(origin) => origin.to_owned(),
        PriceOrigin::Embedded(source) => format!("{}, as of {}", source.source, source.as_of),
    };
    let mut text = format!("{name}: dollars for a million units\nfrom {origin}\n");
    lines(&known.to_json(), 1, &mut text);
    Some(text)
}

/// Returns the known model whose name differs from `model` by a slip of the pen.
fn closest(prices: &PriceList, model: &str) -> Option<String> {
    let near = prices.iter().filter_map(|(name, _)| {
        let distance = strsim::damerau_levenshtein(name, model);
        (distance <= 1 + model.len() / 4).then_some((distance, name))
    });
    near.min().map(|(_, name)| name.to_owned())
}

/// Writes prices one a line, and below them those of tables.
fn lines(prices: &serde_json::Map<String, Value>, depth: usize, into: &mut String) {
    let indent = "  ".repeat(depth);
    let is_table = |value: &Value| value.is_object();
    let (tables, own): (Vec<_>, Vec<_>) = prices.iter().partition(|(_, value)| is_table(value));
    for (key, value) in own.into_iter().chain(tables) {
        let wide = 20_usize.saturating_sub(indent.len());
        // Writing to a text cannot fail.
        match value {
            Value::Object(below) => {
                writeln!(into, "{indent}{key}").unwrap_or_default();
                lines(below, depth + 1, into);
            }
            value => writeln!(into, "{indent}{key:wide$} {value}").unwrap_or_default(),
        }
    }
}

/// Takes over a list, whole or not at all; returns what changed.
fn update(loaded: &Loaded, from: &Path, dry_run: bool) -> Result<String, CatalogError> {
    let (DataDir::Named(folder) | DataDir::Usual(folder)) = &loaded.settings.data_dir else {
        return Err(CatalogError::Nowhere);
    };
    let text = fs::read_to_string(from)
        .map_err(|source| CatalogError::Read { path: from.to_path_buf(), source })?;
    let list = CommonList::read(&text)
        .map_err(|source| CatalogError::List { path: from.to_path_buf(), source })?;
    let now = UNIX_EPOCH + WallClock::from_system().since_epoch(tokio::time::Instant::now());
    let origin = format!("{}, read {}", from.display(), day(now));
    let newer = NewerList { origin, models: list.models }.completed();
    let changes = newer.changes(&loaded.settings.prices.without_own());
    let path = folder.join(NEWER_PRICES);
    if !dry_run {
        write(folder, &path, &newer.write())
            .map_err(|source| CatalogError::Write { path: path.clone(), source })?;
    }
    let mut text = summary(&changes, newer.models.len());
    if !list.ignored.is_empty() {
        text.push_str("not applied, for nothing that is counted here has such a price:\n");
        for (field, rows) in &list.ignored {
            // Writing to a text cannot fail.
            writeln!(text, "  {field} ({rows})").unwrap_or_default();
        }
    }
    let end = if dry_run {
        "nothing was written\n".to_owned()
    } else {
        format!(
            "kept in {}; it counts from the next start on, or from `kill -HUP` on\n",
            path.display()
        )
    };
    Ok(text + &end)
}

/// Tells what a list changes: new models by their number, others one by one.
fn summary(changes: &[Change], models: usize) -> String {
    let is_new = |change: &&Change| change.what == What::New;
    let new = changes.iter().filter(is_new).count();
    let others: Vec<_> = changes.iter().filter(|change| !is_new(change)).collect();
    let mut text =
        format!("{models} models with prices: {new} new, {} with other prices\n", others.len());
    for change in others {
        // Writing to a text cannot fail.
        writeln!(text, "  {change}").unwrap_or_default();
    }
    text
}

/// Writes a file beside its place and puts it there when it is whole.
fn write(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let draft = path.with_extension("json.new");
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

fn day(time: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(time).to_string();
    time.split('T').next().unwrap_or_default().to_owned()
}
