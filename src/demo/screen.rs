//! The live screen.
//!
//! # Invariants
//!
//! 1. The terminal is given back as it was, however the demo ends: dropping the screen does it, and
//!    so does a panic.

use std::io;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, RenderDirection, Sparkline};
use ratatui::{DefaultTerminal, Frame};

use super::numbers::{grouped, percent, ratio, seconds};
use super::watch::{LaneScene, Scene};

/// The terminal while it shows the demo.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

/// What somebody at the terminal wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// To look on.
    Look,
    /// To leave.
    Stop,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { terminal: ratatui::try_init()? })
    }

    /// Draws; only what has changed is written.
    pub(super) fn show(&mut self, scene: &Scene) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, scene)).map(drop)
    }

    /// Tells what was typed since the last time; does not wait.
    pub(super) fn wish(&self) -> io::Result<Wish> {
        while event::poll(Duration::ZERO)? {
            let Event::Key(key) = event::read()? else { continue };
            let control_c =
                key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            let leave = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc);
            if key.kind == KeyEventKind::Press && (leave || control_c) {
                return Ok(Wish::Stop);
            }
        }
        Ok(Wish::Look)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn draw(frame: &mut Frame<'_>, scene: &Scene) {
    let rows = |lines: &[Line<'_>]| Constraint::Length(u16::try_from(lines.len()).unwrap_or(1));
    let (head, lanes, apps, sums) = (head(scene), lanes(scene), apps(scene), sums(scene));
    let layout = Layout::vertical([
        rows(&head),
        rows(&lanes),
        rows(&apps),
        rows(&sums),
        Constraint::Length(1),
        Constraint::Max(5),
        Constraint::Fill(1),
    ]);
    let width = frame.area().width.min(WIDTH);
    let area = Rect { x: frame.area().x + 1, width: width.saturating_sub(1), ..frame.area() };
    let [top, quota, table, figures, title, chart, _rest] = layout.areas(area);
    for (lines, area) in [(head, top), (lanes, quota), (apps, table), (sums, figures)] {
        frame.render_widget(Paragraph::new(lines), area);
    }
    let now = scene.pace.last().copied().unwrap_or_default();
    let caption = format!("tokens answered a second: {}", grouped(now));
    frame.render_widget(Line::from(caption).dim(), title);
    let newest_first: Vec<u64> = scene.pace.iter().rev().copied().collect();
    let line = Sparkline::default()
        .data(&newest_first)
        .direction(RenderDirection::RightToLeft)
        .style(Style::new().fg(Color::Cyan));
    frame.render_widget(line, chart);
}

/// The widest that is still easy to read.
const WIDTH: u16 = 92;

fn head(scene: &Scene) -> Vec<Line<'static>> {
    let (elapsed, planned) = (scene.elapsed.as_secs(), scene.planned.as_secs());
    let time = if elapsed < planned {
        format!("  {elapsed} s of {planned} s")
    } else {
        "  waiting for the last answers".to_owned()
    };
    vec![
        Line::from(vec!["sluicegate demo".bold(), time.into(), "   q to leave".dim()]),
        Line::from("Three apps share the quotas of two simulated organisations.").dim(),
        Line::default(),
    ]
}

fn lanes(scene: &Scene) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut model = "";
    let mut lanes: Vec<&LaneScene> = scene.lanes.iter().collect();
    lanes.sort_by(|a, b| (&a.model, &a.organisation).cmp(&(&b.model, &b.organisation)));
    for lane in lanes {
        if lane.model != model {
            model = &lane.model;
            let waiting = scene.waiting.iter().find(|(name, _)| name == model);
            let waiting = waiting.map_or(0, |(_, waiting)| *waiting);
            lines.push(Line::from(vec![
                lane.model.clone().bold(),
                format!("   {waiting} waiting in line").into(),
            ]));
        }
        let mut line = vec![Span::from(format!("  {:<8}", lane.organisation))];
        line.extend(bar(lane.used));
        line.push(Span::from(format!(
            " {:>7} of {} per {} s, {} under way",
            percent(lane.used),
            grouped(lane.limit),
            lane.window.as_secs(),
            lane.in_flight
        )));
        lines.push(Line::from(line));
    }
    lines.push(Line::default());
    lines
}

