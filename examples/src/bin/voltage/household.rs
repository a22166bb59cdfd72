//! The file of the UCI repository: `dd/mm/yyyy;hh:mm:ss;…`, a reading a minute.

use std::io::{self, BufRead};

use stream_runtime::prelude::*;

use crate::PowerReading;

/// What stands in the columns, as the file's first line names them.
const COLUMNS: [(usize, &str); 3] = [(0, "Date"), (1, "Time"), (4, "Voltage")];

/// The readings of a file, line by line.
pub(crate) struct Readings<R> {
    lines: io::Lines<R>,
    line: u64,
    /// Lines whose voltage is `?`: the meter was silent.
    pub skipped: u64,
}

impl<R: BufRead> Readings<R> {
    /// Checks the heading.
    pub fn new(input: R) -> Result<Self> {
        let mut lines = input.lines();
        let heading = lines.next().transpose()?.unwrap_or_default();
        let names: Vec<&str> = heading.trim().split(';').collect();
        for (column, name) in COLUMNS {
            if names.get(column) != Some(&name) {
                Err(format!(
                    "line 1: column {} is not `{name}`: is this the household power file?",
                    column + 1
                ))?;
            }
        }
        Ok(Readings {
            lines,
            line: 1,
            skipped: 0,
        })
    }
}

impl<R: BufRead> Iterator for Readings<R> {
    type Item = Result<PowerReading>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.line += 1;
            let line = match self.lines.next()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error.into())),
            };
            if line.trim().is_empty() {
                continue;
            }
            match reading(&line) {
                Ok(Some(reading)) => return Some(Ok(reading)),
                Ok(None) => self.skipped += 1,
                Err(error) => return Some(Err(format!("line {}: {error}", self.line).into())),
            }
        }
    }
}

/// One line; `None` if there is no voltage in it. Times are taken as UTC.
fn reading(line: &str) -> Result<Option<PowerReading>, String> {
    let columns: Vec<&str> = line.trim().split(';').collect();
    let [date, time, _, _, voltage, ..] = columns[..] else {
        return Err(format!("{} columns, there should be 9", columns.len()));
    };
    if voltage == "?" {
        return Ok(None);
    }
    let datetime =
        chrono::NaiveDateTime::parse_from_str(&format!("{date} {time}"), "%d/%m/%Y %H:%M:%S")
            .map_err(|error| format!("`{date};{time}` is no time: {error}"))?
            .and_utc();
    let voltage = voltage
        .parse()
        .map_err(|_| format!("`{voltage}` is not voltage"))?;
    Ok(Some(PowerReading { datetime, voltage }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str =
        "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;1;2;3\n";

    /// Time and voltage of a row, or why there are none.
    type Row = Result<(String, f64), String>;

    fn read(lines: &str) -> (Vec<Row>, u64) {
        let mut readings = Readings::new(lines.as_bytes())
            .map_err(|e| e.to_string())
            .expect("a heading");
        let read = readings.by_ref().map(|reading| match reading {
            Ok(reading) => Ok((reading.datetime.to_rfc3339(), reading.voltage)),
            Err(error) => Err(error.to_string()),
        });
        (read.collect(), readings.skipped)
    }

    #[test]
    fn lines_become_readings_and_silence_is_counted() {
        let lines = format!(
            "{HEADING}16/12/2006;17:24:00;4.216;0.418;234.840;18.4;0;1;17\r\n\
             28/4/2007;00:21:00;?;?;?;?;?;?;\n\n1/2/2007;0:05:00;0.3;0.1;240.5;1.4;0;0;0\n"
        );
        let (read, skipped) = read(&lines);
        let expected = [
            ("2006-12-16T17:24:00+00:00", 234.84),
            ("2007-02-01T00:05:00+00:00", 240.5),
        ];
        assert_eq!(
            read,
            expected.map(|(time, voltage)| Ok((time.to_owned(), voltage)))
        );
        assert_eq!(skipped, 1);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (line, says) in [
            ("16/12/2006;17:24:00;4.216", "line 2: 3 columns"),
            ("2006-12-16;17:24:00;1;1;234.8;1;1;1;1", "is no time"),
            (
                "16/12/2006;17:24:00;1;1;high;1;1;1;1",
                "`high` is not voltage",
            ),
        ] {
            let error = read(&format!("{HEADING}{line}\n")).0[0]
                .clone()
                .expect_err("refused");
            assert!(error.contains(says), "{error}");
        }
        assert!(Readings::new(&b"user;page\n"[..]).is_err());
    }
}
