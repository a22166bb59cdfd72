//! What a table's state is, as its marks say it: compared at every start with what the program has.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec::rows;
use crate::duration;
use crate::error::Error;
use crate::topology::lock::{TypeLock, changes};
use crate::topology::{RowsFrom, TableDescriptor};
use crate::window::Window;

/// Ways out where state is not what the program has.
const WAYS_OUT: &str = "undo the change, or begin empty: another `name` for the table keeps the old rows where they are, \
                        `App::version` begins the whole app again beside the old one, `reset` drops its state";

/// What the rows of a table are. How long windows wait and rows live is not a part of it: `grace`, `retention`, `idle`,
/// `ttl` and `within` may change from one start to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Version of the form in which rows are written: `codec::rows`.
    pub rows: u8,
    /// `plain`, `source`, `join`, `tumbling`, `hopping`, `session` or `sliding`.
    pub kind: String,
    /// Length of a window in ms; of sessions the gap.
    #[serde(default)]
    pub size: Option<i64>,
    /// Distance between the starts of two hopping windows in ms.
    #[serde(default)]
    pub step: Option<i64>,
    /// Type of the keys.
    pub key: String,
    /// Type of the rows.
    pub value: TypeLock,
    /// Of a side of a join: whether its records go alone when they have met nobody. `None`: of no join, or not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<bool>,
}

impl Description {
    /// Of a table of the program.
    pub fn of(table: &TableDescriptor) -> Self {
        let (kind, size, step) = match (table.window, table.rows_from) {
            (Some(Window::Tumbling { size }), _) => ("tumbling", Some(size), None),
            (Some(Window::Hopping { size, step }), _) => ("hopping", Some(size), Some(step)),
            (Some(Window::Session { gap }), _) => ("session", Some(gap), None),
            (Some(Window::Sliding { size }), _) => ("sliding", Some(size), None),
            (None, RowsFrom::Agents) => ("plain", None, None),
            (None, RowsFrom::Topic) => ("source", None, None),
            (None, RowsFrom::Join) => ("join", None, None),
        };
        Description {
            rows: rows::FORMAT,
            kind: kind.to_owned(),
            size,
            step,
            key: table.key.to_owned(),
            value: TypeLock::of_rows(table),
            alone: None,
        }
    }

    /// The same of a side of a join.
    pub fn of_side(self, alone: Option<bool>) -> Self {
        Description { alone, ..self }
    }

    /// As a mark holds it: prepared once, copied into each mark.
    ///
    /// # Errors
    /// It does not serialize.
    pub fn encoded(&self) -> Result<Arc<[u8]>, Error> {
        let mut bytes = Vec::new();
        rows::encode(self, &mut bytes)
            .map_err(|e| Error::table(format!("what the table is cannot be written: {e}")))?;
        Ok(bytes.into())
    }

