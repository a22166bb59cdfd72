//! How often each word was said, as the sentences come in.
//!
//! ```text
//! cargo run --bin word_count -- worker
//! cargo run --bin word_count -- send sentences 'the quick brown fox and the lazy dog'
//! cargo run --bin word_count -- tail word_counts --from-beginning
//! ```
use stream_runtime::prelude::*;

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
#[agent(topic = "sentences", sink = "words")]
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

#[agent(topic = "words", sink = "word_counts")]
async fn count(Word { word }: Word, mut counts: Table<Count>) -> WordCount {
    let count = counts.update(&word, |count| {
        count.total += 1;
        count.total
    });
    WordCount { word, count }
}

fn main() -> ExitCode {
    App::new("word-count").main()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sentence_falls_into_words() {
        let sentence = String::from("The quick, the lazy — and 2 dogs!");
        let words = split(sentence).await;
        let words: Vec<&str> = words.iter().map(|word| word.word.as_str()).collect();
        assert_eq!(words, ["the", "quick", "the", "lazy", "and", "2", "dogs"]);
    }
}
