//! Source tasks of one hop on one thread take their turns side by side.

use super::thread::StreamThread;

impl StreamThread {
    /// Begins a round: how far the slowest sources are that have something to do.
    pub(super) fn look_at_sources(&mut self) {
        if self.ahead.is_idle() {
            return;
        }
        self.ahead.slowest.clear();
        for partition in &self.tasks.partitions {
            let task = &partition.task;
            // What its last turn brought there is likely more of; who waits for a handler or the store holds up nobody.
            let waits = partition.turn.brought || task.has_waiting();
            if !partition.is_running() || !waits || task.is_full() || task.has_in_flight() {
                continue;
            }
            for (hop, time) in task.hop_times() {
                self.ahead.waits((partition.name.0, hop), time);
            }
        }
    }

    /// Returns whether a partition sits out this turn; the time is none of quiet.
    pub(super) fn sits_out(&mut self, at: usize) -> bool {
        if self.ahead.slowest.is_empty() {
            return false;
        }
        let partition = &mut self.tasks.partitions[at];
        let times = partition.task.hop_times();
        let sits_out = self.ahead.is_too_far_in_all(partition.name.0, times);
        if sits_out {
            partition.was_kept_from_reading();
        }
        sits_out
    }
}
