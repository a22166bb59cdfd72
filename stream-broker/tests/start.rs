//! Starting, stopping, and what is refused.

use stream_broker::{Broker, Config};

#[test]
fn only_loopback_is_served() {
    let directory = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "192.0.2.1:9092", "[::]:0"] {
        let config = Config::new(directory.path()).address(address.parse().unwrap());
        let error = Broker::start(config).unwrap_err().to_string();
        assert!(
            error.contains("loopback only") && error.contains(address),
            "{error}"
        );
    }
}

#[test]
fn a_directory_serves_one_broker_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = Broker::start(Config::new(directory.path())).unwrap();
    let error = Broker::start(Config::new(directory.path())).unwrap_err();
    assert!(error.is_in_use());
    assert!(
        error
            .to_string()
            .contains(&directory.path().display().to_string()),
        "{error}"
    );
    let address = first.address();
    first.shutdown();
    let again = Broker::start(Config::new(directory.path()).address(address)).unwrap();
    assert_eq!(again.address(), address);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Broker::start(Config::new(one.path())).unwrap();
    let error = Broker::start(Config::new(other.path()).address(first.address())).unwrap_err();
    assert!(error.is_address_in_use());
    assert!(
        error.to_string().contains(&first.address().to_string()),
        "{error}"
    );
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"not a directory").unwrap();
    let error = Broker::start(Config::new(&file)).unwrap_err().to_string();
    assert!(
        error.contains("cannot use the data directory") && error.contains("file"),
        "{error}"
    );
}

#[tokio::test]
async fn it_starts_and_stops_inside_another_runtime() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(Config::new(directory.path())).unwrap();
    assert!(
        tokio::net::TcpStream::connect(broker.address())
            .await
            .is_ok()
    );
    drop(broker);
}

#[test]
fn a_spoilt_journal_is_named_and_nothing_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    Broker::start(Config::new(directory.path()))
        .unwrap()
        .shutdown();
    for name in ["topics", "groups", "transactions"] {
        let path = directory.path().join(format!("{name}.journal"));
        let good = std::fs::read(&path).unwrap();
        let garbage: Vec<u8> = (0..500).map(|ix| (ix * 37 % 251) as u8).collect();
        std::fs::write(&path, &garbage).unwrap();
        let error = Broker::start(Config::new(directory.path()))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&path.display().to_string())
                && error.contains("move the data directory away"),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), garbage);
        std::fs::write(&path, good).unwrap();
    }
    Broker::start(Config::new(directory.path())).unwrap();
}
