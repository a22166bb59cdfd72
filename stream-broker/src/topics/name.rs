//! What a topic may be called.

use super::Refusal;
use crate::wire::Code;

const LONGEST_NAME: usize = 249;

/// Refuses what Apache Kafka refuses as a topic's name.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let why = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        name if name.len() > LONGEST_NAME => {
            format!("the length of '{name}' is longer than {LONGEST_NAME}")
        }
        name if !name.chars().all(legal) => {
            format!(
                "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
            )
        }
        _ => return Ok(()),
    };
    Err(Refusal::new(
        Code::InvalidTopicException,
        format!("Topic name is invalid: {why}"),
    ))
}
