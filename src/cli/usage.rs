//! `sluicegate usage`: what was used and what it cost.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use thiserror::Error;
use tokio::time::Instant;

use super::exit::{CliError, Exit};
use super::{outside, print};
use crate::clock::WallClock;
use crate::config::{DataDir, Flags, Keys, Loaded};
use crate::ledger::{Reading, Store, StoreError};
use crate::report::{
    By, Export, ExportError, Line, Range, RangeError, Remarks, Report, Tally, Wanted, compare,
    days, explain,
};
use crate::units::RequestId;

/// What is to be told of what was used.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct UsageArgs {
    /// What the rows are by, with commas between: app, model, account, day, label, class, endpoint, upstream,
    /// key, served (the model that answered), tier, ending; "" for the total only
    #[arg(long, value_name = "LIST", default_value = "app")]
    by: String,
    /// Only what has this: app=NAME, model=NAME, or another of the above but day; may be said several times
    #[arg(long, value_name = "WHAT=NAME")]
    only: Vec<String>,
    #[command(flatten)]
    when: WhenArgs,
    /// Write JSON: a total, then the rows; amounts are numbers whose text is exact
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Write the rows as CSV
    #[arg(long)]
    csv: bool,
    /// Tell the arithmetic of one request: by our id (`x-sluicegate-request-id`) or the provider's
    #[arg(long, value_name = "ID", conflicts_with_all = ["csv", "json", "only", "by", "against"])]
    explain: Option<String>,
    /// Compare with what the provider says: a file with pages of OpenAI's /v1/organization/usage/completions
    /// (or embeddings, images, ...), /v1/organization/costs, or both
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "by", "from", "to", "last", "today", "month"])]
    against: Option<PathBuf>,
    /// How many percent figures may be apart
    #[arg(long, value_name = "PERCENT", default_value = "1", requires = "against")]
    tolerance: String,
    /// The configuration [default: as for `serve`]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where it is booked [default: as for `serve`]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

/// From when until when.
#[derive(Debug, Args)]
struct WhenArgs {
    /// From this date or moment on: 2026-11-22, 2026-11-22T18:00, 2026-11-22T18:00:00Z
    #[arg(long, value_name = "WHEN", conflicts_with_all = ["last", "today", "month"])]
    from: Option<String>,
    /// Until the end of this date, or until this moment
    #[arg(long, value_name = "WHEN", conflicts_with_all = ["last", "today", "month"])]
    to: Option<String>,
    /// The last 7d, 24h, 90m
    #[arg(long, value_name = "TIME", conflicts_with_all = ["today", "month"])]
    last: Option<humantime::Duration>,
    /// Today
    #[arg(long, conflicts_with = "month")]
    today: bool,
    /// This month, or another such as 2026-10
    #[arg(long, value_name = "MONTH", num_args = 0..=1)]
    month: Option<Option<String>>,
    /// Whose dates these are, such as Europe/Berlin or UTC [default: those of this machine]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
}

/// What the end of `usage --help` says.
const AFTER_HELP: &str = "\
Requests are first tries; what is asked on a websocket is a request of its own. Tries are all that were sent to a \
provider, repeated ones included. Both are told where they differ. A try counts at the time at which it was booked, \
its cost as it was booked. A cost that nobody knows is counted apart, never as zero.\n\n\
Sums are kept for ever, by hour of UTC; single entries for `ledger.keep_entries`. In a time zone that is not whole \
hours from UTC, an hour that lies across midnight and whose entries are gone counts where it begins; that is said.\n\n\
--against ends with exit code 6 where a figure is apart by more than --tolerance.";

/// Why it cannot be told what was used.
#[derive(Debug, Error)]
pub enum UsageError {
    /// The range makes no sense.
    #[error("cannot tell from when until when")]
    Range(#[from] RangeError),
    /// There is no such column.
    #[error("`{0}` is nothing that rows can be by; there are {names}", names = names())]
    By(String),
    /// It does not say what is to be told.
    #[error(
        "`--only {0}` is not of the form WHAT=NAME; WHAT may be {names}; days are what --from and --to are for",
        names = names_but_day()
    )]
    Only(String),
    /// There is no such zone.
    #[error("`{0}` is no time zone: write one such as Europe/Berlin or UTC")]
    Zone(String),
    /// It is no number of percent.
    #[error("`--tolerance {0}` is no number of percent such as 1 or 0.5, at most 100")]
    Tolerance(String),
    /// Nothing is booked.
    #[error("nothing is booked: `data_dir` is empty and `ledger.url` is not set")]
    Nowhere,
    /// The books cannot be read.
    #[error("cannot read what is booked")]
    Store(#[from] StoreError),
    /// Nobody knows the request.
    #[error("no request with the id `{0}` is booked; it may be older than `ledger.keep_entries`")]
    Unknown(String),
    /// The provider's file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The provider's file is of another form.
    #[error("{} cannot be compared with", path.display())]
    Export {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ExportError,
    },
}

