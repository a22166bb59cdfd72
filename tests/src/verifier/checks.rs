//! What was compared, and how much of it differed.

use std::fmt::Debug;

/// Examples of differences that are kept.
const EXAMPLES: usize = 5;

/// One of the verifier's promises.
#[derive(Debug)]
pub struct Check {
    pub name: &'static str,
    pub what: &'static str,
    pub compared: u64,
    pub differ: u64,
    pub examples: Vec<String>,
}

impl Check {
    pub fn new(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            what,
            compared: 0,
            differ: 0,
            examples: Vec::new(),
        }
    }

    /// Nothing differs, and something was compared.
    pub fn is_ok(&self) -> bool {
        self.differ == 0 && self.compared > 0
    }

    /// One comparison.
    pub fn holds(&mut self, holds: bool, example: impl FnOnce() -> String) {
        self.compared += 1;
        if !holds {
            self.differ += 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push(example());
            }
        }
    }

    /// Two things that must be equal.
    pub fn same<T: PartialEq + Debug>(
        &mut self,
        found: &T,
        expected: &T,
        place: impl FnOnce() -> String,
    ) {
        self.holds(found == expected, || {
            format!("{}: {found:?}, expected {expected:?}", place())
        });
    }

    /// Two lists that must be equal, element by element, nothing left over on either side.
    pub fn same_list<T: PartialEq + Debug>(
        &mut self,
        found: &[T],
        expected: &[T],
        place: impl Fn(usize) -> String,
    ) {
        for at in 0..found.len().max(expected.len()) {
            self.same(&found.get(at), &expected.get(at), || place(at));
        }
    }
}

/// All of them as text, examples below.
pub fn table(checks: &[Check]) -> String {
    let mut text = format!(
        "\n{:<5} {:>10} {:>8}  {}\n",
        "check", "compared", "differ", ""
    );
    for check in checks {
        text += &format!(
            "{:<5} {:>10} {:>8}  {}\n",
            check.name, check.compared, check.differ, check.what
        );
    }
    for check in checks {
        for example in &check.examples {
            text += &format!("{}: {example}\n", check.name);
        }
        if check.compared == 0 {
            text += &format!("{}: nothing was compared\n", check.name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_different_length_differ_and_nothing_compared_is_not_ok() {
        let mut check = Check::new("E1", "");
        assert!(!check.is_ok());
        check.same_list(&[1, 2], &[1, 2], |at| at.to_string());
        assert!(check.is_ok());
        check.same_list(&[1, 2], &[1, 3, 4], |at| format!("place {at}"));
        assert_eq!((check.compared, check.differ), (5, 2));
        assert!(table(&[check]).contains("E1: place 2: None, expected Some(4)"));
    }
}
