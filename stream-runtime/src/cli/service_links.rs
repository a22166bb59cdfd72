//! What Kubernetes puts into a container's environment by itself: for each service of the namespace, `{NAME}_PORT`,
//! `{NAME}_SERVICE_HOST` and more. A service named `stream-web` sets `STREAM_WEB_PORT=tcp://10.0.0.1:80`, which is not
//! a port of ours and must not keep a worker from its start.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

/// A variable that is there and is not taken for an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceLink {
    pub(super) variable: String,
    pub(super) value: String,
}

/// The command without the variables that are a service's, and those.
pub(super) fn without(command: Command) -> (Command, Vec<ServiceLink>) {
    without_among(command, |name| std::env::var_os(name))
}

fn without_among(
    command: Command,
    value: impl Fn(&OsStr) -> Option<OsString>,
) -> (Command, Vec<ServiceLink>) {
    let mut found = Vec::new();
    let command = command.mut_args(|arg| match link(&arg, &value) {
        None => arg,
        Some(link) => {
            found.push(link);
            arg.env(None)
        }
    });
    (command, found)
}

fn link(arg: &Arg, value: impl Fn(&OsStr) -> Option<OsString>) -> Option<ServiceLink> {
    let variable = arg.get_env()?;
    let value = value(variable)?;
    let link = ServiceLink {
        variable: variable.to_str()?.to_owned(),
        value: value.to_str()?.to_owned(),
    };
    is_link(&link.variable, &link.value).then_some(link)
}

/// Names that are a service's whatever they hold are none of our options' (a test says so); of a `_PORT` the value
/// tells.
fn is_link(variable: &str, value: &str) -> bool {
    let schemes = ["tcp://", "udp://", "sctp://"];
    variable.ends_with("_PORT") && schemes.iter().any(|scheme| value.starts_with(scheme))
}

impl std::fmt::Display for ServiceLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let service = self.variable.trim_end_matches("_PORT");
        write!(
            f,
            "{}={} is not taken for an option: Kubernetes sets it for a service named {}",
            self.variable,
            self.value,
            service.to_lowercase().replace('_', "-")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> (Command, Vec<ServiceLink>) {
        let command = Command::new("app")
            .arg(Arg::new("web").long("web-port").env("STREAM_WEB_PORT"))
            .arg(Arg::new("dir").long("data-dir").env("STREAM_DATA_DIR"));
        without_among(command, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn a_service_s_port_is_no_option_s_value() {
        let (command, found) = with(&[
            ("STREAM_WEB_PORT", "tcp://10.0.0.1:80"),
            ("STREAM_DATA_DIR", "tcp://odd"),
        ]);
        let envs: Vec<_> = command.get_arguments().map(Arg::get_env).collect();
        assert_eq!(envs, [None, Some(OsStr::new("STREAM_DATA_DIR"))]);
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "STREAM_WEB_PORT=tcp://10.0.0.1:80 is not taken for an option: Kubernetes sets it for a service named stream-web"
            ]
        );
    }

    #[test]
    fn a_port_is_heeded_and_a_slip_is_still_refused() {
        assert_eq!(with(&[("STREAM_WEB_PORT", "6070")]).1, []);
        assert_eq!(with(&[("STREAM_WEB_PORT", "http")]).1, []);
        assert_eq!(with(&[]).1, []);
    }
}
