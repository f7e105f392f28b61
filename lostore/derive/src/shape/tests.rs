use super::*;

fn errors(source: &str) -> Vec<String> {
    let input: DeriveInput = syn::parse_str(source).expect("the source is a type");
    match TableShape::read(&input) {
        Ok(_) => Vec::new(),
        Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
    }
}

/// The struct is refused once, in words that hold `says`.
fn check_refused(source: &str, says: &str) {
    let errors = errors(source);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains(says), "{}", errors[0]);
}

#[test]
fn what_cannot_be_a_table_type_says_why() {
    check_refused("struct A<T> { #[key] a: T }", "no parameters");
    check_refused("enum A { B }", "is a struct");
    check_refused("struct A(u8);", "named fields");
    check_refused("struct A { a: u8 }", "no field is the key");
    check_refused("#[table(sack)] struct A { #[key] a: u8 }", "a sack gives its records addresses");
    check_refused("struct A { #[key] a: u8, b: u8, #[key] c: u8 }", "key fields come first");
    check_refused("struct A { #[key] a: u8, #[default] b: u8, c: u8 }", "needs a #[default] too");
    check_refused("struct A { #[key] #[default] a: u8 }", "a key has all its fields");
    check_refused("struct A { #[key] a: Ptr<B> }", "a pointer stands in the record");
    check_refused("struct A { #[key] a: u8, #[pointer(\"b\")] b: u64 }", "only a field of type Ptr<T>");
    check_refused("struct A { #[key] a: u8, #[default = 3] b: u64 }", "write #[default]");
    check_refused("struct A { #[key] a: u8, #[required] b: u64 }", "only a field of type Ptr<T> can be null");
    check_refused("struct A { #[key] a: u8, #[required] #[default] b: Ptr<B> }", "the default of a pointer is null");
    check_refused("struct A { #[key] #[range(0..=1)] a: u8 }", "not for the key's");
    check_refused("struct A { #[key] a: u8, #[range(0..=1)] b: String }", "only a field of an integer type");
    check_refused("struct A { #[key] a: u8, #[range(0..1)] b: u8 }", "both ends");
    check_refused("struct A { #[key] a: u8, #[range(..=1)] b: u8 }", "both ends");
    check_refused("#[table(client_hash)] struct A { #[key] a: u64, #[key] b: u64 }", "one field, a u32 or u64");
    check_refused("#[table(client_hash)] struct A { a: u64 }", "one field, a u32 or u64");
    check_refused("#[table(ordered, compact_slots)] struct A { #[key] a: u64 }", "are of hash tables");
    check_refused("#[table(sack, compact_slots)] struct A { a: u64 }", "are of hash tables");
    check_refused(
        "#[table(client_hash, hash)] struct A { #[key] a: u64 }",
        "one of hash, ordered, sack and client_hash",
    );
    check_refused("#[table(tree)] struct A { #[key] a: u8 }", "expected hash, ordered, sack");
    check_refused("#[table(hash, ordered)] struct A { #[key] a: u8 }", "one of hash, ordered, sack and client_hash");
    check_refused("#[table(name = \"\")] struct A { #[key] a: u8 }", "1 to 255 bytes");
    check_refused("struct A { #[key] a: u8, #[key] b: u8, #[key] c: u8, #[key] d: u8, #[key] e: u8 }", "at most 4");
}

#[test]
fn all_mistakes_of_a_struct_come_out_together() {
    assert_eq!(errors("struct A { b: u8, #[key] a: u8, #[pointer(\"x\")] c: u8 }").len(), 2);
}

#[test]
fn names_and_attributes_are_read() {
    let input: DeriveInput = syn::parse_str(
        "#[table(ordered, volatile, pairs = 1_000)] struct DirEntry { #[key] a: u8, b: lostore::Ptr<C>, c: Vec<u8> }",
    )
    .expect("the source is a struct");
    let shape = TableShape::read(&input).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((&shape.name[..], shape.volatile, shape.pairs), ("dir_entry", true, 1000));
    assert!(shape.kind == Kind::Ordered);
    assert!(matches!(shape.record[0].codec, Codec::Pointer { table: None, .. }));
    assert!(matches!(shape.record[1].codec, Codec::Bytes));
}
