//! The windows of one key that follow its records: sessions, and sliding windows as Kafka Streams means them.

use std::ops::Range;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

/// One window `[start, end)` of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span<V> {
    pub(super) start: i64,
    pub(super) end: i64,
    /// Time of its latest record.
    pub(super) last: i64,
    pub(super) value: V,
    /// What it was when it closed, where `value` has changed since.
    pub(super) closed_as: Option<V>,
    /// Over before it began: nobody is ever told of it, but later windows begin with what it has.
    pub(super) silent: bool,
}

impl<V> Span<V> {
    /// What it came to, for a reader.
    pub(super) fn result(&self) -> &V {
        self.closed_as.as_ref().unwrap_or(&self.value)
    }
}

/// The windows of one key, sorted by their ends: a row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Spans<V>(pub(super) Vec<Span<V>>);

impl<V> Default for Spans<V> {
    fn default() -> Self {
        Spans(Vec::new())
    }
}

/// What a change did to the windows of a key, for the order in which they close.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Moves {
    /// Ends of windows that are no more.
    pub(super) gone: Vec<i64>,
    /// Ends of windows that are new, and whether they are silent.
    pub(super) new: Vec<(i64, bool)>,
}

/// A session as it is with one more record.
#[derive(Debug, PartialEq)]
pub(super) struct Joined {
    pub(super) start: i64,
    pub(super) last: i64,
    /// Sessions that become part of it.
    pub(super) parts: Vec<usize>,
}

impl<V> Spans<V> {
    /// The session of a record at `time`, and the open sessions that it joins: those at most `gap` away.
    pub(super) fn joined(&self, time: i64, gap: i64, open: impl Fn(&Span<V>) -> bool) -> Joined {
        let mut joined = Joined {
            start: time,
            last: time,
            parts: Vec::new(),
        };
        for (at, span) in self.0.iter().enumerate() {
            let near =
                time.saturating_sub(span.last) <= gap && span.start.saturating_sub(time) <= gap;
            if near && open(span) {
                joined.start = joined.start.min(span.start);
                joined.last = joined.last.max(span.last);
                joined.parts.push(at);
            }
        }
        joined
    }
}

impl<V: Default> Spans<V> {
    /// Joins the sessions and changes what they have become.
    pub(super) fn join(
        &mut self,
        joined: &Joined,
        gap: i64,
        merge: fn(&mut V, V),
        f: &mut dyn FnMut(&mut V),
        moves: &mut Moves,
    ) {
        let end = joined.last.saturating_add(gap).saturating_add(1);
        // Sorted by end, and open sessions do not overlap: earlier first.
        let parts = joined.parts.iter().rev();
        let mut later: Vec<Span<V>> = parts.map(|&at| self.0.remove(at)).collect();
        let mut value = match later.pop() {
            Some(first) => {
                moves.gone.push(first.end);
                first.value
            }
            None => V::default(),
        };
        while let Some(next) = later.pop() {
            moves.gone.push(next.end);
            merge(&mut value, next.value);
        }
        f(&mut value);
        moves.new.push((end, false));
        self.insert(Span {
            start: joined.start,
            end,
            last: joined.last,
            value,
            closed_as: None,
            silent: false,
        });
    }
}

impl<V> Spans<V> {
    /// Whether two rows are the same, by what `same` says of two values.
    pub(super) fn same(&self, other: &Self, same: fn(&V, &V) -> Option<bool>) -> Option<bool> {
        if self.0.len() != other.0.len() {
            return Some(false);
        }
        for (a, b) in self.0.iter().zip(&other.0) {
            let times = |span: &Span<V>| (span.start, span.end, span.last, span.silent);
            let closed = match (&a.closed_as, &b.closed_as) {
                (Some(a), Some(b)) => same(a, b)?,
                (a, b) => a.is_none() && b.is_none(),
            };
            if times(a) != times(b) || !closed || !same(&a.value, &b.value)? {
                return Some(false);
            }
        }
        Some(true)
    }

    fn insert(&mut self, span: Span<V>) {
        let at = self.0.partition_point(|s| s.end <= span.end);
        self.0.insert(at, span);
    }

    /// Start, end and value of the windows that close or have closed.
    #[cfg(test)]
    pub(crate) fn told(&self) -> impl Iterator<Item = (i64, i64, &V)> {
        let told = self.0.iter().filter(|s| !s.silent);
        told.map(|s| (s.start, s.end, &s.value))
    }

    /// The window with this end.
    pub(super) fn find(&self, end: i64) -> Option<&Span<V>> {
        let from = self.0.partition_point(|s| s.end < end);
        self.0.get(from).filter(|s| s.end == end)
    }

    /// Windows that end in the range of `last record + 1` ends.
    fn between(&self, ends: Range<i64>) -> Range<usize> {
        self.0.partition_point(|s| s.end < ends.start)..self.0.partition_point(|s| s.end < ends.end)
    }

