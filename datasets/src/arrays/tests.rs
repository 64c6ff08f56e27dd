use std::fs;
use std::io::Write;

use super::*;

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn array(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    [&vdvae_io::npy_header(descr, shape), data].concat()
}

fn f32s(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

fn open_with(bytes: &[u8], options: &OpenOptions) -> Result<Arrays> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.npy");
    fs::write(&path, bytes).unwrap();
    Arrays::open_npy(&path, options)
}

fn open(bytes: &[u8]) -> Result<Arrays> {
    open_with(bytes, &OpenOptions::default())
}

/// Pixels of every picture, in order.
fn pixels(arrays: &Arrays) -> Vec<u8> {
    let picture = |index| arrays.image(Split::Test, index).unwrap().into_raw();
    (0..arrays.len(Split::Test)).flat_map(picture).collect()
}

const HEADER: &str = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 3, 3), }     \n";

#[test]
fn pictures_are_read_upright() {
    let data: Vec<u8> = (0..36).collect();
    let npy = open(&file(HEADER, &data)).unwrap();
    assert_eq!(npy.len(Split::Test), 2);
    let picture = npy.image(Split::Test, 1).unwrap();
    assert_eq!(picture.dimensions(), (3, 2));
    assert_eq!(picture.get_pixel(2, 0).0, [24, 25, 26]);
    assert_eq!(picture.get_pixel(0, 1).0, [27, 28, 29]);
    assert_eq!(pixels(&npy), data);
    assert!(npy.image(Split::Test, 2).is_err());
}

#[test]
fn validation_is_held_out_and_test_is_all() {
    let bytes = array("|u1", &[30, 2, 1, 3], &(0..180).collect::<Vec<u8>>());
    let of = |splits: &[Split]| {
        open_with(&bytes, &OpenOptions { splits: splits.to_vec(), ..OpenOptions::default() })
            .unwrap()
    };
    let npy = of(&[Split::Train, Split::Valid]);
    assert_eq!(Split::ALL.map(|split| npy.len(split)), [27, 3, 30]);
    let keys = |split| (0..npy.len(split)).map(move |i| (split, i));
    let mut all: Vec<usize> = keys(Split::Train)
        .chain(keys(Split::Valid))
        .map(|(split, index)| npy.key(split, index).parse().unwrap())
        .collect();
    let picture = npy.image(Split::Valid, 1).unwrap();
    assert_eq!(npy.key(Split::Valid, 1), (picture.get_pixel(0, 0).0[0] / 6).to_string());
    all.sort_unstable();
    assert_eq!(all, (0..30).collect::<Vec<_>>());
    assert!(
        npy.remarks()[0].ends_with(
            "`valid` is a seeded tenth of the array, `train` the rest, `test` all of it"
        )
    );
    assert_eq!(of(&[Split::Train]).len(Split::Train), 30);
    let seeded = |seed| open_with(&bytes, &OpenOptions { seed, ..OpenOptions::default() }).unwrap();
    assert_ne!(seeded(0).fingerprint(), seeded(1).fingerprint());
    // What reads all pictures does not go by a seed.
    assert_eq!(of(&[Split::Test]).fingerprint(), of(&[Split::Train]).fingerprint());
}

