//! `sluicegate apps`: programs with keys of their own, in the store.
//!
//! Every change is in the store when the command ends, and programs that run have it: the one that the configuration
//! names is told, and any other looks within two seconds.

mod granted;
mod list;
mod tell;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use thiserror::Error;
use tokio::time::Instant;

use self::granted::{BudgetArgs, Granted};
use super::exit::{CliError, Exit};
use super::{outside, print};
use crate::auth::KEY_PREFIX;
use crate::clock::WallClock;
use crate::config::{DataDir, Flags, Keys, Settings, UtcTime};
use crate::ledger::{AppTerms, KeptApp, KeptApps, Store, StoreError};
use crate::units::{AppName, KeyDigest};

/// What to do with apps.
#[derive(Debug, Args)]
pub(super) struct AppsArgs {
    #[command(subcommand)]
    command: AppsCommand,
    /// The configuration [default: as for `serve`]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where apps are kept [default: as for `serve`]
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<String>,
    /// Where a running program is told [default: as for `serve`]
    #[arg(long, value_name = "ADDR", global = true)]
    admin: Option<String>,
}

#[derive(Debug, Subcommand)]
enum AppsCommand {
    /// Add an app, and print its key: this once, as only its digest is kept.
    Add {
        /// Its name in logs, metrics and reports.
        name: String,
        #[command(flatten)]
        granted: Granted,
        /// Do not ask whether programs are to need keys from now on.
        #[arg(long)]
        yes: bool,
    },
    /// List all apps, those of the configuration too; never their keys.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give an app another key, and print it. The old one stops to work at once.
    Rotate {
        /// The app.
        name: String,
        /// How long the old key still works, such as 1h.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        overlap: Option<Duration>,
    },
    /// Let an app in no more: its keys stop to work at once, and what waits in line is refused; what is under way ends
    /// well.
    Revoke {
        /// The app.
        name: String,
        /// Also forget that there was such an app. Without any app, programs on this machine need no keys again.
        #[arg(long)]
        forget: bool,
    },
    /// Change what an app may use and ask for; what is not said stays. `none` lifts a limit.
    Limit {
        /// The app.
        name: String,
        #[command(flatten)]
        granted: Granted,
    },
    /// Say how much money an app may spend, as under `[[budgets]]`.
    Budget {
        /// The app.
        name: String,
        #[command(flatten)]
        budget: BudgetArgs,
    },
}

/// Why apps cannot be shown or changed.
#[derive(Debug, Error)]
pub enum AppsError {
    /// Nothing is kept.
    #[error("there is no place to keep apps in: `data_dir` is empty, and there is no `ledger.url`")]
    Nowhere,
    /// The store cannot be used.
    #[error("the apps cannot be read or changed")]
    Store(#[from] StoreError),
    /// A name, a number or a time makes no sense; nothing has changed.
    #[error("{what} is {found:?}, but {rule}")]
    Wrong {
        /// What was given.
        what: &'static str,
        /// As what.
        found: String,
        /// What would be right.
        rule: &'static str,
    },
    /// There is no such app in the store.
    #[error("there is no app `{name}`{}; `sluicegate apps list` shows all", there(*configured))]
    Unknown {
        /// Its name.
        name: AppName,
        /// Whether the configuration has it.
        configured: bool,
    },
    /// There is one already.
    #[error("there is an app `{name}` already{}", there(*configured))]
    Exists {
        /// Its name.
        name: AppName,
        /// Whether the configuration has it.
        configured: bool,
    },
    /// Nobody said yes.
    #[error("nothing has changed: say --yes if programs are to need keys from now on")]
    NotAgreed,
    /// Somebody else changed the app at this moment.
    #[error("somebody else has just changed `{name}`: look, and say it again")]
    Overtaken {
        /// The app.
        name: AppName,
    },
    /// The budget is none.
    #[error("this is no budget: {0}")]
    Budget(String),
}

const fn there(configured: bool) -> &'static str {
    if configured { " in the store: the configuration has it, and is changed by hand" } else { "" }
}

/// Does what is asked for.
pub(super) async fn run(args: &AppsArgs) -> Result<Exit, CliError> {
    let flags = Flags {
        config: args.config.clone(),
        data_dir: args.data_dir.clone(),
        admin: args.admin.clone(),
        keys: Keys::Unused,
        ..Flags::default()
    };
    let settings = outside::load(&flags)?.settings;
    let office = Office::open(settings).await?;
    let exit = office.run(&args.command).await?;
    office.store.close().await;
    Ok(exit)
}

/// Where apps are looked after.
struct Office {
    settings: Settings,
    store: Store,
    kept: KeptApps,
    now: Duration,
}

impl Office {
    async fn open(settings: Settings) -> Result<Self, AppsError> {
        let store = match (&settings.ledger.url, &settings.data_dir) {
            (Some(url), _) => Store::at(url)?,
            (None, DataDir::Named(folder) | DataDir::Usual(folder)) => Store::place(folder)?,
            (None, DataDir::Nowhere) => return Err(AppsError::Nowhere),
        };
        store.update().await?;
        let kept = store.apps().await?;
        let now = WallClock::from_system().since_epoch(Instant::now());
        Ok(Self { settings, store, kept, now })
    }

