//! `inspect`: a store's bytes, decoded as the data format describes them, from the superblock down to a single record.
//!
//! Contract: nothing is opened, recovered or written: what is shown is what lies there, damaged or not. Without options the
//! copies of the superblock, the index checkpoints and the segments, each with what its header says and what the newest checkpoint says; with `--segment` its pages and its summary; with `--page` what is in that page.
//! The same sections come as JSON.

use crate::args::Inspect;
use crate::failure::Failure;
use crate::offline::Overlay;
use crate::output::{Format, Output};
use segments::blocking::Blocking;
use segments::page::domain_mark;
use segments::segment::{Geometry, SegmentHeader};
use segments::superblock::{SUPERBLOCK_COPIES, SUPERBLOCK_COPY_PAGES, SUPERBLOCK_PAGES, Superblock, copy_page};
use segments::{Frames, PageNo, SegmentId};
use serde_json::{Map, Value, json};

mod checkpoints;
mod content;
mod summary;

/// Rows of one kind of structure.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
    pub(crate) rows: Vec<Vec<Value>>,
    /// How many there are beyond those shown.
    pub(crate) more: u64,
}

/// What is being looked at.
pub(crate) struct Look<'d> {
    device: Blocking<'d>,
    superblock: Option<Superblock>,
    limit: u64,
    sections: Vec<Section>,
}

pub(crate) fn inspect(args: &Inspect, output: &mut Output) -> Result<(), Failure> {
    let mut overlay = Overlay::open(&args.path)?;
    let mut look =
        Look { device: Blocking::new(&mut overlay), superblock: None, limit: args.limit, sections: Vec::new() };
    look.superblock()?;
    match (args.segment, args.page) {
        (None, None) => look.segments()?,
        (Some(segment), None) => look.segment(SegmentId(segment))?,
        (Some(segment), Some(index)) => {
            let first = look.geometry()?.first_page(SegmentId(segment));
            look.page(first.plus(index))?;
        }
        (None, Some(page)) => look.page(PageNo(page))?,
    }
    print(&look.sections, output)
}

