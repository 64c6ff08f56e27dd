//! Runs the two programs, and makes small files for them to read.

#![allow(dead_code, reason = "each test program uses some of these")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use vdvae_datasets::{Dataset, Split, ToyFaces};

/// What a program left behind.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Its stdout; it must have succeeded.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// Its one line on stderr, but for notes on the data; it must have failed with this exit code and
    /// printed nothing else.
    pub(crate) fn error(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.stderr, self.stdout);
        assert_eq!(self.stdout, "");
        let lines: Vec<&str> =
            self.stderr.lines().filter(|line| !line.starts_with("note: ")).collect();
        let &[line] = &lines[..] else { panic!("{}", self.stderr) };
        assert!(line.starts_with("error: ") && self.stderr.ends_with('\n'), "{}", self.stderr);
        line.to_owned()
    }
}

/// `vdvae`, in a folder, with arguments separated by spaces; relative paths are of that folder.
pub(crate) fn vdvae(folder: &Path, args: &str) -> Ran {
    Ran::of(vdvae_command(folder, args).output().unwrap())
}

pub(crate) fn vdvae_command(folder: &Path, args: &str) -> Command {
    command(env!("CARGO_BIN_EXE_vdvae"), folder, args)
}

/// `vdvae-probe`, in the same way.
pub(crate) fn probe(folder: &Path, args: &str) -> Ran {
    Ran::of(command(env!("CARGO_BIN_EXE_vdvae-probe"), folder, args).output().unwrap())
}

fn command(program: &str, folder: &Path, args: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .args(args.split_whitespace())
        .env_remove("VDVAE_DATA")
        .env_remove("VDVAE_WEIGHTS");
    // A cache of its own, so that no test reads what another, or an older program, has left.
    command.env("VDVAE_CACHE", folder.join(".cache"));
    // No test reaches the internet, or reads what the hub's cache of this machine holds.
    command.env("HF_HUB_OFFLINE", "1").env("HF_HUB_CACHE", folder.join(".cache/hub"));
    // Numbers are compared with those of a CPU.
    command.env("CUDA_VISIBLE_DEVICES", "");
    command.env_remove("HF_ENDPOINT").env_remove("HF_TOKEN").env_remove("VDVAE_WEIGHTS_URL");
    command
}

/// The parity case `tiny`: 16×16, nine layers.
pub(crate) fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/parity/tiny")
}

/// Puts `model.safetensors`, `model.th` and `config.json` of [`tiny`] into a folder.
pub(crate) fn add_tiny_model(folder: &Path) {
    for name in ["model.th", "model-legacy.th", "config.json"] {
        fs::copy(tiny().join(name), folder.join(name)).unwrap();
    }
    vdvae(folder, "convert model.th model.safetensors --config config.json").ok();
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A .npy file of bytes, C order.
pub(crate) fn npy(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    [&vdvae_io::npy_header(descr, shape), data].concat()
}

/// `count` rendered faces of 16×16 as a .npy file.
pub(crate) fn faces_npy(count: usize) -> Vec<u8> {
    let faces = ToyFaces::new(0);
    let pixels: Vec<u8> = (0..count)
        .flat_map(|index| faces.render(Split::Train, index, 16).unwrap().into_raw())
        .collect();
    npy("|u1", &[count, 16, 16, 3], &pixels)
}

/// `labels.csv` and the pictures that it names: `count` rendered faces of 24×24, with the columns
/// `path`, `split`, `group`, `Hat`, `brightness` and `kind`. Half train, a quarter valid and test.
pub(crate) fn csv_faces(folder: &Path, count: usize) {
    fs::create_dir_all(folder.join("pictures")).unwrap();
    let faces = ToyFaces::new(0);
    let vdvae_datasets::Labels::Binary { names, values } = faces.labels(Split::Train) else {
        panic!("toy-faces has attributes");
    };
    let hat = names.iter().position(|name| name.to_lowercase().contains("hat")).unwrap();
    let mut text = "path,split,group,Hat,brightness,kind\n".to_owned();
    for index in 0..count {
        let source = (index / 2) * 20 + index % 2;
        let picture = faces.render(Split::Train, source, 24).unwrap();
        let sum: f64 = picture.as_raw().iter().map(|&p| f64::from(p)).sum();
        let mean = sum / picture.as_raw().len() as f64;
        picture.save(folder.join(format!("pictures/{index}.png"))).unwrap();
        let split = ["train", "train", "valid", "test"][index / 2 % 4];
        let wears = if values[source * names.len() + hat] == 1 { "yes" } else { "no" };
        let kind = if mean > 127.0 { "light" } else { "dark" };
        let group = index / 2;
        text += &format!("pictures/{index}.png,{split},p{group},{wears},{mean:.3},{kind}\n");
    }
    fs::write(folder.join("labels.csv"), text).unwrap();
}

/// A data set in the layout of CelebA, of rendered faces with two attributes: `Hat`, and one that
/// the picture does not show. Two pictures an identity; a quarter each for valid and test.
pub(crate) fn celeba(folder: &Path, count: usize) {
    let pictures = folder.join("img_align_celeba");
    fs::create_dir_all(&pictures).unwrap();
    let faces = ToyFaces::new(0);
    let vdvae_datasets::Labels::Binary { names, values } = faces.labels(Split::Train) else {
        panic!("toy-faces has attributes");
    };
    let hat = names.iter().position(|name| name.to_lowercase().contains("hat")).unwrap();
    let mut attributes = format!("{count}\r\nHat Parity \r\n");
    let (mut partition, mut identities) = (String::new(), String::new());
    for index in 0..count {
        let key = format!("{:06}.jpg", index + 1);
        // Twenty pictures of a person follow one another; take each person's first two.
        let source = (index / 2) * 20 + index % 2;
        let picture = faces.render(Split::Train, source, 48).unwrap();
        picture.save(pictures.join(&key)).unwrap();
        let sign = |positive: bool| if positive { " 1" } else { "-1" };
        let wears = values[source * names.len() + hat] == 1;
        attributes += &format!("{key} {} {}\r\n", sign(wears), sign(index / 8 % 2 == 0));
        let split = [0, 0, 1, 2][index / 2 % 4];
        partition += &format!("{key} {split}\n");
        identities += &format!("{key} {}\n", index / 2);
    }
    fs::write(folder.join("list_attr_celeba.txt"), attributes).unwrap();
    fs::write(folder.join("list_eval_partition.txt"), partition).unwrap();
    fs::write(folder.join("identity_CelebA.txt"), identities).unwrap();
}
