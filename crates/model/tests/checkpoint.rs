//! Every kind of checkpoint: sound, damaged and hostile.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;

use candle_core::Device;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use support::{TensorPickle, fixture, floats, global, state_dict, text, torch_legacy, torch_zip};
use vdvae_model::{
    Array, Checkpoint, CheckpointKind, Error, Preset, Vdvae, VdvaeConfig, Weights,
    write_safetensors, write_safetensors_f16,
};
use zip::CompressionMethod::{Deflated, Stored};

fn read(bytes: &[u8]) -> Result<Checkpoint, Error> {
    Checkpoint::read_bytes(bytes, "model.th")
}

/// The message of the error, which must be one line that names the file.
fn refusal(bytes: &[u8]) -> String {
    let message = read(bytes).expect_err("a refusal").to_string();
    assert!(message.starts_with("model.th: ") && !message.contains('\n'), "{message}");
    assert!(message.len() < 500, "{message}");
    message
}

fn tiny_config() -> VdvaeConfig {
    VdvaeConfig::from_json(std::str::from_utf8(&fixture("config.json")).unwrap()).unwrap()
}

/// The parity case's weights in our own format.
fn tiny_safetensors() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let weights = read(&fixture("model.th")).unwrap().weights;
    write_safetensors(&path, &weights, &tiny_config(), &BTreeMap::new()).unwrap();
    std::fs::read(path).unwrap()
}

fn bits(weights: &Weights) -> Vec<(String, Vec<usize>, Vec<u32>)> {
    let bits = |array: &Array| array.data().iter().map(|value| value.to_bits()).collect();
    weights.iter().map(|(name, a)| (name.to_owned(), a.shape().to_vec(), bits(a))).collect()
}

#[test]
fn all_three_kinds_hold_the_same_weights_bit_for_bit() {
    let zip = read(&fixture("model.th")).unwrap();
    let legacy = read(&fixture("model-legacy.th")).unwrap();
    let ours = read(&tiny_safetensors()).unwrap();
    assert_eq!(zip.kind, CheckpointKind::TorchZip);
    assert_eq!(legacy.kind, CheckpointKind::TorchLegacy);
    assert_eq!(ours.kind, CheckpointKind::Safetensors);
    assert_eq!(bits(&zip.weights), bits(&legacy.weights));
    assert_eq!(bits(&zip.weights), bits(&ours.weights));
    assert_eq!(zip.weights.num_parameters(), 46_084);
    for checkpoint in [&zip, &legacy, &ours] {
        checkpoint.check(&tiny_config()).unwrap();
    }
    // First values of `model/data/0` and of the last entry, `model/data/315`, by Python's struct.
    assert_eq!(
        zip.weights.get("encoder.in_conv.weight").unwrap().data()[..2],
        [-0.068812124, 0.1385237]
    );
    assert_eq!(zip.weights.get("decoder.bias").unwrap().data()[..2], [0.07001406, -0.034583006]);
}

#[test]
fn our_file_keeps_configuration_metadata_and_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let config = tiny_config();
    let weights = Weights::initialise(&config, 3);
    let extra = BTreeMap::from([("step".to_owned(), "12".to_owned())]);
    let hash = write_safetensors(&path, &weights, &config, &extra).unwrap();
    let checkpoint = Checkpoint::read(&path).unwrap();
    assert_eq!(checkpoint.config.as_ref(), Some(&config));
    assert_eq!(checkpoint.weights, weights);
    assert_eq!(checkpoint.sha256, hash);
    assert_eq!(checkpoint.metadata, extra, "as they were given, ready to be written again");

    let first = std::fs::read(&path).unwrap();
    write_safetensors(&path, &weights, &config, &extra).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first, "the same content gives the same bytes");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");

    // Names and offsets are as the safetensors crate itself sees them.
    let foreign = safetensors::SafeTensors::deserialize(&first).unwrap();
    let gain = foreign.tensor("decoder.gain").unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&first).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    assert_eq!((&*metadata["format"], &*metadata["version"]), ("vdvae", "1"));
    assert_eq!(metadata["sha256"], weights.sha256());
    assert_eq!(metadata["config"], config.to_json());
    assert_eq!((gain.shape(), gain.data()), ([1, 24, 1, 1].as_slice(), &floats(&[1.0; 24])[..]));
}

fn f16_file(weights: &Weights) -> Result<Vec<u8>, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let extra = BTreeMap::from([("step".to_owned(), "12".to_owned())]);
    write_safetensors_f16(&path, weights, &tiny_config(), &extra)?;
    Ok(std::fs::read(path).unwrap())
}

