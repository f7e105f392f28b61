//! `#[derive(TableType)]`: from a struct to a table's structure and the codec of its pairs.
//!
//! Contract: the first fields, those with `#[key]`, are the key in their order; all others are the record in theirs. What the
//! macro writes is one implementation of `lostore::TableType` (and its markers), and a constant in capitals for each pointer field.
//! A struct that cannot be a table type is refused with the place and the remedy.

mod shape;
mod write;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct with named fields a table type.
///
/// On the struct, `#[table(...)]` with any of:
/// * `hash` (the default), `ordered` or `sack`: how pairs are found;
/// * `volatile`: empty after every open;
/// * `name = "..."`: the table that pointers to this type lead to; by default the struct's name in `snake_case`;
/// * `pairs = N`: about how many pairs to expect.
///
/// On fields:
/// * `#[key]`: a key field; these come first. A sack has none, the store gives its records addresses;
/// * `#[default]` or `#[default(expression)]`: what the field is in records that were written before it was appended. All
///   fields behind one with a default need one too;
/// * `#[pointer("table")]`: of a `Ptr<T>` field, the table it leads to when that is not the one `T` names;
/// * `#[required]`: of a `Ptr<T>` field, it is never null;
/// * `#[range(least..=most)]`: of a field of an integer type, it lies between these two, both included.
///
/// The rules of the last two are kept with the table. A program whose type has them cannot write a record that breaks them (LS0706); a
/// program that would hold a stored field to other rules cannot open the table (LS0205); `lostore verify` finds records that break
/// them all the same, which other programs wrote. The store itself does not look at them when it commits.
///
/// A field of type `Ptr<T>` is a pointer; any other record field may have any serde type.
#[proc_macro_derive(TableType, attributes(table, key, default, pointer, required, range))]
pub fn derive_table_type(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let written = shape::TableShape::read(&input).map(|shape| write::table_type(&shape));
    written.unwrap_or_else(|error| error.to_compile_error()).into()
}
