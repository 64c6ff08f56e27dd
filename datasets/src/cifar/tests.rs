use std::collections::HashSet;
use std::fs;

use super::*;

const RECORD: usize = 1 + PIXELS;

fn open(root: &Path) -> Result<Cifar> {
    Cifar::open(root, CifarSet::Cifar10)
}

/// `n` records of class `i % 10`, whose red, green and blue planes differ by position.
fn records(n: usize) -> Vec<u8> {
    let plane = |i: usize, c: usize| (0..PLANE).map(move |p| (i + p * (c + 1)) as u8);
    let record = |i: usize| {
        let pixels = (0..3).flat_map(move |c| plane(i, c));
        std::iter::once((i % 10) as u8).chain(pixels).collect::<Vec<_>>()
    };
    (0..n).flat_map(record).collect()
}

fn folder(train: &[u8], test: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("cifar-10-batches-bin");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("data_batch_1.bin"), train).unwrap();
    fs::write(inner.join("test_batch.bin"), test).unwrap();
    directory
}

#[test]
fn records_are_read_upright_with_their_labels() {
    let directory = folder(&records(50), &records(7));
    let cifar = open(directory.path()).unwrap();
    assert_eq!(Split::ALL.map(|split| cifar.len(split)), [45, 5, 7]);
    let picture = cifar.image(Split::Test, 3).unwrap();
    assert_eq!(picture.get_pixel(5, 1).0, [3 + 37, 3 + 74, 3 + 111]);
    let Labels::Classes { labels, .. } = cifar.labels(Split::Test) else { panic!() };
    assert_eq!(labels, [0, 1, 2, 3, 4, 5, 6]);
    // scikit-learn: train_test_split(range(50), test_size=5, random_state=11172018)
    let keys: Vec<_> = (0..5).map(|i| cifar.key(Split::Valid, i)).collect();
    let expected = [48, 6, 22, 32, 15].map(|i| format!("data_batch_1.bin/{i:05}"));
    assert_eq!(keys, expected);
    let all: HashSet<_> = Split::ALL
        .into_iter()
        .flat_map(|split| (0..cifar.len(split)).map(move |i| (split, i)))
        .map(|(split, i)| cifar.key(split, i))
        .collect();
    assert_eq!(all.len(), 57);
}

#[test]
fn broken_files_are_one_clear_line() {
    let message = |train: &[u8]| open(folder(train, &records(1)).path()).unwrap_err().to_string();
    assert!(message(&records(2)[1..]).contains("records of 3073 bytes, found 6145 bytes"));
    assert!(message(&[]).contains("found 0 bytes"));
    let mut bytes = records(2);
    bytes[RECORD] = 10;
    assert!(message(&bytes).contains("a class of 0 to 9 in record 1, found 10"));
    let empty = tempfile::tempdir().unwrap();
    let text = open(empty.path()).unwrap_err().to_string();
    assert!(
        text.contains("expected data_batch_*.bin, or data_batch_* of the Python version"),
        "{text}"
    );
}

