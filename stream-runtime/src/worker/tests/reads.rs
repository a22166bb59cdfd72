//! Rows of a worker whose stream thread stands.

use std::sync::atomic::Ordering;

use super::topics::{Bed, until};
use crate::key::StreamKey;
use crate::worker::{Answer, Ask, NotHere};

/// Counts, and stands in the handler as code does that blocks its thread.
mod blocks {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use crate::prelude::*;

    pub(super) static STANDS: AtomicBool = AtomicBool::new(false);
    pub(super) static MAY_GO: AtomicBool = AtomicBool::new(false);

    #[table(value = u64, name = "reads_words")]
    struct Words;

    #[agent(topic = "reads-words", name = "reads_block")]
    async fn block(word: Event<String>, mut words: Table<Words>) {
        words.update(word.key(), |n| *n += 1);
        STANDS.store(true, Ordering::SeqCst);
        while !MAY_GO.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_read_does_not_wait_without_end_for_a_stream_thread_that_stands() {
    let bed = Bed::of(module_path!(), "blocks");
    bed.make("reads-words", 1, &[]);
    let working = bed.start();
    until("the partition", || working.runs(0));
    let mut key = Vec::new();
    "key 0".to_owned().encode_ordered(&mut key);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let read = || {
        let ask = Ask::Row(key.clone());
        runtime.block_on(working.handle.read("reads_words", 0, ask))
    };
    until("an answer", || matches!(read(), Ok(Answer::Row(None))));
    bed.send("reads-words", [0]);
    until("the handler", || blocks::STANDS.load(Ordering::SeqCst));
    // That it comes back at all is what counts: the handler goes on only after it.
    let Err(NotHere::NotNow(why)) = read() else {
        panic!("an answer from a thread that stands");
    };
    assert!(why.contains("has not answered for 2 s"), "{why}");
    blocks::MAY_GO.store(true, Ordering::SeqCst);
    until("the row", || matches!(read(), Ok(Answer::Row(Some(_)))));
    working.stop();
}
