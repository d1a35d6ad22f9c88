//! Schedules as Kubernetes takes them: five fields, and none of the extensions that other programs know.
//!
//! Pure. Called by `check`.

use croner::parser::{CronParser, Seconds, Year};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A field: what it is called, its least and greatest number, and names for its numbers from the least on.
type Field = (&'static str, u32, u32, &'static [&'static str]);

const FIELDS: [Field; 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    ("month", 1, 12, &MONTHS),
    ("day of week", 0, 6, &DAYS),
];

/// What is wrong with a schedule.
pub(super) fn check(text: &str) -> Result<(), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() != FIELDS.len() {
        return Err(format!(
            "`spec.schedule` is {text:?}, which is not five fields (minute, hour, day of month, month, day of week). Write \
             it as in `30 4 * * 1-5`; the time zone is a field of its own."
        ));
    }
    let mut fields = Vec::new();
    for (word, field) in words.iter().zip(FIELDS) {
        match spelled_out(word, field) {
            Ok(word) => fields.push(word),
            Err(why) => return Err(format!("`spec.schedule` is {text:?}, whose {} is {word:?}: {why}.", field.0)),
        }
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser
        .parse(&fields.join(" "))
        .map_err(|error| format!("`spec.schedule` is {text:?}, which is no schedule: {error}."))?;
    let start = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    match cron.find_next_occurrence(&start, false) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("`spec.schedule` is {text:?}, which never comes: there is no such day.")),
    }
}

/// A field in numbers. A step behind a single number goes on to the end, which not every parser knows.
fn spelled_out(word: &str, field: Field) -> Result<String, String> {
    let mut parts = Vec::new();
    for part in word.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        if let Some(step) = step
            && step.parse::<u32>().ok().is_none_or(|step| step == 0)
        {
            return Err(format!("the step {step:?} is not a number from 1 up"));
        }
        let range = if range == "*" {
            range.to_owned()
        } else if let Some((first, last)) = range.split_once('-') {
            let (first, last) = (number(first, field)?, number(last, field)?);
            if first > last {
                return Err(format!("the range {range:?} ends before it begins"));
            }
            format!("{first}-{last}")
        } else {
            let first = number(range, field)?;
            if step.is_some() { format!("{first}-{}", field.2) } else { first.to_string() }
        };
        parts.push(step.map_or(range.clone(), |step| format!("{range}/{step}")));
    }
    Ok(parts.join(","))
}

fn number(text: &str, (name, least, most, names): Field) -> Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    if let Some(index) = (least..).zip(names).find_map(|(index, name)| (*name == lower).then_some(index)) {
        return Ok(index);
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>().ok().filter(|_| digits) {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        Some(7) if name == "day of week" => Err("Sunday is 0".to_owned()),
        _ => Err(format!("{text:?} is not a number from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cron_job_takes_is_taken() {
        for text in [
            "* * * * *",
            "*/5 0 1 1 0",
            "0,30 4-6 1-31/2 jan-MAR mon,Fri",
            "59 23 31 12 6",
            "0 0 29 2 *",
            "5/15 * * * *",
            "  0  4 * *\t1 ",
            "15 0-23/6 * JUL,OCT WED",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_it_does_not_take_is_told() {
        for (text, why) in [
            ("", "five fields"),
            ("@daily", "five fields"),
            ("0 * * * * *", "five fields"),
            ("TZ=UTC 0 4 * * *", "five fields"),
            ("60 * * * *", "whose minute is \"60\": \"60\" is not a number from 0 to 59"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of month"),
            ("* * L * *", "day of month"),
            ("* * 15W * *", "day of month"),
            ("* * * 13 *", "month"),
            ("* * * * 7", "Sunday is 0"),
            ("* * * * 1#2", "day of week"),
            ("* * * * friday", "day of week"),
            ("*/0 * * * *", "the step \"0\""),
            ("10-5 * * * *", "ends before it begins"),
            ("1,,2 * * * *", "minute"),
            ("+1 * * * *", "minute"),
            ("? * * * *", "minute"),
            ("0 0 30 2 *", "never comes"),
        ] {
            let told = check(text).expect_err(text);
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
