//! The input and oracle of the verifier's join: questions and answers of one key that are near to each other in time,
//! and a replay that says who meets whom, and who goes alone.

use crate::chaos::Chaos;
use crate::feed::Outgoing;
use crate::numbers::FIRST;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// The left topic and the right one.
pub const TOPICS: [&str; 2] = ["questions", "answers"];
const KEYS: i64 = 240;
/// Largest distance in time of two that meet.
const WITHIN: i64 = 3_000;
/// Which topic a worker reads first is a matter of moments: nothing is to be late for that.
const GRACE: i64 = 60_000;
/// Event time between two questions of a key.
const STEP: i64 = 4_000;
/// An answer is at most so far from its question: some meet another one, or none.
const FAR: i64 = 5_000;
/// One record in so many is late whatever is read first.
const LATE: u64 = 50;
/// By how much.
const HOPELESS: i64 = 600_000;

/// Questions and answers that come with so many records of the verifier's other input.
pub fn steps(records: u64) -> i64 {
    (records as i64 / 4 / (2 * KEYS)).max(1)
}

/// Both topics' records as they come: of each key a question a step and its answer.
pub fn generate(
    steps: i64,
    mut chaos: Chaos,
) -> impl Iterator<Item = (&'static str, Outgoing)> + Send + 'static {
    let both = move |(step, key): (i64, i64)| {
        let number = step * KEYS + key;
        let asked = FIRST + step * STEP + chaos.below(STEP as u64) as i64;
        let answered = asked - FAR + chaos.below(2 * FAR as u64 + 1) as i64;
        // Now and then the answer comes first.
        let mut both = [(TOPICS[0], asked), (TOPICS[1], answered)];
        if chaos.below(2) == 0 {
            both.reverse();
        }
        both.map(|(topic, at)| {
            // Not before something has come that it can be late for.
            let late = step > 1 && chaos.below(LATE) == 0;
            let at = if late { at - HOPELESS } else { at };
            let record = Outgoing {
                key: format!("asker-{key}"),
                value: format!(r#"{{"at":{at},"number":{number}}}"#),
                partition: None,
            };
            (topic, record)
        })
    };
    (0..steps)
        .flat_map(|step| (0..KEYS).map(move |key| (step, key)))
        .flat_map(both)
}

/// How many they are.
pub fn records(steps: i64) -> u64 {
    (steps * KEYS * 2) as u64
}

/// A question or an answer, as it lies in its topic.
#[derive(Clone, Debug)]
pub struct Said {
    pub key: Rc<str>,
    pub at: i64,
    pub number: i64,
    pub offset: i64,
}

/// What the join emits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Met {
    pub key: Rc<str>,
    pub question: Option<i64>,
    pub answer: Option<i64>,
    /// The result's time: that of the later one.
    pub at: i64,
}

impl Met {
    pub fn is_pair(&self) -> bool {
        self.question.is_some() && self.answer.is_some()
    }
}

/// A row of one side's table, by key, time and offset: whether it has met one.
pub type Waiting = BTreeMap<(Rc<str>, i64, i64), bool>;

/// What one partition of both topics must come to.
#[derive(Debug, Default)]
pub struct Meetings {
    pub pairs: Vec<Met>,
    pub alone: Vec<Met>,
    /// Left and right: those that a record that is not late may be near to, also when they have gone alone.
    pub waiting: [Waiting; 2],
    pub late: u64,
}

/// Stream time at which a record of this time is late, or goes alone.
fn due(at: i64) -> i64 {
    at + WITHIN + 1 + GRACE
}

/// Stream time at which its row goes.
fn over(at: i64) -> i64 {
    due(at) + WITHIN
}

/// Those that were late whatever came of the other topic are left out, and counted.
fn in_time<'a>(side: &'a [Said], late: &mut u64) -> Vec<&'a Said> {
    let mut stream_time = i64::MIN / 2;
    let mut kept = Vec::new();
    for said in side {
        if due(said.at) <= stream_time {
            *late += 1;
        } else {
            kept.push(said);
        }
        stream_time = stream_time.max(said.at);
    }
    kept
}

