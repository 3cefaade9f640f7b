//! What to play, from the command line.

use crate::cell::Cell;
use crate::papers;
use crate::play::scenario::Scenario;
use crate::play::scenarios::Size;
use crate::sockets::Extent;

/// The seeds by which figures were tuned; more of them where `--seeds` asks for more.
const SEEN: [u64; 5] = [1, 2, 3, 4, 5];
/// The seeds that were not looked at while tuning.
const UNSEEN: [u64; 5] = [101, 102, 103, 104, 105];

/// What to play.
#[derive(Debug, Default)]
pub(crate) struct Args {
    names: Vec<String>,
    cell: Option<String>,
    seeds: Option<usize>,
    unseen: bool,
    peers: bool,
    full: bool,
    sockets: Option<Sockets>,
    window: Option<u32>,
    style: Style,
}

/// Whether cells are played over sockets, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sockets {
    /// Nothing else is played.
    Only,
    /// They are not.
    Without,
}

/// How the tables are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Style {
    /// One table with everything, and what was missed.
    #[default]
    Judged,
    /// The tables of README and ARCHITECTURE.
    Papers,
    /// These tables are written into README and ARCHITECTURE.
    Written,
}

impl Args {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    ///
    /// Says which argument is not understood.
    pub(crate) fn read(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut read = Self::default();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--cell" => read.cell = Some(value()?),
                "--seeds" => read.seeds = Some(number("--seeds", &value()?)?),
                "--window" => read.window = Some(number("--window", &value()?)?),
                "--unseen" => read.unseen = true,
                "--full" => read.full = true,
                "--peers" => read.peers = true,
                "--sockets" => read.sockets = Some(Sockets::Only),
                "--no-sockets" => read.sockets = Some(Sockets::Without),
                "--markdown" => read.style = Style::Papers,
                "--write" => read.style = Style::Written,
                name if name.starts_with('S') => read.names.push(name.to_owned()),
                other => {
                    return Err(format!("{other}: not known ({KNOWN})"));
                }
            }
        }
        Ok(read)
    }

    /// Tells whether a cell is to be played.
    pub(crate) fn wants(&self, scenario: &Scenario) -> bool {
        let name = self.names.is_empty() || self.names.iter().any(|name| name == scenario.name);
        name && self.cell.as_ref().is_none_or(|part| scenario.cell.contains(part.as_str()))
    }

    /// Tells whether each seed is to be told of.
    pub(crate) fn is_detailed(&self) -> bool {
        !self.names.is_empty() || self.cell.is_some()
    }

    /// Returns how the tables are printed.
    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// Returns how large the cells are.
    pub(crate) fn size(&self) -> Size {
        let windows = if self.full { 3.0 * Size::USUAL.windows } else { Size::USUAL.windows };
        Size { windows, ..Size::USUAL }
    }

    /// Returns the seeds: the given number of those for tuning, at most a hundred, or all ten.
    pub(crate) fn seeds(&self) -> Vec<u64> {
        let most = self.seeds.unwrap_or(usize::MAX);
        match (self.unseen, self.seeds) {
            (true, _) => UNSEEN.into_iter().take(most).collect(),
            (false, Some(_)) => (SEEN[0]..UNSEEN[0]).take(most).collect(),
            (false, None) => SEEN.into_iter().chain(UNSEEN).collect(),
        }
    }

    /// Tells whether it is said how many seeds there are, for those cells too that are usually played with fewer.
    pub(crate) fn has_seeds(&self) -> bool {
        self.seeds.is_some()
    }

    /// Tells whether cells are played in simulated time.
    pub(crate) fn is_simulated(&self) -> bool {
        self.sockets != Some(Sockets::Only)
    }

    /// Returns what is played over sockets: no single cells unless asked for.
    pub(crate) fn sockets(&self) -> Option<Extent> {
        let usual = if self.full { 5 } else { 2 };
        let only = self.sockets == Some(Sockets::Only);
        let wanted = only || self.sockets.is_none() && !self.is_detailed();
        let seed = if self.unseen { UNSEEN[0] } else { SEEN[0] };
        let times = self.seeds.filter(|_| only).unwrap_or(usual);
        let full = self.full || only && self.is_detailed();
        wanted.then_some(Extent { times, full, seed, window: self.window })
    }

    /// Returns in which cells what people do today is played: one of each scenario, and all in full; of single
    /// cells in none unless asked for. It takes some thirty runs for each.
    pub(crate) fn rival_cells(&self, cells: &[Cell]) -> Vec<usize> {
        if self.full || self.peers {
            return (0..cells.len()).filter(|cell| cells[*cell].has_oracle()).collect();
        }
        if self.is_detailed() {
            return Vec::new();
        }
        papers::standing(cells).into_iter().map(|(cell, _)| cell).collect()
    }

    /// Returns the seeds with which that is played.
    pub(crate) fn peer_seeds(&self) -> Vec<u64> {
        let most = if self.full { 10 } else { 3 };
        self.seeds().into_iter().take(most).collect()
    }
}

fn number<T: std::str::FromStr>(flag: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{flag} {text}: not a number"))
}

/// What can be said.
const KNOWN: &str = "S1 .. S18, --cell TEXT, --seeds N, --unseen, --peers, --sockets, --window SECONDS, \
                     --no-sockets, --full, --markdown, --write";
