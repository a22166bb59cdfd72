//! An app with a global table of a topic, one that an agent writes, and a table of a topic.

use std::time::Duration;

use stream_runtime::prelude::*;
use stream_runtime::web::{Json, Path};

#[record]
#[derive(Clone, Default)]
struct Price {
    cents: u64,
}

#[topic("g_prices", value = Price, key = String, compact, partitions = 3)]
struct Prices;

#[table(global, source = Prices)]
struct PriceOf;

#[table(source = Prices)]
struct LocalPrice;

#[table(value = u64, global)]
struct Counts;

#[agent(topic = "g_words")]
async fn count(word: String, mut counts: Table<Counts>) {
    counts.update(&word, |n| *n += 1);
}

/// What an order came to: by the global price, by the partition's own, and how often its item is a word.
#[record]
struct Bill {
    global: Option<u64>,
    local: Option<u64>,
    words: u64,
    process: u32,
}

#[agent(topic = "g_orders", sink = "g_bills")]
async fn bill(
    item: Event<String>,
    global: GlobalTable<PriceOf>,
    local: Table<LocalPrice>,
    counts: &GlobalTable<Counts>,
) -> Bill {
    Bill {
        global: global.read(&*item, |price| price.cents),
        // Of another key the price may lie in another partition.
        local: match item.key() == &*item {
            true => local.read(&*item, |price| price.cents),
            false => None,
        },
        words: counts.get(&*item).unwrap_or_default(),
        process: std::process::id(),
    }
}

/// What was heard, and the time that it had.
#[record]
struct Heard {
    what: String,
    at: DateTime<Utc>,
}

#[agent(topic = "g_times", sink = "g_heard")]
async fn hear(word: Event<String>) -> Heard {
    Heard {
        what: (*word).clone(),
        at: word.time(),
    }
}

/// What only pages and commands read.
#[topic("g_notes", value = String, key = String, compact, partitions = 2)]
struct Notes;

#[table(global, source = Notes)]
struct NoteOf;

#[page("/note/{item}")]
async fn note(Path(item): Path<String>, notes: GlobalTable<NoteOf>) -> Json<Option<String>> {
    Json(notes.get(&item))
}

/// Waits for a note, as long as a page may take.
#[page("/notes/wait/{item}")]
async fn awaited(notes: &GlobalTable<NoteOf>, Path(item): Path<String>) -> Json<Option<String>> {
    Json(notes.wait_for(&item, Duration::from_secs(20)).await)
}

/// How many notes and words there are
#[command]
async fn count_rows(notes: GlobalTable<NoteOf>, counts: GlobalTable<Counts>) {
    println!("{} notes, {} words", notes.len(), counts.len());
}

/// Waits for a note of this item
#[command]
async fn wait_note(notes: GlobalTable<NoteOf>) {
    let note = notes.wait_for("late", Duration::from_secs(20)).await;
    println!("late: {note:?}");
}

fn main() -> ExitCode {
    App::new("globals").topic_partitions(3).main()
}
