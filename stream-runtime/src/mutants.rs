//! Nine known mistakes, to show that the tests find them. Compiled in by the feature `mutants` only;
//! `STREAM_MUTANT` then chooses one.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// `overlay`: changed rows count as committed before the commit is.
    Overlay,
    /// `offsets`: a commit holds the offsets of inputs that moved, not of all.
    Offsets,
    /// `store`: the store's checkpoint is written before its rows.
    Store,
    /// `partners`: a record that has gone alone still meets those that come too late for it.
    Partners,
    /// `generation`: what a source said of itself holds in the next generation of the group too.
    Generation,
    /// `forgotten`: a task that starts again has forgotten what its sources have said.
    Forgotten,
    /// `watermark`: a committed offset passes a watermark that has not been taken.
    Watermark,
    /// `open`: a task with an open window says that it has nothing to say.
    Open,
    /// `own`: the time of a record in an internal topic is its writer's.
    Own,
}

/// Whether this mistake is to be made.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub(crate) use chosen::is;

#[cfg(feature = "mutants")]
mod chosen {
    use super::Mutant;
    use std::sync::OnceLock;

    #[cfg(test)]
    thread_local! {
        static HERE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
    }

    /// Makes a mistake on this thread, or none.
    #[cfg(test)]
    pub(crate) fn choose(mutant: Option<Mutant>) {
        HERE.set(mutant);
    }

    /// Whether this mistake is to be made.
    pub(crate) fn is(mutant: Mutant) -> bool {
        static CHOSEN: OnceLock<Option<Mutant>> = OnceLock::new();
        #[cfg(test)]
        if HERE.get() == Some(mutant) {
            return true;
        }
        *CHOSEN.get_or_init(named) == Some(mutant)
    }

    fn named() -> Option<Mutant> {
        match std::env::var("STREAM_MUTANT").ok()?.as_str() {
            "overlay" => Some(Mutant::Overlay),
            "offsets" => Some(Mutant::Offsets),
            "store" => Some(Mutant::Store),
            "partners" => Some(Mutant::Partners),
            "generation" => Some(Mutant::Generation),
            "forgotten" => Some(Mutant::Forgotten),
            "watermark" => Some(Mutant::Watermark),
            "open" => Some(Mutant::Open),
            "own" => Some(Mutant::Own),
            other => panic!(
                "STREAM_MUTANT={other}: overlay, offsets, store, partners, generation, forgotten, watermark, open or own"
            ),
        }
    }
}

#[cfg(all(test, feature = "mutants"))]
pub(crate) use chosen::choose;
