use super::*;
use crate::Fault;

const RULES: PickleRules<'_> = PickleRules {
    names: &[("numpy", "dtype")],
    foreign: false,
    nothing_but: "nothing but arrays",
    protocol: 5,
};

fn read(bytes: &[u8]) -> Result<Pickle<'_>, Fault> {
    Pickle::read(bytes, 0, "a", RULES)
}

fn fails(bytes: &[u8]) -> String {
    let text = read(bytes).unwrap_err().to_string();
    assert!(text.starts_with("a byte ") && !text.contains('\n'), "{text}");
    text
}

#[test]
fn data_of_protocol_2_and_4_is_read() {
    // Python 2: {'a': [1, 300, -2], 'b': (True, None)}, and Python 3 with framing.
    let two = b"\x80\x02}q\x01(U\x01aq\x02]q\x03(K\x01M,\x01J\xfe\xff\xff\xffeU\x01bq\x04\x88N\x86q\x05u.";
    let four = b"\x80\x04\x95\x1d\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94]\x94(K\x01M,\x01J\xfe\xff\xff\xffe\x8c\x01b\x94\x88N\x86\x94u.";
    for bytes in [&two[..], &four[..]] {
        let pickle = read(bytes).unwrap();
        let items = |key| pickle.sequence(pickle.lookup(pickle.root, key)?);
        assert_eq!(items("a").unwrap(), [1, 300, -2].map(Value::Int));
        assert_eq!(items("b").unwrap(), [Value::Bool(true), Value::None]);
        assert!(items("c").is_none());
        assert_eq!(pickle.end, bytes.len());
    }
}

#[test]
fn numbers_and_strings_of_every_kind_are_read() {
    let bytes = b"(\x8a\x02\xfe\xffG\x3f\xf8\0\0\0\0\0\0\
        X\x01\0\0\0a\x8d\x01\0\0\0\0\0\0\0bT\x01\0\0\0c\
        C\x01\xffB\x01\0\0\0d\x8e\x01\0\0\0\0\0\0\0e\x96\x01\0\0\0\0\0\0\0fU\x01\xfft.";
    let pickle = read(bytes).unwrap();
    let mut expected = vec![Value::Int(-2), Value::Float(1.5)];
    expected.extend(["a", "b", "c"].map(Value::Text));
    expected.extend([b"\xff", b"d", b"e", b"f", b"\xff"].map(|bytes| Value::Bytes(bytes)));
    assert_eq!(pickle.sequence(pickle.root).unwrap(), expected);
    let Value::Text(text) = expected[4] else { panic!() };
    let Value::Text(found) = pickle.sequence(pickle.root).unwrap()[4] else { panic!() };
    assert_eq!(&bytes[pickle.range(found.as_bytes())], text.as_bytes());
}

#[test]
fn calls_and_ids_are_recorded() {
    // numpy.dtype('u1') with the state (3,), beside the persistent id 'x'; and an OrderedDict.
    let bytes = b"(cnumpy\ndtype\nU\x02u1\x85RK\x03\x85bU\x01xQ\
        ccollections\nOrderedDict\n)RK\x01K\x02sN\x85bt.";
    let pickle = read(bytes).unwrap();
    let [call, id, dict] = pickle.sequence(pickle.root).unwrap() else { panic!() };
    assert_eq!((*call, *id), (Value::Call(0), Value::Persistent(0)));
    let Call { callee, arguments, state } = pickle.calls[0];
    assert_eq!(callee, Value::Name(0));
    assert_eq!(pickle.sequence(arguments).unwrap(), [Value::Text("u1")]);
    assert_eq!(pickle.sequence(state.unwrap()).unwrap(), [Value::Int(3)]);
    assert_eq!(pickle.persistent, [Value::Text("x")]);
    assert_eq!(pickle.dict(*dict).unwrap(), [[1, 2].map(Value::Int)]);
}

#[test]
fn nothing_is_executed() {
    // os.system("true"), as pickle.loads would call it: by a line, and from the stack.
    let expected = "expected nothing but arrays, found a call of os.system";
    assert!(fails(b"\x80\x02cos\nsystem\nU\x04true\x85R.").ends_with(expected));
    assert!(fails(b"\x80\x04\x8c\x02os\x8c\x06system\x93.").ends_with(expected));
    assert!(fails(b"\x80\x02(U\x01xios\nsystem\n.").contains("opcode 0x69"));
    assert!(fails(b"U\x04true\x85U\x01x\x85R.").contains("a name to call"));
    assert!(fails(&[&b"c"[..], &[b'x'; 1000], b"\nx\n."].concat()).contains("at most 256 bytes"));
}

