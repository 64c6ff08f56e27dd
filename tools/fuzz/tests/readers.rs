//! Seeds are read; what is left of them after damage is read or refused.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vdvae_fuzz::READERS;

/// Damaged copies of each seed.
const DAMAGED: usize = 300;

#[test]
fn every_seed_is_a_file_of_its_format() {
    for reader in &READERS {
        for (i, seed) in (reader.seeds)().iter().enumerate() {
            let result = (reader.read)(seed);
            assert_eq!(result, Ok(()), "{}, seed {i}", reader.name);
        }
    }
}

#[test]
fn every_reader_has_a_program_of_libfuzzer() {
    let manifest = include_str!("../libfuzzer/Cargo.toml");
    let programs = manifest.split("[[bin]]\nname = \"").skip(1);
    let mut programs: Vec<&str> = programs.filter_map(|rest| rest.split('"').next()).collect();
    let mut readers: Vec<&str> = READERS.iter().map(|reader| reader.name).collect();
    programs.sort_unstable();
    readers.sort_unstable();
    assert_eq!(programs, readers);
}

/// A panic fails this test.
#[test]
fn damage_is_survived() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for reader in &READERS {
        let mut refused = 0;
        for seed in (reader.seeds)() {
            for _ in 0..DAMAGED {
                let mut bytes = seed.clone();
                for _ in 0..rng.random_range(1..4) {
                    damage(&mut bytes, &mut rng);
                }
                refused += usize::from((reader.read)(&bytes).is_err());
            }
        }
        assert!(refused > 0, "{} refuses nothing", reader.name);
    }
}

/// Changes a byte, sets a run of them, cuts the end off, or repeats a part.
fn damage(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let Some(last) = bytes.len().checked_sub(1) else { return };
    let at = rng.random_range(0..=last);
    let end = bytes.len().min(at + rng.random_range(1..9));
    match rng.random_range(0..5) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = rng.random(),
        2 => bytes[at..end].fill(if rng.random() { 0xff } else { 0 }),
        3 => bytes.truncate(at),
        _ => {
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
    }
}
