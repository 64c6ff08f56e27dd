//! Bytes to the readers that users' files reach.

use std::path::Path;

use vdvae_datasets::{Lfw, OpenOptions, Split, open};
use vdvae_features::read_layers;
use vdvae_hub::{Card, ClassNames, Table, columns};
use vdvae_io::pickle::{Pickle, PickleRules};
use vdvae_model::{Checkpoint, Preset};

use crate::files::{once, write};
use crate::seeds;

/// Pictures of a data set that are decoded; more would only be more of the same.
const PICTURES: usize = 3;

fn said(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    assert!(!text.is_empty(), "an error without a word");
    text
}

/// Opens a data set and reads all that programs read of it, and `PICTURES` of its pictures.
fn data(name: &str, path: &Path) -> Result<(), String> {
    data_and(PICTURES, name, path)
}

fn data_and(pictures: usize, name: &str, path: &Path) -> Result<(), String> {
    let spec = format!("{name}:{}", path.display());
    let data = open(&spec, &OpenOptions::default()).map_err(said)?;
    for split in Split::ALL {
        data.labels(split);
        data.groups(split);
        for index in 0..data.len(split).min(pictures) {
            data.key(split, index);
            let _ = data.image(split, index).map_err(said);
        }
    }
    data.remarks();
    data.stamp();
    Ok(())
}

pub(crate) fn archive(bytes: &[u8]) -> Result<(), String> {
    data("folder", &write("archive.zip", bytes))
}

pub(crate) fn picture(bytes: &[u8]) -> Result<(), String> {
    vdvae_io::decode_picture("picture", bytes, vdvae_io::Exif::default()).map(drop).map_err(said)
}

pub(crate) fn npy(bytes: &[u8]) -> Result<(), String> {
    data("npy", &write("array.npy", bytes))
}

pub(crate) fn npz(bytes: &[u8]) -> Result<(), String> {
    data("npz", &write("arrays.npz", bytes))
}

/// The labels beside it are of as many pictures as the seeds hold.
pub(crate) fn idx(bytes: &[u8]) -> Result<(), String> {
    once("mnist/t10k-labels-idx1-ubyte", seeds::idx_labels);
    let pictures = write("mnist/t10k-images-idx3-ubyte", bytes);
    data("mnist", pictures.parent().expect("in a folder"))
}

/// Records, or a pickle of the Python version.
pub(crate) fn cifar(bytes: &[u8]) -> Result<(), String> {
    let name =
        if bytes.starts_with(b"\x80") { "python/data_batch_1" } else { "c/data_batch_1.bin" };
    data("cifar10", write(name, bytes).parent().expect("in a folder"))
}

/// The attributes of three pictures, which are always the same: one is enough.
pub(crate) fn celeba(bytes: &[u8]) -> Result<(), String> {
    for name in seeds::CELEBA_PICTURES {
        once(&format!("celeba/img_align_celeba/{name}"), seeds::png);
    }
    for (name, text) in seeds::CELEBA_LISTS {
        once(&format!("celeba/{name}"), || text.into());
    }
    let path = write("celeba/list_attr_celeba.txt", bytes);
    data_and(1, "celeba", path.parent().expect("in a folder"))
}

/// Latents of the tiny network.
pub(crate) fn latents(bytes: &[u8]) -> Result<(), String> {
    let name = match bytes {
        [b'P', b'K', ..] => "latents.npz",
        [0x93, ..] => "latents.npy",
        [b'P', b'A', b'R', b'1', ..] => "latents.parquet",
        _ => "latents.safetensors",
    };
    let config = Preset::Tiny.config();
    read_layers(&write(name, bytes).into(), &config).map(drop).map_err(said)
}

pub(crate) fn pickle(bytes: &[u8]) -> Result<(), String> {
    let names = &[("torch._utils", "_rebuild_tensor_v2"), ("torch", "FloatStorage")];
    let rules = PickleRules { names, foreign: true, nothing_but: "data", protocol: 5 };
    Pickle::read(bytes, 0, "pickle", rules).map(drop).map_err(said)
}

/// Safetensors, and both forms of PyTorch.
pub(crate) fn checkpoint(bytes: &[u8]) -> Result<(), String> {
    Checkpoint::read_bytes(bytes, "model").map(drop).map_err(said)
}

/// A table of pictures that are always the same: one is enough.
pub(crate) fn csv(bytes: &[u8]) -> Result<(), String> {
    for name in seeds::CSV_PICTURES {
        once(&format!("table/{name}"), seeds::png);
    }
    data_and(1, "csv", &write("table/table.csv", bytes))
}

/// Lists are read as the pictures are opened, which therefore is done anew each time.
pub(crate) fn pairs(bytes: &[u8]) -> Result<(), String> {
    for name in seeds::LFW_PICTURES {
        once(&format!("lfw/{name}"), seeds::png);
    }
    let path = write("lfw/pairs.txt", bytes);
    let lfw = Lfw::open(path.parent().expect("in a folder")).map_err(said)?;
    lfw.pairs().map(drop).map_err(said)
}

pub(crate) fn parquet(bytes: &[u8]) -> Result<(), String> {
    let path = write("table.parquet", bytes);
    let found = columns(&path, None, &ClassNames::new()).map_err(said)?;
    let (table, _labels) = Table::open(&path, &found).map_err(said)?;
    for row in 0..table.rows().min(PICTURES) {
        if let Some(Ok(bytes)) = table.single(row).map_err(said)?.get(row) {
            let _ = picture(bytes);
        }
    }
    Ok(())
}

pub(crate) fn card(bytes: &[u8]) -> Result<(), String> {
    Card::read(&write("README.md", bytes)).map(drop).map_err(said)
}