#[test]
fn every_layout_and_number_gives_the_same_pixels() {
    // Two pictures of 2×3, in colours; the fourth channel is alpha.
    let value = |n: usize, y: usize, x: usize, c: usize| (100 * n + 30 * y + 9 * x + c) as u8;
    let expected: Vec<u8> = (0..36).map(|i| value(i / 18, i / 9 % 2, i / 3 % 3, i % 3)).collect();
    let nchw: Vec<u8> = (0..36).map(|i| value(i / 18, i / 3 % 2, i % 3, i / 6 % 3)).collect();
    let rgba: Vec<u8> = expected.chunks(3).flat_map(|p| [p[0], p[1], p[2], 7]).collect();
    // numpy.asfortranarray: the first side runs fastest.
    let fortran: Vec<u8> = (0..36).map(|i| value(i % 2, i / 2 % 2, i / 4 % 3, i / 12)).collect();
    let fortran_header = HEADER.replace("False", "True");
    let be16 = |data: &[u8]| data.iter().flat_map(|&v| [0, v]).collect::<Vec<u8>>();
    let unit = |data: &[u8]| f32s(data.iter().map(|&v| f32::from(v) / 255.0));
    let whole = |data: &[u8]| f32s(data.iter().map(|&v| f32::from(v)));
    let cases = [
        (array("|u1", &[2, 3, 2, 3], &nchw), "as N×3×2×3"),
        (array("|u1", &[2, 2, 3, 4], &rgba), "without their alpha"),
        (file(&fortran_header, &fortran), "Fortran order"),
        (array(">i2", &[2, 2, 3, 3], &be16(&expected)), ""),
        (array("<f4", &[2, 2, 3, 3], &unit(&expected)), "floats from 0 to 1"),
        (array("<f4", &[2, 3, 2, 3], &whole(&nchw)), "as N×3×2×3, as floats from 0 to 255"),
    ];
    for (bytes, remark) in cases {
        // The shape (2, 3, 2, 3) fits both.
        let layout = remark.starts_with("as N×3").then_some(ArrayLayout::Nchw);
        let arrays = open_with(&bytes, &OpenOptions { layout, ..OpenOptions::default() }).unwrap();
        assert_eq!(pixels(&arrays), expected, "{remark}");
        let remarks = arrays.remarks();
        assert_eq!(remarks.len(), 1 + usize::from(!remark.is_empty()));
        assert!(remarks[0].contains(remark), "{remarks:?}");
    }
    for shape in [&[2, 2, 3][..], &[2, 2, 3, 1], &[2, 1, 2, 3]] {
        // Grey of width 3 needs its channel; without one this could be a picture in colours.
        match open(&array("|u1", shape, &(0..12).collect::<Vec<u8>>())) {
            Ok(arrays) => {
                assert_eq!(pixels(&arrays)[..6], [0, 0, 0, 1, 1, 1]);
                assert!(arrays.remarks()[0].contains("grey"));
            }
            Err(error) => assert!(shape.len() == 3 || shape[1] == 1, "{error}"),
        }
    }
    assert_eq!(pixels(&open(&array("|u1", &[1, 2, 2], &[1, 2, 3, 4])).unwrap()).len(), 12);
}

#[test]
fn shapes_that_fit_two_layouts_are_refused_until_asked() {
    let bytes = array("|u1", &[1, 3, 2, 3], &[0; 18]);
    let text = open(&bytes).unwrap_err().to_string();
    assert!(text.contains("[1, 3, 2, 3] fits N×H×W×C and N×C×H×W"), "{text}");
    for (layout, size) in [(ArrayLayout::Nhwc, (2, 3)), (ArrayLayout::Nchw, (3, 2))] {
        let options = OpenOptions { layout: Some(layout), ..OpenOptions::default() };
        let arrays = open_with(&bytes, &options).unwrap();
        assert_eq!(arrays.image(Split::Test, 0).unwrap().dimensions(), size);
        assert_eq!(layout.to_string().parse::<ArrayLayout>().unwrap(), layout);
    }
}

#[test]
fn numbers_out_of_range_are_refused_by_picture() {
    // Pictures of one pixel fit both layouts.
    let options = OpenOptions { layout: Some(ArrayLayout::Nhwc), ..OpenOptions::default() };
    let open = |descr: &str, pictures: usize, data: &[u8]| {
        open_with(&array(descr, &[pictures, 1, 1, 3], data), &options)
    };
    let floats = |values: [f32; 9]| open("<f4", 3, &f32s(values)).unwrap_err().to_string();
    let cases = [
        ([0.5, 0., 0., 0., f32::NAN, 0., 0., 0., 0.], "found NaN in picture 1"),
        ([0.5, 0., 0., 0., 0., 0., 0., 0., -0.1], "found -0.1"),
        ([0., 0., 0., 0., 0., 0., 256., 0., 0.], "found 256 in picture 2"),
        ([0., 9., 0., 0., 0.5, 0., 0., 0., 0.], "1 at most in picture 1, and more in picture 0"),
    ];
    for (values, expected) in cases {
        let text = floats(values);
        assert!(text.contains(expected) && !text.contains('\n'), "{text}");
    }
    let text = open("|i1", 1, &[0, 255, 0]).unwrap_err().to_string();
    assert!(text.contains("found -1 in picture 0"), "{text}");
    // A float of 1 is white; whole numbers up to 1 would be black, whatever they mean.
    let text = open("<i2", 1, &[1, 0, 0, 0, 1, 0]).unwrap_err().to_string();
    assert!(text.contains("whole numbers from 0 to 255, found none above 1"), "{text}");
    let bytes = open("|u1", 1, &[1, 0, 1]).unwrap();
    assert_eq!(pixels(&bytes), [1, 0, 1]);
    assert!(bytes.remarks()[0].contains("no byte looked at is above 1"), "{:?}", bytes.remarks());
    assert_eq!(pixels(&open("<f4", 1, &f32s([1., 0., 1.])).unwrap()), [255, 0, 255]);
}

