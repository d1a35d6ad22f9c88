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
    /// Something failed, and its pause is over.
    Retry,
    /// A window opens.
    Window,
    /// Another sync, or another agent, let go of what this one waits for.
    Neighbour,
    /// Steps are due to be verified.
    Sweep,
}

/// Triggers that came together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    rung: u8,
}

impl Batch {
    /// Takes one in.
    pub fn add(&mut self, trigger: Trigger) {
        self.rung |= 1 << trigger as u8;
    }

    /// Whether nothing rang.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.rung == 0
    }

    /// Whether the source is looked at.
    #[must_use]
    pub fn asks_source(self) -> bool {
        self.has(&[Trigger::Poll, Trigger::Files, Trigger::Request])
    }

    /// Whether the world is asked what moved. The sweep and a commit have their steps already.
    #[must_use]
    pub fn asks_world(self) -> bool {
        self.has(&[Trigger::Poll, Trigger::Drift, Trigger::Request, Trigger::Window, Trigger::Neighbour])
    }

    /// Whether a person wants everything looked at.
    #[must_use]
    pub fn asks_all(self) -> bool {
        self.has(&[Trigger::Request])
    }

    /// Whether it is time for the slow looks: kinds that are missing, say.
    #[must_use]
    pub fn is_poll(self) -> bool {
        self.has(&[Trigger::Poll, Trigger::Request])
    }

    /// Whether what held steps back may be gone: a window opened, or another sync is ready or let go of something.
    #[must_use]
    pub fn frees(self) -> bool {
        self.has(&[Trigger::Window, Trigger::Neighbour])
    }

    /// Whether another sync or agent said something.
    #[must_use]
    pub fn is_neighbour(self) -> bool {
        self.has(&[Trigger::Neighbour])
    }

    /// Whether the world rang.
    #[must_use]
    pub fn is_drift(self) -> bool {
        self.has(&[Trigger::Drift])
    }

    /// Whether steps are due to be verified.
    #[must_use]
    pub fn is_sweep(self) -> bool {
        self.has(&[Trigger::Sweep])
    }

    fn has(self, triggers: &[Trigger]) -> bool {
        triggers.iter().any(|trigger| self.rung & (1 << *trigger as u8) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(triggers: &[Trigger]) -> Batch {
        let mut batch = Batch::default();
        triggers.iter().for_each(|trigger| batch.add(*trigger));
        batch
    }

    #[test]
    fn a_pass_looks_only_at_what_its_triggers_are_about() {
        assert!(batch(&[]).is_empty());
        for (triggers, source, world) in [
            (vec![Trigger::Files, Trigger::Files], true, false),
            (vec![Trigger::Poll], true, true),
            (vec![Trigger::Drift], false, true),
            (vec![Trigger::Retry], false, false),
            (vec![Trigger::Sweep], false, false),
            (vec![Trigger::Sweep, Trigger::Drift, Trigger::Files], true, true),
        ] {
            let batch = batch(&triggers);
            assert!(!batch.is_empty());
            assert_eq!((batch.asks_source(), batch.asks_world()), (source, world), "{triggers:?}");
        }
        assert!(batch(&[Trigger::Poll, Trigger::Request]).asks_all() && !batch(&[Trigger::Poll]).asks_all());
    }
}
