//! What an agent may return, nested, and every kind of error.
use stream_runtime::prelude::*;

#[record]
struct Word {
    text: String,
}

#[derive(Debug)]
enum Mine {
    Number(std::num::ParseIntError),
}

impl std::fmt::Display for Mine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Mine {}

impl From<std::num::ParseIntError> for Mine {
    fn from(error: std::num::ParseIntError) -> Self {
        Self::Number(error)
    }
}

fn helper() -> Result<u8> {
    Ok("1".parse()?)
}

#[agent(topic = "words", sink = "out")]
async fn option(word: Word) -> Option<Word> {
    Some(word)
}

#[agent(topic = "words", sink = "out")]
async fn keyed(word: Word) -> Vec<(String, Word)> {
    vec![("a".into(), word)]
}

#[agent(topic = "words", sink = "out")]
async fn nested(word: Word) -> Option<Vec<(u64, Word)>> {
    Some(vec![(1, word)])
}

#[agent(topic = "words", sink = "out")]
async fn fallible(word: Word) -> Result<Option<(u64, Word)>> {
    let number = word.text.parse().reject()?;
    helper()?;
    std::fs::read("/does/not/exist").fatal()?;
    Ok(Some((number, word)))
}

#[agent(topic = "words", sink = "out")]
async fn anyhow(word: Word) -> Result<Vec<Word>, anyhow::Error> {
    anyhow::ensure!(!word.text.is_empty(), "empty");
    Ok(vec![word])
}

#[agent(topic = "words")]
async fn anyhow_alias(word: Word) -> anyhow::Result<()> {
    let _: u8 = word.text.parse()?;
    Ok(())
}

#[agent(topic = "words", sink = "out")]
async fn own_error(word: Word) -> std::result::Result<(), Mine> {
    let _: u8 = word.text.parse()?;
    Ok(())
}

#[agent(topic = "words")]
async fn text(_: Word) -> Result {
    Err("plain text")?
}

#[agent(topic = "words")]
async fn stream(mut words: Stream<Word>) -> anyhow::Result<()> {
    while let Some(word) = words.next().await {
        let _: u8 = word.text.parse()?;
    }
    Ok(())
}

fn main() {}