impl UsageError {
    /// Returns how the program ends with this error.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Range(_) | Self::By(_) | Self::Only(_) | Self::Zone(_) | Self::Tolerance(_) => {
                Exit::Usage
            }
            Self::Nowhere => Exit::Config,
            Self::Store(_) | Self::Unknown(_) | Self::Read { .. } | Self::Export { .. } => {
                Exit::Failed
            }
        }
    }
}

/// Tells what was asked for.
pub(super) async fn run(args: &UsageArgs) -> Result<Exit, CliError> {
    let (config, data_dir) = (args.config.clone(), args.data_dir.clone());
    let flags = Flags { config, data_dir, keys: Keys::Unused, ..Flags::default() };
    let loaded = outside::load(&flags)?;
    super::serve::warn(&loaded);
    Ok(told(args, &loaded).await?)
}

async fn told(args: &UsageArgs, loaded: &Loaded) -> Result<Exit, UsageError> {
    let asked = Asked::of(args)?;
    let store = look(loaded).await?;
    let done = match (&args.explain, &args.against) {
        (Some(id), _) => asked.explain(id, read(&store, loaded).await?, loaded).await,
        (None, Some(path)) => asked.against(path, read(&store, loaded).await?, args).await,
        (None, None) => asked.report(read(&store, loaded).await?).await.map(|report| {
            let text = match (args.json, args.csv) {
                (true, _) => report.json(),
                (_, true) => report.csv(),
                _ => report.words(),
            };
            print(&text, Exit::Done)
        }),
    };
    store.close().await;
    done
}

/// Finds the books, to read them only.
async fn look(loaded: &Loaded) -> Result<Store, UsageError> {
    let settings = &loaded.settings;
    match (&settings.ledger.url, &settings.data_dir) {
        (Some(url), _) => Ok(Store::look_at(url).await?),
        (None, DataDir::Named(folder) | DataDir::Usual(folder)) => Ok(Store::look(folder).await?),
        (None, DataDir::Nowhere) => Err(UsageError::Nowhere),
    }
}

/// Begins to read the books: what is in them now, and what lies beside them until they take it, as far as that can be
/// read.
async fn read(store: &Store, loaded: &Loaded) -> Result<Reading, UsageError> {
    let settings = &loaded.settings;
    let folder = match (&settings.ledger.spill_dir, &settings.data_dir) {
        (Some(folder), _) | (None, DataDir::Named(folder) | DataDir::Usual(folder)) => folder,
        (None, DataDir::Nowhere) => return Ok(Reading::of(store.clone())),
    };
    let reading = Reading::whole(store.clone(), folder).await?;
    for file in reading.unread() {
        eprintln!("warning: what is not in the database yet is not counted: {file}");
    }
    Ok(reading)
}

/// What is asked for, checked.
#[derive(Debug)]
struct Asked {
    by: Vec<By>,
    only: Vec<(By, String)>,
    range: Range,
    wanted: Wanted,
    zone: TimeZone,
    per_mille: u32,
}

impl Asked {
    fn of(args: &UsageArgs) -> Result<Self, UsageError> {
        let names = args.by.split(',').map(str::trim).filter(|name| !name.is_empty());
        let mut by = Vec::new();
        for name in names {
            let found = By::of(name).ok_or_else(|| UsageError::By(name.to_owned()))?;
            if !by.contains(&found) {
                by.push(found);
            }
        }
        let only = args.only.iter().map(|text| {
            let (what, name) = text.split_once('=')?;
            let by = By::of(what).filter(|by| *by != By::Day)?;
            Some((by, name.to_owned()))
        });
        let only = only.zip(&args.only);
        let only = only.map(|(found, text)| found.ok_or_else(|| UsageError::Only(text.clone())));
        let only = only.collect::<Result<_, _>>()?;
        let zone = match &args.when.time_zone {
            Some(name) => {
                let found = TimeZoneDatabase::bundled().get(name);
                found.map_err(|_| UsageError::Zone(name.clone()))?
            }
            None => TimeZone::system(),
        };
        let wanted = args.when.wanted();
        let range = Range::of(&wanted, now(), &zone)?;
        let per_mille = per_mille(&args.tolerance)
            .ok_or_else(|| UsageError::Tolerance(args.tolerance.clone()))?;
        Ok(Self { by, only, range, wanted, zone, per_mille })
    }

    async fn report(&self, mut reading: Reading) -> Result<Report, UsageError> {
        let mut tally = Tally::new(self.by.clone());
        let extent = reading.extent().await?;
        if let Some(range) = extent.and_then(|extent| extent.within(self.range)) {
            let parts = if tally.is_by_day() {
                days(range, &self.zone)
            } else {
                vec![(Arc::from(""), range)]
            };
            for (day, part) in parts {
                for line in self.lines(&mut reading, part).await? {
                    tally.add(&day, &line);
                }
            }
        }
        let (unbooked, damaged_bytes) = reading.missing(self.range).await?;
        let whole_hours = reading.whole_hours();
        Ok(tally.finish(Remarks { unbooked, damaged_bytes, whole_hours, ..self.remarks() }))
    }

