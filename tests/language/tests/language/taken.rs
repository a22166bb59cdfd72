//! Programs that must compile, and run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn runs(program: &str) {
    let done = Command::new(program).output().unwrap();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{errors}");
}

macro_rules! programs {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            runs(env!(concat!("CARGO_BIN_EXE_", stringify!($name))));
        })*

        #[test]
        fn every_program_runs() {
            let sources = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin")).unwrap();
            let stems = sources.map(|file| file.unwrap().path().file_stem().unwrap().display().to_string());
            assert_eq!(stems.collect::<BTreeSet<_>>(), [$(stringify!($name).to_owned()),*].into());
        }
    };
}

programs! {
    beside_streams
    brief
    cfg
    codecs
    commands
    group_by
    join
    order_of_attributes
    record_paths
    renamed_runtime
    returns
    several
    shadowed
    signatures
    strict_lints
    tutorial
    windows
}