impl Look<'_> {
    /// Adds a section, cut to the limit.
    pub(crate) fn show(&mut self, name: &'static str, columns: &'static [&'static str], mut rows: Vec<Vec<Value>>) {
        let all = rows.len() as u64;
        rows.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        let more = all - rows.len() as u64;
        self.sections.push(Section { name, columns, rows, more });
    }

    /// Adds a section of one structure's fields, each with its name.
    pub(crate) fn fields(&mut self, name: &'static str, fields: Vec<(&str, Value)>) {
        let rows = fields.into_iter().map(|(name, value)| vec![name.into(), value]).collect();
        self.sections.push(Section { name, columns: &["field", "value"], rows, more: 0 });
    }

    pub(crate) fn read(&mut self, at: PageNo, pages: usize) -> Result<Frames, Failure> {
        let read = self.device.read(at, pages);
        read.map_err(|error| Failure::from(domains::Error::ReadFailed { page: error.page.0, error: error.error }))
    }

    /// The superblock that holds; all that lies behind it is found by it.
    pub(crate) fn known(&self) -> Result<&Superblock, Failure> {
        self.superblock.as_ref().ok_or_else(|| {
            domains::Error::CorruptStore { why: "without a superblock nothing else can be found".to_owned() }.into()
        })
    }

    pub(crate) fn geometry(&self) -> Result<Geometry, Failure> {
        Ok(Geometry::new(self.known()?.segment_pages))
    }

    /// The copies of the superblock, and what they say.
    fn superblock(&mut self) -> Result<(), Failure> {
        let pages = usize::try_from(SUPERBLOCK_COPY_PAGES).expect("sixteen");
        if self.device.pages() < SUPERBLOCK_PAGES {
            let why = format!("it has {} pages, a superblock alone has {SUPERBLOCK_PAGES}", self.device.pages());
            return Err(domains::Error::NotAStore { why }.into());
        }
        let mut copies = Vec::new();
        for copy in 0..SUPERBLOCK_COPIES {
            copies.push(self.read(copy_page(copy), pages)?);
        }
        let bytes = |copy: usize| Some(copies[copy].bytes());
        let choice = Superblock::choose([bytes(0), bytes(1), bytes(2), bytes(3)]);
        let mut rows = Vec::new();
        for copy in 0..SUPERBLOCK_COPIES {
            let mut alone = [None; 4];
            alone[usize::from(copy)] = bytes(usize::from(copy));
            let found = content::copy_found(copy, Superblock::choose(alone));
            rows.push(vec![copy.into(), copy_page(copy).0.into(), found.into()]);
        }
        self.show("superblock copies", &["copy", "page", "state"], rows);
        match choice {
            Err(error) => self.fields("superblock", vec![("error", error.to_string().into())]),
            Ok(choice) => {
                let fields = content::superblock(&choice.superblock);
                self.fields("superblock", fields);
                let cuts = choice
                    .superblock
                    .cuts
                    .iter()
                    .map(|(incarnation, cut)| vec![incarnation.0.into(), cut.to_string().into()]);
                self.show("cuts", &["incarnation", "cut"], cuts.collect());
                self.superblock = Some(choice.superblock);
            }
        }
        Ok(())
    }

    /// Every segment: what it was used for last and by whom, whether it is sealed, and what the newest checkpoint says of it.
    fn segments(&mut self) -> Result<(), Failure> {
        let Some(superblock) = self.superblock.clone() else { return Ok(()) };
        let said = checkpoints::show(self, &superblock)?;
        let geometry = Geometry::new(superblock.segment_pages);
        let mut rows = Vec::new();
        let mut inside = 0;
        for segment in 0..geometry.segments_in(self.device.pages()) {
            let first = geometry.first_page(SegmentId(segment));
            let frame = self.read(first, 1)?;
            let row = match SegmentHeader::parse(frame.page(0), superblock.salt) {
                // A further segment of a run, unless it was begun by itself since.
                Err(_) if segment < inside => continue,
                Err(error) => vec![error.to_string().into(); 1],
                Ok((header, outer)) => {
                    inside = segment.saturating_add(header.run);
                    let summary = summary::of(self, &superblock, &header, outer.previous)?;
                    vec![
                        content::purpose(&header).into(),
                        header.incarnation.0.into(),
                        header.log.0.into(),
                        header.run.into(),
                        header.first_seq.into(),
                        outer.horizon.to_string().into(),
                        summary.text().into(),
                    ]
                }
            };
            let mut row = [vec![segment.into(), first.0.into()], row].concat();
            row.resize(9, Value::Null);
            row.push(said.of(SegmentId(segment)));
            rows.push(row);
        }
        let columns = &[
            "segment",
            "page",
            "state",
            "incarnation",
            "log",
            "run",
            "first_seq",
            "horizon",
            "summary",
            "by_checkpoint",
        ];
        self.show("segments", columns, rows);
        Ok(())
    }

    /// A segment's header, its pages, and its summary.
    fn segment(&mut self, segment: SegmentId) -> Result<(), Failure> {
        let superblock = self.known()?.clone();
        let geometry = Geometry::new(superblock.segment_pages);
        let count = geometry.segments_in(self.device.pages());
        if segment.0 >= count {
            let what = format!("there is no segment {segment}, the store has {count}");
            return Err(Failure::usage(what, "`lostore inspect DIR` lists them"));
        }
        let first = geometry.first_page(segment);
        let frame = self.read(first, 1)?;
        let mut pages = u64::from(geometry.segment_pages());
        let mut summary = None;
        match SegmentHeader::parse(frame.page(0), superblock.salt) {
            Err(error) => self.fields("segment header", vec![("error", error.to_string().into())]),
            Ok((header, outer)) => {
                let fields = content::segment_header(&header);
                self.fields("segment header", fields);
                pages = u64::from(geometry.run_pages(header.run)).min(self.device.pages() - first.0);
                summary = Some(summary::of(self, &superblock, &header, outer.previous)?);
            }
        }
        self.pages(&superblock, first, pages)?;
        if let Some(summary) = summary {
            summary.show(self);
        }
        Ok(())
    }

    /// One line for each page that is not blank.
    fn pages(&mut self, superblock: &Superblock, first: PageNo, pages: u64) -> Result<(), Failure> {
        const CHUNK: u64 = 256;
        let mut rows = Vec::new();
        let mut blank = 0_u64;
        let mut at = 0;
        while at < pages {
            let count = CHUNK.min(pages - at);
            let frames = self.read(first.plus(at), usize::try_from(count).expect("at most 256"))?;
            for index in 0..frames.pages() {
                let place = at + index as u64;
                match content::page_row(frames.page(index), superblock.salt, domain_mark(superblock.domain)) {
                    None => blank += 1,
                    Some(row) => rows.push([vec![place.into(), first.plus(place).0.into()], row].concat()),
                }
            }
            at += count;
        }
        self.show("pages", content::PAGE_COLUMNS, rows);
        self.fields("blank pages", vec![("count", blank.into())]);
        Ok(())
    }

    /// What is in one page.
    fn page(&mut self, at: PageNo) -> Result<(), Failure> {
        let end = self.device.pages();
        if at.0 >= end {
            return Err(Failure::usage(format!("there is no page {at}, the store has {end}"), "name a smaller one"));
        }
        if at.0 < SUPERBLOCK_PAGES {
            let copy = at.0 / SUPERBLOCK_COPY_PAGES;
            self.fields(
                "page",
                vec![("page", at.0.into()), ("holds", format!("copy {copy} of the superblock").into())],
            );
            return Ok(());
        }
        let superblock = self.known()?.clone();
        content::page(self, &superblock, at)
    }
}

fn print(sections: &[Section], output: &mut Output) -> Result<(), Failure> {
    if matches!(output.format, Format::Json | Format::Jsonl) {
        let mut document = Map::new();
        for section in sections {
            let name = section.name.replace(' ', "_");
            if section.columns == ["field", "value"] {
                let fields = section.rows.iter().map(|row| (text(&row[0]), row[1].clone()));
                document.insert(name, Value::Object(fields.collect()));
                continue;
            }
            let rows = section.rows.iter().map(|row| {
                let cells = section.columns.iter().zip(row).map(|(column, cell)| ((*column).to_owned(), cell.clone()));
                Value::Object(cells.collect())
            });
            let rows = rows.collect::<Vec<Value>>();
            if section.more > 0 {
                document.insert(format!("{name}_not_shown"), section.more.into());
            }
            document.insert(name, json!(rows));
        }
        return output.document(&Value::Object(document));
    }
    for (number, section) in sections.iter().enumerate() {
        if number > 0 {
            output.line("")?;
        }
        if section.columns == ["field", "value"] {
            output.line(section.name)?;
            for row in &section.rows {
                output.line(&format!("  {:<20} {}", text(&row[0]), text(&row[1])))?;
            }
            continue;
        }
        output.line(&format!("{} ({})", section.name, section.rows.len() as u64 + section.more))?;
        let rows: Vec<Vec<String>> = section.rows.iter().map(|row| row.iter().map(text).collect()).collect();
        output.rows(section.columns, &rows)?;
        if section.more > 0 {
            output.line(&format!(".. and {} more (--limit)", section.more))?;
        }
    }
    Ok(())
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