    async fn run(&self, command: &AppsCommand) -> Result<Exit, AppsError> {
        match command {
            AppsCommand::Add { name, granted, yes } => self.add(name, granted, *yes).await,
            AppsCommand::List { json } => {
                let all = list::Listed::all(&self.settings, &self.kept, self.now);
                Ok(print(&if *json { list::json(&all) } else { list::table(&all) }, Exit::Done))
            }
            AppsCommand::Rotate { name, overlap } => self.rotate(self.find(name)?, *overlap).await,
            AppsCommand::Revoke { name, forget } => self.revoke(name, *forget).await,
            AppsCommand::Limit { name, granted } => {
                let app = self.find(name)?;
                let mut terms = app.terms.clone();
                granted.apply(&mut terms, self.now)?;
                self.change(app, &terms).await
            }
            AppsCommand::Budget { name, budget } => {
                let app = self.find(name)?;
                let terms = AppTerms { budget: budget.lines(&app.name)?, ..app.terms.clone() };
                self.change(app, &terms).await
            }
        }
    }

    async fn add(&self, name: &str, granted: &Granted, yes: bool) -> Result<Exit, AppsError> {
        let name = named(name)?;
        let configured = self.is_configured(&name);
        let is_there =
            self.kept.apps.iter().any(|app| app.name == name && app.revoked_at.is_none());
        if configured || is_there {
            return Err(AppsError::Exists { name, configured });
        }
        let mut terms = AppTerms::default();
        granted.apply(&mut terms, self.now)?;
        if self.kept.apps.is_empty() && self.settings.apps.is_empty() && !yes {
            agree()?;
        }
        let key = new_key();
        self.store.add_app((&name, &terms), KeyDigest::of(&key), self.now).await?;
        tell::changed(&self.settings, &self.store.identity()).await;
        eprintln!("`{name}` sends this as its API key; it is shown only now:");
        Ok(print(&format!("{key}\n"), Exit::Done))
    }

    async fn rotate(&self, app: &KeptApp, overlap: Option<Duration>) -> Result<Exit, AppsError> {
        let (name, key) = (&app.name, new_key());
        let until = overlap.map(|overlap| self.now.saturating_add(overlap));
        self.store.rotate_app(name, (KeyDigest::of(&key), until), self.now).await?;
        tell::changed(&self.settings, &self.store.identity()).await;
        match until {
            Some(until) => {
                eprintln!("the old key of `{name}` works until {}", UtcTime(until).text());
            }
            None => eprintln!("the old key of `{name}` works no more"),
        }
        eprintln!("`{name}` sends this as its API key; it is shown only now:");
        Ok(print(&format!("{key}\n"), Exit::Done))
    }

    async fn revoke(&self, name: &str, forget: bool) -> Result<Exit, AppsError> {
        let name = named(name)?;
        if forget {
            let is_known = self.kept.apps.iter().any(|app| app.name == name);
            if !is_known {
                return Err(self.unknown(name));
            }
            self.store.forget_app(&name).await?;
            if self.kept.apps.len() == 1 && self.settings.apps.is_empty() {
                let told = match self.settings.server.listen.ip().is_loopback() {
                    true => "programs on this machine need no keys",
                    false => "nobody is let in, as other machines can connect",
                };
                eprintln!("there is no app any more: {told}");
            }
        } else {
            self.store.revoke_app(&self.find(name.as_str())?.name, self.now).await?;
        }
        eprintln!(
            "no key of `{name}` works any more; what waits is refused, what is under way ends well"
        );
        tell::changed(&self.settings, &self.store.identity()).await;
        Ok(Exit::Done)
    }

    async fn change(&self, app: &KeptApp, terms: &AppTerms) -> Result<Exit, AppsError> {
        let name = &app.name;
        if !self.store.change_app(name, (&app.terms, terms)).await? {
            return Err(AppsError::Overtaken { name: name.clone() });
        }
        tell::changed(&self.settings, &self.store.identity()).await;
        let app = KeptApp { terms: terms.clone(), ..app.clone() };
        let kept = KeptApps { apps: vec![app], ..KeptApps::default() };
        let none = Settings { apps: Vec::new(), ..self.settings.clone() };
        let listed = list::Listed::all(&none, &kept, self.now);
        Ok(print(&list::table(&listed), Exit::Done))
    }

    /// Returns the app of that name that is in the store and not revoked.
    fn find(&self, name: &str) -> Result<&KeptApp, AppsError> {
        let name = named(name)?;
        let found = self.kept.apps.iter().find(|app| app.name == name && app.revoked_at.is_none());
        found.ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: AppName) -> AppsError {
        AppsError::Unknown { configured: self.is_configured(&name), name }
    }

    fn is_configured(&self, name: &AppName) -> bool {
        self.settings.apps.iter().any(|app| app.name == *name)
    }
}

/// Returns a key that nobody can guess: 256 random bits.
fn new_key() -> String {
    let bits: [u8; 32] = rand::random();
    let digits: String = bits.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{KEY_PREFIX}{digits}")
}

fn named(name: &str) -> Result<AppName, AppsError> {
    let is_fine =
        (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_fine {
        return Ok(AppName::new(name));
    }
    let rule = "it must have 1 to 64 printable ASCII characters, without blanks";
    Err(AppsError::Wrong { what: "the name", found: name.to_owned(), rule })
}

/// Asks whether programs are to need keys from now on.
fn agree() -> Result<(), AppsError> {
    eprintln!(
        "This is the first app. From now on every program must send the key of an app: those that are let in \
         without one today, because they run on this machine, get 401."
    );
    if !io::stdin().is_terminal() {
        return Err(AppsError::NotAgreed);
    }
    eprint!("Go on? [y/N] ");
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    let agreed = read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes");
    if agreed { Ok(()) } else { Err(AppsError::NotAgreed) }
}
