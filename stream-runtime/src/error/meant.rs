//! Names with letters changed.

/// The name that was meant, by the letters.
pub(crate) fn meant<'a>(name: &str, among: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = 1 + name.chars().count() / 4;
    let far = |other: &&str| strsim::damerau_levenshtein(name, other);
    let best = among.into_iter().min_by_key(far)?;
    (far(&best) <= bound).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_letters_changed_is_known_again() {
        let topics = ["transactions", "customers", "x"];
        assert_eq!(meant("transactoins", topics), Some("transactions"));
        assert_eq!(meant("Customer", topics), Some("customers"));
        assert_eq!(meant("orders", topics), None);
        assert_eq!(meant("orders", []), None);
    }
}