    async fn lines(&self, reading: &mut Reading, range: Range) -> Result<Vec<Line>, UsageError> {
        let mut lines = reading.lines(range).await?;
        lines.retain(|line| self.only.iter().all(|(by, name)| by.is(line, name)));
        Ok(lines)
    }

    async fn explain(
        &self,
        id: &str,
        mut reading: Reading,
        loaded: &Loaded,
    ) -> Result<Exit, UsageError> {
        // Ids have no index, which every booking would pay for: ours tell when they were made, and most others that
        // are asked for are of today. A clock may have been set meanwhile.
        let likely = match RequestId::made_at(id) {
            Some(made) => Range { begin: made.saturating_sub(AN_HOUR), end: made + A_DAY },
            None => Range { begin: now().saturating_sub(A_DAY), end: Range::ALL.end },
        };
        let likely = likely.within(self.range).unwrap_or(self.range);
        let mut entries = reading.entries(id, likely).await?;
        if entries.is_empty() {
            entries = reading.entries(id, self.range).await?;
        }
        if entries.is_empty() {
            return Err(UsageError::Unknown(id.to_owned()));
        }
        Ok(print(&explain(&entries, &loaded.settings.prices, &self.zone), Exit::Done))
    }

    async fn against(
        &self,
        path: &PathBuf,
        mut reading: Reading,
        args: &UsageArgs,
    ) -> Result<Exit, UsageError> {
        let text = fs::read_to_string(path)
            .map_err(|source| UsageError::Read { path: path.clone(), source })?;
        let export = Export::read(&text)
            .map_err(|source| UsageError::Export { path: path.clone(), source })?;
        if export.is_cut {
            eprintln!(
                "warning: the provider has more pages than {}: what is on those is not compared",
                path.display()
            );
        }
        let mut booked = Vec::with_capacity(export.buckets.len());
        for bucket in &export.buckets {
            booked.push(self.lines(&mut reading, bucket.range).await?);
        }
        let comparison = compare(&export, &booked, self.per_mille);
        let text = if args.json { comparison.json() } else { comparison.words() };
        let exit = if comparison.differences.is_empty() { Exit::Done } else { Exit::Differs };
        Ok(print(&text, exit))
    }

    fn remarks(&self) -> Remarks {
        let zone: Arc<str> = self.zone.iana_name().unwrap_or("local time").into();
        let moment = |at: Duration| -> Option<Arc<str>> {
            let at = Timestamp::from_second(i64::try_from(at.as_secs()).ok()?).ok()?;
            Some(at.to_zoned(self.zone.clone()).strftime("%FT%T%:z").to_string().into())
        };
        let Range { begin, end } = self.range;
        let from = moment(begin).filter(|_| begin > Range::ALL.begin);
        let is_over = end < Range::ALL.end && !matches!(self.wanted, Wanted::Last(_));
        let to = moment(end).filter(|_| is_over);
        let range = match (&from, &to) {
            (None, None) => "all that is booked".to_owned(),
            (Some(from), None) => format!("from {from}"),
            (None, Some(to)) => format!("until {to}"),
            (Some(from), Some(to)) => format!("from {from} until {to}"),
        };
        let range = format!("{range}; time zone {zone}").into();
        Remarks { range, from, to, zone, ..Remarks::default() }
    }
}

impl WhenArgs {
    fn wanted(&self) -> Wanted {
        match self {
            Self { last: Some(long), .. } => Wanted::Last((*long).into()),
            Self { today: true, .. } => Wanted::Today,
            Self { month: Some(month), .. } => Wanted::Month(month.clone()),
            Self { from: None, to: None, .. } => Wanted::All,
            Self { from, to, .. } => Wanted::Between(from.clone(), to.clone()),
        }
    }
}

/// Reads percent as thousandths.
fn per_mille(percent: &str) -> Option<u32> {
    let (thousandths, _) = crate::units::scaled(percent, 1)?;
    u32::try_from(thousandths).ok().filter(|thousandths| *thousandths <= 1_000)
}

fn now() -> Duration {
    WallClock::from_system().since_epoch(Instant::now())
}

fn names() -> String {
    By::ALL.map(By::label).join(", ")
}

fn names_but_day() -> String {
    let names = By::ALL.into_iter().filter(|by| *by != By::Day).map(By::label);
    names.collect::<Vec<_>>().join(", ")
}

const AN_HOUR: Duration = Duration::from_secs(3_600);
const A_DAY: Duration = Duration::from_secs(86_400);
