//! Where the server listens, and who is let in.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use crate::background::Token;
use crate::error::{Error, Kind};

/// The port, unless another is said: Faust's.
pub(super) const USUAL_PORT: u16 = 6066;
/// Ports that are tried after it.
const PORTS_AFTER_USUAL: u16 = 100;
/// How long a port that was named is waited for: the worker that had it may just have been killed.
const PORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Which port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// 6066, or the next one that is free.
    Usual,
    /// This one, or none; 0 is any.
    Exactly(u16),
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) port: Port,
    /// Where to listen; loopback unless another is said.
    pub(crate) bind: Option<IpAddr>,
    /// What who asks for data must show.
    pub(crate) token: Option<Token>,
    /// What the others are told, as `host:port`; the port may be left out.
    pub(crate) advertise: Option<String>,
    /// Answers other workers alone: no pages, no metrics.
    pub(crate) reads_only: bool,
    /// Rows are shown beyond this machine too.
    pub(crate) tables: bool,
}

impl Default for Door {
    /// The usual port of loopback, without a token.
    fn default() -> Self {
        Door {
            port: Port::Usual,
            bind: None,
            token: None,
            advertise: None,
            reads_only: false,
            tables: false,
        }
    }
}

impl Door {
    /// Whether rows are shown to who shows the token, if there is one.
    pub(super) fn shows_rows(&self) -> bool {
        !self.reads_only && (self.tables || self.address().is_loopback())
    }

    fn address(&self) -> IpAddr {
        self.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Takes the port.
    pub(super) fn listen(&self) -> Result<TcpListener, Error> {
        let bind = self.address();
        if !bind.is_loopback() && self.token.is_none() {
            let text = format!(
                "--web-bind {bind}: beyond this machine the web server needs a token: write one into a file (`openssl rand -hex 32 > token`) and name it with --web-token-file; who asks for metrics or rows shows it as `Authorization: Bearer TOKEN`"
            );
            return Err(Error::new(Kind::Configuration, text));
        }
        let listen = |port: u16| TcpListener::bind((bind, port));
        let (port, taken) = match self.port {
            Port::Exactly(port) => (port, patiently(|| listen(port))),
            Port::Usual => {
                let ports = USUAL_PORT..=USUAL_PORT + PORTS_AFTER_USUAL;
                let free = ports.into_iter().find_map(|port| listen(port).ok());
                (USUAL_PORT, free.map_or_else(|| listen(USUAL_PORT), Ok))
            }
        };
        taken.map_err(|error| {
            let text = match self.reads_only {
                true => format!("cannot listen on {bind} for other workers' questions: {error}"),
                false => format!(
                    "web port {port} cannot be had: {error}; name another with --web-port, or run --without-web"
                ),
            };
            Error::new(Kind::Configuration, text)
        })
    }
}

/// Tries again as long as the port is taken, for a while.
fn patiently(listen: impl Fn() -> std::io::Result<TcpListener>) -> std::io::Result<TcpListener> {
    let began = Instant::now();
    loop {
        match listen() {
            Err(error)
                if error.kind() == ErrorKind::AddrInUse && began.elapsed() < PORT_TIMEOUT =>
            {
                std::thread::sleep(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}
