//! Cuts a file into documents before it is read, so that what is wrong with one leaves the others alone.
//!
//! Pure; knows no YAML crate. Called by `yaml`.

/// The documents of a file, cut at its `---` lines, each with the number of its first line.
pub(super) fn chunks(text: &str) -> Vec<(&str, u32)> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut filled, mut at) = (0, 1, false, 0);
    for (number, line) in (1u32..).zip(text.split_inclusive('\n')) {
        let content = line.trim_end();
        if content == "---" || line.starts_with("--- ") || line.starts_with("---\t") {
            if filled {
                chunks.push((&text[start..at], start_line));
                (start, start_line) = (at, number);
            }
            filled = content.len() > 3 && !content[3..].trim_start().starts_with('#');
        } else if !content.is_empty() && !content.trim_start().starts_with('#') && !line.starts_with('%') {
            filled = true;
        }
        at += line.len();
    }
    if filled {
        chunks.push((&text[start..], start_line));
    }
    chunks
}