    /// What the records of `[time - size, time]` came to, and how; `None` when there are none.
    pub(super) fn slide_at(&self, time: i64, size: i64) -> Option<&V> {
        let at = self.0.partition_point(|s| s.end <= time.saturating_add(1));
        let span = self.0[..at].last()?;
        let ends_here = span.end - 1 == time;
        (span.last >= time.saturating_sub(size)).then(|| match ends_here {
            true => span.result(),
            // Another window than the one that closed, with the same records.
            false => &span.value,
        })
    }

    /// Sliding windows of the row that hold `time`.
    pub(super) fn holding(&self, time: i64, size: i64) -> &[Span<V>] {
        let from = time.saturating_add(1);
        let to = from.saturating_add(size).saturating_add(1);
        &self.0[self.between(from..to)]
    }
}

/// How long sliding windows are needed after they have closed: a record that is late for some windows and not for all
/// looks at the one before it, which begins up to two sizes before the first window that is still open.
pub(super) const fn kept_for(size: i64) -> i64 {
    size.saturating_mul(2).saturating_add(2)
}

/// What [`Spans::slide`] asks about a window.
pub(super) struct Sliding<'a, V> {
    pub(super) size: i64,
    /// Whether a window with this end takes no more records.
    pub(super) late: &'a dyn Fn(i64) -> bool,
    /// Whether no window that has yet to close needs one with this end: whether it is still there is a matter of
    /// commits.
    pub(super) spent: &'a dyn Fn(i64) -> bool,
    /// Whether this window has closed and its result may still be read.
    pub(super) sealed: &'a dyn Fn(&Span<V>) -> bool,
}

impl<V: Clone + Default> Spans<V> {
    /// A record at `time`: changes the windows that hold it, and begins those whose content begins with it. A window
    /// begins where the content changes: it ends with a record, or right behind the time at which one falls out of it.
    ///
    /// Windows that are over take part silently, so that what begins later has all its records.
    pub(super) fn slide(
        &mut self,
        time: i64,
        how: &Sliding<'_, V>,
        f: &mut dyn FnMut(&mut V),
        moves: &mut Moves,
    ) {
        let size = how.size;
        // A window is known by the last time it holds.
        let own_end = time.saturating_add(1);
        let holding = self.between(own_end..own_end.saturating_add(size).saturating_add(1));
        let ends_here = self.0.get(holding.start).filter(|s| s.end == own_end);
        let before = holding.start.checked_sub(1).map(|at| &self.0[at]);
        let before = before.filter(|s| !(how.spent)(s.end));
        let previous = match ends_here {
            Some(span) if span.last < time => Some(span.last),
            // Another record had this time: every window there is to be has begun.
            Some(_) => None,
            None => before.map(|s| s.last),
        };
        let own = match ends_here {
            Some(_) => None,
            None => Some(
                before
                    .filter(|s| s.last >= time.saturating_sub(size))
                    .map(|s| s.value.clone())
                    .unwrap_or_default(),
            ),
        };
        // The records behind this one, without it.
        let behind = self.0[holding.clone()]
            .last()
            .filter(|s| s.last > time)
            .map(|s| (s.last, s.value.clone()));
        for span in &mut self.0[holding] {
            if span.closed_as.is_none() && (how.sealed)(span) {
                span.closed_as = Some(span.value.clone());
            }
            f(&mut span.value);
            span.last = span.last.max(time);
        }
        let mut begin = |spans: &mut Self, e: i64, last: i64, value: V| {
            let end = e.saturating_add(1);
            let silent = (how.late)(end);
            moves.new.push((end, silent));
            spans.insert(Span {
                start: e.saturating_sub(size),
                end,
                last,
                value,
                closed_as: None,
                silent,
            });
        };
        if let Some(previous) = previous {
            // The one that the previous record has just fallen out of.
            let e = previous.saturating_add(size).saturating_add(1);
            if e > time && self.find(e.saturating_add(1)).is_none() {
                let mut value = V::default();
                f(&mut value);
                begin(self, e, time, value);
            }
        }
        if let Some(mut value) = own {
            f(&mut value);
            begin(self, time, time, value);
        }
        if let Some((last, value)) = behind {
            let e = time.saturating_add(size).saturating_add(1);
            if self.find(e.saturating_add(1)).is_none() {
                begin(self, e, last, value);
            }
        }
    }
}

// As tuples: a row may hold many of them. The field names of the value stay.
impl<V: Serialize> Serialize for Span<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let closed_as = self.closed_as.as_slice();
        (
            self.start,
            self.end,
            self.last,
            &self.value,
            closed_as,
            self.silent,
        )
            .serialize(serializer)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Span<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A list of none or one: the value itself may be an `Option`.
        let (start, end, last, value, mut closed_as, silent): (_, _, _, _, Vec<V>, _) =
            Deserialize::deserialize(deserializer)?;
        Ok(Span {
            start,
            end,
            last,
            value,
            closed_as: closed_as.pop(),
            silent,
        })
    }
}

