//! Why a pass starts: one closed enum over one channel, coalesced.
//!
//! Pure. A trigger says "look", it never carries data: what is there is read by the pass. Called by `task`.

/// Something that may call for a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The poll interval is over.
    Poll,
    /// Files of a local source changed.
    Files,
    /// The world may have moved.
    Drift,
    /// A person asked: a request file, or an annotation.
    Request,
    /// The last pass failed and its pause is over.
    Retry,
    /// A window opens.
    Window,
    /// Another sync, or another agent, let go of what this one waits for.
    Neighbour,
}

/// Triggers that came together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Only files rang: without a new revision there is nothing to do.
    files: bool,
    /// Anything else.
    full: bool,
}

impl Batch {
    /// Takes one in.
    pub fn add(&mut self, trigger: Trigger) {
        match trigger {
            Trigger::Files => self.files = true,
            Trigger::Poll
            | Trigger::Drift
            | Trigger::Request
            | Trigger::Retry
            | Trigger::Window
            | Trigger::Neighbour => {
                self.full = true;
            }
        }
    }

    /// Whether only a new revision is worth a pass.
    #[must_use]
    pub fn only_new(self) -> bool {
        self.files && !self.full
    }

    /// Whether nothing rang.
    #[must_use]
    pub fn is_empty(self) -> bool {
        !self.files && !self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_events_alone_ask_for_a_look_and_anything_else_for_a_pass() {
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        batch.add(Trigger::Files);
        batch.add(Trigger::Files);
        assert!(batch.only_new());
        batch.add(Trigger::Drift);
        assert!(!batch.only_new() && !batch.is_empty());
    }
}
