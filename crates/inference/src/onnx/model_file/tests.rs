use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// A field with a length: a message, a string, bytes.
fn field(number: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let bytes = u64::try_from(content.len()).unwrap();
    [&varint(number << 3 | 2), &varint(bytes), content].concat()
}

fn external_tensor(location: &str) -> Vec<u8> {
    let entry = |key: &str, value: &str| field(13, [field(1, key), field(2, value)].concat());
    [
        field(8, "weights"),
        entry("offset", "0"),
        entry("location", location),
    ]
    .concat()
}

fn parse(model: &[u8]) -> Result<ModelFile, FileError> {
    let bytes = u64::try_from(model.len()).unwrap();
    ModelFile::parse(Cursor::new(model), bytes)
}

fn external(model: &[u8]) -> Vec<String> {
    parse(model).unwrap().external.into_iter().collect()
}

#[test]
fn external_data_is_found_wherever_a_tensor_can_be() {
    let tensor = external_tensor("w.bin");
    let attribute = |field_number| field(5, field(field_number, &tensor));
    let sparse_attribute = |field_number| field(5, field(field_number, field(2, &tensor)));
    let body = field(1, field(5, field(6, field(5, &tensor))));
    let branches = field(1, field(5, field(11, field(1, attribute(5)))));
    for (place, model) in [
        ("initializer", field(7, field(5, &tensor))),
        ("sparse values", field(7, field(15, field(1, &tensor)))),
        ("sparse indices", field(7, field(15, field(2, &tensor)))),
        ("constant", field(7, field(1, attribute(5)))),
        ("constants", field(7, field(1, attribute(10)))),
        ("sparse constant", field(7, field(1, sparse_attribute(22)))),
        ("sparse constants", field(7, field(1, sparse_attribute(23)))),
        ("body of a loop", field(7, body)),
        ("branches", field(7, branches)),
        ("function", field(25, field(7, attribute(5)))),
        (
            "default of a function",
            field(25, field(11, field(5, &tensor))),
        ),
        ("training", field(20, field(1, field(5, &tensor)))),
        ("training algorithm", field(20, field(2, field(5, &tensor)))),
    ] {
        assert_eq!(external(&model), ["w.bin"], "{place}");
    }
}

#[test]
fn a_location_is_found_in_whatever_order_and_however_often() {
    let model = |entry: Vec<u8>| field(7, field(5, field(13, entry)));
    let (key, value) = (field(1, "location"), field(2, "w.bin"));
    assert_eq!(external(&model([&*value, &key].concat())), ["w.bin"]);
    let repeated = [&*key, &value, &field(2, "x.bin"), &field(1, "offset")].concat();
    assert_eq!(external(&model(repeated)), ["w.bin", "x.bin"]);
    let none = [field(1, "offset"), field(2, "0")].concat();
    assert_eq!(external(&model(none)), [""; 0]);
}

#[test]
fn ports_without_a_shape() {
    let port =
        |name, tensor_type: Vec<u8>| [field(1, name), field(2, field(1, tensor_type))].concat();
    let element = [varint(1 << 3), varint(1)].concat();
    let shape = field(2, "");
    let graph = [
        field(11, port("scalar", [&*element, &shape].concat())),
        field(11, port("unknown", element.clone())),
        field(12, port("out", element)),
    ]
    .concat();
    let expected = ["unknown", "out"].map(str::to_owned);
    assert_eq!(
        parse(&field(7, graph)).unwrap().unranked,
        HashSet::from(expected)
    );
}

