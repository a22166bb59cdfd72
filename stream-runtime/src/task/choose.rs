//! Which input the next event is of.

use super::state::TaskState;

impl TaskState {
    /// The input whose waiting record has the oldest event time; `None` while a topic may still bring an older one.
    pub(crate) fn oldest_input(&self) -> Option<usize> {
        if self.inputs.timely == 1 {
            return (self.inputs.inboxes[0].borrow().waiting() > 0).then_some(0);
        }
        let mut oldest: Option<(i64, usize)> = None;
        let mut lacks = false;
        for (i, inbox) in self.inputs.inboxes[..self.inputs.timely].iter().enumerate() {
            let inbox = inbox.borrow();
            match inbox.waiting_front() {
                Some(record) => {
                    let reader = self.inputs.readers[i].first();
                    let time = reader
                        .and_then(|&a| {
                            let mut heads = self.agents[a].heads.borrow_mut();
                            heads.as_mut()?.time(i, &record)
                        })
                        .unwrap_or(i64::MIN);
                    if oldest.is_none_or(|(t, _)| time < t) {
                        oldest = Some((time, i));
                    }
                }
                None if inbox.at_end() => lacks = true,
                None => return None,
            }
        }
        if !lacks || oldest.is_none() || self.settings.max_task_idle == 0 {
            self.inputs.lacking.set(None);
            return oldest.map(|(_, i)| i);
        }
        let since = self.inputs.lacking.get().unwrap_or(self.times.mono.get());
        self.inputs.lacking.set(Some(since));
        let over = self.times.mono.get() >= since + self.settings.max_task_idle;
        oldest.filter(|_| over).map(|(_, i)| i)
    }

    /// Monotonic time until which an empty input is waited for.
    pub(crate) fn lacking_until(&self) -> Option<u64> {
        let until = self.inputs.lacking.get()? + self.settings.max_task_idle;
        (until > self.times.mono.get()).then_some(until)
    }
}
