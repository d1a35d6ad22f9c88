//! Colour: it means state and nothing else, and every state has a shape too.
//!
//! Codes are taken out again by `anstream` where the output is no terminal or `NO_COLOR` is set.

use anstyle::{AnsiColor, Style};

use crate::report::attention::Tone;

/// How a state looks.
pub(super) fn of(tone: Tone) -> Style {
    match tone {
        Tone::Failed => AnsiColor::Red.on_default(),
        Tone::Moving => AnsiColor::Yellow.on_default(),
        Tone::Off => Style::new().dimmed(),
        Tone::Ready => AnsiColor::Green.on_default(),
    }
}

/// What is less important.
pub(super) const QUIET: Style = Style::new().dimmed();
/// What is read first.
pub(super) const STRONG: Style = Style::new().bold();

/// Text in a style.
pub(super) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Pads by characters, not bytes.
pub(super) fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}

/// Takes out what could steer a terminal: documents are written by others.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
