//! The weights that are kept in the project, found by name.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use candle_core::Device;
use vdvae_model::{Checkpoint, Vdvae, checkpoint_file};

#[test]
fn every_file_is_small_described_and_found_by_its_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|file| file.extension().unwrap() == "safetensors").collect();
    assert!(!files.is_empty());
    for file in files {
        let name = file.file_stem().unwrap();
        assert!(file.metadata().unwrap().len() <= 8_000_000, "{}", file.display());
        let checkpoint = Checkpoint::read(&file).unwrap();
        let card = std::fs::read_to_string(file.with_extension("md")).unwrap();
        assert!(card.contains(&checkpoint.sha256), "{}", checkpoint.sha256);
        // Tests run in the folder of their package, which lies below that of the weights.
        let found = checkpoint_file(Path::new(name)).unwrap();
        assert_eq!(found.canonicalize().unwrap(), file.canonicalize().unwrap());
        let network = Vdvae::load(name, &Device::Cpu).unwrap();
        assert_eq!(Some(network.config()), checkpoint.config.as_ref());
    }
}