#[test]
fn half_precision_is_half_the_size_and_nearly_the_same_network() {
    let config = tiny_config();
    let exact = read(&tiny_safetensors()).unwrap();
    let file = f16_file(&exact.weights).unwrap();
    let half = read(&file).unwrap();
    assert_eq!((half.config.as_ref(), half.metadata.len()), (Some(&config), 1));
    let header = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    assert_eq!(file.len() - 8 - header, 2 * 46_084);
    // 11 bits of significand: half a unit in the last is 2⁻¹¹ of a normal number.
    for ((name, a), (_, b)) in exact.weights.iter().zip(half.weights.iter()) {
        for (a, b) in a.data().iter().zip(b.data()) {
            assert!((a - b).abs() <= a.abs().max(2f32.powi(-14)) / 2048.0, "{name}: {a}, {b}");
        }
    }
    // What is rounded already is written as it is.
    assert_eq!(f16_file(&half.weights).unwrap(), file);

    let picture = image::RgbImage::from_fn(16, 16, |x, y| image::Rgb([x as u8 * 16, y as u8, 99]));
    let latents = |weights: &Weights| {
        let network = Vdvae::new(&config, weights, &Device::Cpu).unwrap();
        let latents = network.extract_latents(&picture).unwrap();
        let means = latents.layers().iter().map(|layer| layer.mean.flatten_all().unwrap());
        means.flat_map(|mean| mean.to_vec1::<f32>().unwrap()).collect::<Vec<_>>()
    };
    let (exact, half) = (latents(&exact.weights), latents(&half.weights));
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, |a, b| a.max(b.abs()));
    let apart = largest(&mut exact.iter().zip(&half).map(|(a, b)| a - b));
    let size = largest(&mut exact.iter().copied());
    // Measured: 2.2e-4; every weight is rounded by up to 4.9e-4 of itself.
    assert!(apart > 0.0 && apart < 5e-4 * size, "{apart} of {size}");
}

#[test]
fn weights_beyond_half_precision_are_refused_and_those_that_are_not_finite_kept() {
    let with = |value: f32| {
        let mut weights = read(&fixture("model.th")).unwrap().weights;
        weights.get_mut("decoder.gain").unwrap().data_mut()[3] = value;
        f16_file(&weights).map(|file| read(&file).unwrap().weights)
    };
    let gain = |weights: Weights| weights.get("decoder.gain").unwrap().data()[3];
    let error = with(65_520.0).unwrap_err().to_string();
    let expected =
        "model.safetensors: decoder.gain[3]: expected at most 65504 for f16, found 65520";
    assert!(error.ends_with(expected), "{error}");
    assert_eq!(gain(with(65_519.0).unwrap()), 65_504.0);
    assert_eq!(gain(with(f32::NEG_INFINITY).unwrap()), f32::NEG_INFINITY);
}

#[test]
fn bf16_of_another_program_is_read_as_float32() {
    let exact = read(&tiny_safetensors()).unwrap().weights;
    let bytes = |array: &Array| -> Vec<u8> {
        // The upper half of a float32: rounded towards zero.
        array.data().iter().flat_map(|value| value.to_le_bytes()[2..].to_vec()).collect()
    };
    let tensors: Vec<_> =
        exact.iter().map(|(name, a)| (name, a.shape().to_vec(), bytes(a))).collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, shape.clone(), bytes);
        (*name, view.unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    let half = read(&file).unwrap();
    half.check(&tiny_config()).unwrap();
    for (name, a) in exact.iter() {
        for (a, b) in a.data().iter().zip(half.weights.get(name).unwrap().data()) {
            assert_eq!(a.to_bits() & 0xffff_0000, b.to_bits(), "{name}");
        }
    }
}

#[test]
fn writing_where_it_cannot_be_done_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (config, weights) = (tiny_config(), Weights::new());
    let write = |path: &str, extra: &BTreeMap<_, _>| {
        let path = folder.path().join(path);
        write_safetensors(path, &weights, &config, extra).unwrap_err().to_string()
    };
    let missing = write("no/such/model.safetensors", &BTreeMap::new());
    assert!(missing.contains("model.safetensors: cannot write: "), "{missing}");
    let reserved = write("m.safetensors", &BTreeMap::from([("config".into(), "{}".into())]));
    assert!(reserved.contains("expected a key of its own for each entry, found config"));
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    write("folder", &BTreeMap::new());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn configuration_comes_from_the_file_or_the_caller() {
    let (bare, ours) = (read(&fixture("model.th")).unwrap(), read(&tiny_safetensors()).unwrap());
    let config = tiny_config();
    // Known by its parameters.
    assert_eq!(bare.resolve_config(None).unwrap(), config);
    assert_eq!(bare.resolve_config(Some(&config)).unwrap(), config);
    assert_eq!(ours.resolve_config(None).unwrap(), config);
    assert_eq!(ours.resolve_config(Some(&config)).unwrap(), config);
    let other = VdvaeConfig { zdim: 5, ..config };
    assert_eq!(
        ours.resolve_config(Some(&other)).unwrap_err().to_string(),
        "model.th: zdim: expected 5 as given, found 4 in the checkpoint"
    );
    let wrong = bare.check(&Preset::Cifar10.config()).unwrap_err().to_string();
    assert!(wrong.contains("tensors in model.th do not fit the configuration: "), "{wrong}");
    assert!(wrong.contains("; and ") && !wrong.contains('\n'), "{wrong}");
}