impl<V: Serialize> Serialize for Spans<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Spans<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Deserialize::deserialize(deserializer).map(Spans)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Times = Vec<i64>;

    fn merge(a: &mut Times, b: Times) {
        a.extend(b);
    }

    #[test]
    fn a_record_between_two_sessions_joins_them_earlier_first() {
        let mut spans: Spans<Times> = Spans::default();
        let mut moves = Moves::default();
        for time in [0, 20, 10, 31] {
            let joined = spans.joined(time, 10, |_| true);
            spans.join(&joined, 10, merge, &mut |v| v.push(time), &mut moves);
        }
        let all: Vec<_> = spans
            .0
            .iter()
            .map(|s| (s.start, s.end, s.value.clone()))
            .collect();
        assert_eq!(all, [(0, 31, vec![0, 20, 10]), (31, 42, vec![31])]);
        assert_eq!(moves.gone, [11, 31]);
    }

    #[test]
    fn a_row_of_spans_reads_back() {
        let mut spans: Spans<Option<u8>> = Spans::default();
        for closed_as in [None, Some(None), Some(Some(3))] {
            spans.0.push(Span {
                start: -5,
                end: 6,
                last: 5,
                value: Some(2),
                closed_as,
                silent: true,
            });
        }
        let mut bytes = Vec::new();
        crate::codec::rows::encode(&spans, &mut bytes).unwrap();
        assert_eq!(
            crate::codec::rows::decode::<Spans<Option<u8>>>(&bytes).unwrap(),
            spans
        );
    }

    /// What the windows are by definition: for each time at which a record comes or has just gone, the records of the
    /// last `size`, if there are any.
    fn by_definition(times: &[i64], size: i64) -> BTreeMap<i64, Times> {
        let ends = times.iter().flat_map(|t| [*t, t + size + 1]);
        ends.map(|e| {
            let mut content: Times = times
                .iter()
                .copied()
                .filter(|t| e - size <= *t && *t <= e)
                .collect();
            content.sort_unstable();
            (e, content)
        })
        .filter(|(_, content)| !content.is_empty())
        .collect()
    }

    proptest! {
        #[test]
        fn sliding_windows_are_those_of_the_definition(
            times in prop::collection::vec(-30i64..30, 1..40),
            size in 1i64..12,
        ) {
            let mut spans: Spans<Times> = Spans::default();
            let how = Sliding { size, late: &|_| false, spent: &|_| false, sealed: &|_| false };
            for (n, time) in times.iter().enumerate() {
                let mut moves = Moves::default();
                spans.slide(*time, &how, &mut |v| v.push(*time), &mut moves);
                let have: BTreeMap<i64, Times> = spans.0.iter().map(|s| {
                    let mut content = s.value.clone();
                    content.sort_unstable();
                    assert_eq!((s.start, s.last), (s.end - 1 - size, *content.last().unwrap()));
                    (s.end - 1, content)
                }).collect();
                prop_assert_eq!(&have, &by_definition(&times[..=n], size));
                prop_assert_eq!(have.len(), spans.0.len());
                prop_assert!(moves.new.iter().all(|(end, _)| have.contains_key(&(end - 1))));
            }
        }

        /// Stream time goes on, windows close by it, and what no window needs any more is dropped or not: those that
        /// were open when they last changed have all their records.
        #[test]
        fn what_closes_and_goes_does_not_show_in_what_is_open(
            steps in prop::collection::vec((-15i64..20, any::<bool>()), 1..60),
            size in 1i64..12,
            grace in 0i64..8,
        ) {
            let mut spans: Spans<Times> = Spans::default();
            let (mut time, mut stream) = (0, i64::MIN);
            let mut seen: Times = Vec::new();
            for (jump, drop) in steps {
                time += jump;
                let now = stream;
                let late = move |end: i64| end.saturating_add(grace) <= now;
                if !late(time + size + 1) {
                    let how = Sliding { size, late: &late, spent: &|_| false, sealed: &|_| false };
                    spans.slide(time, &how, &mut |v| v.push(time), &mut Moves::default());
                    // One that is late for every window changes nothing, also not by falling out of one.
                    seen.push(time);
                }
                stream = stream.max(time);
                let truth = by_definition(&seen, size);
                for (e, content) in &truth {
                    let open = e + 1 + grace > stream;
                    let have = spans.find(e + 1).map(|s| {
                        let mut have = s.value.clone();
                        have.sort_unstable();
                        have
                    });
                    if open {
                        prop_assert_eq!(have.as_ref(), Some(content), "window ending with {}", e);
                    }
                }
                for span in spans.0.iter().filter(|s| s.end + grace > stream) {
                    prop_assert!(truth.contains_key(&(span.end - 1)) && !span.silent);
                }
                if drop {
                    spans.0.retain(|s| s.end + kept_for(size) + grace > stream);
                }
            }
        }
    }
}
