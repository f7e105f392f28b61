//! A sealed run's summary: its footer and its items.

use super::Look;
use crate::failure::Failure;
use crate::words;
use segments::page::{self, PageError, PageKind};
use segments::segment::{Geometry, Purpose, SegmentHeader};
use segments::summary::{Footer, SummaryItem, SummaryKey, SummaryReader};
use segments::superblock::Superblock;
use serde_json::Value;

const ITEM_COLUMNS: &[&str] = &["kind", "table", "version", "page", "offset", "pages", "key", "expires_ms"];

/// What lies in the place of a run's summary.
pub(super) enum Summary {
    /// Nothing: the run was not sealed.
    None,
    /// Something that cannot be used.
    Broken(String),
    /// A whole summary.
    Whole { footer: Box<Footer>, items: Vec<Vec<Value>> },
}

/// The summary of the run with this header.
pub(super) fn of(
    look: &mut Look<'_>,
    superblock: &Superblock,
    header: &SegmentHeader,
    previous: u32,
) -> Result<Summary, Failure> {
    if header.purpose != Purpose::Log {
        return Ok(Summary::None);
    }
    let geometry = Geometry::new(superblock.segment_pages);
    let at = geometry.footer_page(header.segment, header.run);
    if at.0 >= look.device.pages() {
        return Ok(Summary::Broken("its place is past the end of the store".to_owned()));
    }
    let frame = look.read(at, 1)?;
    match page::parse(frame.page(0), superblock.salt) {
        Err(PageError::Blank) => return Ok(Summary::None),
        // What the segment held before it was used again.
        Ok(outer) if outer.kind != PageKind::SummaryFooter => return Ok(Summary::None),
        Ok(_) | Err(_) => {}
    }
    let footer = match Footer::parse(frame.page(0), superblock.salt, header, previous) {
        Ok(footer) => footer,
        Err(error) => return Ok(Summary::Broken(error.to_string())),
    };
    let first = geometry.page(header.segment, footer.first_page);
    let frames = match usize::try_from(footer.pages).expect("fewer than the segment's") {
        0 => None,
        pages => Some(look.read(first, pages)?),
    };
    match SummaryReader::open(footer, header, frames.as_ref(), superblock.salt) {
        Ok(reader) => Ok(Summary::Whole { footer: Box::new(footer), items: reader.items().map(item_row).collect() }),
        Err(error) => Ok(Summary::Broken(error.to_string())),
    }
}

fn item_row(item: SummaryItem<'_>) -> Vec<Value> {
    let key = match item.key {
        SummaryKey::Key(key) => words::show(key),
        SummaryKey::Hash(hash) => format!("hash {hash:032x}"),
    };
    vec![
        format!("{:?}", item.kind).into(),
        item.table.0.into(),
        item.version.to_string().into(),
        item.place.page().0.into(),
        item.place.offset().into(),
        item.place.pages().into(),
        key.into(),
        item.expires_ms.map_or(Value::Null, Value::from),
    ]
}

impl Summary {
    /// In one word or two.
    pub(super) fn text(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Broken(why) => why.clone(),
            Self::Whole { footer, .. } => format!("{} items", footer.items),
        }
    }

    /// Shows all of it.
    pub(super) fn show(self, look: &mut Look<'_>) {
        match self {
            Self::None => look.fields("summary", vec![("state", "none: the segment is no log, or not sealed".into())]),
            Self::Broken(why) => look.fields("summary", vec![("state", why.into())]),
            Self::Whole { footer, items } => {
                let fields = vec![
                    ("first_page", footer.first_page.into()),
                    ("pages", footer.pages.into()),
                    ("items", footer.items.into()),
                    ("log_pages", footer.log_pages.into()),
                    ("first_seq", footer.first_seq.into()),
                    ("last_seq", footer.last_seq.into()),
                    ("closed", footer.closed.map_or(Value::Null, |epoch| epoch.to_string().into())),
                    ("previous", format!("{:#010x}", footer.previous).into()),
                    ("last_checksum", format!("{:#010x}", footer.last_checksum).into()),
                    ("highest_epoch", footer.highest_epoch.to_string().into()),
                    ("persistent", footer.persistent.to_string().into()),
                    ("items_checksum", format!("{:#010x}", footer.items_checksum).into()),
                    ("items_bytes", footer.items_bytes.into()),
                ];
                look.fields("summary", fields);
                look.show("summary items", ITEM_COLUMNS, items);
            }
        }
    }
}