#[test]
fn hostile_headers_are_one_clear_line() {
    let header = |descr: &str, order: &str, shape: &str| {
        format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n")
    };
    let cases = [
        (header("'|b1'", "False", "(1, 2, 2, 3)"), "whole numbers or floats"),
        (header("'|u1'", "None", "(1, 2, 2, 3)"), "fortran_order"),
        (header("'|u1'", "False", "(1, 2, 2, 5)"), "20 bytes"),
        (header("'|u1'", "False", "(1, 2, 2, 3, 1)"), "(N, H, W, C)"),
        (header("'|u1'", "False", "(2, 2, 3)"), "(N, H, W, C)"),
        (header("'|u1'", "False", "(12, 1)"), "(N, H, W, C)"),
        (header("'|u1'", "False", "(-1, 2, 2, 3)"), "natural numbers"),
        (header("'|u1'", "False", "(12, 0, 2, 3)"), "0 bytes"),
        (header("'|u1'", "False", "(1, 99999999999, 2, 3)"), "expected 599999999994 bytes"),
        (header("'|u1'", "False", "(99999999999999999999, 2, 2, 3)"), "natural numbers"),
        (header("'|u1'", "False", "(18446744073709551615, 2, 2, 3)"), "fewer numbers"),
        (header("'|u1'", "False", "(2, 2, 2, 3)"), "24 bytes"),
        ("[]".to_owned(), "{…}"),
    ];
    for (header, expected) in cases {
        let text = open(&file(&header, &[0; 12])).unwrap_err().to_string();
        // Non-ASCII characters of what was expected are kept, those of the file are escaped.
        assert!(text.contains(expected) && !text.contains('\n'), "{header}: {text}");
    }
    let empty = header("'|u1'", "False", "(1, 0, 2, 3)");
    assert!(open(&file(&empty, &[])).unwrap_err().to_string().contains("0x2"));
}

#[test]
fn the_fingerprint_sees_pixels_and_the_stamp_the_time_of_change() {
    let data: Vec<u8> = (0..36).collect();
    let npy = open(&file(HEADER, &data)).unwrap();
    assert_eq!(npy.fingerprint(), open(&file(HEADER, &data)).unwrap().fingerprint());
    for changed in [0, 17, 35] {
        let mut data = data.clone();
        data[changed] ^= 1;
        let other = open(&file(HEADER, &data)).unwrap();
        assert_ne!(npy.fingerprint(), other.fingerprint(), "byte {changed}");
    }
    let signed = HEADER.replace("|u1", "|i1");
    assert_ne!(npy.fingerprint(), open(&file(&signed, &data)).unwrap().fingerprint());
    let wider = HEADER.replace("(2, 2, 3, 3)", "(3, 2, 2, 3)");
    assert_ne!(npy.fingerprint(), open(&file(&wider, &data)).unwrap().fingerprint());
    assert!(open(&file(&HEADER.replace("(2,", "(0,"), &[])).is_ok());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.npy");
    fs::write(&path, file(HEADER, &data)).unwrap();
    let open = || Arrays::open_npy(&path, &OpenOptions::default()).unwrap();
    let before = open();
    let written = File::options().write(true).open(&path).unwrap();
    written.set_modified(std::time::UNIX_EPOCH).unwrap();
    let after = open();
    assert_eq!(before.fingerprint(), after.fingerprint());
    assert_ne!(before.stamp(), after.stamp());
}

#[test]
fn short_and_foreign_files_are_one_clear_line() {
    let whole = file(HEADER, &[0; 36]);
    for length in 0..whole.len() {
        assert!(open(&whole[..length]).is_err(), "{length} bytes");
    }
    let mut long = whole.clone();
    long.push(0);
    assert!(open(&long).unwrap_err().to_string().contains("37 bytes"));
    assert!(open(b"\x93NUMPX\x01\x00\x00\x00").unwrap_err().to_string().contains("NUMPY"));
    assert!(open(b"\x1f\x8b\x08\0\0\0\0\0\0\0").unwrap_err().to_string().contains("a gzip file"));
}

/// An `.npz` file of these arrays, compressed or not.
fn npz(arrays: &[(&str, Vec<u8>)], compressed: bool) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let method = match compressed {
        true => zip::CompressionMethod::Deflated,
        false => zip::CompressionMethod::Stored,
    };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn open_npz(arrays: &[(&str, Vec<u8>)]) -> Result<Arrays> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.npz");
    fs::write(&path, npz(arrays, arrays.len().is_multiple_of(2))).unwrap();
    Arrays::open_npz(&path, &OpenOptions::default())
}

