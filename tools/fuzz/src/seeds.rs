//! Small valid files of every format and form that the readers tell apart.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{ImageFormat, RgbImage};
use vdvae_datasets::{Split, ToyFaces};
use vdvae_features::{FeatureWriter, LayerFeatures, Part};
use vdvae_model::{Array, Preset, Weights, write_safetensors};
use zip::CompressionMethod::{Deflated, Stored};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

#[allow(clippy::unwrap_used, reason = "written for tests, of which these are some")]
#[path = "../../../crates/hub/tests/support/tables.rs"]
mod parquet_files;
#[allow(clippy::unwrap_used, dead_code, reason = "written for tests, of which these are some")]
#[path = "../../../crates/model/tests/support/mod.rs"]
mod torch_files;

use parquet_files::{Column, Layout, PICTURE, Packing};
use torch_files::{TensorPickle, floats, state_dict, torch_legacy, torch_zip};

/// Pictures that the tables' rows name.
pub(crate) const CSV_PICTURES: [&str; 4] = ["a.png", "b.png", "c.png", "d.png"];
/// Pictures of two people, for pairs.
pub(crate) const LFW_PICTURES: [&str; 4] = [
    "Ann_Lee/Ann_Lee_0001.jpg",
    "Ann_Lee/Ann_Lee_0002.jpg",
    "Bo_Ray/Bo_Ray_0001.jpg",
    "Bo_Ray/Bo_Ray_0002.jpg",
];
pub(crate) const CELEBA_PICTURES: [&str; 3] = ["000001.jpg", "000002.jpg", "000003.jpg"];
/// The lists beside the attributes.
pub(crate) const CELEBA_LISTS: [(&str, &str); 2] = [
    ("list_eval_partition.txt", "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n"),
    ("identity_CelebA.txt", "000001.jpg 2880\n000002.jpg 7\n000003.jpg 2880\n"),
];
/// Pictures of the idx file.
const IDX_PICTURES: u8 = 3;

fn encoded(format: ImageFormat) -> Vec<u8> {
    let picture = RgbImage::from_fn(6, 4, |x, y| image::Rgb([(x * 40) as u8, (y * 60) as u8, 99]));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("memory");
    bytes.into_inner()
}

pub(crate) fn png() -> Vec<u8> {
    encoded(ImageFormat::Png)
}

pub(crate) fn pictures() -> Vec<Vec<u8>> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    [Jpeg, Png, WebP, Bmp, Gif, Tiff, Pnm].map(encoded).into()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (i, (name, bytes)) in members.iter().enumerate() {
        let method = if i % 2 == 0 { Deflated } else { Stored };
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(*name, options).expect("memory");
        zip.write_all(bytes).expect("memory");
    }
    zip.finish().expect("memory").into_inner()
}

fn tarred(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).expect("memory");
    }
    let mut link = tar::Header::new_ustar();
    link.set_entry_type(tar::EntryType::Link);
    link.set_size(0);
    tar.append_link(&mut link, "train/b/link.png", members[0].0).expect("memory");
    tar.into_inner().expect("memory")
}

pub(crate) fn archives() -> Vec<Vec<u8>> {
    let picture = png();
    let names = ["train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png"];
    let members = names.map(|name| (name, picture.as_slice()));
    let tar = tarred(&members);
    vec![zipped(&members), gzip(&tar), tar]
}

fn array(descr: &str, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    [vdvae_io::npy_header(descr, shape), bytes.to_vec()].concat()
}

pub(crate) fn npy() -> Vec<Vec<u8>> {
    let bytes: Vec<u8> = (0..4 * 5 * 6 * 3).map(|i| i as u8).collect();
    let numbers: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
    let wide: Vec<u8> = bytes.iter().flat_map(|&byte| i64::from(byte).to_be_bytes()).collect();
    vec![
        array("|u1", &[4, 5, 6, 3], &bytes),
        array("<f4", &[4, 3, 5, 6], &floats(&numbers)),
        array(">i8", &[4, 5, 6, 3], &wide),
        array("|u1", &[12, 5, 6], &bytes),
    ]
}