#[test]
fn foreign_objects_are_there_and_mean_nothing() {
    let rules = PickleRules { foreign: true, ..RULES };
    // {'a': argparse.Namespace(lr=1), 'b': {1, 2}, 'c': frozenset({3}), 'd': defaultdict(list, {4: 5})},
    // with the class of a subclass of list that holds 6, and a name that nobody calls.
    let bytes = b"\x80\x04}(X\x01\0\0\0acargparse\nNamespace\n)\x81}X\x02\0\0\0lrK\x01sb\
        X\x01\0\0\0b\x8f(K\x01K\x02\x90X\x01\0\0\0c(K\x03\x91\
        X\x01\0\0\0dccollections\ndefaultdict\ncbuiltins\nlist\n\x85RK\x04K\x05s\
        X\x01\0\0\0ecx\nItems\n)R(K\x06eX\x01\0\0\0fctorch\nfloat32\nu.";
    let pickle = Pickle::read(bytes, 0, "a", rules).unwrap();
    let get = |key| pickle.lookup(pickle.root, key).unwrap();
    assert_eq!((get("a"), get("e")), (Value::Call(0), Value::Call(1)));
    assert_eq!(pickle.calls[0].callee, Value::Foreign(0));
    assert_eq!(pickle.sequence(get("b")).unwrap(), [1, 2].map(Value::Int));
    assert_eq!(pickle.sequence(get("c")).unwrap(), [Value::Int(3)]);
    assert_eq!(pickle.dict(get("d")).unwrap(), [[4, 5].map(Value::Int)]);
    assert_eq!(pickle.describe(get("f")), "torch.float32");
    // OrderedDict([['a', 1]]), as Python 2 writes it.
    let bytes = b"\x80\x02ccollections\nOrderedDict\n]]U\x01aaK\x01aa\x85R.";
    let pickle = read(bytes).unwrap();
    assert_eq!(pickle.lookup(pickle.root, "a"), Some(Value::Int(1)));
    // No function is called, whatever its module.
    for program in [&b"cos\nsystem\nU\x04true\x85R."[..], b"cbuiltins\neval\nU\x011\x85\x81."] {
        let text = Pickle::read(program, 0, "a", rules).unwrap_err().to_string();
        assert!(text.contains("expected nothing but arrays, found a call of "), "{text}");
    }
}

/// A remembered list of pairs that is made a dict of again and again takes memory each time.
#[test]
fn dicts_made_of_lists_are_counted() {
    let mut bytes = b"\x80\x02ccollections\nOrderedDict\nq\x00]q\x01(".to_vec();
    bytes.extend(b"K\x01K\x02\x86".repeat(1 << 12));
    bytes.push(b'e');
    bytes.extend(b"h\x00h\x01\x85R".repeat(1 << 10));
    bytes.push(b'.');
    assert!(fails(&bytes).contains("pairs in dicts made of lists"));
}

#[test]
fn hostile_programs_are_refused() {
    assert!(fails(b"").contains("0 to the end"));
    assert!(fails(b"\x80\x02}").contains("0 to the end"));
    assert!(fails(b"\x80\x06N.").contains("pickle protocol 2 to 5, found protocol 6"));
    assert!(fails(b".").contains("an empty stack"));
    assert!(fails(b"(.").contains("an empty stack"));
    assert!(fails(b"NN.").contains("one value at the end"));
    assert!(fails(b"N(N.").contains("one value at the end"));
    assert!(fails(b"e.").starts_with("a byte 0: expected a mark on the stack"));
    assert!(fails(b"K\x01(a").contains("an empty stack"));
    assert!(fails(b"K\x01K\x02a").contains("a list to append to"));
    assert!(fails(b"}(K\x01u.").contains("a key without one"));
    assert!(fails(b"K\x01(K\x01K\x02u.").contains("a dict to fill"));
    assert!(fails(b"}b.").starts_with("a byte 1: expected an object to give a state"));
    assert!(fails(b"K\x01}b.").contains("an object to give a state"));
    assert!(fails(b"q\x07.").contains("a value to remember"));
    assert!(fails(b"h\x07.").contains("remembered before"));
    assert!(fails(b"\x87.").contains("an empty stack"));
    assert!(fails(b"\x8a\x09123456789.").contains("64 bits"));
    assert!(fails(b"X\x01\0\0\0\xff.").contains("UTF-8"));
    assert!(fails(b"B\xff\xff\xff\xffx.").starts_with("a byte 0: expected 4294967295 more bytes"));
    assert!(fails(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffx.").contains("more bytes"));
    assert!(fails(&vec![b'('; 8 << 20]).contains("at most 1048576 instructions"));
    // A list of itself, and a mark below which the stack was emptied.
    assert!(read(b"]q\0h\0a.").is_ok());
    assert!(fails(b"K\x01K\x02(K\x03\x87t.").contains("an empty stack"));
}