/// The official Python version of `n` pictures of [`records`]: what Python 2 writes for
/// `{'data': array, 'labels': [..], 'batch_label': 'x'}`, pickle protocol 2.
fn pickled(n: usize) -> Vec<u8> {
    let records = records(n);
    let (labels, pixels): (Vec<u8>, Vec<&[u8]>) =
        records.chunks_exact(RECORD).map(|record| (record[0], &record[1..])).unzip();
    let pixels = pixels.concat();
    let mut bytes = b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\n".to_vec();
    bytes.extend(b"q\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05(K\x01M");
    bytes.extend((n as u16).to_le_bytes());
    bytes.extend(b"M\x00\x0c\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNN");
    bytes.extend(b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    bytes.extend((pixels.len() as u32).to_le_bytes());
    bytes.extend(pixels);
    bytes.extend(b"tbU\x06labelsq\x08]q\t(");
    bytes.extend(labels.iter().flat_map(|&label| [b'K', label]));
    bytes.extend(b"eU\x0bbatch_labelq\nU\x01xq\x0bu.");
    bytes
}

/// What Python 3 writes with protocol 5 and numpy 2, with bytes for keys.
fn pickled_by_python_3(n: usize) -> Vec<u8> {
    let records = records(n);
    let (labels, pixels): (Vec<u8>, Vec<&[u8]>) =
        records.chunks_exact(RECORD).map(|record| (record[0], &record[1..])).unzip();
    let pixels = pixels.concat();
    let mut bytes =
        b"\x80\x05\x95\0\0\0\0\0\0\0\0}\x94(C\x04data\x94\x8c\x13numpy._core.numeric\x94".to_vec();
    bytes.extend(b"\x8c\x0b_frombuffer\x94\x93\x94(\x96");
    bytes.extend((pixels.len() as u64).to_le_bytes());
    bytes.extend(pixels);
    bytes.extend(
        b"\x94\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94",
    );
    bytes.extend(b"(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bM");
    bytes.extend((n as u16).to_le_bytes());
    bytes.extend(b"M\x00\x0c\x86\x94\x8c\x01C\x94t\x94R\x94C\x06labels\x94]\x94(");
    bytes.extend(labels.iter().flat_map(|&label| [b'K', label]));
    bytes.extend(b"eu.");
    bytes
}

/// What Python 3 writes with protocol 2, with bytes for keys: bytes are text to be encoded.
fn pickled_as_text(n: usize) -> Vec<u8> {
    let records = records(n);
    let text = |bytes: &[u8]| {
        let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
        let mut pickled = b"c_codecs\nencode\nX".to_vec();
        pickled.extend((text.len() as u32).to_le_bytes());
        pickled.extend(text.as_bytes());
        pickled.extend(b"X\x06\0\0\0latin1\x86R");
        pickled
    };
    let pixels: Vec<u8> =
        records.chunks_exact(RECORD).flat_map(|record| &record[1..]).copied().collect();
    let mut bytes = b"\x80\x02}(".to_vec();
    bytes.extend(text(b"labels"));
    bytes.extend(b"](");
    bytes.extend(records.chunks_exact(RECORD).flat_map(|record| [b'K', record[0]]));
    bytes.extend(b"e");
    bytes.extend(text(b"data"));
    bytes.extend(b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85");
    bytes.extend(text(b"b"));
    bytes.extend(b"\x87R(K\x01M");
    bytes.extend((n as u16).to_le_bytes());
    bytes.extend(b"M\x00\x0c\x86cnumpy\ndtype\nX\x02\0\0\0u1\x89\x88\x87R\x89");
    bytes.extend(text(&pixels));
    bytes.extend(b"tbu.");
    bytes
}

fn python_folder(train: &[u8], test: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("cifar-10-batches-py");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("data_batch_1"), train).unwrap();
    fs::write(inner.join("test_batch"), test).unwrap();
    fs::write(inner.join("batches.meta"), b"\x80\x02}q\x01.").unwrap();
    directory
}

#[test]
fn the_python_version_has_the_same_pictures() {
    let binary = folder(&records(50), &records(7));
    let expected = open(binary.path()).unwrap();
    for write in [pickled, pickled_by_python_3, pickled_as_text] {
        let (train, test) = (write(50), write(7));
        let directory = python_folder(&train, &test);
        let cifar = open(directory.path()).unwrap();
        for split in Split::ALL {
            assert_eq!(cifar.labels(split), expected.labels(split));
            for index in 0..cifar.len(split) {
                let pictures = [&cifar, &expected].map(|set| set.image(split, index).unwrap());
                assert_eq!(pictures[0], pictures[1]);
                let key = expected.key(split, index).replace(".bin/", "/");
                assert_eq!(cifar.key(split, index), key);
            }
        }
        // Beside the binary version the Python one is not read.
        let inner = binary.path().join("cifar-10-batches-bin");
        fs::write(inner.join("data_batch_2"), &train).unwrap();
        let both = open(binary.path()).unwrap();
        assert_eq!(both.fingerprint(), expected.fingerprint());
    }
}

#[test]
fn official_archives_are_found_among_others() {
    let directory = tempfile::tempdir().unwrap();
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    for (name, bytes) in [("data_batch_1", pickled(50)), ("test_batch", pickled(7))] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        let name = format!("cifar-10-batches-py/{name}");
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    let bytes = builder.into_inner().unwrap().finish().unwrap();
    fs::write(directory.path().join("cifar-10-python.tar.gz"), &bytes).unwrap();
    fs::write(directory.path().join("CIFAR-10-images-jpeg.tar.gz"), b"not read").unwrap();
    let cifar = open(directory.path()).unwrap();
    assert_eq!(Split::ALL.map(|split| cifar.len(split)), [45, 5, 7]);
    assert_eq!(cifar.image(Split::Test, 3).unwrap().get_pixel(5, 1).0, [40, 77, 114]);
    fs::write(directory.path().join("cifar-10-python.tar.gz"), &bytes[..bytes.len() - 20]).unwrap();
    let text = open(directory.path()).unwrap_err().to_string();
    assert!(text.contains("cifar-10-python.tar.gz, member ") && !text.contains('\n'), "{text}");
}

#[test]
fn broken_pickles_are_one_clear_line() {
    let message = |train: &[u8]| {
        let directory = python_folder(train, &pickled(1));
        let text = open(directory.path()).unwrap_err().to_string();
        assert!(text.contains("data_batch_1: expected ") && !text.contains('\n'), "{text}");
        text
    };
    let whole = pickled(3);
    for length in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        assert!(message(&whole[..length]).contains("a pickle of plain data"));
    }
    let changed = |from: &[u8], to: &[u8]| {
        let at = whole.windows(from.len()).position(|window| window == from).unwrap();
        message(&[&whole[..at], to, &whole[at + from.len()..]].concat())
    };
    let no_data = "a numpy array `data` of N x 3072 unsigned bytes, found none";
    // Another shape, another type, Fortran order, another function.
    assert!(changed(b"M\x00\x0c\x86", b"M\x01\x0c\x86").contains(no_data));
    assert!(changed(b"U\x02u1", b"U\x02i8").contains(no_data));
    assert!(changed(b"\x89T", b"\x88T").contains(no_data));
    let text = changed(b"numpy.core.multiarray\n_reconstruct", b"os\nsystem");
    assert!(text.contains("nothing but arrays of numbers, found a call of os.system"), "{text}");
    assert!(changed(b"\x04data", b"\x04dada").contains(no_data));
    assert!(
        changed(b"\x06labels", b"\x06fables").contains("a list or an array `labels` of integers")
    );
    assert!(
        changed(b"K\x00K\x01K\x02e", b"K\x00K\x01e").contains("3 labels, one for each picture")
    );
    // An array that is its own shape.
    let itself = b"\x80\x02}X\x04\0\0\0datacnumpy.core.multiarray\n_reconstruct\n)Rq\x01\
        (K\x01h\x01N\x89U\x01xtbs.";
    assert!(message(itself).contains(no_data));
    let text = changed(b"K\x00K\x01K\x02e", b"K\x00K\x01K\x0ae");
    assert!(text.contains("a class of 0 to 9 in record 2, found 10"), "{text}");
}

