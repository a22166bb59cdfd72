//! User and password out of a Java login line (`sasl.jaas.config`).

/// What a `sasl.jaas.config` holds.
#[derive(PartialEq, Eq)]
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: String,
}

/// Reads `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`,
/// also with single quotes and for `ScramLoginModule`. The error never holds the password.
pub(super) fn parse(line: &str) -> Result<Login, String> {
    let words = words(line)?;
    let module = words.first().map(String::as_str).unwrap_or_default();
    let known = ["PlainLoginModule", "ScramLoginModule"];
    if !known
        .iter()
        .any(|name| module.rsplit('.').next() == Some(name))
    {
        return Err(format!(
            "`sasl.jaas.config` names the login module `{module}`; PlainLoginModule and ScramLoginModule are supported"
        ));
    }
    let value = |name: &str| {
        words.iter().find_map(|word| {
            word.strip_prefix(name)?
                .strip_prefix('=')
                .map(str::to_owned)
        })
    };
    match (value("username"), value("password")) {
        (Some(username), Some(password)) => Ok(Login { username, password }),
        (None, _) => Err("`sasl.jaas.config` has no username".to_owned()),
        (_, None) => Err("`sasl.jaas.config` has no password".to_owned()),
    }
}

/// Words of the line with their quotes taken off; the closing `;` ends it.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => loop {
                match chars.next() {
                    Some('\\') => word.extend(chars.next()),
                    Some(end) if end == c => break,
                    Some(inside) => word.push(inside),
                    None => return Err("`sasl.jaas.config` has an open quote".to_owned()),
                }
            },
            ';' => break,
            c if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_quotes_and_both_modules() {
        for line in [
            r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="me" password="a;b\"c";"#,
            r#"org.apache.kafka.common.security.scram.ScramLoginModule   required  username='me'  password='a;b"c' ;"#,
        ] {
            let login = parse(line).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(login.username, "me");
            assert_eq!(login.password, "a;b\"c");
        }
    }

    #[test]
    fn mistakes_are_named_without_the_password() {
        let error = |line: &str| parse(line).err().expect("refused");
        assert!(error("com.sun.Krb5LoginModule required;").contains("Krb5LoginModule"));
        assert!(error("x.PlainLoginModule required password='secret';").contains("no username"));
        let open = error("x.PlainLoginModule required username='me' password='secret;");
        assert!(open.contains("quote") && !open.contains("secret"), "{open}");
    }
}
