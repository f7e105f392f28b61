use super::*;

#[test]
fn fields_are_printed_as_they_are_taken() {
    let text = "a:u8,b:i128,c:bool,d:text,e:bytes,f:->user";
    assert_eq!(fields_text(&fields(text).unwrap()), text);
    assert_eq!(fields("").unwrap(), []);
    assert_eq!(fields(" a:u8 , b:u8 ").unwrap().len(), 2);
}

#[test]
fn what_is_no_field_is_refused() {
    for bad in ["a", "a:", ":u8", "a:u7", "a:->", "a:u8,a:u8"] {
        assert_eq!(fields(bad).unwrap_err().exit, crate::failure::Exit::Usage, "{bad}");
    }
    assert!(spec(KindArg::Sack, false, Some("a:u8"), None).is_err());
    assert!(spec(KindArg::Hash, false, Some("a:->t"), None).is_err());
    assert!(spec(KindArg::Sack, true, None, Some("a:u8")).is_ok());
}
