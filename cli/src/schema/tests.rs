use super::*;
use domains::schema::{Field, TableHome, TableSpec};
use lostore::TableId;

/// A table with one key and these record fields.
fn table(name: &str, kind: TableKind, record: &str) -> TableInfo {
    let (record, rules) = crate::tables::fields::read(record).unwrap();
    let key = match kind {
        TableKind::Sack => vec![],
        TableKind::Hash | TableKind::Ordered | TableKind::ClientHash => {
            vec![Field { name: "id".into(), field_type: FieldType::Unsigned(64) }]
        }
    };
    let spec = TableSpec { key, record, rules, ..TableSpec::plain(kind, TableHome::Persistent) };
    TableInfo { id: TableId(1), name: name.into(), spec }
}

/// A tree's tables, one that no pointer touches, and one that leads to a table that is not there.
fn tables() -> Vec<TableInfo> {
    vec![
        table("dirent", TableKind::Ordered, "inode:->inode required,kind:u8 in 0..=6 default 0"),
        table("inode", TableKind::Hash, "mode:u32 in 0..=4095,parent:->dirent,blob:->blob"),
        table("blob", TableKind::Sack, "next:->blob,bytes:bytes"),
        table("<odd> & \"quoted\"", TableKind::Hash, "to:->nowhere"),
        table("alone", TableKind::Ordered, "note:text default \"-\""),
    ]
}

fn printed(entities: &[Entity], format: Format) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut output = Output::to(format, Box::new(file.reopen().unwrap()));
    match format {
        Format::Json => output.document(&document(entities)).unwrap(),
        _ => text(entities, &mut output).unwrap(),
    }
    output.flush().unwrap();
    std::fs::read_to_string(file.path()).unwrap()
}

#[test]
fn text_tells_keys_types_rules_and_references() {
    let mut tables = tables();
    tables[0].spec.rules.push(domains::schema::Rule::Grown { fields: 1 });
    let text = printed(&entities(&tables), Format::Table);
    for line in [
        "dirent  ordered, persistent, of type bytes, revision 2\n",
        "  key  id     u64\n",
        "       inode  -> inode  required\n",
        "       kind   u8        in 0..=6 default 0  since revision 2\n",
        "  key  (address)  u64\n",
        "\nreferences\n  dirent.inode -> inode\n",
        ".to -> nowhere  (there is no such table)\n",
    ] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
}

#[test]
fn the_document_has_every_field_and_every_reference() {
    let document: Value = serde_json::from_str(&printed(&entities(&tables()), Format::Json)).unwrap();
    let kind = &document["tables"][0]["fields"][2];
    let want = json!({
        "name": "kind", "type": "u8", "key": false, "to": null, "required": false, "range": [0, 6], "default": 0, "revision": 1,
    });
    assert_eq!(*kind, want);
    let references = document["references"].as_array().unwrap();
    assert_eq!(references.len(), 5);
    assert_eq!(references[0]["required"], true);
    assert_eq!(references[4]["table_exists"], false);
}

#[test]
fn mermaid_is_given_words_that_it_reads() {
    let text = mermaid::draw(&entities(&tables()));
    assert!(
        text.starts_with("erDiagram\n  \"dirent\" {\n    u64 id PK\n    pointer inode FK \"required\"\n"),
        "{text}"
    );
    assert!(text.contains("  \"dirent\" }o--|| \"inode\" : \"inode\"\n"), "{text}");
    assert!(text.contains("  \"blob\" }o--o| \"blob\" : \"next\"\n"), "{text}");
    assert!(text.contains("\"<odd> & 'quoted'\""), "{text}");
    assert!(text.contains("    bytes bytes\n") && text.contains("    u64 address PK\n"), "{text}");
}

/// Boxes do not overlap, a circle of pointers is drawn, and names are no markup.
#[test]
fn the_drawing_is_well_formed_and_its_boxes_stand_apart() {
    let entities = entities(&tables());
    let boxes = svg::seen::boxes(&entities);
    for (at, [left, top, width, height]) in boxes.iter().enumerate() {
        assert!(*left > 0.0 && *top > 0.0);
        for [other_left, other_top, other_width, other_height] in &boxes[..at] {
            let apart = left + width <= *other_left || other_left + other_width <= *left;
            let above = top + height <= *other_top || other_top + other_height <= *top;
            assert!(apart || above, "{boxes:?}");
        }
    }
    let svg = svg::draw(&entities);
    assert_eq!(svg.matches("marker-end").count(), 4, "every pointer to a table that is there has a line");
    assert_eq!(svg.matches("no such table").count(), 1);
    assert!(svg.contains("&lt;odd&gt; &amp; &quot;quoted&quot;") && !svg.contains("<odd>"));
    for tag in ["svg", "g", "style", "title", "defs", "marker", "text"] {
        let open = svg.matches(&format!("<{tag} ")).count() + svg.matches(&format!("<{tag}>")).count();
        assert_eq!(open, svg.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    assert!(svg::draw(&[]).ends_with("</svg>\n"));
}