#[test]
fn weights_are_found_with_their_place() {
    let bytes = vec![7; 2048];
    let rest = [
        [varint(1 << 3), varint(2)].concat(),
        [varint(1 << 3), varint(256)].concat(),
        [varint(2 << 3), varint(1)].concat(),
        field(8, "w"),
    ]
    .concat();
    let packed = field(1, [varint(2), varint(256)].concat());
    let model = field(7, field(5, [&*rest, &field(9, &bytes)].concat()));
    let found = parse(&model).unwrap().weights;
    let [weights] = &*found else {
        panic!("{found:?}");
    };
    assert_eq!((&*weights.name, weights.data_type), ("w", 1));
    assert_eq!(weights.shape, [2, 256]);
    let start = usize::try_from(weights.offset).unwrap();
    assert_eq!(model[start..], bytes);
    let model = field(7, field(5, [packed, field(9, &bytes)].concat()));
    assert_eq!(parse(&model).unwrap().weights[0].shape, [2, 256]);
    let small = field(7, field(5, field(9, [7; 8])));
    assert_eq!(parse(&small).unwrap().weights, []);
}

#[test]
fn weights_are_shared_by_nodes_that_only_multiply() {
    let weights = field(5, [field(8, "w"), field(9, [7; 2048])].concat());
    let node = |op_type: &str| {
        field(
            1,
            [field(1, "x"), field(1, "w"), field(4, op_type)].concat(),
        )
    };
    let found = |nodes: &[u8]| {
        let model = field(7, [nodes, &weights].concat());
        !parse(&model).unwrap().weights.is_empty()
    };
    assert!(found(&node("MatMul")));
    assert!(!found(&node("Add")));
    assert!(!found(&[node("Add"), node("MatMul")].concat()));
    // In the body of a loop.
    let body = |op_type| {
        field(
            1,
            [field(4, "Loop"), field(5, field(6, node(op_type)))].concat(),
        )
    };
    assert!(found(&body("Gemm")));
    assert!(!found(&body("Add")));
}

#[test]
fn nesting_is_bounded() {
    // A graph in an attribute of a node of a graph.
    let nested = |levels| {
        let innermost = field(5, external_tensor("w.bin"));
        let graph = (0..levels).fold(innermost, |graph, _| field(1, field(5, field(6, graph))));
        field(7, graph)
    };
    assert_eq!(external(&nested(32)), ["w.bin"]);
    for levels in [33, 10_000] {
        let refused = parse(&nested(levels));
        assert!(matches!(refused, Err(FileError::TooDeep)), "{levels}");
    }
}

#[test]
fn names_and_files_are_bounded() {
    let model = |location: &str| field(7, field(5, external_tensor(location)));
    let longest = "a".repeat(4096);
    assert_eq!(external(&model(&longest)), [&*longest]);
    let refused = parse(&model(&"a".repeat(4097)));
    assert!(
        matches!(refused, Err(FileError::NameTooLong)),
        "{refused:?}"
    );
    let many: Vec<u8> = (0..=10_000)
        .flat_map(|index| field(5, external_tensor(&index.to_string())))
        .collect();
    let refused = parse(&field(7, many));
    assert!(matches!(refused, Err(FileError::TooManyFiles)));
}

#[test]
fn what_is_cut_off_or_claims_too_much_is_malformed() {
    let model = field(7, field(5, external_tensor("w.bin")));
    for length in 1..model.len() {
        let refused = parse(&model[..length]);
        assert!(matches!(refused, Err(FileError::Malformed)), "{length}");
    }
    for model in [
        // Longer than its message.
        [varint(7 << 3 | 2), varint(u64::MAX)].concat(),
        field(7, [varint(5 << 3 | 2), varint(100)].concat()),
        // More dimensions than a tensor may have.
        field(7, field(5, field(1, [1; 65]))),
        // A group, a wire type that isn't one, a number without end.
        varint(7 << 3 | 3),
        varint(7 << 3 | 7),
        vec![0xff; 11],
    ] {
        let refused = parse(&model);
        assert!(matches!(refused, Err(FileError::Malformed)), "{model:?}");
    }
    assert_eq!(parse(&[]).unwrap(), ModelFile::default());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
        let _ = parse(&field(7, bytes));
    }
}