/// Questions and answers of one partition meet by the definition of a join.
pub fn meet(questions: &[Said], answers: &[Said]) -> Meetings {
    let mut meetings = Meetings::default();
    let all = questions.iter().chain(answers);
    let stream_time = all.map(|said| said.at).max().unwrap_or(i64::MIN / 2);
    let questions = in_time(questions, &mut meetings.late);
    let answers = in_time(answers, &mut meetings.late);
    let mut of_key: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, answer) in answers.iter().enumerate() {
        of_key.entry(&answer.key).or_default().push(at);
    }
    let mut answered = vec![false; answers.len()];
    let mut end = |side: usize, said: &Said, met: bool| {
        if over(said.at) > stream_time {
            let row = (said.key.clone(), said.at, said.offset);
            meetings.waiting[side].insert(row, met);
        }
        if due(said.at) <= stream_time && !met {
            let (question, answer) = match side {
                0 => (Some(said.number), None),
                _ => (None, Some(said.number)),
            };
            let (key, at) = (said.key.clone(), said.at);
            meetings.alone.push(Met {
                key,
                question,
                answer,
                at,
            });
        }
    };
    for question in questions {
        let mut met = false;
        for &at in of_key.get(&*question.key).into_iter().flatten() {
            let answer = answers[at];
            if (question.at - answer.at).abs() <= WITHIN {
                (met, answered[at]) = (true, true);
                meetings.pairs.push(Met {
                    key: question.key.clone(),
                    question: Some(question.number),
                    answer: Some(answer.number),
                    at: question.at.max(answer.at),
                });
            }
        }
        end(0, question, met);
    }
    for (answer, met) in answers.into_iter().zip(answered) {
        end(1, answer, met);
    }
    meetings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(key: &str, at: i64, number: i64) -> Said {
        Said {
            key: key.into(),
            at,
            number,
            offset: number,
        }
    }

    #[test]
    fn those_near_in_time_meet_and_the_others_go_alone_when_their_time_is_over() {
        let questions = [said("a", 0, 1), said("b", 0, 2), said("a", 70_000, 3)];
        let answers = [
            said("a", 3_000, 4),
            said("a", 3_001, 5),
            said("b", 9_000, 6),
            said("a", 7_000, 7),
        ];
        let met = meet(&questions, &answers);
        let found = |met: &[Met]| -> Vec<_> {
            met.iter()
                .map(|met| (met.question, met.answer, met.at))
                .collect()
        };
        assert_eq!(found(&met.pairs), [(Some(1), Some(4), 3_000)]);
        let alone = [(Some(2), None, 0), (None, Some(5), 3_001)];
        // 63 001 ms later the time is over: at 70 000 those of 6 999 at most. Their rows go 3 000 ms later: of 3 999.
        assert_eq!(found(&met.alone), alone);
        let waiting = met.waiting.map(|side| side.len());
        assert_eq!((waiting, met.late), ([1, 2], 0));
    }

    #[test]
    fn a_record_whose_time_is_over_is_late() {
        let questions = [said("a", 63_001, 1), said("a", 0, 2), said("a", 1, 3)];
        let met = meet(&questions, &[said("a", 0, 4)]);
        assert_eq!(met.late, 1);
        assert_eq!(met.pairs.len(), 1);
    }

    #[test]
    fn what_is_made_meets_goes_alone_and_is_late() {
        let mut sides = [Vec::new(), Vec::new()];
        for (offset, (topic, record)) in generate(30, Chaos::seeded(3)).enumerate() {
            let value: serde_json::Value = serde_json::from_str(&record.value).unwrap();
            let number = |name: &str| value[name].as_i64().unwrap();
            sides[usize::from(topic == TOPICS[1])].push(Said {
                key: record.key.into(),
                at: number("at"),
                number: number("number"),
                offset: offset as i64,
            });
        }
        assert_eq!((sides[0].len() + sides[1].len()) as u64, records(30));
        let met = meet(&sides[0], &sides[1]);
        let waiting = met.waiting.map(|side| side.len());
        let of = [met.pairs.len(), met.alone.len(), met.late as usize];
        let of = of.iter().chain(&waiting);
        assert!(
            of.clone().all(|of| *of > 200),
            "{:?}",
            of.collect::<Vec<_>>()
        );
    }
}