pub(crate) fn npz() -> Vec<Vec<u8>> {
    let pictures = array("|u1", &[4, 5, 6, 3], &[7; 4 * 5 * 6 * 3]);
    let classes = array("|u1", &[4, 1], &[0, 1, 0, 1]);
    let all = ["train", "val", "test"].map(|split| {
        [(format!("{split}_images.npy"), &pictures), (format!("{split}_labels.npy"), &classes)]
    });
    let members: Vec<(&str, &[u8])> =
        all.iter().flatten().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    vec![zipped(&members), zipped(&[("arr_0.npy", &pictures)])]
}

fn idx_file(shape: &[u32], bytes: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut file = vec![0, 0, 8, shape.len() as u8];
    file.extend(shape.iter().flat_map(|side| side.to_be_bytes()));
    file.extend(bytes);
    file
}

pub(crate) fn idx_labels() -> Vec<u8> {
    idx_file(&[IDX_PICTURES.into()], 0..IDX_PICTURES)
}

pub(crate) fn idx() -> Vec<Vec<u8>> {
    let (count, side) = (u32::from(IDX_PICTURES), 4);
    let file = idx_file(&[count, side, side], (0..count * side * side).map(|i| i as u8));
    vec![gzip(&file), file]
}

pub(crate) fn cifar() -> Vec<Vec<u8>> {
    let pixels: Vec<u8> = (0..3072).map(|i| i as u8).collect();
    // Python 2: pickle.dumps({"data": array of (1, 3072), "labels": [3]}, 2)
    let python = [
        &b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\
          \x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\
          \x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00"[..],
        &pixels,
        b"tbU\x06labelsq\x08]q\t(K\x03eu.",
    ];
    vec![[&[3], &pixels[..]].concat(), python.concat()]
}

pub(crate) fn celeba() -> Vec<Vec<u8>> {
    let lines = ["3", "Bald Smiling ", "000001.jpg -1  1", "000002.jpg  1 -1", "000003.jpg  1  1"];
    vec![lines.join("\r\n").into_bytes(), lines.join("\n").into_bytes()]
}

/// Two pictures' first layers of the tiny network: (2, 4, 1, 1), and as columns.
pub(crate) fn latents() -> Vec<Vec<u8>> {
    let numbers: Vec<f32> = (0..8).map(|i| i as f32).collect();
    let layer = array("<f4", &[2, 4, 1, 1], &floats(&numbers));
    let double: Vec<u8> = numbers.iter().flat_map(|&n| f64::from(n).to_le_bytes()).collect();
    let matrix = array("<f8", &[2, 4], &double);
    let header = br#"{"layer.000":{"dtype":"F32","shape":[2,4,1,1],"data_offsets":[0,32]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    vec![
        zipped(&[("layer.000.npy", &layer)]),
        zipped(&[("predicted.npy", &matrix)]),
        matrix,
        [&length, &header[..], &floats(&numbers)].concat(),
        latents_table(numbers),
    ]
}

/// The same as a Parquet file, with all that is known of two rendered faces.
fn latents_table(values: Vec<f32>) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder in TMPDIR");
    let path = folder.path().join("latents.parquet");
    let part = Part { name: "layer.000".to_owned(), shape: vec![4, 1, 1] };
    let layer = LayerFeatures { layer: Some(0), resolution: 1, columns: 4, values };
    let faces = ToyFaces::with_people(0, [1, 1, 1]);
    let write = || {
        let mut writer = FeatureWriter::open(&path, vec![part], "")?;
        writer.append(2, &[0, 1], &[layer])?;
        writer.finish("", Default::default(), &faces, Split::Test)
    };
    write().expect("room in TMPDIR");
    std::fs::read(&path).expect("the file was written")
}

/// A state dict of one tensor of two by two.
fn torch_pickle() -> Vec<u8> {
    state_dict(&[("weight", TensorPickle::new("0", &[2, 2], &[2, 1]).bytes())])
}

