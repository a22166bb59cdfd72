use stream_runtime::prelude::*;

#[table(session = "30m", sliding = "10m")]
#[derive(Clone, Default)]
struct Two {
    n: u64,
}

impl Merge for Two {
    fn merge(&mut self, later: Self) {
        self.n += later.n;
    }
}

#[table(sliding = "0s")]
#[derive(Clone, Default)]
struct Nothing {
    n: u64,
}

#[table(sliding = "10m", step = "1m")]
#[derive(Clone, Default)]
struct StepOfSliding {
    n: u64,
}

#[table(tumbling = "1h", ttl = "1d")]
#[derive(Clone, Default)]
struct TtlOfWindows {
    n: u64,
}

#[table(ttl = "0s")]
#[derive(Clone, Default)]
struct NoTime {
    n: u64,
}

#[table(retention = "1d", late = "late")]
#[derive(Clone, Default)]
struct NoWindow {
    n: u64,
}

#[table(tumbling = "1h", late = late)]
#[derive(Clone, Default)]
struct NotQuoted {
    n: u64,
}

#[table(tumbling = "1h", late = TtlOfWindows)]
#[derive(Clone, Default)]
struct NotATopic {
    n: u64,
}

#[table(session = "30m", inactivity_gap = "5m", time_difference = 3)]
#[derive(Clone, Default)]
struct Words {
    n: u64,
}

impl Merge for Words {
    fn merge(&mut self, later: Self) {
        self.n += later.n;
    }
}

fn main() {}