    /// Reads what a mark holds.
    ///
    /// # Errors
    /// A later version of the program wrote it in another way.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        rows::decode(bytes).map_err(|e| {
            Error::table(format!(
                "what its mark says of the table does not read: {e}; run the newer program, or `reset`"
            ))
        })
    }

    /// Whether a program that has `self` may go on with state that is `was`. `confirmed`: a person has kept
    /// the rows as they are now, by `plan --write`, and knows what happens to old ones.
    ///
    /// # Errors
    /// It may not: both shapes, and the ways out.
    pub fn takes(&self, was: &Description, confirmed: bool) -> Result<(), String> {
        if was.rows > self.rows {
            return Err(format!(
                "its rows were written in form {}, and this program knows form {}: run the newer program, or `reset`",
                was.rows, self.rows
            ));
        }
        let form = |d: &Description| (d.kind.clone(), d.size, d.step, d.key.clone());
        if form(self) != form(was) {
            return Err(format!(
                "its state is {was}, and the program has {self}: {WAYS_OUT}"
            ));
        }
        // Where nothing goes alone nobody notes who has met a partner.
        if (was.alone, self.alone) == (Some(false), Some(true)) {
            return Err(
                "it keeps the records of a join's side that went nowhere without a partner, and not which of them have met \
                 one; the program is to send on those that met none: let the other side's parameter be no `Option` again, or \
                 begin empty: another `name` for the join, `App::version` for the whole app, or `reset`"
                    .to_owned(),
            );
        }
        // Of the row types are known by their names: a person may know better, and a row that does not read is an
        // error.
        if confirmed {
            return Ok(());
        }
        let changes = changes(&was.value, &self.value);
        let name = &self.value.name;
        if !changes.breaking.is_empty() {
            return Err(format!(
                "its row `{name}` changed so that old rows cannot be read: {}. Give new fields `#[serde(default)]` and \
                 renamed ones `#[serde(alias = \"..\")]`; if old rows do read, `plan --write` confirms it; else {WAYS_OUT}",
                changes.breaking.join("; ")
            ));
        }
        if !changes.doubtful.is_empty() {
            return Err(format!(
                "its row `{name}` changed so that what old rows hold may be lost: {}. If nothing was renamed, \
                 `plan --write` confirms it; else {WAYS_OUT}",
                changes.doubtful.join("; ")
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.size.map(duration::format).unwrap_or_default();
        let step = self.step.map(duration::format).unwrap_or_default();
        match self.kind.as_str() {
            "plain" => f.write_str("a table without windows")?,
            "source" => f.write_str("the records of a topic (`source`)")?,
            "join" => f.write_str("the records of one side of a join")?,
            "tumbling" => write!(f, "tumbling windows of {size}")?,
            "hopping" => write!(f, "hopping windows of {size} every {step}")?,
            "session" => write!(f, "sessions with a gap of {size}")?,
            "sliding" => write!(f, "sliding windows of {size}")?,
            other => write!(f, "`{other}` {size} {step}")?,
        }
        write!(f, " by keys of type {}", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::shape::{FieldShape, Shape};

    const HOUR: Window = Window::Tumbling { size: 3_600_000 };

    static ROW: Shape = Shape {
        fields: &[FieldShape {
            name: "sum",
            ty: "f64",
            serde: "",
            optional: false,
        }],
        variants: false,
        serde: "",
        inner: &[],
        lost: &[],
    };
    static RENAMED: Shape = Shape {
        fields: &[FieldShape {
            name: "total",
            ty: "f64",
            serde: "",
            optional: true,
        }],
        ..ROW
    };
    static ALIASED: Shape = Shape {
        fields: &[FieldShape {
            name: "total",
            ty: "f64",
            serde: "alias=\"sum\"",
            optional: false,
        }],
        ..ROW
    };

    const PLAIN: TableDescriptor = TableDescriptor {
        name: "hours",
        value: "Hour",
        row: || &ROW,
        ..TableDescriptor::DEFAULT
    };

    fn windows(window: Window) -> Description {
        Description::of(&TableDescriptor {
            window: Some(window),
            ..PLAIN
        })
    }

    #[track_caller]
    fn refused(was: &Description, is: &Description, texts: &[&str]) {
        let read = Description::decode(&was.encoded().unwrap()).unwrap();
        assert_eq!(read, *was);
        let why = is.takes(&read, false).unwrap_err();
        for text in texts.iter().chain(&["`name`", "`App::version`", "`reset`"]) {
            assert!(why.contains(text), "no {text} in {why}");
        }
    }

    // G11: A table is never read as one of another kind, window, key or row: the start refuses it and shows both.
    #[test]
    fn another_kind_size_step_gap_or_key_type_is_refused_with_both_shapes() {
        let plain = Description::of(&PLAIN);
        let hour = windows(HOUR);
        refused(
            &plain,
            &hour,
            &[
                "a table without windows",
                "tumbling windows of 1h by keys of type String",
            ],
        );
        refused(&hour, &plain, &["without windows"]);
        refused(
            &hour,
            &windows(Window::Tumbling { size: 600_000 }),
            &["tumbling windows of 1h", "tumbling windows of 10m"],
        );
        let hopping = |step| {
            windows(Window::Hopping {
                size: 3_600_000,
                step,
            })
        };
        refused(
            &hopping(600_000),
            &hopping(1_200_000),
            &["1h every 10m", "1h every 20m"],
        );
        refused(&hour, &hopping(600_000), &["tumbling", "hopping"]);
        let session = |gap| windows(Window::Session { gap });
        refused(
            &session(60_000),
            &session(120_000),
            &["a gap of 1m", "a gap of 2m"],
        );
        refused(
            &session(60_000),
            &windows(Window::Sliding { size: 60_000 }),
            &["sessions", "sliding windows of 1m"],
        );
        let by_number = Description::of(&TableDescriptor {
            key: "u64",
            ..PLAIN
        });
        refused(&plain, &by_number, &["type String", "type u64"]);
        let of = |rows_from| Description::of(&TableDescriptor { rows_from, ..PLAIN });
        refused(&plain, &of(RowsFrom::Topic), &["the records of a topic"]);
        refused(&plain, &of(RowsFrom::Join), &["one side of a join"]);
    }

    #[test]
    fn how_long_windows_wait_and_rows_live_is_no_other_shape() {
        let hour = TableDescriptor {
            window: Some(HOUR),
            ..PLAIN
        };
        let other = TableDescriptor {
            grace: 5,
            idle: Some(6),
            retention: 7,
            ttl: Some(8),
            late: Some("late"),
            ..hour
        };
        assert_eq!(
            Description::of(&TableDescriptor {
                window: Some(HOUR),
                ..PLAIN
            }),
            Description::of(&other)
        );
        // A join's side is its records, read again: an outer join may become an inner one.
        let side = |value| {
            Description::of(&TableDescriptor {
                value,
                rows_from: RowsFrom::Join,
                ..PLAIN
            })
        };
        assert_eq!(side("Click"), side("Option<Click>"));
    }

    #[test]
    fn a_side_of_a_join_that_is_to_go_alone_and_did_not_is_refused() {
        let table = TableDescriptor {
            rows_from: RowsFrom::Join,
            ..PLAIN
        };
        let side = |alone| Description::of(&table).of_side(alone);
        let takes = |was, is| {
            let was: Description = side(was);
            let read = Description::decode(&was.encoded().unwrap()).unwrap();
            assert_eq!(read, was);
            side(is).takes(&read, true)
        };
        let why = takes(Some(false), Some(true)).unwrap_err();
        assert!(
            why.contains("no `Option`") && why.contains("`reset`"),
            "{why}"
        );
        // The other way nothing is sent that should not be; and what did not say it is taken as it is, once.
        for (was, is) in [(true, false), (true, true), (false, false)] {
            assert_eq!(takes(Some(was), Some(is)), Ok(()));
        }
        assert_eq!(takes(None, Some(true)), Ok(()));
        let bytes = side(None).encoded().unwrap();
        assert!(!bytes.windows(5).any(|part| part == b"alone"), "as before");
    }

    #[test]
    fn the_shape_of_rows_goes_by_the_rules_of_a_kept_plan() {
        let of = |row| Description::of(&TableDescriptor { row, ..PLAIN });
        let (was, aliased) = (of(|| &ROW), of(|| &ALIASED));
        assert_eq!(aliased.takes(&was, false), Ok(()));
        let renamed = of(|| &RENAMED);
        refused(
            &was,
            &renamed,
            &["alias = \"sum\"", "`plan --write` confirms"],
        );
        assert_eq!(renamed.takes(&was, true), Ok(()));
        refused(
            &aliased,
            &was,
            &["field `sum` is new", "`plan --write` confirms"],
        );
        assert_eq!(was.takes(&aliased, true), Ok(()));
        let mut newer = was.clone();
        newer.rows += 1;
        assert!(
            was.takes(&newer, true)
                .unwrap_err()
                .contains("newer program")
        );
        assert_eq!(newer.takes(&was, false), Ok(()));
    }
}
