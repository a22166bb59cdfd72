//! An app whose agents write topics for each other, with a hop, windows, a join and a topic that a command writes too:
//! for tests of `reset`.

use stream_runtime::prelude::*;

/// A line of text.
#[record(timestamp = at)]
struct Line {
    #[field(coerce)]
    at: DateTime<Utc>,
    text: String,
}

/// A word of a line.
#[record(timestamp = at)]
struct Word {
    at: DateTime<Utc>,
    word: String,
    length: u32,
}

/// How often something was there.
#[record]
struct Count {
    n: u64,
}

#[topic("words", value = Word)]
struct Words;

#[topic("notes", value = Word)]
struct Notes;

/// How often a word was there.
#[table(key = String, value = u64)]
struct WordCounts;

/// How many words of a length there were in ten seconds.
#[table(key = u32, tumbling = "10s", idle = "1s", grace = "1h")]
#[derive(Clone, Default)]
struct Lengths {
    n: u64,
}

/// How often a word was noted.
#[table(key = String, value = u64)]
struct NoteCounts;

/// Words with their lines' keys as keys' beginnings: by word.
#[agent(topic = "lines", sink = Words)]
async fn split(line: Line) -> Vec<(String, Word)> {
    let word = |word: &str| {
        let own = Word {
            at: line.at,
            word: word.to_owned(),
            length: word.len() as u32,
        };
        (word.to_owned(), own)
    };
    line.text.split_whitespace().map(word).collect()
}

#[agent(topic = Words, sink = "word-counts")]
async fn count(word: Event<Word>, mut counts: Table<WordCounts>) -> Count {
    let n = counts.update(word.key(), |n| {
        *n += 1;
        *n
    });
    Count { n }
}

#[agent(topic = Words, group_by = length)]
async fn lengths(word: Event<Word, u32>, mut lengths: Table<Lengths>) {
    lengths.update(word.key(), |row| row.n += 1);
}

#[agent(on_close = Lengths, sink = "length-counts")]
async fn lengths_closed(lengths: Closed<Lengths>) -> Count {
    Count { n: lengths.n }
}

/// Long words are noted; so are those of the command.
#[agent(topic = "lines", sink = Notes)]
async fn long(line: Line) -> Vec<(String, Word)> {
    let long = line.text.split_whitespace().filter(|word| word.len() > 3);
    long.map(|word| {
        let own = Word {
            at: line.at,
            word: word.to_owned(),
            length: word.len() as u32,
        };
        (word.to_owned(), own)
    })
    .collect()
}

#[agent(topic = Notes, sink = "note-counts")]
async fn noted(word: Event<Word>, mut counts: Table<NoteCounts>) -> Count {
    let n = counts.update(word.key(), |n| {
        *n += 1;
        *n
    });
    Count { n }
}

/// A word meets its note.
#[join(left = Words, right = Notes, within = "1s", grace = "1h", sink = "met")]
async fn meet(word: Word, note: Word) -> Option<Count> {
    (word.word == note.word).then_some(Count { n: 1 })
}

/// Notes a word by hand
#[command]
async fn note(notes: Producer<Notes>) -> Result<()> {
    let word = Word {
        at: Utc::now(),
        word: "hand".to_owned(),
        length: 4,
    };
    notes.send("hand", word).await?;
    Ok(())
}

fn main() -> ExitCode {
    App::new("resetting").topic_partitions(3).main()
}