/// Files of CIFAR-100 with `n` pictures of [`records`]; fine class `i`, coarse class `i % 20`.
fn hundred(n: usize) -> Vec<u8> {
    let records = records(n);
    let pixels = records.chunks_exact(RECORD).map(|record| &record[1..]).enumerate();
    pixels.flat_map(|(i, pixels)| [&[(i % 20) as u8, i as u8], pixels].concat()).collect()
}

/// The same as the Python version has it, with arrays for labels: big-endian 64-bit and 16-bit.
fn hundred_pickled(n: usize) -> Vec<u8> {
    let mut bytes = pickled(n);
    let labels = bytes.windows(7).position(|window| window == b"U\x06label").unwrap();
    bytes.truncate(labels);
    for (key, dtype, order, width) in [("fine", "i8", b'>', 8), ("coarse", "u2", b'<', 2)] {
        let value = |i: usize| if key == "fine" { i } else { i % 20 } as u64;
        let data: Vec<u8> = (0..n)
            .flat_map(|i| match order {
                b'>' => value(i).to_be_bytes()[8 - width..].to_vec(),
                _ => value(i).to_le_bytes()[..width].to_vec(),
            })
            .collect();
        let key = format!("{key}_labels");
        bytes.extend([b'U', key.len() as u8]);
        bytes.extend(key.as_bytes());
        bytes.extend(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R");
        bytes.extend(b"(K\x01M");
        bytes.extend((n as u16).to_le_bytes());
        bytes.extend(b"\x85cnumpy\ndtype\nU\x02");
        bytes.extend(dtype.as_bytes());
        bytes.extend(b"K\0K\x01\x87R(K\x03U\x01");
        bytes.extend([order]);
        bytes.extend(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
        bytes.extend(b"tb");
    }
    bytes.extend(b"u.");
    bytes
}

#[test]
fn cifar_100_has_the_labels_that_are_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    for (folder, ending, write) in [
        ("cifar-100-binary", ".bin", hundred as fn(usize) -> Vec<u8>),
        ("cifar-100-python", "", hundred_pickled),
    ] {
        let inner = directory.path().join(folder);
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join(format!("train{ending}")), write(40)).unwrap();
        fs::write(inner.join(format!("test{ending}")), write(30)).unwrap();
        let open = |set| Cifar::open(&inner, set).unwrap();
        let classes = |set| {
            let Labels::Classes { names, labels } = open(set).labels(Split::Test) else { panic!() };
            (names[labels[19] as usize].clone(), names[labels[29] as usize].clone())
        };
        assert_eq!(classes(CifarSet::Cifar100Fine), ("cattle".into(), "dinosaur".into()));
        let coarse = ("vehicles_2".into(), "large_man-made_outdoor_things".into());
        assert_eq!(classes(CifarSet::Cifar100Coarse), coarse);
        let cifar = open(CifarSet::Cifar100);
        assert_eq!(cifar.labels(Split::Train), Labels::None);
        assert_eq!(Split::ALL.map(|split| cifar.len(split)), [36, 4, 30]);
        assert_eq!(cifar.image(Split::Test, 3).unwrap().get_pixel(5, 1).0, [40, 77, 114]);
        let remarks = [
            "40 of the 50,000 published training pictures are here",
            "30 of the 10,000 published test pictures are here",
            "without labels; cifar100-fine and cifar100-coarse have them",
        ];
        assert_eq!(cifar.remarks(), remarks);
    }
    let names = CifarSet::Cifar100Fine.classes();
    assert!(names.is_sorted() && CifarSet::Cifar100Coarse.classes().is_sorted());
}

#[test]
fn a_file_that_is_there_twice_is_refused() {
    let directory = folder(&records(20), &records(2));
    let copy = directory.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::write(copy.join("data_batch_1.bin"), records(20)).unwrap();
    let text = open(directory.path()).unwrap_err().to_string();
    let found =
        "every file once, found cifar-10-batches-bin/data_batch_1.bin and copy/data_batch_1";
    assert!(text.contains(found), "{text}");
}