/// `count` grey pictures of two pixels.
fn grey(count: u8) -> Vec<u8> {
    array("|u1", &[usize::from(count), 1, 2], &(0..count).flat_map(|v| [v; 2]).collect::<Vec<u8>>())
}

fn sizes(arrays: &Arrays) -> [usize; 3] {
    Split::ALL.map(|split| arrays.len(split))
}

#[test]
fn medmnist_and_keras_are_read_by_their_names() {
    let classes = |values: &[u8]| array("|u1", &[values.len(), 1], values);
    let medmnist = open_npz(&[
        ("train_images", grey(3)),
        ("train_labels", classes(&[7, 0, 7])),
        ("val_images", grey(1)),
        ("val_labels", classes(&[7])),
        ("test_images", grey(2)),
        ("test_labels", classes(&[0, 9])),
    ])
    .unwrap();
    assert_eq!(sizes(&medmnist), [3, 1, 2]);
    let names = ["0", "7", "9"].map(str::to_owned).to_vec();
    let expected = |labels| Labels::Classes { names: names.clone(), labels };
    assert_eq!(medmnist.labels(Split::Train), expected(vec![1, 0, 1]));
    assert_eq!(medmnist.labels(Split::Test), expected(vec![0, 2]));
    assert_eq!(medmnist.image(Split::Test, 1).unwrap().get_pixel(0, 0).0, [1; 3]);
    assert_eq!(medmnist.key(Split::Test, 1), "test/1");
    let int64 = |values: &[i64]| -> Vec<u8> {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        array("<i8", &[values.len()], &data)
    };
    let keras = open_npz(&[
        ("x_train", grey(20)),
        ("y_train", int64(&[1; 20])),
        ("x_test", grey(2)),
        ("y_test", int64(&[1, 0])),
    ])
    .unwrap();
    assert_eq!(sizes(&keras), [18, 2, 2]);
    assert!(keras.remarks().iter().any(|remark| remark.starts_with("`valid` is a seeded tenth")));
}

#[test]
fn several_labels_of_a_picture_are_attributes() {
    let labels = array("|u1", &[3, 2], &[1, 0, 0, 0, 1, 1]);
    let arrays = open_npz(&[("images", grey(3)), ("labels", labels)]).unwrap();
    assert_eq!(sizes(&arrays), [1, 1, 1]);
    let Labels::Binary { names, values } = arrays.labels(Split::Train) else { panic!() };
    assert_eq!(names, ["label_0", "label_1"]);
    let row: usize = arrays.key(Split::Train, 0).parse().unwrap();
    assert_eq!(values, [[1, 0], [0, 0], [1, 1]][row]);
    assert_eq!(arrays.remarks().len(), 2);
    let labels = array("|u1", &[3, 2], &[1, 0, 0, 1, 1, 0]);
    let arrays = open_npz(&[("images", grey(3)), ("labels", labels)]).unwrap();
    assert!(arrays.remarks()[1].starts_with("each picture has one of several labels"));
}

#[test]
fn one_array_of_pictures_is_as_a_npy_file() {
    for name in ["images", "x", "arr_0"] {
        let arrays = open_npz(&[(name, grey(20))]).unwrap();
        assert_eq!(sizes(&arrays), [18, 2, 20]);
        assert_eq!(arrays.labels(Split::Train), Labels::None);
    }
}

#[test]
fn other_arrays_are_refused_with_their_names() {
    let message = |arrays: &[(&str, Vec<u8>)]| open_npz(arrays).unwrap_err().to_string();
    let text = message(&[("faces", grey(2)), ("images", grey(2))]);
    assert!(text.contains("found faces, images") && text.contains("train_images"), "{text}");
    assert!(message(&[("images", grey(2)), ("x", grey(2))]).contains("found images, x"));
    let with = |labels: Vec<u8>| message(&[("images", grey(2)), ("labels", labels)]);
    assert!(with(array("|u1", &[3], &[0, 1, 1])).contains("2 pictures and 3 labels"));
    assert!(with(array("<f4", &[2], &f32s([0.5, 1.0]))).contains("found 0.5"));
    assert!(with(array("|u1", &[2, 2], &[0, 1, 2, 0])).contains("found 2"));
    assert!(with(array("|u1", &[2, 1, 1], &[0, 1])).contains("[2, 1, 1]"));
    assert!(message(&[("y_test", grey(1))]).contains("[1, 1, 2]"));
    let parts = [
        ("train_images", grey(2)),
        ("test_images", grey(2)),
        ("test_labels", array("|u1", &[2], &[0, 1])),
    ];
    assert!(message(&parts).contains("labels of all pictures, or of none"));
    assert!(message(&[("test_images", grey(2))]).contains("pictures to train on"));
}
