//! How often something happens, with decay: who is corrected again and again is left alone for a while.
//!
//! Pure: the clock is handed in. Called by `agent` for every object that it corrects.

use std::time::Duration;

use jiff::Timestamp;

/// More corrections than this within about a minute are a fight.
const LIMIT: f64 = 5.0;
/// The first pause; doubled with every further one.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// Seconds after which the heat is down to 1/e: what goes on at five times a minute stays just about at the limit.
const DECAY: f64 = 60.0;
/// So cool, the fight is over and forgotten.
const COLD: f64 = 0.05;

/// The heat of one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heat {
    level: f64,
    at: Option<Timestamp>,
    pauses: u32,
    until: Option<Timestamp>,
}

impl Heat {
    /// It happened once more. Some with the end of the pause if that is once too often.
    pub fn add(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.cool(now);
        self.level += 1.0;
        if self.level <= LIMIT {
            return None;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(10)).min(LONGEST_PAUSE);
        self.pauses = self.pauses.saturating_add(1);
        self.until = now.checked_add(pause).ok();
        // One more correction after the pause shows whether the fight goes on.
        self.level = LIMIT;
        self.until
    }

    /// Until when it is left alone; none if it is not.
    #[must_use]
    pub fn paused(&self, now: Timestamp) -> Option<Timestamp> {
        self.until.filter(|until| now < *until)
    }

    /// Whether nothing is left of it.
    #[must_use]
    pub fn is_cold(&self, now: Timestamp) -> bool {
        let mut cooled = *self;
        cooled.cool(now);
        cooled.level < COLD && cooled.paused(now).is_none()
    }

    fn cool(&mut self, now: Timestamp) {
        if let Some(at) = self.at {
            // While it is left alone it stays as hot as it was: nothing was corrected because nothing was tried.
            let from = self.until.map_or(at, |until| until.max(at));
            // A clock that was set back cools nothing.
            let seconds = now.duration_since(from).as_secs_f64().max(0.0);
            self.level *= (-seconds / DECAY).exp();
            if self.level < COLD {
                (self.level, self.pauses) = (0.0, 0);
            }
        }
        self.at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    /// Corrected at every one of these seconds at which it is not left alone: the seconds at which it was.
    fn corrected(seconds: impl Iterator<Item = i64>) -> Vec<i64> {
        let mut heat = Heat::default();
        seconds
            .filter(|second| {
                let free = heat.paused(at(*second)).is_none();
                if free {
                    heat.add(at(*second));
                }
                free
            })
            .collect()
    }

    #[test]
    fn five_corrections_in_a_minute_are_no_fight_and_six_are() {
        let mut heat = Heat::default();
        for second in 0..5 {
            assert_eq!(heat.add(at(second)), None);
        }
        assert_eq!(heat.add(at(5)), Some(at(65)));
        assert_eq!(heat.paused(at(64)), Some(at(65)));
        assert_eq!(heat.paused(at(65)), None);
    }

    #[test]
    fn somebody_who_never_gives_up_is_answered_ever_more_seldom() {
        let hour = corrected(0..3_600);
        assert!(hour.len() < 15, "{hour:?}");
        let day = corrected(0..86_400).len() - hour.len();
        assert!((85..=100).contains(&day), "once in 15 minutes: {day}");
    }

    #[test]
    fn one_edit_a_minute_is_never_a_fight() {
        let mut heat = Heat::default();
        assert!((0..1_000).all(|minute| heat.add(at(minute * 60)).is_none()));
    }

    #[test]
    fn after_some_quiet_minutes_all_is_forgotten() {
        let mut heat = Heat::default();
        for second in 0..7 {
            heat.add(at(second));
        }
        assert!(!heat.is_cold(at(70)));
        assert!(heat.is_cold(at(1_000)));
        assert_eq!(heat.add(at(1_000)), None);
        heat = Heat::default();
        assert!(heat.is_cold(at(0)));
    }

    #[test]
    fn a_clock_that_is_set_back_neither_cools_nor_breaks() {
        let mut heat = Heat::default();
        for second in 0..6 {
            heat.add(at(second));
        }
        assert!(heat.paused(at(-1_000)).is_some());
        assert!(heat.add(at(-1_000)).is_some());
    }
}
