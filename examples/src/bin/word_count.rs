//! How often each word was said, as the sentences come in.
//!
//! ```text
//! cargo run --bin word_count -- demo
//!
//! cargo run --bin word_count -- worker
//! cargo run --bin word_count -- send sentences 'the quick brown fox and the lazy dog'
//! cargo run --bin word_count -- tail word_counts --from-beginning
//! ```
use stream_runtime::prelude::*;

/// What people say.
#[topic("sentences", value = String)]
struct Sentences;

/// A word on its way to the partition that counts it.
#[record(key = word)]
struct Word {
    word: String,
}

/// How often a word has been said so far.
#[record(key = word)]
struct WordCount {
    word: String,
    count: u64,
}

/// The counts; without a window, so a row is kept for good.
#[table(key = String)]
#[derive(Clone, Default)]
struct Count {
    total: u64,
}

/// Sentences come in any partition; their words leave under their own keys.
#[agent(topic = Sentences, sink = "words")]
async fn split(sentence: String) -> Vec<Word> {
    let words = sentence
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words
        .map(|word| Word {
            word: word.to_lowercase(),
        })
        .collect()
}

#[topic("word_counts", value = WordCount)]
struct WordCounts;

#[agent(topic = "words", sink = WordCounts)]
async fn count(Word { word }: Word, mut counts: Table<Count>) -> WordCount {
    let count = counts.update(&word, |count| {
        count.total += 1;
        count.total
    });
    WordCount { word, count }
}

/// Shows it at once: broker, producer, worker and consumer in one process
#[command]
async fn demo(app: AppHandle) -> Result<()> {
    let sentences = [
        "the quick brown fox",
        "and The lazy dog, the same",
        "the end",
    ];
    let app = examples::process::<Sentences>(app, sentences.map(str::to_owned)).await?;
    examples::print::<WordCounts>(&app).await
}

fn main() -> ExitCode {
    App::new("word-count").main()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stream_runtime::testing::TestApp;

    #[tokio::test]
    async fn a_sentence_falls_into_words() {
        let sentence = String::from("The quick, the lazy — and 2 dogs!");
        let words = split(sentence).await;
        let words: Vec<&str> = words.iter().map(|word| word.word.as_str()).collect();
        assert_eq!(words, ["the", "quick", "the", "lazy", "and", "2", "dogs"]);
    }

    #[test]
    fn words_are_counted_across_partitions() {
        let mut app = TestApp::only((split, count)).partitions(3);
        for sentence in ["one two two", "Two three", "three, three!"] {
            app.send_raw("sentences", None, Some(sentence.as_bytes()));
        }
        let counts = app.sent::<WordCount>("word_counts");
        let of = |word: &str| -> Vec<u64> {
            let counts = counts.iter().filter(|count| count.word == word);
            counts.map(|count| count.count).collect()
        };
        assert_eq!(
            (of("one"), of("two"), of("three")),
            (vec![1], vec![1, 2, 3], vec![1, 2, 3])
        );
    }
}
