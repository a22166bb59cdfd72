//! The structure of the workspace's crates, read from their source: modules and who imports whom, sizes, words of the
//! documentation. `tests/tests/architecture.rs` holds the rules; `cargo run -p tests --bin structure` prints the
//! figures.

mod imports;
mod items;
mod modules;
mod words;

pub use imports::{circles, circles_of, imports};
pub use items::{Function, Struct, functions, structs, undocumented};
pub use modules::{File, files, lines_without_tests};
pub use words::{BANNED, banned};

use std::path::{Path, PathBuf};

/// The crates that users get.
pub const CRATES: [&str; 3] = ["stream-runtime", "stream-macros", "stream-broker"];

/// Returns the directory of a crate's source.
pub fn source(package: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(package)
        .join("src")
}
