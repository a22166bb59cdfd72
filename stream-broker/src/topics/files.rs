//! The directories of topics, held against what the journal names: files nobody names are somebody's records.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;

use uuid::Uuid;

/// Fails when there are records in `logs` that the journal does not name. `named` are all topics it ever named, `live`
/// those it has not deleted, with their partition counts.
pub(super) fn check(
    logs: &Path,
    journal: &Path,
    named: &HashSet<Uuid>,
    live: &BTreeMap<Uuid, i32>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(logs)? {
        let path = entry?.path();
        let id = path.file_name().and_then(|name| name.to_str());
        let Some(id) = id.and_then(|name| Uuid::parse_str(name).ok()) else {
            tracing::warn!(path = %path.display(), "this is none of the broker's files; it is left alone");
            continue;
        };
        if !named.contains(&id) {
            return Err(unnamed(&path, journal));
        }
        let Some(count) = live.get(&id) else { continue };
        for partition in std::fs::read_dir(&path)? {
            let partition = partition?.path();
            let index = partition.file_name().and_then(|name| name.to_str());
            let index = index.and_then(|name| name.parse::<i32>().ok());
            // One without records was made by a growth that a kill cut short.
            if index.is_some_and(|index| index >= *count) && has_records(&partition)? {
                return Err(unnamed(&partition, journal));
            }
        }
    }
    Ok(())
}

fn has_records(partition: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(partition)? {
        if entry?.metadata()?.len() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unnamed(path: &Path, journal: &Path) -> io::Error {
    let message = format!(
        "{} is not in {}, which is damaged or of another directory. Nothing has been changed. Restore that file from \
         a copy, or move the data directory away to start with an empty one",
        path.display(),
        journal.display()
    );
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Removes a topic's directory, if it is there.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