#[test]
fn a_flipped_bit_of_our_file_is_found() {
    let original = tiny_safetensors();
    let weights = bits(&read(&original).unwrap().weights);
    let header = 8 + u64::from_le_bytes(original[..8].try_into().unwrap()) as usize;
    let mut bytes = original.clone();
    let data = (header..original.len()).step_by((original.len() - header) / 300);
    for position in (0..header).step_by(37).chain(data) {
        for bit in [position % 8, (position + 5) % 8] {
            bytes[position] ^= 1 << bit;
            match read(&bytes) {
                Ok(read) => {
                    assert!(position < header, "byte {position} bit {bit} went unnoticed");
                    assert_eq!(bits(&read.weights), weights, "byte {position} bit {bit}");
                }
                Err(error) if position >= header => {
                    let message = error.to_string();
                    assert!(message.contains("tensor data does not match its hash"), "{message}");
                }
                Err(_) => {}
            }
            bytes[position] ^= 1 << bit;
        }
    }
    assert_eq!(bytes, original);
}

/// The configuration is as much part of the model as the weights.
#[test]
fn a_changed_configuration_is_found() {
    let bytes = tiny_safetensors();
    let place = bytes.windows(10).position(|text| text == b"-120.63838").unwrap();
    let mut changed = bytes;
    changed[place + 1] = b'2';
    assert!(refusal(&changed).contains("metadata does not match its hash"));
}

#[test]
fn a_flipped_bit_of_a_zip_is_found_or_harmless() {
    let original = fixture("model.th");
    let weights = bits(&read(&original).unwrap().weights);
    let mut bytes = original.clone();
    let mut refused = 0;
    let positions = (0..original.len()).step_by(original.len() / 300);
    let directory = (original.len() - 60..original.len()).chain(0..120);
    for position in positions.chain(directory) {
        bytes[position] ^= 1 << (position % 8);
        match read(&bytes) {
            Ok(read) => assert_eq!(bits(&read.weights), weights, "byte {position}"),
            Err(_) => refused += 1,
        }
        bytes[position] ^= 1 << (position % 8);
    }
    assert!(refused > 200, "only {refused} flips were noticed");
}

#[test]
fn truncated_files_are_refused() {
    for original in [fixture("model.th"), fixture("model-legacy.th"), tiny_safetensors()] {
        for length in (0..original.len()).step_by(original.len() / 100).chain(0..64) {
            refusal(&original[..length]);
        }
        refusal(&original[..original.len() - 1]);
    }
}

#[test]
fn garbage_is_refused_whatever_it_starts_with() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let legacy = torch_legacy(true, b"", &[]);
    let starts: [&[u8]; 5] =
        [b"", b"PK\x03\x04", &legacy[..15], &legacy[..legacy.len() - 9], b"\x40\0\0\0\0\0\0\0{"];
    for round in 0..400 {
        let mut bytes = starts[round % starts.len()].to_vec();
        let start = bytes.len();
        bytes.resize(start + random.next_u32() as usize % 2000, 0);
        random.fill_bytes(&mut bytes[start..]);
        refusal(&bytes);
    }
}

/// Random programs of the instructions that the reader knows.
#[test]
fn random_pickles_are_refused_or_read() {
    const OPCODES: &[u8] = b"NKMJGXUT()]}aesuRQbqrhjt\x80\x85\x86\x87\x88\x89\x8a";
    let tensor = TensorPickle::new("0", &[2], &[1]).bytes();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..3000 {
        let mut pickle = b"\x80\x02".to_vec();
        for _ in 0..random.next_u32() % 60 {
            match random.next_u32() % 8 {
                0 => pickle.extend(&tensor),
                1 => pickle.extend(global("collections", "OrderedDict")),
                2 => pickle.extend(text("storage")),
                3 => pickle.extend([b'K', random.next_u32() as u8 % 3]),
                _ => pickle.push(OPCODES[random.next_u32() as usize % OPCODES.len()]),
            }
        }
        pickle.push(b'.');
        let data = floats(&[1.0, 2.0]);
        if let Ok(checkpoint) =
            read(&torch_zip(Stored, &[("data.pkl", &pickle), ("data/0", &data)]))
        {
            assert!(checkpoint.weights.len() <= 60);
        }
    }
}