pub(crate) fn pickles() -> Vec<Vec<u8>> {
    // Python 3.11: pickle.dumps({"a": [1, 2.5, None, True], "b": (b"x", {3}, frozenset("q"))}, 5)
    let protocol_5 = b"\x80\x05\x95:\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01G@\
        \x04\x00\x00\x00\x00\x00\x00N\x88e\x8c\x01b\x94C\x01x\x94\x8f\x94(K\x03\x90(\x8c\x01q\
        \x94\x91\x94\x87\x94u.";
    vec![torch_pickle(), protocol_5.to_vec()]
}

fn safetensors() -> Vec<u8> {
    let mut weights = Weights::new();
    weights.insert("weight", Array::new(vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]));
    let path = crate::files::write("model.safetensors", b"");
    write_safetensors(&path, &weights, &Preset::Tiny.config(), &BTreeMap::new())
        .expect("room in TMPDIR");
    std::fs::read(path).expect("just written")
}

pub(crate) fn checkpoints() -> Vec<Vec<u8>> {
    let (pickle, data) = (torch_pickle(), floats(&[1.0, 2.0, 3.0, 4.0]));
    let entries: [(&str, &[u8]); 2] = [("data.pkl", &pickle), ("data/0", &data)];
    vec![
        safetensors(),
        torch_zip(Stored, &entries),
        torch_zip(Deflated, &entries),
        torch_legacy(true, &pickle, &[("0", 4, &data)]),
    ]
}

pub(crate) fn tables() -> Vec<Vec<u8>> {
    [
        "path,split,group,y\na.png,train,g,1\nb.png,valid,h,0\nc.png,test,i,1\nd.png,train,j,0\n",
        "\u{feff}path;age\r\na.png;1.5\r\nb.png;\r\n\"c.png\";3.5\r\nd.png;4\r\n",
        "path\tkind\na.png\tcat\nb.png\tdog\nc.png\tNA\nd.png\tcat\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

pub(crate) fn pairs() -> Vec<Vec<u8>> {
    let fold = "Ann_Lee\t1\t2\nAnn_Lee\t1\tBo_Ray\t1\n";
    vec![
        format!("2\t1\n{fold}{fold}").into_bytes(),
        b"\xef\xbb\xbf1\r\nBo_Ray\t1\t2\r\nBo_Ray\t2\tAnn_Lee\t2\r\n".to_vec(),
    ]
}

pub(crate) fn parquet() -> Vec<Vec<u8>> {
    let features =
        r#"{"info":{"features":{"label":{"names":["cat","dog"],"_type":"ClassLabel"}}}}"#;
    let packings = [Packing::None, Packing::Snappy, Packing::Zstd, Packing::Gzip];
    let file = |(i, compression): (usize, Packing)| {
        let path = crate::files::write("seed.parquet", b"");
        let columns = [
            Column::Bytes(parquet_files::numbered(5)),
            Column::Text(vec!["x.png"; 5]),
            Column::Long((0..5).map(|i| Some(i % 2)).collect()),
        ];
        let metadata = Some(features.to_owned());
        let layout = Layout {
            compression,
            group: 3,
            metadata,
            small_pages: i % 2 == 1,
            ..Layout::default()
        };
        parquet_files::write(&path, &format!("{PICTURE} optional int64 label;"), &columns, &layout);
        std::fs::read(path).expect("just written")
    };
    packings.into_iter().enumerate().map(file).collect()
}

pub(crate) fn cards() -> Vec<Vec<u8>> {
    let text = "---\nlicense: mit\nconfigs:\n- config_name: plain\n  default: true\n  data_files:\n  \
                - split: train\n    path: data/train-*\n  - split: test\n    path: [\"data/{a,b}.parquet\"]\n\
                dataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n        \
                names:\n          '0': cat\n          '1': dog\n---\n# A set\n";
    vec![text.as_bytes().to_vec()]
}
