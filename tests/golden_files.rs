//! Where the golden traces are; part of the tests that read them.

use std::fs;
use std::path::{Path, PathBuf};

/// All of `tests/traces/<pass>/*.trace`, in order.
pub fn golden_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/traces");
    let entries = |path: &Path| {
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        entries
            .map(|entry| entry.expect("a readable folder").path())
            .collect::<Vec<_>>()
    };
    let mut files: Vec<PathBuf> = entries(&folder).iter().flat_map(|pass| entries(pass)).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "trace"));
    files.sort();
    files
}
