//! TLS and SASL for Apache Kafka: a certificate made with the JDK's keytool, users, and what a client needs.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user that every mechanism knows, and its password.
pub const USER: &str = "voltage";
pub const PASSWORD: &str = "correct-horse-battery";
const STORE_PASSWORD: &str = "keystore";

/// The broker's side: a key store, the certificate a client trusts.
pub struct Tls {
    store: PathBuf,
    pub certificate: PathBuf,
}

impl Tls {
    /// Makes a key and a self-signed certificate for `localhost` and 127.0.0.1 in `dir`.
    pub fn make(dir: &Path) -> Result<Self> {
        let (store, certificate) = (dir.join("server.p12"), dir.join("server.pem"));
        let store_args = [
            "-storetype",
            "PKCS12",
            "-storepass",
            STORE_PASSWORD,
            "-alias",
            "server",
            "-keystore",
        ];
        if !store.exists() {
            let san = "SAN=dns:localhost,ip:127.0.0.1";
            let key = [
                "-keyalg",
                "EC",
                "-groupname",
                "secp256r1",
                "-validity",
                "30",
                "-dname",
                "CN=localhost",
            ];
            keytool(
                Command::new("keytool")
                    .arg("-genkeypair")
                    .args(key)
                    .args(["-ext", san])
                    .args(store_args)
                    .arg(&store),
            )?;
            let file = ["-rfc", "-file"];
            keytool(
                Command::new("keytool")
                    .arg("-exportcert")
                    .args(file)
                    .arg(&certificate)
                    .args(store_args)
                    .arg(&store),
            )?;
        }
        Ok(Self { store, certificate })
    }

    /// Lines for server.properties.
    pub fn server_properties(&self) -> String {
        let plain = format!(
            "org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";"
        );
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        format!(
            "ssl.keystore.type=PKCS12\nssl.keystore.location={store}\nssl.keystore.password={STORE_PASSWORD}\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
             listener.name.sasl_ssl.plain.sasl.jaas.config={plain}\n\
             listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={scram}\n\
             listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram}\n",
            store = self.store.display(),
        )
    }

    /// Arguments of `StorageTool format` that add the SCRAM user.
    pub fn format_args() -> Vec<String> {
        ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .iter()
            .flat_map(|mechanism| {
                [
                    "--add-scram".into(),
                    format!("{mechanism}=[name={USER},password=\"{PASSWORD}\"]"),
                ]
            })
            .collect()
    }
}

fn keytool(command: &mut Command) -> Result<()> {
    let output = command.output().context("keytool")?;
    if !output.status.success() {
        bail!(
            "keytool: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