/// Draws a share of [`CELLS`] cells, in eighths of a cell.
fn bar(share: f64) -> [Span<'static>; 2] {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share between 0 and 1 of a small number"
    )]
    let eighths = (share.clamp(0.0, 1.0) * (CELLS * 8) as f64).round() as usize;
    let mut full = "█".repeat(eighths / 8);
    full.extend(EIGHTHS.get(eighths % 8).filter(|part| **part != ' '));
    let empty = CELLS.saturating_sub(full.chars().count());
    [full.fg(Color::Cyan), "░".repeat(empty).dim()]
}

const CELLS: usize = 32;
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

fn apps(scene: &Scene) -> Vec<Line<'static>> {
    let head = format!(
        "{:<12}{:>9}{:>8}{:>14}{:>10}{:>11}{:>11}",
        "App", "answered", "open", "waited p50", "p99", "tokens", "refusals"
    );
    let mut lines = vec![Line::from(head).bold()];
    for (app, tally) in &scene.apps {
        let (p50, p99) = tally.waited();
        lines.push(Line::from(vec![
            Span::from(format!(
                "{:<12}{:>9}{:>8}{:>14}{:>10}{:>11}",
                app.name,
                grouped(tally.done),
                tally.open,
                seconds(p50),
                seconds(p99),
                grouped(tally.tokens),
            )),
            figure(format!("{:>11}", grouped(tally.refused)), tally.refused == 0),
        ]));
    }
    lines.push(Line::default());
    lines
}

fn sums(scene: &Scene) -> Vec<Line<'static>> {
    let seen: u64 = scene.apps.iter().map(|(_, tally)| tally.refused).sum();
    let refused = scene.refused_at_provider;
    let per_1000 = 1000.0 * ratio(refused, refused + scene.admitted);
    let used = scene.quota_used.map_or_else(|| "nobody waits yet".to_owned(), percent);
    vec![
        Line::from(vec![
            "Refusals seen by apps ".into(),
            figure(seen.to_string(), seen == 0),
            "   at the provider ".into(),
            figure(format!("{refused} ({per_1000:.1} per 1,000)"), per_1000 <= 1.0),
            "   quota used ".into(),
            used.bold(),
        ]),
        Line::from(format!(
            "Tokens by the proxy {}   by the provider {}   cost ${}",
            grouped(scene.tokens_proxy),
            grouped(scene.tokens_provider),
            scene.cost,
        )),
        Line::default(),
    ]
}

/// A figure that is green while it is as promised.
fn figure(text: String, as_promised: bool) -> Span<'static> {
    text.bold().fg(if as_promised { Color::Green } else { Color::Red })
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::tally::{Tally, Times};
    use super::super::workload::APPS;
    use super::*;

    #[test]
    fn the_screen_shows_lanes_apps_and_sums_and_fits_any_size() {
        let scene = scene();
        for (width, height) in [(100, 30), (80, 24), (20, 5), (1, 1)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw(frame, &scene)).unwrap();
        }
        let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
        terminal.draw(|frame| draw(frame, &scene)).unwrap();
        let text = terminal.backend().to_string();
        for part in [
            "3 s of 40 s",
            "12 waiting in line",
            "████████████████░░░░░░░░░░░░░░░░  50.0 % of 1,000 per 60 s, 2 under way",
            "classifier          1       0        0.25 s    0.25 s      1,234          0",
            "at the provider 1 (1.0 per 1,000)   quota used 98.7 %",
            "Tokens by the proxy 1,234   by the provider 1,235   cost $0.5",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    fn scene() -> Scene {
        let mut tally = Tally::default();
        let waited = Duration::from_millis(250);
        tally.answered(1234, Times { waited, total: waited });
        Scene {
            elapsed: Duration::from_secs(3),
            planned: Duration::from_secs(40),
            lanes: vec![LaneScene {
                organisation: "north".to_owned(),
                model: "m".to_owned(),
                limit: 1000,
                window: Duration::from_secs(60),
                in_flight: 2,
                used: 0.5,
            }],
            waiting: vec![("m".to_owned(), 12)],
            apps: vec![(APPS[0], tally)],
            refused_at_provider: 1,
            admitted: 999,
            quota_used: Some(0.987),
            tokens_proxy: 1234,
            tokens_provider: 1235,
            cost: "0.5".to_owned(),
            pace: vec![1, 2, 3],
        }
    }
}
