use super::*;

fn fails(bytes: &[u8]) -> String {
    Pickle::read(bytes).unwrap_err()
}

#[test]
fn data_of_protocol_2_and_4_is_read() {
    // Python 2: {'a': [1, 300, -2], 'b': (True, None)}, and Python 3 with framing.
    let two = b"\x80\x02}q\x01(U\x01aq\x02]q\x03(K\x01M,\x01J\xfe\xff\xff\xffeU\x01bq\x04\x88N\x86q\x05u.";
    let four = b"\x80\x04\x95\x1d\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94]\x94(K\x01M,\x01J\xfe\xff\xff\xffeC\x01b\x94\x88N\x86\x94u.";
    for bytes in [&two[..], &four[..]] {
        let pickle = Pickle::read(bytes).unwrap();
        assert_eq!(pickle.integers(pickle.get("a").unwrap()), Some(vec![1, 300, -2]));
        let Value::Tuple(items) = pickle.get("b").unwrap() else { panic!() };
        let items: Vec<_> = items.iter().map(|&id| &pickle.values[id]).collect();
        assert_eq!(items, [&Value::Bool(true), &Value::None]);
        assert!(pickle.get("c").is_none());
    }
}

#[test]
fn nothing_is_executed() {
    // os.system("true"), as pickle.loads would call it.
    let bytes = b"\x80\x02cos\nsystem\nU\x04true\x85R.";
    let pickle = Pickle::read(bytes).unwrap();
    assert!(matches!(pickle.values[pickle.root], Value::Call { state: None, .. }));
    assert_eq!(pickle.byte_array(&pickle.values[pickle.root]), None);
    assert!(fails(b"\x80\x02(U\x01xios\nsystem\n.").contains("instruction 0x69"));
}

#[test]
fn hostile_programs_are_refused() {
    assert!(fails(b"").contains("the end of the file"));
    assert!(fails(b"\x80\x02}").contains("the end of the file"));
    assert!(fails(b".").contains("an empty stack"));
    assert!(fails(b"(.").contains("an empty stack"));
    assert!(fails(b"e.").contains("no mark on the stack at byte 0"));
    assert!(fails(b"K\x01(a").contains("an empty stack"));
    assert!(fails(b"K\x01K\x02a").contains("no list to append to"));
    assert!(fails(b"}(K\x01u.").contains("no dictionary to set items of"));
    assert!(fails(b"}b.").contains("an empty stack at byte 1"));
    assert!(fails(b"h\x07.").contains("nothing stored"));
    assert!(fails(b"\x87.").contains("an empty stack"));
    assert!(fails(b"B\xff\xff\xff\xffx.").contains("the end of the file at byte 0"));
    assert!(fails(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffx.").contains("the end of the file"));
    assert!(fails(&vec![b'('; 8 << 20]).contains("more than 1048576 instructions"));
    // A list of itself, and a mark below which the stack was emptied.
    assert!(Pickle::read(b"]q\0h\0a.").is_ok());
    assert!(fails(b"K\x01K\x02(K\x03\x87t.").contains("an empty stack"));
}
