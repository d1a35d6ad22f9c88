//! A `checkCMD` line, read as a question to a server. Nothing is ever run: what is not understood is a problem.
//!
//! Pure.

use crate::plan::probe;

/// A question that a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) url: String,
    pub(super) seconds: u32,
}

/// Options of curl without a value that change nothing about the question.
const CURL_PLAIN: &[&str] = &[
    "-s",
    "--silent",
    "-S",
    "--show-error",
    "-f",
    "--fail",
    "-L",
    "--location",
    "-4",
    "--ipv4",
    "-6",
    "--ipv6",
    "-g",
    "--globoff",
    "--fail-with-body",
    "-N",
    "--no-buffer",
    "--http1.1",
    "--compressed",
];
/// Options of curl whose value changes nothing about the question: a probe has retries and limits of its own.
const CURL_VALUED: &[&str] = &["-o", "--output", "--retry", "--retry-delay", "--retry-max-time", "-A", "--user-agent"];

/// Reads a line as for `curl`, `wget --spider` or `nc -z`.
pub(super) fn read(line: &str) -> Result<Ask, String> {
    let words = words(line)?;
    let mut words = words.iter().map(String::as_str);
    let ask = match words.next() {
        Some("curl" | "/usr/bin/curl") => curl(words)?,
        Some("wget" | "/usr/bin/wget") => wget(words)?,
        Some("nc" | "ncat" | "/usr/bin/nc") => nc(words)?,
        _ => return Err("is not a line for curl, wget --spider or nc -z".to_owned()),
    };
    probe::address(&ask.url)?;
    Ok(ask)
}

fn curl<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Ask, String> {
    let (mut method, mut url, mut seconds) = ("GET", None, probe::MOST_SECONDS);
    while let Some(word) = words.next() {
        let (option, given) = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(value)),
            _ => (word, None),
        };
        let mut value = || given.or_else(|| words.next()).ok_or_else(|| format!("gives {option} no value"));
        match option {
            "-I" | "--head" => method = "HEAD",
            "-X" | "--request" => {
                method = match value()? {
                    "GET" => "GET",
                    "HEAD" => "HEAD",
                    _ => return Err("asks with a method other than GET and HEAD".to_owned()),
                }
            }
            "-m" | "--max-time" | "--connect-timeout" => seconds = within(value()?)?.min(seconds),
            "--url" => url = Some(value()?.to_owned()),
            option if CURL_PLAIN.contains(&option) => {}
            option if CURL_VALUED.contains(&option) => _ = value()?,
            // Short options in one word, as in -sSfI.
            option if option.len() > 2 && option.starts_with('-') && !option.starts_with("--") => {
                for letter in option.chars().skip(1) {
                    match letter {
                        'I' => method = "HEAD",
                        letter if CURL_PLAIN.contains(&format!("-{letter}").as_str()) => {}
                        'o' if option.ends_with('o') => _ = value()?,
                        _ => return Err(format!("has {option}, which a probe cannot do")),
                    }
                }
            }
            option if option.starts_with('-') => return Err(format!("has {option}, which a probe cannot do")),
            word if url.is_none() => url = Some(word.to_owned()),
            _ => return Err("names more than one URL".to_owned()),
        }
    }
    Ok(Ask { method, url: with_protocol(url)?, seconds })
}

fn wget<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Ask, String> {
    let (mut spider, mut url, mut seconds) = (false, None, probe::MOST_SECONDS);
    while let Some(word) = words.next() {
        let (option, given) = word.split_once('=').map_or((word, None), |(option, value)| (option, Some(value)));
        match option {
            "--spider" => spider = true,
            "-q" | "--quiet" | "-nv" | "--no-verbose" => {}
            "-T" | "--timeout" => {
                seconds = within(given.or_else(|| words.next()).ok_or("gives --timeout no value")?)?.min(seconds);
            }
            "-t" | "--tries" | "-O" | "--output-document" => {
                _ = given.or_else(|| words.next());
            }
            option if option.starts_with('-') => return Err(format!("has {option}, which a probe cannot do")),
            _ if url.is_none() => url = Some(word.to_owned()),
            _ => return Err("names more than one URL".to_owned()),
        }
    }
    let method = if spider { "HEAD" } else { "GET" };
    Ok(Ask { method, url: with_protocol(url)?, seconds })
}

