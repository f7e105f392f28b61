use super::*;
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn text(format: Format, write: impl FnOnce(&mut Output)) -> String {
    let shared = Shared::default();
    write(&mut Output::to(format, Box::new(shared.clone())));
    String::from_utf8(shared.0.take()).unwrap()
}

#[test]
fn a_list_is_one_document_or_one_a_line() {
    let list = |count: u64| {
        move |output: &mut Output| {
            output.begin_list().unwrap();
            for number in 0..count {
                output.item(&number.into()).unwrap();
            }
            output.end_list().unwrap();
        }
    };
    for count in [0, 1, 3] {
        let json: Value = serde_json::from_str(&text(Format::Json, list(count))).unwrap();
        assert_eq!(json.as_array().unwrap().len() as u64, count);
        assert_eq!(text(Format::Jsonl, list(count)).lines().count() as u64, count);
    }
}

#[test]
fn columns_are_as_wide_as_they_must_be() {
    let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "100".to_owned()]];
    let table = text(Format::Table, |output| output.rows(&["name", "n"], &rows).unwrap());
    assert_eq!(table, "name  n\na       1\nlong  100\n");
}

#[test]
fn numbers_are_for_people() {
    let samples = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (64 << 20, "64.0 MiB")];
    for (bytes, shown) in samples {
        assert_eq!(bytes_text(bytes), shown);
    }
    assert!(bytes_text(u64::MAX).ends_with(" PiB"));
    assert_eq!(["1", "999", "1 000", "1 234 567"], [1, 999, 1000, 1_234_567].map(count_text));
}
