//! Moving a store that cannot be opened out of the way, so that someone may look at it later.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Renames `dir` to `dir.bad-<seconds since the epoch>` and removes older ones: only the newest is kept.
pub(super) fn set_aside(dir: &Path) -> io::Result<PathBuf> {
    let older = bad_ones(dir)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let mut time = now;
    let mut aside = bad_name(dir, time);
    // Two within a second, or a clock that went back.
    while aside.exists() {
        time += 1;
        aside = bad_name(dir, time);
    }
    fs::rename(dir, &aside)?;
    for old in older {
        if let Err(error) = fs::remove_dir_all(&old) {
            tracing::warn!("cannot remove the old store {}: {error}", old.display());
        }
    }
    Ok(aside)
}

fn bad_name(dir: &Path, time: u64) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(format!(".bad-{time}"));
    PathBuf::from(name)
}

fn bad_ones(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(Vec::new());
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let prefix = format!("{name}.bad-");
    let mut found = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(&prefix))
        {
            found.push(entry.path());
        }
    }
    Ok(found)
}
