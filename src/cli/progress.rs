//! What `up` and `down` say while they work: lines, a live status line on a terminal, or JSON.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use provision::execute::{Event, EventKind, Progress};

use super::arguments::Format;
use super::output::{self, GREEN, RED, YELLOW};

/// How often the same wait is said again where nobody watches live.
const REPEAT: Duration = Duration::from_secs(10);
/// No terminal is wider.
const LINE: usize = 400;

/// Tells a person or a program what happens.
pub(crate) struct Screen {
    format: Format,
    live: bool,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<String, Wait>,
}

struct Wait {
    words: String,
    said: Option<Instant>,
}

impl Screen {
    /// A screen for standard error, or JSON lines on standard output.
    pub(crate) fn new(format: Format) -> Self {
        Self { format, live: output::is_live(), began: Instant::now(), state: Mutex::default() }
    }

    /// Takes the live line away, before something else is printed.
    pub(crate) fn clear(&self) {
        if self.live && self.format == Format::Text {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }

    /// What went wrong, in either format: a program reads the events, and whoever runs it this.
    pub(crate) fn warn(&self, line: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// One line beside the events.
    pub(crate) fn say(&self, line: &str) {
        if self.format == Format::Text {
            self.clear();
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }

    fn text(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let took = seconds(event.elapsed_ms);
        let line = match &event.kind {
            EventKind::Started => return,
            EventKind::Done { id } => {
                state.waiting.remove(&event.label);
                let id = id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
                Some(format!("{} {}{id} ({took})", output::paint("done", GREEN), event.label))
            }
            EventKind::Failed { error } => {
                state.waiting.remove(&event.label);
                let error = output::after_label(&event.label, error);
                Some(format!("{} {} ({took}): {error}", output::paint("failed", RED), event.label))
            }
            EventKind::Stopped => {
                state.waiting.remove(&event.label);
                None
            }
            EventKind::Retrying { reason, delay_ms } => Some(format!(
                "{} {} in {}: {}",
                output::paint("again", YELLOW),
                event.label,
                seconds(*delay_ms),
                output::after_label(&event.label, reason)
            )),
            EventKind::Waiting { what, last_state, likely_cause } => {
                let cause = likely_cause.as_ref().map(|c| format!("; likely: {c}")).unwrap_or_default();
                let words = format!("{what}: {last_state}{cause}");
                self.waiting(&mut state, &event.label, &words, &took)
            }
        };
        self.show(&state, line.as_deref());
    }

    /// A line for a wait, unless it is shown live or was said a moment ago.
    fn waiting(&self, state: &mut State, label: &str, words: &str, took: &str) -> Option<String> {
        let wait = state.waiting.entry(label.to_owned()).or_insert(Wait { words: String::new(), said: None });
        let due = wait.said.is_none_or(|said| said.elapsed() >= REPEAT);
        words.clone_into(&mut wait.words);
        if self.live || !due {
            return None;
        }
        wait.said = Some(Instant::now());
        Some(format!("wait {label} ({took}): {words}"))
    }

    fn show(&self, state: &State, line: Option<&str>) {
        let mut err = std::io::stderr().lock();
        let clock = format!("{:>6.1}s", self.began.elapsed().as_secs_f64());
        if self.live {
            let _ = write!(err, "\r\x1b[K");
        }
        if let Some(line) = line {
            let _ = writeln!(err, "{clock} {line}");
        }
        if self.live {
            let waits: Vec<String> =
                state.waiting.iter().map(|(label, wait)| format!("{label}: {}", wait.words)).collect();
            let text: String = format!("{clock} {}", waits.join(" | ")).chars().take(LINE).collect();
            // Cut at the terminal's edge, however wide it is: a line that wraps cannot be taken back.
            let _ = write!(err, "\x1b[?7l{text}\x1b[?7h");
            let _ = err.flush();
        }
    }
}

impl Progress for Screen {
    fn event(&self, event: Event) {
        match self.format {
            Format::Text => self.text(&event),
            Format::Json => {
                if let Ok(line) = serde_json::to_string(&event) {
                    let _ = writeln!(std::io::stdout().lock(), "{line}");
                }
            }
        }
    }
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}