#[test]
fn code_is_named_and_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let witness = folder.path().join("witness");
    let command = format!("touch {}", witness.display());
    let mut pickle = b"\x80\x02".to_vec();
    pickle.extend(global("os", "system"));
    pickle.push(b'(');
    pickle.extend(text(&command));
    pickle.extend(b"tR.");
    let zip = refusal(&torch_zip(Stored, &[("data.pkl", &pickle)]));
    let at = pickle.len() - 2;
    assert_eq!(
        zip,
        format!(
            "model.th: model/data.pkl byte {at}: expected nothing but tensors (code in a checkpoint \
             is never run), found a call of os.system"
        )
    );
    assert!(refusal(&torch_legacy(true, &pickle, &[])).contains("found a call of os.system"));
    let mut nasty = b"\x80\x02".to_vec();
    nasty.extend(global("a\rb\u{1b}[31m", &"x".repeat(1000)));
    refusal(&torch_zip(Stored, &[("data.pkl", &nasty)]));
    assert!(!witness.exists());
}

#[test]
fn every_type_layout_and_wrapping_of_a_tensor_is_read() {
    let half = TensorPickle { storage_type: "HalfStorage", ..TensorPickle::new("1", &[2], &[1]) };
    let brain =
        TensorPickle { storage_type: "BFloat16Storage", ..TensorPickle::new("2", &[1], &[1]) };
    let double = TensorPickle { storage_type: "DoubleStorage", ..TensorPickle::new("3", &[], &[]) };
    let matrix = TensorPickle::new("0", &[2, 3], &[3, 1]);
    let turned = TensorPickle::new("0", &[3, 2], &[1, 3]);
    let part = TensorPickle { elements: 6, offset: 4, ..TensorPickle::new("0", &[2], &[1]) };
    let parameter = [
        global("torch._utils", "_rebuild_parameter"),
        b"(".to_vec(),
        matrix.bytes(),
        b"\x88".to_vec(),
        global("collections", "OrderedDict"),
        b")RtR".to_vec(),
    ]
    .concat();
    let entries = [
        ("module.matrix", matrix.bytes()),
        ("module.turned", turned.bytes()),
        ("module.part", part.bytes()),
        ("module.half", half.bytes()),
        ("module.brain", brain.bytes()),
        ("module.double", double.bytes()),
        ("module.parameter", parameter),
    ];
    let data = floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let (half, brain, double) = (b"\x00\x3c\x00\xc0", b"\x80\x3f", (-0.5f64).to_le_bytes());
    let flat = state_dict(&entries);
    let nested = state_dict(&[("epoch", vec![b'K', 3]), ("state_dict", support::dict(&entries))]);
    for pickle in [flat, nested] {
        let zip_entries: [(&str, &[u8]); 6] = [
            ("data.pkl", &pickle),
            ("byteorder", b"little"),
            ("data/0", &data),
            ("data/1", half),
            ("data/2", brain),
            ("data/3", &double),
        ];
        let storages: [(&str, i64, &[u8]); 4] =
            [("3", 1, &double), ("0", 6, &data), ("2", 1, brain), ("1", 2, half)];
        for file in [
            torch_zip(Stored, &zip_entries),
            torch_zip(Deflated, &zip_entries),
            torch_legacy(true, &pickle, &storages),
        ] {
            let weights = read(&file).unwrap().weights;
            let names: Vec<&str> = weights.iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["matrix", "turned", "part", "half", "brain", "double", "parameter"]);
            let data = |name: &str| weights.get(name).unwrap().data();
            assert_eq!(data("matrix"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
            assert_eq!(data("turned"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
            assert_eq!(data("part"), [4.0, 5.0]);
            assert_eq!(data("half"), [1.0, -2.0]);
            assert_eq!(data("brain"), [1.0]);
            assert_eq!(data("double"), [-0.5]);
            assert_eq!(weights.get("parameter"), weights.get("matrix"));
        }
    }
}

#[test]
fn hostile_tensors_are_refused() {
    let good = TensorPickle::new("0", &[2], &[1]);
    let file = |tensor: &TensorPickle| {
        let pickle = state_dict(&[("a", tensor.bytes())]);
        let data = floats(&[1.0, 2.0]);
        torch_zip(Deflated, &[("data.pkl", &pickle), ("data/0", &data)])
    };
    read(&file(&good)).unwrap();
    let refuse = |change: &dyn Fn(&mut TensorPickle)| {
        let mut tensor = good.clone();
        change(&mut tensor);
        refusal(&file(&tensor))
    };
    let inside = "expected a tensor inside its storage of 2 elements";
    assert!(refuse(&|t| t.offset = 1).contains(inside));
    assert!(refuse(&|t| t.stride = vec![2]).contains(inside));
    assert!(refuse(&|t| t.size = vec![3]).contains(inside));
    assert!(refuse(&|t| t.stride = vec![]).contains(inside));
    assert!(refuse(&|t| (t.size, t.stride) = (vec![i32::MAX; 8], vec![0; 8])).contains(inside));
    let expanded = |t: &mut TensorPickle| (t.size, t.stride) = (vec![1 << 26], vec![0]);
    assert!(refuse(&expanded).contains("in a file of"));
    assert!(refuse(&|t| t.offset = -1).contains("a tensor's offset"));
    assert!(refuse(&|t| t.size = vec![-2]).contains("a tensor's size"));
    assert!(refuse(&|t| t.stride = vec![1; 9]).contains("a tensor's stride"));
    assert!(refuse(&|t| t.elements = -2).contains("the id of a storage"));
    assert!(refuse(&|t| t.elements = 3).contains("expected 3 elements of F32, found 8 bytes"));
    assert!(refuse(&|t| t.elements = i32::MAX).contains("in a file of"));
    assert!(refuse(&|t| t.key = "../0").contains("model/data/../0: expected the data of a tensor"));
    assert!(
        refuse(&|t| t.storage_type = "LongStorage").contains("entry a: expected F64, F32, F16")
    );
    assert!(refuse(&|t| t.storage_type = "QInt8Storage").contains("torch.QInt8Storage"));
    // An empty tensor of absurd size in the other dimensions is odd, but does no harm.
    let empty = (vec![0, i32::MAX, i32::MAX, i32::MAX], vec![i32::MAX; 4]);
    let tensor = TensorPickle { size: empty.0, stride: empty.1, ..good };
    assert!(read(&file(&tensor)).unwrap().weights.get("a").unwrap().data().is_empty());
}

#[test]
fn a_decompression_bomb_is_refused() {
    let elements = 1 << 26;
    let tensor = TensorPickle::new("0", &[elements], &[1]);
    let pickle = state_dict(&[("a", tensor.bytes())]);
    let zeros = vec![0; elements as usize * 4];
    let bomb = torch_zip(Deflated, &[("data.pkl", &pickle), ("data/0", &zeros)]);
    assert!(bomb.len() < 1 << 20);
    assert!(refusal(&bomb).contains("expected tensors of at most"));
    let pickle = torch_zip(Deflated, &[("data.pkl", &zeros)]);
    assert!(refusal(&pickle).contains("expected at most 67108864 bytes, found 268435456"));
}

/// Deep nesting must not use the call stack, nor endless values the memory.
#[test]
fn pickles_that_grow_without_end_are_refused() {
    let nested =
        |opcode: u8| [b"\x80\x02)".to_vec(), vec![opcode; 10_000_000], b".".to_vec()].concat();
    for (opcode, expected) in
        [(0x85, "at most 1048576 instructions"), (b')', "at most 1048576 instructions")]
    {
        let file = torch_zip(Deflated, &[("data.pkl", &nested(opcode))]);
        assert!(refusal(&file).contains(expected));
    }
    let deep = [b"\x80\x02)".to_vec(), vec![0x85; 200_000], b".".to_vec()].concat();
    assert!(refusal(&torch_zip(Deflated, &[("data.pkl", &deep)])).contains("a dict of tensors"));
    let cycle = b"\x80\x02]q\x00h\x00a.";
    assert!(refusal(&torch_zip(Deflated, &[("data.pkl", cycle)])).contains("found a list of 1"));
}

#[test]
fn state_dicts_that_are_none_are_refused() {
    let tensor = TensorPickle::new("0", &[1], &[1]).bytes();
    let file =
        |pickle: &[u8]| torch_zip(Stored, &[("data.pkl", pickle), ("data/0", &floats(&[1.0]))]);
    let pickled = |entries: &[(&str, Vec<u8>)]| refusal(&file(&state_dict(entries)));
    assert!(pickled(&[]).contains("at least one tensor, found none"));
    assert!(pickled(&[("a", b"N".to_vec())]).contains("entry a: expected a tensor, found None"));
    let twice = pickled(&[("a", tensor.clone()), ("a", tensor.clone())]);
    assert!(twice.contains("entry a: expected one tensor of this name, found two"), "{twice}");
    assert!(refusal(&file(b"\x80\x02K\x07.")).contains("a dict of tensors by name, found 7"));
    assert!(refusal(&file(b"\x80\x02}K\x01K\x02s.")).contains("names as keys, found 1"));
    assert!(refusal(&file(b"\x80\x06N.")).contains("pickle protocol 2 to 5, found protocol 6"));
    assert!(refusal(&file(b"\x80\x02o.")).contains("found opcode 0x6f"));
    // The prefix goes only where every name has it: anything else is for the name check to report.
    let mixed = read(&file(&state_dict(&[("module.a", tensor.clone()), ("b", tensor)]))).unwrap();
    assert!(mixed.weights.get("module.a").is_some());
}

#[test]
fn big_endian_files_are_refused() {
    let pickle = state_dict(&[("a", TensorPickle::new("0", &[1], &[1]).bytes())]);
    let data = floats(&[1.0]);
    let zip = torch_zip(Stored, &[("data.pkl", &pickle), ("byteorder", b"big"), ("data/0", &data)]);
    assert!(refusal(&zip).contains("model/byteorder: expected little, found big"));
    let legacy = refusal(&torch_legacy(false, &pickle, &[("0", 1, &data)]));
    assert!(legacy.contains("found big-endian data"), "{legacy}");
    read(&torch_legacy(true, &pickle, &[("0", 1, &data)])).unwrap();
}

#[test]
fn legacy_storages_must_be_complete() {
    let pickle = state_dict(&[("a", TensorPickle::new("0", &[1], &[1]).bytes())]);
    let data = floats(&[1.0]);
    let refuse = |storages: &[(&str, i64, &[u8])]| refusal(&torch_legacy(true, &pickle, storages));
    assert!(refuse(&[]).contains("storage 0: expected its data in the file, found none"));
    assert!(refuse(&[("0", 2, &data)]).contains("expected 1 elements, found 2"));
    assert!(refuse(&[("0", -1, &data)]).contains("expected 1 elements, found -1"));
    assert!(refuse(&[("0", 1, &data[..3])]).contains("found 3 bytes to the end of the file"));
    assert!(
        refuse(&[("0", 1, &floats(&[1.0, 2.0]))]).contains("the end of the file, found 4 more")
    );
    assert!(refuse(&[("1", 1, &data)]).contains("keys of storages in the state dict"));
}

#[test]
fn what_is_no_checkpoint_is_called_what_it_is() {
    assert!(
        refusal(b"")
            .contains("expected a safetensors file or a PyTorch checkpoint, found an empty file")
    );
    assert!(refusal(b"<html><body>404").contains("found an HTML page"));
    assert!(refusal(&torch_zip(Stored, &[("a.txt", b"")])).contains("an entry NAME/data.pkl"));
    let folder = tempfile::tempdir().unwrap();
    let message = Checkpoint::read(folder.path()).unwrap_err().to_string();
    assert!(message.ends_with("expected a checkpoint file, found a folder"), "{message}");
    let message = Checkpoint::read(folder.path().join("none.th")).unwrap_err().to_string();
    assert!(message.contains("none.th: cannot read: "), "{message}");
    let path = folder.path().join("page.th");
    std::fs::write(&path, "<!DOCTYPE html>".repeat(100)).unwrap();
    let message = Checkpoint::read(&path).unwrap_err().to_string();
    assert!(message.contains("page.th: file: ") && message.contains("found an HTML page"));
}

#[test]
fn safetensors_of_other_programs_are_read() {
    let file = |header: &str, data: &[u8]| {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    };
    let good = r#"{"a":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]}}"#;
    let checkpoint = read(&file(good, b"\x80\x3f\x00\xc0")).unwrap();
    assert_eq!(checkpoint.weights.get("a"), Some(&Array::new(vec![2, 1], vec![1.0, -2.0])));
    assert_eq!(checkpoint.config, None);
    assert!(refusal(&file(good, b"\x80\x3f\x00\xc0\x00")).contains("fits the file"));
    assert!(refusal(&file(good, b"\x80\x3f")).contains("fits the file"));
    assert!(refusal(&file(&good.replace("BF16", "I16"), &[0; 4])).contains("found I16"));
    assert!(refusal(&file(&good.replace("[2,1]", "[1]"), &[0; 4])).contains("fits the file"));
    let absurd = good.replace("[2,1]", "[18446744073709551615,2]");
    assert!(refusal(&file(&absurd, &[0; 4])).contains("fits the file"));
    let newer = r#"{"__metadata__":{"format":"vdvae","version":"2"}}"#;
    assert!(refusal(&file(newer, &[])).contains("metadata version: expected 1, found 2"));
    let unhashed = r#"{"__metadata__":{"format":"vdvae","version":"1"}}"#;
    assert!(refusal(&file(unhashed, &[])).contains("expected a sha256 of the tensors, found none"));
    let odd = r#"{"__metadata__":{"config":"{\"zdim\":1}"}}"#;
    assert!(refusal(&file(odd, &[])).contains("missing field `image_size`"));
    let long = [&u64::MAX.to_le_bytes(), b"{}".as_slice()].concat();
    assert!(refusal(&long).contains("found 2 bytes to the end of the file"));
}

/// An encoder's first weight and one more, wrapped as training programs do, and what goes with them.
#[test]
fn networks_are_found_in_whatever_holds_them() {
    let tensor = |key: &'static str| TensorPickle::new(key, &[1], &[1]).bytes();
    let network = |prefix: &str, key| {
        let (anchor, gain) =
            (format!("{prefix}encoder.in_conv.weight"), format!("{prefix}decoder.gain"));
        support::dict(&[(&anchor, tensor(key)), (&gain, tensor(key))])
    };
    let long = TensorPickle { storage_type: "LongStorage", ..TensorPickle::new("2", &[1], &[1]) };
    let namespace =
        [global("argparse", "Namespace"), b")\x81}".to_vec(), text("lr"), b"K\x01sb".to_vec()];
    let step = || [b"(K\x05".to_vec(), network("", "0"), b"t".to_vec()].concat();
    let optimizer = support::dict(&[("step", long.bytes()), ("seen", b"\x8f(K\x01\x90".to_vec())]);
    let ema = b"the averaged weights";
    let cases = [
        (state_dict(&[("model_state_dict", network("", "0"))]), 1.0),
        (state_dict(&[("state_dict", network("model.", "0")), ("epoch", b"K\x03".to_vec())]), 1.0),
        (
            state_dict(&[("net", network("_orig_mod.module.", "0")), ("args", namespace.concat())]),
            1.0,
        ),
        (state_dict(&[("model", network("", "0")), ("optimizer", optimizer)]), 1.0),
        (state_dict(&[("model", network("", "0")), ("model_ema", network("module.", "1"))]), 2.0),
        (state_dict(&[("ema", network("", "1"))]), 2.0),
        ([b"\x80\x02".to_vec(), step(), b".".to_vec()].concat(), 1.0),
        ([b"\x80\x05".to_vec(), network("", "0"), b".".to_vec()].concat(), 1.0),
    ];
    let (one, two, three) = (floats(&[1.0]), floats(&[2.0]), 3i64.to_le_bytes());
    for (index, (pickle, expected)) in cases.iter().enumerate() {
        let entries: [(&str, &[u8]); 4] =
            [("data.pkl", pickle), ("data/0", &one), ("data/1", &two), ("data/2", &three)];
        let checkpoint = read(&torch_zip(Stored, &entries)).unwrap();
        let names: Vec<&str> = checkpoint.weights.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["encoder.in_conv.weight", "decoder.gain"], "case {index}");
        assert_eq!(checkpoint.weights.get("decoder.gain").unwrap().data(), [*expected]);
        let said = checkpoint.remarks.iter().any(|r| r.as_bytes().starts_with(ema));
        assert_eq!(said, index == 4, "case {index}: {:?}", checkpoint.remarks);
    }
    let two_networks = state_dict(&[("a", network("", "0")), ("b", network("", "1"))]);
    let file =
        torch_zip(Stored, &[("data.pkl", &two_networks), ("data/0", &one), ("data/1", &two)]);
    assert!(refusal(&file).contains("one network, or one averaged one, found a, b"));
    // An expanded tensor: every element is the same one.
    let expanded = TensorPickle { elements: 1, ..TensorPickle::new("0", &[3], &[0]) };
    let pickle = state_dict(&[("a", expanded.bytes())]);
    let weights =
        read(&torch_zip(Stored, &[("data.pkl", &pickle), ("data/0", &one)])).unwrap().weights;
    assert_eq!(weights.get("a").unwrap().data(), [1.0; 3]);
}

#[test]
fn what_lies_beside_a_network_is_left_out_and_said() {
    let tensor = |key: &'static str| TensorPickle::new(key, &[1], &[1]).bytes();
    let long = TensorPickle { storage_type: "LongStorage", ..TensorPickle::new("1", &[1], &[1]) };
    // As torch.optim.swa_utils.AveragedModel has it.
    let counted = support::dict(&[
        ("n_averaged", long.bytes()),
        ("module.encoder.in_conv.weight", tensor("0")),
    ]);
    // As torch_ema has it.
    let shadow = [b"](".to_vec(), tensor("0"), b"e".to_vec()].concat();
    let shadow = support::dict(&[("decay", b"K\x01".to_vec()), ("shadow_params", shadow)]);
    let network = || support::dict(&[("encoder.in_conv.weight", tensor("0"))]);
    let call = |module, name, arguments: &[u8]| [&global(module, name), arguments, b"R"].concat();
    let settings = [
        ("range", call("__builtin__", "xrange", b"(K\x00K\x04K\x01t")),
        ("day", call("datetime", "date", b"(U\x04\x07\xea\x01\x01t")),
        ("seed", b"\x8a\x10aaaabbbbccccdddd".to_vec()),
        ("ema_decay", b"K\x01".to_vec()),
        ("net", network()),
    ];
    let cases = [
        (state_dict(&[("swa", counted)]), vec!["1 other tensor is left out, first n_averaged"]),
        (
            state_dict(&[("model", network()), ("ema", shadow)]),
            vec!["`ema` has no network by names; `model` is taken, which is no average"],
        ),
        (state_dict(&settings), vec![]),
    ];
    for (pickle, remarks) in cases {
        let entries: [(&str, &[u8]); 3] =
            [("data.pkl", &pickle), ("data/0", &floats(&[3.0])), ("data/1", &[0; 8])];
        let checkpoint = read(&torch_zip(Stored, &entries)).unwrap();
        let weights: Vec<_> = checkpoint.weights.iter().collect();
        assert_eq!(weights, [("encoder.in_conv.weight", &Array::new(vec![1], vec![3.0]))]);
        assert_eq!(checkpoint.remarks, remarks);
    }
    let header = r#"{"n":{"dtype":"I64","shape":[],"data_offsets":[0,8]},
        "module.encoder.in_conv.weight":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
    let header = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    let checkpoint = read(&[header, vec![0; 12]].concat()).unwrap();
    assert_eq!(checkpoint.weights.len(), 1);
    assert_eq!(checkpoint.remarks, ["1 other tensor is left out, first n"]);
}

/// PyTorch stores the opposite of a tensor as that tensor and a remark.
#[test]
fn numbers_that_mean_their_opposites_are_refused() {
    let mut tensor = TensorPickle::new("0", &[1], &[1]).bytes();
    let end = tensor.split_off(tensor.len() - 2);
    assert_eq!(end, b"tR");
    tensor.extend(support::dict(&[("neg", b"\x88".to_vec())]));
    let pickle = state_dict(&[("a", [tensor, end].concat())]);
    let file = torch_zip(Stored, &[("data.pkl", &pickle), ("data/0", &floats(&[1.0]))]);
    let expected = "expected numbers that mean themselves, found the text neg in its metadata";
    assert!(refusal(&file).contains(expected));
}

#[test]
fn a_legacy_stream_may_have_frames() {
    let tensor = TensorPickle::new("0", &[1], &[1]).bytes();
    let file = torch_legacy(true, &state_dict(&[("a", tensor)]), &[("0", 1, &floats(&[1.0]))]);
    // As PyTorch writes it where it is asked for protocol 4.
    let framed = [b"\x80\x04\x95\x0d\0\0\0\0\0\0\0", &file[2..]].concat();
    assert_eq!(read(&framed).unwrap().weights, read(&file).unwrap().weights);
}

#[test]
fn the_average_of_our_own_training_checkpoint_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step-1.safetensors");
    let config = Preset::Tiny.config();
    let (model, ema) = (Weights::initialise(&config, 0), Weights::initialise(&config, 1));
    let sets = [("model.", &model), ("ema.", &ema), ("first_moment.", &model)];
    let named = |(prefix, weights): (&'static str, &Weights)| {
        let named = |(name, array): (&str, &Array)| (format!("{prefix}{name}"), array.clone());
        weights.iter().map(named).collect::<Vec<_>>()
    };
    let all: Weights = sets.into_iter().flat_map(named).collect();
    write_safetensors(&path, &all, &config, &BTreeMap::new()).unwrap();
    let checkpoint = Checkpoint::read(&path).unwrap();
    assert_eq!(bits(&checkpoint.weights), bits(&ema));
    let said = ["the averaged weights `ema` are taken, beside `model`, `first_moment`"];
    assert_eq!(checkpoint.remarks, said);
    Vdvae::load(&path, &Device::Cpu).unwrap();
    assert_eq!(Checkpoint::read_whole(&path).unwrap().weights, all);
}

#[test]
fn weights_that_are_not_finite_are_named_and_not_computed_with() {
    let config = Preset::Tiny.config();
    let mut weights = Weights::initialise(&config, 0);
    assert_eq!(weights.not_finite(), None);
    weights.get_mut("decoder.gain").unwrap().data_mut()[3] = f32::NAN;
    weights.get_mut("decoder.bias").unwrap().data_mut()[1] = f32::INFINITY;
    let found = weights.not_finite().unwrap();
    assert!(found.ends_with(", one of 2"), "{found}");
    let error = Vdvae::new(&config, &weights, &Device::Cpu).err().unwrap().to_string();
    assert_eq!(error, format!("the weights: expected finite numbers, found {found}"));
}