fn nc<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Ask, String> {
    let (mut only_connects, mut place, mut seconds) = (false, Vec::new(), probe::MOST_SECONDS);
    while let Some(word) = words.next() {
        match word {
            "-z" => only_connects = true,
            "-v" | "-n" => {}
            "-zv" | "-vz" => only_connects = true,
            "-w" => seconds = within(words.next().ok_or("gives -w no value")?)?.min(seconds),
            word if word.starts_with('-') => return Err(format!("has {word}, which a probe cannot do")),
            word => place.push(word),
        }
    }
    let [host, port] = place[..] else { return Err("has to name one host and one port".to_owned()) };
    if !only_connects {
        return Err("has no -z, and a probe sends nothing".to_owned());
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Ok(Ask { method: "TCP", url: format!("tcp://{host}:{port}"), seconds })
}

/// curl and wget take `host/path` for http.
fn with_protocol(url: Option<String>) -> Result<String, String> {
    let url = url.ok_or("names no URL")?;
    match url.split_once("://") {
        Some(("http" | "https", _)) => Ok(url),
        Some(_) => Err("asks with a protocol other than http and https".to_owned()),
        None => Ok(format!("http://{url}")),
    }
}

/// A time limit, cut to what a probe may take.
fn within(text: &str) -> Result<u32, String> {
    let seconds: f64 = text.parse().map_err(|_| "has a time that is no number".to_owned())?;
    if !seconds.is_finite() || seconds <= 0.0 {
        return Err("has a time that is not above 0".to_owned());
    }
    let most = f64::from(probe::MOST_SECONDS);
    (1..=probe::MOST_SECONDS)
        .find(|whole| f64::from(*whole) >= seconds.min(most))
        .ok_or_else(|| "has no time".to_owned())
}

/// The words of a line, quotes taken off. Anything that only a shell could do is refused; output that is thrown away is
/// left out.
fn words(line: &str) -> Result<Vec<String>, String> {
    let line = ["2>&1", ">/dev/null", "> /dev/null", "1>/dev/null", "2>/dev/null", "2> /dev/null", "&>/dev/null"]
        .iter()
        .rev()
        .fold(line.to_owned(), |line, thrown| line.replace(thrown, " "));
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in line.trim().chars() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (Some('"'), '$' | '`' | '\\')
            | (None, '$' | '`' | '\\' | '|' | ';' | '&' | '<' | '>' | '(' | ')' | '\n') => {
                return Err(format!("holds {letter:?}, which only a shell understands; no shell is run"));
            }
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("opens a quote that it does not close".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> (&'static str, String, u32) {
        let ask = read(line).unwrap_or_else(|why| panic!("{line}: {why}"));
        (ask.method, ask.url, ask.seconds)
    }

    #[test]
    fn lines_as_people_write_them_become_questions() {
        let duc = "https://id.cosmoplat.com/duc";
        for (line, method, url, seconds) in [
            ("curl --output /dev/null --silent --head --fail https://id.cosmoplat.com/duc", "HEAD", duc, 5),
            ("curl -sSfI https://id.cosmoplat.com/duc >/dev/null 2>&1", "HEAD", duc, 5),
            ("curl -so /dev/null 'https://id.cosmoplat.com/duc'", "GET", duc, 5),
            ("curl -X HEAD --max-time=1.5 --url \"https://id.cosmoplat.com/duc\"", "HEAD", duc, 2),
            ("curl -f -m 60 db.example.com:8080/health", "GET", "http://db.example.com:8080/health", 5),
            ("wget -q --spider --timeout=3 https://id.cosmoplat.com/duc", "HEAD", duc, 3),
            ("nc -z -w 2 db.example.com 3306", "TCP", "tcp://db.example.com:3306", 2),
        ] {
            assert_eq!(ask(line), (method, url.to_owned(), seconds), "{line}");
        }
    }

    #[test]
    fn what_only_a_shell_could_do_is_refused() {
        for line in [
            "",
            "mysqladmin ping -h db",
            "curl https://a/ | grep ok",
            "curl https://a/; rm -rf /",
            "curl https://a/ && true",
            "curl $(cat /etc/passwd)",
            "curl `id`",
            "curl \"https://$HOST/\"",
            "curl https://a/ > /tmp/x",
            "curl --upload-file /etc/passwd https://a/",
            "curl -d @/etc/passwd https://a/",
            "curl -k https://a/",
            "curl -u user:password https://a/",
            "curl file:///etc/passwd",
            "curl https://a/ https://b/",
            "curl 'https://a/",
            "curl -X POST https://a/",
            "curl http://169.254.169.254/latest",
            "curl -m x https://a/",
            "nc db 3306",
            "nc -z db",
            "sh -c true",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
