//! A comparison as Markdown, as a forge shows it under a pull request.
//!
//! Pure. The first line is the verdict; then the worst comes first, each change at most three lines before its fold. Fits
//! a size: folds go first, the least bad before the worst; then whole changes, and what was left out is counted. Nothing
//! in it is taken as markup or as the name of a person. Called by `cli` and by whatever writes to pull requests.

use super::text::{self, Line};
use super::words;
use super::{Comparison, Entry, What};

/// Room kept for the line that counts what was left out, in bytes.
const RESERVE: usize = 300;
/// At most so many problems are listed.
const PROBLEMS: usize = 20;

/// At most `limit` bytes.
#[must_use]
pub fn markdown(comparison: &Comparison, limit: usize) -> String {
    let mut page = opening(comparison);
    let above = std::iter::once(None).chain(comparison.entries.iter().map(Some));
    let heads: Vec<String> = comparison.entries.iter().zip(above).map(|(entry, above)| head(entry, above)).collect();
    let room = limit.saturating_sub(page.len() + RESERVE);
    let all_heads: usize = heads.iter().map(|head| head.len() + 40).sum();
    // Where not even every change fits in one line, the worst still come with what changes in them.
    let mut for_folds = room.saturating_sub(all_heads).max(room / 4);
    let (mut left, mut section) = (room, None);
    let (mut omitted, mut folded) = (Vec::new(), 0);
    for (entry, head) in comparison.entries.iter().zip(heads) {
        let mut piece = String::new();
        if section != Some(entry.what) {
            piece = format!("\n#### {} ({})\n\n", title(entry.what), comparison.count(entry.what));
        }
        piece.push_str(&head);
        if piece.len() > left || !omitted.is_empty() {
            omitted.push(entry.what);
            continue;
        }
        section = Some(entry.what);
        let fold = fold(entry);
        if fold.len() <= for_folds && piece.len() + fold.len() <= left {
            for_folds -= fold.len();
            piece.push_str(&fold);
        } else {
            folded += usize::from(!fold.is_empty());
        }
        left -= piece.len();
        page.push_str(&piece);
    }
    page.push_str(&closing(&omitted, folded));
    page
}

fn opening(comparison: &Comparison) -> String {
    let verdict = match (words::counts(comparison), words::problems(comparison)) {
        (None, None) => "nothing changes".to_owned(),
        (None, Some(problems)) => format!("nothing changes; {problems}"),
        (Some(counts), None) => counts,
        (Some(counts), Some(problems)) => format!("{counts}; {problems}"),
    };
    let mut page = format!("**Windlass: {verdict}**\n\n{} → {}\n", code(&comparison.from), code(&comparison.to));
    if !comparison.problems.is_empty() {
        page.push_str(&format!("\n#### Problems ({})\n\n", comparison.problems.len()));
        for problem in comparison.problems.iter().take(PROBLEMS) {
            page.push_str(&format!("- {}\n", escape(&problem.to_string())));
        }
        if comparison.problems.len() > PROBLEMS {
            page.push_str(&format!("- and {} more\n", comparison.problems.len() - PROBLEMS));
        }
    }
    page
}

fn closing(omitted: &[What], folded: usize) -> String {
    let mut page = String::new();
    if !omitted.is_empty() {
        let counts: Vec<String> = What::ALL
            .iter()
            .map(|what| (omitted.iter().filter(|other| *other == what).count(), *what))
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {}", words::counted(what)))
            .collect();
        page.push_str(&format!("\nNot shown for want of room: {}.\n", counts.join(", ")));
    }
    if folded > 0 {
        page.push_str(&format!("\nOf {folded} changes the details are left out for want of room.\n"));
    }
    page
}

fn title(what: What) -> &'static str {
    match what {
        What::Delete => "Deleted",
        What::Recreate => "Deleted and made again",
        What::Fail => "Will fail",
        What::Refuse => "Refused",
        What::Update => "Changed",
        What::Adopt => "Adopted",
        What::Create => "Created",
        What::Leave => "Kept though not in the repository any more",
    }
}

/// The lines before the fold: name and place; why; and a change that fits beside it.
fn head(entry: &Entry, above: Option<&Entry>) -> String {
    let name = code(&words::name(&entry.id));
    let name = if entry.what <= What::Fail { format!("**{}** {name}", words::verb(entry.what)) } else { name };
    let place = words::place(entry);
    let place = if place.is_empty() { String::new() } else { format!(" · {}", code(&place)) };
    let mut head = format!("- {name}{place}\n");
    if let Some(note) = words::note(entry, above).or(words::because(entry)) {
        head.push_str(&format!("  {}\n", escape(note)));
    }
    if let Some(line) = single(entry) {
        head.push_str(&format!("  {}\n", code(&line)));
    }
    head
}

/// The only change, if it is one line.
fn single(entry: &Entry) -> Option<String> {
    match text::fields(entry).as_slice() {
        [line] => Some(flat(line)),
        _ => None,
    }
}

fn fold(entry: &Entry) -> String {
    let lines: Vec<String> = text::fields(entry).iter().map(flat).collect();
    let (summary, lines) = match (&entry.whole, lines.len()) {
        (Some(whole), _) => {
            let sign = if entry.after.is_some() { '+' } else { '-' };
            let lines: Vec<String> = words::lines(whole).iter().map(|line| format!("{sign} {line}")).collect();
            (if entry.after.is_some() { "the new object" } else { "what goes" }.to_owned(), lines)
        }
        (None, 0 | 1) => return String::new(),
        (None, _) => {
            let count = entry.fields.len();
            let diff = lines.iter().map(|line| as_diff(line)).collect();
            (format!("{count} field{}", if count == 1 { "" } else { "s" }), diff)
        }
    };
    let longest = lines.iter().map(|line| run_of_backticks(line)).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let body = lines.join("\n  ");
    format!("  <details><summary>{summary}</summary>\n\n  {fence}diff\n  {body}\n  {fence}\n\n  </details>\n")
}

fn flat(line: &Line) -> String {
    line.iter().map(|(_, text)| text.as_str()).collect()
}

/// In a diff only the first character of a line gives it a colour: the sign of a line further in moves there.
fn as_diff(line: &str) -> String {
    match line.strip_prefix("  ").and_then(|rest| rest.chars().next()) {
        Some(sign @ ('+' | '-')) => format!("{sign} {}", &line[3..]),
        _ if line.starts_with('~') => format!("!{}", &line[1..]),
        _ => line.to_owned(),
    }
}

/// A text as code, whatever it holds.
fn code(text: &str) -> String {
    let fence = "`".repeat(run_of_backticks(text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') || text.is_empty() { " " } else { "" };
    format!("{fence}{pad}{}{pad}{fence}", words::plain(text))
}

fn run_of_backticks(text: &str) -> usize {
    let runs = text.split(|c| c != '`').map(str::len);
    runs.max().unwrap_or(0)
}

/// A text that is shown as it is: no markup, no link, nobody mentioned.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in words::plain(text).chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => escaped.extend(['\\', c]),
            // A zero-width space keeps `@name` and `#1` from being links.
            '@' | '#' => escaped.extend([c, '\u{200b}']),
            c => escaped.push(c),
        }
    }
    escaped
}
